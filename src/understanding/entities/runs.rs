//! Owns numbers that are read out: digit by digit, in pairs, with letters before them. Which kind they are is said by
//! the words around them.

use std::{collections::BTreeMap, ops::Range};

use super::{EntityRule, Scan, iban, numbers};
use crate::understanding::text;

/// How customers announce a number; a playbook adds its own words.
const ANNOUNCED: [(&str, &[&str]); 4] = [
    ("customer_number", &["kundennummer", "kunden nummer", "customer number", "account number"]),
    ("order_number", &["bestellnummer", "bestell nummer", "auftragsnummer", "bestellung", "order number", "order"]),
    (
        "phone",
        &[
            "telefonnummer",
            "telefon",
            "handynummer",
            "handy",
            "rufnummer",
            "mobilnummer",
            "festnetz",
            "meine nummer",
            "phone number",
            "phone",
            "mobile",
            "my number",
            "call me",
            "zurueckrufen",
            "anrufen",
            "unter",
        ],
    ),
    ("iban", &["iban", "i ban", "bankverbindung", "kontonummer"]),
];

/// How many words before a number may announce it, and how many after it.
const BEFORE: usize = 8;
const AFTER: usize = 4;
const PHONE_DIGITS_MIN: usize = 7;
const DIGITS_MAX: usize = 34;

pub(super) fn find(scan: &mut Scan, rules: &BTreeMap<String, EntityRule>) {
    let mut from = 0;
    while from < scan.words.len() {
        let Some((value, end)) = run(scan, from) else {
            from += 1;
            continue;
        };
        if let Some((kind, proven)) = kind(scan, &value, from..end, rules) {
            scan.take(&kind, value, proven, from..end);
        }
        from = end;
    }
}

/// The number that begins at this word and where it ends: letters first, then digits.
fn run(scan: &Scan, from: usize) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut at = from;
    if scan.word(at) == "plus" || (at < scan.words.len() && scan.text[..scan.words[at].at.start].ends_with('+')) {
        value.push('+');
        at += usize::from(scan.word(at) == "plus");
    }
    while let Some((letters, next)) = letters(scan, at) {
        value.push_str(&letters);
        at = next;
        if !goes_on(scan, at - 1) {
            break;
        }
    }
    let mut digits = 0;
    while scan.is_free(at..at + 1) && value.len() < DIGITS_MAX {
        let Some(spoken) = numbers::spoken(&scan.words[at..]) else { break };
        // "ein" begins no number: "Bestellung von einem Tisch".
        if spoken.weak && digits == 0 {
            return None;
        }
        digits += spoken.digits.len();
        value.push_str(&spoken.digits);
        at += spoken.words;
        if !goes_on(scan, at - 1) {
            break;
        }
    }
    if digits == 0 {
        let mixed = value.bytes().any(|b| b.is_ascii_digit());
        return mixed.then_some((value, at));
    }
    Some((value, at))
}

/// A letter, "A wie Anton", or a word of capitals and digits that the recogniser wrote.
fn letters(scan: &Scan, at: usize) -> Option<(String, usize)> {
    let word = scan.words.get(at).filter(|_| scan.is_free(at..at + 1))?;
    let written = &scan.text[word.at.clone()];
    let single = written.len() == 1 && written.bytes().all(|b| b.is_ascii_alphabetic());
    if single && matches!(scan.word(at + 1), "wie" | "as" | "for") && at + 2 < scan.words.len() {
        return Some((written.to_ascii_uppercase(), at + 3));
    }
    let code = written.len() <= DIGITS_MAX
        && written.starts_with(|c: char| c.is_ascii_uppercase())
        && written.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && (written.len() <= 3 || written.bytes().any(|b| b.is_ascii_digit()));
    let spelled = single && written.bytes().all(|b| b.is_ascii_uppercase());
    (spelled || code).then(|| (written.to_owned(), at + 1))
}

/// Nothing but a breath between this word and the next.
fn goes_on(scan: &Scan, word: usize) -> bool {
    let gap = scan.gap_after(word);
    !gap.is_empty() && gap.len() <= 3 && gap.chars().all(|c| matches!(c, ' ' | ',' | '-' | '/' | '–'))
}

fn kind(scan: &Scan, value: &str, at: Range<usize>, rules: &BTreeMap<String, EntityRule>) -> Option<(String, bool)> {
    if iban::looks_like(value) && iban::is_valid(value) {
        return Some(("iban".to_owned(), true));
    }
    let announced = announced(scan, &at, rules);
    let is_phone = value.starts_with(['0', '+']) && value.len() >= PHONE_DIGITS_MIN;
    match announced.as_deref() {
        Some("iban") if iban::looks_like(value) => Some(("iban".to_owned(), false)),
        Some("phone" | "iban") | None => is_phone.then(|| ("phone".to_owned(), false)),
        // "Bestellung von drei Tischen": a number alone is a count.
        Some(kind) => (value.len() >= 3 || at.len() >= 3).then(|| (kind.to_owned(), false)),
    }
}

/// The nearest announcement, before the number or right after it in the same sentence.
fn announced(scan: &Scan, at: &Range<usize>, rules: &BTreeMap<String, EntityRule>) -> Option<String> {
    let first = (0..at.start).rev().take(BEFORE).find(|&w| scan.gap_after(w).contains(['!', '?', '.', ';']));
    let first = first.map_or(at.start.saturating_sub(BEFORE), |w| w + 1);
    let before = &scan.words[first..at.start];
    let last = (at.end - 1..scan.words.len()).take(AFTER).find(|&w| scan.gap_after(w).contains(['!', '?', '.', ';']));
    let last = last.map_or((at.end + AFTER).min(scan.words.len()), |w| w + 1);
    let after = &scan.words[at.end..last];

    let phrases = ANNOUNCED
        .iter()
        .flat_map(|(kind, words)| words.iter().map(move |word| ((*kind).to_owned(), text::phrase(word))))
        .chain(rules.iter().flat_map(|(kind, rule)| rule.words.iter().map(move |words| (kind.clone(), words.clone()))));
    let mut best: Option<(usize, String)> = None;
    for (kind, phrase) in phrases {
        let ends = (0..before.len()).rev().find(|&i| text::begins_with(&before[i..], &phrase));
        let ahead = ends.map(|i| before.len() - i - phrase.len());
        // What follows announces only if nothing before does.
        let behind = text::find_phrase(after, &phrase).map(|i| BEFORE + i);
        for distance in [ahead, behind].into_iter().flatten() {
            if best.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                best = Some((distance, kind.clone()));
            }
        }
    }
    best.map(|(_, kind)| kind)
}
