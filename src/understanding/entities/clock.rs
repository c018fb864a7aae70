//! Owns times of day: 24-hour, and only given where the half of the day is clear.

use super::{
    Scan, Standing,
    counts::{self, Counted},
    numbers,
};

/// The part of the day that is named, which says what "half past seven" is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Before noon, by "am" or "morgens".
    Morning,
    /// After noon, by "pm".
    SecondHalf,
    Noon,
    Afternoon,
    Evening,
    Night,
}

/// So many words before a time its part of the day may stand: "heute Abend so um halb acht".
const SAID_BEFORE: usize = 4;

pub(super) fn find(scan: &mut Scan) {
    for at in 0..scan.words.len() {
        if let Some((value, end)) = time(scan, at)
            && scan.is_free(at..end)
        {
            scan.take("time", value, Standing::Said, at..end);
        }
    }
}

fn time(scan: &Scan, at: usize) -> Option<(String, usize)> {
    spoken_quarter(scan, at)
        .or_else(|| written(scan, at))
        .or_else(|| opening_of_a_range(scan, at))
        .or_else(|| hour(scan, at))
}

/// "halb neun morgens", "viertel nach drei nachmittags", "quarter past three pm"; none if the half of the day is not
/// said.
fn spoken_quarter(scan: &Scan, at: usize) -> Option<(String, usize)> {
    let (minutes, skip) = match (scan.word(at), scan.word(at + 1)) {
        ("half", "past") => (30, 2),
        ("quarter", "past") | ("viertel", "nach") => (15, 2),
        ("quarter", "to") | ("viertel", "vor") => (-15, 2),
        ("halb", _) => (-30, 1),
        ("dreiviertel", _) => (-15, 1),
        _ => return None,
    };
    let named = numbers::spoken(scan.words.get(at + skip..)?).filter(|hour| hour.digits.len() <= 2)?;
    let value: i32 = named.digits.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let end = at + skip + named.words;
    let (end, behind) = after_hour(scan, end + usize::from(scan.word(end) == "uhr"));
    let part = behind.or_else(|| part_before(scan, at))?;
    // The part of the day is that of the time itself: half past twelve is after noon, though it is called "halb eins".
    let minute_of_half_day = (value * 60 + minutes).rem_euclid(12 * 60);
    let hour = u32::try_from(minute_of_half_day / 60).ok()?;
    let hour = in_part(if hour == 0 { 12 } else { hour }, part)?;
    Some((clock(hour, u32::try_from(minute_of_half_day % 60).ok()?)?, end))
}

/// "8:15 Uhr", "14:30"
fn written(scan: &Scan, at: usize) -> Option<(String, usize)> {
    let word = scan.word(at);
    let (hour, minute) = word.split_once([':', '.']).filter(|(_, minute)| minute.len() == 2)?;
    let marked = scan.word(at + 1) == "uhr";
    if !marked && !word.contains(':') {
        return None;
    }
    let (end, behind) = after_hour(scan, at + 1 + usize::from(marked));
    let hour = told(hour.parse().ok()?, behind.or_else(|| part_before(scan, at)))?;
    Some((clock(hour, minute.parse().ok()?)?, end))
}

/// "zwischen 8 und 12 Uhr": the first of two hours that share a word. A half of the day that only one may be in says
/// nothing of the other.
fn opening_of_a_range(scan: &Scan, at: usize) -> Option<(String, usize)> {
    let first = numbers::spoken(scan.words.get(at..)?).filter(|hour| hour.digits.len() <= 2)?;
    let end = at + first.words;
    let before = at.checked_sub(1).map_or("", |before| scan.word(before));
    let ranges = match scan.word(end) {
        "bis" | "to" => true,
        "und" => before == "zwischen",
        "and" => before == "between",
        _ => false,
    };
    let second = numbers::spoken(scan.words.get(end + 1..)?).filter(|hour| ranges && hour.digits.len() <= 2)?;
    let second_end = end + 1 + second.words;
    let (from, to): (u32, u32) = (first.digits.parse().ok()?, second.digits.parse().ok()?);
    let is_oclock = scan.word(second_end) == "uhr";
    let (_, behind) = after_hour(scan, second_end + usize::from(is_oclock));
    let part = behind.or_else(|| part_before(scan, at));
    if !is_oclock && (behind.is_none() || from >= to || to == 12) {
        return None;
    }
    Some((clock(told(from, part)?, 0)?, end))
}

/// "vierzehn Uhr dreißig", "8 Uhr abends", "4 pm"
fn hour(scan: &Scan, at: usize) -> Option<(String, usize)> {
    let hour = numbers::spoken(scan.words.get(at..)?)?;
    let end = at + hour.words;
    let value: u32 = hour.digits.parse().ok()?;
    if scan.word(end) == "uhr" {
        let (minutes, end) = minutes(scan, end).unwrap_or((0, end + 1));
        let (end, behind) = after_hour(scan, end);
        return Some((clock(told(value, behind.or_else(|| part_before(scan, at)))?, minutes)?, end));
    }
    let (end, part) = after_hour(scan, end);
    let is_clock = (1..=12).contains(&value) && hour.digits.len() <= 2;
    Some((clock(in_part(value, part.filter(|_| is_clock)?)?, 0)?, end))
}

