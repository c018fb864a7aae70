//! Owns how a customer wants to be reached, as far as they say so themselves: "ruf mich nicht an".
//!
//! What they did ("ich habe dreimal angerufen") or what others do ("keiner ruft zurück") is no preference.

use std::sync::LazyLock;

use super::text::{self, Word};
use crate::event::processed::ContactPreferences;

/// A word that speaks of telephoning in a way that can be a wish.
fn is_call(word: &str) -> bool {
    const WORDS: [&str; 27] = [
        "ruf",
        "ruft",
        "rufe",
        "rufen",
        "rufts",
        "anruf",
        "anrufe",
        "anrufen",
        "anrufst",
        "anzurufen",
        "anrufversuche",
        "rueckruf",
        "rueckrufe",
        "rueckruf",
        "zurueckrufen",
        "zurueckruft",
        "zurueckzurufen",
        "telefonieren",
        "telefonat",
        "telefonate",
        "anlaeuten",
        "durchklingeln",
        "anklingeln",
        "call",
        "calls",
        "calling",
        "phone",
    ];
    WORDS.contains(&word) || word == "ring" || word == "phoning"
}

fn is_negation(word: &str) -> bool {
    const WORDS: [&str; 25] = [
        "nicht",
        "nich",
        "ned",
        "net",
        "nit",
        "nie",
        "niemals",
        "nimmer",
        "kein",
        "keine",
        "keinen",
        "keinerlei",
        "keinesfalls",
        "ohne",
        "statt",
        "dont",
        "not",
        "no",
        "never",
        "stop",
        "stopp",
        "aufhoeren",
        "unterlassen",
        "instead",
        "without",
    ];
    WORDS.contains(&word)
}

/// Said of somebody else, or of oneself: a report, no wish.
fn is_reporter(word: &str) -> bool {
    const WORDS: [&str; 15] = [
        "ich", "i", "wir", "we", "keiner", "niemand", "man", "er", "nobody", "noone", "hab", "habe", "hatte", "tried",
        "have",
    ];
    WORDS.contains(&word)
}

/// Phrases that leave writing as the only way.
const WRITE_ONLY: [&str; 12] = [
    "nur schreiben",
    "nur schriftlich",
    "ausschliesslich schriftlich",
    "nur per mail",
    "nur per nachricht",
    "nur per e mail",
    "nur per whatsapp",
    "lass* * mit dem telefonieren",
    "only text",
    "text only",
    "only write",
    "in writing only",
];

static WRITE_ONLY_PHRASES: LazyLock<Vec<Vec<String>>> =
    LazyLock::new(|| WRITE_ONLY.iter().map(|phrase| text::phrase(phrase)).collect());

/// How far from the word for calling a negation may stand, in words.
const REACH: usize = 5;

#[must_use]
pub fn preferences(note: &str) -> ContactPreferences {
    let (mut wanted, mut unwanted) = (false, false);
    for sentence in text::sentences(note) {
        let words = text::words(&note[sentence]);
        unwanted |= WRITE_ONLY_PHRASES.iter().any(|phrase| text::find_phrase(&words, phrase).is_some());
        for at in 0..words.len() {
            match wish(&words, at) {
                Some(true) => wanted = true,
                Some(false) => unwanted = true,
                None => {}
            }
        }
    }
    // Of two wishes the careful one counts: a call that was not wanted cannot be taken back.
    ContactPreferences { phone_allowed: if unwanted { Some(false) } else { wanted.then_some(true) } }
}

/// What the word at `at` says: Some(false) for "nicht anrufen", Some(true) for "bitte anrufen".
fn wish(words: &[Word], at: usize) -> Option<bool> {
    if !is_call(&words[at].folded) {
        return None;
    }
    let before: Vec<&str> = words[at.saturating_sub(REACH)..at].iter().map(|word| word.folded.as_str()).collect();
    let after: Vec<&str> = words[at + 1..].iter().take(REACH).map(|word| word.folded.as_str()).collect();
    let word = words[at].folded.as_str();

    let reported = is_report(word, &before, &after);
    let negated = before.iter().chain(&after).any(|word| is_negation(word)) && !doubly_negated(&before, &after);
    if negated && !reported {
        return Some(false);
    }
    if reported || !is_request(word, &before, &after) {
        return None;
    }
    Some(true)
}

/// "Ich rufe jetzt zum vierten Mal an", "ich kann nicht anrufen", "keiner ruft zurück", "no phone connection".
fn is_report(word: &str, before: &[&str], after: &[&str]) -> bool {
    let nearest = before.iter().rev().take(2);
    let finite = matches!(word, "ruf" | "rufe" | "ruft" | "rufen" | "call" | "calling" | "phone" | "calls");
    let own_doing = finite && nearest.clone().any(|word| is_reporter(word));
    let inverted = finite && after.first().is_some_and(|word| matches!(*word, "ich" | "wir" | "keiner" | "niemand"));
    let ability =
        word == "anrufen" && before.iter().any(|w| matches!(*w, "kann" | "konnte")) && before.contains(&"ich");
    // "kein Internet, kein Telefon, keine Anrufe möglich": the fault, not the wish.
    let fault = matches!(word, "anrufe" | "anruf" | "phone" | "calls")
        && after
            .iter()
            .take(2)
            .any(|word| matches!(*word, "moeglich" | "gehen" | "line" | "connection" | "number" | "is"));
    own_doing || inverted || ability || fault
}

fn doubly_negated(before: &[&str], after: &[&str]) -> bool {
    // "Warum ruft mich keiner an?", "nicht schreiben, sondern anrufen"
    before.contains(&"sondern")
        || before.first() == Some(&"warum")
        || after.iter().any(|w| matches!(*w, "keiner"))
        || before.windows(2).any(|pair| pair[0] == "nicht" && pair[1].starts_with("schreib"))
}

fn is_request(word: &str, before: &[&str], after: &[&str]) -> bool {
    const ASKING: [&str; 22] = [
        "bitte", "koennen", "koennten", "koennt", "kann", "koennte", "moechte", "wuerde", "waere", "wunsch", "um",
        "einen", "gern", "gerne", "please", "could", "can", "would", "me", "mich", "uns", "einer",
    ];
    let imperative = matches!(word, "ruf" | "ruft" | "rufen" | "rufts" | "call" | "ring" | "phone")
        && after.iter().take(3).any(|word| matches!(*word, "mich" | "uns" | "ihn" | "me" | "us" | "sie" | "s"));
    let asked = !matches!(word, "phone" | "calls" | "calling" | "anrufe")
        && before.iter().chain(after.iter().take(2)).any(|word| ASKING.contains(word));
    imperative || asked
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(preferences(note).phone_allowed, Some(false), "{note}");
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
            assert_eq!(preferences(note).phone_allowed, Some(true), "{note}");
        }
    }

    #[test]
    fn what_happened_is_no_wish() {
        for note in [
            "Ich rufe jetzt zum vierten Mal an und jedes Mal sagt jemand was anderes.",
            "Ich habe schon dreimal angerufen.",
            "Keiner ruft zurück!",
            "Wir haben seit Tagen kein Telefon und kein Internet.",
            "I called you three times already.",
            "Das Paket ist nicht da.",
        ] {
            assert_eq!(preferences(note).phone_allowed, None, "{note}");
        }
    }

    #[test]
    fn of_two_wishes_the_careful_one_counts() {
        let note = "Rufen Sie mich bitte an. Nein, doch lieber nicht anrufen.";
        assert_eq!(preferences(note).phone_allowed, Some(false));
    }
}
