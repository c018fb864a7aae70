//! Owns dates. They are ISO 8601; without the moment of sending the year stays open (`--03-03`) and relative dates are
//! left out.

use std::ops::RangeInclusive;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Weekday},
    tz::TimeZone,
};

use super::{Scan, Standing, announced, numbers};

/// Where "today" is decided.
const TIME_ZONE: &str = "Europe/Berlin";

/// Years that customers speak of: of births, contracts, deliveries.
const YEARS: RangeInclusive<i16> = 1900..=2100;
/// Where it is not known when a note was sent, the last year that two figures mean.
const LATEST_SHORT_YEAR: i16 = 2030;

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

/// The day on which something was sent, where customers live.
pub(super) fn day_of(sent_at: Timestamp) -> Date {
    sent_at.to_zoned(TimeZone::get(TIME_ZONE).unwrap_or(TimeZone::UTC)).date()
}

pub(super) fn find(scan: &mut Scan, sent_at: Option<Timestamp>) {
    let today = sent_at.map(day_of);
    for at in 0..scan.words.len() {
        let date = day_and_month(scan, at, today)
            .or_else(|| ordinals(scan, at, today))
            .or_else(|| written_date(scan, at, today))
            .or_else(|| relative(scan, at, today?).map(|date| (date.to_string(), at + 1)));
        if let Some((value, end)) = date
            && scan.is_free(at..end)
        {
            scan.take("date", value, Standing::Said, at..end);
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
    let (year, end) = year(scan, end);
    Some((dated(day, month, year, today, is_past(scan, at, end))?, end))
}

/// The year that stands behind a month, in figures or in words, and the word after it.
fn year(scan: &Scan, at: usize) -> (Option<i16>, usize) {
    let follows = at.checked_sub(1).is_some_and(|last| matches!(scan.gap_after(last).trim(), "" | ","));
    let word = scan.word(at);
    let year = word.parse().ok().or_else(|| numbers::year(word)).and_then(|year| i16::try_from(year).ok());
    let year = year.filter(|year| follows && YEARS.contains(year));
    (year, at + usize::from(year.is_some()))
}

/// "am dritten zwölften", "am 3. 12.": the month by its number, which only a word before the day makes a date of.
fn ordinals(scan: &Scan, at: usize, today: Option<Date>) -> Option<(String, usize)> {
    const DATED: [&str; 11] = ["am", "vom", "zum", "den", "dem", "der", "bis", "ab", "seit", "ist", "war"];
    let is_dated = at.checked_sub(1).is_some_and(|before| DATED.contains(&scan.word(before)));
    let is_word = |at: usize| ["ten", "ter"].iter().any(|end| scan.word(at).ends_with(end));
    let is_figure = |at: usize| scan.word(at).len() <= 2 && scan.word(at).bytes().all(|b| b.is_ascii_digit());
    let points = |at: usize| scan.words.get(at).is_some_and(|word| scan.text[word.at.end..].starts_with('.'));
    let spoken = is_word(at) && is_word(at + 1) && scan.gap_after(at) == " ";
    let written = is_figure(at) && is_figure(at + 1) && scan.gap_after(at) == ". " && points(at + 1);
    // At the beginning of a note nothing else is said like that.
    if !(spoken && (is_dated || at == 0) || written && is_dated) {
        return None;
    }
    let day = numbers::ordinal(scan.word(at))?;
    let month = i8::try_from(numbers::ordinal(scan.word(at + 1))?).ok()?;
    let (year, end) = year(scan, at + 2);
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
    // "Kundennummer 12.3.45" is read out in groups.
    if announced::is_numbered(scan, at) {
        return None;
    }
    let latest = today.map_or(LATEST_SHORT_YEAR, |today| today.year() + 1);
    let year = year.map(|year| match year {
        0..100 if 2000 + year <= latest => 2000 + year,
        0..100 => 1900 + year,
        _ => year,
    });
    if year.is_some_and(|year| !YEARS.contains(&year)) {
        return None;
    }
    Some((dated(day.parse().ok()?, month.parse().ok()?, year, today, is_past(scan, at, at + 1))?, at + 1))
}

/// Words that say of a date that it lies ahead: "die Rechnung zahle ich am …", "ab dem …".
const AHEAD: [&str; 30] = [
    "ab",
    "bis",
    "fuer",
    "soll",
    "bitte",
    "kommt",
    "kommen",
    "liefern",
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
    "for",
    "next",
    "will",
    "can",
    "need",
    "pay",
    "please",
];
/// What was written bears a date of the past.
const PAPERS: [&str; 9] =
    ["rechnung", "mahnung", "schreiben", "brief", "abbuchung", "invoice", "bill", "letter", "reminder"];
/// What is delivered may still come: its date is past only if the sentence is.
const DELIVERIES: [&str; 6] = ["bestell", "lieferung", "sendung", "paket", "order", "parcel"];
const PAST: [&str; 27] = [
    "kam",
    "kamen",
    "war",
    "waren",
    "wurde",
    "wurden",
    "hatte",
    "hatten",
    "bestellt",
    "aufgegeben",
    "geliefert",
    "gekommen",
    "angekommen",
    "bekommen",
    "erhalten",
    "verschickt",
    "abgeschickt",
    "zugestellt",
    "came",
    "was",
    "were",
    "had",
    "arrived",
    "ordered",
    "received",
    "delivered",
    "placed",
];
/// Words around a date that have a say in it.
const SAID_BEFORE: usize = 6;
const SAID_AFTER: usize = 4;

/// "Rechnung vom dritten März", "seit dem zwölften": what was written or began on a day is past, unless another word
/// points ahead.
fn is_past(scan: &Scan, at: usize, end: usize) -> bool {
    let word = |at: usize| scan.words.get(at).map_or("", |word| word.folded.as_str());
    let before = at.saturating_sub(SAID_BEFORE)..at;
    let near = at.saturating_sub(2)..at;
    let since = near.into_iter().any(|at| matches!(word(at), "vom" | "seit" | "since"));
    let names = |things: &[&str]| before.clone().any(|at| things.iter().any(|thing| word(at).contains(thing)));
    let happened = before.clone().chain(end..end + SAID_AFTER).any(|at| PAST.contains(&word(at)));
    let ahead = before.clone().chain(end..end + 2).any(|at| AHEAD.contains(&word(at)));
    !ahead && (since || names(&PAPERS) || (happened && names(&DELIVERIES)))
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
        "morgen" if !is_morning(scan, at) => Some(1),
        "uebermorgen" => Some(2),
        _ => None,
    };
    if let Some(days) = days {
        return today.checked_add(days.days()).ok();
    }
    let weekday = weekday(scan.word(at))?;
    if let Some(weeks) = week_around(scan, at) {
        let monday = today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days()).ok()?;
        return monday.checked_add((weeks * 7 + i64::from(weekday.to_monday_zero_offset())).days()).ok();
    }
    let said = |words: &[&str]| words.contains(&before(1)) || words.contains(&before(2));
    if said(&["seit", "letzten", "letzte", "vergangenen", "vorigen", "since", "last"]) {
        today.nth_weekday(-1, weekday).ok()
    } else if said(&["bis", "naechsten", "naechste", "kommenden", "by", "until", "next", "coming"]) {
        today.nth_weekday(1, weekday).ok()
    } else {
        None
    }
}

