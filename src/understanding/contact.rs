//! Owns how a customer wants to be reached, as far as they say so themselves: "ruf mich nicht an".
//!
//! A wish is read in its own clause: "ich habe kein Internet, bitte rufen Sie mich an" forbids nothing, with the comma or
//! without. What they did ("ich habe dreimal angerufen") or what others do ("keiner ruft zurück") is no preference, and a
//! limit ("nicht vor neun", "nicht auf dem Handy, sondern zu Hause") is no ban.

use std::{ops::Range, sync::LazyLock};

use super::{
    text,
    urgency::said::{Spoken, Stop},
};
use crate::event::processed::ContactPreferences;

/// A word that speaks of telephoning in a way that can be a wish.
fn is_call(word: &str) -> bool {
    const WORDS: [&str; 26] = [
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

/// How far from the word for calling its denial may stand, in words of its clause.
const REACH: usize = 6;

#[must_use]
pub fn preferences(note: &str) -> ContactPreferences {
    let words = text::words(note);
    let (mut wanted, mut unwanted) = (false, false);
    unwanted |= WRITE_ONLY_PHRASES.iter().any(|phrase| text::find_phrase(&words, phrase).is_some());
    let folded: Vec<&str> = words.iter().map(|word| word.folded.as_str()).collect();
    let clauses = clauses(&folded, &Spoken::new(note, &words));
    for (number, clause) in clauses.iter().enumerate() {
        let corrected = clauses.get(number + 1).is_some_and(|next| is_another_way_to_call(&folded[next.clone()]));
        for at in 0..clause.len() {
            match wish(&folded[clause.clone()], at, corrected) {
                Some(true) => wanted = true,
                Some(false) => unwanted = true,
                None => {}
            }
        }
    }
    // Of two wishes the careful one counts: a call that was not wanted cannot be taken back.
    ContactPreferences { phone_allowed: if unwanted { Some(false) } else { wanted.then_some(true) } }
}

/// The clauses of a note: what stands between punctuation, and from one verb phrase to the next where a recogniser left
/// it out. What belongs together across a comma is one.
fn clauses(words: &[&str], spoken: &Spoken) -> Vec<Range<usize>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for at in 0..words.len() {
        if at > start && begins_clause(&words[start..at], &words[at..]) {
            parts.push(start..at);
            start = at;
        }
        if spoken.stop(at) != Stop::None {
            parts.push(start..at + 1);
            start = at + 1;
        }
    }
    let mut joined: Vec<Range<usize>> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let ends_sentence = |clause: &Range<usize>| spoken.stop(clause.end - 1) == Stop::Sentence;
        match joined.last_mut() {
            // Already taken in by the one before.
            Some(last) if last.end >= part.end => {}
            Some(last) if !ends_sentence(last) && goes_on(&words[part.clone()]) => last.end = part.end,
            _ => {
                let sentence = parts[number..].iter().position(ends_sentence).map_or(parts.len(), |n| number + n + 1);
                let behind = &parts[number + 1..sentence.max(number + 1)];
                let particle = behind.iter().take(BRACKET_PARTS).find(|part| closes_bracket(&words[(*part).clone()]));
                let bracket = particle.filter(|_| opens_bracket(&words[part.clone()]));
                joined.push(part.start..bracket.map_or(part.end, |closing| closing.end));
            }
        }
    }
    joined
}

/// How many parts may stand between "rufen Sie mich" and its "an".
const BRACKET_PARTS: usize = 2;
const PARTICLES: [&str; 5] = ["an", "zurueck", "zruck", "durch", "back"];

fn opens_bracket(clause: &[&str]) -> bool {
    let verb = clause.iter().rposition(|word| matches!(*word, "ruf" | "rufe" | "ruft" | "rufen" | "rufts"));
    verb.is_some_and(|at| !clause[at..].iter().any(|word| PARTICLES.contains(word)))
}

fn closes_bracket(clause: &[&str]) -> bool {
    clause.last().is_some_and(|word| PARTICLES.contains(word)) && !clause.iter().any(|word| is_call(word))
}

