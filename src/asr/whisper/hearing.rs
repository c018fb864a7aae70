//! Owns what was heard in one stretch of audio, before it becomes a transcript: segments of tokens with their times.
//!
//! Segment times are the model's own, to 20 ms. Times of words are the segment's time divided by characters, good
//! enough to play from a word, unless somebody found out when each token is spoken (`alignment`).

use whisper_rs::{WhisperContext, WhisperSegment, WhisperState, WhisperTokenId};

use super::{
    AsrError, confidence, engine_error,
    greedy::Sequence,
    repetition,
    rules::{Choice, TIMES_PER_S, Vocabulary},
};
use crate::{
    event::processed::{Segment, Word},
    private::Private,
};

/// whisper.cpp counts time in hundredths of a second.
const TICKS_PER_S: f64 = 100.0;

/// One decoded token: a piece of text, or a time.
#[derive(Debug, Clone)]
pub struct Token {
    pub id: WhisperTokenId,
    /// Part of a text; a character may be spread over several tokens.
    pub bytes: Vec<u8>,
    pub log_probability: f32,
    /// Set if it is a time and no text.
    pub time_s: Option<f64>,
    /// From when to when it is spoken, where somebody found that out.
    pub spoken_s: Option<(f64, f64)>,
}

/// One pass over a stretch of audio.
#[derive(Debug, Default)]
pub struct Heard {
    pub segments: Vec<HeardSegment>,
    /// It went round in circles, or did not end.
    pub looped: bool,
}

#[derive(Debug)]
pub struct HeardSegment {
    pub start_s: f64,
    pub end_s: f64,
    /// Text only.
    pub tokens: Vec<Token>,
}

impl Token {
    pub fn read(context: &WhisperContext, vocabulary: &Vocabulary, choice: Choice) -> Result<Self, AsrError> {
        let id = WhisperTokenId::try_from(choice.token).unwrap_or(WhisperTokenId::MAX);
        let time = choice.token.checked_sub(vocabulary.first_time);
        let bytes = if time.is_some() { vec![] } else { context.token_to_bytes(id).map_err(engine_error)?.to_vec() };
        let time_s = time.map(|steps| steps as f64 / TIMES_PER_S);
        Ok(Self { id, bytes, log_probability: choice.log_probability, time_s, spoken_s: None })
    }
}

impl Heard {
    /// Divides a sequence at its times. `duration_s`: no time lies behind the end of the audio.
    pub fn from_sequence(sequence: Sequence, duration_s: f64) -> Self {
        let mut segments = vec![];
        let (mut start_s, mut text) = (0.0, vec![]);
        for token in sequence.tokens {
            let Some(time_s) = token.time_s else {
                text.push(token);
                continue;
            };
            let time_s = time_s.min(duration_s);
            if !text.is_empty() {
                segments.push(HeardSegment { start_s, end_s: time_s, tokens: std::mem::take(&mut text) });
            }
            start_s = time_s;
        }
        if !text.is_empty() {
            segments.push(HeardSegment { start_s, end_s: duration_s, tokens: text });
        }
        Self::of(segments, sequence.looped)
    }

    /// Reads what `whisper_full` left. Tokens from `first_special` on are control tokens and no text.
    pub fn from_state(state: &WhisperState, first_special: WhisperTokenId, duration_s: f64) -> Self {
        let segments: Vec<HeardSegment> =
            state.as_iter().map(|segment| HeardSegment::read(&segment, first_special, duration_s)).collect();
        let ids: Vec<WhisperTokenId> = segments.iter().flat_map(|s| &s.tokens).map(|t| t.id).collect();
        Self::of(segments, repetition::is_loop(&ids))
    }

    /// `looped`: its tokens show that it went round in circles; its words may do so as well.
    fn of(segments: Vec<HeardSegment>, looped: bool) -> Self {
        let heard = Self { segments, looped };
        Self { looped: looped || repetition::is_refrain(&heard.text()), ..heard }
    }

    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.segments.iter().flat_map(|s| &s.tokens)
    }

    /// Takes note of when each of [`Heard::tokens`] is spoken.
    pub fn set_times(&mut self, times: &[(f64, f64)]) {
        let tokens = self.segments.iter_mut().flat_map(|segment| &mut segment.tokens);
        for (token, time) in tokens.zip(times) {
            token.spoken_s = Some(*time);
        }
    }

    /// Mean natural-log probability of the text's tokens; the lowest there is, if there are none.
    pub fn mean_log_probability(&self) -> f32 {
        mean(self.tokens().map(|t| t.log_probability)).unwrap_or(f32::MIN)
    }

    pub fn text(&self) -> String {
        self.segments.iter().map(|s| text_of(&s.tokens)).collect()
    }
}

impl HeardSegment {
    fn read(segment: &WhisperSegment<'_>, first_special: WhisperTokenId, duration_s: f64) -> Self {
        let seconds = |ticks: i64| (ticks.max(0) as f64 / TICKS_PER_S).min(duration_s);
        let tokens = (0..segment.n_tokens()).filter_map(|index| segment.get_token(index));
        let tokens = tokens.filter(|token| token.token_id() < first_special).map(|token| Token {
            id: token.token_id(),
            bytes: token.to_bytes().unwrap_or_default().to_vec(),
            log_probability: token.token_probability().max(f32::MIN_POSITIVE).ln(),
            time_s: None,
            spoken_s: None,
        });
        Self {
            start_s: seconds(segment.start_timestamp()),
            end_s: seconds(segment.end_timestamp()),
            tokens: tokens.collect(),
        }
    }

