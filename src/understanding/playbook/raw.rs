//! Owns the playbook as it stands in the file: every value with its place, nothing checked but its type.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Formality, Problem, WeekHours};
use crate::event::processed::UrgencyLevel;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlaybook {
    pub version: Spanned<u32>,
    pub language: Option<Spanned<String>>,
    #[serde(default)]
    pub formality: Formality,
    #[serde(default)]
    pub channels: BTreeMap<String, RawChannel>,
    #[serde(default)]
    pub teams: Vec<Spanned<String>>,
    pub default_team: Option<Spanned<String>>,
    #[serde(default)]
    pub thresholds: RawThresholds,
    #[serde(default)]
    pub abstain: RawAbstain,
    #[serde(default)]
    pub urgency: Vec<RawUrgency>,
    #[serde(default)]
    pub escalation: Vec<RawEscalation>,
    #[serde(default)]
    pub entities: BTreeMap<String, RawEntity>,
    #[serde(default)]
    pub intent: Vec<RawIntent>,
    pub acknowledgement: Option<Spanned<RawAcknowledgement>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawThresholds {
    pub confidence: Option<Spanned<f32>>,
    pub similarity: Option<Spanned<f32>>,
    pub precision: Option<Spanned<f32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAbstain {
    pub several_intents: Option<bool>,
    pub escalated: Option<bool>,
    pub transcript_confidence_min: Option<Spanned<f32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUrgency {
    pub name: Spanned<String>,
    pub level: UrgencyLevel,
    #[serde(default)]
    pub phrases: Vec<Spanned<String>>,
    #[serde(default)]
    pub patterns: Vec<Spanned<String>>,
    #[serde(default)]
    pub lack_counts: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEscalation {
    pub name: Spanned<String>,
    pub grounds: Vec<Spanned<String>>,
    pub team: Option<Spanned<String>>,
    #[serde(default)]
    pub reply: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntity {
    pub pattern: Spanned<String>,
    #[serde(default)]
    pub words: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIntent {
    pub name: Spanned<String>,
    pub examples: Spanned<Vec<Spanned<String>>>,
    pub description: Option<String>,
    pub team: Option<Spanned<String>>,
    pub urgency: Option<UrgencyLevel>,
    #[serde(default)]
    pub escalate: bool,
    #[serde(default)]
    pub left_to_people: bool,
    #[serde(default)]
    pub secondary: bool,
    #[serde(default)]
    pub unless: Vec<Spanned<String>>,
    #[serde(default)]
    pub settled: Vec<Spanned<String>>,
    pub follow_up_after: Option<Spanned<String>>,
    pub follow_up_template: Option<Spanned<String>>,
    #[serde(default)]
    pub reply: BTreeMap<String, RawReply>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReply {
    pub text: Spanned<String>,
    pub plain: Option<Spanned<String>>,
    pub short: Option<Spanned<String>>,
    #[serde(default)]
    pub ask: BTreeMap<String, Spanned<String>>,
    pub calls: Option<bool>,
    pub informal: Option<RawWording>,
}

/// The same to customers who say "du".
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWording {
    pub text: Spanned<String>,
    pub plain: Option<Spanned<String>>,
    pub short: Option<Spanned<String>>,
    #[serde(default)]
    pub ask: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChannel {
    pub chars_max: Spanned<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAcknowledgement {
    #[serde(default)]
    pub enabled: bool,
    pub time_zone: Spanned<String>,
    pub hours: Option<WeekHours>,
    #[serde(default)]
    pub holidays: Vec<Spanned<String>>,
    #[serde(default)]
    pub text: BTreeMap<String, RawAcknowledgementTexts>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAcknowledgementTexts {
    pub open: Spanned<String>,
    pub closed: Spanned<String>,
    pub busy: Option<Spanned<String>>,
}

/// Stops at the first value of the wrong type or name: what follows could not be told apart from its consequences.
pub(super) fn parse(text: &str) -> Result<RawPlaybook, Problem> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| problem(text, String::new(), &error))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        // Values with a place are wrapped in private names, which are nobody's business.
        let field = error.path().to_string().replace(".$__serde_spanned_private_value", "");
        let field = if field == "." { String::new() } else { field };
        problem(text, field, error.inner())
    })
}

fn problem(text: &str, field: String, error: &toml::de::Error) -> Problem {
    Problem::at(text, error.span().unwrap_or(0..0), field, error.message().trim())
}
