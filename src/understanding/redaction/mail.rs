//! Owns addresses of mail beyond those that are taken for facts.

use super::{Found, Seen};
use crate::understanding::entities::email;

const SIGNS: [&str; 4] = ["at", "aet", "klammeraffe", "affenschwanz"];
const SEPARATORS: [&str; 8] = ["punkt", "dot", "minus", "bindestrich", "dash", "hyphen", "unterstrich", "underscore"];
/// So many words after the sign the first dot of a domain is spoken.
const DOMAIN_WORDS: usize = 5;

/// Whatever has a sign of mail in it, written or spoken, whether its domain is known or not.
pub(super) fn find(seen: &Seen) -> Vec<Found> {
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

/// From where the address may begin to the word after its last separator, or to the end of "ät web.de".
fn spoken(seen: &Seen, sign: usize) -> Option<std::ops::Range<usize>> {
    let is_separator = |at: usize| SEPARATORS.contains(&seen.word(at));
    let written = (sign + 1..sign + DOMAIN_WORDS).find(|&at| seen.gap_after(at) == ".").map(|dot| dot + 1);
    let mut last = (sign + 1..=sign + DOMAIN_WORDS).find(|&at| is_separator(at)).map(|at| at + 1).or(written)?;
    while is_separator(last + 1) {
        last += 2;
    }
    let first = email::said_from(seen.text, seen.words, sign);
    Some(first..(last + 1).min(seen.words.len()))
}
