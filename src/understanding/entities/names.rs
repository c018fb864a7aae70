//! Owns names, taken only where somebody introduces themselves and the recogniser wrote a capital letter.

use super::Scan;
use crate::understanding::text;

const INTRODUCTIONS: [&str; 11] = [
    "hier ist",
    "hier spricht",
    "mein name ist",
    "mein name war",
    "ich heisse",
    "ich heisse jetzt",
    "ich bin der",
    "ich bin die",
    "my name is",
    "this is",
    "speaking is",
];
const TITLES: [&str; 9] = ["familie", "frau", "herr", "herrn", "doktor", "dr", "mr", "mrs", "ms"];
/// Nouns that German writes with a capital letter and that follow "hier ist" as well.
const NO_NAMES: [&str; 24] = [
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
];
const WORDS_MAX: usize = 3;

pub(super) fn find(scan: &mut Scan) {
    let introductions = INTRODUCTIONS.map(text::phrase);
    for at in 0..scan.words.len() {
        for phrase in &introductions {
            if text::begins_with(&scan.words[at..], phrase) {
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

fn take_name(scan: &mut Scan, first: usize) {
    let start = first + scan.words.iter().skip(first).take_while(|word| TITLES.contains(&word.folded.as_str())).count();
    let mut end = start;
    while end < start + WORDS_MAX && is_name(scan, end) {
        end += 1;
        if end < scan.words.len() && !matches!(scan.gap_after(end - 1), " " | "-") {
            break;
        }
    }
    if end > start && scan.is_free(start..end) {
        let value = scan.text[scan.words[start].at.start..scan.words[end - 1].at.end].to_owned();
        scan.take("name", value, false, start..end);
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
