//! Owns the data of the terminal event, `de.sprachpost.voice-note.processed.v1`: exactly one a note, whatever happened.
//!
//! Within v1 these types only grow: new fields are optional, new enum words are documented in the changelog.
//! Times within audio are seconds from its start, confidences run from 0 to 1.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use super::understanding::{
    Call, CallTime, ContactChannel, ContactPreferences, EarlierContact, Entity, Ground, Intent, PartOfDay, Sentiment,
    Understanding, Urgency, UrgencyLevel,
};
use super::{Drafting, Reason};
use crate::{
    backlog::Relief,
    note::{Channel, NoteId, Recording, Tenant},
    private::Private,
};

/// What became of one voice note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Processed {
    pub note_id: NoteId,
    /// None where the message could not be read that far.
    pub tenant: Option<Tenant>,
    pub channel: Option<Channel>,
    pub message_id: Option<String>,
    pub conversation: Option<Private>,
    pub ticket: Option<String>,
    pub sender: Option<Private>,
    pub sent_at: Option<Timestamp>,
    pub reply_window_ends_at: Option<Timestamp>,

    pub outcome: OutcomeKind,
    /// None exactly if the outcome is `completed`.
    pub reason: Option<Reason>,
    /// One sentence for people about the reason. It never repeats what the customer said.
    pub detail: Option<String>,

    pub audio: Option<AudioInfo>,
    /// Where the audio can be fetched again; absent where it travelled inside the note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    pub transcript: Option<Transcript>,
    pub understanding: Option<Understanding>,
    pub reply: Option<Reply>,
    /// Set where a language model was asked to rephrase the suggestion: whose words it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafting: Option<Drafting>,
    pub route: Option<Route>,
    pub follow_up: Option<FollowUp>,

    /// Set where the note got less than usual because too many others waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relief: Option<Relief>,
    pub timings_ms: Timings,
    /// Which attempt this is the result of, from 1.
    #[schemars(range(min = 1))]
    pub attempt: u32,
    /// How often people had sent the note back to work from the dead letters when it was answered; absent for 0. Each
    /// replay ends in an event of its own, with an id of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replay: u32,
    /// Name of the worker that produced the result.
    pub worker: String,
    /// Version of the software that produced the result.
    pub software: String,
}

impl Processed {
    /// The event of the same note for when this one has more bytes than the broker takes: nothing in it is long. What
    /// was not answered anyway keeps its reason.
    #[must_use]
    pub fn too_large(&self) -> Self {
        const SHORT_BYTES: usize = 1000;
        let (outcome, reason, detail) = if self.outcome == OutcomeKind::Completed {
            let detail = "the note was understood, but the result is larger than the broker takes";
            (OutcomeKind::Failed, Some(Reason::ResultTooLarge), Some(detail.to_owned()))
        } else {
            (self.outcome, self.reason, self.detail.clone())
        };
        let short = |text: &Option<Private>| text.clone().filter(|text| text.expose().len() <= SHORT_BYTES);
        Self {
            conversation: short(&self.conversation),
            sender: short(&self.sender),
            recording: self.recording.clone().filter(|recording| recording.bytes() <= SHORT_BYTES),
            ticket: self.ticket.clone().filter(|ticket| ticket.len() <= SHORT_BYTES),
            message_id: self.message_id.clone().filter(|id| id.len() <= SHORT_BYTES),
            outcome,
            reason,
            detail,
            transcript: None,
            understanding: None,
            reply: Some(Reply::Abstention { reason: Abstained::NothingUnderstood }),
            drafting: None,
            route: None,
            follow_up: None,
            ..self.clone()
        }
    }
}

/// How a note ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// There is a transcript that can be trusted.
    Completed,
    /// Nobody speaks in it.
    NoSpeech,
    /// Somebody speaks, but what was recognised cannot be trusted.
    Unintelligible,
    /// The note cannot be processed and never will be.
    Rejected,
    /// All attempts are used up; the note lies with the dead letters.
    Failed,
}

