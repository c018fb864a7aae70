//! Owns how a result looks on a terminal: what an agent would get, or one line of JSON.

use std::{fmt::Write as _, path::Path};

use serde::Serialize;

use super::out::{self, visible};
use crate::event::{
    Acknowledged, CaseClosed, Drafting, FollowUpDue, Processed, Spike,
    processed::{Abstained, AudioInfo, CallTime, ContactPreferences, OutcomeKind, Reply, Transcript, Understanding},
};

/// Columns that text is wrapped at.
const WIDTH: usize = 100;
const LABEL_WIDTH: usize = 12;

/// Writes one result to stdout. `file` is what the note is called here, where it came from a file.
pub fn print(processed: &Processed, file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    write(processed, |processed| for_people(processed, file), json)
}

/// Writes to stdout what a sender is told.
pub fn print_acknowledged(acknowledged: &Acknowledged, json: bool) -> anyhow::Result<()> {
    write(acknowledged, acknowledgement, json)
}

/// Writes a follow-up that is due to stdout.
pub fn print_follow_up(due: &FollowUpDue, json: bool) -> anyhow::Result<()> {
    write(due, follow_up, json)
}

/// Writes a spike to stdout.
pub fn print_spike(spike: &Spike, json: bool) -> anyhow::Result<()> {
    write(spike, rise, json)
}

/// Writes to stdout that a case is closed.
pub fn print_closed(closed: &CaseClosed, json: bool) -> anyhow::Result<()> {
    write(closed, closure, json)
}

fn write<T: Serialize>(data: &T, for_people: impl FnOnce(&T) -> String, json: bool) -> anyhow::Result<()> {
    if json { out::json(data) } else { Ok(out::line(for_people(data))?) }
}

fn follow_up(due: &FollowUpDue) -> String {
    let id = due.message_id.clone().unwrap_or_else(|| due.note_id.to_string());
    let mut block = Block::headed(&[visible(&id), "follow-up due".to_owned(), format!("since {}", due.due_at)]);
    block.line("note", &due.note_id.to_string());
    block.line("about", &due.intent);
    block.line("goes to", due.team.as_deref().unwrap_or("nobody in particular"));
    let how = match (due.reply_window_open, &due.template) {
        (true, _) => "an ordinary message".to_owned(),
        (false, Some(template)) => format!("the reply window is over: message template {template}"),
        (false, None) => "the reply window is over, and the playbook names no template".to_owned(),
    };
    block.line("by", &how);
    block.0
}

fn rise(spike: &Spike) -> String {
    let mut block = Block::headed(&[
        format!("{} · {}", spike.tenant, spike.intent),
        "spike".to_owned(),
        spike.detected_at.to_string(),
    ]);
    let Spike { count, window_minutes, expected, .. } = spike;
    block.line("seen", &format!("{count} notes in {window_minutes} minutes, where {expected:.1} are usual"));
    let ids: Vec<String> = spike.note_ids.iter().map(ToString::to_string).collect();
    block.line("among them", &ids.join(" "));
    block.0
}

fn closure(closed: &CaseClosed) -> String {
    let ticket = closed.ticket.as_deref().map_or_else(|| "a case".to_owned(), |ticket| format!("ticket {ticket}"));
    Block::headed(&[format!("{} · {}", closed.tenant, visible(&ticket)), "closed".to_owned()]).0
}

fn acknowledgement(acknowledged: &Acknowledged) -> String {
    let hours = if acknowledged.open { "within business hours" } else { "outside of business hours" };
    let mut block = Block::headed(&[visible(&acknowledged.message_id), "received".to_owned(), hours.to_owned()]);
    block.line("note", &acknowledged.note_id.to_string());
    block.line("told", &format!("[{}, {}]", acknowledged.template, acknowledged.language));
    block.line("", &acknowledged.text);
    block.0
}

