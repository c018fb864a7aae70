use serde_json::json;

use super::*;
use crate::event::processed::{self, ContactPreferences, Urgency, UrgencyLevel};

const PLAYBOOK: &str = r#"
version = 1
teams = ["technik", "vertrag", "recht"]
default_team = "vertrag"
[entities.order_number]
pattern = '\d{4,8}'
[[escalation]]
name = "law"
grounds = ["legal"]
team = "recht"
[[intent]]
name = "parcel"
examples = ["wo ist mein Paket"]
team = "technik"
follow_up_after = "7d"
reply.de.text = "Guten Tag {{ name }}, wir suchen die Bestellung {{ order_number }}."
reply.de.ask.order_number = "Wie lautet die Bestellnummer?"
reply.de.ask.name = "Wie heißen Sie?"
[[intent]]
name = "call"
examples = ["rufen Sie mich an"]
secondary = true
reply.de.text = "Wir rufen Sie unter {{ phone }} an."
reply.de.plain = "Wir rufen Sie an."
[[intent]]
name = "no_call"
examples = ["nicht anrufen"]
secondary = true
reply.de.text = "Wir rufen Sie nicht an."
reply.de.calls = false
[[intent]]
name = "mute"
examples = ["sag nichts"]
[[intent]]
name = "people"
examples = ["Chef sprechen"]
left_to_people = true
reply.de.text = "Hallo."
[[intent]]
name = "date"
examples = ["Termin"]
unless = ["kein* termin"]
settled = ["termin war"]
reply.de.text = "Am {{ date }}."
"#;

fn transcript(language: &str) -> Transcript {
    Transcript {
        text: "…".into(),
        language: language.to_owned(),
        language_confidence: 1.0,
        confidence: 0.9,
        segments: Vec::new(),
        model: "test".to_owned(),
    }
}

fn understood(intent: &str, facts: &[(&str, &str, bool)]) -> Understanding {
    let found = |name: &str| processed::Intent { name: name.to_owned(), confidence: 0.9, evidence: None };
    Understanding {
        intent: (!intent.is_empty()).then(|| found(intent)),
        alternatives: Vec::new(),
        urgency: Urgency { level: UrgencyLevel::Normal, grounds: Vec::new(), evidence: vec![] },
        entities: facts
            .iter()
            .map(|&(kind, value, verified)| Entity {
                kind: kind.to_owned(),
                value: value.into(),
                verified,
                start_s: None,
                end_s: None,
            })
            .collect(),
        contact: ContactPreferences::default(),
        earlier_contact: None,
        sentiment: None,
    }
}

fn note() -> VoiceNote {
    serde_json::from_value(json!({
        "tenant": "t", "channel": "c", "message_id": "m", "sent_at": "2026-11-21T18:02:11Z",
        "audio": {"type": "inline", "data": ""}
    }))
    .unwrap()
}

fn suggested(language: &str, understanding: &Understanding) -> Suggested {
    let playbook = Playbook::parse(PLAYBOOK, "test").unwrap();
    suggest(&playbook, &note(), &transcript(language), understanding, Timestamp::UNIX_EPOCH)
}

fn text(reply: &Reply) -> &str {
    match reply {
        Reply::Suggestion { text, .. } | Reply::Question { text, .. } => text.expose(),
        Reply::Abstention { reason } => panic!("abstained: {reason:?}"),
    }
}

fn reason(language: &str, understanding: &Understanding) -> Abstained {
    match suggested(language, understanding).reply {
        Reply::Abstention { reason } => reason,
        reply => panic!("no abstention: {reply:?}"),
    }
}

#[test]
fn a_suggestion_is_filled_with_what_was_said_and_names_its_facts() {
    let all = understood("parcel", &[("order_number", "471108", true), ("name", "Brandt", false)]);
    let suggested = suggested("de", &all);
    assert_eq!(text(&suggested.reply), "Guten Tag Brandt, wir suchen die Bestellung 471108.");
    let Reply::Suggestion { facts, template, .. } = suggested.reply else { panic!() };
    assert_eq!((facts, template.as_str()), (vec!["name".to_owned(), "order_number".to_owned()], "parcel.first"));
    assert_eq!(suggested.route, Route { team: Some("technik".to_owned()), escalate: false, escalation: None });
    assert_eq!(suggested.follow_up.unwrap().due_at.to_string(), "2026-11-28T18:02:11Z");
}

#[test]
fn a_missing_unverified_or_contradicted_fact_is_asked_for() {
    for facts in [
        &[("name", "Brandt", false)][..],
        &[("name", "Brandt", false), ("order_number", "12", false)],
        &[("name", "Brandt", false), ("order_number", "4711", true), ("order_number", "4712", true)],
    ] {
        let reply = suggested("de", &understood("parcel", facts)).reply;
        let Reply::Question { text, missing, template, .. } = reply else { panic!("{reply:?}") };
        assert_eq!((text.expose(), template.as_str()), ("Wie lautet die Bestellnummer?", "parcel.ask"));
        assert_eq!(missing, ["order_number"]);
    }
}

