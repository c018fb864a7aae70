//! Owns what a result says about a language model that was asked to rephrase its suggestion: whether the words are the
//! model's, and why not. Words are only ever added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose words the suggestion has. Absent where no model was asked: then they are the playbook's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drafting {
    /// True: the text is the model's, checked against the playbook's. False: it is the playbook's.
    pub used: bool,
    /// Why the playbook's text stands; none exactly if `used`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DraftRefused>,
    /// The model's name as it is configured.
    pub model: String,
}

/// Why a draft was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DraftRefused {
    // There is none.
    /// Other notes were being drafted; nobody waits for that.
    Busy,
    /// The endpoint failed several times in a row and is left alone for a while.
    Paused,
    /// No connection, or the endpoint says that it cannot answer now.
    Unreachable,
    /// It took longer than `reply.draft.total_s_max`.
    TimedOut,
    /// The endpoint refuses the request: its address, its key, or the model's name.
    Denied,
    /// The answer is not of the interface's form, too large, or not finished.
    UnexpectedAnswer,
    /// Drafts cannot be checked in this language.
    LanguageUnsupported,

    // It was refused.
    /// It has no words.
    Empty,
    /// It is longer than the channel takes, or much longer than the template.
    TooLong,
    /// It is much shorter than the template.
    TooShort,
    /// It holds markup, template tags, control or other characters that no reply needs.
    Characters,
    /// It is in another language than the template.
    Language,
    /// It names an address: web, e-mail.
    Link,
    /// It names a number or an amount.
    Number,
    /// It names a day, a time or a period.
    Time,
    /// It promises something: money, speed, certainty.
    Promise,
    /// It addresses the customer otherwise (Sie, du).
    Formality,
    /// It says no where the template does not, or the other way round.
    Negation,
    /// It takes up words of the note that the template does not have.
    FollowsNote,
    /// It holds a name.
    Name,
    /// It holds words that may mean something else.
    Word,
    /// It leaves out something that the template says.
    FactDropped,
}

impl DraftRefused {
    /// The word on the wire and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Paused => "paused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Denied => "denied",
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::LanguageUnsupported => "language_unsupported",
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::TooShort => "too_short",
            Self::Characters => "characters",
            Self::Language => "language",
            Self::Link => "link",
            Self::Number => "number",
            Self::Time => "time",
            Self::Promise => "promise",
            Self::Formality => "formality",
            Self::Negation => "negation",
            Self::FollowsNote => "follows_note",
            Self::Name => "name",
            Self::Word => "word",
            Self::FactDropped => "fact_dropped",
        }
    }
}
