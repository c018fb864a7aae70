//! Owns when a text must not be suggested because the note says otherwise: its matter is denied, taken back or settled, or
//! it promises not to call somebody who did not ask for that.
//!
//! What an intent's matter is denied by stands in the playbook (`unless`, `settled`); what settles anything, here.

use std::sync::LazyLock;

use crate::understanding::{
    playbook::Intent,
    text,
    urgency::said::{self, Said, Spoken},
};

/// By these anything is over and done with.
const SETTLED: [&str; 16] = [
    "hat sich ** erledigt",
    "sich erledigt hat",
    "hat sich ** geklaert",
    "sich geklaert hat",
    "ist schon erledigt",
    "ist bereits erledigt",
    "ist erledigt",
    "problem ist geloest",
    "problem ist behoben",
    "stoerung ist behoben",
    "never mind",
    "sorted itself out",
    "all sorted",
    "has been resolved",
    "is resolved",
    "already resolved",
];

static SETTLED_PHRASES: LazyLock<Vec<Vec<String>>> =
    LazyLock::new(|| SETTLED.iter().map(|phrase| text::phrase(phrase)).collect());

/// Whether the note denies what the intent is about, or says that it is settled.
pub(super) fn is_denied_or_settled(intent: &Intent, note: &str) -> bool {
    let words = text::words(note);
    let spoken = Spoken::new(note, &words);
    let stated = |phrase: &Vec<String>| spoken.all(phrase).any(|said: Said| spoken.is_stated(&said));
    // Thanks go with what is settled; whatever gives way to other matters is not about one.
    let settled = !intent.secondary && SETTLED_PHRASES.iter().any(stated);
    settled || intent.settled.iter().any(stated) || intent.unless.iter().any(|phrase| spoken.find(phrase, 0).is_some())
}

/// Whether a text says that nobody will call: "wir rufen Sie nicht an".
pub(super) fn promises_no_call(text: &str) -> bool {
    const CALLS: [&str; 6] = ["ruf", "anruf", "rueckruf", "zurueckruf", "telefonisch", "call"];
    let words = text::words(text);
    let spoken = Spoken::new(text, &words);
    let mut start = 0;
    (0..words.len()).any(|at| {
        if spoken.stop(at) == said::Stop::None {
            return false;
        }
        let clause = &words[std::mem::replace(&mut start, at + 1)..=at];
        clause.iter().any(|word| CALLS.iter().any(|call| word.folded.starts_with(call)))
            && clause.iter().any(|word| said::is_negation(&word.folded))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::understanding::playbook::Playbook;

    fn contradicts(intent: &str, note: &str) -> bool {
        let playbook = Playbook::builtin().unwrap();
        is_denied_or_settled(playbook.intent(intent).unwrap(), note)
    }

    #[test]
    fn what_is_denied_or_settled_is_noticed() {
        for (intent, note) in [
            ("cancel_contract", "Ich will meinen Vertrag nicht kündigen, Kundennummer 98203."),
            ("cancel_contract", "Keine Sorge, ich kündige nicht, ich will nur die Adresse ändern."),
            ("cancel_contract", "Ich möchte meine Kündigung zurückziehen"),
            ("cancel_contract", "I don't want to cancel my contract"),
            ("parcel_missing", "Mein Paket ist doch noch angekommen, vielen Dank."),
            ("outage", "Das Internet geht wieder, danke, Sie brauchen keinen Techniker zu schicken."),
            ("outage", "Bei mir ist der Strom nicht ausgefallen, nur die Rechnung stimmt nicht."),
            ("outage", "Hat sich inzwischen erledigt."),
            ("thanks", "Danke für die schnelle Hilfe neulich. Jetzt geht allerdings das Telefon schon wieder nicht."),
            ("thanks", "Vielen Dank, aber wann kommt mein Paket?"),
        ] {
            assert!(contradicts(intent, note), "{intent}: {note}");
        }
    }

    #[test]
    fn what_still_is_so_is_no_contradiction() {
        for (intent, note) in [
            ("cancel_contract", "Ich möchte kündigen, weil das nicht funktioniert."),
            ("parcel_missing", "Mein Paket ist immer noch nicht angekommen."),
            ("parcel_missing", "Laut Ihnen ist mein Paket doch angekommen, hier liegt nichts."),
            ("outage", "Jetzt geht das Telefon schon wieder nicht."),
            ("outage", "Wann geht das Internet wieder?"),
            ("outage", "Das hat sich immer noch nicht erledigt."),
            ("thanks", "Hat sich erledigt, läuft wieder, danke trotzdem für eure Mühe."),
        ] {
            assert!(!contradicts(intent, note), "{intent}: {note}");
        }
    }

    #[test]
    fn few_of_a_playbooks_own_examples_are_left_unanswered() {
        let playbook = Playbook::builtin().unwrap();
        for intent in &playbook.intents {
            let silenced: Vec<_> = intent.examples.iter().filter(|note| is_denied_or_settled(intent, note)).collect();
            assert!(silenced.len() <= 2, "{}: {silenced:?}", intent.name);
        }
    }

    #[test]
    fn a_promise_not_to_call_is_noticed() {
        for (text, promised) in [
            ("Danke für den Hinweis. Wir antworten Ihnen schriftlich und rufen Sie nicht an.", true),
            ("We will reply in writing and will not call you.", true),
            ("Es tut uns leid, dass bei Ihnen etwas nicht funktioniert. Wir rufen Sie an.", false),
            ("Wir schreiben Ihnen hier.", false),
        ] {
            assert_eq!(promises_no_call(text), promised, "{text}");
        }
    }
}
