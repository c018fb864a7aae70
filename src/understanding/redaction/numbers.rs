//! Owns numbers and spelled words that may say who somebody is, in figures or in words, with whatever is said between
//! them.

use std::ops::Range;

use super::{Found, NUMBER, SPELLED, Seen};
use crate::{
    event::processed::Entity,
    understanding::entities::numbers::{ordinal, spoken, year},
};

/// A number of so many figures, all in all, says nothing about anybody: a count, an hour, a year.
const FIGURES_MAX: usize = 4;
/// So many letters one by one are a word that somebody spells.
const LETTERS_MIN: usize = 3;
const POSTAL_CODE_FIGURES: usize = 5;
/// Numbers are read out with breaks: this many words may stand between two pieces.
const FILLERS_MAX: usize = 3;
const FILLERS: [&str; 28] = [
    "und",
    "aeh",
    "aehm",
    "eh",
    "hm",
    "also",
    "dann",
    "noch",
    "mal",
    "nochmal",
    "ja",
    "genau",
    "strich",
    "minus",
    "bindestrich",
    "schraegstrich",
    "slash",
    "punkt",
    "komma",
    "plus",
    "leerzeichen",
    "pause",
    "and",
    "um",
    "uh",
    "then",
    "dash",
    "dot",
];
/// They join the day to the year.
const MONTHS: [&str; 22] = [
    "januar",
    "jaenner",
    "februar",
    "maerz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
    "january",
    "february",
    "march",
    "may",
    "june",
    "july",
    "october",
    "december",
    "feber",
];
const MONTH_FIGURES: &str = "00";

/// What a word, or several that belong together, adds to a number.
struct Piece {
    figures: String,
    letters: usize,
    words: usize,
}

/// After these every number goes, however short: it opens an account, a card or a door.
const SECRETS: [&str; 17] = [
    "pin",
    "puk",
    "tan",
    "geheimzahl",
    "geheimnummer",
    "pruefziffer",
    "pruefnummer",
    "sicherheitscode",
    "kartenpruefnummer",
    "cvc",
    "cvv",
    "code",
    "gueltig",
    "ablaufdatum",
    "valid",
    "expires",
    "expiry",
];
/// After these a word goes as well.
const PASSWORDS: [&str; 5] = ["passwort", "kennwort", "kundenkennwort", "password", "passphrase"];
/// So many words after its name a secret begins at the latest: "gültig bis Ende 12 28".
const SECRET_WITHIN: usize = 4;

pub(super) fn find(seen: &Seen, entities: &[Entity]) -> Vec<Found> {
    let mut found = runs(seen, entities);
    for at in 0..seen.words.len() {
        found.extend(secret(seen, at).or_else(|| plate(seen, at)).map(|at| (NUMBER.to_owned(), at)));
    }
    found
}

/// "Prüfziffer 123", "gültig bis 12 28", "mein Passwort ist Sonnenschein"
fn secret(seen: &Seen, at: usize) -> Option<Range<usize>> {
    let is_password = PASSWORDS.contains(&seen.word(at));
    if !is_password && !SECRETS.contains(&seen.word(at)) {
        return None;
    }
    let near = (at + 1..=at + SECRET_WITHIN).take_while(|&word| !seen.gap_after(word - 1).contains(['.', '!', '?']));
    let number = near.clone().find_map(|first| Some(first..first + run(seen, first)?.words));
    let word = || near.clone().find(|&word| !matches!(seen.word(word), "ist" | "lautet" | "is" | "das" | "mein"));
    number.or_else(|| word().filter(|&word| is_password && word < seen.words.len()).map(|word| word..word + 1))
}

/// "K AB 1234": town, letters and figures of a number plate.
fn plate(seen: &Seen, at: usize) -> Option<Range<usize>> {
    let is_capitals = |at: usize, max: usize| {
        let written = seen.written(at);
        (1..=max).contains(&written.chars().count()) && written.chars().all(char::is_uppercase)
    };
    let figures = seen.word(at + 2);
    let is_number = (1..=4).contains(&figures.len()) && figures.bytes().all(|b| b.is_ascii_digit());
    let joined = (at..at + 2).all(|word| matches!(seen.gap_after(word), " " | "-" | " - " | ", "));
    (is_capitals(at, 3) && is_capitals(at + 1, 2) && is_number && joined).then_some(at..at + 3)
}

