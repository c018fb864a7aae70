use serde_json::{Value, json};

use super::*;

/// A note that was understood, as the wire contract shows it.
fn result(changes: &Value) -> Processed {
    let mut result = json!({
        "note_id": "0d6cbd1e-3c33-5d0a-9f0e-3f1f6a3f2f10", "tenant": "musterstrom", "channel": "whatsapp",
        "message_id": "wamid.1", "conversation": "4917012345", "ticket": "4711", "sender": "c:9f2b",
        "sent_at": "2026-11-21T18:02:11Z", "reply_window_ends_at": "2026-11-22T18:02:11Z",
        "outcome": "completed", "reason": null, "detail": null,
        "audio": {"container": "ogg", "codec": "opus", "duration_s": 13.86, "sha256": "00"},
        "transcript": {
            "text": "Bei uns geht seit gestern Abend das Internet nicht mehr. Meine Kundennummer ist 4711.",
            "language": "de", "language_confidence": 0.99, "confidence": 0.93, "segments": [], "model": "m"
        },
        "understanding": {
            "intent": {"name": "outage", "confidence": 0.91, "evidence": "Bei uns geht das Internet nicht mehr."},
            "alternatives": [{"name": "invoice", "confidence": 0.2}],
            "urgency": {"level": "high", "grounds": ["outage"]},
            "entities": [
                {"kind": "customer_number", "value": "4711", "verified": true, "start_s": 66.1, "end_s": 67.0},
                {"kind": "date", "value": "2026-11-20", "verified": false}
            ],
            "contact": {"phone_allowed": false}, "sentiment": "negative"
        },
        "reply": {"kind": "suggestion", "text": "Guten Tag,\nwir prüfen den Anschluss.", "language": "de",
                  "template": "outage.first", "facts": ["customer_number"]},
        "route": {"team": "technik", "escalate": true}, "follow_up": {"due_at": "2026-11-28T18:02:11Z"},
        "timings_ms": {"queue": null, "fetch": null, "decode": null, "transcribe": null, "understand": null, "total": 1},
        "attempt": 1, "worker": "w", "software": "0"
    });
    for (field, value) in changes.as_object().unwrap() {
        result[field] = value.clone();
    }
    serde_json::from_value(result).unwrap()
}

/// A note that was not.
fn without_transcript(outcome: &str, reason: &str) -> Processed {
    result(&json!({"outcome": outcome, "reason": reason, "transcript": null, "understanding": null, "route": null,
                  "reply": {"kind": "abstention", "reason": "nothing_understood"}, "follow_up": null}))
}

fn config(more: &str) -> Config {
    let vendor =
        "type = \"request_tracker\"\nurl = \"https://rt.example\"\nqueue = \"Voice\"\ntoken = { env = \"T\" }\n";
    toml::from_str(&format!("name = \"main\"\n{vendor}{more}")).unwrap()
}

fn text(result: &Processed, config: &Config, playback: &Playback) -> String {
    let entry = TicketEntry::of(result, config, playback);
    format!("{}\n---\n{}", entry.title, entry.text.expose())
}

#[test]
fn how_to_reach_somebody_stands_in_one_line() {
    let contact = json!({
        "phone_allowed": true,
        "call": {"times": [{"date": "2026-03-24", "from": "09:00", "until": "11:00"}, {"part_of_day": "evening"},
                           {"from": "18:00"}, {"until": "12:00"}, {"from": "10:00", "until": "10:00"}],
                 "number": "01765532210"}
    });
    let line = |contact: Value, more: &str| {
        let mut result = serde_json::to_value(result(&json!({}))).unwrap();
        result["understanding"]["contact"] = contact;
        let text = text(&serde_json::from_value(result).unwrap(), &config(more), &Playback::NotWanted);
        text.lines().find(|line| line.starts_with("Kontakt") || line.starts_with("Contact")).unwrap().to_owned()
    };
    assert_eq!(
        line(contact.clone(), ""),
        "Kontaktwunsch: bittet um einen Anruf; erreichbar 2026-03-24 09:00–11:00 oder abends oder ab 18:00 oder bis \
         12:00 oder um 10:00; unter 01765532210"
    );
    assert_eq!(
        line(json!({"phone_allowed": false, "write_only": true, "channel": "email"}), "language = \"en\"\n"),
        "Contact: please do not call; in writing only; by e-mail"
    );
}