/// True for what only has a meaning with the clause before: "…, mich anzurufen", "…, dass Sie anrufen", "…, bitte nicht".
fn goes_on(clause: &[&str]) -> bool {
    const PLEAS: [&str; 8] = ["bitte", "lieber", "aber", "doch", "danke", "please", "nein", "besser"];
    const INFINITIVE_WORDS: usize = 5;
    let infinitive = clause.iter().any(|word| matches!(*word, "anzurufen" | "zurueckzurufen"));
    let denial = clause.iter().any(|word| is_not(word)) && clause.iter().all(|w| is_not(w) || PLEAS.contains(w));
    clause.first() == Some(&"dass") || (infinitive && clause.len() <= INFINITIVE_WORDS) || denial
}

/// Whether a clause of its own begins with `rest`, behind the words that were said in this one so far.
fn begins_clause(so_far: &[&str], rest: &[&str]) -> bool {
    const CONJUNCTIONS: [&str; 14] = [
        "aber", "denn", "weil", "falls", "wenn", "sondern", "warum", "wieso", "weshalb", "but", "because", "if", "why",
        "damit",
    ];
    const OPENERS: [&[&str]; 26] = [
        &["rufen", "sie"],
        &["ruft", "mich"],
        &["ruft", "uns"],
        &["ruft", "bitte"],
        &["ruft", "doch"],
        &["ruft", "einfach"],
        &["ruf", "mich"],
        &["ruf", "uns"],
        &["ruf", "bitte"],
        &["ruf", "doch"],
        &["ruf", "einfach"],
        &["koennen", "sie"],
        &["koennten", "sie"],
        &["koennt", "ihr"],
        &["koenntet", "ihr"],
        &["sie", "koennen"],
        &["sie", "muessen"],
        &["ihr", "koennt"],
        &["ihr", "muesst"],
        &["kann", "mich"],
        &["melden", "sie"],
        &["bitte"],
        &["please"],
        &["could", "you"],
        &["can", "you"],
        &["you", "can"],
    ];
    const LEADS: [&str; 19] = [
        "bitte", "please", "dann", "also", "so", "und", "aber", "denn", "deshalb", "daher", "gerne", "gern", "warum",
        "why", "vorher", "davor", "danach", "frueher", "sonst",
    ];
    match rest {
        // "Keine Mails und Anrufe": what follows is no clause.
        ["und", next, ..] => !matches!(*next, "anrufe" | "rueckrufe" | "telefonate"),
        [first, ..] if CONJUNCTIONS.contains(first) => true,
        _ => {
            OPENERS.iter().any(|opener| rest.starts_with(opener))
                && !so_far.iter().any(|word| is_call(word))
                && !so_far.iter().all(|word| LEADS.contains(word))
                && !is_bare_denial(so_far)
                && !so_far.iter().any(|word| is_ceasing(word))
                // "Kein Mensch ruft mich zurück."
                && !so_far.last().is_some_and(|word| is_reporter(word))
        }
    }
}

/// "Auf keinen Fall …", "nie …": without a verb of its own a denial is one of what follows.
fn is_bare_denial(clause: &[&str]) -> bool {
    const VERBS: [&str; 33] = [
        "ist",
        "sind",
        "war",
        "waren",
        "geht",
        "gehen",
        "ging",
        "habe",
        "hab",
        "haben",
        "hat",
        "hatte",
        "funktioniert",
        "laeuft",
        "kommt",
        "kam",
        "kann",
        "koennen",
        "klappt",
        "weiss",
        "will",
        "moechte",
        "steht",
        "stimmt",
        "tut",
        "wurde",
        "is",
        "are",
        "have",
        "has",
        "works",
        "working",
        "was",
    ];
    let last = clause.iter().rev().find(|word| !matches!(**word, "bitte" | "please" | "mehr"));
    last.is_some_and(|word| is_not(word) || matches!(*word, "fall" | "umstaenden"))
        && !clause.iter().any(|word| VERBS.contains(word))
}

/// "Hört bitte auf, …", "lassen Sie bitte …": the plea is part of it.
fn is_ceasing(word: &str) -> bool {
    ["hoer", "lass", "unterlass", "stop", "verzicht"].iter().any(|stem| word.starts_with(stem))
}

/// "…, sondern auf dem Festnetz": then not every call was meant. "…, sondern schreiben Sie" says that every one was.
fn is_another_way_to_call(clause: &[&str]) -> bool {
    const WRITING: [&str; 9] =
        ["schreib", "schrift", "mail", "nachricht", "whatsapp", "sms", "chat", "brief", "antwort"];
    clause.first() == Some(&"sondern")
        && !clause.iter().any(|word| WRITING.iter().any(|stem| word.contains(stem)))
        && !clause.iter().any(|word| matches!(*word, "post" | "text"))
}

