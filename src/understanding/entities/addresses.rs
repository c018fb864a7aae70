//! Owns postal addresses, taken only where they are sure: a street with its number, and the town behind it if one is
//! named. What is denied or taken back right away ("nein, Hausnummer 14") is left out.

use super::{Scan, Standing};
use crate::understanding::{streets, text::Seen};

/// So near, a word of these speaks of the address.
const NEAR: usize = 3;
const TAKEN_BACK: [&str; 13] = [
    "nein",
    "quatsch",
    "falsch",
    "stopp",
    "korrektur",
    "vielmehr",
    "sondern",
    "sorry",
    "actually",
    "no",
    "entschuldigung",
    "beziehungsweise",
    "meine",
];
const DENIED: [&str; 5] = ["nicht", "statt", "not", "nie", "keine"];

pub(super) fn find(scan: &mut Scan) {
    let seen = Seen { text: scan.text, words: scan.words, german: scan.german };
    let mut streets = streets::find(&seen);
    // Of two that overlap, the one that takes in more: "Dr.-Otto-Hahn-Straße".
    streets.sort_by_key(|street| street.at.start);
    for street in streets {
        let at = street.at.clone();
        let denied = (at.start.saturating_sub(NEAR)..at.start).any(|word| DENIED.contains(&seen.word(word)));
        let taken_back = (at.end..at.end + NEAR).any(|word| TAKEN_BACK.contains(&seen.word(word)));
        if denied || taken_back || !street.is_sure(&seen) || !scan.is_free(at.clone()) {
            continue;
        }
        if let Some(value) = street.text(&seen) {
            scan.take("address", value, Standing::Said, at);
        }
    }
}
