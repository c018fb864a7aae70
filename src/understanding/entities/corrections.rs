//! Owns what somebody takes back while reading out a number: "47 12, nein, warte, 47 11 08", "471108, nicht 471109".
//!
//! What is taken back is no fact. Where only a part was said anew, nobody knows the whole, and it is not sure any more.

use super::{
    Scan, Standing,
    counts::{self, Counted},
    runs::Read,
};

/// After these somebody says it again, and better.
const MARKERS: [&str; 26] = [
    "nein",
    "nee",
    "noe",
    "quatsch",
    "bloedsinn",
    "unsinn",
    "moment",
    "warte",
    "warten",
    "stopp",
    "falsch",
    "korrektur",
    "korrigiere",
    "verzeihung",
    "entschuldigung",
    "sorry",
    "pardon",
    "ups",
    "no",
    "nope",
    "wait",
    "correction",
    "oops",
    "actually",
    "rather",
    "wrong",
];
/// After these nothing said before holds, whatever follows.
const REVOKING: [&str; 8] = ["quatsch", "bloedsinn", "unsinn", "falsch", "korrektur", "wrong", "correction", "oops"];
/// A marker comes at once, and soon after it the number again.
const MARKER_WITHIN: usize = 4;
const WORDS_BETWEEN: usize = 8;

pub(super) fn apply(scan: &Scan, reads: &mut [Read]) {
    for read in reads.iter_mut().filter(|read| read.kind.is_some() && is_negated(scan, read.at.start)) {
        read.standing = Standing::Withdrawn;
    }
    for at in 0..reads.len() {
        let (earlier, later) = reads.split_at_mut(at + 1);
        let earlier = &mut earlier[at];
        if earlier.kind.is_none() || earlier.standing == Standing::Withdrawn {
            continue;
        }
        let revoked = marked(scan, earlier.at.end, &REVOKING);
        match later.first_mut().filter(|later| is_corrected(scan, earlier, later)) {
            Some(later) if is_same(earlier, later) => correct(earlier, later),
            _ if revoked => earlier.doubt(),
            _ => {}
        }
    }
}

/// "Kundennummer 98203, nein, die Rechnungsnummer ist …" mends nothing.
fn is_same(earlier: &Read, later: &Read) -> bool {
    !later.is_other && (later.kind.is_none() || later.kind == earlier.kind)
}

/// The later one holds if it is whole; where it may be a part, neither does.
fn correct(earlier: &mut Read, later: &mut Read) {
    if later.value.len() < earlier.value.len() {
        earlier.doubt();
        later.doubt();
        return;
    }
    later.kind.clone_from(&earlier.kind);
    if earlier.standing != Standing::Proven {
        earlier.standing = Standing::Withdrawn;
    }
}

/// "nicht 471109", "not the 471109"
fn is_negated(scan: &Scan, at: usize) -> bool {
    let nearest = (1..=2).find_map(|back| {
        let word = at.checked_sub(back)?;
        (!matches!(scan.word(word), "die" | "der" | "the" | "number" | "nummer")).then_some(word)
    });
    nearest.is_some_and(|word| {
        matches!(scan.word(word), "nicht" | "not" | "statt" | "anstatt") && scan.gap_after(word).trim().is_empty()
    })
}

fn is_corrected(scan: &Scan, earlier: &Read, later: &Read) -> bool {
    let between = later.at.start - earlier.at.end;
    let counts = counts::after(scan.text, scan.words, scan.german, later.at.end - 1) != Counted::Nothing;
    between <= WORDS_BETWEEN && !(counts && later.value.len() <= 3) && {
        let said: Vec<&str> = (earlier.at.end..later.at.start).map(|word| scan.word(word)).collect();
        let near = &said[..said.len().min(MARKER_WITHIN)];
        let meant = |pair: &[&str]| matches!(pair, ["ich", "meine"] | ["i", "mean"] | ["stimmt", "nicht"]);
        near.iter().any(|word| MARKERS.contains(word)) || near.windows(2).any(meant)
    }
}

/// One of these words within the next few.
fn marked(scan: &Scan, from: usize, markers: &[&str]) -> bool {
    (from..from + 2).any(|word| markers.contains(&scan.word(word)))
}
