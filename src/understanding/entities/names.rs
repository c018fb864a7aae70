//! Owns names, taken only where somebody introduces themselves and the recogniser wrote a capital letter.

use super::{Scan, Standing};
use crate::understanding::text::{self, Word};

/// After these a name follows, and hardly anything else.
const INTRODUCTIONS: [&str; 7] =
    ["hier spricht", "mein name ist", "mein name war", "ich heisse", "ich heisse jetzt", "my name is", "speaking is"];
/// After these anything may follow: "hier ist Stromausfall", "this is Outrageous".
const OPENINGS: [&str; 4] = ["hier ist", "this is", "ich bin der", "ich bin die"];
/// Said between an introduction and a name.
const SKIPPED: [&str; 9] = ["wieder", "nochmal", "nochmals", "noch", "mal", "auch", "again", "der", "die"];
pub(crate) const TITLES: [&str; 10] =
    ["familie", "frau", "herr", "herrn", "doktor", "dr", "mr", "mrs", "ms", "professor"];
/// Nouns that German writes with a capital letter, and what English does in anger, that follow an opening as well.
const NO_NAMES: [&str; 58] = [
    "internet",
    "strom",
    "telefon",
    "wlan",
    "fernsehen",
    "netz",
    "paket",
    "alles",
    "nichts",
    "niemand",
    "keiner",
    "totalausfall",
    "stromausfall",
    "schluss",
    "ruhe",
    "chaos",
    "wasser",
    "heizung",
    "kunde",
    "kundin",
    "nummer",
    "mama",
    "papa",
    "oma",
    "opa",
    "mieter",
    "mieterin",
    "nachbar",
    "nachbarin",
    "besitzer",
    "inhaber",
    "inhaberin",
    "sohn",
    "tochter",
    "mutter",
    "vater",
    "bruder",
    "schwester",
    "mann",
    "ehefrau",
    "ansicht",
    "weihnachten",
    "ostern",
    "feiertag",
    "urlaub",
    "winter",
    "sommer",
    "notfall",
    "erste",
    "letzte",
    "neue",
    "dumme",
    "neuer",
    "urgent",
    "ridiculous",
    "terrible",
    "horrible",
    "awful",
];
/// Nouns and adjectives that nobody is called: "Meinung", "Einzige", "Outrageous".
const NO_NAME_ENDS: [&str; 12] =
    ["ung", "heit", "keit", "schaft", "tion", "ige", "igste", "liche", "ende", "ous", "able", "ible"];
/// What goes on behind a name without a comma: "hier ist Brandt aus Köln".
const GO_ON: [&str; 32] = [
    "ich", "wir", "mein", "meine", "von", "vom", "aus", "und", "noch", "nochmal", "nochmals", "wieder", "guten",
    "hallo", "es", "am", "an", "bei", "mit", "der", "die", "also", "aehm", "aeh", "hier", "from", "i", "my", "calling",
    "speaking", "again", "and",
];
const WORDS_MAX: usize = 3;

pub(super) fn find(scan: &mut Scan) {
    let introductions = INTRODUCTIONS.map(text::phrase);
    let openings = OPENINGS.map(text::phrase);
    for at in 0..scan.words.len() {
        for phrase in &introductions {
            if text::begins_with(&scan.words[at..], phrase) {
                take_name(scan, at + phrase.len());
            }
        }
        for phrase in &openings {
            if text::begins_with(&scan.words[at..], phrase) && opens(scan, at + phrase.len()) {
                take_name(scan, at + phrase.len());
            }
        }
        // "Schneider mein Name"
        if scan.word(at) == "mein"
            && scan.word(at + 1) == "name"
            && !matches!(scan.word(at + 2), "ist" | "war")
            && at > 0
        {
            let second = at >= 2 && scan.gap_after(at - 2) == " " && is_name(scan, at - 2);
            take_name(scan, at - 1 - usize::from(second));
        }
    }
}

/// True if what follows an opening is somebody: then it ends there, or goes on as people do after their name.
fn opens(scan: &Scan, at: usize) -> bool {
    let Some(name) = name(scan, at) else { return false };
    let last = name.end - 1;
    if is_no_name(scan.word(name.start)) {
        return false;
    }
    // "Ich bin der Meinung, dass …" says what somebody thinks.
    let thinks = matches!(scan.word(name.end), "dass" | "that");
    let ends = name.end >= scan.words.len() || !scan.gap_after(last).trim().is_empty();
    let has_title = name.start > at && TITLES.contains(&scan.word(name.start - 1));
    !thinks && (has_title || ends || name.len() > 1 || GO_ON.contains(&scan.word(name.end)))
}

/// The words of the name that begins here, behind titles and what is skipped.
fn name(scan: &Scan, first: usize) -> Option<std::ops::Range<usize>> {
    let skipped = |word: &&Word| {
        let word = word.folded.as_str();
        TITLES.contains(&word) || SKIPPED.contains(&word)
    };
    let start = first + scan.words.iter().skip(first).take_while(skipped).count();
    let mut end = start;
    while end < start + WORDS_MAX && is_name(scan, end) {
        end += 1;
        if end < scan.words.len() && !matches!(scan.gap_after(end - 1), " " | "-") {
            break;
        }
    }
    (end > start).then_some(start..end)
}

fn take_name(scan: &mut Scan, first: usize) {
    if let Some(name) = name(scan, first)
        && scan.is_free(name.clone())
    {
        let value = scan.text[scan.words[name.start].at.start..scan.words[name.end - 1].at.end].to_owned();
        scan.take("name", value, Standing::Said, name);
    }
}

fn is_name(scan: &Scan, at: usize) -> bool {
    scan.words.get(at).is_some_and(|word| {
        let written = &scan.text[word.at.clone()];
        written.starts_with(char::is_uppercase)
            && written.chars().count() > 1
            && written.chars().skip(1).any(char::is_lowercase)
            && written.chars().all(char::is_alphabetic)
            && !NO_NAMES.contains(&word.folded.as_str())
    })
}

/// True for what nobody is called, though it has a capital letter.
pub(crate) fn is_no_name(word: &str) -> bool {
    NO_NAMES.contains(&word) || NO_NAME_ENDS.iter().any(|end| word.len() >= 7 && word.ends_with(end))
}
