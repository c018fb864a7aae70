//! Owns dates and times of day. Dates are ISO 8601; without the moment of sending the year stays open (`--03-03`) and
//! relative dates are left out. Times are 24-hour, and only given where the half of the day is clear.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Weekday},
    tz::TimeZone,
};

use super::{Scan, numbers};

/// Where "today" is decided.
const TIME_ZONE: &str = "Europe/Berlin";

const MONTHS: [(&str, i8); 27] = [
    ("januar", 1),
    ("jaenner", 1),
    ("februar", 2),
    ("feber", 2),
    ("maerz", 3),
    ("april", 4),
    ("mai", 5),
    ("juni", 6),
    ("juli", 7),
    ("august", 8),
    ("september", 9),
    ("oktober", 10),
    ("november", 11),
    ("dezember", 12),
    ("january", 1),
    ("february", 2),
    ("march", 3),
    ("may", 5),
    ("june", 6),
    ("july", 7),
    ("october", 10),
    ("december", 12),
    ("juno", 6),
    ("julei", 7),
    ("sept", 9),
    ("dec", 12),
    ("jan", 1),
];

const WEEKDAYS: [(&str, Weekday); 15] = [
    ("montag", Weekday::Monday),
    ("dienstag", Weekday::Tuesday),
    ("mittwoch", Weekday::Wednesday),
    ("donnerstag", Weekday::Thursday),
    ("freitag", Weekday::Friday),
    ("samstag", Weekday::Saturday),
    ("sonnabend", Weekday::Saturday),
    ("sonntag", Weekday::Sunday),
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

pub(super) fn find(scan: &mut Scan, sent_at: Option<Timestamp>) {
    let zone = TimeZone::get(TIME_ZONE).unwrap_or(TimeZone::UTC);
    let today = sent_at.map(|moment| moment.to_zoned(zone).date());
    for at in 0..scan.words.len() {
        let date = day_and_month(scan, at, today)
            .or_else(|| written_date(scan, at, today))
            .or_else(|| relative(scan, at, today?).map(|date| (date.to_string(), at + 1)));
        let (kind, found) = match date {
            Some(found) => ("date", Some(found)),
            None => ("time", time(scan, at)),
        };
        if let Some((value, end)) = found
            && scan.is_free(at..end)
        {
            scan.take(kind, value, false, at..end);
        }
    }
}

fn month(word: &str) -> Option<i8> {
    MONTHS.iter().find(|(name, _)| *name == word).map(|&(_, month)| month)
}

/// "dritten März", "3. März 2025", "third of March", "March third"
fn day_and_month(scan: &Scan, at: usize, today: Option<Date>) -> Option<(String, usize)> {
    let day_first = || {
        let day = numbers::ordinal(scan.word(at))?;
        let skip = usize::from(matches!(scan.word(at + 1), "of"));
        Some((day, month(scan.word(at + 1 + skip))?, at + 2 + skip))
    };
    let month_first = || {
        let month = month(scan.word(at)).filter(|_| !scan.german)?;
        Some((numbers::ordinal(scan.word(at + 1))?, month, at + 2))
    };
    let (day, month, end) = day_first().or_else(month_first)?;
    let year = scan.word(end).parse().ok().filter(|year| (2000..=2100).contains(year));
    let end = end + usize::from(year.is_some());
    Some((dated(day, month, year, today, is_past(scan, at, end))?, end))
}

/// "24.12.", "3.3.2025"
fn written_date(scan: &Scan, at: usize, today: Option<Date>) -> Option<(String, usize)> {
    let word = scan.word(at);
    let parts: Vec<&str> = word.split('.').collect();
    let (day, month, year) = match parts[..] {
        // "14.30" is a time or a price, "24.12." has a point behind it.
        [day, month] if scan.text[scan.words.get(at)?.at.end..].starts_with('.') => (day, month, None),
        [day, month, year] => (day, month, Some(year.parse::<i16>().ok()?)),
        _ => return None,
    };
    let year = year.map(|year| if year < 100 { 2000 + year } else { year });
    Some((dated(day.parse().ok()?, month.parse().ok()?, year, today, is_past(scan, at, at + 1))?, at + 1))
}

/// Words that say of a date that it lies ahead: "die Rechnung zahle ich am …", "ab dem …".
const AHEAD: [&str; 22] = [
    "ab",
    "bis",
    "naechsten",
    "naechste",
    "kommenden",
    "werde",
    "wird",
    "kann",
    "koennen",
    "zahle",
    "bezahle",
    "ueberweise",
    "moechte",
    "brauche",
    "until",
    "till",
    "by",
    "next",
    "will",
    "can",
    "need",
    "pay",
];
/// What bears a date of the past.
const PAPERS: [&str; 12] = [
    "rechnung",
    "bestell",
    "lieferung",
    "mahnung",
    "schreiben",
    "brief",
    "abbuchung",
    "invoice",
    "bill",
    "order",
    "letter",
    "reminder",
];
/// Words before a date that have a say in it.
const SAID_BEFORE: usize = 6;

/// "Rechnung vom dritten März", "seit dem zwölften": what was written or began on a day is past, unless another word
/// points ahead.
fn is_past(scan: &Scan, at: usize, end: usize) -> bool {
    let word = |at: usize| scan.words.get(at).map_or("", |word| word.folded.as_str());
    let before = at.saturating_sub(SAID_BEFORE)..at;
    let near = at.saturating_sub(2)..at;
    let ahead = before.clone().chain(end..end + 2).any(|at| AHEAD.contains(&word(at)));
    let since = near.into_iter().any(|at| matches!(word(at), "vom" | "seit" | "since"));
    let paper = before.into_iter().any(|at| PAPERS.iter().any(|paper| word(at).contains(paper)));
    !ahead && (since || paper)
}

/// Without a year the date is the one that is nearest to the day of sending; of a `past` one the nearest before it.
fn dated(day: u32, month: i8, year: Option<i16>, today: Option<Date>, past: bool) -> Option<String> {
    let day = i8::try_from(day).ok()?;
    match (year, today) {
        (Some(year), _) => Date::new(year, month, day).ok().map(|date| date.to_string()),
        (None, None) => Date::new(2024, month, day).ok().map(|_| format!("--{month:02}-{day:02}")),
        (None, Some(today)) => (-1..=1)
            .filter_map(|offset| Date::new(today.year() + offset, month, day).ok())
            .filter(|date| !past || *date <= today)
            .min_by_key(|date| (*date - today).get_days().abs())
            .map(|date| date.to_string()),
    }
}

/// "übermorgen", "bis Freitag", "seit letzten Dienstag". A bare weekday may be either side of today: left out.
fn relative(scan: &Scan, at: usize, today: Date) -> Option<Date> {
    let before = |back: usize| at.checked_sub(back).map_or("", |w| scan.word(w));
    let days = match scan.word(at) {
        "vorgestern" => Some(-2),
        "gestern" | "yesterday" => Some(-1),
        "heute" | "today" => Some(0),
        "tomorrow" => Some(1),
        // "guten Morgen", "heute Morgen", "am Morgen"
        "morgen" if !matches!(before(1), "guten" | "heute" | "gestern" | "am" | "schoenen" | "jeden" | "diesen") => {
            Some(1)
        }
        "uebermorgen" => Some(2),
        _ => None,
    };
    if let Some(days) = days {
        return today.checked_add(days.days()).ok();
    }
    let weekday = WEEKDAYS.iter().find(|(name, _)| *name == scan.word(at)).map(|&(_, weekday)| weekday)?;
    let said = |words: &[&str]| words.contains(&before(1)) || words.contains(&before(2));
    if said(&["seit", "letzten", "letzte", "vergangenen", "vorigen", "since", "last"]) {
        today.nth_weekday(-1, weekday).ok()
    } else if said(&["bis", "naechsten", "naechste", "kommenden", "by", "until", "next", "coming"]) {
        today.nth_weekday(1, weekday).ok()
    } else {
        None
    }
}

/// "vierzehn Uhr dreißig", "8:15 Uhr", "14:30", "4 pm", "half past three pm"
fn time(scan: &Scan, at: usize) -> Option<(String, usize)> {
    if scan.word(at) == "half" && scan.word(at + 1) == "past" {
        let hour = numbers::spoken(scan.words.get(at + 2..)?)?;
        let end = at + 2 + hour.words;
        return Some((clock(afternoon(scan, hour.digits.parse().ok()?, end)?, 30)?, end + 1));
    }
    let word = scan.word(at);
    let is_oclock = |next: usize| scan.word(next) == "uhr";
    if let Some((hour, minute)) = word.split_once([':', '.'])
        && minute.len() == 2
    {
        let marked = is_oclock(at + 1);
        if !marked && !word.contains(':') {
            return None;
        }
        return Some((clock(hour.parse().ok()?, minute.parse().ok()?)?, at + 1 + usize::from(marked)));
    }
    let hour = numbers::spoken(scan.words.get(at..)?)?;
    let end = at + hour.words;
    let value: u32 = hour.digits.parse().ok()?;
    if is_oclock(end) {
        let minutes = scan.words.get(end + 1..).and_then(numbers::spoken);
        let minutes = minutes.filter(|m| !m.weak && m.digits.len() <= 2 && scan.gap_after(end).trim().is_empty());
        if let Some((minutes, words)) = minutes.and_then(|m| Some((m.digits.parse().ok()?, m.words)))
            && let Some(value) = clock(value, minutes)
        {
            return Some((value, end + 1 + words));
        }
        return Some((clock(value, 0)?, end + 1));
    }
    Some((clock(afternoon(scan, value, end)?, 0)?, end + 1))
}

/// The hour in the half of the day that the word at `at` names.
fn afternoon(scan: &Scan, hour: u32, at: usize) -> Option<u32> {
    if !(1..=12).contains(&hour) {
        return None;
    }
    match scan.word(at) {
        "pm" => Some(hour % 12 + 12),
        "am" if !scan.german => Some(hour % 12),
        _ => None,
    }
}

fn clock(hour: u32, minute: u32) -> Option<String> {
    (hour < 24 && minute < 60).then(|| format!("{hour:02}:{minute:02}"))
}