#[test]
fn a_note_says_everything_that_an_agent_needs() {
    let german = config("link_base = \"https://console.example/notes\"\n");
    insta::assert_snapshot!("german", text(&result(&json!({})), &german, &Playback::NotWanted));
    let english = config("language = \"en\"\ntime_zone = \"UTC\"\ntitle = \"Call\"\n");
    insta::assert_snapshot!(
        "english",
        text(&result(&json!({})), &english, &Playback::Attached(Bytes::from_static(b"x")))
    );
}

#[test]
fn every_outcome_has_a_line_that_helps() {
    let config = config("");
    let results = [
        without_transcript("no_speech", "silence"),
        result(&json!({"outcome": "unintelligible", "reason": "low_confidence", "understanding": null, "route": null,
                      "reply": {"kind": "abstention", "reason": "nothing_understood"}, "follow_up": null})),
        without_transcript("rejected", "unsupported_codec"),
        without_transcript("failed", "worker_crashed"),
    ];
    let texts: Vec<String> = results.iter().map(|result| text(result, &config, &Playback::Gone)).collect();
    insta::assert_snapshot!("outcomes", texts.join("\n======\n"));
}

#[test]
fn questions_and_abstentions_are_no_suggestions() {
    let config = config("");
    let question = json!({"kind": "question", "text": "Wie lautet Ihre Kundennummer?", "language": "de",
                          "template": "outage.ask", "missing": ["customer_number"]});
    let abstention = json!({"kind": "abstention", "reason": "several_intents"});
    let texts = [question, abstention].map(|reply| {
        let text = text(&result(&json!({ "reply": reply })), &config, &Playback::TooLarge);
        text.split("Antworten möglich").nth(1).unwrap().to_owned()
    });
    insta::assert_snapshot!("replies", texts.join("\n======\n"));
}

#[test]
fn whose_words_a_suggestion_has_is_said() {
    let said = |used: bool| {
        let drafting =
            json!({"used": used, "reason": if used { json!(null) } else { json!("number") }, "model": "tiny"});
        text(&result(&json!({ "drafting": drafting })), &config(""), &Playback::NotWanted)
    };
    assert!(said(true).contains("im Wortlaut von tiny)"), "{}", said(true));
    assert!(!said(false).contains("tiny"), "{}", said(false));
}

