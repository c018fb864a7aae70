//! Owns what makes a playbook valid. Goes through the whole file and reports every fault that it finds; in the texts of
//! replies, `replies.rs` does.

mod replies;

use std::{collections::BTreeMap, ops::Range};

use jiff::SignedDuration;
use regex::{Regex, RegexBuilder};
use toml::Spanned;

use super::{
    Abstain, BUILTIN_SLOTS, EntityRule, Escalation, FORMAT_VERSION, Intent, Playbook, Problem, Thresholds, UrgencyRule,
    raw::{RawEntity, RawEscalation, RawIntent, RawPlaybook, RawUrgency},
};
use crate::understanding::{text, urgency};

/// With fewer examples an intent is recognised by luck.
const EXAMPLES_ADVISED: usize = 5;
/// A playbook's regular expression may take this much memory; it always runs in linear time.
const PATTERN_BYTES_MAX: usize = 1 << 20;
const FOLLOW_UP_DAYS_MAX: i64 = 365;

pub(super) fn validate(raw: RawPlaybook, source: &str) -> Result<Playbook, Vec<Problem>> {
    let mut check = Check { source, problems: Vec::new(), warnings: Vec::new(), teams: Vec::new(), slots: Vec::new() };
    let playbook = check.playbook(raw);
    if check.problems.is_empty() { Ok(playbook) } else { Err(check.problems) }
}

/// Goes through a playbook and keeps what it finds.
pub(super) struct Check<'a> {
    source: &'a str,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    teams: Vec<String>,
    slots: Vec<String>,
}