/// A block of labelled lines.
#[must_use]
fn for_people(processed: &Processed, file: Option<&Path>) -> String {
    let name = file.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let mut block = Block::headed(&[
        visible(&name.or_else(|| processed.message_id.clone()).unwrap_or_else(|| processed.note_id.to_string())),
        processed.audio.as_ref().map_or_else(|| "no audio".to_owned(), audio_line),
        time_line(processed),
    ]);
    if file.is_none() {
        block.line("note", &processed.note_id.to_string());
    }
    if processed.outcome != OutcomeKind::Completed {
        let reason = processed.reason.map(|r| format!(" ({r})")).unwrap_or_default();
        block.line("outcome", &format!("{}{reason}", processed.outcome.as_str()));
        block.line("", processed.detail.as_deref().unwrap_or_default());
    }
    if let Some(transcript) = &processed.transcript {
        block.transcript(transcript);
    }
    if let Some(understanding) = &processed.understanding {
        block.understanding(understanding);
    }
    if let Some(route) = &processed.route {
        let escalated = if route.escalate { ", escalated" } else { "" };
        block.line("goes to", &format!("{}{escalated}", route.team.as_deref().unwrap_or("nobody in particular")));
    }
    if let Some(follow_up) = &processed.follow_up {
        block.line("ask again", &follow_up.due_at.strftime("%Y-%m-%d").to_string());
    }
    if let Some(reply) = &processed.reply {
        block.reply(reply, processed.drafting.as_ref().filter(|drafting| drafting.used));
    }
    block.0
}

fn audio_line(audio: &AudioInfo) -> String {
    let partial = if audio.partial { ", a part is missing" } else { "" };
    format!("{:.1} s of {}/{}{partial}", audio.duration_s, audio.container, audio.codec)
}

/// What it took, against the note's length.
fn time_line(processed: &Processed) -> String {
    let took_s = processed.timings_ms.total as f64 / 1e3;
    let ratio = processed.audio.as_ref().map(|a| a.duration_s / took_s).filter(|r| r.is_finite() && took_s > 0.0);
    let ratio = ratio.map(|r| match r {
        _ if r >= 1.5 => format!(", {r:.0}× faster than it was spoken"),
        _ if r >= 1.0 => ", faster than it was spoken".to_owned(),
        _ => ", slower than it was spoken".to_owned(),
    });
    format!("answered in {took_s:.2} s{}", ratio.unwrap_or_default())
}

struct Block(String);

impl Block {
    fn headed(parts: &[String]) -> Self {
        Self(format!("── {}", parts.join(" · ")))
    }

    /// A label and its text, wrapped behind the label. Text that comes from customers or files cannot move the
    /// cursor: control characters are dropped.
    fn line(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut label = label;
        let mut row = String::new();
        for word in text.split_whitespace().map(visible) {
            if !row.is_empty() && row.chars().count() + 1 + word.chars().count() > WIDTH - LABEL_WIDTH {
                self.row(label, &row);
                (label, row) = ("", String::new());
            }
            if !row.is_empty() {
                row.push(' ');
            }
            row += &word;
        }
        self.row(label, &row);
    }

    fn row(&mut self, label: &str, text: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "\n   {label:LABEL_WIDTH$}{text}");
    }

    fn transcript(&mut self, transcript: &Transcript) {
        self.line("said", &format!("»{}«", transcript.text.expose()));
        self.line(
            "language",
            &format!(
                "{} ({}), recognised at {}",
                transcript.language,
                percent(transcript.language_confidence),
                percent(transcript.confidence)
            ),
        );
    }

    fn understanding(&mut self, understanding: &Understanding) {
        match &understanding.intent {
            Some(intent) => {
                self.line("wants", &format!("{} ({})", intent.name, percent(intent.confidence)));
                self.line("", &intent.evidence.as_ref().map(|e| format!("»{}«", e.expose())).unwrap_or_default());
            }
            None => self.line("wants", "not sure enough to say"),
        }
        let alternatives: Vec<String> =
            understanding.alternatives.iter().map(|i| format!("{} ({})", i.name, percent(i.confidence))).collect();
        self.line("or", &alternatives.join(", "));
        let grounds = understanding.urgency.grounds.join(", ");
        let grounds = if grounds.is_empty() { grounds } else { format!(" ({grounds})") };
        self.line("urgency", &format!("{}{grounds}", understanding.urgency.level.as_str()));
        let entities: Vec<String> = understanding
            .entities
            .iter()
            .map(|e| format!("{} {}{}", e.kind, e.value.expose(), if e.verified { " ✓" } else { "" }))
            .collect();
        self.line("names", &entities.join(", "));
        let earlier = understanding.earlier_contact.as_ref().map(|earlier| format!("»{}«", earlier.evidence.expose()));
        self.line("earlier", &earlier.unwrap_or_default());
        self.line("contact", &wishes(&understanding.contact).join(", "));
    }

    fn reply(&mut self, reply: &Reply, draft: Option<&Drafting>) {
        match reply {
            Reply::Suggestion { text, template, .. } => {
                let worded = draft.map(|draft| format!(", worded by {}", draft.model)).unwrap_or_default();
                self.line("suggestion", &format!("[{template}{worded}]"));
                self.line("", text.expose());
            }
            Reply::Question { text, missing, .. } => {
                self.line("question", &format!("[asks for {}]", missing.join(", ")));
                self.line("", text.expose());
            }
            Reply::Abstention { reason } => self.line("suggestion", &format!("none: {}", why(*reason))),
        }
    }
}