/// What the word at `at` of a clause says: Some(false) for "nicht anrufen", Some(true) for "bitte anrufen".
fn wish(clause: &[&str], at: usize, corrected: bool) -> Option<bool> {
    let word = clause[at];
    // "Ich will nicht mehr angerufen werden", not "ich habe angerufen".
    if !is_call(word) && (word, clause.get(at + 1)) != ("angerufen", Some(&"werden")) {
        return None;
    }
    let before = &clause[at.saturating_sub(REACH)..at];
    let after = &clause[at + 1..(at + 1 + REACH).min(clause.len())];
    if is_report(clause, at) {
        return None;
    }
    let not = before.iter().chain(after).any(|word| is_not(word)) || has_idiom(clause);
    let negated = (not || is_lacking(word, before)) && !doubly_negated(before, after);
    match negated && !corrected && !is_encouragement(clause) {
        true if is_limited(clause) => None,
        true => Some(false),
        false => is_request(word, before, after).then_some(true),
    }
}

/// What denies the clause that it is in.
fn is_not(word: &str) -> bool {
    const WORDS: [&str; 17] = [
        "nicht",
        "nich",
        "ned",
        "net",
        "nit",
        "nie",
        "niemals",
        "nimmer",
        "keinesfalls",
        "dont",
        "not",
        "never",
        "stop",
        "stopp",
        "aufhoeren",
        "unterlassen",
        "unterlasst",
    ];
    WORDS.contains(&word)
}

/// Several words that deny the clause that they are in.
fn has_idiom(clause: &[&str]) -> bool {
    const IDIOMS: [[&str; 2]; 5] =
        [["keinen", "fall"], ["keinem", "fall"], ["keinen", "umstaenden"], ["no", "need"], ["kein", "bedarf"]];
    let stops = clause.iter().any(|word| word.starts_with("hoer")) && clause.contains(&"auf");
    stops || clause.windows(2).any(|pair| IDIOMS.iter().any(|idiom| pair == idiom))
}

/// "Keine weiteren Anrufe", "statt mich anzurufen", "lieber schreiben als telefonieren": only what follows is denied.
fn is_lacking(word: &str, before: &[&str]) -> bool {
    const LACKS: [&str; 10] =
        ["kein", "keine", "keinen", "keinerlei", "ohne", "statt", "anstatt", "no", "without", "instead"];
    const BETWEEN: [&str; 8] = ["phone", "more", "mehr", "bitte", "of", "mich", "uns", "me"];
    if matches!(word, "ruf" | "rufe" | "ruft" | "rufen" | "rufts" | "phone") {
        return false;
    }
    let describes = |word: &str| ["e", "en", "er", "es"].iter().any(|end| word.ends_with(end));
    let denial = before.iter().rev().find(|word| !BETWEEN.contains(word) && (LACKS.contains(word) || !describes(word)));
    let rather = before.last() == Some(&"als") && matches!(word, "anrufen" | "telefonieren" | "zurueckrufen");
    rather || denial.is_some_and(|word| LACKS.contains(word))
}

/// "Zögern Sie nicht, mich anzurufen."
fn is_encouragement(clause: &[&str]) -> bool {
    clause.iter().any(|word| ["zoeger", "scheu", "hesitat"].iter().any(|stem| word.starts_with(stem)))
}

/// "Nicht vor neun", "ab 18 Uhr nicht mehr", "vorher nicht": at other times one may call.
fn is_limited(clause: &[&str]) -> bool {
    const TIMES: [&str; 8] = ["vor", "nach", "zwischen", "ab", "bis", "before", "after", "until"];
    clause.iter().enumerate().any(|(at, word)| {
        let next = &clause[at + 1..];
        match *word {
            "vorher" | "davor" | "frueher" | "danach" | "spaeter" | "sonst" | "earlier" => true,
            "nicht" | "ned" | "net" | "not" => matches!(next.first(), Some(&("vor" | "nach" | "zwischen" | "before"))),
            word => TIMES.contains(&word) && next.iter().take(2).any(|word| is_time(word)),
        }
    })
}

