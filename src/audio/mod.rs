//! Owns the way from "where the audio is" to samples that a recogniser takes.
//!
//! * [`fetch`]: bytes from wherever a note points to, within limits.
//! * [`decode`]: container and codec found by content, decoded within limits; the only user of symphonia.
//! * [`resample`]: any rate to 16 kHz.
//! * [`speech`]: does anybody speak at all?
//! * [`pauses`]: long silences are shortened before anybody listens.

pub mod decode;
pub mod fetch;
pub mod pauses;
pub mod resample;
pub mod speech;

use crate::event::processed::AudioInfo;

/// Samples a second that recognisers take.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Decoded audio: mono, 16 kHz, f32 within -1..=1. `Debug` shows its length only.
#[derive(Clone, PartialEq, Default)]
pub struct Pcm(pub Vec<f32>);

impl Pcm {
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        self.0.len() as f64 / f64::from(SAMPLE_RATE_HZ)
    }
}

impl std::fmt::Debug for Pcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pcm({:.2} s)", self.duration_s())
    }
}

/// What decoding yields.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub pcm: Pcm,
    pub info: AudioInfo,
}