impl Check<'_> {
    fn playbook(&mut self, raw: RawPlaybook) -> Playbook {
        if *raw.version.get_ref() != FORMAT_VERSION {
            self.fault(raw.version.span(), "version", format!("this program reads version {FORMAT_VERSION}"));
        }
        self.teams = raw.teams.iter().map(|team| team.get_ref().clone()).collect();
        for (index, team) in raw.teams.iter().enumerate() {
            self.topic_word(team, &format!("teams[{index}]"));
        }
        self.unique(&raw.teams.iter().collect::<Vec<_>>(), "teams", "");
        self.slots = BUILTIN_SLOTS.iter().map(|slot| (*slot).to_owned()).chain(raw.entities.keys().cloned()).collect();

        let language = raw.language.map_or_else(|| "de".to_owned(), |language| self.language(&language, "language"));
        let default_team = raw.default_team.map(|team| self.team(team, "default_team"));
        let thresholds = Thresholds {
            confidence: raw.thresholds.confidence.map(|value| self.share(&value, "thresholds.confidence")),
            similarity: raw.thresholds.similarity.map(|value| self.share(&value, "thresholds.similarity")),
            precision: raw.thresholds.precision.map(|value| self.share(&value, "thresholds.precision")),
        };
        let defaults = Abstain::default();
        let least = raw.abstain.transcript_confidence_min;
        let abstain = Abstain {
            several_intents: raw.abstain.several_intents.unwrap_or(defaults.several_intents),
            escalated: raw.abstain.escalated.unwrap_or(defaults.escalated),
            transcript_confidence_min: least.map_or(defaults.transcript_confidence_min, |value| {
                self.share(&value, "abstain.transcript_confidence_min")
            }),
        };
        let chars_max =
            raw.channels.into_iter().map(|(name, channel)| self.channel(name, &channel.chars_max)).collect();
        let urgency = self.urgency(raw.urgency);
        let escalations = self.escalations(raw.escalation, &urgency);
        let entities = raw.entities.into_iter().map(|(kind, rule)| self.entity(kind, &rule)).collect();
        let intents = self.intents(raw.intent);
        let acknowledgement = raw.acknowledgement.map(|raw| self.acknowledgement(raw, &language));
        let (teams, warnings) = (std::mem::take(&mut self.teams), std::mem::take(&mut self.warnings));
        Playbook {
            language,
            formality: raw.formality,
            chars_max,
            teams,
            default_team,
            thresholds,
            abstain,
            urgency,
            escalations,
            entities,
            intents,
            acknowledgement,
            warnings,
        }
    }

    fn urgency(&mut self, rules: Vec<RawUrgency>) -> Vec<UrgencyRule> {
        self.unique(&rules.iter().map(|rule| &rule.name).collect::<Vec<_>>(), "urgency", ".name");
        let mut checked = Vec::new();
        for (index, rule) in rules.into_iter().enumerate() {
            let field = format!("urgency[{index}]");
            self.topic_word(&rule.name, &format!("{field}.name"));
            if rule.phrases.is_empty() && rule.patterns.is_empty() {
                let message = "a rule needs `phrases` or `patterns`";
                self.fault(rule.name.span(), format!("{field}.phrases"), message);
            }
            let phrases = self.phrases(&rule.phrases, &format!("{field}.phrases"));
            let patterns = (rule.patterns.iter().enumerate())
                .filter_map(|(n, pattern)| self.pattern(pattern, &format!("{field}.patterns[{n}]"), false))
                .collect();
            let (name, lack_counts) = (rule.name.into_inner(), rule.lack_counts);
            checked.push(UrgencyRule { name, level: rule.level, phrases, patterns, lack_counts });
        }
        checked
    }

    fn channel(&mut self, name: String, chars_max: &Spanned<usize>) -> (String, usize) {
        let field = format!("channels.{name}");
        if !is_topic_word(&name) {
            self.fault(chars_max.span(), field.clone(), "a channel's name is 1 to 64 characters of a-z, 0-9, _ and -");
        }
        if *chars_max.get_ref() == 0 {
            self.fault(chars_max.span(), format!("{field}.chars_max"), "no reply has so little room");
        }
        (name, *chars_max.get_ref())
    }

    fn escalations(&mut self, escalations: Vec<RawEscalation>, urgency: &[UrgencyRule]) -> Vec<Escalation> {
        self.unique(&escalations.iter().map(|e| &e.name).collect::<Vec<_>>(), "escalation", ".name");
        let mut checked = Vec::new();
        for (index, escalation) in escalations.into_iter().enumerate() {
            let field = format!("escalation[{index}]");
            self.topic_word(&escalation.name, &format!("{field}.name"));
            for (n, ground) in escalation.grounds.iter().enumerate() {
                let name = ground.get_ref();
                if !urgency.iter().any(|rule| rule.name == *name) && !urgency::is_builtin(name) {
                    let message = format!("there is no urgency rule {name:?}");
                    self.fault(ground.span(), format!("{field}.grounds[{n}]"), message);
                }
            }
            let team = escalation.team.map(|team| self.team(team, &format!("{field}.team")));
            let grounds = escalation.grounds.into_iter().map(Spanned::into_inner).collect();
            let reply = |(language, text): (String, Spanned<String>)| {
                let field = format!("{field}.reply.{language}");
                if !is_language(&language) {
                    self.fault(text.span(), field.clone(), "a language is two letters, like `de`");
                }
                let why = "this text stands whatever the note is about: no slots";
                (language, self.slotless(&text, &field, why))
            };
            let replies = escalation.reply.into_iter().map(reply).collect();
            checked.push(Escalation { name: escalation.name.into_inner(), grounds, team, replies });
        }
        checked
    }

    fn entity(&mut self, kind: String, rule: &RawEntity) -> (String, EntityRule) {
        let field = format!("entities.{kind}");
        let span = rule.pattern.span();
        if !is_topic_word(&kind) {
            self.fault(span, field.clone(), "a kind of fact is 1 to 64 characters of a-z, 0-9, _ and -");
        }
        let pattern = self.pattern(&rule.pattern, &format!("{field}.pattern"), true);
        let words = self.phrases(&rule.words, &format!("{field}.words"));
        (kind, EntityRule { pattern: pattern.unwrap_or_else(never), words })
    }

    fn intents(&mut self, intents: Vec<RawIntent>) -> Vec<Intent> {
        self.unique(&intents.iter().map(|intent| &intent.name).collect::<Vec<_>>(), "intent", ".name");
        self.contradictions(&intents);
        intents.into_iter().enumerate().map(|(index, raw)| self.intent(&format!("intent[{index}]"), raw)).collect()
    }

    fn intent(&mut self, field: &str, raw: RawIntent) -> Intent {
        self.topic_word(&raw.name, &format!("{field}.name"));
        if raw.name.get_ref() == "none" {
            self.fault(raw.name.span(), format!("{field}.name"), "`none` stands for a note without an intent");
        }
        let span = raw.examples.span();
        let given = raw.examples.into_inner();
        for (n, example) in given.iter().enumerate() {
            if text::words(example.get_ref()).is_empty() {
                self.fault(example.span(), format!("{field}.examples[{n}]"), "an example needs words");
            }
        }
        let examples: Vec<String> = given.into_iter().map(Spanned::into_inner).collect();
        match examples.len() {
            0 => self.fault(span, format!("{field}.examples"), "an intent is learnt from examples: give at least one"),
            n if n < EXAMPLES_ADVISED => {
                let message = format!("with {n} of at least {EXAMPLES_ADVISED} examples it is recognised by luck");
                self.warn(span, format!("{field}.examples"), message);
            }
            _ => {}
        }
        let follow_up_after = raw.follow_up_after.and_then(|text| self.duration(&text, field));
        if let Some(template) = &raw.follow_up_template {
            self.topic_word(template, &format!("{field}.follow_up_template"));
            if follow_up_after.is_none() {
                let message = "without `follow_up_after` this is never sent";
                self.fault(template.span(), format!("{field}.follow_up_template"), message);
            }
        }
        let unless = self.phrases(&raw.unless, &format!("{field}.unless"));
        let settled = self.phrases(&raw.settled, &format!("{field}.settled"));
        let replies = raw.reply.into_iter().map(|(language, reply)| self.reply(field, language, reply)).collect();
        Intent {
            name: raw.name.into_inner(),
            description: raw.description,
            examples,
            team: raw.team.map(|team| self.team(team, &format!("{field}.team"))),
            urgency: raw.urgency,
            escalate: raw.escalate,
            left_to_people: raw.left_to_people,
            secondary: raw.secondary,
            unless,
            settled,
            follow_up_after,
            follow_up_template: raw.follow_up_template.map(Spanned::into_inner),
            replies,
        }
    }

    fn duration(&mut self, text: &Spanned<String>, field: &str) -> Option<SignedDuration> {
        let duration = duration(text.get_ref());
        if duration.is_none() {
            let message = "a number of hours, days or weeks up to a year, like \"48h\", \"7d\" or \"2w\"";
            self.fault(text.span(), format!("{field}.follow_up_after"), message);
        }
        duration
    }

    fn pattern(&mut self, pattern: &Spanned<String>, field: &str, whole: bool) -> Option<Regex> {
        let source = if whole { format!("^(?:{})$", pattern.get_ref()) } else { pattern.get_ref().clone() };
        match RegexBuilder::new(&source).case_insensitive(true).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let what = match error {
                    regex::Error::CompiledTooBig(_) => "the expression is too large",
                    _ => "not a regular expression",
                };
                self.fault(pattern.span(), field, format!("{what}; quote it with '…' so that \\ stays as it is"));
                None
            }
        }
    }

    fn phrases(&mut self, phrases: &[Spanned<String>], field: &str) -> Vec<Vec<String>> {
        let mut folded = Vec::new();
        for (n, given) in phrases.iter().enumerate() {
            let phrase = text::phrase(given.get_ref());
            if phrase.iter().all(|word| word.chars().all(|c| c == '*')) {
                self.fault(given.span(), format!("{field}[{n}]"), "a phrase needs words");
            }
            folded.push(phrase);
        }
        folded
    }

    /// The same example under two intents teaches nothing.
    fn contradictions(&mut self, intents: &[RawIntent]) {
        let mut seen: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        for (index, intent) in intents.iter().enumerate() {
            for (n, example) in intent.examples.get_ref().iter().enumerate() {
                let words: Vec<_> = text::words(example.get_ref()).into_iter().map(|word| word.folded).collect();
                let Some((other, of)) = seen.insert(words.join(" "), (intent.name.get_ref(), index)) else { continue };
                let what = if of == index {
                    "stands twice here".to_owned()
                } else {
                    format!("is also an example of {other:?}")
                };
                let message = format!("this example {what}");
                self.warn(example.span(), format!("intent[{index}].examples[{n}]"), message);
            }
        }
    }

    fn team(&mut self, team: Spanned<String>, field: &str) -> String {
        if !self.teams.contains(team.get_ref()) {
            let known = if self.teams.is_empty() { "none".to_owned() } else { self.teams.join(", ") };
            let message = format!("there is no team {:?}; `teams` names {known}", team.get_ref());
            self.fault(team.span(), field, message);
        }
        team.into_inner()
    }

    fn language(&mut self, language: &Spanned<String>, field: &str) -> String {
        if !is_language(language.get_ref()) {
            self.fault(language.span(), field, "a language is two letters, like \"de\"");
        }
        language.get_ref().clone()
    }

    fn share(&mut self, value: &Spanned<f32>, field: &str) -> f32 {
        if !(0.0..=1.0).contains(value.get_ref()) {
            self.fault(value.span(), field, "a number from 0 to 1");
        }
        *value.get_ref()
    }

    fn topic_word(&mut self, name: &Spanned<String>, field: &str) {
        if !is_topic_word(name.get_ref()) {
            let message = "a name is 1 to 64 characters of a-z, 0-9, _ and -, because it is part of routing keys";
            self.fault(name.span(), field, message);
        }
    }

    fn unique(&mut self, names: &[&Spanned<String>], table: &str, field: &str) {
        for (index, name) in names.iter().enumerate() {
            if names[..index].iter().any(|earlier| earlier.get_ref() == name.get_ref()) {
                let message = format!("{:?} stands twice", name.get_ref());
                self.fault(name.span(), format!("{table}[{index}]{field}"), message);
            }
        }
    }

    pub(super) fn fault(&mut self, span: Range<usize>, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.source, span, field, message));
    }

    fn warn(&mut self, span: Range<usize>, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Problem::at(self.source, span, field, message));
    }
}

fn is_topic_word(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

pub(super) fn is_language(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|b| b.is_ascii_lowercase())
}

/// Whole hours, days or weeks.
fn duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.trim().parse().ok()?;
    let hours = number.checked_mul(match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        _ => return None,
    })?;
    (1..=FOLLOW_UP_DAYS_MAX * 24).contains(&hours).then(|| SignedDuration::from_hours(hours))
}

/// Stands in for an expression that is reported as faulty: the playbook it is in is never returned.
fn never() -> Regex {
    #[expect(clippy::expect_used, reason = "a constant expression, covered by every test with a faulty pattern")]
    Regex::new("^$").expect("an empty expression is valid")
}
