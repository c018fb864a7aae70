//! Owns when somebody can be called: days and hours in the clauses that speak of it, with what limits them.
//!
//! All of a clause has to be understood, or nothing of it is taken: a call at the wrong time is worse than a question.

use std::ops::Range;

use super::calls::is_not;
use crate::{
    event::processed::{CallTime, PartOfDay},
    private::Private,
    understanding::entities::{Named, numbers},
};

/// Words before a number that only say about how late.
const ROUGHLY: [&str; 8] = ["so", "ca", "circa", "etwa", "ungefaehr", "about", "around", "genau"];
/// A day that follows one of these is that of an order or of a letter.
const ORIGINS: [&str; 6] = ["vom", "von", "seit", "of", "since", "dated"];
/// What stands between wish and time without meaning anything else: "am besten morgen ab 18 Uhr".
const FILLERS: [&str; 57] = [
    "am",
    "besten",
    "gern",
    "gerne",
    "bitte",
    "aber",
    "und",
    "oder",
    "so",
    "erst",
    "wieder",
    "dann",
    "ab",
    "vor",
    "nach",
    "zwischen",
    "bis",
    "um",
    "gegen",
    "nicht",
    "uhr",
    "unter",
    "auf",
    "der",
    "dem",
    "den",
    "nummer",
    "danach",
    "vorher",
    "sonst",
    "auch",
    "noch",
    "heute",
    "morgen",
    "jederzeit",
    "immer",
    "meistens",
    "ca",
    "etwa",
    "circa",
    "at",
    "on",
    "in",
    "the",
    "after",
    "before",
    "between",
    "and",
    "or",
    "until",
    "from",
    "best",
    "ideally",
    "please",
    "any",
    "time",
    "zwar",
];

/// How a time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    From,
    Until,
    At,
}

/// What the clause says of when. `today` is the day on which the note was sent, as an ISO date; days before it are not
/// meant.
pub(super) fn read(words: &[&str], clause: Range<usize>, facts: &[Named], today: Option<&str>) -> Vec<CallTime> {
    let mut reading = Reading { words, clause: clause.clone(), denials: 0, times: Vec::new() };
    let mut at = clause.start;
    while at < clause.end {
        let fact = facts.iter().find(|fact| fact.at.start == at && fact.at.end <= clause.end);
        match fact.map(|fact| (fact.entity.kind.as_str(), fact.entity.value.expose(), fact.at.clone())) {
            Some(("date", day, place)) => {
                if !reading.is_of_something_else(at) && today.is_some_and(|today| day >= today) {
                    reading.day(day);
                }
                at = place.end;
            }
            Some(("time", hour, place)) => {
                reading.hour(hour, place.clone());
                at = place.end;
            }
            _ => {
                if let Some(part) = part_of_day(words, at) {
                    reading.part(part);
                }
                at += 1;
            }
        }
    }
    reading.times()
}

/// Whether a clause says nothing but when, and how somebody can be reached then.
pub(super) fn is_about_nothing_else(words: &[&str], clause: Range<usize>, facts: &[Named]) -> bool {
    clause.clone().all(|at| {
        let is_fact = facts
            .iter()
            .any(|fact| fact.at.contains(&at) && matches!(fact.entity.kind.as_str(), "date" | "time" | "phone"));
        is_fact || FILLERS.contains(&words[at]) || part_of_day(words, at).is_some()
    })
}

/// "Nachmittags", "morgen früh", "in the evening".
fn part_of_day(words: &[&str], at: usize) -> Option<PartOfDay> {
    let before = at.checked_sub(1).map_or("", |before| words[before]);
    match words[at] {
        "vormittag" | "vormittags" | "morgens" | "morning" => Some(PartOfDay::Morning),
        "frueh" if before == "morgen" || before == "heute" => Some(PartOfDay::Morning),
        "mittag" | "mittags" | "noon" => Some(PartOfDay::Noon),
        "nachmittag" | "nachmittags" | "afternoon" => Some(PartOfDay::Afternoon),
        "abend" | "abends" | "evening" | "tonight" => Some(PartOfDay::Evening),
        _ => None,
    }
}

