//! Owns what could be answered to a note, where it goes and when to ask again: all of it from the playbook, filled with
//! nothing but facts that were really said.
//!
//! Better silent than a bad dialogue: whenever the intent, the language or a fact is unsure there is a question or an
//! abstention with its reason. Nothing here is ever sent by itself. What a customer says is data: it fills a slot and
//! is not looked at again, but for what it denies (`contradiction.rs`). [`acknowledgement`] answers before anybody has
//! listened; [`draft`] may say a suggestion once more, in the customer's tone.

pub mod acknowledgement;
mod address;
mod contradiction;
pub mod draft;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::processed::{self, Abstained, Entity, FollowUp, Reply, Route, Transcript, Understanding},
    note::VoiceNote,
    private::Private,
    understanding::{
        playbook::{Escalation, Filled, Formality, Intent, Playbook, Wording},
        urgency,
    },
};

/// How replies are made, beyond what the playbook says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A language model that may rephrase suggestions.
    pub draft: draft::Config,
}

/// With another intent as likely as this, one that gives way is not all that the note is about.
const GIVES_WAY_FROM: f32 = 0.4;

/// A fact longer than this is no fact.
const FACT_CHARS_MAX: usize = 120;

/// Everything that the playbook says about a note.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggested {
    pub reply: Reply,
    pub route: Route,
    pub follow_up: Option<FollowUp>,
}

/// Looks up what to do with a note that was understood. `now` stands in where it is not known when it was sent.
#[must_use]
pub fn suggest(
    playbook: &Playbook,
    note: &VoiceNote,
    transcript: &Transcript,
    understanding: &Understanding,
    now: Timestamp,
) -> Suggested {
    let intent = understanding.intent.as_ref().and_then(|found| playbook.intent(&found.name));
    let route = route(playbook, intent, understanding);
    let chars_max = playbook.chars_max.get(note.channel.as_str()).copied();
    let reply = reply(playbook, intent, transcript, understanding, &route)
        .and_then(|texts| texts.fitting(chars_max))
        .unwrap_or_else(|reason| Reply::Abstention { reason });
    let follow_up = intent.and_then(|intent| Some((intent, intent.follow_up_after?))).and_then(|(intent, after)| {
        let due_at = note.sent_at.unwrap_or(now).checked_add(after).ok()?;
        Some(FollowUp { due_at, template: intent.follow_up_template.clone() })
    });
    Suggested { reply, route, follow_up }
}

fn route(playbook: &Playbook, intent: Option<&Intent>, understanding: &Understanding) -> Route {
    let escalation = escalations(playbook, understanding).next();
    let team = escalation
        .and_then(|escalation| escalation.team.as_ref())
        .or_else(|| intent.and_then(|intent| intent.team.as_ref()))
        .or(playbook.default_team.as_ref());
    Route {
        team: team.cloned(),
        escalate: escalation.is_some() || intent.is_some_and(|intent| intent.escalate),
        escalation: escalation.map(|escalation| escalation.name.clone()),
    }
}

/// Those that apply, in the order of the playbook.
fn escalations<'a>(playbook: &'a Playbook, understanding: &'a Understanding) -> impl Iterator<Item = &'a Escalation> {
    let grounds = &understanding.urgency.grounds;
    playbook.escalations.iter().filter(|e| e.grounds.iter().any(|ground| grounds.contains(ground)))
}

/// A reply, and what may stand in its place where there is no room for it.
#[derive(Debug, PartialEq)]
struct Choice {
    reply: Reply,
    shorter: Option<Reply>,
}

impl Choice {
    /// The longer one that has no more than so many characters.
    fn fitting(self, chars_max: Option<usize>) -> Result<Reply, Abstained> {
        let fits = |reply: &Reply| match reply {
            Reply::Suggestion { text, .. } | Reply::Question { text, .. } => {
                chars_max.is_none_or(|most| text.expose().chars().count() <= most)
            }
            Reply::Abstention { .. } => true,
        };
        [Some(self.reply), self.shorter].into_iter().flatten().find(fits).ok_or(Abstained::TooLong)
    }
}

impl From<Reply> for Choice {
    fn from(reply: Reply) -> Self {
        Self { reply, shorter: None }
    }
}

