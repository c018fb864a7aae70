use std::collections::BTreeMap;

use super::*;
use crate::{
    event::processed::{CallTime, ContactChannel, PartOfDay},
    understanding::entities::{self, tests::transcript},
};

#[test]
fn who_does_not_want_calls_is_heard_in_both_languages() {
    for note in [
        "Ruf mich bitte nicht an, ich bin in einer Besprechung.",
        "Rufen Sie mich auf keinen Fall an, keine Anrufe bitte.",
        "Bitte kein Rückruf, ich schlafe tagsüber.",
        "Könnt ihr bitte aufhören, mich anzurufen?",
        "Und gell, anrufen brauchen S' mich nicht.",
        "Nee, lass mal mit dem Telefonieren. Nur schreiben bitte.",
        "Please don't call me, I'm in meetings all day.",
        "No calls please, just text me.",
        "Stop calling me.",
        "Mir bitte nur schriftlich antworten.",
    ] {
        assert_eq!(phone_allowed(note), Some(false), "{note}");
    }
}

#[test]
fn who_wants_to_be_called_is_heard_in_both_languages() {
    for note in [
        "Könnten Sie mich bitte zurückrufen?",
        "Ruft mich bitte an, egal wann.",
        "Ich bitte um Rückruf.",
        "Rufen Sie mich bitte morgen Vormittag an.",
        "Kann mich da mal einer anrufen?",
        "Could you call me back this afternoon?",
        "Please give me a call.",
    ] {
        assert_eq!(phone_allowed(note), Some(true), "{note}");
    }
}

#[test]
fn what_is_denied_in_another_clause_forbids_no_call() {
    for note in [
        "Ich habe kein Internet, bitte rufen Sie mich an.",
        "ich habe kein internet bitte rufen sie mich an",
        "Mein Paket ist nicht da, bitte rufen Sie mich an.",
        "mein paket ist nicht da bitte rufen sie mich an",
        "mein paket ist nicht da rufen sie mich an",
        "Das WLAN geht nicht, können Sie mich bitte zurückrufen?",
        "das wlan geht nicht können sie mich bitte zurückrufen",
        "Seit gestern kein Strom, bitte dringend anrufen.",
        "seit gestern kein strom bitte dringend anrufen",
        "Ich kann gerade nicht sprechen, rufen Sie mich bitte morgen an.",
        "ich kann gerade nicht sprechen rufen sie mich bitte morgen an",
        "Kein Problem, ruft mich einfach an.",
        "kein problem ruft mich einfach an",
        "Falls das nicht klappt, rufen Sie mich bitte an.",
        "I have no internet, please call me.",
        "i have no internet please call me",
        "Bitte nicht schreiben, lieber anrufen.",
        "Nicht per Mail bitte, sondern telefonisch, rufen Sie mich an.",
        "Bitte rufen Sie meinen Mann an und nicht mich.",
    ] {
        assert_eq!(phone_allowed(note), Some(true), "{note}");
    }
}

#[test]
fn a_limit_is_no_ban() {
    for (note, allowed) in [
        ("Bitte rufen Sie nicht vor 9 Uhr an, danach gerne.", None),
        ("Ab 17 Uhr 30 bin ich erreichbar, vorher bitte nicht anrufen.", None),
        ("Bitte rufen Sie mich nicht auf dem Handy an, sondern auf dem Festnetz.", Some(true)),
        ("bitte rufen sie mich nicht auf dem handy an sondern auf dem festnetz", Some(true)),
        ("Sie können mich ab 18 Uhr anrufen, vorher geht es nicht.", Some(true)),
        ("Don't hesitate to call me.", Some(true)),
        ("Zögern Sie nicht, mich anzurufen.", Some(true)),
        ("Bitte nicht anrufen, sondern schreiben.", Some(false)),
    ] {
        assert_eq!(phone_allowed(note), allowed, "{note}");
    }
}

#[test]
fn a_ban_is_heard_across_what_stands_between() {
    for note in [
        "Rufen Sie mich, wenn möglich, nicht an.",
        "Anrufen, bitte nicht.",
        "Auf keinen Fall bitte anrufen.",
        "Ich möchte nicht, dass Sie mich anrufen.",
        "Mir ist schreiben lieber als telefonieren, also lieber schreiben als anrufen.",
        "Schreiben Sie mir und rufen Sie mich nicht an.",
        "mein paket ist nicht da bitte rufen sie mich nicht an",
        "Bitte keine weiteren Anrufe.",
        "Hört auf, mich anzurufen.",
        "Hört bitte auf, dauernd bei mir anzurufen.",
        "Löschen Sie meine Nummer, ich will nicht mehr angerufen werden.",
        "There is no need to call me.",
    ] {
        assert_eq!(phone_allowed(note), Some(false), "{note}");
    }
}

