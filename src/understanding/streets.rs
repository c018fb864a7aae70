//! Owns streets with a number: "Lange Straße 5", "Goethestr. 5b", "Am Alten Markt 3", "12 Baker Street", and the town
//! that is named right behind. What may be one is found as well: for redaction better too much than too little, and
//! [`Street::is_sure`] tells which of them are facts.

use std::ops::Range;

use super::{
    entities::{
        counts::{self, Counted},
        numbers,
    },
    text::Seen,
};

/// What streets end in; a number behind makes an address of it.
const STREETS: [&str; 38] = [
    "strasse",
    "str",
    "weg",
    "gasse",
    "platz",
    "allee",
    "ring",
    "damm",
    "ufer",
    "chaussee",
    "steig",
    "pfad",
    "markt",
    "hof",
    "wall",
    "graben",
    "bruecke",
    "garten",
    "winkel",
    "kamp",
    "stieg",
    "hoehe",
    "kai",
    "zeile",
    "promenade",
    "park",
    "siedlung",
    "street",
    "road",
    "avenue",
    "lane",
    "drive",
    "close",
    "court",
    "square",
    "terrace",
    "crescent",
    "gardens",
];
/// What nothing else ends in that has a number behind it.
const SURE_STREETS: [&str; 15] = [
    "strasse", "str", "weg", "gasse", "allee", "damm", "ufer", "chaussee", "stieg", "street", "road", "avenue", "lane",
    "terrace", "crescent",
];
/// They stand alone behind their names: "Karl Marx Straße", "Baker Street".
const STREET_WORDS_BEFORE: usize = 2;
/// "Unter den Linden", "Am Hof", "An der Kirche".
const PLACES: [&str; 15] =
    ["am", "an", "auf", "im", "in", "unter", "zum", "zur", "vor", "hinter", "bei", "beim", "ob", "ueber", "zu"];
const ARTICLES: [&str; 4] = ["der", "den", "dem", "die"];
/// "Neuer Wall", "Lange Reihe"
const ADJECTIVES: [&str; 18] = [
    "neu", "alt", "lang", "gross", "klein", "hoh", "breit", "kurz", "ober", "unter", "hinter", "vorder", "mittler",
    "rot", "gruen", "weiss", "schwarz", "schoen",
];
/// Where somebody says where they live, any name with a number is a street.
const LIVING: [&str; 16] = [
    "wohne",
    "wohnt",
    "wohnen",
    "wohnhaft",
    "adresse",
    "anschrift",
    "lieferadresse",
    "lieferanschrift",
    "rechnungsadresse",
    "umgezogen",
    "gezogen",
    "ziehe",
    "live",
    "living",
    "address",
    "moved",
];
const LIVING_WITHIN: usize = 6;
/// Capitals that are followed by a number and are no streets.
const NO_STREETS: [&str; 33] = [
    "montag",
    "dienstag",
    "mittwoch",
    "donnerstag",
    "freitag",
    "samstag",
    "sonntag",
    "januar",
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
    "jahr",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "rechnung",
    "bestellung",
    "kundennummer",
    "bestellnummer",
    "nummer",
    "order",
];
/// Longer numbers are of something else: years, orders.
const HOUSE_DIGITS_MAX: usize = 3;
const POSTAL_CODE_DIGITS: usize = 5;
/// "Bad Homburg", "Frankfurt am Main" less its last word.
const TOWN_WORDS_MAX: usize = 2;

/// A street, its number, and the town if one follows; all as words of the text.
#[derive(Debug)]
pub(super) struct Street {
    name: Range<usize>,
    house: Range<usize>,
    code: Option<String>,
    town: Range<usize>,
    /// What follows is a town, by a code or by "in"; behind a comma it may be "Hinterhaus".
    is_in_town: bool,
    /// All of it.
    pub at: Range<usize>,
}

pub(super) fn find(seen: &Seen) -> Vec<Street> {
    let all = (0..seen.words.len()).flat_map(|at| {
        let german = by_ending(seen, at).or_else(|| by_preposition(seen, at)).or_else(|| by_adjective(seen, at));
        german.or_else(|| by_living(seen, at)).into_iter().chain(english(seen, at))
    });
    all.map(|(name, house)| with_town(seen, name, house)).collect()
}