fn weekday(word: &str) -> Option<Weekday> {
    WEEKDAYS.iter().find(|(name, _)| *name == word).map(|&(_, weekday)| weekday)
}

/// "nächste Woche Dienstag", "Tuesday of next week": the day is that of a calendar week, so many after this one.
fn week_around(scan: &Scan, at: usize) -> Option<i64> {
    let week = |at: usize| {
        let which = scan.word(at.checked_sub(1)?);
        match (scan.word(at), which) {
            ("woche" | "week", "diese" | "dieser" | "this") => Some(0),
            (
                "woche" | "week",
                "naechste" | "naechster" | "naechsten" | "kommende" | "kommender" | "kommenden" | "next",
            ) => Some(1),
            (
                "woche" | "week",
                "letzte" | "letzter" | "letzten" | "vorige" | "voriger" | "vergangene" | "vergangener" | "vergangenen"
                | "last",
            ) => Some(-1),
            _ => None,
        }
    };
    let link = |word: &str| matches!(word, "am" | "on" | "of" | "in" | "der" | "den");
    let ahead = at.checked_sub(1).and_then(|last| if link(scan.word(last)) { last.checked_sub(1) } else { Some(last) });
    let behind =
        (at + 2..at + 4).find(|&last| week(last).is_some() && (at + 1..last - 1).all(|word| link(scan.word(word))));
    ahead.and_then(week).or_else(|| behind.and_then(week))
}

/// "guten Morgen", "am Freitag Morgen", "am nächsten Morgen", and the greeting "Morgen zusammen": not the next day.
fn is_morning(scan: &Scan, at: usize) -> bool {
    const BEFORE: [&str; 16] = [
        "guten",
        "schoenen",
        "heute",
        "gestern",
        "am",
        "jeden",
        "jedem",
        "diesen",
        "diesem",
        "naechsten",
        "letzten",
        "vergangenen",
        "kommenden",
        "gleichen",
        "selben",
        "fruehen",
    ];
    /// Before the noun only: "der Techniker, der morgen kommt".
    const BEFORE_NOUN: [&str; 6] = ["einem", "eines", "vom", "der", "den", "dem"];
    let before = at.checked_sub(1).map_or("", |before| scan.word(before));
    let is_noun = scan.words.get(at).is_some_and(|word| scan.text[word.at.clone()].starts_with(char::is_uppercase));
    let follows = at.checked_sub(1).is_some_and(|before| scan.gap_after(before) == " ");
    let begins = at == 0 || matches!(before, "hallo" | "hi" | "hey" | "ja" | "moin");
    let addressed =
        matches!(scan.word(at + 1), "zusammen" | "allerseits" | "liebe" | "liebes" | "herr" | "frau" | "hier");
    let called = scan.gap_after(at).contains([',', '!', '.']);
    BEFORE.contains(&before)
        || (is_noun && BEFORE_NOUN.contains(&before))
        || (follows && weekday(before).is_some())
        || (begins && (addressed || called))
}
