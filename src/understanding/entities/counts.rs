//! Owns whether a number counts what is named after it: "drei Tage", "24 Stunden", "1000 Blatt". What counts something
//! is no piece of a number that is read out, no minutes, no cents, no house.

use crate::understanding::text::Word;

/// What stands behind a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Something that is only ever counted: the number belongs to it.
    Unit,
    /// By its capital letter, or by its place in English, something that may be counted.
    Noun,
    Nothing,
}

/// Time comes in compounds: "Werktage", "Kilowattstunden".
const UNIT_ENDS: [&str; 12] =
    ["stunde", "stunden", "tag", "tage", "tagen", "woche", "wochen", "monate", "monaten", "jahre", "jahren", "minuten"];
const UNITS: [&str; 66] = [
    "sekunden",
    "minute",
    "monat",
    "jahr",
    "uhr",
    "euro",
    "euros",
    "eur",
    "cent",
    "franken",
    "prozent",
    "grad",
    "stueck",
    "mal",
    "leute",
    "personen",
    "kinder",
    "kilo",
    "gramm",
    "meter",
    "zentimeter",
    "kilometer",
    "liter",
    "watt",
    "mbit",
    "megabit",
    "gigabyte",
    "blatt",
    "pakete",
    "paket",
    "pakete",
    "kartons",
    "flaschen",
    "rechnungen",
    "mahnungen",
    "bestellungen",
    "anrufe",
    "mails",
    "hour",
    "hours",
    "day",
    "days",
    "week",
    "weeks",
    "month",
    "months",
    "year",
    "years",
    "minutes",
    "seconds",
    "times",
    "percent",
    "pound",
    "pounds",
    "dollar",
    "dollars",
    "pieces",
    "items",
    "people",
    "parcel",
    "parcels",
    "packages",
    "letters",
    "invoices",
    "bills",
    "reminders",
];
/// Written with a capital letter where a sentence begins that the recogniser did not part, or before a name.
const OPENERS: [&str; 40] = [
    "danke",
    "dankeschoen",
    "bitte",
    "vielen",
    "ich",
    "das",
    "der",
    "die",
    "und",
    "mein",
    "meine",
    "meinen",
    "herr",
    "frau",
    "familie",
    "guten",
    "hallo",
    "tschuess",
    "ja",
    "nein",
    "also",
    "es",
    "wir",
    "sie",
    "ihr",
    "ihre",
    "aber",
    "koennen",
    "koennten",
    "rufen",
    "melden",
    "gruss",
    "gruesse",
    "liebe",
    "schoenen",
    "quatsch",
    "moment",
    "genau",
    "schraegstrich",
    "strich",
];
/// What goes on behind an English number without being counted.
const ENGLISH_GO_ON: [&str; 85] = [
    "is",
    "was",
    "and",
    "that",
    "thats",
    "which",
    "please",
    "thanks",
    "thank",
    "but",
    "i",
    "im",
    "ive",
    "my",
    "it",
    "its",
    "the",
    "a",
    "an",
    "for",
    "or",
    "so",
    "are",
    "have",
    "has",
    "had",
    "on",
    "in",
    "at",
    "to",
    "of",
    "if",
    "as",
    "by",
    "with",
    "from",
    "not",
    "no",
    "yes",
    "again",
    "here",
    "because",
    "since",
    "can",
    "hasnt",
    "havent",
    "isnt",
    "didnt",
    "wasnt",
    "dont",
    "never",
    "still",
    "will",
    "would",
    "just",
    "then",
    "tomorrow",
    "today",
    "yesterday",
    "now",
    "there",
    "this",
    "you",
    "we",
    "they",
    "he",
    "she",
    "what",
    "when",
    "where",
    "how",
    "did",
    "do",
    "does",
    "seems",
    "should",
    "could",
    "also",
    "arrived",
    "came",
    "maybe",
    "okay",
    "ok",
    "sorry",
    "wait",
];
/// End like adjectives, and are none.
const NO_ADJECTIVES: [&str; 16] = [
    "bitte", "danke", "habe", "haben", "meine", "ihre", "oder", "aber", "wurde", "wurden", "waere", "werde", "werden",
    "seine", "eine", "keine",
];

/// What is counted by the number whose last word is `last`.
pub(crate) fn after(text: &str, words: &[Word], german: bool, last: usize) -> Counted {
    let Some(word) = following(text, words, last) else { return Counted::Nothing };
    if is_unit(&word.folded) {
        return Counted::Unit;
    }
    if !german {
        let is_noun = text[word.at.clone()].chars().all(char::is_lowercase)
            && !ENGLISH_GO_ON.contains(&word.folded.as_str())
            && super::numbers::spoken(std::slice::from_ref(word)).is_none();
        return if is_noun { Counted::Noun } else { Counted::Nothing };
    }
    if is_noun(text, word) {
        return Counted::Noun;
    }
    // "drei ganze Tage"
    let is_adjective = ["e", "en", "er", "es"].iter().any(|end| word.folded.ends_with(end))
        && !NO_ADJECTIVES.contains(&word.folded.as_str());
    match following(text, words, last + 1).filter(|_| is_adjective) {
        Some(next) if is_unit(&next.folded) => Counted::Unit,
        Some(next) if is_noun(text, next) => Counted::Noun,
        _ => Counted::Nothing,
    }
}

/// The next word, with nothing but space before it.
fn following<'a>(text: &str, words: &'a [Word], last: usize) -> Option<&'a Word> {
    let (word, next) = (words.get(last)?, words.get(last + 1)?);
    let gap = &text[word.at.end..next.at.start];
    (!gap.is_empty() && gap.chars().all(char::is_whitespace)).then_some(next)
}

fn is_unit(word: &str) -> bool {
    UNITS.contains(&word) || UNIT_ENDS.iter().any(|end| word.ends_with(end)) && word != "montag" && word != "freitag"
}

fn is_noun(text: &str, word: &Word) -> bool {
    let written = &text[word.at.clone()];
    written.starts_with(char::is_uppercase)
        && written.chars().skip(1).any(char::is_lowercase)
        && !OPENERS.contains(&word.folded.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::understanding::text::words;

    #[test]
    fn units_are_counted_surely_and_nouns_perhaps() {
        for (note, counted) in [
            ("24 Stunden erreichbar", Counted::Unit),
            ("drei tage kein Internet", Counted::Unit),
            ("drei ganze Tage", Counted::Unit),
            ("2 Monteure", Counted::Noun),
            ("zwei weitere Geräte", Counted::Noun),
            ("98203 Danke", Counted::Nothing),
            ("98203. Mein Paket", Counted::Nothing),
            ("98203 ist meine Nummer", Counted::Nothing),
            ("98203", Counted::Nothing),
        ] {
            assert_eq!(after(note, &words(note), true, 0), counted, "{note}");
        }
        for (note, counted) in [
            ("one parcel is missing", Counted::Unit),
            ("two screws", Counted::Noun),
            ("98203 is mine", Counted::Nothing),
            ("two three", Counted::Nothing),
        ] {
            assert_eq!(after(note, &words(note), false, 0), counted, "{note}");
        }
    }
}