#[test]
fn what_a_customer_says_is_never_a_template_and_leaves_no_control_characters() {
    let hostile = "{order_number}}}\n\u{202e}\u{7}{{name}";
    let facts = [("order_number", "471108", true), ("name", hostile, false)];
    let reply = suggested("de", &understood("parcel", &facts)).reply;
    assert_eq!(text(&reply), "Guten Tag {order_number}}} {{name}, wir suchen die Bestellung 471108.");
}

#[test]
fn whoever_does_not_want_calls_is_not_told_that_we_call() {
    let mut understanding = understood("call", &[]);
    assert_eq!(text(&suggested("de", &understanding).reply), "Wir rufen Sie an.");
    understanding.contact.phone_allowed = Some(false);
    assert_eq!(reason("de", &understanding), Abstained::Contradicted);
}

#[test]
fn only_who_does_not_want_calls_is_told_that_we_do_not_call() {
    let mut understanding = understood("no_call", &[]);
    for (wish, told) in [(None, false), (Some(true), false), (Some(false), true)] {
        understanding.contact.phone_allowed = wish;
        let reply = suggested("de", &understanding).reply;
        assert_eq!(reply != Reply::Abstention { reason: Abstained::Contradicted }, told, "{wish:?}");
    }
}

#[test]
fn what_the_note_takes_back_is_not_answered() {
    let answered = |note: &str| {
        let playbook = Playbook::parse(PLAYBOOK, "test").unwrap();
        let mut transcript = transcript("de");
        transcript.text = note.into();
        let understanding = understood("date", &[("date", "2026-12-01", false)]);
        let route = route(&playbook, None, &understanding);
        reply(&playbook, playbook.intent("date"), &transcript, &understanding, &route)
    };
    assert!(answered("Wir brauchen einen Termin").is_ok());
    for note in ["Wir brauchen keinen Termin", "Der Termin war schon", "Das hat sich erledigt"] {
        assert_eq!(answered(note), Err(Abstained::Contradicted), "{note}");
    }
}

#[test]
fn who_speaks_of_killing_is_answered_by_people_whatever_the_playbook_says() {
    for ground in urgency::FOR_PEOPLE {
        let mut understanding = understood("parcel", &[]);
        understanding.urgency.grounds = vec![ground.to_owned()];
        assert_eq!(reason("de", &understanding), Abstained::LeftToPeople);
    }
}

#[test]
fn an_intent_that_gives_way_is_no_answer_beside_a_likely_one() {
    let mut understanding = understood("call", &[]);
    let other = |confidence| processed::Intent { name: "parcel".to_owned(), confidence, evidence: None };
    understanding.alternatives = vec![other(0.3)];
    assert_eq!(text(&suggested("de", &understanding).reply), "Wir rufen Sie an.");
    understanding.alternatives = vec![other(0.45)];
    assert_eq!(reason("de", &understanding), Abstained::SeveralIntents);
}

#[test]
fn every_abstention_has_its_reason() {
    assert_eq!(reason("de", &understood("", &[])), Abstained::IntentUnsure);
    assert_eq!(reason("de", &understood("mute", &[])), Abstained::NoTemplate);
    assert_eq!(reason("fr", &understood("parcel", &[])), Abstained::NoTemplateInLanguage);
    assert_eq!(reason("de", &understood("people", &[])), Abstained::LeftToPeople);
    assert_eq!(reason("de", &understood("date", &[])), Abstained::FactMissing);
}

#[test]
fn a_second_request_silences_but_one_that_gives_way_does_not() {
    let other = |name: &str, evidence: Option<&str>| processed::Intent {
        name: name.to_owned(),
        confidence: 0.8,
        evidence: evidence.map(Private::from),
    };
    let mut understanding = understood("parcel", &[]);
    understanding.alternatives = vec![other("date", None), other("call", Some("ruft mich an"))];
    assert!(matches!(suggested("de", &understanding).reply, Reply::Question { .. }));
    understanding.alternatives.push(other("date", Some("und der Termin")));
    assert_eq!(reason("de", &understanding), Abstained::SeveralIntents);
}

#[test]
fn an_escalation_takes_the_note_to_its_team_and_to_people() {
    let mut understanding = understood("parcel", &[]);
    understanding.urgency = Urgency { level: UrgencyLevel::High, grounds: vec!["legal".to_owned()], evidence: vec![] };
    let suggested = suggested("de", &understanding);
    let escalation = Some("law".to_owned());
    assert_eq!(suggested.route, Route { team: Some("recht".to_owned()), escalate: true, escalation });
    assert_eq!(suggested.reply, Reply::Abstention { reason: Abstained::LeftToPeople });
}

