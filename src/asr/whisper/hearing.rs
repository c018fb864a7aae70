//! Owns the way from a finished whisper state to segments with times, words and confidences.

use whisper_rs::{WhisperSegment, WhisperState, WhisperTokenId};

use super::{language::Language, repetition};
use crate::{
    asr::Recognised,
    event::processed::{Segment, Transcript, Word},
    private::Private,
};

/// whisper counts time in hundredths of a second.
const TICKS_PER_S: f64 = 100.0;

/// One pass over a note.
pub struct Heard {
    segments: Vec<HeardSegment>,
    pub mean_log_probability: f32,
    /// It went round in circles, or said a whole sentence twice.
    pub repetition: bool,
    looped: bool,
    no_speech_probability: f32,
}

struct HeardSegment {
    start_s: f64,
    end_s: f64,
    tokens: Vec<HeardToken>,
}

struct HeardToken {
    id: WhisperTokenId,
    bytes: Vec<u8>,
    probability: f32,
    start_s: f64,
    end_s: f64,
}

impl Heard {
    /// Tokens from `first_special` on are control tokens and no text.
    pub fn read(state: &WhisperState, first_special: WhisperTokenId) -> Self {
        let segments: Vec<HeardSegment> =
            state.as_iter().map(|segment| HeardSegment::read(&segment, first_special)).collect();
        let tokens = || segments.iter().flat_map(|s| &s.tokens);
        let ids: Vec<WhisperTokenId> = tokens().map(|t| t.id).collect();
        let text: String = segments.iter().map(HeardSegment::text).collect();
        let looped = repetition::is_loop(&ids);
        Self {
            mean_log_probability: mean(tokens().map(|t| t.probability.max(f32::MIN_POSITIVE).ln())).unwrap_or(f32::MIN),
            repetition: looped || repetition::is_said_twice(&text),
            looped,
            no_speech_probability: state.as_iter().map(|s| s.no_speech_probability()).fold(0.0, f32::max),
            segments,
        }
    }

    /// `duration_s`: no time lies behind the end of the audio, which whisper does not know.
    pub fn into_recognised(self, language: Language, model: &str, duration_s: f64) -> Recognised {
        let confidence = mean(self.segments.iter().flat_map(|s| &s.tokens).map(|t| t.probability)).unwrap_or(0.0);
        let segments: Vec<Segment> = self.segments.iter().filter_map(|segment| segment.to_wire(duration_s)).collect();
        let text = segments.iter().map(|s| s.text.expose()).collect::<Vec<_>>().join(" ");
        Recognised {
            transcript: Transcript {
                text: Private::new(text),
                language: language.code.to_owned(),
                language_confidence: language.confidence,
                confidence,
                segments,
                model: model.to_owned(),
            },
            no_speech_probability: language.no_speech_probability.unwrap_or(self.no_speech_probability),
            mean_log_probability: self.mean_log_probability,
            repetition: self.looped,
        }
    }
}

impl HeardSegment {
    fn read(segment: &WhisperSegment<'_>, first_special: WhisperTokenId) -> Self {
        let seconds = |ticks: i64| ticks.max(0) as f64 / TICKS_PER_S;
        let tokens = (0..segment.n_tokens()).filter_map(|index| segment.get_token(index));
        let tokens = tokens.filter(|token| token.token_id() < first_special).map(|token| {
            let data = token.token_data();
            HeardToken {
                id: data.id,
                bytes: token.to_bytes().unwrap_or_default().to_vec(),
                probability: data.p,
                start_s: seconds(data.t0),
                end_s: seconds(data.t1),
            }
        });
        Self {
            start_s: seconds(segment.start_timestamp()),
            end_s: seconds(segment.end_timestamp()),
            tokens: tokens.collect(),
        }
    }

    /// A character may be spread over tokens, so bytes are joined before they are read as text.
    fn text(&self) -> String {
        text_of(&self.tokens)
    }

    /// None if there is no text in it.
    fn to_wire(&self, duration_s: f64) -> Option<Segment> {
        let text = self.text().trim().to_owned();
        (!text.is_empty()).then(|| Segment {
            start_s: self.start_s.min(duration_s),
            end_s: self.end_s.min(duration_s),
            text: Private::new(text),
            confidence: mean(self.tokens.iter().map(|t| t.probability)).unwrap_or(0.0),
            words: self.words(duration_s),
        })
    }

    /// A token that begins with a space begins a word.
    fn words(&self, duration_s: f64) -> Vec<Word> {
        self.tokens
            .chunk_by(|_, next| next.bytes.first() != Some(&b' '))
            .filter_map(|word| to_word(word, duration_s))
            .collect()
    }
}

fn to_word(tokens: &[HeardToken], duration_s: f64) -> Option<Word> {
    let text = text_of(tokens).trim().to_owned();
    let (first, last) = (tokens.first()?, tokens.last()?);
    (!text.is_empty()).then(|| Word {
        start_s: first.start_s.min(duration_s),
        end_s: last.end_s.max(first.start_s).min(duration_s),
        text: Private::new(text),
        confidence: mean(tokens.iter().map(|t| t.probability)).unwrap_or(0.0),
    })
}

fn text_of(tokens: &[HeardToken]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.bytes.iter().copied()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &[u8], start_s: f64, end_s: f64) -> HeardToken {
        HeardToken { id: 1, bytes: text.to_vec(), probability: 0.5, start_s, end_s }
    }

    #[test]
    fn a_character_spread_over_tokens_stays_whole() {
        let segment = HeardSegment {
            start_s: 0.0,
            end_s: 2.0,
            tokens: vec![token(b" M\xc3", 0.0, 0.5), token(b"\xbcller", 0.5, 1.0), token(b" hier", 1.0, 9.0)],
        };
        let words = segment.words(2.0);
        let texts: Vec<&str> = words.iter().map(|w| w.text.expose()).collect();
        assert_eq!(texts, ["Müller", "hier"]);
        assert!((words[1].end_s - 2.0).abs() < f64::EPSILON, "no time behind the end of the audio");
    }

    #[test]
    fn a_segment_without_text_is_none() {
        let empty = HeardSegment { start_s: 0.0, end_s: 1.0, tokens: vec![token(b" ", 0.0, 1.0)] };
        assert!(empty.to_wire(1.0).is_none());
    }
}
