//! Owns where somebody may be named: by a name that is known, after a title, after an introduction.

use super::{Found, Seen};
use crate::{event::processed::Entity, understanding::text};

const TITLES: [&str; 10] = ["frau", "herr", "herrn", "familie", "doktor", "dr", "mr", "mrs", "ms", "mister"];
/// After these a name follows, however the recogniser writes it.
const INTRODUCTIONS: [&str; 6] =
    ["mein name ist", "mein name war", "ich heisse", "my name is", "hier spricht", "my name's"];
/// Names have up to so many words.
const WORDS_MAX: usize = 3;
/// From this many letters on, a name is known in what is made of it as well: "Brandts".
const STEM_CHARS_MIN: usize = 4;

pub(super) fn find(seen: &Seen, entities: &[Entity]) -> Vec<Found> {
    let known: Vec<String> = entities
        .iter()
        .filter(|entity| entity.kind == "name")
        .flat_map(|entity| text::words(entity.value.expose()))
        .map(|word| word.folded)
        .filter(|word| word.chars().count() > 1)
        .collect();
    let introductions = INTRODUCTIONS.map(text::phrase);
    let mut found = Vec::new();
    for at in 0..seen.words.len() {
        if known.iter().any(|name| is_of(name, seen.word(at))) {
            found.push(at..at + 1);
        }
        if TITLES.contains(&seen.word(at)) {
            found.extend(capitalised(seen, at + 1));
        }
        for phrase in &introductions {
            if text::begins_with(&seen.words[at..], phrase) {
                let first = at + phrase.len();
                let last = (first + 1).min(seen.words.len());
                found.extend(capitalised(seen, first).or((first < last).then_some(first..last)));
            }
        }
    }
    found.into_iter().map(|at| ("name".to_owned(), at)).collect()
}

fn is_of(name: &str, word: &str) -> bool {
    word == name || word.strip_suffix('s') == Some(name) || (name.len() >= STEM_CHARS_MIN && word.starts_with(name))
}

/// The words with a capital letter that follow each other from here; titles among them.
fn capitalised(seen: &Seen, first: usize) -> Option<std::ops::Range<usize>> {
    let mut end = first;
    while end < first + WORDS_MAX && (seen.is_capitalised(end) || TITLES.contains(&seen.word(end))) {
        end += 1;
        // "Dr. Müller" goes on, "Müller. Paket" does not.
        let gap = seen.gap_after(end - 1);
        if !matches!(gap, " " | "-") && (gap != ". " || !TITLES.contains(&seen.word(end - 1))) {
            break;
        }
    }
    (end > first).then_some(first..end)
}