#[test]
fn a_note_without_intent_goes_to_the_default_team_and_has_no_follow_up() {
    let suggested = suggested("de", &understood("", &[]));
    assert_eq!((suggested.route.team.as_deref(), suggested.follow_up), (Some("vertrag"), None));
}

#[test]
fn a_transcript_that_cannot_be_trusted_is_not_answered() {
    let playbook = Playbook::parse(PLAYBOOK, "test").unwrap();
    let mut transcript = transcript("de");
    transcript.confidence = 0.2;
    let understanding = understood("parcel", &[("order_number", "471108", true), ("name", "Brandt", false)]);
    let route = route(&playbook, None, &understanding);
    let intent = playbook.intent("parcel");
    assert_eq!(reply(&playbook, intent, &transcript, &understanding, &route), Err(Abstained::NothingUnderstood));
}

/// With another wording for those who say "du", a shorter one, and an offer to those who complain in public.
const WORDED: &str = r#"
version = 1
[channels.sms]
chars_max = 40
[[escalation]]
name = "in_public"
grounds = ["publicity"]
reply.de = "Das möchten wir mit Ihnen klären, am liebsten im Direktchat."
[[escalation]]
name = "law"
grounds = ["legal"]
[[intent]]
name = "parcel"
examples = ["wo ist mein Paket"]
reply.de.text = "Guten Tag, wir suchen Ihre Bestellung {{ order_number }} und melden uns bei Ihnen."
reply.de.short = "Wir suchen Ihre Bestellung {{ order_number }}."
reply.de.informal.text = "Hallo, wir suchen deine Bestellung {{ order_number }}."
reply.de.informal.ask.order_number = "Wie lautet deine Bestellnummer?"
"#;

fn worded(playbook: &str, said: &str, channel: &str, understanding: &Understanding) -> Reply {
    let playbook = Playbook::parse(playbook, "test").unwrap();
    let mut note = note();
    note.channel = channel.parse().unwrap();
    let transcript = Transcript { text: said.into(), ..transcript("de") };
    suggest(&playbook, &note, &transcript, understanding, Timestamp::UNIX_EPOCH).reply
}

#[test]
fn who_says_du_is_answered_so_unless_the_playbook_has_one_form_only() {
    let named = understood("parcel", &[("order_number", "471108", true)]);
    let to = |formality: &str, said: &str| {
        let playbook = WORDED.replacen("version = 1", &format!("version = 1\n{formality}"), 1);
        text(&worded(&playbook, said, "upload", &named)).to_owned()
    };
    let (du, sie) = ("Könnt ihr mal schauen?", "Können Sie bitte nachsehen?");
    assert!(to("", du).contains("deine Bestellung") && to("", sie).contains("Ihre Bestellung"));
    assert!(to("formality = \"formal\"", du).contains("Ihre Bestellung"));
    assert!(to("formality = \"informal\"", sie).contains("deine Bestellung"));
    let question = worded(WORDED, du, "upload", &understood("parcel", &[]));
    assert_eq!(text(&question), "Wie lautet deine Bestellnummer?");
}

#[test]
fn a_channel_with_little_room_gets_the_short_text_or_none() {
    let named = understood("parcel", &[("order_number", "471108", true)]);
    let said = "Können Sie bitte nachsehen?";
    assert_eq!(text(&worded(WORDED, said, "sms", &named)), "Wir suchen Ihre Bestellung 471108.");
    let roomier = worded(WORDED, said, "whatsapp", &named);
    assert!(text(&roomier).starts_with("Guten Tag"));
    let too_long = worded(WORDED, "Könnt ihr mal schauen?", "sms", &named);
    assert_eq!(too_long, Reply::Abstention { reason: Abstained::TooLong });
}

#[test]
fn who_complains_in_public_is_offered_a_private_channel() {
    let mut understanding = understood("", &[]);
    let grounds = vec!["publicity".to_owned()];
    understanding.urgency = Urgency { level: UrgencyLevel::High, grounds, evidence: vec![] };
    let Reply::Suggestion { text, template, .. } = worded(WORDED, "…", "upload", &understanding) else { panic!() };
    assert!(text.expose().contains("Direktchat"));
    assert_eq!(template, "escalation.in_public");
    // Where a life may be in danger, or there is another reason beside, no text is good enough.
    for another in ["self_harm", "legal"] {
        let mut understanding = understanding.clone();
        understanding.urgency.grounds.push(another.to_owned());
        let reply = worded(WORDED, "…", "upload", &understanding);
        assert!(matches!(reply, Reply::Abstention { .. }), "{another}: {reply:?}");
    }
}
