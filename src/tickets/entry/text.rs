//! Owns the note that agents read: plain text, the most important first, its marker last.
//!
//! What customers said stands behind `> `, without control characters, so that nothing they say can look like a line
//! of ours or like markup.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::{Marker, Playback, words::Words};
use crate::{
    event::{
        Processed,
        processed::{Entity, OutcomeKind, Reply, Transcript, Understanding},
    },
    private::Private,
    tickets::Config,
};

/// One line without personal data.
pub(super) fn title(result: &Processed, config: &Config) -> String {
    let words = Words::of(config.language);
    let mut title = config.title.clone().unwrap_or_else(|| words.voice_note().to_owned());
    if let Some(channel) = &result.channel {
        let _ = write!(title, " ({channel})");
    }
    let intent = result.understanding.as_ref().and_then(|u| u.intent.as_ref());
    match (result.outcome, intent) {
        (OutcomeKind::Completed, Some(intent)) => title + ": " + &intent.name,
        (OutcomeKind::Completed, None) => title,
        (outcome, _) => title + ": " + words.outcome(outcome),
    }
}

/// The whole note.
pub(super) fn note(result: &Processed, config: &Config, playback: &Playback, marker: &Marker) -> Private {
    let zone = TimeZone::get(&config.time_zone).unwrap_or(TimeZone::UTC);
    let mut text = Text { words: Words::of(config.language), zone, lines: String::new() };
    text.head(result);
    text.outcome(result);
    if let Some(transcript) = &result.transcript {
        text.transcript(transcript);
    }
    if let Some(understanding) = &result.understanding {
        text.understanding(understanding);
    }
    text.what_to_do(result);
    if let Some(reply) = &result.reply {
        text.reply(reply, result);
    }
    text.recording(result, config, playback);
    text.line(marker.as_str());
    text.lines.into()
}

struct Text {
    words: Words,
    zone: TimeZone,
    lines: String,
}

impl Text {
    fn line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    fn labelled(&mut self, label: &str, value: &str) {
        self.line(format!("{label}: {value}").trim_end());
    }

    /// Begins a part of its own.
    fn part(&mut self, heading: &str) {
        self.lines.push('\n');
        self.line(heading);
    }

    /// What a customer said, or what may repeat it.
    fn quoted(&mut self, text: &Private) {
        for line in text.expose().lines() {
            let line = harmless(line);
            self.line(format!("> {line}").trim_end());
        }
    }

    fn head(&mut self, result: &Processed) {
        let mut parts = vec![match &result.channel {
            Some(channel) => format!("{} ({channel})", self.words.voice_note()),
            None => self.words.voice_note().to_owned(),
        }];
        if let Some(audio) = &result.audio {
            parts.push(format!("{} s", self.words.number(audio.duration_s)));
        }
        if let Some(at) = result.sent_at {
            parts.push(format!("{} {}", self.words.sent(), self.moment(at)));
        }
        self.line(&parts.join(", "));
    }

    /// Why there is less than usual, in words for an agent.
    fn outcome(&mut self, result: &Processed) {
        if result.outcome != OutcomeKind::Completed {
            let sentence = result.reason.map_or_else(|| self.words.outcome(result.outcome), |r| self.words.reason(r));
            self.line(sentence);
            self.line(self.words.listen(result.outcome));
        } else if result.relief.is_some() {
            self.line(self.words.relief());
        }
        if result.audio.as_ref().is_some_and(|audio| audio.partial) {
            self.line(self.words.partial());
        }
    }

    fn transcript(&mut self, transcript: &Transcript) {
        let language = self.words.language(&transcript.language).to_owned();
        let language = match transcript.language_confidence {
            sure if sure >= 0.9 => language,
            unsure => format!("{language} ({})", self.words.percent(unsure)),
        };
        let trust = self.words.trust(transcript.confidence);
        self.part(&format!("{} ({language}; {trust})", self.words.said()));
        self.quoted(&transcript.text);
    }

