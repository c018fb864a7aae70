//! Owns whether a note goes on with an earlier case: "ich hatte letzte Woche schon angerufen".
//!
//! Only what the speaker did with the company counts. "Ich habe noch nicht angerufen" and "ich habe beim Nachbarn
//! angerufen" are no earlier contact.

use std::{ops::Range, sync::LazyLock};

use super::{
    entities::Named,
    text::{self, Word},
    urgency::said::Spoken,
};
use crate::{event::processed::EarlierContact, private::Private};

/// Participles of getting in touch.
const CONTACTED: [&str; 23] = [
    "angerufen",
    "geschrieben",
    "gemeldet",
    "telefoniert",
    "gesprochen",
    "reklamiert",
    "gemailt",
    "kontaktiert",
    "nachgefragt",
    "beschwert",
    "geschildert",
    "gebeten",
    "hingewiesen",
    "mitgeteilt",
    "geschickt",
    "nachgehakt",
    "called",
    "written",
    "contacted",
    "complained",
    "emailed",
    "phoned",
    "spoken",
];
/// What says that it was before this note.
const BEFORE: [&str; 32] = [
    "schon",
    "bereits",
    "gestern",
    "vorgestern",
    "letzte",
    "letzten",
    "letzter",
    "vorige",
    "voriger",
    "vorigen",
    "neulich",
    "kuerzlich",
    "mehrmals",
    "mehrfach",
    "zweimal",
    "dreimal",
    "viermal",
    "fuenfmal",
    "zigmal",
    "oft",
    "vorhin",
    "damals",
    "already",
    "yesterday",
    "last",
    "before",
    "twice",
    "times",
    "previously",
    "earlier",
    "tagen",
    "wochen",
];
/// Whom they were in touch with, where nothing says when.
const WITH_US: [&str; 14] = [
    "ihnen",
    "euch",
    "hotline",
    "kundenservice",
    "kundendienst",
    "kollegin",
    "kollegen",
    "kollege",
    "mitarbeiter",
    "mitarbeiterin",
    "you",
    "colleague",
    "colleagues",
    "support",
];
/// With others than the company.
const WITH_OTHERS: [&str; 16] = [
    "nachbar",
    "nachbarn",
    "nachbarin",
    "zusteller",
    "paketdienst",
    "post",
    "dhl",
    "bank",
    "polizei",
    "anwalt",
    "vermieter",
    "freund",
    "mutter",
    "neighbour",
    "landlord",
    "police",
];
/// Said of an earlier case by themselves.
const PHRASES: [&str; 24] = [
    "wie * besprochen",
    "wie besprochen",
    "wie * telefonisch besprochen",
    "wie schon gesagt",
    "wie bereits gesagt",
    "meine letzte nachricht",
    "meine letzte sprachnachricht",
    "meine letzte mail",
    "meine letzte e mail",
    "meiner letzten nachricht",
    "mein letzter anruf",
    "noch ** keine antwort",
    "noch ** keine rueckmeldung",
    "noch ** keinen rueckruf",
    "warte ** noch ** auf ** antwort",
    "warte ** noch ** auf ** rueckmeldung",
    "warte ** noch ** auf ** rueckruf",
    "es geht nochmal um",
    "as discussed",
    "my previous message",
    "following up on",
    "still ** waiting for ** reply",
    "still ** waiting for ** call",
    "not heard back",
];
/// Said of an earlier contact where the clause speaks of one: "ich rufe zum dritten Mal an".
const TIMES: [&str; 9] = [
    "zum zweiten mal",
    "zum dritten mal",
    "zum vierten mal",
    "zum fuenften mal",
    "zum wiederholten mal*",
    "zum x ten mal",
    "second time",
    "third time",
    "fourth time",
];
const CONTACT: [&str; 9] = ["ruf", "anruf", "schreib", "meld", "telefon", "call", "writ", "contact", "phon"];
/// How far behind the subject a participle may stand.
const REACH: usize = 12;

static PHRASES_OF_WORDS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| phrases(&PHRASES));
static TIMES_OF_WORDS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| phrases(&TIMES));

fn phrases(phrases: &[&str]) -> Vec<Vec<String>> {
    phrases.iter().map(|phrase| text::phrase(phrase)).collect()
}

