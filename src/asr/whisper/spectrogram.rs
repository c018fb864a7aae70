//! Owns what whisper's encoder sees of the audio: a logarithmic mel spectrogram.
//!
//! As in Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), and as whisper.cpp
//! computes it, in a tenth of its time: frames of 25 ms every 10 ms, a Hann window, Slaney's mel bands from 0 to 8 kHz,
//! the decimal logarithm of their power, cut 8 below its highest, and scaled.

use std::{f32::consts::PI, ops::Range, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex};

use super::window;
use crate::audio::SAMPLE_RATE_HZ;

/// 25 ms.
const FRAME_SAMPLES: usize = 400;
/// 10 ms: two frames to a position of the encoder.
const HOP_SAMPLES: usize = 160;
/// 30 s.
const FRAMES: usize = 2 * window::POSITIONS_MAX;
const BINS: usize = FRAME_SAMPLES / 2 + 1;
/// Less power than this counts as this.
const POWER_MIN: f32 = 1e-10;
/// Orders of magnitude under the loudest that are told apart.
const DYNAMICS: f32 = 8.0;

/// What is the same for all audio.
pub struct Spectrograph {
    transform: Arc<dyn RealToComplex<f32>>,
    hann: [f32; FRAME_SAMPLES],
    bands: Vec<Band>,
}

/// A triangle of weights over neighbouring bins.
struct Band {
    bins: Range<usize>,
    weights: Vec<f32>,
}

impl std::fmt::Debug for Spectrograph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spectrograph").field("bands", &self.bands.len()).finish_non_exhaustive()
    }
}

impl Spectrograph {
    /// For a model that was trained on so many bands.
    pub fn new(bands: usize) -> Self {
        let hann = std::array::from_fn(|i| 0.5 * (1.0 - (2.0 * PI * i as f32 / FRAME_SAMPLES as f32).cos()));
        let transform = RealFftPlanner::new().plan_fft_forward(FRAME_SAMPLES);
        Self { transform, hann, bands: slaney_bands(bands) }
    }

    pub fn bands(&self) -> usize {
        self.bands.len()
    }

    /// Of 30 s that begin with `samples`, which are silent behind them: for each band from the lowest, 3000 frames.
    pub fn of(&self, samples: &[f32]) -> Vec<f32> {
        let samples = padded(samples);
        let mut input = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut power = [0.0; BINS];
        let silent = POWER_MIN.log10();
        let mut spectrogram = vec![silent; self.bands.len() * FRAMES];
        let mut highest = silent;
        for (frame, start) in (0..=samples.len() - FRAME_SAMPLES).step_by(HOP_SAMPLES).take(FRAMES).enumerate() {
            for ((value, sample), weight) in input.iter_mut().zip(&samples[start..]).zip(&self.hann) {
                *value = sample * weight;
            }
            // It fails only on buffers of another length than its own.
            let done = self.transform.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
            debug_assert!(done.is_ok());
            for (power, value) in power.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            for (band, row) in self.bands.iter().zip(spectrogram.chunks_exact_mut(FRAMES)) {
                let sum: f32 = power[band.bins.clone()].iter().zip(&band.weights).map(|(p, w)| p * w).sum();
                row[frame] = sum.max(POWER_MIN).log10();
                highest = highest.max(row[frame]);
            }
        }
        for value in &mut spectrogram {
            *value = (value.max(highest - DYNAMICS) + 4.0) / 4.0;
        }
        spectrogram
    }
}

/// `samples` with what frames at their ends reach beyond them: before the first they run backwards, behind the last is
/// silence.
fn padded(samples: &[f32]) -> Vec<f32> {
    const BEYOND: usize = FRAME_SAMPLES / 2;
    let mirrored = (1..=BEYOND).rev().map(|index| samples.get(index).copied().unwrap_or(0.0));
    mirrored.chain(samples.iter().copied()).chain([0.0; FRAME_SAMPLES]).collect()
}

