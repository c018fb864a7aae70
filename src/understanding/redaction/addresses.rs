//! Owns where somebody may say where they can be reached: streets with a number, addresses
//! of mail beyond those that are taken for facts.

use super::{Found, Seen};
use crate::understanding::entities::numbers;

const STREETS: [&str; 15] = [
    "strasse", "str", "weg", "gasse", "platz", "allee", "ring", "damm", "ufer", "chaussee", "steig", "pfad", "street",
    "road", "avenue",
];
const SIGNS: [&str; 4] = ["at", "aet", "klammeraffe", "affenschwanz"];
const SEPARATORS: [&str; 8] = ["punkt", "dot", "minus", "bindestrich", "dash", "hyphen", "unterstrich", "underscore"];
/// So many words after the sign the first dot of a domain is spoken.
const DOMAIN_WORDS: usize = 5;

/// A street with its number. "Lange Straße 5" takes its first word along.
pub(super) fn streets(seen: &Seen) -> Vec<Found> {
    let mut found = Vec::new();
    for at in 0..seen.words.len() {
        let word = seen.word(at);
        // "Das Paket ist weg, eins fehlt" names no street.
        let is_noun = seen.is_capitalised(at) || word.ends_with("strasse");
        if is_noun && STREETS.iter().any(|street| word.ends_with(street)) && seen.gap_after(at) == " " {
            let number = at + 1 + usize::from(matches!(seen.word(at + 1), "nummer" | "nr" | "number"));
            if let Some(words) = number_words(seen, number) {
                let letter = usize::from(seen.word(number + words).len() == 1);
                let first = at - usize::from(at > 0 && STREETS.contains(&word));
                found.push(first..number + words + letter);
            }
        }
    }
    found.into_iter().map(|at| ("address".to_owned(), at)).collect()
}

fn number_words(seen: &Seen, at: usize) -> Option<usize> {
    let written = seen.word(at).starts_with(|c: char| c.is_ascii_digit());
    let spoken = || numbers::spoken(seen.words.get(at..)?).filter(|spoken| !spoken.weak);
    if written { Some(1) } else { spoken().map(|spoken| spoken.words) }
}

/// Whatever has a sign of mail in it, written or spoken, whether its domain is known or not.
pub(super) fn mail(seen: &Seen) -> Vec<Found> {
    let mut found = Vec::new();
    for at in 1..seen.words.len() {
        if seen.gap_after(at - 1).contains('@') {
            found.push(written(seen, at));
        } else if SIGNS.contains(&seen.word(at)) && (seen.german || seen.word(at) != "at") {
            found.extend(spoken(seen, at));
        }
    }
    found.into_iter().map(|at| ("email".to_owned(), at)).collect()
}

/// All words around the sign that no space parts.
fn written(seen: &Seen, second: usize) -> std::ops::Range<usize> {
    let together =
        |word: usize| !seen.gap_after(word).is_empty() && !seen.gap_after(word).contains(char::is_whitespace);
    let mut first = second - 1;
    while first > 0 && together(first - 1) {
        first -= 1;
    }
    let mut last = second;
    while together(last) {
        last += 1;
    }
    first..last + 1
}

/// From the word before the sign, and what separators join to it, to the word after the last separator.
fn spoken(seen: &Seen, sign: usize) -> Option<std::ops::Range<usize>> {
    let is_separator = |at: usize| SEPARATORS.contains(&seen.word(at));
    let mut last = (sign + 1..=sign + DOMAIN_WORDS).find(|&at| is_separator(at))? + 1;
    while is_separator(last + 1) {
        last += 2;
    }
    let mut first = sign - 1;
    while first >= 2 && is_separator(first - 1) {
        first -= 2;
    }
    Some(first..(last + 1).min(seen.words.len()))
}
