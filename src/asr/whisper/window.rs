//! Owns the cutting of a note into what whisper hears at once, and how much of its encoder that takes.
//!
//! whisper was trained on windows of 30 s, padded with silence. A note is shorter than that mostly, and then the
//! encoder is trimmed to it; a longer one is cut where nobody speaks.

use std::ops::Range;

use crate::audio::SAMPLE_RATE_HZ;

/// The window whisper was trained on: 30 s.
pub const POSITIONS_MAX: usize = 1500;
/// Encoder positions a second of audio.
const POSITIONS_PER_S: f64 = 50.0;
/// Positions beyond the end of the audio; fewer make whisper repeat sentences.
const MARGIN_POSITIONS: usize = 64;
const POSITIONS_MIN: usize = 256;
/// whisper.cpp ignores input under 100 ms and is unreliable under a second: shorter notes are padded with silence.
const SAMPLES_MIN: usize = SAMPLE_RATE_HZ as usize * 11 / 10;
/// Longest stretch heard at once. Under 30 s, so that the end of the last word is inside.
const SAMPLES_MAX: usize = SAMPLE_RATE_HZ as usize * 29;
/// A cut leaves at least this much on its left, so that a note is not heard in crumbs.
const SAMPLES_BEFORE_CUT_MIN: usize = SAMPLE_RATE_HZ as usize * 15;
/// A pause is judged by the loudness of a stretch this long: 240 ms, longer than the closure of any consonant.
const PAUSE: usize = SAMPLE_RATE_HZ as usize * 24 / 100;
/// Loudness is taken this often: every 20 ms.
const STEP: usize = SAMPLE_RATE_HZ as usize / 50;

/// Encoder positions for this many samples: the note, a margin, in steps that keep buffers aligned.
pub fn trimmed_positions(samples: usize) -> usize {
    let seconds = samples as f64 / f64::from(SAMPLE_RATE_HZ);
    let needed = (seconds * POSITIONS_PER_S).ceil() as usize + MARGIN_POSITIONS;
    needed.next_multiple_of(64).clamp(POSITIONS_MIN, POSITIONS_MAX)
}

/// `samples`, or, where that is too short for whisper, a copy of it with silence behind.
pub fn long_enough(samples: &[f32]) -> std::borrow::Cow<'_, [f32]> {
    if samples.len() >= SAMPLES_MIN {
        return samples.into();
    }
    let mut padded = samples.to_vec();
    padded.resize(SAMPLES_MIN, 0.0);
    padded.into()
}

/// Cuts a note into stretches of at most 29 s that cover it, in the middle of the quietest pauses. A note that fits is
/// one stretch.
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = SAMPLE_RATE_HZ as usize;

    #[test]
    fn the_window_fits_the_note_and_never_exceeds_what_whisper_was_trained_on() {
        let seconds = |s: usize| trimmed_positions(s * SECOND);
        assert_eq!(seconds(1), POSITIONS_MIN);
        assert_eq!(seconds(7), 448);
        assert_eq!(seconds(30), POSITIONS_MAX);
        assert_eq!(seconds(1200), POSITIONS_MAX);
    }

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

    #[test]
    fn a_note_of_a_moment_is_padded() {
        assert_eq!(long_enough(&[0.1; 10]).len(), SAMPLES_MIN);
        assert_eq!(long_enough(&vec![0.1; 2 * SECOND]).len(), 2 * SECOND);
    }
}