fn runs(seen: &Seen, entities: &[Entity]) -> Vec<Found> {
    let values: Vec<(&str, String)> = entities
        .iter()
        .map(|entity| (entity.kind.as_str(), digits(entity.value.expose())))
        .filter(|(_, digits)| !digits.is_empty())
        .collect();
    let mut found = Vec::new();
    let mut from = 0;
    while from < seen.words.len() {
        let Some(run) = run(seen, from) else {
            from += 1;
            continue;
        };
        let at = from..from + run.words;
        let known = values.iter().find(|(_, digits)| *digits == run.figures);
        if let Some((kind, _)) = known {
            found.push(((*kind).to_owned(), at.clone()));
        } else if ends_in_postal_code(seen, &run, at.end - 1) && seen.is_capitalised(at.end) {
            // "80331 München", "12 a, fünf null sechs sechs sieben Köln"
            let kind = if run.figures.len() == POSTAL_CODE_FIGURES { "address" } else { NUMBER };
            found.push((kind.to_owned(), at.start..at.end + 1));
        } else if run.figures.is_empty() && run.letters >= LETTERS_MIN {
            found.push((SPELLED.to_owned(), at.clone()));
        } else if run.figures.len() + run.letters > FIGURES_MAX || run.letters >= LETTERS_MIN {
            found.push((NUMBER.to_owned(), at.clone()));
        }
        from = at.end;
    }
    found
}

/// All of it is one, or its end may be, written or in words.
fn ends_in_postal_code(seen: &Seen, run: &Piece, last: usize) -> bool {
    let word = seen.word(last);
    let in_figures = word.bytes().all(|b| b.is_ascii_digit());
    let ends = if in_figures { word.len() == POSTAL_CODE_FIGURES } else { run.figures.len() > POSTAL_CODE_FIGURES };
    (ends || run.figures.len() == POSTAL_CODE_FIGURES) && seen.gap_after(last) == " "
}

fn digits(value: &str) -> String {
    value.chars().filter(char::is_ascii_digit).collect()
}

/// All pieces that follow each other from this word.
fn run(seen: &Seen, from: usize) -> Option<Piece> {
    let mut all = piece(seen, from)?;
    let mut next = from + all.words;
    loop {
        let fillers = (next..seen.words.len()).take_while(|&at| FILLERS.contains(&seen.word(at))).count();
        let at = next + fillers;
        let ends = (next - 1..at).any(|word| seen.gap_after(word).contains(['!', '?']));
        let Some(more) = Some(at).filter(|_| fillers <= FILLERS_MAX && !ends).and_then(|at| piece(seen, at)) else {
            return Some(all);
        };
        all.figures.push_str(&more.figures);
        all.letters += more.letters;
        next = at + more.words;
        all.words = next - from;
    }
}

fn piece(seen: &Seen, at: usize) -> Option<Piece> {
    let words = seen.words.get(at..).filter(|words| !words.is_empty())?;
    let word = seen.word(at);
    if let Some(spoken) = spoken(words) {
        return Some(Piece { figures: spoken.digits, letters: 0, words: spoken.words });
    }
    // "13.05.80", "47-11", "XK4711": letters among figures count like figures.
    if word.chars().any(char::is_numeric) {
        let (figures, others): (String, String) =
            word.chars().filter(|c| c.is_alphanumeric()).partition(char::is_ascii_digit);
        return Some(Piece { figures, letters: others.chars().count(), words: 1 });
    }
    if let Some(figures) = ordinal(word).or_else(|| year(word)).map(|number| number.to_string()) {
        return Some(Piece { figures, letters: 0, words: 1 });
    }
    if MONTHS.contains(&word) {
        return Some(Piece { figures: MONTH_FIGURES.to_owned(), letters: 0, words: 1 });
    }
    letter(seen, at)
}

/// "M", or "M wie Martha".
fn letter(seen: &Seen, at: usize) -> Option<Piece> {
    let mut chars = seen.written(at).chars();
    let is_letter = chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none();
    let explained = matches!(seen.word(at + 1), "wie" | "as" | "for") && at + 2 < seen.words.len();
    is_letter.then(|| Piece { figures: String::new(), letters: 1, words: if explained { 3 } else { 1 } })
}
