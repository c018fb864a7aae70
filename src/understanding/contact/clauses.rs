//! Owns where the clauses of a note end, as far as wishes need it: what stands between punctuation, and from one verb
//! phrase to the next where a recogniser left it out.

use std::ops::Range;

use super::calls::{is_call, is_not, is_reporter};
use crate::understanding::urgency::said::{Spoken, Stop};

/// The clauses of a note: what stands between punctuation, and from one verb phrase to the next where a recogniser left
/// it out. What belongs together across a comma is one.
pub(super) fn clauses(words: &[&str], spoken: &Spoken) -> Vec<Range<usize>> {
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

/// How many words behind "zwischen" its "und" may stand: "zwischen acht Uhr dreißig und zehn".
const RANGE_WORDS: usize = 4;

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
        // "Zwischen acht und zehn" goes on.
        ["und", ..] if so_far.iter().rev().take(RANGE_WORDS).any(|word| *word == "zwischen") => false,
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
