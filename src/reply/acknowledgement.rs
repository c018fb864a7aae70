//! Owns what a sender is told at once: whether, in which language, and with which text of the playbook.
//!
//! Nobody has listened to the note yet, so nothing here depends on what was said. At most once a note: whatever brings
//! it back, be it a retry, a lane, a crash or people, it was told the first time.

use jiff::Timestamp;

use crate::{
    backlog::Relief,
    broker::Lane,
    event::{Acknowledged, Event, envelope::Received},
    note::VoiceNote,
    report::Attempt,
    tenants::TenantConfig,
    understanding::playbook::{Acknowledgement, AcknowledgementTexts, Playbook},
};

/// The acknowledgement of a note that was delivered for this attempt; None if there is to be none.
#[must_use]
pub fn acknowledge(
    received: &Received,
    attempt: Attempt,
    tenant: &TenantConfig,
    playbook: &Playbook,
    now: Timestamp,
) -> Option<Event> {
    if !is_new(attempt) {
        return None;
    }
    let said = playbook.acknowledgement.as_ref()?;
    if !tenant.acknowledgement.unwrap_or(said.enabled) {
        return None;
    }
    let note = &received.note;
    let (language, texts) = in_language(note, tenant, said, &playbook.language)?;
    let open = said.is_open(tenant.business_hours.as_ref(), now);
    let busy = texts.busy.as_ref().filter(|_| attempt.relief == Some(Relief::SetAside));
    let (name, text) = match busy {
        Some(busy) => ("busy", busy),
        None if open => ("open", &texts.open),
        None => ("closed", &texts.closed),
    };
    let data = Acknowledged {
        note_id: note.id(),
        tenant: note.tenant.clone(),
        channel: note.channel.clone(),
        message_id: note.message_id.clone(),
        conversation: note.conversation.clone(),
        ticket: note.ticket.clone(),
        sender: note.sender.clone(),
        reply_window_ends_at: note.reply_window_ends_at,
        language: language.to_owned(),
        text: text.text(),
        template: format!("acknowledgement.{name}"),
        open,
    };
    Some(Event::acknowledged(data, received.traceparent.clone()))
}

/// Notes get to the other lanes only by a worker, which saw them before.
fn is_new(attempt: Attempt) -> bool {
    attempt.number == 1 && attempt.replay == 0 && matches!(attempt.lane, Lane::Regular | Lane::Urgent)
}