    fn understanding(&mut self, understanding: &Understanding) {
        self.lines.push('\n');
        let named = |intent: &crate::event::processed::Intent| {
            format!("{} ({})", intent.name, self.words.percent(intent.confidence))
        };
        let intent = understanding.intent.as_ref().map_or_else(|| self.words.unclear().to_owned(), named);
        let alternatives: Vec<String> = understanding.alternatives.iter().map(named).collect();
        self.labelled(self.words.intent(), &intent);
        if let Some(evidence) = understanding.intent.as_ref().and_then(|intent| intent.evidence.as_ref()) {
            self.quoted(evidence);
        }
        if !alternatives.is_empty() {
            self.labelled(self.words.alternatives(), &alternatives.join(", "));
        }
        let urgency = &understanding.urgency;
        let level = self.words.urgency_level(urgency.level);
        let grounds = urgency.grounds.iter().map(|ground| harmless(ground)).collect::<Vec<_>>().join(", ");
        let because = if grounds.is_empty() { String::new() } else { format!(" ({grounds})") };
        self.labelled(self.words.urgency(), &format!("{level}{because}"));
        if let Some(sentiment) = understanding.sentiment {
            self.labelled(self.words.mood(), self.words.sentiment(sentiment));
        }
        let wishes = self.words.wishes(&understanding.contact);
        if !wishes.is_empty() {
            self.labelled(self.words.contact(), &wishes.join("; "));
        }
        if let Some(earlier) = &understanding.earlier_contact {
            self.labelled(self.words.earlier(), "");
            self.quoted(&earlier.evidence);
        }
        if !understanding.entities.is_empty() {
            self.labelled(self.words.facts(), "");
            for entity in &understanding.entities {
                self.entity(entity);
            }
        }
    }

    fn entity(&mut self, entity: &Entity) {
        let mut notes = vec![self.words.verified(entity.verified).to_owned()];
        notes.extend(entity.start_s.map(|start_s| format!("{} {}", self.words.at(), clock(start_s))));
        let kind = self.words.kind(&entity.kind);
        self.line(&format!("> {kind}: {} ({})", harmless(entity.value.expose()), notes.join(", ")));
    }

    fn what_to_do(&mut self, result: &Processed) {
        let Some(route) = &result.route else { return };
        let team = route.team.as_deref().unwrap_or(self.words.nobody());
        let escalated = if route.escalate { self.words.escalated() } else { "" };
        self.labelled(self.words.team(), &format!("{team}{escalated}"));
        if let Some(follow_up) = &result.follow_up {
            let due = self.moment(follow_up.due_at);
            self.labelled(self.words.follow_up(), &due);
        }
        if let Some(ends_at) = result.reply_window_ends_at {
            let ends_at = self.moment(ends_at);
            self.labelled(self.words.reply_window(), &ends_at);
        }
    }

    fn reply(&mut self, reply: &Reply, result: &Processed) {
        match reply {
            Reply::Suggestion { text, template, facts, .. } => {
                self.part(self.words.suggestion());
                self.quoted(text);
                let uses = facts.iter().map(|kind| self.words.kind(kind)).collect::<Vec<_>>().join(", ");
                let uses = if uses.is_empty() { String::new() } else { format!("; {}: {uses}", self.words.uses()) };
                let draft = result.drafting.as_ref().filter(|drafting| drafting.used);
                let worded = draft.map(|draft| format!("; {} {}", self.words.worded_by(), draft.model));
                self.line(&format!("({} {template}{uses}{})", self.words.template(), worded.unwrap_or_default()));
            }
            Reply::Question { text, template, missing, .. } => {
                self.part(self.words.question());
                self.quoted(text);
                let missing = missing.iter().map(|kind| self.words.kind(kind)).collect::<Vec<_>>().join(", ");
                self.line(&format!("({} {template}; {}: {missing})", self.words.template(), self.words.missing()));
            }
            // Where nothing was understood, the note has said so already.
            Reply::Abstention { reason } if result.outcome == OutcomeKind::Completed => {
                self.part(self.words.abstention());
                self.line(self.words.abstained(*reason));
            }
            Reply::Abstention { .. } => {}
        }
    }

    fn recording(&mut self, result: &Processed, config: &Config, playback: &Playback) {
        self.lines.push('\n');
        if let Some(link) = config.link_to(result.note_id) {
            self.labelled(self.words.link(), link.as_str());
        }
        if let Some(sentence) = self.words.playback(playback) {
            self.line(sentence);
        }
    }

    fn moment(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime(self.words.moment_format()).to_string()
    }
}

/// Minutes and seconds into the recording.
fn clock(start_s: f64) -> String {
    let seconds = start_s.max(0.0) as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Without control characters, and without those that turn the direction of what follows.
pub(super) fn harmless(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !turns(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
