//! Owns which kind of number the words around one announce. A number has one name, the nearest; what is named as a
//! number of a kind that nobody asked for (a postal code, an invoice, the company's own line) is none of ours.

use std::{collections::BTreeMap, ops::Range};

use super::{EntityRule, Scan, numbers};
use crate::understanding::text::{self, Word};

/// How customers announce a number; a playbook adds its own words.
const ANNOUNCED: [(&str, &[&str]); 4] = [
    ("customer_number", &["kundennummer", "kunden nummer", "customer number", "account number"]),
    ("order_number", &["bestellnummer", "bestell nummer", "auftragsnummer", "bestellung", "order number", "order"]),
    (
        "phone",
        &[
            "*telefonnummer",
            "telefon",
            "*handynummer",
            "handy",
            "*rufnummer",
            "*mobilnummer",
            "festnetz*",
            "meine nummer",
            "phone number",
            "mobile number",
            "callback number",
            "phone",
            "mobile",
            "my number",
            "call me",
            "zurueckrufen",
            "anrufen",
            "unter",
        ],
    ),
    ("iban", &["iban", "i ban", "bankverbindung", "kontonummer", "konto nummer"]),
];
/// The kinds that are known without a playbook.
pub(super) const KINDS: [&str; ANNOUNCED.len()] = [ANNOUNCED[0].0, ANNOUNCED[1].0, ANNOUNCED[2].0, ANNOUNCED[3].0];
/// They name what was bought as often as its number.
const BARE: [&str; 4] = ["bestellung", "bestellungen", "order", "orders"];
/// How words end that name nothing but a number.
const NUMBERS: [&str; 4] = ["nummer", "nr", "number", "iban"];
/// Names of numbers without the word "number".
const OTHER_NAMES: [&str; 26] = [
    "postleitzahl",
    "plz",
    "bankleitzahl",
    "blz",
    "pin",
    "puk",
    "tan",
    "geheimzahl",
    "pruefziffer",
    "kennwort",
    "passwort",
    "kennzeichen",
    "aktenzeichen",
    "geburtsdatum",
    "geburtstag",
    "zaehlerstand",
    "zaehler",
    "hotline",
    "postcode",
    "zip",
    "code",
    "cvc",
    "cvv",
    "password",
    "birthday",
    "fax",
];
/// Papers with a number of their own, which they have if it follows at once.
const PAPERS: [&str; 5] = ["rechnung", "mahnung", "vorgang", "ticket", "invoice"];
/// Somebody else's number: the company's.
const YOURS: [&str; 9] = ["ihre", "ihrer", "ihren", "eure", "eurer", "euren", "deine", "your", "deiner"];
/// Before "number" they say nothing of its kind.
const DETERMINERS: [&str; 16] = [
    "my",
    "the",
    "a",
    "this",
    "that",
    "his",
    "her",
    "our",
    "is",
    "and",
    "another",
    "new",
    "right",
    "wrong",
    "same",
    "following",
];
/// What may stand between a name and its number without parting them.
const COPULAS: [&str; 14] =
    ["ist", "lautet", "waere", "war", "die", "der", "is", "was", "the", "also", "aeh", "aehm", "nummer", "number"];

/// How many words before a number may announce it, and how many after it.
const BEFORE: usize = 8;
const AFTER: usize = 4;

pub(super) struct Announced {
    /// None: a number of another kind.
    pub kind: Option<String>,
    /// By a word that names more than a number.
    pub bare: bool,
    /// Nothing but "ist" between the name and the number.
    pub adjacent: bool,
}

/// The nearest announcement, before the number or right after it in the same sentence.
pub(super) fn announced(scan: &Scan, at: &Range<usize>, rules: &BTreeMap<String, EntityRule>) -> Option<Announced> {
    let first = begin(scan, at.start, BEFORE);
    let before = &scan.words[first..at.start];
    let last = (at.end - 1..scan.words.len()).take(AFTER).find(|&w| ends_sentence(scan, w));
    let last = last.map_or((at.end + AFTER).min(scan.words.len()), |w| w + 1);
    let after = scan.words.get(at.end..last).unwrap_or_default();

    let mut best: Option<(usize, Announced)> = None;
    let mut offer = |distance: usize, announced: Announced| {
        if best.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
            best = Some((distance, announced));
        }
    };
    for (kind, phrase) in phrases(rules) {
        let bare = is_bare(&phrase);
        let begins = (0..before.len()).rev().find(|&i| text::begins_with(&before[i..], &phrase));
        if let Some(i) = begins.filter(|&i| !denied(before, i..i + phrase.len(), bare)) {
            let between = &before[i + phrase.len()..];
            let adjacent = between.iter().all(|word| COPULAS.contains(&word.folded.as_str()));
            offer(between.len(), Announced { kind: Some(kind.clone()), bare, adjacent });
        }
        // What follows announces only if nothing before does.
        if let Some(i) = text::find_phrase(after, &phrase) {
            offer(BEFORE + i, Announced { kind: Some(kind), bare, adjacent: i == 0 });
        }
    }
    // Last, so that of two that are as near the known one is taken.
    let other = || Announced { kind: None, bare: false, adjacent: false };
    for i in 0..before.len() {
        let distance = before.len() - 1 - i;
        if names_other(scan, first + i) || (distance == 0 && PAPERS.contains(&before[i].folded.as_str())) {
            offer(distance, other());
        }
    }
    if let Some(i) = (at.end..last).find(|&word| names_other(scan, word)) {
        offer(BEFORE + i - at.end, other());
    }
    best.map(|(_, announced)| announced)
}

