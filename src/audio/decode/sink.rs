//! Owns what becomes of decoded samples: mixed to mono, resampled to 16 kHz, counted against the limits before any
//! memory is spent on them, kept finite and within -1..=1.

use symphonia::core::audio::GenericAudioBufferRef;

use super::{Config, DecodeError};
use crate::audio::{Pcm, SAMPLE_RATE_HZ, resample::Resampler};

/// Frames that are converted at a time: a crafted file may hold all of its audio in one packet.
const SLICE_FRAMES: usize = 1 << 14;

pub(super) struct Sink<'a> {
    limits: &'a Config,
    /// For the rate of the stream that is being heard; chained streams may change it.
    resampler: Option<Resampler>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    out: Vec<f32>,
    samples: u64,
    frames: u64,
    duration_s: f64,
}

/// All that was heard.
pub(super) struct Audio {
    pub pcm: Pcm,
    /// Of the decoded samples, at their own rate.
    pub duration_s: f64,
    /// Decoded samples of one channel.
    pub frames: u64,
}

impl<'a> Sink<'a> {
    pub(super) fn new(limits: &'a Config) -> Self {
        Self {
            limits,
            resampler: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
            out: Vec::new(),
            samples: 0,
            frames: 0,
            duration_s: 0.0,
        }
    }

    pub(super) fn take(&mut self, decoded: &GenericAudioBufferRef<'_>) -> Result<(), DecodeError> {
        let (rate_hz, channels) = (decoded.spec().rate(), decoded.num_planes());
        if decoded.frames() == 0 || channels == 0 {
            return Ok(());
        }
        self.count(decoded.frames() as u64, channels as u64, rate_hz)?;
        let mut resampler = self.resampler_for(rate_hz)?;
        for start in (0..decoded.frames()).step_by(SLICE_FRAMES) {
            let end = decoded.frames().min(start + SLICE_FRAMES);
            decoded.slice(start..end).copy_to_vec_interleaved(&mut self.interleaved);
            self.mono.clear();
            match channels {
                // Of a known number the compiler takes many frames at a time.
                1 => self.mono.extend(self.interleaved.iter().map(|&sample| clean(sample))),
                2 => self.mono.extend(self.interleaved.as_chunks::<2>().0.iter().map(|frame| mixed(frame))),
                _ => self.mono.extend(self.interleaved.chunks_exact(channels).map(mixed)),
            }
            resampler.push(&self.mono, &mut self.out)?;
        }
        self.resampler = Some(resampler);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    pub(super) fn finish(mut self) -> Result<Audio, DecodeError> {
        if let Some(resampler) = self.resampler.take() {
            resampler.finish(&mut self.out)?;
        }
        // The resampler's filter overshoots at full level.
        self.out.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        Ok(Audio { pcm: Pcm(self.out), duration_s: self.duration_s, frames: self.frames })
    }

    fn count(&mut self, frames: u64, channels: u64, rate_hz: u32) -> Result<(), DecodeError> {
        self.frames += frames;
        self.samples += frames * channels;
        self.duration_s += frames as f64 / f64::from(rate_hz.max(1));
        let Config { duration_s_max, decoded_samples_max, .. } = *self.limits;
        let out_max = u64::from(duration_s_max) * u64::from(SAMPLE_RATE_HZ);
        if self.duration_s > f64::from(duration_s_max) || self.out.len() as u64 > out_max {
            return Err(DecodeError::TooLong { duration_s_max });
        }
        if self.samples > decoded_samples_max {
            return Err(DecodeError::TooManySamples { decoded_samples_max });
        }
        Ok(())
    }

    fn resampler_for(&mut self, rate_hz: u32) -> Result<Resampler, DecodeError> {
        match self.resampler.take() {
            Some(resampler) if resampler.rate_hz() == rate_hz => Ok(resampler),
            Some(other) => {
                other.finish(&mut self.out)?;
                Ok(Resampler::new(rate_hz)?)
            }
            None => Ok(Resampler::new(rate_hz)?),
        }
    }
}

/// The mean over channels.
fn mixed(frame: &[f32]) -> f32 {
    clean(frame.iter().sum::<f32>() / frame.len() as f32)
}

/// What is no number is silence: one of them would spoil the whole filter.
fn clean(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}
