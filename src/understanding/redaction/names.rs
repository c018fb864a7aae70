//! Owns where somebody may be named: by a name that is known, after a title, after an introduction, before "hier" or
//! "am Apparat".

use std::ops::Range;

use super::{Found, Seen};
use crate::{
    event::processed::Entity,
    understanding::{
        entities::names::{TITLES, is_no_name},
        text,
    },
};

/// After these a name follows, however the recogniser writes it.
const INTRODUCTIONS: [&str; 6] =
    ["mein name ist", "mein name war", "ich heisse", "my name is", "hier spricht", "my name's"];
/// After these a name may follow, and has a capital letter.
const OPENINGS: [&str; 8] =
    ["hier ist", "ich bin", "ich bins", "this is", "i am", "on behalf of", "im namen von", "im auftrag von"];
/// In English, where "im" is no preposition.
const OPENINGS_EN: [&str; 2] = ["im", "its"];
/// "auf den Namen Karin Vogel", "Nachname Vogel, Vorname Karin"
const NAMING: [&str; 16] = [
    "name",
    "namen",
    "namens",
    "nachname",
    "nachnamen",
    "vorname",
    "vornamen",
    "familienname",
    "geborene",
    "geborener",
    "zuname",
    "geburtsname",
    "maedchenname",
    "surname",
    "firstname",
    "lastname",
];
/// Said between one of these and the name.
const SKIPPED: [&str; 20] = [
    "ist", "lautet", "war", "is", "was", "der", "die", "noch", "wieder", "nochmal", "nochmals", "mal", "auch", "jetzt",
    "ja", "hier", "von", "again", "aeh", "aehm",
];
/// What somebody says of themselves right behind their name, in the first words of a sentence.
const CLOSINGS: [&str; 7] = ["am apparat", "am telefon", "hier", "spricht", "here", "speaking", "calling"];
/// Inside a name, without a capital letter.
const PARTICLES: [&str; 14] =
    ["von", "van", "vom", "zu", "zum", "zur", "der", "den", "de", "da", "di", "el", "al", "ter"];
/// With a capital letter behind an opening, and nobody's name.
const NOBODY: [&str; 31] = [
    "ich",
    "sie",
    "wir",
    "kunde",
    "kundin",
    "neukunde",
    "stammkunde",
    "mitglied",
    "rentner",
    "rentnerin",
    "student",
    "studentin",
    "mieter",
    "guten",
    "hallo",
    "danke",
    "bitte",
    "mein",
    "meine",
    "das",
    "es",
    "und",
    "the",
    "internet",
    "ihr",
    "ihre",
    "euer",
    "eure",
    "kein",
    "keine",
    "firma",
];
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
    let english: &[&str] = if seen.german { &[] } else { &OPENINGS_EN };
    let openings: Vec<Vec<String>> = OPENINGS.iter().chain(english).map(|phrase| text::phrase(phrase)).collect();
    let closings = CLOSINGS.map(text::phrase);
    let mut found = Vec::new();
    for at in 0..seen.words.len() {
        if known.iter().any(|name| is_of(name, seen.word(at))) {
            found.push(at..at + 1);
        }
        if is_title(seen, at) {
            found.extend(capitalised(seen, at + 1));
        }
        if NAMING.contains(&seen.word(at)) {
            found.extend(somebody(seen, at + 1));
        }
        for phrase in introductions.iter().filter(|phrase| text::begins_with(&seen.words[at..], phrase)) {
            let first = at + phrase.len();
            let last = (first + 1).min(seen.words.len());
            found.extend(somebody(seen, first).or((first < last).then_some(first..last)));
        }
        for phrase in openings.iter().filter(|phrase| text::begins_with(&seen.words[at..], phrase)) {
            found.extend(somebody(seen, at + phrase.len()));
        }
        if closings.iter().any(|phrase| text::begins_with(&seen.words[at..], phrase) && closes(seen, at, phrase.len()))
        {
            found.extend(first_words(seen, at));
        }
    }
    found.into_iter().map(|at| ("name".to_owned(), at)).collect()
}

fn is_of(name: &str, word: &str) -> bool {
    word == name || word.strip_suffix('s') == Some(name) || (name.len() >= STEM_CHARS_MIN && word.starts_with(name))
}

fn is_title(seen: &Seen, at: usize) -> bool {
    TITLES.contains(&seen.word(at)) || seen.word(at) == "mister"
}

/// A name behind an introduction, past what is said in between; with what is said of it once more: "Müller, Sabine
/// Müller".
fn somebody(seen: &Seen, first: usize) -> Option<Range<usize>> {
    let is_skipped = |at: &usize| SKIPPED.contains(&seen.word(*at)) || is_title(seen, *at);
    let skipped = (first..seen.words.len()).take_while(is_skipped).count();
    let first = first + skipped;
    let is_somebody = |at: usize| {
        let word = seen.word(at);
        !NOBODY.contains(&word) && !NAMING.contains(&word) && !is_no_name(word)
    };
    // "Ich bin der Meinung, dass …": no name is followed by that.
    let mut name = capitalised(seen, first).filter(|name| is_somebody(first) && seen.word(name.end) != "dass")?;
    if seen.gap_after(name.end - 1) == ", "
        && is_somebody(name.end)
        && let Some(again) = capitalised(seen, name.end)
    {
        name.end = again.end;
    }
    Some(name)
}

/// True if a sentence goes no further here, or only by a breath: "Schmidt hier, ich rufe an".
fn closes(seen: &Seen, at: usize, words: usize) -> bool {
    words > 1 || at + 1 >= seen.words.len() || !seen.gap_after(at).trim().is_empty()
}

/// The names from the beginning of a sentence, or of a part of it, to this word.
fn first_words(seen: &Seen, end: usize) -> Option<Range<usize>> {
    let is_part = |at: usize| {
        seen.gap_after(at).trim().trim_matches('-').is_empty()
            && (seen.is_capitalised(at) || PARTICLES.contains(&seen.word(at)))
    };
    let words = (0..end).rev().take(WORDS_MAX + 1).take_while(|&at| is_part(at)).count();
    let start = end - words;
    // "Das Internet hier" begins with no name, and nothing that goes on from another word does.
    let begins = start == 0 || !seen.gap_after(start - 1).trim().is_empty();
    let is_name = words > 0 && begins && !NOBODY.contains(&seen.word(start)) && !is_no_name(seen.word(start));
    is_name.then_some(start..end)
}

/// The words with a capital letter that follow each other from here; titles among them, and "von der" between them.
fn capitalised(seen: &Seen, first: usize) -> Option<Range<usize>> {
    let mut end = first;
    let mut names = 0;
    while names < WORDS_MAX {
        let particles = (end..seen.words.len()).take(3).take_while(|&at| PARTICLES.contains(&seen.word(at))).count();
        // Particles are of a name only before one.
        let at = if seen.is_capitalised(end) { end } else { end + particles };
        let is_firm = seen.word(at) == "firma";
        if is_firm || (!seen.is_capitalised(at) && !is_title(seen, at)) {
            break;
        }
        names += usize::from(!is_title(seen, at));
        end = at + 1;
        // "Dr. Müller" goes on, "Müller. Paket" does not.
        let gap = seen.gap_after(at);
        if !matches!(gap, " " | "-") && (gap != ". " || !is_title(seen, at)) {
            break;
        }
    }
    (end > first).then_some(first..end)
}
