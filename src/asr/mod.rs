//! Owns speech recognition: the seam to engines, the pool that bounds them, and the judgement of what they return.
//!
//! * [`pool`]: N engines on N threads; the one place where blocking work runs.
//! * [`whisper`]: whisper.cpp through whisper-rs, and the only user of it.
//! * [`scripted`]: an engine that says what a test tells it to.
//! * [`trust`]: is this transcript believable?

pub mod pool;
pub mod scripted;
pub mod trust;
pub mod whisper;

use crate::{
    audio::Pcm,
    event::{Reason, processed::Transcript},
    outcome::Disposition,
};

/// A speech recogniser. One instance works on one note at a time; the pool owns several.
pub trait Transcriber: Send {
    /// Recognises one note, with nothing carried over from the one before. Blocks. `pcm` is never empty.
    ///
    /// # Errors
    /// [`AsrError`] says whether another attempt can help.
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError>;
}

/// What is known about a note before anybody listened to it.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// ISO 639-1: given by the note or pinned by the tenant; detected where none.
    pub language: Option<String>,
    /// Detection chooses among these; empty means any.
    pub languages_accepted: Vec<String>,
    /// Set from outside when nobody waits for the result any more.
    pub cancelled: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

/// What an engine heard, before anybody judged it.
#[derive(Debug, Clone)]
pub struct Recognised {
    pub transcript: Transcript,
    /// The engine's own probability that nobody speaks.
    pub no_speech_probability: f32,
    /// Mean natural-log probability of the tokens; above -0.3 is good, below -1 is guesswork.
    pub mean_log_probability: f32,
    /// True if the engine kept repeating itself and could not be brought out of it.
    pub repetition: bool,
}

/// Why recognition gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum AsrError {
    #[error("the recogniser failed: {0}")]
    Engine(String),
    #[error("recognition took longer than its limit of {limit_s} s")]
    TimedOut { limit_s: f64 },
    #[error("recognition was abandoned")]
    Cancelled,
    #[error("the recogniser panicked")]
    Panicked,
}

impl AsrError {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Engine(_) | Self::TimedOut { .. } | Self::Cancelled | Self::Panicked => Disposition::Retry,
        }
    }

    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::TimedOut { .. } => Reason::TranscriptionTimeout,
            Self::Engine(_) | Self::Cancelled | Self::Panicked => Reason::TranscriberFailed,
        }
    }
}
