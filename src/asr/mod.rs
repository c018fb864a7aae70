//! Owns speech recognition: the seam to engines, the pool that bounds them, and the judgement of what they return.
//!
//! * [`pool`]: N engines on N threads; the one place where blocking work runs.
//! * [`stretches`]: long notes are heard in pieces; [`long`] has each of them wait its turn.
//! * [`whisper`]: whisper.cpp through whisper-rs, and the only user of it.
//! * [`stepped`]: two engines in one, the smaller one for when too many notes wait.
//! * [`scripted`]: an engine that says what a test tells it to.
//! * [`trust`]: is this transcript believable? [`phantom`] knows the phrases that recognisers invent.

pub mod long;
mod phantom;
pub mod pool;
pub mod scripted;
pub mod stepped;
pub mod stretches;
pub mod trust;
pub mod whisper;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    audio::Pcm,
    event::{Reason, processed::Transcript},
    outcome::Disposition,
};

/// How speech is recognised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of a speech model from `sprachpost models list`.
    pub model: String,
    /// Words or speed: what counts more?
    pub profile: Profile,
    /// Notes worked on at the same time; 0 means one a processor core.
    pub slots: usize,
    /// Threads within one note. One is best for throughput: with more, they wait for each other.
    pub threads_per_slot: usize,
    /// Recognition of a note is abandoned after this many seconds for each second of audio, …
    pub time_limit_per_audio_s: f64,
    /// … but never before this many seconds, …
    pub time_limit_s_min: f64,
    /// … and always after this many. Below the broker's `consumer_timeout`, or it takes the note back meanwhile.
    pub time_limit_s_max: f64,
    /// Find out when each word is spoken, from where the model looks for it, at 8 % more processor time with `fast`.
    /// Otherwise the time of a segment is divided among its words by their length.
    pub word_times: bool,
    /// A note of more than 29 s is heard in pieces. Each of them lets shorter notes go first that arrive within so
    /// many seconds.
    pub long_patience_s: f64,
    /// When is a transcript believed?
    pub trust: trust::Config,
}

/// How much work goes into a note.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// One cheap pass; heard again only if it went round in circles.
    Fast,
    /// One cheap pass, and a careful one over what is in doubt.
    #[default]
    Balanced,
    /// The careful pass for everything.
    Accurate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: "whisper-base-q8_0".to_owned(),
            profile: Profile::default(),
            slots: 0,
            threads_per_slot: 1,
            time_limit_per_audio_s: 4.0,
            time_limit_s_min: 60.0,
            time_limit_s_max: 1500.0,
            word_times: false,
            long_patience_s: 15.0,
            trust: trust::Config::default(),
        }
    }
}

impl Config {
    /// How long recognition of this much audio may take.
    #[must_use]
    pub fn time_limit(&self, audio_s: f64) -> Duration {
        let limit_s = (audio_s * self.time_limit_per_audio_s).clamp(self.time_limit_s_min, self.time_limit_s_max);
        Duration::from_secs_f64(limit_s)
    }
}

/// A speech recogniser. One instance works on one note at a time; the pool owns several.
pub trait Transcriber: Send {
    /// Recognises one stretch of audio, of at most [`stretches::SAMPLES_MAX`] samples, with nothing carried over from
    /// the one before. Blocks, and gives up soon after [`Hints::limit`] says so.
    ///
    /// # Errors
    /// [`AsrError`] says whether another attempt can help.
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError>;
}

/// What is known about a note before anybody listened to it.
#[derive(Debug, Clone)]
pub struct Hints {
    /// ISO 639-1: given by the note or pinned by the tenant; detected where none.
    pub language: Option<String>,
    /// Detection chooses among these; empty means any.
    pub languages_accepted: Vec<String>,
    pub profile: Profile,
    pub effort: Effort,
    /// The tenant's own words, the most important first.
    pub glossary: Vec<String>,
    pub limit: Limit,
}

/// How much work may go into this note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// As much as the profile asks for.
    #[default]
    Usual,
    /// The cheap pass alone, because too many others wait.
    Reduced,
    /// Another, smaller model, for the same reason.
    SmallerModel,
}

impl Effort {
    /// The profile to work by where this is the `usual` one.
    #[must_use]
    pub fn profile(self, usual: Profile) -> Profile {
        match self {
            Self::Usual | Self::SmallerModel => usual,
            Self::Reduced => Profile::Fast,
        }
    }
}

/// When to give up: at a deadline, or when nobody waits for the result any more.
#[derive(Debug, Clone)]
pub struct Limit {
    started: Instant,
    duration: Duration,
    cancelled: Arc<AtomicBool>,
}

impl Limit {
    #[must_use]
    pub fn after(duration: Duration, cancelled: Arc<AtomicBool>) -> Self {
        Self { started: Instant::now(), duration, cancelled }
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.started.elapsed() >= self.duration
    }

    /// The error that says why it was over.
    #[must_use]
    pub fn error(&self) -> AsrError {
        if self.cancelled.load(Ordering::Relaxed) {
            AsrError::Cancelled
        } else {
            AsrError::TimedOut { limit_s: self.duration.as_secs_f64() }
        }
    }
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
    #[error("the recogniser failed ({0})")]
    Engine(String),
    #[error("recognition took longer than its limit of {limit_s:.0} s")]
    TimedOut { limit_s: f64 },
    #[error("recognition was abandoned because the worker stops")]
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