impl Street {
    /// Whether it is nothing else: a name that only streets have, or one that a town or "ich wohne" makes a street of, and
    /// a number that counts nothing.
    pub(super) fn is_sure(&self, seen: &Seen) -> bool {
        let own_name = self.own_name(seen);
        let is_name = |word: &str| ![&STREETS[..], &PLACES, &ARTICLES].iter().any(|others| others.contains(&word));
        let named = own_name.clone().any(|word| is_name(seen.word(word)));
        let unlike_others =
            own_name.clone().any(|word| SURE_STREETS.iter().any(|street| seen.word(word).ends_with(street)));
        let is_home = self.is_in_town || is_home(seen, self.at.start);
        let counts_something = self.house.end == self.at.end
            && counts::after(seen.text, seen.words, seen.german, self.house.end - 1) != Counted::Nothing;
        !own_name.is_empty() && named && (unlike_others || is_home) && !counts_something
    }

    /// "Musterweg 12a, 50667 Köln": numbers in figures, all else as it was written.
    pub(super) fn text(&self, seen: &Seen) -> Option<String> {
        let name = self.own_name(seen);
        let street = &seen.text[seen.words.get(name.start)?.at.start..seen.words.get(name.end.checked_sub(1)?)?.at.end];
        let house = house_text(seen, self.house.clone())?;
        let street =
            if self.house.start < name.start { format!("{house} {street}") } else { format!("{street} {house}") };
        let town = self.town.clone().filter(|_| self.is_in_town).map(|word| seen.written(word).to_owned());
        let place: Vec<String> = self.code.iter().cloned().chain(town).collect();
        Some(if place.is_empty() { street } else { format!("{street}, {}", place.join(" ")) })
    }

    /// Without what only may belong to it: "Neue Hauptstraße". "Am Alten Markt" is called so.
    fn own_name(&self, seen: &Seen) -> Range<usize> {
        let is_part = |word: &usize| {
            seen.is_capitalised(*word) || seen.word(*word).ends_with("strasse") || PLACES.contains(&seen.word(*word))
        };
        self.name.clone().find(is_part).unwrap_or(self.name.end)..self.name.end
    }
}

/// Whether somebody says just before that they live there.
fn is_home(seen: &Seen, at: usize) -> bool {
    (at.saturating_sub(LIVING_WITHIN)..at).any(|before| LIVING.contains(&seen.word(before)))
}