fn is_time(word: &str) -> bool {
    const WORDS: [&str; 28] = [
        "uhr",
        "mittag",
        "abend",
        "feierabend",
        "montag",
        "dienstag",
        "mittwoch",
        "donnerstag",
        "freitag",
        "samstag",
        "sonntag",
        "wochenende",
        "halb",
        "sieben",
        "acht",
        "neun",
        "zehn",
        "elf",
        "zwoelf",
        "achtzehn",
        "neunzehn",
        "zwanzig",
        "noon",
        "nine",
        "ten",
        "eight",
        "six",
        "monday",
    ];
    WORDS.contains(&word) || word.starts_with(|c: char| c.is_ascii_digit())
}

/// Said of somebody else, or of oneself: a report, no wish.
fn is_reporter(word: &str) -> bool {
    const WORDS: [&str; 17] = [
        "ich", "i", "wir", "we", "keiner", "niemand", "mensch", "schwein", "man", "er", "nobody", "noone", "hab",
        "habe", "hatte", "tried", "have",
    ];
    WORDS.contains(&word)
}

/// "Ich rufe jetzt zum vierten Mal an", "ich kann nicht anrufen", "keiner ruft zurück", "no phone connection".
fn is_report(clause: &[&str], at: usize) -> bool {
    let (word, before, after) = (clause[at], &clause[..at], &clause[at + 1..]);
    let holds = |words: &[&str]| before.iter().chain(after).any(|word| words.contains(word));
    let mut nearest = before.iter().rev().take(2);
    let finite = matches!(word, "ruf" | "rufe" | "ruft" | "rufen" | "call" | "calling" | "phone" | "calls");
    let own_doing = finite && nearest.any(|word| is_reporter(word));
    let inverted = finite && after.first().is_some_and(|word| matches!(*word, "ich" | "wir" | "keiner" | "niemand"));
    let able = holds(&["kann", "konnte", "koennen", "konnten"]) && holds(&["ich", "wir", "man", "keiner", "niemand"]);
    let ability = match word {
        "anrufen" | "angerufen" | "zurueckrufen" => able,
        // For who cannot just now it is a wish, for who cannot any more a fault.
        "telefonieren" => able && holds(&["mehr", "seit", "weder"]),
        _ => false,
    };
    let noun = matches!(word, "anruf" | "anrufe" | "rueckruf" | "rueckrufe" | "telefonate" | "phone" | "calls");
    let wished = holds(&["moechte", "will", "wuensche", "want", "bitte", "please"]);
    // "Kein Internet, kein Telefon, keine Anrufe möglich", "kein Rückruf erhalten": the fault, not the wish.
    let faults = [
        "annehmen",
        "entgegennehmen",
        "empfangen",
        "taetigen",
        "fuehren",
        "bekommen",
        "erhalten",
        "gekommen",
        "kam",
        "erfolgt",
        "got",
        "received",
    ];
    let near = ["moeglich", "gehen", "line", "connection", "number", "is"];
    let fault = noun && ((holds(&faults) && !wished) || after.iter().take(2).any(|word| near.contains(word)));
    // An emergency call that came split: "da steht nur not rufe".
    let emergency = before.last() == Some(&"not") && matches!(word, "ruf" | "rufe");
    own_doing || inverted || ability || fault || emergency
}

fn doubly_negated(before: &[&str], after: &[&str]) -> bool {
    // "Warum ruft mich keiner an?"
    before.first() == Some(&"warum") || after.contains(&"keiner")
}

fn is_request(word: &str, before: &[&str], after: &[&str]) -> bool {
    const ASKING: [&str; 25] = [
        "bitte", "koennen", "koennten", "koennt", "kann", "koennte", "moechte", "wuerde", "waere", "wunsch", "um",
        "einen", "gern", "gerne", "please", "could", "can", "would", "me", "mich", "uns", "einer", "lieber", "besser",
        "sondern",
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
            assert_eq!(preferences(note).phone_allowed, Some(true), "{note}");
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
            assert_eq!(preferences(note).phone_allowed, allowed, "{note}");
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
            assert_eq!(preferences(note).phone_allowed, Some(false), "{note}");
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
            assert_eq!(preferences(note).phone_allowed, None, "{note}");
        }
    }

    #[test]
    fn of_two_wishes_the_careful_one_counts() {
        let note = "Rufen Sie mich bitte an. Nein, doch lieber nicht anrufen.";
        assert_eq!(preferences(note).phone_allowed, Some(false));
    }
}
