//! Owns how dead letters look on a terminal: a table that fits it, and one of them in full.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    broker::DeadLetter,
    letters::{IdPrefix, Summary},
};

/// Columns where nobody says how many there are.
const WIDTH: usize = 120;
const GAP: usize = 2;

/// How wide the terminal is, or what is read comfortably.
pub fn width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into())
}

/// One line a letter. Where the terminal is narrow, columns that `show` has too are left out, the least needed first.
#[must_use]
pub fn table(letters: &[&Summary], now: Timestamp, width: usize) -> String {
    let mut columns = columns(letters, now);
    while columns.iter().map(|column| column.width + GAP).sum::<usize>() > width + GAP {
        let dispensable = (0..columns.len()).filter(|index| columns[*index].needed < u8::MAX);
        let Some(least) = dispensable.min_by_key(|index| columns[*index].needed) else { break };
        columns.remove(least);
    }
    let mut table = String::new();
    for row in 0..=letters.len() {
        let mut line = String::new();
        for column in &columns {
            let (cell, width) = (&column.cells[row], column.width);
            let _ = if column.right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:width$}  ") };
        }
        table += line.trim_end();
        table.push('\n');
    }
    table
}

struct Column {
    /// The heading, then one a letter.
    cells: Vec<String>,
    width: usize,
    right: bool,
    /// The smaller, the earlier it is left out.
    needed: u8,
}

fn columns(letters: &[&Summary], now: Timestamp) -> Vec<Column> {
    let column = |heading: &str, needed: u8, right: bool, cell: &dyn Fn(&Summary) -> String| {
        let cells: Vec<String> =
            std::iter::once(heading.to_owned()).chain(letters.iter().map(|letter| cell(letter))).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
        Column { cells, width, right, needed }
    };
    vec![
        column("NOTE", u8::MAX, false, &|l| l.note_id.to_string()[..IdPrefix::CHARS_MIN].to_owned()),
        column("FROM", u8::MAX, false, &origin),
        column("REASON", u8::MAX, false, &|l| l.reason.clone()),
        column("STAGE", 4, false, &|l| l.stage.clone()),
        column("TRIES", 6, true, &|l| l.attempts.to_string()),
        column("FIRST UTC", 1, false, &|l| moment(l.first_at)),
        column("LAST UTC", 2, false, &|l| moment(l.last_at)),
        column("AGE", u8::MAX, true, &|l| age(l.last_at, now)),
        column("SIZE", 3, true, &|l| size(l.body_bytes)),
        column("REPLAYS", 5, true, &|l| l.replays.to_string()),
    ]
}

/// `<tenant>/<channel>`, as far as the message says.
#[must_use]
pub fn origin(letter: &Summary) -> String {
    let tenant = letter.tenant.as_ref().map_or("?", |tenant| tenant.as_str());
    let channel = letter.channel.as_ref().map_or("?", |channel| channel.as_str());
    format!("{tenant}/{channel}")
}

/// Everything about one letter that may stand on a screen: neither its body nor what its headers hold.
#[must_use]
pub fn block(letter: &DeadLetter, unreadable_because: Option<String>, now: Timestamp) -> String {
    let (summary, message) = (Summary::of(letter), &letter.message);
    let unknown = || "not said".to_owned();
    let times = |at: Option<Timestamp>| at.map_or_else(unknown, |at| format!("{at:.0}"));
    let headers: Vec<&str> = message.headers.keys().map(String::as_str).collect();
    let lines = [
        ("note", summary.note_id.to_string()),
        ("from", origin(&summary)),
        ("given up", format!("{} at stage {}", summary.reason, summary.stage)),
        ("attempts", summary.attempts.to_string()),
        ("first", times(summary.first_at)),
        ("last", format!("{}, {} ago", times(summary.last_at), age(summary.last_at, now))),
        ("replays", summary.replays.to_string()),
        ("message", message.id.clone().unwrap_or_else(unknown)),
        ("key", message.routing_key.clone()),
        ("type", message.content_type.clone().unwrap_or_else(unknown)),
        ("headers", if headers.is_empty() { "none".to_owned() } else { headers.join(", ") }),
        ("size", size(summary.body_bytes)),
    ];
    let mut block = String::new();
    for (label, value) in lines.into_iter().chain(unreadable_because.map(|why| ("unreadable", why))) {
        let _ = writeln!(block, "{label:<12}{value}");
    }
    block
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "?".to_owned(), |at| at.to_zoned(TimeZone::UTC).strftime("%m-%d %H:%M").to_string())
}

/// The largest unit only: nobody decides on a dead letter by its seconds.
fn age(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "?".to_owned() };
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(reason: &str, tenant: Option<&str>, hours: i64) -> Summary {
        let now: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        let at = |hours: i64| now - jiff::SignedDuration::from_hours(hours);
        Summary {
            note_id: "b0d06c48-47c0-583a-b470-5984a1d880b9".parse().unwrap(),
            tenant: tenant.map(|tenant| tenant.parse().unwrap()),
            channel: tenant.map(|_| "whatsapp".parse().unwrap()),
            readable: tenant.is_some(),
            reason: reason.to_owned(),
            stage: "transcribe".to_owned(),
            attempts: 5,
            replays: 1,
            first_at: Some(at(hours + 1)),
            last_at: Some(at(hours)),
            body_bytes: 1_234_567,
        }
    }

    fn shown(width: usize) -> String {
        let letters = [
            summary("transcription_timeout", Some("musterstrom"), 72),
            summary("malformed_event", None, 1),
            Summary {
                last_at: None,
                first_at: None,
                stage: "unknown".to_owned(),
                ..summary("worker_crashed", None, 1)
            },
        ];
        let letters: Vec<&Summary> = letters.iter().collect();
        table(&letters, "2026-11-22T03:00:00Z".parse().unwrap(), width)
    }

    #[test]
    fn a_wide_terminal_shows_every_column() {
        insta::assert_snapshot!(shown(120), @r"
        NOTE      FROM                  REASON                 STAGE       TRIES  FIRST UTC    LAST UTC     AGE    SIZE  REPLAYS
        b0d06c48  musterstrom/whatsapp  transcription_timeout  transcribe      5  11-19 02:00  11-19 03:00   3d  1.2 MB        1
        b0d06c48  ?/?                   malformed_event        transcribe      5  11-22 01:00  11-22 02:00  60m  1.2 MB        1
        b0d06c48  ?/?                   worker_crashed         unknown         5  ?            ?              ?  1.2 MB        1
        ");
    }

    #[test]
    fn a_narrow_terminal_loses_columns_and_no_letters() {
        insta::assert_snapshot!(shown(80), @r"
        NOTE      FROM                  REASON                 TRIES  AGE  REPLAYS
        b0d06c48  musterstrom/whatsapp  transcription_timeout      5   3d        1
        b0d06c48  ?/?                   malformed_event            5  60m        1
        b0d06c48  ?/?                   worker_crashed             5    ?        1
        ");
        for width in [0, 40, 80, 90, 100] {
            let table = shown(width);
            assert_eq!(table.lines().count(), 4);
            assert!(width < 80 || table.lines().all(|line| line.chars().count() <= width), "{width}:\n{table}");
        }
    }

    #[test]
    fn ages_and_sizes_are_short() {
        let now: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800]
            .map(|seconds| age(Some(now - jiff::SignedDuration::from_secs(seconds)), now));
        assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
        assert_eq!([999, 1000, 1_500_000].map(size), ["999 B", "1.0 kB", "1.5 MB"]);
    }
}
