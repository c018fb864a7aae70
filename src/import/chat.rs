//! Owns reading the text of an exported chat: who sent which file, and when.
//!
//! WhatsApp writes one line a message, in the words and date format of the telephone that exported it:
//!
//! ```text
//! [21.11.26, 18:02:11] Erika Mustermann: <Anhang: 00000012-AUDIO-2026-11-21-18-02-11.opus>      iOS
//! 21.11.26, 18:02 - Erika Mustermann: PTT-20261121-WA0003.opus (Datei angehängt)               Android
//! 11/21/26, 6:02 PM - Erika Mustermann: PTT-20261121-WA0003.opus (file attached)
//! ```
//!
//! with invisible direction marks in between. Whatever does not begin like that continues the message before. The words
//! around a file's name are not looked at: only names of files that are there count. Where the order of day and month
//! cannot be told, there is no date: unsure is an answer.

use std::{collections::HashMap, sync::LazyLock};

use jiff::civil::{Date, DateTime, Time};
use regex::Regex;

use crate::private::Private;

/// In which order a date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DateOrder {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
    /// Year, month, day.
    Ymd,
}

/// One exported chat.
#[derive(Debug, Default)]
pub struct Chat {
    files: HashMap<String, Sent>,
    /// Dates are there, but not to be understood without being told their order.
    pub ambiguous: bool,
}

/// How a file came into the chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// As the exporting telephone names the sender.
    pub sender: Private,
    /// On the clock of the exporting telephone.
    pub at: Option<DateTime>,
}

impl Chat {
    /// Reads a chat; `order` where it is known.
    #[must_use]
    pub fn read(text: &str, order: Option<DateOrder>) -> Self {
        let heads: Vec<Head> = text.lines().filter_map(Head::read).collect();
        let order = order.or_else(|| order_of(&heads));
        let mut chat = Self { files: HashMap::new(), ambiguous: order.is_none() && !heads.is_empty() };
        for head in heads {
            let at = order.and_then(|order| head.stamp.at(order));
            if let Some((sender, name)) = head.file {
                // The first message that names a file is the one that brought it: nobody knows its name before.
                chat.files.entry(name).or_insert_with(|| Sent { sender: sender.into(), at });
            }
        }
        chat
    }

    /// How the file of this name came into the chat.
    #[must_use]
    pub fn sent(&self, file_name: &str) -> Option<&Sent> {
        self.files.get(file_name)
    }
}

/// A line that begins a message.
struct Head {
    stamp: Stamp,
    /// Sender and name of a file, where the message is one.
    file: Option<(String, String)>,
}

/// A date and time as written, the date's parts in the order in which they stand.
struct Stamp {
    parts: [i16; 3],
    /// What stands between the parts.
    separator: char,
    year_first: bool,
    time: Time,
}

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?ix)^\[? (\d{1,4}) ([./-]) \s? (\d{1,2}) [./-] \s? (\d{2,4}) \.? ,? \s (?:um\s|at\s)?
          (\d{1,2}) [:.] (\d{2}) (?: [:.] (\d{2}) )? (?: \s? (a|p) \.?\s? m \.? | \s (?:(vorm)|(nachm)) \. )?
          (?: \] | \s [-–] ) \s (.*)$",
    )
});
static FILE: LazyLock<Regex> = LazyLock::new(|| {
    const NAME: &str = r#"([^<>/\\:*?"|]{1,200}\.[A-Za-z0-9]{2,5})"#;
    regex(&format!(r"^(.{{1,200}}?): (?:<[^:<>]{{1,40}}:\s?{NAME}>|{NAME} \([^()]{{1,60}}\))$"))
});

#[expect(clippy::expect_used, reason = "the patterns are constants, and the tests use each of them")]
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}

/// Marks of direction, and of the order of bytes: they stand anywhere, and mean nothing here.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl Head {
    fn read(line: &str) -> Option<Self> {
        // A first look that costs nothing: most lines of a long chat are none of ours.
        if !line.starts_with(|c: char| c == '[' || c.is_ascii_digit() || is_mark(c)) {
            return None;
        }
        let line: String = line.chars().filter(|c| !is_mark(*c)).collect();
        let found = HEAD.captures(&line)?;
        let number = |group: usize| found.get(group).map_or(Some(0), |digits| digits.as_str().parse::<i16>().ok());
        let parts = [number(1)?, number(3)?, number(4)?];
        let hour = match found.get(8).map(|half| half.as_str().eq_ignore_ascii_case("p")) {
            None if found.get(10).is_some() => number(5)? % 12 + 12,
            None if found.get(9).is_some() => number(5)? % 12,
            None => number(5)?,
            Some(afternoon) => number(5)? % 12 + if afternoon { 12 } else { 0 },
        };
        let time = Time::new(hour as i8, number(6)? as i8, number(7)? as i8, 0).ok()?;
        let stamp = Stamp { parts, separator: found[2].chars().next()?, year_first: found[1].len() == 4, time };
        let file = FILE.captures(&found[11]).and_then(|file| {
            let name = file.get(2).or_else(|| file.get(3))?;
            Some((file[1].to_owned(), name.as_str().to_owned()))
        });
        Some(Self { stamp, file })
    }
}