/// The minutes after "Uhr", but not what counts something: "um 8 Uhr 2 Monteure".
fn minutes(scan: &Scan, oclock: usize) -> Option<(u32, usize)> {
    let spoken = numbers::spoken(scan.words.get(oclock + 1..)?)?;
    let end = oclock + 1 + spoken.words;
    let value: u32 = spoken.digits.parse().ok().filter(|minutes| *minutes < 60)?;
    let belongs = match counts::after(scan.text, scan.words, scan.german, end - 1) {
        Counted::Unit => false,
        Counted::Noun => value >= 10 && value.is_multiple_of(5),
        Counted::Nothing => true,
    };
    let joined = scan.gap_after(oclock).trim().is_empty();
    (belongs && joined && !spoken.weak && spoken.digits.len() <= 2).then_some((value, end))
}

/// The part of the day that stands behind an hour, and the word after it.
fn after_hour(scan: &Scan, at: usize) -> (usize, Option<Part>) {
    // What belongs to an hour follows without a breath; "p.m." has points in it.
    let joined = at.checked_sub(1).is_some_and(|last| scan.gap_after(last).trim().is_empty());
    let word = |ahead: usize| if joined { scan.word(at + ahead) } else { "" };
    let (part, words) = match (word(0), word(1), word(2)) {
        ("pm", ..) => (Part::SecondHalf, 1),
        ("p", "m", _) => (Part::SecondHalf, 2),
        ("a", "m", _) if !scan.german => (Part::Morning, 2),
        // "um 8 am Abend" goes on.
        ("am", ..) if !scan.german => (Part::Morning, 1),
        ("in", "the", "morning") | ("in", "der", "frueh") => (Part::Morning, 3),
        ("in", "the", "afternoon") => (Part::Afternoon, 3),
        ("in", "the", "evening") => (Part::Evening, 3),
        ("at", "night", _) => (Part::Night, 2),
        ("am", named, _) => match of_day(named) {
            Some(part) => (part, 2),
            None => return (at, None),
        },
        ("morgens" | "vormittags" | "frueh", ..) => (Part::Morning, 1),
        ("mittags", ..) => (Part::Noon, 1),
        ("nachmittags", ..) => (Part::Afternoon, 1),
        ("abends" | "tonight", ..) => (Part::Evening, 1),
        ("nachts", ..) => (Part::Night, 1),
        _ => return (at, None),
    };
    (at + words, Some(part))
}

fn of_day(word: &str) -> Option<Part> {
    match word {
        "morgen" | "vormittag" => Some(Part::Morning),
        "mittag" => Some(Part::Noon),
        "nachmittag" | "afternoon" => Some(Part::Afternoon),
        "abend" | "evening" => Some(Part::Evening),
        _ => None,
    }
}

/// "heute Abend um halb acht", "tomorrow evening at half past seven"
fn part_before(scan: &Scan, at: usize) -> Option<Part> {
    for word in (at.saturating_sub(SAID_BEFORE)..at).rev() {
        if scan.gap_after(word).contains(['.', '!', '?', ';']) {
            return None;
        }
        let day = word.checked_sub(1).map_or("", |before| scan.word(before));
        let part = match (day, scan.word(word)) {
            ("heute" | "morgen", "frueh") | ("heute", "morgen") | ("tomorrow" | "this", "morning") => {
                Some(Part::Morning)
            }
            // "guten Abend, um halb acht" greets.
            ("guten" | "schoenen" | "good", _) | (_, "morgen") => None,
            (_, "tonight") => Some(Part::Evening),
            (_, word) => of_day(word),
        };
        if part.is_some() {
            return part;
        }
    }
    None
}

/// The hour as it is said with "Uhr": of twelve hours in the part of the day that is named, else of 24.
fn told(hour: u32, part: Option<Part>) -> Option<u32> {
    match part {
        Some(part) if (1..=12).contains(&hour) => in_part(hour, part),
        _ => Some(hour),
    }
}

/// One of twelve hours in a part of the day; none if that has no such hour.
fn in_part(hour: u32, part: Part) -> Option<u32> {
    let (first, second) = (hour % 12, hour % 12 + 12);
    match part {
        Part::Morning if hour < 12 => Some(first),
        Part::SecondHalf => Some(second),
        Part::Noon if hour >= 11 => Some(hour),
        Part::Noon if hour <= 2 => Some(second),
        Part::Afternoon if hour == 12 || hour <= 6 => Some(second),
        Part::Evening if (4..12).contains(&hour) => Some(second),
        Part::Night if (9..12).contains(&hour) => Some(second),
        Part::Night if hour == 12 || hour <= 5 => Some(first),
        _ => None,
    }
}

fn clock(hour: u32, minute: u32) -> Option<String> {
    (hour < 24 && minute < 60).then(|| format!("{hour:02}:{minute:02}"))
}
