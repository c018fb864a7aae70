//! `sprachpost dead-letters`: what was given up on, for the people who decide what becomes of it.
//!
//! Nothing that a customer said or is called by is printed, except by `show --body`, which says so.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, Write as _},
    num::NonZeroUsize,
    process::ExitCode,
};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use jiff::{Span, Timestamp, tz::TimeZone};
use serde_json::json;

use super::{NOT_PROCESSED, letter_table, out};
use crate::{
    app,
    broker::{Broker, DeadLetter, Group},
    config::Config,
    event::{Reason, envelope::parse_received},
    letters::{self, Filter, Found, IdPrefix, Look, Order, Summary},
    note::{NoteId, Tenant},
};

/// Letters of one id that `show` shows at most: normally there is one.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
#[command(
    after_help = "A replayed note is worked on as if it had just come, under the same note id, and ends in an event \
                  with an id of its own: `replay` in it says how often the note was sent back. Giving the same order \
                  twice is harmless, and so is doing it while workers run.\n\n\
                  With --queue, the letters are results that a role gave up on, and replaying one puts it back into \
                  that queue alone.\n\n\
                  On RabbitMQ, letters that somebody is looking at are out of everybody else's sight for that moment.\n\n\
                  Examples:\n  sprachpost dead-letters list --older-than 2h\n  \
                  sprachpost dead-letters show b0d06c48\n  sprachpost dead-letters replay b0d06c48\n  \
                  sprachpost dead-letters replay --all --reason audio_unreachable --newer-than 1d\n  \
                  sprachpost dead-letters discard --all --reason malformed_event --yes\n  \
                  sprachpost dead-letters list --queue tickets.main"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Whose letters: those of the notes, or of the queue of a role, for example `tickets.main`.
    #[arg(long, global = true, default_value = "notes", value_name = "NAME")]
    queue: Group,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them, the oldest first.
    List(List),
    /// Show all that is known about one.
    Show(Show),
    /// Send them back to work.
    Replay(Act),
    /// Throw them away, for good.
    Discard(Act),
}

#[derive(Debug, Args)]
struct Which {
    /// Only those given up on for this reason, for example `audio_unreachable`.
    #[arg(long)]
    reason: Option<Reason>,
    /// Only this tenant's.
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Only those given up on longer ago than this, for example `90m`, `2h` or `3d`.
    #[arg(long, value_name = "DURATION", value_parser = ago)]
    older_than: Option<Timestamp>,
    /// Only those given up on within this time.
    #[arg(long, value_name = "DURATION", value_parser = ago)]
    newer_than: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// How many to list at most.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = at_least_one)]
    limit: usize,
    /// Print each as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// The note's id, or its first 8 characters.
    id: IdPrefix,
    /// Print it as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Print the message itself, as it came; with --json, in a field of it. It holds personal data.
    #[arg(long)]
    body: bool,
}

#[derive(Debug, Args)]
struct Act {
    /// Note ids, or their first 8 characters.
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<IdPrefix>,
    /// All that the other options leave, instead of single ones.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// With --all: how many at most.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = at_least_one)]
    limit: usize,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Which {
    fn filter(self, ids: Vec<IdPrefix>) -> Filter {
        let Self { reason, tenant, older_than, newer_than } = self;
        Filter { ids, reason, tenant, before: older_than, after: newer_than }
    }
}

fn at_least_one(text: &str) -> anyhow::Result<usize> {
    let number: NonZeroUsize = text.parse().context("a limit is a number of at least 1")?;
    Ok(number.get())
}

/// The moment that was so long ago.
fn ago(text: &str) -> anyhow::Result<Timestamp> {
    let span: Span = text.parse().context("a duration looks like `90m`, `2h` or `3d`")?;
    if !span.is_positive() {
        bail!("a duration is longer than nothing");
    }
    Ok(Timestamp::now().to_zoned(TimeZone::UTC).checked_sub(span).context("that is too long ago")?.timestamp())
}

pub async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    let broker = app::open_broker(&config).await?;
    let code = match arguments.what {
        What::List(list) => list_of(broker.as_ref(), &arguments.queue, list).await,
        What::Show(show) => show_of(broker.as_ref(), &arguments.queue, show).await,
        What::Replay(act) => act_on(broker.as_ref(), &arguments.queue, Order::Replay, act).await,
        What::Discard(act) => act_on(broker.as_ref(), &arguments.queue, Order::Discard, act).await,
    };
    broker.close().await;
    code
}

