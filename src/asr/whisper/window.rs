//! Owns how much of whisper's encoder a stretch of audio takes.
//!
//! whisper was trained on windows of 30 s, padded with silence. A note is shorter than that mostly, and then the
//! encoder is trimmed to it.

use crate::audio::SAMPLE_RATE_HZ;

/// The window whisper was trained on: 30 s.
pub const POSITIONS_MAX: usize = 1500;
/// Encoder positions a second of audio.
const POSITIONS_PER_S: f64 = 50.0;
/// Positions beyond the end of the audio; fewer make whisper repeat sentences. More are not worth their price: with 128,
/// 256, 512 and the whole window instead of 64, `fast` took 1.1, 1.2, 1.5 and 2.1 times the processor time for 73 clips, and
/// got 21.8, 21.8, 21.1 and 22.0 % of the words wrong instead of 22.0; `balanced` 20.4 to 20.7 %.
const MARGIN_POSITIONS: usize = 64;
const POSITIONS_MIN: usize = 256;
/// whisper.cpp ignores input under 100 ms and is unreliable under a second: shorter notes are padded with silence.
const SAMPLES_MIN: usize = SAMPLE_RATE_HZ as usize * 11 / 10;
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
    fn a_note_of_a_moment_is_padded() {
        assert_eq!(long_enough(&[0.1; 10]).len(), SAMPLES_MIN);
        assert_eq!(long_enough(&vec![0.1; 2 * SECOND]).len(), 2 * SECOND);
    }
}
