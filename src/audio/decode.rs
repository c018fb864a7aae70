//! Owns the way from a file's bytes to 16 kHz mono samples, whatever a messenger sends; the only user of symphonia.
//!
//! Container and codec are found by content. Every limit holds while decoding and is judged by what was really
//! decoded: a header may claim what it likes. Damaged audio yields what can still be decoded and is marked as partial.
//! This module knows nothing of where bytes come from, nor of speech.
//!
//! [`decode`] blocks for as long as decoding takes (at most [`Config::decode_s_max`]): call it on a thread that may.

mod intact;
mod job;
mod opus;
mod reader;
mod sink;
mod sniff;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::{job::Job, reader::Deadline, sniff::Found};
use super::{Decoded, resample::ResampleError};
use crate::{
    event::{Reason, processed::AudioInfo},
    hex::hex,
    outcome::Disposition,
};

/// Limits on one note's audio. None of them is judged by what a header claims.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes of a file; a larger one is refused before it is looked at.
    pub bytes_max: u64,
    /// Seconds of audio; decoding stops there and the note is refused. A second takes 64 kB of memory.
    pub duration_s_max: u32,
    /// Samples over all channels, before the conversion to 16 kHz mono: what a file of a high rate and many
    /// channels costs in work.
    pub decoded_samples_max: u64,
    /// Seconds that decoding may take.
    pub decode_s_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, duration_s_max: 1_800, decoded_samples_max: 400_000_000, decode_s_max: 60 }
    }
}

/// Why audio could not be decoded. Trying again never helps. No text carries anything of what was said.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    #[error("the audio is empty")]
    Empty,
    #[error("this is {found}, not an audio container that is known here")]
    UnsupportedContainer { found: &'static str },
    #[error("the audio is {codec} in {container}, which cannot be decoded here")]
    UnsupportedCodec { container: &'static str, codec: String },
    #[error("the audio is damaged beyond use: {what}")]
    Corrupt { what: String },
    #[error("the audio has {bytes} bytes; audio.bytes_max is {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error("the audio lasts longer than audio.duration_s_max, {duration_s_max} s")]
    TooLong { duration_s_max: u32 },
    #[error("the audio has more samples than audio.decoded_samples_max, {decoded_samples_max}")]
    TooManySamples { decoded_samples_max: u64 },
    #[error("decoding took longer than audio.decode_s_max, {decode_s_max} s")]
    TimeExceeded { decode_s_max: u32 },
}

impl DecodeError {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Empty
            | Self::UnsupportedContainer { .. }
            | Self::UnsupportedCodec { .. }
            | Self::Corrupt { .. }
            | Self::TooLarge { .. }
            | Self::TooLong { .. }
            | Self::TooManySamples { .. }
            | Self::TimeExceeded { .. } => Disposition::Fail,
        }
    }

    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Empty => Reason::EmptyAudio,
            Self::UnsupportedContainer { .. } => Reason::UnsupportedContainer,
            Self::UnsupportedCodec { .. } => Reason::UnsupportedCodec,
            Self::Corrupt { .. } => Reason::CorruptAudio,
            Self::TooLarge { .. } => Reason::AudioTooLarge,
            Self::TooLong { .. } | Self::TooManySamples { .. } => Reason::AudioTooLong,
            Self::TimeExceeded { .. } => Reason::DecodeTimeExceeded,
        }
    }

    fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }
}

impl From<ResampleError> for DecodeError {
    fn from(error: ResampleError) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// Decodes a whole file to 16 kHz mono.
pub fn decode(bytes: &[u8], limits: &Config) -> Result<Decoded, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() as u64 > limits.bytes_max {
        return Err(DecodeError::TooLarge { bytes: bytes.len() as u64, bytes_max: limits.bytes_max });
    }
    let container = match sniff::identify(bytes) {
        Found::Container(container) => container,
        Found::Codec { container, codec } => {
            return Err(DecodeError::UnsupportedCodec { container, codec: codec.to_owned() });
        }
        Found::Other(found) => return Err(DecodeError::UnsupportedContainer { found }),
    };
    let intact = intact::is_intact(container, bytes);
    let mut job = Job { bytes, container, limits, deadline: Deadline::after(limits.decode_s_max), seekable: intact };
    let heard = match job.run() {
        // Some readers find their way through a cut file only in one go, others only by looking at its end.
        Err(DecodeError::Corrupt { .. } | DecodeError::UnsupportedCodec { .. }) if !intact => {
            job.seekable = true;
            job.run()?
        }
        result => result?,
    };
    Ok(Decoded {
        info: AudioInfo {
            container: heard.container.to_owned(),
            codec: heard.codec,
            duration_s: heard.audio.duration_s,
            sha256: hex(&Sha256::digest(bytes)),
            partial: heard.damaged || !intact,
        },
        pcm: heard.audio.pcm,
    })
}

#[cfg(test)]
mod tests;