#[test]
fn what_happened_is_no_wish() {
    for note in [
        "Ich rufe jetzt zum vierten Mal an und jedes Mal sagt jemand was anderes.",
        "Ich habe schon dreimal angerufen.",
        "Keiner ruft zurück!",
        "Kein Mensch ruft mich zurück.",
        "Ich habe keinen Rückruf bekommen.",
        "Bei mir geht das Telefon nicht, ich kann keine Anrufe annehmen.",
        "Seit gestern können wir nicht telefonieren.",
        "Ich kann seit einer Stunde weder surfen noch telefonieren.",
        "Mich kann keiner mehr anrufen, es ist immer besetzt.",
        "mein handy hat kein netz mehr steht immer nur not rufe da",
        "Wir haben seit Tagen kein Telefon und kein Internet.",
        "I called you three times already.",
        "Das Paket ist nicht da.",
    ] {
        assert_eq!(phone_allowed(note), None, "{note}");
    }
}

#[test]
fn of_two_wishes_the_careful_one_counts() {
    let note = "Rufen Sie mich bitte an. Nein, doch lieber nicht anrufen.";
    assert_eq!(phone_allowed(note), Some(false));
}

/// The day on which the notes of these tests were sent, a Monday.
const SENT_AT: &str = "2026-03-02T09:00:00Z";

fn said(note: &str, language: &str) -> ContactPreferences {
    let words = text::words(note);
    let transcript = transcript(language, note);
    let facts = entities::find(&transcript, &words, &BTreeMap::new(), Some(SENT_AT.parse().unwrap()));
    preferences(note, &words, &facts, Some("2026-03-02"))
}

fn time(date: &str, from: &str, until: &str) -> CallTime {
    let given = |value: &str| (!value.is_empty()).then(|| value.into());
    CallTime { date: given(date), from: given(from), until: given(until), part_of_day: None }
}

#[test]
fn when_to_call_is_read_with_its_limits() {
    for (note, wanted) in [
        ("Bitte rufen Sie nicht vor 9 Uhr an, danach gerne.", vec![time("", "09:00", "")]),
        ("Ab 17 Uhr 30 bin ich erreichbar, vorher bitte nicht anrufen.", vec![time("", "17:30", "")]),
        ("Sie können mich ab 18 Uhr anrufen, vorher geht es nicht.", vec![time("", "18:00", "")]),
        ("Rufen Sie mich bitte morgen zwischen 8 und 12 Uhr an.", vec![time("2026-03-03", "08:00", "12:00")]),
        ("Rufen Sie mich bitte zurück, am besten morgen nach 16 Uhr.", vec![time("2026-03-03", "16:00", "")]),
        ("Rufen Sie mich bitte zurück. Am besten zwischen 14 und 16 Uhr.", vec![time("", "14:00", "16:00")]),
        ("Bitte rufen Sie mich bis 15 Uhr zurück.", vec![time("", "", "15:00")]),
        ("Bitte rufen Sie mich nach 20 Uhr nicht mehr an.", vec![time("", "", "20:00")]),
        ("Könnten Sie mich morgen um 10 Uhr zurückrufen?", vec![time("2026-03-03", "10:00", "10:00")]),
        ("Sie erreichen mich heute von 10 bis 12 Uhr.", vec![time("2026-03-02", "10:00", "12:00")]),
        ("rufen sie mich bitte morgen ab vierzehn uhr an", vec![time("2026-03-03", "14:00", "")]),
        ("Could you call me back tomorrow after 4 pm?", vec![time("2026-03-03", "16:00", "")]),
    ] {
        let language = if note.starts_with("Could") { "en" } else { "de" };
        let call = said(note, language).call.unwrap_or_default();
        assert_eq!(call.times, wanted, "{note}");
    }
    let call = said("Rufen Sie mich bitte morgen Nachmittag an.", "de").call.unwrap();
    let afternoon = CallTime { part_of_day: Some(PartOfDay::Afternoon), ..time("2026-03-03", "", "") };
    assert_eq!(call.times, [afternoon]);
}