/// One clause on its way.
struct Reading<'a> {
    words: &'a [&'a str],
    clause: Range<usize>,
    /// Denials that belong to a limit: "nicht vor neun Uhr".
    denials: usize,
    times: Vec<CallTime>,
}

impl Reading<'_> {
    fn word(&self, at: usize) -> &str {
        if self.clause.contains(&at) { self.words[at] } else { "" }
    }

    /// The last word before `at` that says more than about how late, and where it is.
    fn before(&self, at: usize) -> (&str, usize) {
        let place = (self.clause.start..at).rev().find(|&place| !ROUGHLY.contains(&self.words[place]));
        place.map_or(("", 0), |place| (self.words[place], place))
    }

    fn is_of_something_else(&self, at: usize) -> bool {
        ORIGINS.contains(&self.before(at).0)
    }

    fn day(&mut self, day: &str) {
        if self.times.last().is_none_or(|last| last.date.is_some()) {
            self.times.push(CallTime::default());
        }
        if let Some(last) = self.times.last_mut() {
            last.date = Some(Private::new(day));
        }
    }

    fn part(&mut self, part: PartOfDay) {
        self.open(|time| time.part_of_day.is_none() && time.from.is_none() && time.until.is_none()).part_of_day =
            Some(part);
    }

    fn hour(&mut self, hour: &str, place: Range<usize>) {
        let Some((limit, ends_range)) = self.limit(&place) else { return };
        let hour = Some(Private::new(hour));
        if ends_range && let Some(last) = self.times.last_mut().filter(|last| last.until.is_none()) {
            last.until = hour;
            return;
        }
        let time = self.open(|time| time.from.is_none() && time.until.is_none());
        match limit {
            Limit::From => time.from = hour,
            Limit::Until => time.until = hour,
            Limit::At => (time.from, time.until) = (hour.clone(), hour),
        }
    }

    /// The last time if there is room in it, else a new one on the same day.
    fn open(&mut self, has_room: impl Fn(&CallTime) -> bool) -> &mut CallTime {
        let last = self.times.last();
        if !last.is_some_and(has_room) {
            let date = last.and_then(|last| last.date.clone());
            self.times.push(CallTime { date, ..CallTime::default() });
        }
        self.times.last_mut().expect("one was just added if there was none")
    }

    /// What the hour limits, and whether it is the second of two that belong together; None if minutes stand before it:
    /// "zwanzig nach acht".
    fn limit(&mut self, place: &Range<usize>) -> Option<(Limit, bool)> {
        let (word, at) = self.before(place.start);
        let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) || numbers::german(word).is_some();
        if matches!(word, "nach" | "vor" | "past" | "to") && at > 0 && is_number(self.word(at - 1)) {
            return None;
        }
        let opens = matches!(self.word(place.end), "bis" | "to");
        let limit = match word {
            _ if opens => Limit::From,
            "ab" | "nach" | "from" | "after" | "zwischen" | "between" | "von" => Limit::From,
            "vor" | "bis" | "before" | "until" | "till" | "to" => Limit::Until,
            "und" | "and" => return Some((Limit::Until, true)),
            _ => Limit::At,
        };
        let ends_range = matches!(word, "bis" | "to") && self.times.last().is_some_and(|last| last.from.is_some());
        let denied_before = at.checked_sub(1).is_some_and(|denial| is_not(self.word(denial)));
        let denied_behind = (place.end..place.end + 2).any(|denial| is_not(self.word(denial)));
        let limit = match limit {
            Limit::From if denied_before || denied_behind => Limit::Until,
            Limit::Until if denied_before || denied_behind => Limit::From,
            // "Nicht um neun" says nothing of when.
            limit => return Some((limit, ends_range)),
        };
        self.denials += 1;
        Some((limit, ends_range))
    }

    /// What was read, unless something in the clause is denied that is no limit.
    fn times(self) -> Vec<CallTime> {
        let denials = self.words[self.clause.clone()].iter().filter(|word| is_not(word)).count();
        if denials > self.denials { Vec::new() } else { self.times }
    }
}