impl OutcomeKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NoSpeech => "no_speech",
            Self::Unintelligible => "unintelligible",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// What the audio was found to be, by content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AudioInfo {
    /// For example `ogg`, `mp4`, `wav`.
    pub container: String,
    /// For example `opus`, `aac`, `pcm_s16le`.
    pub codec: String,
    /// Length of what was decoded, whatever the header says.
    pub duration_s: f64,
    /// Hex digest of the bytes as they were fetched.
    pub sha256: String,
    /// True if a part of the audio was missing or damaged and only the rest was decoded.
    #[serde(default)]
    pub partial: bool,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transcript {
    pub text: Private,
    /// ISO 639-1 code.
    pub language: String,
    /// Probability of the language; 1 where it was given.
    pub language_confidence: f32,
    /// Mean over segments, weighted by their length in tokens.
    pub confidence: f32,
    pub segments: Vec<Segment>,
    /// The model file that recognised it, for example `whisper-base-q8_0`.
    pub model: String,
}

/// A stretch of speech with its time in the audio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segment {
    pub start_s: f64,
    pub end_s: f64,
    pub text: Private,
    pub confidence: f32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// One word with its time in the audio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Word {
    pub start_s: f64,
    pub end_s: f64,
    pub text: Private,
    pub confidence: f32,
}

/// What could be answered: never sent by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// A text from the playbook, filled with what was really said.
    Suggestion {
        text: Private,
        language: String,
        /// `<intent>.<template>`
        template: String,
        /// Kinds of the entities that the text uses.
        facts: Vec<String>,
    },
    /// A question back, because a fact is missing that the answer needs.
    Question {
        text: Private,
        language: String,
        template: String,
        /// Kinds of the entities that are asked for.
        missing: Vec<String>,
    },
    /// No suggestion, and why.
    Abstention { reason: Abstained },
}

/// Why there is no suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Abstained {
    /// There is no transcript that can be trusted.
    NothingUnderstood,
    /// The note is none of the playbook's intents, or it is not sure which.
    IntentUnsure,
    /// The note holds more than one request.
    SeveralIntents,
    /// The intent has no template.
    NoTemplate,
    /// The intent has no template in the customer's language.
    NoTemplateInLanguage,
    /// A slot of the template has no fact that was really said, and no question is configured.
    FactMissing,
    /// The playbook leaves this intent to people.
    LeftToPeople,
    /// The text would contradict the note: the matter is denied or settled in it, or how the customer wants to be reached
    /// is another way, or not said.
    Contradicted,
    /// The channel has no room for the text, and the playbook no shorter one.
    TooLong,
}

/// Where the note belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// A team of the playbook.
    pub team: Option<String>,
    /// True if the playbook's escalation applies.
    pub escalate: bool,
    /// Which of the playbook's escalations that is, by name; its grounds are among those of the urgency. Absent where the
    /// intent itself is escalated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<String>,
}

/// When to ask again how things stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FollowUp {
    pub due_at: Timestamp,
    /// The channel's message template, by name, to be used if the channel's reply window is over by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Milliseconds spent, by stage; none where the stage was not reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// From the moment the note was queued to the start of this attempt.
    pub queue: Option<u64>,
    pub fetch: Option<u64>,
    pub decode: Option<u64>,
    pub transcribe: Option<u64>,
    pub understand: Option<u64>,
    /// Waiting for a language model's draft; absent where none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<u64>,
    /// This attempt from start to end, without the queue.
    pub total: u64,
}

impl Processed {
    /// `processed.<tenant>.<channel>.<outcome>.<language>.<intent>.<urgency>`; unknown parts are `none`.
    #[must_use]
    pub fn routing_key(&self) -> String {
        self.key_under("processed")
    }

    /// The routing key with another first word.
    pub(super) fn key_under(&self, first: &str) -> String {
        let understanding = self.understanding.as_ref();
        let parts = [
            self.tenant.as_ref().map(Tenant::as_str),
            self.channel.as_ref().map(Channel::as_str),
            Some(self.outcome.as_str()),
            self.transcript.as_ref().map(|t| t.language.as_str()),
            understanding.and_then(|u| u.intent.as_ref()).map(|i| i.name.as_str()),
            understanding.map(|u| u.urgency.level.as_str()),
        ];
        parts.into_iter().fold(first.to_owned(), |key, part| key + "." + part.unwrap_or("none"))
    }

    /// The id of this event: the same on every redelivery, and another one for each replay.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        self.note_id.event_id_of_replay(super::envelope::PROCESSED_V1, self.replay)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