/// Triangles of equal area, as wide as they are apart on Slaney's mel scale (M. Slaney, "Auditory Toolbox", 1998): each
/// begins at the peak of the one before and ends at the peak of the next.
fn slaney_bands(count: usize) -> Vec<Band> {
    let nyquist_hz = f64::from(SAMPLE_RATE_HZ) / 2.0;
    let highest_mel = mel(nyquist_hz);
    let edges_hz: Vec<f64> = (0..count + 2).map(|i| hertz(highest_mel * i as f64 / (count + 1) as f64)).collect();
    let bin_hz = nyquist_hz / (BINS - 1) as f64;
    edges_hz
        .array_windows()
        .map(|&[start_hz, peak_hz, end_hz]| {
            let weight = |bin: usize| {
                let hz = bin as f64 * bin_hz;
                let rise = (hz - start_hz) / (peak_hz - start_hz);
                let fall = (end_hz - hz) / (end_hz - peak_hz);
                rise.min(fall).max(0.0) * 2.0 / (end_hz - start_hz)
            };
            let first = (start_hz / bin_hz).ceil() as usize;
            let bins = first..((end_hz / bin_hz).floor() as usize + 1).clamp(first, BINS);
            Band { weights: bins.clone().map(|bin| weight(bin) as f32).collect(), bins }
        })
        .collect()
}

/// Linear up to here, logarithmic above.
const BREAK_HZ: f64 = 1000.0;
const LINEAR_HZ_PER_MEL: f64 = 200.0 / 3.0;
/// 27 mel to a factor of 6.4.
const LOG_STEP: f64 = 1.856_297_990_365_626_3 / 27.0;

fn mel(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz / LINEAR_HZ_PER_MEL } else { BREAK_HZ / LINEAR_HZ_PER_MEL + (hz / BREAK_HZ).ln() / LOG_STEP }
}

fn hertz(mel: f64) -> f64 {
    let break_mel = BREAK_HZ / LINEAR_HZ_PER_MEL;
    if mel < break_mel { mel * LINEAR_HZ_PER_MEL } else { BREAK_HZ * ((mel - break_mel) * LOG_STEP).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bands_are_those_that_whisper_was_trained_with() {
        let bands = slaney_bands(80);
        // The first weights of OpenAI's file of filters.
        assert_eq!(bands[0].bins.start.max(1), 1);
        let first = bands[0].weights[1 - bands[0].bins.start];
        assert!((first - 0.024_862_59).abs() < 1e-6, "{first}");
        assert!(bands.iter().all(|band| band.bins.end <= BINS && !band.bins.is_empty()));
        let area = |band: &Band| band.weights.iter().sum::<f32>() * 40.0;
        assert!(bands[60..].iter().all(|band| (area(band) - 1.0).abs() < 0.1));
    }

    #[test]
    fn a_tone_lights_up_its_band_and_silence_none() {
        let spectrograph = Spectrograph::new(80);
        let tone: Vec<f32> = (0..16_000).map(|i| (2.0 * PI * 1000.0 * i as f32 / 16_000.0).sin()).collect();
        let spectrogram = spectrograph.of(&tone);
        let at = |band: usize, frame: usize| spectrogram[band * FRAMES + frame];
        let loudest = (0..80).max_by(|&a, &b| at(a, 50).total_cmp(&at(b, 50))).unwrap();
        assert!(slaney_bands(80)[loudest].bins.contains(&25), "1 kHz is the 25th bin");
        assert!(at(loudest, FRAMES - 1) < at(loudest, 50), "silent behind the end");
        let silence = spectrograph.of(&vec![0.0; 16_000]);
        assert!(silence.iter().all(|&value| (value - silence[0]).abs() < 1e-6));
    }

    #[test]
    fn any_length_has_thirty_seconds() {
        let spectrograph = Spectrograph::new(128);
        for samples in [0, 1, 399, 480_000, 500_000] {
            assert_eq!(spectrograph.of(&vec![0.1; samples]).len(), 128 * FRAMES);
        }
    }
}