fn reply(
    playbook: &Playbook,
    intent: Option<&Intent>,
    transcript: &Transcript,
    understanding: &Understanding,
    route: &Route,
) -> Result<Choice, Abstained> {
    if transcript.confidence < playbook.abstain.transcript_confidence_min {
        return Err(Abstained::NothingUnderstood);
    }
    let for_people = |ground: &String| urgency::FOR_PEOPLE.contains(&ground.as_str());
    let for_people = understanding.urgency.grounds.iter().any(for_people);
    if let Some(offer) = escalated(playbook, &transcript.language, understanding).filter(|_| !for_people) {
        return Ok(offer.into());
    }
    let intent = intent.ok_or(Abstained::IntentUnsure)?;
    if intent.left_to_people || (route.escalate && playbook.abstain.escalated) || for_people {
        return Err(Abstained::LeftToPeople);
    }
    if playbook.abstain.several_intents && holds_another_request(playbook, intent, understanding) {
        return Err(Abstained::SeveralIntents);
    }
    if intent.replies.is_empty() {
        return Err(Abstained::NoTemplate);
    }
    let texts = intent.replies.get(&transcript.language).ok_or(Abstained::NoTemplateInLanguage)?;
    if contradiction::is_denied_or_settled(intent, transcript.text.expose()) {
        return Err(Abstained::Contradicted);
    }
    let informal = match playbook.formality {
        Formality::AsSpoken => address::is_informal(transcript.text.expose(), &transcript.language),
        Formality::Formal => false,
        Formality::Informal => true,
    };
    let wording = texts.informal.as_ref().filter(|_| informal).unwrap_or(&texts.formal);
    let choice = answer(playbook, intent, wording, &transcript.language, &understanding.entities)?;
    let promises_no_call = match &choice.reply {
        Reply::Suggestion { text, .. } | Reply::Question { text, .. } => contradiction::promises_no_call(text.expose()),
        Reply::Abstention { .. } => false,
    };
    // A call announced to somebody who wants none is worse than silence, and so is none for somebody who waits for one.
    let unwanted = understanding.contact.phone_allowed == Some(false);
    if (texts.calls && unwanted) || (promises_no_call && !unwanted) {
        return Err(Abstained::Contradicted);
    }
    Ok(choice)
}

/// What the playbook has to say to everybody whose note is escalated like this, and for no other reason beside.
fn escalated(playbook: &Playbook, language: &str, understanding: &Understanding) -> Option<Reply> {
    let mut all = escalations(playbook, understanding);
    let escalation = all.next().filter(|_| all.next().is_none())?;
    let (name, text) = (&escalation.name, escalation.replies.get(language)?);
    Some(Reply::Suggestion {
        text: Private::new(text.text()),
        language: language.to_owned(),
        template: format!("escalation.{name}"),
        facts: Vec::new(),
    })
}

/// An alternative with a sentence of its own is a second request, and beside an intent that gives way one that is likely
/// enough; unless it is itself of the kind that gives way.
fn holds_another_request(playbook: &Playbook, intent: &Intent, understanding: &Understanding) -> bool {
    let gives_way = |name: &str| playbook.intent(name).is_none_or(|intent| intent.secondary);
    let counts = |other: &&processed::Intent| {
        other.evidence.is_some() || (intent.secondary && other.confidence >= GIVES_WAY_FROM)
    };
    understanding.alternatives.iter().filter(counts).any(|other| !gives_way(&other.name))
}

fn answer(
    playbook: &Playbook,
    intent: &Intent,
    texts: &Wording,
    language: &str,
    entities: &[Entity],
) -> Result<Choice, Abstained> {
    let template = |name: &str| format!("{}.{name}", intent.name);
    let language = language.to_owned();
    let known = |slot: &str| fact(playbook, entities, slot);
    let suggested = |filled: Filled, name: &str| Reply::Suggestion {
        text: filled.text,
        language: language.clone(),
        template: template(name),
        facts: filled.facts,
    };
    let missing = match texts.text.fill(known) {
        Ok(filled) => {
            let shorter = texts.short.as_ref().and_then(|short| short.fill(known).ok());
            let shorter = shorter.map(|filled| suggested(filled, "short"));
            return Ok(Choice { reply: suggested(filled, "first"), shorter });
        }
        Err(missing) => missing,
    };
    // One question at a time, and none that would not lead to an answer.
    if let Some(first) = missing.first()
        && missing.iter().all(|slot| texts.ask.contains_key(slot))
    {
        let text = Private::new(texts.ask[first].as_str());
        let question = Reply::Question { text, language, template: template("ask"), missing: vec![first.clone()] };
        return Ok(question.into());
    }
    let text = Private::new(texts.plain.as_ref().ok_or(Abstained::FactMissing)?.text());
    Ok(Reply::Suggestion { text, language, template: template("plain"), facts: Vec::new() }.into())
}

/// The one value that was said: verified where the playbook or a checksum can tell, and not contradicted in the note.
fn fact(playbook: &Playbook, entities: &[Entity], kind: &str) -> Option<String> {
    let checkable = playbook.entities.contains_key(kind) || kind == "iban";
    let mut values = entities
        .iter()
        .filter(|entity| entity.kind == kind && (entity.verified || !checkable))
        .map(|entity| clean(entity.value.expose()));
    let first = values.next().filter(|value| !value.is_empty())?;
    values.all(|other| other == first).then_some(first)
}

/// One line without control characters, invisible marks of direction among them.
fn clean(value: &str) -> String {
    let spaced = value.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let visible = spaced.filter(|c| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    });
    visible.take(FACT_CHARS_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests;
