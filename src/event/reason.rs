//! Owns the reasons that a terminal event gives when a note was not understood: stable words for machines, one
//! sentence each for people. Words are only ever added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a note did not end as `completed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    // no_speech
    /// The audio is silent.
    Silence,
    /// There is sound, but nobody speaks: noise, music, tones.
    NoSpeechDetected,

    // unintelligible
    /// Somebody speaks, but the transcript cannot be trusted.
    LowConfidence,
    /// The recogniser repeated itself and did not recover.
    Repetition,
    /// The language spoken is not one that the tenant accepts.
    LanguageNotAccepted,

    // rejected
    /// The message is not an event of this contract.
    MalformedEvent,
    /// The message is a version or type that this worker does not know.
    UnsupportedEvent,
    /// The audio has no bytes, or no samples.
    EmptyAudio,
    /// The bytes are no audio container that is known here.
    UnsupportedContainer,
    /// The container is known, the codec in it cannot be decoded here.
    UnsupportedCodec,
    /// The container or the stream is damaged beyond use.
    CorruptAudio,
    /// The audio has more bytes than `audio.bytes_max`.
    AudioTooLarge,
    /// The audio lasts longer than `audio.duration_s_max`.
    AudioTooLong,
    /// Decoding took longer than `audio.decode_s_max`.
    DecodeTimeExceeded,
    /// Inline audio is not valid base64, or larger than `fetch.inline_bytes_max`.
    InvalidInlineAudio,
    /// The address, path or bucket is not one that the operator allows.
    SourceForbidden,
    /// The source says that there is no such audio, or none any more.
    AudioNotFound,

    // failed, after all attempts
    /// The source of the audio could not be reached.
    AudioUnreachable,
    /// Recognition did not finish within its limit (`asr.time_limit_…`).
    TranscriptionTimeout,
    /// The recogniser broke.
    TranscriberFailed,
    /// The process that worked on the note died, more than once.
    WorkerCrashed,
    /// The broker did not take the result; the note is tried again.
    ResultNotPublished,
    /// The result has more bytes than the broker takes (`broker.message_bytes_max`, or its own limit).
    ResultTooLarge,
    /// Too many notes waited, and the operator has such notes set aside (`worker.backlog`).
    Backlog,
    /// The ticketing system refused the result. Only a dead letter of a bridge says so, never an event.
    TicketRefused,
    /// Something in this program is wrong.
    InternalError,
}

impl Reason {
    /// The word on the wire, for routing, metrics and headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::NoSpeechDetected => "no_speech_detected",
            Self::LowConfidence => "low_confidence",
            Self::Repetition => "repetition",
            Self::LanguageNotAccepted => "language_not_accepted",
            Self::MalformedEvent => "malformed_event",
            Self::UnsupportedEvent => "unsupported_event",
            Self::EmptyAudio => "empty_audio",
            Self::UnsupportedContainer => "unsupported_container",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::CorruptAudio => "corrupt_audio",
            Self::AudioTooLarge => "audio_too_large",
            Self::AudioTooLong => "audio_too_long",
            Self::DecodeTimeExceeded => "decode_time_exceeded",
            Self::InvalidInlineAudio => "invalid_inline_audio",
            Self::SourceForbidden => "source_forbidden",
            Self::AudioNotFound => "audio_not_found",
            Self::AudioUnreachable => "audio_unreachable",
            Self::TranscriptionTimeout => "transcription_timeout",
            Self::TranscriberFailed => "transcriber_failed",
            Self::WorkerCrashed => "worker_crashed",
            Self::ResultNotPublished => "result_not_published",
            Self::ResultTooLarge => "result_too_large",
            Self::Backlog => "backlog",
            Self::TicketRefused => "ticket_refused",
            Self::InternalError => "internal_error",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Reason {
    type Err = serde::de::value::Error;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::deserialize(serde::de::value::StrDeserializer::new(word))
    }
}