#[test]
fn times_of_something_else_are_not_when_to_call() {
    for note in [
        "Mein Paket sollte morgen um 10 Uhr kommen, rufen Sie mich bitte an.",
        "Rufen Sie mich bitte wegen meiner Bestellung vom 12. Februar an.",
        "Ich habe gestern um 10 Uhr angerufen.",
        "Ruf mich bitte nicht an, ich bin bis 16 Uhr in einer Besprechung.",
        "Ich war gestern ab 18 Uhr erreichbar.",
        "Der Techniker war um 8 Uhr nicht erreichbar.",
        "Rufen Sie mich bitte nicht morgen um 10 Uhr an.",
        "Bitte um zwanzig nach acht abends anrufen.",
        "Rufen Sie mich bitte zurück.",
    ] {
        assert_eq!(said(note, "de").call, None, "{note}");
    }
}

#[test]
fn the_number_to_call_is_the_one_that_is_named_for_it() {
    for (note, number) in [
        ("Rufen Sie mich bitte unter 0176 5532210 zurück.", Some("01765532210")),
        ("Bitte rufen Sie mich zurück. Meine Handynummer ist 0176 5532210.", Some("01765532210")),
        ("Sie erreichen mich unter der Nummer 0176 5532210.", Some("01765532210")),
        ("Bitte rufen Sie mich zurück. Am besten Vochmittag, unter 0176 5532210.", Some("01765532210")),
        ("Ich habe die Nummer 0176 5532210 angerufen, da geht keiner ran. Rufen Sie mich bitte zurück.", None),
        ("Rufen Sie mich bitte zurück.", None),
        ("Meine Handynummer ist 0151 23 45 67 89, nein, am Ende 98. Bitte rufen Sie mich an.", None),
        ("Bitte nicht anrufen. Meine Handynummer ist 0176 5532210.", None),
    ] {
        let found = said(note, "de").call.and_then(|call| call.number);
        assert_eq!(found.as_ref().map(crate::private::Private::expose), number, "{note}");
    }
}

#[test]
fn another_channel_is_heard_where_it_is_wished_for() {
    for (note, language, channel) in [
        ("Bitte antworten Sie mir per E-Mail.", "de", Some(ContactChannel::Email)),
        ("Schreiben Sie mir lieber eine Mail.", "de", Some(ContactChannel::Email)),
        ("Können Sie mir per WhatsApp antworten?", "de", Some(ContactChannel::Whatsapp)),
        ("Schickt mir einfach eine SMS.", "de", Some(ContactChannel::Sms)),
        ("Bitte nicht per Post, sondern per Mail.", "de", Some(ContactChannel::Email)),
        ("Melden Sie sich bitte per Telegram.", "de", Some(ContactChannel::Telegram)),
        ("Bitte schriftlich per Brief.", "de", Some(ContactChannel::Letter)),
        ("Ich hätte gern eine Antwort per Mail.", "de", Some(ContactChannel::Email)),
        ("Please reply by email.", "en", Some(ContactChannel::Email)),
        ("Could you send me an email instead?", "en", Some(ContactChannel::Email)),
        ("Können Sie mir die Rechnung per Mail schicken?", "de", None),
        ("Ich habe Ihnen per Mail geschrieben.", "de", None),
        ("Ich schreibe Ihnen dann per WhatsApp.", "de", None),
        ("Sie antworten ja nie per Mail.", "de", None),
        ("Ich habe kein Signal mehr auf dem Fernseher.", "de", None),
        ("Die Post hat das Paket nicht gebracht.", "de", None),
        ("I got no reply by email.", "en", None),
    ] {
        assert_eq!(said(note, language).channel, channel, "{note}");
    }
}

#[test]
fn who_wants_it_in_writing_only_says_so() {
    for (note, only) in [
        ("Mir bitte nur schriftlich antworten.", true),
        ("Nee, lass mal mit dem Telefonieren. Nur schreiben bitte.", true),
        ("Schreiben Sie mir und rufen Sie mich nicht an.", true),
        ("Bitte nicht anrufen, sondern schreiben.", true),
        ("Ruf mich bitte nicht an, ich bin in einer Besprechung.", false),
        ("Bitte nicht schreiben, lieber anrufen.", false),
        ("Schreiben Sie mir bitte, oder rufen Sie mich an.", false),
    ] {
        assert_eq!(said(note, "de").write_only, only, "{note}");
    }
}