/// The first language that has texts of: the note's own, its tenant's, the playbook's.
fn in_language<'a>(
    note: &'a VoiceNote,
    tenant: &'a TenantConfig,
    said: &'a Acknowledgement,
    default: &'a str,
) -> Option<(&'a str, &'a AcknowledgementTexts)> {
    let wanted = note.language.as_deref().or(tenant.language.as_deref()).unwrap_or(default);
    [wanted, default].into_iter().find_map(|language| Some((language, said.texts.get(language)?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::envelope::{ACKNOWLEDGED_V1, parse_event};

    const PLAYBOOK: &str = r#"
version = 1
language = "de"
[acknowledgement]
enabled = true
time_zone = "Europe/Berlin"
holidays = ["2026-12-25"]
[acknowledgement.hours]
monday = ["08:00-18:00"]
friday = ["08:00-12:00"]
[acknowledgement.text.de]
open = "Danke, wir kümmern uns."
closed = "Danke, ab acht sind wir da."
busy = "Danke, es dauert."
[acknowledgement.text.en]
open = "Thank you."
closed = "Thank you, we are closed."
"#;
    /// A Monday, nine o'clock in Berlin.
    const MONDAY: &str = "2026-11-23T08:00:00Z";

    fn on(lane: Lane, number: u32, replay: u32) -> Attempt {
        Attempt { number, lane, replay, ..Attempt::only() }
    }

    const NEW: fn() -> Attempt = || on(Lane::Regular, 1, 0);

    fn told(attempt: Attempt, tenant: &TenantConfig, language: Option<&str>, now: &str) -> Option<Acknowledged> {
        told_by(PLAYBOOK, attempt, tenant, language, now)
    }

    fn told_by(
        playbook: &str,
        attempt: Attempt,
        tenant: &TenantConfig,
        language: Option<&str>,
        now: &str,
    ) -> Option<Acknowledged> {
        let playbook = Playbook::parse(playbook, "test").unwrap_or_else(|errors| panic!("{errors}"));
        let note = serde_json::from_value(json!({
            "tenant": "musterstrom", "channel": "whatsapp", "message_id": "m", "conversation": "49170", "language": language,
            "reply_window_ends_at": "2026-11-24T08:00:00Z", "audio": {"type": "inline", "data": ""}
        }))
        .unwrap();
        let received = Received { note, traceparent: None };
        let event = acknowledge(&received, attempt, tenant, &playbook, now.parse().unwrap())?;
        match event {
            Event::Acknowledged { data, .. } => Some(*data),
            other => panic!("{other:?}"),
        }
    }

    fn text(language: Option<&str>, now: &str) -> String {
        told(NEW(), &TenantConfig::default(), language, now).unwrap().text
    }

    #[test]
    fn the_text_is_that_of_the_hour_in_the_playbooks_time_zone() {
        assert_eq!(text(None, MONDAY), "Danke, wir kümmern uns.");
        for closed in [
            "2026-11-23T06:59:00Z", // 7:59 in Berlin
            "2026-11-23T17:00:00Z", // 18:00
            "2026-11-24T09:00:00Z", // a Tuesday
            "2026-12-25T09:00:00Z", // a Friday, and a holiday
        ] {
            assert_eq!(text(None, closed), "Danke, ab acht sind wir da.", "{closed}");
        }
        // In summer the clock is two hours ahead.
        assert_eq!(text(None, "2026-07-06T06:00:00Z"), "Danke, wir kümmern uns.");
    }

    #[test]
    fn the_language_is_the_notes_own_then_the_tenants_then_the_playbooks() {
        let english = TenantConfig { language: Some("en".to_owned()), ..TenantConfig::default() };
        let language = |tenant: &TenantConfig, own| told(NEW(), tenant, own, MONDAY).unwrap().language;
        assert_eq!(language(&english, Some("de")), "de");
        assert_eq!(language(&english, None), "en");
        assert_eq!(language(&TenantConfig::default(), None), "de");
        assert_eq!(language(&english, Some("tr")), "de", "no text in Turkish");
    }

    #[test]
    fn a_note_is_acknowledged_once_however_it_comes_back() {
        let tenant = TenantConfig::default();
        let count = |attempt| told(attempt, &tenant, None, MONDAY).is_some();
        assert!(count(NEW()) && count(on(Lane::Urgent, 1, 0)));
        for again in [on(Lane::Regular, 2, 0), on(Lane::Regular, 1, 1), on(Lane::Long, 1, 0), on(Lane::Suspect, 1, 0)] {
            assert!(!count(again), "{again:?}");
        }
    }

    #[test]
    fn a_tenant_overrides_the_playbook() {
        let off = TenantConfig { acknowledgement: Some(false), ..TenantConfig::default() };
        let on = TenantConfig { acknowledgement: Some(true), ..TenantConfig::default() };
        let disabled = PLAYBOOK.replace("enabled = true", "enabled = false");
        assert!(told(NEW(), &off, None, MONDAY).is_none());
        assert!(told_by(&disabled, NEW(), &TenantConfig::default(), None, MONDAY).is_none());
        assert!(told_by(&disabled, NEW(), &on, None, MONDAY).is_some());
        assert!(told_by("version = 1", NEW(), &on, None, MONDAY).is_none(), "there is nothing to say");
        let sundays = toml::from_str("business_hours.sunday = [\"10:00-12:00\"]").unwrap();
        assert!(!told(NEW(), &sundays, None, MONDAY).unwrap().open);
        assert!(told(NEW(), &sundays, None, "2026-11-22T09:30:00Z").unwrap().open);
    }

    #[test]
    fn who_is_set_aside_is_told_that_it_takes_a_while_where_there_is_a_text() {
        let busy = Attempt { relief: Some(Relief::SetAside), ..NEW() };
        let tenant = TenantConfig::default();
        let template = |attempt, language| told(attempt, &tenant, language, MONDAY).unwrap().template;
        assert_eq!(template(busy, None), "acknowledgement.busy");
        assert_eq!(template(busy, Some("en")), "acknowledgement.open");
        let hurried = Attempt { relief: Some(Relief::FastProfile), ..NEW() };
        assert_eq!(template(hurried, None), "acknowledgement.open");
    }

    #[test]
    fn its_message_has_a_topic_and_an_id_of_its_own() {
        let data = told(NEW(), &TenantConfig::default(), None, MONDAY).unwrap();
        let event = Event::acknowledged(
            data.clone(),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        );
        let message = event.to_message(MONDAY.parse().unwrap());
        assert_eq!(message.routing_key, "acknowledged.musterstrom.whatsapp");
        assert_eq!(message.id, Some(data.note_id.event_id(ACKNOWLEDGED_V1).to_string()));
        assert_eq!(parse_event(&message).unwrap(), event);
    }
}