impl Stamp {
    fn at(&self, order: DateOrder) -> Option<DateTime> {
        Some(self.date(order)?.to_datetime(self.time))
    }

    fn date(&self, order: DateOrder) -> Option<Date> {
        let [a, b, c] = self.parts;
        let (year, month, day) = match order {
            DateOrder::Dmy => (c, b, a),
            DateOrder::Mdy => (c, a, b),
            DateOrder::Ymd => (a, b, c),
        };
        let year = if year < 100 { year + 2000 } else { year };
        Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()
    }
}

/// The order that all dates of a chat are written in, from what only one of them makes sense of: what no calendar has,
/// messages that would go back in time, dates that contradict those in files' names.
fn order_of(heads: &[Head]) -> Option<DateOrder> {
    let first = &heads.first()?.stamp;
    if first.year_first {
        return Some(DateOrder::Ymd);
    }
    if first.separator == '.' {
        return Some(DateOrder::Dmy);
    }
    let possible = |order| heads.iter().all(|head| head.stamp.date(order).is_some());
    match (possible(DateOrder::Dmy), possible(DateOrder::Mdy)) {
        (true, false) => return Some(DateOrder::Dmy),
        (false, true) => return Some(DateOrder::Mdy),
        (false, false) => return None,
        (true, true) => {}
    }
    let doubts = |order| (back_in_time(heads, order), names_that_differ(heads, order));
    match doubts(DateOrder::Dmy).cmp(&doubts(DateOrder::Mdy)) {
        std::cmp::Ordering::Less => Some(DateOrder::Dmy),
        std::cmp::Ordering::Greater => Some(DateOrder::Mdy),
        std::cmp::Ordering::Equal => None,
    }
}

fn back_in_time(heads: &[Head], order: DateOrder) -> usize {
    heads.windows(2).filter(|pair| pair[1].stamp.date(order) < pair[0].stamp.date(order)).count()
}

