//! Owns what the process says about itself: logs on stderr, figures for `/metrics`.
//!
//! Neither ever holds what a customer said or who they are; [`crate::private::Private`] makes sure of it. Label values
//! come from closed sets, so that a producer cannot blow up the number of series.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::event::Processed;

/// How the process logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is logged, for example `info` or `info,sprachpost::broker=debug`.
    pub level: String,
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Auto }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Whatever the level, nothing of these and what is below them: lapin logs messages that the broker returned with their
/// bodies, and at its most talkative all that come and go; so does tungstenite. Those hold speech, and who said it.
const HOLD_MESSAGES: [&str; 4] = ["lapin::returned_messages", "lapin::channels", "lapin::frames", "tungstenite"];
/// Unless the level asks for it: lapin reports every lost connection three times over, and [`crate::broker::amqp`]
/// says the same once.
const SAID_ELSEWHERE: &str = "lapin=off";

/// Starts to log. A second call changes nothing, so that tests can share a process.
///
/// # Errors
/// If the level cannot be read.
pub fn start_logging(config: &Config) -> Result<(), tracing_subscriber::filter::ParseError> {
    let level = EnvFilter::try_new(format!("{SAID_ELSEWHERE},{}", config.level))?;
    // A filter of its own: in the other, whoever names a module more closely would have its messages.
    let discreet = filter_fn(|metadata| !holds_messages(metadata.target()));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let json = match config.format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Text => false,
        Format::Json => true,
    };
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.with_target(false).boxed() };
    // An error here means that somebody else logs already.
    let _ = tracing_subscriber::registry().with(level).with(discreet).with(lines).try_init();
    Ok(())
}

fn holds_messages(target: &str) -> bool {
    let below = |rest: &str| rest.is_empty() || rest.starts_with("::");
    HOLD_MESSAGES.iter().any(|module| target.strip_prefix(module).is_some_and(below))
}

/// Seconds: a note is answered in well under one, or in minutes when it is long.
const SECONDS_BUCKETS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

/// Starts to count. The handle renders what was counted, in Prometheus' text format. None if somebody else counts
/// in this process already.
#[must_use]
pub fn start_counting() -> Option<PrometheusHandle> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS);
    let handle = builder.ok()?.install_recorder().ok()?;
    describe();
    Some(handle)
}

fn describe() {
    metrics::describe_counter!("sprachpost_notes_total", "Notes answered, by outcome and reason");
    metrics::describe_counter!("sprachpost_retries_total", "Notes that will be tried again, by reason");
    metrics::describe_counter!("sprachpost_moves_total", "Notes put on another lane, by lane");
    metrics::describe_counter!("sprachpost_acknowledgements_total", "Senders told at once, by result");
    metrics::describe_gauge!("sprachpost_backlog_age_seconds", "How long the last note waited for its first attempt");
    metrics::describe_counter!("sprachpost_drafts_total", "Suggestions that a language model rephrased, or why not");
    metrics::describe_counter!("sprachpost_playbook_reloads_total", "Times the playbook was read again, by result");
    metrics::describe_counter!("sprachpost_slot_panics_total", "Panics caught on a slot of the pool");
    metrics::describe_histogram!("sprachpost_note_seconds", "Time to answer a note, without the queue");
    metrics::describe_histogram!("sprachpost_transcribe_seconds", "Time to recognise a note");
    metrics::describe_counter!("sprachpost_audio_seconds_total", "Length of all audio that was decoded");
    metrics::describe_counter!("sprachpost_ledger_repeats_total", "Deliveries of notes answered elsewhere, by how");
    metrics::describe_counter!("sprachpost_ledger_bypassed_total", "Notes processed while the ledger was unreachable");
    metrics::describe_counter!("sprachpost_webhooks_total", "Requests to channels, by channel and how they ended");
    metrics::describe_counter!("sprachpost_channel_messages_total", "Messages from channels, by channel and result");
    metrics::describe_counter!("sprachpost_tickets_total", "Results for ticketing systems, by connector and result");
    metrics::describe_counter!("sprachpost_tickets_failures_total", "Failures of ticketing systems, by error");
    metrics::describe_gauge!("sprachpost_tickets_paused", "1 while nothing is written into a ticketing system");
    metrics::describe_histogram!("sprachpost_tickets_seconds", "Time to write a result into its ticket");
    metrics::describe_gauge!("sprachpost_notes_in_work", "Notes being worked on");
}

/// Counts one answered note.
pub fn count(processed: &Processed) {
    let reason = processed.reason.map_or("none", crate::event::Reason::as_str);
    metrics::counter!("sprachpost_notes_total", "outcome" => processed.outcome.as_str(), "reason" => reason)
        .increment(1);
    metrics::histogram!("sprachpost_note_seconds").record(seconds(processed.timings_ms.total));
    if let Some(ms) = processed.timings_ms.transcribe {
        metrics::histogram!("sprachpost_transcribe_seconds").record(seconds(ms));
    }
    if let Some(audio) = &processed.audio {
        metrics::counter!("sprachpost_audio_seconds_total").increment(audio.duration_s.round() as u64);
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1e3
}
