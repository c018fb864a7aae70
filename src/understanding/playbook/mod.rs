//! Owns the playbook: what a contact centre wants its voice notes to be, as one TOML file.
//!
//! A [`Playbook`] that exists is valid: names are unique and fit routing keys, teams exist, templates only use slots
//! that there are. It knows nothing of how intents are recognised or replies are chosen.

mod acknowledgement;
mod hours;
mod problem;
mod raw;
mod template;
mod validate;

use std::{collections::BTreeMap, path::Path};

use jiff::SignedDuration;
use regex::Regex;

pub use acknowledgement::{Acknowledgement, AcknowledgementTexts};
pub use hours::{Hours, WeekHours};
pub use problem::{PlaybookErrors, Problem};
pub use template::{Filled, Template};

use crate::event::processed::UrgencyLevel;

/// The only format there is.
pub const FORMAT_VERSION: u32 = 1;

/// Facts that this program looks for by itself; a playbook may name further ones under `[entities]`.
pub const BUILTIN_SLOTS: [&str; 9] =
    ["customer_number", "order_number", "phone", "date", "time", "amount", "name", "iban", "email"];

/// A valid playbook.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// ISO 639-1 code of the language that most customers speak.
    pub language: String,
    pub formality: Formality,
    /// The most characters of a reply, by the name of the channel; any number on others.
    pub chars_max: BTreeMap<String, usize>,
    pub teams: Vec<String>,
    /// Where a note goes whose intent names no team, or that has no intent.
    pub default_team: Option<String>,
    pub thresholds: Thresholds,
    pub abstain: Abstain,
    pub urgency: Vec<UrgencyRule>,
    pub escalations: Vec<Escalation>,
    /// By kind, in alphabetical order.
    pub entities: BTreeMap<String, EntityRule>,
    pub intents: Vec<Intent>,
    /// What senders are told at once; None: the playbook has nothing to say.
    pub acknowledgement: Option<Acknowledgement>,
    /// What a team lead should look at, though the playbook works.
    pub warnings: Vec<Problem>,
}

/// From when on an intent is sure enough; where none, the value is calibrated on the playbook's own examples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Thresholds {
    /// Least calibrated confidence, 0 to 1.
    pub confidence: Option<f32>,
    /// Least similarity to one of the intent's examples, 0 to 1.
    pub similarity: Option<f32>,
    /// The share of the answered notes that shall be right, 0 to 1: what `confidence` is calibrated for.
    pub precision: Option<f32>,
}

/// When there is to be no suggestion although one could be made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Abstain {
    /// If the note holds a second request.
    pub several_intents: bool,
    /// If the note is escalated.
    pub escalated: bool,
    /// If the transcript's confidence is below this, 0 to 1.
    pub transcript_confidence_min: f32,
}

impl Default for Abstain {
    fn default() -> Self {
        Self { several_intents: true, escalated: true, transcript_confidence_min: 0.4 }
    }
}

/// Words that say how urgent a note is, whatever it is about.
#[derive(Debug, Clone)]
pub struct UrgencyRule {
    /// Stands in the result as the ground.
    pub name: String,
    pub level: UrgencyLevel,
    /// Folded words; `*` stands for the rest of a word, `**` for up to four words.
    pub phrases: Vec<Vec<String>>,
    pub patterns: Vec<Regex>,
    /// That there is none, or that it does not work, is no denial: "keine Medikamente".
    pub lack_counts: bool,
}

/// Who takes over, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    pub name: String,
    /// Names of urgency rules, those of the playbook or built-in ones.
    pub grounds: Vec<String>,
    /// None: it stays with the intent's team.
    pub team: Option<String>,
    /// What is suggested instead of the intent's reply, by language: a private channel, say, to who complains in public.
    pub replies: BTreeMap<String, Template>,
}

/// Which wording of a reply customers get, where there are two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formality {
    /// Who says "du" is answered so.
    #[default]
    AsSpoken,
    Formal,
    Informal,
}

/// What a fact looks like when it is right, and how customers announce it.
#[derive(Debug, Clone)]
pub struct EntityRule {
    /// Matches the whole normalised value.
    pub pattern: Regex,
    /// Folded words that announce it, for example `kundennummer`.
    pub words: Vec<Vec<String>>,
}

/// Something that customers want.
#[derive(Debug, Clone)]
pub struct Intent {
    /// A word of the routing key.
    pub name: String,
    pub description: Option<String>,
    pub examples: Vec<String>,
    pub team: Option<String>,
    pub urgency: Option<UrgencyLevel>,
    pub escalate: bool,
    /// Never suggest a reply.
    pub left_to_people: bool,
    /// Gives way to any other intent in the same note: thanks, or how to be reached.
    pub secondary: bool,
    /// No reply to a note in which one of these phrases is said, in whatever way: "nicht ** kuendig*".
    pub unless: Vec<Vec<String>>,
    /// No reply to a note that states one of these phrases, neither denied nor doubted: "geht wieder".
    pub settled: Vec<Vec<String>>,
    pub follow_up_after: Option<SignedDuration>,
    /// What the channel calls the message that may be sent then, where its reply window is over.
    pub follow_up_template: Option<String>,
    /// By ISO 639-1 code.
    pub replies: BTreeMap<String, ReplyTexts>,
}

/// What can be answered in one language.
#[derive(Debug, Clone)]
pub struct ReplyTexts {
    pub formal: Wording,
    /// To customers who say "du"; None: they get the formal one, too.
    pub informal: Option<Wording>,
    /// True if the texts announce a telephone call.
    pub calls: bool,
}

/// A reply in one form of address.
#[derive(Debug, Clone)]
pub struct Wording {
    pub text: Template,
    /// Takes the place of `text` where a fact is missing.
    pub plain: Option<Template>,
    /// Takes the place of `text` on channels that have no room for it.
    pub short: Option<Template>,
    /// The question for a missing fact, by slot.
    pub ask: BTreeMap<String, String>,
}

impl Playbook {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// Every problem that can be found in one go, each with line, column and field.
    pub fn load(path: &Path) -> Result<Self, PlaybookErrors> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => Err(PlaybookErrors::unreadable(name, &error)),
        }
    }

    /// Validates a text; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Self, PlaybookErrors> {
        let raw = raw::parse(text).map_err(|problem| PlaybookErrors::new(file, vec![problem]))?;
        validate::validate(raw, text).map_err(|problems| PlaybookErrors::new(file, problems))
    }

    /// The playbook that comes with the program: German, for telecommunications and parcels.
    pub fn builtin() -> Result<Self, PlaybookErrors> {
        Self::parse(include_str!("../../../config/playbook.toml"), "the built-in playbook")
    }

    /// A valid playbook without intents, to be continued; None for a language there is none in.
    #[must_use]
    pub fn starter(language: &str) -> Option<&'static str> {
        match language {
            "de" => Some(include_str!("starter.de.toml")),
            "en" => Some(include_str!("starter.en.toml")),
            _ => None,
        }
    }

    #[must_use]
    pub fn intent(&self, name: &str) -> Option<&Intent> {
        self.intents.iter().find(|intent| intent.name == name)
    }
}

#[cfg(test)]
mod tests;