/// The first thing a note says of an earlier contact. `facts` are its own.
#[must_use]
pub(super) fn contact(note: &str, words: &[Word], facts: &[Named]) -> Option<EarlierContact> {
    let spoken = Spoken::new(note, words);
    let by_verb = (0..words.len()).find_map(|at| own_contact(words, &spoken, at));
    let places = |phrases: &'static [Vec<String>]| {
        phrases.iter().filter_map(|phrase| Some(spoken.find(phrase, 0)?.words)).collect::<Vec<_>>()
    };
    let of_contact = |at: &Range<usize>| {
        let mut clause = words[spoken.clause(at)].iter();
        clause.any(|word| CONTACT.iter().any(|stem| word.folded.starts_with(stem)))
    };
    let by_phrase = || {
        let times = places(&TIMES_OF_WORDS).into_iter().filter(of_contact);
        places(&PHRASES_OF_WORDS).into_iter().chain(times).min_by_key(|at| at.start)
    };
    let at = by_verb.or_else(by_phrase)?;
    let value = |kind: &str, within: &Range<usize>| {
        let fact = facts.iter().find(|fact| fact.entity.kind == kind && within.contains(&fact.at.start))?;
        Some(fact.entity.value.clone())
    };
    Some(EarlierContact {
        evidence: Private::new(&note[words[at.start].at.start..words[at.end - 1].at.end]),
        date: value("date", &at),
        ticket: value("ticket_number", &(0..words.len())),
    })
}

/// "Ich hatte letzte Woche schon angerufen", "ich habe mit Ihrer Kollegin gesprochen"; as words of the note.
fn own_contact(words: &[Word], spoken: &Spoken, at: usize) -> Option<Range<usize>> {
    let word = |at: usize| words[at].folded.as_str();
    if !CONTACTED.contains(&word(at)) {
        return None;
    }
    let clause = spoken.clause(&(at..at + 1));
    let start = clause.start.max(at.saturating_sub(REACH));
    let said: Vec<&str> = (start..clause.end.min(at + REACH)).map(word).collect();
    let holds = |any: &[&str]| said.iter().any(|word| any.contains(word));
    let own = holds(&["ich", "wir", "i", "we", "ive", "weve"]) || matches!(word(start), "hatte" | "habe" | "hab");
    let done = holds(&["habe", "hab", "haben", "hatte", "hatten", "have", "had", "ive", "weve"])
        || matches!(word(at), "called" | "contacted" | "complained" | "emailed" | "phoned");
    let denied = holds(&["nicht", "nie", "niemals", "never", "not", "keiner", "niemand", "havent", "kein", "keinen"]);
    // "Ich habe mir gestern etwas geschickt" is contact only with somebody here; "mir wurde geschrieben" is not theirs.
    let sent = !matches!(word(at), "geschickt" | "gebeten" | "gesprochen") || holds(&WITH_US);
    (own && done && !denied && sent && !holds(&WITH_OTHERS) && (holds(&BEFORE) || holds(&WITH_US)))
        .then_some(start..at + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::understanding::entities::{self, tests::transcript};

    fn found(note: &str) -> Option<EarlierContact> {
        let words = text::words(note);
        let sent_at = Some("2026-03-02T09:00:00Z".parse().unwrap());
        let language = if note.is_ascii() && note.contains(" I") || note.starts_with('I') { "en" } else { "de" };
        contact(note, &words, &entities::find(&transcript(language, note), &words, &BTreeMap::new(), sent_at))
    }

    #[test]
    fn who_was_in_touch_before_says_so() {
        for (note, evidence) in [
            ("Hallo, ich hatte letzte Woche schon angerufen.", "ich hatte letzte Woche schon angerufen"),
            ("Ich habe Ihnen bereits zweimal geschrieben.", "Ich habe Ihnen bereits zweimal geschrieben"),
            ("Ich habe gestern mit Ihrer Kollegin gesprochen.", "Ich habe gestern mit Ihrer Kollegin gesprochen"),
            ("hatte letzte woche schon angerufen wegen dem router", "hatte letzte woche schon angerufen"),
            ("Ich habe bei der Hotline angerufen.", "Ich habe bei der Hotline angerufen"),
            ("Ich rufe jetzt zum vierten Mal an.", "zum vierten Mal"),
            ("Wie gestern besprochen schicke ich das Gerät zurück.", "Wie gestern besprochen"),
            ("Ich habe immer noch keine Antwort bekommen.", "noch keine Antwort"),
            ("I already called you three times.", "I already called"),
            ("I have written to you last week.", "I have written"),
        ] {
            assert_eq!(
                found(note).map(|earlier| earlier.evidence.expose().to_owned()).as_deref(),
                Some(evidence),
                "{note}"
            );
        }
    }

    #[test]
    fn what_was_no_contact_with_us_is_none() {
        for note in [
            "Ich habe noch nicht angerufen.",
            "Ich habe gestern beim Nachbarn angerufen.",
            "Mein Nachbar hat gestern angerufen.",
            "Ich habe das Paket gestern zurück geschickt.",
            "Ich rufe wegen meiner Rechnung an.",
            "Sie haben mir gestern geschrieben.",
            "Ich wollte letzte Woche bestellen.",
            "Eure Reklame klebt am Briefkasten. Zum dritten Mal.",
            "The internet is down, this is the third time this month.",
        ] {
            assert_eq!(found(note), None, "{note}");
        }
    }

    #[test]
    fn the_day_is_named_with_it() {
        assert_eq!(found("Ich habe gestern schon angerufen.").unwrap().date, Some("2026-03-01".into()));
    }
}