async fn list_of(broker: &dyn Broker, group: &Group, arguments: List) -> anyhow::Result<ExitCode> {
    let List { which, limit, json } = arguments;
    let look = letters::find(broker, group, &which.filter(Vec::new()), limit).await?;
    let summaries: Vec<&Summary> = look.found.iter().map(|found| &found.letter).collect();
    if json {
        for summary in summaries {
            out::json(summary)?;
        }
    } else if summaries.is_empty() {
        out::line("no dead letters")?;
    } else {
        out::text(&letter_table::table(&summaries, Timestamp::now(), letter_table::width()))?;
    }
    say_what_is_left_out(&look, limit);
    Ok(ExitCode::SUCCESS)
}

fn say_what_is_left_out(look: &Look, limit: usize) {
    if look.more {
        out::aside(format_args!(
            "there are more than these {limit}: --limit takes more, other options choose among them"
        ));
    } else if look.cut_short {
        out::aside("there are more behind these: one look holds back broker.letters_held_max letters at most");
    }
}

async fn show_of(broker: &dyn Broker, group: &Group, arguments: Show) -> anyhow::Result<ExitCode> {
    let Show { id, json, body } = arguments;
    let filter = Filter { ids: vec![id], ..Filter::default() };
    let found = letters::find_whole(broker, group, &filter, SHOWN_MAX).await?;
    let ids = found.iter().map(|letter| Summary::of(letter).note_id);
    if let Some(mistake) = mistaken(&filter, ids) {
        return Ok(failed(&mistake));
    }
    if body {
        out::aside("sprachpost: this is what the customer sent: personal data, not for tickets or logs");
    }
    for letter in &found {
        if json {
            out::line(as_json(letter, body)?)?;
        } else if body {
            out::bytes(&letter.message.body)?;
            if found.len() > 1 || std::io::stdout().is_terminal() {
                out::line("")?;
            }
        } else {
            out::text(&letter_table::block(letter, why_unreadable(letter), Timestamp::now()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn why_unreadable(letter: &DeadLetter) -> Option<String> {
    let error = parse_received(&letter.message).err()?;
    (!Summary::of(letter).readable).then(|| error.to_string())
}

/// Headers come from whoever sent the note: their values are as private as the body.
fn as_json(letter: &DeadLetter, body: bool) -> anyhow::Result<serde_json::Value> {
    let message = &letter.message;
    let mut shown = serde_json::to_value(Summary::of(letter))?;
    shown["unreadable_because"] = json!(why_unreadable(letter));
    shown["message"] = json!({
        "id": message.id,
        "correlation_id": message.correlation_id,
        "routing_key": message.routing_key,
        "content_type": message.content_type,
        "header_names": message.headers.keys().collect::<Vec<_>>(),
    });
    if body {
        shown["message"]["headers"] = json!(message.headers);
        match std::str::from_utf8(&message.body) {
            Ok(text) => shown["message"]["body"] = json!(text),
            Err(_) => shown["message"]["body_base64"] = json!(BASE64_STANDARD.encode(&message.body)),
        }
    }
    Ok(shown)
}

async fn act_on(broker: &dyn Broker, group: &Group, order: Order, arguments: Act) -> anyhow::Result<ExitCode> {
    let Act { ids, all, which, limit, yes } = arguments;
    let filter = which.filter(ids);
    if !all && filter != (Filter { ids: filter.ids.clone(), ..Filter::default() }) {
        bail!("--reason, --tenant, --older-than and --newer-than choose among --all; an id needs none of them");
    }
    let look = letters::find(broker, group, &filter, limit).await?;
    if let Some(mistake) = mistaken(&filter, look.found.iter().map(|found| found.letter.note_id)) {
        return Ok(failed(&(mistake + "; nothing was done")));
    }
    if look.found.is_empty() {
        out::line("no dead letter matches: nothing to do")?;
        return Ok(ExitCode::SUCCESS);
    }
    if (all || order == Order::Discard) && !confirmed(order, &look, yes)? {
        return Ok(failed("nothing was done"));
    }

    let (chosen, mut done, mut told) = (look.found.len(), 0_usize, Ok(()));
    let outcome = letters::carry_out(broker, group, order, look.found, |found| {
        done += 1;
        // Whether anybody reads on or not: what was ordered is done.
        if told.is_ok() {
            told = out::line(line(order, found));
        }
    })
    .await;
    let told = told.and_then(|()| out::line(format_args!("{}, {done} {}", letters_in_words(chosen), past(order))));
    if look.more || look.cut_short {
        out::aside("there are more that match: give the same order again");
    }
    match outcome {
        Ok(gone) => {
            for found in &gone {
                out::aside(format_args!(
                    "sprachpost: {} is gone: somebody else replayed or discarded it",
                    found.letter.note_id
                ));
            }
            told?;
            Ok(if gone.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NOT_PROCESSED) })
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            Ok(failed(&format!("{error:#}; the others are where they were, and the same order can be given again")))
        }
    }
}

/// What is wrong with the ids that were given.
fn mistaken(filter: &Filter, found: impl Iterator<Item = NoteId>) -> Option<String> {
    let found: BTreeSet<NoteId> = found.collect();
    for prefix in &filter.ids {
        let matching: Vec<String> = found.iter().filter(|id| prefix.matches(**id)).map(ToString::to_string).collect();
        match matching.len() {
            0 => return Some(format!("no dead letter has the id {prefix}")),
            1 => {}
            _ => return Some(format!("{prefix} is the beginning of several ids: {}", matching.join(", "))),
        }
    }
    None
}

fn failed(what: &str) -> ExitCode {
    out::aside(format_args!("sprachpost: {what}"));
    ExitCode::from(NOT_PROCESSED)
}

fn confirmed(order: Order, look: &Look, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let what = letters_in_words(look.found.len());
    if !std::io::stdin().is_terminal() {
        bail!("{what} would be {}, and nobody is there to be asked: add --yes if that is meant", past(order));
    }
    let summaries: Vec<&Summary> = look.found.iter().map(|found| &found.letter).collect();
    eprint!("{}", letter_table::table(&summaries, Timestamp::now(), letter_table::width()));
    match order {
        Order::Replay => eprint!("Replay {what}? [y/N] "),
        Order::Discard => eprint!("Discard {what} for good? [y/N] "),
    }
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("the answer could not be read")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn line(order: Order, found: &Found) -> String {
    let Summary { note_id, reason, .. } = &found.letter;
    let from = letter_table::origin(&found.letter);
    match order {
        Order::Replay => format!("replayed {note_id} ({from}, {reason}) as its replay {}", found.replay),
        Order::Discard => format!("discarded {note_id} ({from}, {reason})"),
    }
}

fn letters_in_words(number: usize) -> String {
    if number == 1 { "1 dead letter".to_owned() } else { format!("{number} dead letters") }
}

fn past(order: Order) -> &'static str {
    match order {
        Order::Replay => "replayed",
        Order::Discard => "discarded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_the_moment_so_long_ago() {
        let hours_ago = |text: &str| {
            let moment = ago(text).unwrap();
            Timestamp::now().duration_since(moment).as_hours()
        };
        assert_eq!((hours_ago("2h"), hours_ago("3d"), hours_ago("1 week"), hours_ago("90m")), (2, 72, 168, 1));
        for bad in ["", "2", "-2h", "0s", "yesterday", "99999999 years"] {
            assert!(ago(bad).is_err(), "{bad}");
        }
    }
}
