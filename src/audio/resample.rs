//! Owns the change of sample rate: mono audio of any rate comes in pieces, 16 kHz goes out; the only user of rubato.
//!
//! It works as a stream, so that memory is bounded by the result and not by what was decoded. It knows nothing of
//! containers, codecs or limits.

use rubato::{
    Async, FixedAsync, Indexing, Resampler as _, SincInterpolationParameters, WindowFunction,
    audioadapter_buffers::direct::{InterleavedSlice, SequentialSlice},
};

use super::SAMPLE_RATE_HZ;

/// Rates that audio really has. Outside of them a header lies, and a filter for such a ratio would be huge.
const RATES_HZ: std::ops::RangeInclusive<u32> = 2_000..=384_000;

/// Length of the filter, in samples of the input. Longer means steeper below 8 kHz.
const FILTER_SAMPLES: usize = 256;

/// Samples that a conversion step takes.
const STEP_SAMPLES: usize = 1_024;

/// Turns one stream of mono samples into 16 kHz. Its output is as long as its input and not delayed.
pub struct Resampler {
    rate_hz: u32,
    /// None where nothing is to be done.
    filter: Option<Async<f32>>,
    pending: Vec<f32>,
    step: Vec<f32>,
    /// Samples that the filter puts in front of the audio, still to be dropped.
    delay: usize,
    taken: u64,
    given: u64,
}

/// Why a stream cannot be resampled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResampleError {
    #[error("no audio has a sample rate of {rate_hz} Hz")]
    Rate { rate_hz: u32 },
    #[error("the resampler refused its input")]
    Step,
}

impl Resampler {
    pub fn new(rate_hz: u32) -> Result<Self, ResampleError> {
        if !RATES_HZ.contains(&rate_hz) {
            return Err(ResampleError::Rate { rate_hz });
        }
        // A windowed sinc, not rubato's transform: that one is compiled anew with every build of this crate, which
        // takes minutes, and resampling is a hundredth of the work on a note either way.
        let parameters = SincInterpolationParameters::new(FILTER_SAMPLES, WindowFunction::BlackmanHarris2);
        let ratio = f64::from(SAMPLE_RATE_HZ) / f64::from(rate_hz);
        let filter = (rate_hz != SAMPLE_RATE_HZ)
            .then(|| Async::new_sinc(ratio, 1.0, &parameters, STEP_SAMPLES, 1, FixedAsync::Input))
            .transpose()
            .map_err(|_| ResampleError::Rate { rate_hz })?;
        let step = filter.as_ref().map_or(0, rubato::Resampler::output_frames_max);
        // Half the filter, in samples of the output, of which the first is the one at hand. rubato's own figure rounds
        // down and forgets that one.
        let delay = filter.as_ref().map_or(0, |_| (FILTER_SAMPLES as f64 / 2.0 * ratio - 1.0).round() as usize);
        Ok(Self { rate_hz, filter, pending: Vec::new(), step: vec![0.0; step], delay, taken: 0, given: 0 })
    }

    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Takes mono samples and appends what they yield to `out`; a fraction of a second may stay inside.
    pub fn push(&mut self, mono: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        self.taken += mono.len() as u64;
        let Some(filter) = &self.filter else {
            out.extend_from_slice(mono);
            return Ok(());
        };
        let wanted = filter.input_frames_next();
        self.pending.extend_from_slice(mono);
        let pending = std::mem::take(&mut self.pending);
        let mut steps = pending.chunks_exact(wanted);
        for step in &mut steps {
            self.step(step, out)?;
        }
        self.pending.extend_from_slice(steps.remainder());
        Ok(())
    }

    /// Appends what is still inside to `out`.
    pub fn finish(mut self, out: &mut Vec<f32>) -> Result<(), ResampleError> {
        if self.filter.is_none() {
            return Ok(());
        }
        let due = (self.taken * u64::from(SAMPLE_RATE_HZ)).div_ceil(u64::from(self.rate_hz));
        let mut rest = std::mem::take(&mut self.pending);
        while self.given < due {
            let before = (self.given, self.delay);
            self.step(&rest, out)?;
            rest.clear();
            if (self.given, self.delay) == before {
                return Err(ResampleError::Step);
            }
        }
        out.truncate(out.len() - (self.given - due) as usize);
        Ok(())
    }

