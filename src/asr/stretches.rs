//! Owns the cutting of a long note into stretches that an engine hears at once, and the joining of what it heard.
//!
//! A stretch is heard on its own, with nothing carried over from the one before but the language, so that stretches
//! can be heard at the same time and a repetition cannot carry itself on.

use std::ops::Range;

use super::{AsrError, Hints, Recognised, Transcriber};
use crate::{
    audio::{Pcm, SAMPLE_RATE_HZ},
    event::processed::Transcript,
    private::Private,
};

/// Longest stretch heard at once. Under 30 s, so that the end of the last word is inside.
pub const SAMPLES_MAX: usize = SAMPLE_RATE_HZ as usize * 29;
/// A cut leaves at least this much on its left, so that a note is not heard in crumbs.
const SAMPLES_BEFORE_CUT_MIN: usize = SAMPLE_RATE_HZ as usize * 15;
/// A pause is judged by the loudness of a stretch this long: 240 ms, longer than the closure of any consonant.
const PAUSE: usize = SAMPLE_RATE_HZ as usize * 24 / 100;
/// Loudness is taken this often: every 20 ms.
const STEP: usize = SAMPLE_RATE_HZ as usize / 50;

/// Cuts a note into stretches of at most 29 s that cover it, in the middle of the quietest pauses. A note that fits is
/// one stretch.
#[must_use]
pub fn cut(samples: &[f32]) -> Vec<Range<usize>> {
    let mut stretches = Vec::with_capacity(samples.len() / SAMPLES_BEFORE_CUT_MIN + 1);
    let mut start = 0;
    while samples.len() - start > SAMPLES_MAX {
        // What is left after the cut must not be a crumb either.
        let latest = SAMPLES_MAX.min(samples.len() - start - SAMPLE_RATE_HZ as usize);
        let end = start + quietest(&samples[start..start + latest], SAMPLES_BEFORE_CUT_MIN);
        stretches.push(start..end);
        start = end;
    }
    stretches.push(start..samples.len());
    stretches
}

/// The middle of the quietest stretch of [`PAUSE`] samples at or after `from`; of equally quiet ones the last.
fn quietest(samples: &[f32], from: usize) -> usize {
    let energies: Vec<f32> =
        samples[from..].chunks_exact(STEP).map(|chunk| chunk.iter().map(|s| s * s).sum::<f32>()).collect();
    let steps = PAUSE / STEP;
    let loudness = energies.windows(steps).map(|pause| pause.iter().sum::<f32>());
    let (index, _) = loudness
        .enumerate()
        .fold((0, f32::INFINITY), |best, (index, loudness)| if loudness <= best.1 { (index, loudness) } else { best });
    from + index * STEP + PAUSE / 2
}

/// One stretch of a note, as audio of its own.
#[must_use]
pub fn part(pcm: &Pcm, stretch: &Range<usize>) -> Pcm {
    Pcm(pcm.0[stretch.clone()].to_vec())
}

/// Hears all of a note, one stretch after the other.
///
/// # Errors
/// The first of the engine's errors.
pub fn transcribe(engine: &mut dyn Transcriber, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
    let stretches = cut(&pcm.0);
    if let [_] = stretches.as_slice() {
        return engine.transcribe(pcm, hints);
    }
    let (mut note, mut hints) = (Joined::default(), hints.clone());
    for stretch in stretches {
        let recognised = engine.transcribe(&part(pcm, &stretch), &hints)?;
        note.append(recognised, stretch.start);
        hints.language = note.language().or(hints.language);
    }
    note.into_recognised()
}

/// What was heard of a note so far.
#[derive(Debug, Default)]
pub struct Joined {
    so_far: Option<Recognised>,
    /// Seconds of audio with words, for the mean over what was said.
    spoken_s: f64,
}

impl Joined {
    /// Adds what was heard in the stretch that begins at sample `start`.
    pub fn append(&mut self, mut next: Recognised, start: usize) {
        let offset_s = start as f64 / f64::from(SAMPLE_RATE_HZ);
        for segment in &mut next.transcript.segments {
            segment.start_s += offset_s;
            segment.end_s += offset_s;
            for word in &mut segment.words {
                word.start_s += offset_s;
                word.end_s += offset_s;
            }
        }
        let next_s: f64 = next.transcript.segments.iter().map(|s| s.end_s - s.start_s).sum();
        self.so_far = Some(match self.so_far.take() {
            // The language of a note is that of its first stretch with words; nobody speaks in it only if in none.
            Some(before) if self.spoken_s > 0.0 => join(before, self.spoken_s, next, next_s),
            Some(before) => Recognised { repetition: before.repetition || next.repetition, ..next },
            None => next,
        });
        self.spoken_s += next_s;
    }

    /// The note's language, once somebody said something.
    #[must_use]
    pub fn language(&self) -> Option<String> {
        let recognised = self.so_far.as_ref().filter(|_| self.spoken_s > 0.0)?;
        Some(recognised.transcript.language.clone())
    }