/// Kinds, each with words that announce it.
fn phrases(rules: &BTreeMap<String, EntityRule>) -> impl Iterator<Item = (String, Vec<String>)> {
    let known = ANNOUNCED.iter().flat_map(|(kind, words)| words.iter().map(|word| (*kind, text::phrase(word))));
    let own = rules.iter().flat_map(|(kind, rule)| rule.words.iter().map(|words| (kind.as_str(), words.clone())));
    known.chain(own).map(|(kind, words)| (kind.to_owned(), words))
}

fn is_bare(phrase: &[String]) -> bool {
    phrase.len() == 1 && BARE.contains(&phrase[0].as_str())
}

/// The words from which on a note only names the number of such a kind that begins with the word `number`: "und meine
/// Kundennummer ist". What also says something else, as "zurückrufen unter" does, is no such words.
pub(super) fn naming(words: &[Word], number: usize, kind: &str, rules: &BTreeMap<String, EntityRule>) -> usize {
    const BEFORE_NAMES: [&str; 16] = [
        "die", "der", "meine", "meiner", "mit", "zur", "und", "hier", "also", "noch", "es", "ist", "the", "my", "with",
        "and",
    ];
    let beyond = |end: usize, fillers: &[&str]| {
        let more = words[..end].iter().rev().take_while(|word| fillers.contains(&word.folded.as_str())).count();
        end - more
    };
    let end = beyond(number, &COPULAS);
    let ends_in = |phrase: &[String]| end >= phrase.len() && text::begins_with(&words[end - phrase.len()..end], phrase);
    let says_number = |phrase: &[String]| phrase.last().is_some_and(|word| NUMBERS.iter().any(|n| word.ends_with(n)));
    let names = phrases(rules).filter(|(of, phrase)| of == kind && says_number(phrase) && ends_in(phrase));
    names.map(|(_, phrase)| phrase.len()).max().map_or(number, |name| beyond(end - name, &BEFORE_NAMES))
}

/// True if the words right before announce some number, so that what looks like a date may be none.
pub(super) fn is_numbered(scan: &Scan, at: usize) -> bool {
    (begin(scan, at, 3)..at).any(|word| scan.word(word).ends_with("nummer") || scan.word(word) == "number")
}

/// The first of so many words before `at` that are in its sentence.
fn begin(scan: &Scan, at: usize, words: usize) -> usize {
    let end = (0..at).rev().take(words).find(|&word| ends_sentence(scan, word));
    end.map_or(at.saturating_sub(words), |word| word + 1)
}

/// "Kundennr. 98203" goes on.
fn ends_sentence(scan: &Scan, word: usize) -> bool {
    let gap = scan.gap_after(word);
    let is_short = scan.word(word).ends_with("nr") || scan.word(word) == "tel";
    gap.contains(['!', '?', ';']) || (gap.contains('.') && !is_short)
}

/// "keine Kundennummer", "die Kundennummer weiß ich nicht": what follows is something else. Of what was bought it is
/// said all the time that it is not there, which says nothing of its number.
fn denied(before: &[Word], phrase: Range<usize>, bare: bool) -> bool {
    let is_no =
        |word: &str| matches!(word, "nicht" | "not" | "dont" | "kein" | "keine" | "keinen" | "ohne" | "without");
    let refused = phrase.start.checked_sub(1).is_some_and(|i| is_no(&before[i].folded) || before[i].folded == "no");
    // "nicht 4711, sondern …" says no to one number only, "wenn ich mich nicht irre" to none.
    let of_something_else = |i: usize| {
        let rest = before.get(i + 1..).unwrap_or_default();
        let is_doubt =
            rest.first().is_some_and(|word| matches!(word.folded.as_str(), "irre" | "taeusche" | "mistaken"));
        rest.is_empty() || is_doubt || numbers::spoken(rest).is_some()
    };
    let lost = !bare && (phrase.end..before.len()).any(|i| is_no(&before[i].folded) && !of_something_else(i));
    refused || lost
}

/// A name for a number; of which kind is for the phrases to say.
fn names_other(scan: &Scan, at: usize) -> bool {
    let word = scan.word(at);
    let before = at.checked_sub(1).map_or("", |before| scan.word(before));
    match word {
        // "Rechnungs Nummer"
        "nummer" => YOURS.contains(&before) || (before.ends_with('s') && before.len() > 6) || before == "haus",
        "number" => {
            YOURS.contains(&before) || !(before.is_empty() || DETERMINERS.contains(&before) || before == "number")
        }
        _ => {
            OTHER_NAMES.contains(&word)
                || ["nummer", "nummern", "nr"].iter().any(|end| word.len() > 4 && word.ends_with(end))
        }
    }
}