    /// One conversion step; a short `input` is filled up with silence.
    fn step(&mut self, input: &[f32], out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let Some(filter) = &mut self.filter else { return Ok(()) };
        let length = self.step.len();
        let from = SequentialSlice::new(input, 1, input.len()).map_err(|_| ResampleError::Step)?;
        let mut to = InterleavedSlice::new_mut(&mut self.step, 1, length).map_err(|_| ResampleError::Step)?;
        let indexing = Indexing::new().partial_len(input.len());
        let (_, made) = filter.process_into_buffer(&from, &mut to, Some(&indexing)).map_err(|_| ResampleError::Step)?;
        let dropped = self.delay.min(made);
        self.delay -= dropped;
        out.extend_from_slice(&self.step[dropped..made]);
        self.given += (made - dropped) as u64;
        Ok(())
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampler").field("rate_hz", &self.rate_hz).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn sine(rate_hz: u32, frequency_hz: f32, seconds: f32) -> Vec<f32> {
        let step = TAU * frequency_hz / rate_hz as f32;
        (0..(rate_hz as f32 * seconds) as u32).map(|n| 0.5 * (step * n as f32).sin()).collect()
    }

    /// Fed in pieces of a length that divides nothing.
    fn resampled(rate_hz: u32, audio: &[f32]) -> Vec<f32> {
        let mut resampler = Resampler::new(rate_hz).unwrap();
        let mut out = Vec::new();
        for piece in audio.chunks(967) {
            resampler.push(piece, &mut out).unwrap();
        }
        resampler.finish(&mut out).unwrap();
        out
    }

    fn rms(audio: &[f32]) -> f32 {
        (audio.iter().map(|x| x * x).sum::<f32>() / audio.len() as f32).sqrt()
    }

    #[test]
    fn a_tone_keeps_its_pitch_its_level_and_its_place_in_time() {
        for rate_hz in [8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000] {
            let (out, wanted) = (resampled(rate_hz, &sine(rate_hz, 440.0, 1.0)), sine(16_000, 440.0, 1.0));
            assert!(out.len().abs_diff(wanted.len()) <= 1, "{rate_hz} Hz: {} samples", out.len());
            // The edges ring where the tone starts and ends at once.
            let inner = 800..15_200;
            let error: Vec<f32> = inner.clone().map(|n| out[n] - wanted[n]).collect();
            // Half a sample of this tone is 0.03: as near as whole samples get.
            assert!(rms(&error) < 0.031, "{rate_hz} Hz: off by {}", rms(&error));
        }
    }

    #[test]
    fn what_16_khz_cannot_carry_is_removed_and_not_folded_back() {
        for frequency_hz in [9_000.0, 12_000.0, 20_000.0] {
            let out = resampled(48_000, &sine(48_000, frequency_hz, 1.0));
            assert!(rms(&out[800..15_200]) < 0.001, "{frequency_hz} Hz left {}", rms(&out[800..15_200]));
        }
    }

    #[test]
    fn audio_at_16_khz_passes_through_untouched() {
        let tone = sine(16_000, 440.0, 0.3);
        assert_eq!(resampled(16_000, &tone), tone);
    }

    #[test]
    fn very_short_audio_keeps_its_length() {
        for samples in [1_usize, 3, 160, 1_025, 1_026, 1_027] {
            let out = resampled(48_000, &vec![0.1; samples]);
            assert_eq!(out.len(), samples.div_ceil(3), "{samples} samples");
        }
    }

    #[test]
    fn an_impossible_rate_is_refused_before_anything_is_allocated() {
        for rate_hz in [0, 1, 500_000, u32::MAX] {
            assert_eq!(Resampler::new(rate_hz).unwrap_err(), ResampleError::Rate { rate_hz });
        }
        let odd = Resampler::new(47_999).unwrap();
        assert!(odd.step.len() <= 32_000, "a step of {} samples", odd.step.len());
    }
}
