//! Owns the facts that a customer names: numbers, amounts, dates, times, names and addresses, normalised, each
//! with its place in the text and, where the recogniser gave times, in the audio.
//!
//! A fact is `verified` only if a checksum or a pattern of the playbook confirms it. What is unsure is left out: a
//! missing fact leads to a question, a wrong one to a wrong answer.

mod addresses;
mod announced;
mod clock;
mod corrections;
pub(crate) mod counts;
pub(crate) mod email;
mod heard;
mod iban;
mod moments;
mod money;
pub(crate) mod names;
pub(crate) mod numbers;
mod pieces;
mod runs;

use std::{collections::BTreeMap, ops::Range};

use jiff::Timestamp;

use super::{playbook::EntityRule, text::Word};
use crate::{
    event::processed::{Entity, Transcript},
    private::Private,
};

/// A fact in the text, before the playbook has been asked about it.
#[derive(Clone, PartialEq, Eq)]
struct Found {
    kind: String,
    value: String,
    standing: Standing,
    /// Words of the note.
    at: Range<usize>,
}

/// How far what was said may be taken for true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Confirmed by itself, by a checksum.
    Proven,
    /// The playbook may confirm it.
    Said,
    /// Nothing confirms it.
    Doubtful,
    /// No fact, and yet what somebody said about themselves: only redaction wants to know.
    Withdrawn,
}

/// The note as all finders see it. A word belongs to one fact only; who comes first takes it.
struct Scan<'a> {
    text: &'a str,
    words: &'a [Word],
    german: bool,
    taken: Vec<bool>,
    found: Vec<Found>,
}

impl Scan<'_> {
    fn take(&mut self, kind: &str, value: String, standing: Standing, at: Range<usize>) {
        self.taken[at.clone()].fill(true);
        self.found.push(Found { kind: kind.to_owned(), value, standing, at });
    }

    fn is_free(&self, at: Range<usize>) -> bool {
        at.end <= self.taken.len() && !self.taken[at].iter().any(|taken| *taken)
    }

    fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &word.folded)
    }

    /// What stands between a word and the next, with punctuation.
    fn gap_after(&self, index: usize) -> &str {
        match (self.words.get(index), self.words.get(index + 1)) {
            (Some(word), Some(next)) => &self.text[word.at.end..next.at.start],
            _ => "",
        }
    }
}

/// A fact, and the words of the note that name it.
#[derive(Debug, Clone)]
pub struct Named {
    pub entity: Entity,
    pub at: Range<usize>,
    /// It was corrected in a way that leaves open what is right.
    pub is_doubtful: bool,
}

/// All facts in a transcript, in the order of the text. Relative dates need `sent_at`.
#[must_use]
pub fn find(
    transcript: &Transcript,
    words: &[Word],
    rules: &BTreeMap<String, EntityRule>,
    sent_at: Option<Timestamp>,
) -> Vec<Named> {
    let times = heard::Times::of(transcript);
    scan(transcript, words, rules, sent_at)
        .into_iter()
        .filter(|fact| fact.standing != Standing::Withdrawn)
        .map(|fact| {
            let fits = || rules.get(&fact.kind).is_some_and(|rule| rule.pattern.is_match(&fact.value));
            let verified = match fact.standing {
                Standing::Proven => true,
                Standing::Said => fits(),
                Standing::Doubtful | Standing::Withdrawn => false,
            };
            let place = words[fact.at.start].at.start..words[fact.at.end - 1].at.end;
            let (start_s, end_s) = times.heard(place).unzip();
            let entity = Entity { kind: fact.kind, value: Private::new(fact.value), verified, start_s, end_s };
            Named { entity, at: fact.at, is_doubtful: fact.standing == Standing::Doubtful }
        })
        .collect()
}

/// The bytes of the note that hold numbers of a customer, of a case or to be called at, each with the words that do no
/// more than name it. Amounts and moments are not among them: they are part of what somebody wants.
pub(super) fn numbers_named(
    transcript: &Transcript,
    words: &[Word],
    rules: &BTreeMap<String, EntityRule>,
) -> Vec<Range<usize>> {
    let is_number = |fact: &Found| announced::KINDS.contains(&fact.kind.as_str()) || rules.contains_key(&fact.kind);
    let named = |fact: Found| {
        let first = announced::naming(words, fact.at.start, &fact.kind, rules);
        words[first].at.start..words[fact.at.end - 1].at.end
    };
    scan(transcript, words, rules, None).into_iter().filter(is_number).map(named).collect()
}

/// The day on which something was sent, where customers live: ISO 8601.
pub(super) fn day_of(sent_at: Timestamp) -> String {
    moments::day_of(sent_at).to_string()
}

/// The bytes of the transcript's text before which the speaker paused; none where the recogniser gave no times.
pub(super) fn pauses(transcript: &Transcript) -> Vec<usize> {
    heard::pauses(transcript)
}

/// Where the same facts stand, and those that were taken back: their kind, and the words that name them.
pub(super) fn places(
    transcript: &Transcript,
    words: &[Word],
    rules: &BTreeMap<String, EntityRule>,
    sent_at: Option<Timestamp>,
) -> Vec<(String, Range<usize>)> {
    scan(transcript, words, rules, sent_at).into_iter().map(|fact| (fact.kind, fact.at)).collect()
}

/// In the order of the text.
fn scan(
    transcript: &Transcript,
    words: &[Word],
    rules: &BTreeMap<String, EntityRule>,
    sent_at: Option<Timestamp>,
) -> Vec<Found> {
    let text = transcript.text.expose();
    let german = transcript.language != "en";
    let mut scan = Scan { text, words, german, taken: vec![false; words.len()], found: Vec::new() };
    email::find(&mut scan);
    addresses::find(&mut scan);
    money::find(&mut scan);
    moments::find(&mut scan, sent_at);
    clock::find(&mut scan);
    runs::find(&mut scan, rules);
    names::find(&mut scan);
    scan.found.sort_by_key(|fact| fact.at.start);
    scan.found
}

#[cfg(test)]
pub(super) mod tests;