    /// None if there is no text in it. `sure`: mean log-probability of the whole note.
    pub fn to_wire(&self, sure: f32) -> Option<Segment> {
        let text = text_of(&self.tokens).trim().to_owned();
        let words = self.words(sure);
        (!text.is_empty()).then(|| Segment {
            start_s: self.start_s,
            end_s: self.end_s,
            text: Private::new(text),
            confidence: mean(words.iter().map(|w| w.confidence)).unwrap_or(0.0),
            words,
        })
    }

    fn words(&self, sure: f32) -> Vec<Word> {
        let characters = |tokens: &[Token]| text_of(tokens).chars().count() as f64;
        let per_character_s = (self.end_s - self.start_s).max(0.0) / characters(&self.tokens).max(1.0);
        let mut start_s = self.start_s;
        // A token that begins with a space begins a word.
        let words = self.tokens.chunk_by(|_, next| next.bytes.first() != Some(&b' '));
        let words = words.filter_map(|tokens| {
            let end_s = start_s + characters(tokens) * per_character_s;
            let even = (std::mem::replace(&mut start_s, end_s), end_s);
            let spoken = tokens.first().and_then(|t| t.spoken_s).zip(tokens.last().and_then(|t| t.spoken_s));
            let (began_s, end_s) = spoken.map_or(even, |((began_s, _), (_, end_s))| {
                (began_s.clamp(self.start_s, self.end_s), end_s.clamp(self.start_s, self.end_s))
            });
            let text = text_of(tokens).trim().to_owned();
            (!text.is_empty()).then(|| Word {
                start_s: began_s,
                end_s,
                text: Private::new(text),
                confidence: confidence::of_word(tokens.iter().map(|t| t.log_probability), sure),
            })
        });
        words.collect()
    }
}

/// Bytes are joined before they are read as text.
fn text_of(tokens: &[Token]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.bytes.iter().copied()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Token {
        Token { id: 1, bytes: bytes.to_vec(), log_probability: -0.7, time_s: None, spoken_s: None }
    }

    fn time(time_s: f64) -> Token {
        Token { id: 100, bytes: vec![], log_probability: -0.1, time_s: Some(time_s), spoken_s: None }
    }

    #[test]
    fn a_character_spread_over_tokens_stays_whole() {
        let segment =
            HeardSegment { start_s: 0.0, end_s: 2.4, tokens: vec![text(b" M\xc3"), text(b"\xbcller"), text(b" hier")] };
        let words = segment.words(-0.2);
        let texts: Vec<&str> = words.iter().map(|w| w.text.expose()).collect();
        assert_eq!(texts, ["Müller", "hier"]);
    }

    #[test]
    fn words_divide_the_time_of_their_segment() {
        let segment = HeardSegment { start_s: 1.0, end_s: 3.0, tokens: vec![text(b" ja"), text(b" gut.."), text(b"")] };
        let words = segment.words(-0.2);
        assert!((words[0].start_s - 1.0).abs() < 1e-9 && (words[1].end_s - 3.0).abs() < 1e-9);
        assert!((words[0].end_s - words[1].start_s).abs() < 1e-9 && words[0].end_s < 2.0);
    }

    #[test]
    fn words_are_spoken_when_somebody_found_out_but_never_outside_their_segment() {
        let segment = HeardSegment { start_s: 1.0, end_s: 3.0, tokens: vec![text(b" ja"), text(b" gut")] };
        let mut heard = Heard { segments: vec![segment], looped: false };
        heard.set_times(&[(0.8, 1.4), (2.2, 3.5)]);
        let words = heard.segments[0].words(-0.2);
        let times: Vec<(f64, f64)> = words.iter().map(|w| (w.start_s, w.end_s)).collect();
        assert_eq!(times, [(1.0, 1.4), (2.2, 3.0)]);
    }

    #[test]
    fn a_sequence_is_divided_at_its_times_and_none_lies_behind_the_end() {
        let tokens = vec![time(0.5), text(b" eins"), time(2.0), time(2.5), text(b" zwei"), time(9.0)];
        let heard = Heard::from_sequence(Sequence { tokens, looped: false }, 4.0);
        let times: Vec<(f64, f64)> = heard.segments.iter().map(|s| (s.start_s, s.end_s)).collect();
        assert_eq!(times, [(0.5, 2.0), (2.5, 4.0)]);
        assert_eq!(heard.text(), " eins zwei");
    }

    #[test]
    fn text_without_a_closing_time_lasts_to_the_end() {
        let heard = Heard::from_sequence(Sequence { tokens: vec![time(0.5), text(b" ja")], looped: true }, 4.0);
        assert!((heard.segments[0].end_s - 4.0).abs() < 1e-9 && heard.looped);
    }

    #[test]
    fn a_segment_without_text_is_none() {
        let empty = HeardSegment { start_s: 0.0, end_s: 1.0, tokens: vec![text(b" ")] };
        assert!(empty.to_wire(0.0).is_none());
    }
}