fn percent(share: f32) -> String {
    format!("{:.0} %", share * 100.0)
}

/// How somebody wants to be reached, wish by wish.
fn wishes(contact: &ContactPreferences) -> Vec<String> {
    let phone = contact
        .phone_allowed
        .map(|allowed| if allowed { "wants to be called".to_owned() } else { "does not want to be called".to_owned() });
    let call = contact.call.clone().unwrap_or_default();
    let time = |time: &CallTime| {
        let part = time.part_of_day.map(|part| name(&part));
        let from = time.from.as_ref().map(|from| format!("from {}", from.expose()));
        let until = time.until.as_ref().map(|until| format!("until {}", until.expose()));
        [time.date.as_ref().map(|date| date.expose().to_owned()), part, from, until]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let times = (!call.times.is_empty()).then(|| call.times.iter().map(time).collect::<Vec<_>>().join(" or "));
    let number = call.number.map(|number| format!("on {}", number.expose()));
    let only = contact.write_only.then(|| "in writing only".to_owned());
    let channel = contact.channel.map(|channel| format!("by {}", name(&channel)));
    [phone, times, number, only, channel].into_iter().flatten().collect()
}

/// What a value is called in the event.
fn name(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn why(reason: Abstained) -> &'static str {
    match reason {
        Abstained::NothingUnderstood => "there is nothing that could be answered",
        Abstained::IntentUnsure => "it is not sure enough what the customer wants",
        Abstained::SeveralIntents => "the customer wants more than one thing",
        Abstained::NoTemplate => "the playbook has no text for this",
        Abstained::NoTemplateInLanguage => "the playbook has no text for this in the customer's language",
        Abstained::FactMissing => "a fact is missing that the text needs",
        Abstained::LeftToPeople => "the playbook leaves this to people",
        Abstained::Contradicted => "the playbook's text does not fit what the note says",
        Abstained::TooLong => "the channel has no room for the playbook's text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_to_reach_somebody_is_one_line() {
        let contact = serde_json::json!({
            "phone_allowed": true, "channel": "email",
            "call": {"times": [{"date": "2026-03-24", "from": "09:00", "until": "11:00"}, {"part_of_day": "evening"}],
                     "number": "01765532210"},
        });
        let wishes = wishes(&serde_json::from_value(contact).unwrap()).join(", ");
        let wanted = "wants to be called, 2026-03-24 from 09:00 until 11:00 or evening, on 01765532210, by email";
        assert_eq!(wishes, wanted);
    }

    #[test]
    fn long_text_wraps_behind_its_label_and_cannot_move_the_cursor() {
        let mut block = Block(String::new());
        block.line("said", &format!("\u{1b}[2Jhallo {}", "wort ".repeat(40)));
        assert!(!block.0.contains('\u{1b}'));
        let rows: Vec<&str> = block.0.trim_start_matches('\n').lines().collect();
        assert!(rows.len() > 1 && rows.iter().all(|r| r.chars().count() <= WIDTH + 3), "{rows:?}");
        assert!(rows[0].starts_with("   said") && rows[1].starts_with("               wort"), "{rows:?}");
    }
}
