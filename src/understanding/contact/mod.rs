//! Owns how a customer wants to be reached, as far as they say so themselves: "ruf mich nicht an", "ab 18 Uhr unter
//! 0171 …", "lieber per Mail".
//!
//! * `clauses.rs` finds where clauses end. A wish is read in its own clause: "ich habe kein Internet, bitte rufen Sie mich
//!   an" forbids nothing, with the comma or without.
//! * `calls.rs` tells who wants to be called and who does not.
//! * `times.rs` says when.
//! * `writing.rs` says by which channel, and whether in writing only.

mod calls;
mod clauses;
mod times;
mod writing;

use std::ops::Range;

use self::calls::Wish;
use super::{
    entities::Named,
    text::{self, Word},
    urgency::said::{Spoken, Stop},
};
use crate::event::processed::{Call, ContactPreferences};

/// What a note says of how to reach who sent it. `facts` are the note's, with the words that name them; `today` is the day
/// on which it was sent, as an ISO date.
#[must_use]
pub fn preferences(note: &str, words: &[Word], facts: &[Named], today: Option<&str>) -> ContactPreferences {
    let read = Read::of(note, words);
    let phone_allowed = read.phone_allowed();
    let mut channels: Vec<_> = read.clauses.iter().filter_map(|at| writing::channel(&read.words[at.clone()])).collect();
    channels.dedup();
    let in_writing = read.only_in_writing
        || (phone_allowed == Some(false)
            && (!channels.is_empty() || read.clauses.iter().any(|at| writing::is_wanted(&read.words[at.clone()]))));
    ContactPreferences {
        phone_allowed,
        call: (phone_allowed != Some(false)).then(|| read.call(facts, today, phone_allowed)).flatten(),
        write_only: in_writing,
        // Of two that contradict each other none is sure.
        channel: match channels[..] {
            [channel] => Some(channel),
            _ => None,
        },
    }
}

/// Whether a note asks for a call, or forbids one.
#[must_use]
pub fn phone_allowed(note: &str) -> Option<bool> {
    Read::of(note, &text::words(note)).phone_allowed()
}

/// A note's clauses with what they wish of calls.
struct Read<'a> {
    words: Vec<&'a str>,
    clauses: Vec<Range<usize>>,
    /// One a clause.
    wishes: Vec<Vec<Wish>>,
    /// One a clause: what stands behind it.
    stops: Vec<Stop>,
    only_in_writing: bool,
}

impl<'a> Read<'a> {
    fn of(note: &str, words: &'a [Word]) -> Self {
        let spoken = Spoken::new(note, words);
        let folded: Vec<&str> = words.iter().map(|word| word.folded.as_str()).collect();
        let clauses = clauses::clauses(&folded, &spoken);
        let wishes = |(number, clause): (usize, &Range<usize>)| {
            let next = clauses.get(number + 1);
            let corrected = next.is_some_and(|next| calls::is_another_way_to_call(&folded[next.clone()]));
            (0..clause.len()).filter_map(|at| calls::wish(&folded[clause.clone()], at, corrected)).collect()
        };
        Self {
            wishes: clauses.iter().enumerate().map(wishes).collect(),
            stops: clauses.iter().map(|clause| spoken.stop(clause.end - 1)).collect(),
            only_in_writing: writing::is_the_only_way(words),
            words: folded,
            clauses,
        }
    }

    /// Of two wishes the careful one counts: a call that was not wanted cannot be taken back.
    fn phone_allowed(&self) -> Option<bool> {
        let holds = |wish: Wish| self.wishes.iter().flatten().any(|&other| other == wish);
        if self.only_in_writing || holds(Wish::NoCall) { Some(false) } else { holds(Wish::Call).then_some(true) }
    }

    /// When and at which number they can be called, where they say so.
    fn call(&self, facts: &[Named], today: Option<&str>, phone_allowed: Option<bool>) -> Option<Call> {
        let (mut times, mut numbers) = (Vec::new(), Vec::new());
        let mut goes_on = false;
        for (number, clause) in self.clauses.iter().enumerate() {
            let words = &self.words[clause.clone()];
            let speaks = !self.wishes[number].is_empty() || is_reachable(words);
            // "…, am besten morgen ab 18 Uhr": what is said of nothing else belongs to the clause before.
            let belongs = goes_on && times::is_about_nothing_else(&self.words, clause.clone(), facts);
            if speaks || belongs {
                times.extend(times::read(&self.words, clause.clone(), facts, today));
            }
            let named_for_it = words.first() == Some(&"unter") || words.iter().any(|word| is_own(word));
            let own = phone_allowed == Some(true) && named_for_it;
            if speaks || belongs || own {
                let within = facts.iter().filter(|fact| clause.contains(&fact.at.start));
                numbers.extend(
                    within
                        .filter(|fact| fact.entity.kind == "phone" && !fact.is_doubtful)
                        .map(|fact| &fact.entity.value),
                );
            }
            let lead = self.clauses.get(number + 1).map_or("", |next| self.words[next.start]);
            goes_on = (speaks || belongs) && (self.stops[number] != Stop::Sentence || is_lead(lead));
        }
        numbers.dedup();
        let number = match numbers[..] {
            [number] => Some(number.clone()),
            _ => None,
        };
        (!times.is_empty() || number.is_some()).then_some(Call { times, number })
    }
}

/// "Ich bin ab 17 Uhr erreichbar", "Sie erreichen mich unter …", "you can reach me on …".
fn is_reachable(clause: &[&str]) -> bool {
    let holds = |words: &[&str]| clause.iter().any(|word| words.contains(word));
    let to_reach = clause.windows(2).any(|pair| matches!(pair, ["zu", "erreichen"]));
    let i_am = holds(&["bin", "sind", "am", "im"]) && holds(&["ich", "wir", "i", "im"]);
    let can_be = (holds(&["erreichbar", "reachable", "available"]) || to_reach) && i_am;
    let who_reaches = holds(&["erreichen", "erreicht", "erreichst", "reach"]) && holds(&["mich", "uns", "me", "us"]);
    (can_be || (who_reaches && !holds(&["ich", "wir", "i", "we"]))) && !holds(&["war", "was", "nie", "never"])
}

/// Whose number it is.
fn is_own(word: &str) -> bool {
    matches!(word, "meine" | "meiner" | "mein" | "meinem" | "unsere" | "unserer" | "my" | "our")
}

/// A sentence that goes on with what was said of calls before.
fn is_lead(word: &str) -> bool {
    const LEADS: [&str; 14] = [
        "am",
        "ab",
        "nach",
        "vor",
        "zwischen",
        "nicht",
        "unter",
        "gerne",
        "gern",
        "und",
        "after",
        "before",
        "between",
        "preferably",
    ];
    LEADS.contains(&word)
}

#[cfg(test)]
mod tests;