/// "12a", "12-14"; None where a figure is not to be read.
fn house_text(seen: &Seen, house: Range<usize>) -> Option<String> {
    let mut text = String::new();
    let mut at = house.start + usize::from(is_numbering(seen.word(house.start)));
    while at < house.end {
        let word = seen.word(at);
        if let Some(spoken) = numbers::spoken(seen.words.get(at..house.end)?) {
            text += if text.is_empty() { "" } else { "-" };
            text += spoken.digits.trim_start_matches('0');
            at += spoken.words;
        } else {
            text += word;
            at += 1;
        }
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (1..=2 * HOUSE_DIGITS_MAX).contains(&digits).then_some(text)
}

fn is_numbering(word: &str) -> bool {
    matches!(word, "nummer" | "nr" | "number" | "hausnummer")
}

/// The name of a street, and its number.
type Named = (Range<usize>, Range<usize>);

/// "Hauptstraße siebzehn b", "Goethestr. 5b", "Schillerstraße, Hausnummer 8"
fn by_ending(seen: &Seen, at: usize) -> Option<Named> {
    let word = seen.word(at);
    // "Das Paket ist weg, eins fehlt" names no street.
    let is_noun = seen.is_capitalised(at) || word.ends_with("strasse");
    let is_street = is_noun && STREETS.iter().any(|street| word.ends_with(street));
    let gap = seen.gap_after(at);
    let goes_on = matches!(gap, " " | ", ") || (word.ends_with("str") && gap.trim_end() == ".");
    let house = Some(at + 1).filter(|_| is_street && goes_on).and_then(|number| house(seen, number))?;
    let alone = if STREETS.contains(&word) { STREET_WORDS_BEFORE } else { 0 };
    let mut first = at;
    // "Karl-Marx-Straße" is one name; "Lange Straße" takes its first word along.
    while first > 0 {
        let gap = seen.gap_after(first - 1);
        if matches!(gap, "-" | ".-") || (gap == " " && at - first < alone && seen.is_capitalised(first - 1)) {
            first -= 1;
        } else {
            break;
        }
    }
    if first == at && alone > 0 && at > 0 {
        first -= 1;
    }
    Some((first..at + 1, at + 1..house))
}

/// "Am Alten Markt 3", "Unter den Linden 5"
fn by_preposition(seen: &Seen, at: usize) -> Option<Named> {
    if !PLACES.contains(&seen.word(at)) || seen.gap_after(at) != " " {
        return None;
    }
    let article = usize::from(ARTICLES.contains(&seen.word(at + 1)));
    let first = at + 1 + article;
    let has_ending = |last: usize| STREETS.iter().any(|street| seen.word(last).ends_with(street));
    // A street that is known by its ending leaves "in der" to stand.
    let mut names = (1..=2).map(|words| first..first + words).filter(|name| !has_ending(name.end - 1));
    names.find_map(|name| Some((at..name.end, name.end..named_house(seen, name)?)))
}

/// "Neuer Wall 14"
fn by_adjective(seen: &Seen, at: usize) -> Option<Named> {
    let word = seen.word(at);
    let is_adjective =
        ["e", "er", "es", "en"].iter().filter_map(|end| word.strip_suffix(end)).any(|stem| ADJECTIVES.contains(&stem));
    named_house(seen, at..at + 2).filter(|_| is_adjective).map(|end| (at..at + 2, at + 2..end))
}

/// "Ich wohne Steintor 4"
fn by_living(seen: &Seen, at: usize) -> Option<Named> {
    if !is_home(seen, at) {
        return None;
    }
    (1..=3).find_map(|words| Some((at..at + words, at + words..named_house(seen, at..at + words)?)))
}

/// "221B Baker Street"
fn english(seen: &Seen, at: usize) -> Option<Named> {
    let named = at + number(seen, at)?;
    let last = (named + 1..named + 4).find(|&last| STREETS.contains(&seen.word(last)))?;
    let is_name = (named..=last).all(|word| seen.is_capitalised(word) && seen.gap_after(word - 1) == " ");
    is_name.then_some((named..last + 1, at..named))
}

/// The end of a house number behind these words, if all of them may be the name of a street.
fn named_house(seen: &Seen, name: Range<usize>) -> Option<usize> {
    let is_other = |word: &str| NO_STREETS.contains(&word) || word.ends_with("nummer");
    let is_name = name.clone().all(|word| {
        seen.is_capitalised(word) && matches!(seen.gap_after(word), " " | "-") && !is_other(seen.word(word))
    });
    let end = if is_name { house(seen, name.end)? } else { return None };
    let digits = seen.word(name.end).bytes().take_while(u8::is_ascii_digit).count();
    let counted = counts::after(seen.text, seen.words, seen.german, end - 1);
    (digits <= HOUSE_DIGITS_MAX && counted == Counted::Nothing).then_some(end)
}

/// The end of a house number that begins here: "17", "Nummer 17 b", "12-14".
fn house(seen: &Seen, at: usize) -> Option<usize> {
    let at = at + usize::from(is_numbering(seen.word(at)));
    let mut end = at + number(seen, at)?;
    if matches!(seen.gap_after(end - 1), "-" | "/" | " - " | "–")
        && let Some(second) = number(seen, end)
    {
        end += second;
    }
    let letter = seen.words.get(end).filter(|word| seen.text[word.at.clone()].chars().count() == 1);
    let is_letter = letter.is_some_and(|word| word.folded.bytes().all(|b| b.is_ascii_lowercase()));
    Some(end + usize::from(is_letter && seen.gap_after(end - 1).trim().is_empty()))
}

/// How many words the number that begins here takes.
fn number(seen: &Seen, at: usize) -> Option<usize> {
    if seen.word(at).starts_with(|c: char| c.is_ascii_digit()) {
        return Some(1);
    }
    numbers::spoken(seen.words.get(at..)?).filter(|spoken| !spoken.weak).map(|spoken| spoken.words)
}

/// With the postal code and the town behind it: "Musterweg 12 a, fünf null sechs sechs sieben Köln", "… 12 in Köln".
fn with_town(seen: &Seen, name: Range<usize>, house: Range<usize>) -> Street {
    let street = name.start.min(house.start)..name.end.max(house.end);
    let near = |at: usize| at > 0 && matches!(seen.gap_after(at - 1), " " | ", ");
    let linked = seen.word(street.end) == "in" && near(street.end);
    let at = street.end + usize::from(linked);
    let (mut code, mut digits) = (at, String::new());
    while digits.len() < POSTAL_CODE_DIGITS && near(code) {
        let Some(spoken) = seen.words.get(code..).and_then(numbers::spoken) else { break };
        digits += &spoken.digits;
        code += spoken.words;
    }
    let has_code = digits.len() == POSTAL_CODE_DIGITS;
    let town = if has_code { code } else { at };
    // Without a code only what "in" or a comma makes a town.
    let follows = near(town) && (has_code || linked || seen.gap_after(town - 1) == ", ");
    let mut end = town;
    while follows
        && end < town + TOWN_WORDS_MAX
        && seen.is_capitalised(end)
        && (end == town || seen.gap_after(end - 1) == " ")
    {
        end += 1;
    }
    let at = if end > town || has_code { street.start..end } else { street };
    Street { name, house, code: has_code.then_some(digits), town: town..end, is_in_town: has_code || linked, at }
}
