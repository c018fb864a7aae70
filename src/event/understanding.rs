//! Owns what the terminal event says of a note's meaning: what is wanted, how urgently, which facts are named, and how the
//! customer wants to be reached.
//!
//! These types grow as those of [`super::processed`] do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;

/// What the customer wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Understanding {
    /// None: the note is none of the playbook's intents, or it is not sure enough which.
    pub intent: Option<Intent>,
    /// What else it may be, most likely first, below the threshold or second in the note.
    pub alternatives: Vec<Intent>,
    pub urgency: Urgency,
    pub entities: Vec<Entity>,
    pub contact: ContactPreferences,
    /// Set where they say that they were in touch about this before: "ich hatte letzte Woche schon angerufen".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_contact: Option<EarlierContact>,
    /// `negative` where the customer says so in words that escalation can be set to (`anger`); else not assessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<Sentiment>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// A name from the playbook.
    pub name: String,
    /// Calibrated: of ten answers at 0.9, nine are right.
    pub confidence: f32,
    /// The sentence that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Private>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Urgency {
    pub level: UrgencyLevel,
    /// The rules and intents that led to the level, by name; empty for a level of `normal` that nothing raised.
    pub grounds: Vec<String>,
    /// The words that decided, in the order of the grounds; nothing for an intent's own urgency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Ground>,
}

/// The words of a note that led to a ground of its urgency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ground {
    /// One of the grounds.
    pub ground: String,
    pub words: Private,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UrgencyLevel {
    Low,
    Normal,
    High,
}

impl UrgencyLevel {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sentiment {
    Negative,
    Neutral,
    Positive,
}

/// A fact that the customer named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entity {
    /// For example `customer_number`, `order_number`, `date`, `amount`.
    pub kind: String,
    /// Normalised: digits without spaces, ISO dates, amounts with currency.
    pub value: Private,
    /// True if a checksum or the playbook's pattern confirmed it.
    pub verified: bool,
    /// Where it is heard; none where the recogniser gave no times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_s: Option<f64>,
}

/// How the customer wants to be reached; none: not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContactPreferences {
    /// False: "ruf mich nicht an". True: "rufen Sie mich bitte zurück".
    pub phone_allowed: Option<bool>,
    /// When and at which number they can be called, where they say so; never beside a `phone_allowed` of false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// "Nur schreiben, bitte."
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub write_only: bool,
    /// The channel that they wish to be answered by: "lieber per Mail".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ContactChannel>,
}

/// What a note says of an earlier contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EarlierContact {
    /// The words that say so.
    pub evidence: Private,
    /// The day that they name with it, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Private>,
    /// The case's number, where the note names a `ticket_number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Private>,
}

/// When and where somebody can be called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// At any of these; empty: not said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<CallTime>,
    /// In figures, as the fact `phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Private>,
}

/// A time for a call, as far as it was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallTime {
    /// ISO 8601: `2026-03-24`. None: on any day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Private>,
    /// Not earlier, `HH:MM`; the same as `until` where one moment was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Private>,
    /// Not later, `HH:MM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Private>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of_day: Option<PartOfDay>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartOfDay {
    Morning,
    Noon,
    Afternoon,
    Evening,
}

/// A way to answer in writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactChannel {
    Email,
    Sms,
    Whatsapp,
    Telegram,
    Signal,
    Letter,
}