/// Names hold a date (`PTT-20261121-WA0003.opus`, `00000012-AUDIO-2026-11-21-18-02-11.opus`): the day on which the
/// file came to the telephone, which may be the next one.
fn names_that_differ(heads: &[Head], order: DateOrder) -> usize {
    static DATE: LazyLock<Regex> = LazyLock::new(|| regex(r"-(20\d{2})-?([01]\d)-?([0-3]\d)-"));
    let differs = |head: &&Head| {
        let named = head.file.as_ref().and_then(|(_, name)| {
            let found = DATE.captures(name)?;
            Date::new(found[1].parse().ok()?, found[2].parse().ok()?, found[3].parse().ok()?).ok()
        });
        let (Some(named), Some(written)) = (named, head.stamp.date(order)) else { return false };
        (named - written).get_days().abs() > 1
    };
    heads.iter().filter(differs).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    fn only(chat: &str, name: &str) -> Sent {
        Chat::read(chat, None).sent(name).unwrap_or_else(|| panic!("{name} is not found in {chat:?}")).clone()
    }

    #[test]
    fn both_telephones_in_both_languages_say_the_same() {
        let name = "PTT-20261121-WA0003.opus";
        for line in [
            "[21.11.26, 18:02:11] Erika Mustermann: \u{200e}<Anhang: PTT-20261121-WA0003.opus>",
            "\u{200e}[21.11.2026, 18:02:11] Erika Mustermann: \u{200e}<Anhang: PTT-20261121-WA0003.opus>",
            "\u{feff}[21/11/2026, 18:02:11] Erika Mustermann: \u{200e}<attached: PTT-20261121-WA0003.opus>",
            "[11/21/26, 6:02:11\u{202f}PM] Erika Mustermann: <attached: PTT-20261121-WA0003.opus>",
            "21.11.26, 18:02 - Erika Mustermann: \u{200e}PTT-20261121-WA0003.opus (Datei angehängt)",
            "21.11.26 um 18:02 - Erika Mustermann: PTT-20261121-WA0003.opus (Datei angehängt)",
            "21/11/2026, 18:02 - Erika Mustermann: \u{200e}PTT-20261121-WA0003.opus (file attached)",
            "11/21/26, 6:02\u{202f}PM - Erika Mustermann: PTT-20261121-WA0003.opus (file attached)",
            "21/11/2026, 6:02 pm - Erika Mustermann: PTT-20261121-WA0003.opus (file attached)",
            "21/11/2026, 6:02 p.\u{a0}m. - Erika Mustermann: PTT-20261121-WA0003.opus (archivo adjunto)",
            "21.11.26, 6:02 nachm. - Erika Mustermann: PTT-20261121-WA0003.opus (Datei angehängt)",
            "2026-11-21, 18:02 - Erika Mustermann: PTT-20261121-WA0003.opus (file attached)",
        ] {
            let sent = only(line, name);
            assert_eq!(sent.sender.expose(), "Erika Mustermann", "{line}");
            let at = sent.at.unwrap();
            assert_eq!(at.strftime("%F %H:%M").to_string(), "2026-11-21 18:02", "{line}");
        }
    }

    #[test]
    fn midnight_and_noon_of_twelve_hours() {
        for (clock, hour) in [("12:05 AM", 0), ("12:05 PM", 12), ("1:05 AM", 1), ("11:05 PM", 23)] {
            let line = format!("11/21/26, {clock} - E: PTT-20261121-WA0003.opus (file attached)");
            assert_eq!(only(&line, "PTT-20261121-WA0003.opus").at.unwrap().hour(), hour, "{clock}");
        }
    }

    #[test]
    fn a_message_of_several_lines_is_one_and_system_lines_have_no_sender() {
        let chat = "21.11.26, 18:00 - Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt.\n\
                    21.11.26, 18:01 - Erika: Hallo,\n\
                    das hier: steht in der zweiten Zeile\n\
                    PTT-20261121-WA0009.opus (Datei angehängt)\n\
                    21.11.26, 18:02 - Erika: PTT-20261121-WA0003.opus (Datei angehängt)\n\
                    mit einer Unterschrift\n";
        let chat = Chat::read(chat, None);
        assert_eq!(chat.sent("PTT-20261121-WA0003.opus").unwrap().at, Some(at("2026-11-21T18:02:00")));
        assert_eq!(chat.sent("PTT-20261121-WA0009.opus"), None, "a line in a message brings no file");
        assert!(!chat.ambiguous);
    }

    #[test]
    fn who_types_a_files_name_later_does_not_become_its_sender() {
        let chat = "21.11.26, 18:02 - Erika: PTT-20261121-WA0003.opus (Datei angehängt)\n\
                    21.11.26, 18:03 - Mallory: PTT-20261121-WA0003.opus (Datei angehängt)\n";
        assert_eq!(only(chat, "PTT-20261121-WA0003.opus").sender.expose(), "Erika");
    }

    #[test]
    fn a_name_may_hold_a_colon() {
        let line = "21.11.26, 18:02 - Erika: privat: PTT-20261121-WA0003.opus (Datei angehängt)";
        assert_eq!(only(line, "PTT-20261121-WA0003.opus").sender.expose(), "Erika: privat");
    }

    #[test]
    fn day_and_month_are_told_apart_by_the_calendar_the_order_of_messages_and_the_names_of_files() {
        let one = |date: &str| format!("{date}, 18:02 - E: a.opus (file attached)\n");
        assert_eq!(only(&(one("03/04/2026") + &one("13/04/2026")), "a.opus").at, Some(at("2026-04-03T18:02:00")));
        assert_eq!(only(&(one("03/04/2026") + &one("03/13/2026")), "a.opus").at, Some(at("2026-03-04T18:02:00")));
        // Of January and February as days and months: only one order goes forward.
        assert_eq!(only(&(one("03/01/2026") + &one("02/02/2026")), "a.opus").at, Some(at("2026-01-03T18:02:00")));
        let named = "03/04/2026, 18:02 - E: PTT-20260304-WA0001.opus (file attached)";
        assert_eq!(only(named, "PTT-20260304-WA0001.opus").at, Some(at("2026-03-04T18:02:00")));

        let unsure = Chat::read(&one("03/04/2026"), None);
        assert!(unsure.ambiguous && unsure.sent("a.opus").unwrap().at.is_none(), "unsure is an answer");
        let told = Chat::read(&one("03/04/2026"), Some(DateOrder::Mdy));
        assert_eq!(told.sent("a.opus").unwrap().at, Some(at("2026-03-04T18:02:00")));
    }

    #[test]
    fn dates_and_times_that_do_not_exist_are_none() {
        for line in [
            "31.02.26, 18:02 - E: a.opus (Datei angehängt)",
            "99.99.9999, 18:02 - E: a.opus (Datei angehängt)",
            "21.11.26, 25:02 - E: a.opus (Datei angehängt)",
            "21.11.26, 18:99 - E: a.opus (Datei angehängt)",
        ] {
            let chat = Chat::read(line, None);
            assert!(chat.sent("a.opus").is_none_or(|sent| sent.at.is_none()), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "(?s).{0,400}", digits in "[0-9\\[\\]./:, \\-PM()<>a-z]{0,80}") {
            let _ = Chat::read(&text, None);
            let _ = Chat::read(&format!("[21.11.26, {digits}\n{digits}"), None);
        }
    }
}