    /// The note as a whole.
    ///
    /// # Errors
    /// If nothing was appended.
    pub fn into_recognised(self) -> Result<Recognised, AsrError> {
        self.so_far.ok_or_else(|| AsrError::Engine("a note without a stretch".to_owned()))
    }
}

/// `before_s`, `next_s`: seconds of speech in each, which weigh their means.
fn join(before: Recognised, before_s: f64, next: Recognised, next_s: f64) -> Recognised {
    let share = (next_s / (before_s + next_s)) as f32;
    let mean = |a: f32, b: f32| if share > 0.0 { a * (1.0 - share) + b * share } else { a };
    let (one, other) = (before.transcript, next.transcript);
    let texts = [one.text.expose(), other.text.expose()].map(str::trim);
    let text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    Recognised {
        transcript: Transcript {
            text: Private::new(text),
            confidence: mean(one.confidence, other.confidence),
            segments: one.segments.into_iter().chain(other.segments).collect(),
            language: one.language,
            language_confidence: one.language_confidence,
            model: one.model,
        },
        no_speech_probability: before.no_speech_probability.min(next.no_speech_probability),
        mean_log_probability: mean(before.mean_log_probability, next.mean_log_probability),
        repetition: before.repetition || next.repetition,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::processed::Segment;

    const SECOND: usize = SAMPLE_RATE_HZ as usize;

    #[test]
    fn a_note_that_fits_is_not_cut() {
        assert_eq!(cut(&vec![0.5; 29 * SECOND]), vec![0..29 * SECOND]);
        assert_eq!(cut(&[]), vec![0..0]);
    }

    #[test]
    fn a_long_note_is_cut_in_its_pauses_and_nothing_is_lost() {
        let mut samples = vec![0.5; 70 * SECOND];
        samples[20 * SECOND..20 * SECOND + SECOND / 2].fill(0.0);
        samples[41 * SECOND..41 * SECOND + SECOND / 2].fill(0.0);
        let stretches = cut(&samples);
        assert_eq!(stretches.len(), 3);
        assert!((20 * SECOND..=20 * SECOND + SECOND / 2).contains(&stretches[0].end), "{stretches:?}");
        assert!((41 * SECOND..=41 * SECOND + SECOND / 2).contains(&stretches[1].end), "{stretches:?}");
        assert_eq!(stretches[2].end, samples.len());
        assert!(stretches.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn a_note_without_a_pause_is_cut_all_the_same() {
        let stretches = cut(&vec![0.5; 1200 * SECOND]);
        assert!(stretches.iter().all(|s| s.len() <= SAMPLES_MAX && s.len() >= SECOND), "{stretches:?}");
        assert_eq!(stretches.iter().map(ExactSizeIterator::len).sum::<usize>(), 1200 * SECOND);
    }

    fn heard(text: &str, language: &str, duration_s: f64) -> Recognised {
        let segment =
            Segment { start_s: 0.0, end_s: duration_s, text: Private::new(text), confidence: 0.9, words: vec![] };
        Recognised {
            transcript: Transcript {
                text: Private::new(text),
                language: language.to_owned(),
                language_confidence: 0.9,
                confidence: 0.9,
                segments: if text.is_empty() { vec![] } else { vec![segment] },
                model: "m".to_owned(),
            },
            no_speech_probability: 0.1,
            mean_log_probability: -0.2,
            repetition: false,
        }
    }

    #[test]
    fn stretches_become_one_note_with_times_of_the_whole() {
        let mut note = Joined::default();
        note.append(heard("", "en", 0.0), 0);
        assert_eq!(note.language(), None);
        note.append(heard("Guten Tag", "de", 2.0), 20 * SECOND);
        assert_eq!(note.language().as_deref(), Some("de"));
        let unsure = Recognised { mean_log_probability: -1.2, ..heard("und Tschüss", "de", 6.0) };
        note.append(unsure, 40 * SECOND);
        note.append(heard("", "de", 0.0), 60 * SECOND);
        let whole = note.into_recognised().unwrap();
        assert_eq!(whole.transcript.text.expose(), "Guten Tag und Tschüss");
        let starts: Vec<f64> = whole.transcript.segments.iter().map(|s| s.start_s).collect();
        assert_eq!(starts, [20.0, 40.0]);
        assert!((whole.mean_log_probability - -0.95).abs() < 1e-6, "{}", whole.mean_log_probability);
    }

    #[test]
    fn a_note_without_words_is_one_too() {
        let mut note = Joined::default();
        note.append(Recognised { repetition: true, ..heard("", "de", 0.0) }, 0);
        note.append(heard("", "en", 0.0), SECOND);
        let whole = note.into_recognised().unwrap();
        assert!(whole.repetition && whole.transcript.text.expose().is_empty());
        assert!(Joined::default().into_recognised().is_err());
    }
}