#[test]
fn what_is_said_cannot_look_like_a_line_of_the_note() {
    let said = "Hallo\nANTWORTVORSCHLAG (nicht gesendet)\r<b>\u{202e}[vn:0]\u{0007}";
    let mut result = result(&json!({}));
    result.transcript.as_mut().unwrap().text = said.into();
    let text = text(&result, &config(""), &Playback::NotWanted);
    assert!(text.contains("> Hallo\n> ANTWORTVORSCHLAG (nicht gesendet) <b>[vn:0]\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("[vn:")).count(), 1);
    assert!(text.ends_with("[vn:0d6cbd1e-3c33-5d0a-9f0e-3f1f6a3f2f10]\n"));
}

#[test]
fn a_title_holds_nothing_personal() {
    let entry = TicketEntry::of(&result(&json!({})), &config(""), &Playback::NotWanted);
    assert_eq!(entry.title, "Sprachnachricht (whatsapp): outage");
    assert!(!format!("{entry:?}").contains("Internet"), "{entry:?}");
}

#[test]
fn a_reminder_that_hides_the_ticket_has_to_be_asked_for() {
    let zammad = |more: &str| {
        let text = "name = \"z\"\ntype = \"zammad\"\nurl = \"https://z.example\"\ntoken = { env = \"T\" }\n\
                    group = \"Voice\"\ncustomer = \"voice@example.com\"\n";
        toml::from_str(&format!("{text}{more}")).unwrap()
    };
    let reminds = |config: &Config| TicketEntry::of(&result(&json!({})), config, &Playback::NotWanted).reminder_at;
    assert_eq!(reminds(&zammad("")), None);
    assert!(reminds(&zammad("reminders = true\n")).is_some());
    assert!(reminds(&config("")).is_some());
}

#[test]
fn words_of_the_playbook_become_words_of_the_system() {
    let mapped = config(
        "tags = [\"voice\"]\ntags_if_escalated = [\"voice\", \"eskaliert\"]\n\
         [priority_by_urgency]\nhigh = \"80\"\n[team_by_route]\ntechnik = \"Technik\"\n[tags_by_intent]\noutage = [\"ausfall\"]\n",
    );
    let entry = TicketEntry::of(&result(&json!({})), &mapped, &Playback::NotWanted);
    assert_eq!((entry.priority.as_deref(), entry.team.as_deref()), (Some("80"), Some("Technik")));
    assert_eq!(entry.tags, ["voice", "ausfall", "eskaliert"]);
    assert_eq!(entry.reminder_at, Some("2026-11-28T18:02:11Z".parse().unwrap()));

    let plain = TicketEntry::of(&result(&json!({})), &config("reminders = false\n"), &Playback::NotWanted);
    assert_eq!((plain.priority, plain.team, plain.tags, plain.reminder_at), (None, None, vec![], None));
}

#[test]
fn an_attachment_is_called_what_it_is() {
    let attached = Playback::Attached(Bytes::from_static(b"OggS"));
    let attachment = TicketEntry::of(&result(&json!({})), &config(""), &attached).attachment.unwrap();
    assert_eq!(attachment.file_name, "voice-note-0d6cbd1e-3c33-5d0a-9f0e-3f1f6a3f2f10.ogg");
    assert_eq!((attachment.content_type.as_str(), &attachment.bytes[..]), ("audio/ogg", &b"OggS"[..]));
    assert!(!format!("{attachment:?}").contains("Ogg"), "{attachment:?}");
}

#[test]
fn a_note_without_a_conversation_is_found_by_itself() {
    let alone = TicketEntry::of(&result(&json!({"conversation": null})), &config(""), &Playback::NotWanted);
    assert_eq!(alone.key(), alone.marker.as_str());
    let of_conversation = TicketEntry::of(&result(&json!({})), &config(""), &Playback::NotWanted);
    assert!(of_conversation.key().starts_with("[vc:"));
}

#[test]
fn a_key_that_nobody_knows_is_refused() {
    let text = "name = \"main\"\ntype = \"request_tracker\"\nurl = \"https://rt.example\"\nqueue = \"Voice\"\ntoken = { env = \"T\" }\n";
    assert!(toml::from_str::<Config>(&format!("{text}qeue = \"x\"\n")).unwrap_err().to_string().contains("qeue"));
    assert!(toml::from_str::<Config>(&format!("{text}token = \"x\"\n")).is_err());
}

fn key(tenant: &str, channel: &str, conversation: &str) -> String {
    ConversationKey::of(&tenant.parse().unwrap(), &channel.parse().unwrap(), &conversation.into()).as_str().to_owned()
}

#[test]
fn a_conversation_has_one_key_that_does_not_show_its_number() {
    insta::assert_snapshot!(key("musterstrom", "whatsapp", "4917012345"), @"[vc:d42d57bab52f4cf57cb60a46]");
    assert_ne!(key("musterstrom", "whatsapp", "4917012345"), key("musterstrom", "telegram", "4917012345"));
    assert_ne!(key("a", "b", "1"), key("c", "b", "1"));
}

#[test]
fn a_replay_has_a_marker_of_its_own_that_is_no_part_of_another() {
    let note = NoteId::of(&"t".parse().unwrap(), &"c".parse().unwrap(), "m");
    let markers: Vec<Marker> = (0..12).map(|replay| Marker::of(note, replay)).collect();
    for (n, marker) in markers.iter().enumerate() {
        let others = markers.iter().filter(|other| other.as_str().contains(marker.as_str()));
        assert_eq!(others.count(), 1, "{n}");
    }
    assert_eq!(markers[0].bare(), format!("vn:{note}"));
}
