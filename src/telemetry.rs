//! Owns what the process says about itself: logs on stderr, figures for `/metrics`.
//!
//! Neither ever holds what a customer said or who they are; [`crate::private::Private`] makes sure of it. Label values
//! come from closed sets, so that a producer cannot blow up the number of series.

use std::{error::Error, fmt, io::IsTerminal, iter};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{ParseError, filter_fn},
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format as Lines, Json, JsonFields, Writer},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::event::Processed;

/// How the process logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, and after commas what differs for a part of
    /// the program, for example `info,sprachpost::broker=debug`.
    #[serde(deserialize_with = "level")]
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

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match fault_of_level(&text) {
        None => Ok(text),
        Some(fault) => Err(de::Error::custom(fault)),
    }
}

/// What is wrong with a level. The filter itself takes a lone word that is no level for the name of a module: a mistyped
/// level would have that module logged, which does not exist, and nothing else.
fn fault_of_level(text: &str) -> Option<String> {
    const KNOWN: &str = "write error, warn, info, debug, trace or off, or MODULE=LEVEL for a part of the program";
    for part in text.split(',').map(str::trim) {
        // Nothing counts as a level to the library, too.
        if !part.contains(['=', '[']) && (part.is_empty() || part.parse::<LevelFilter>().is_err()) {
            return Some(format!("{part:?} is no level; {KNOWN}"));
        }
    }
    EnvFilter::try_new(text).err().map(|error| format!("{text:?} is no level ({error}); {KNOWN}"))
}

/// Whatever the level, nothing of these and what is below them: lapin logs messages that the broker returned with their
/// bodies, and at its most talkative all that come and go; so does tungstenite. Those hold speech, and who said it.
const HOLD_MESSAGES: [&str; 4] = ["lapin::returned_messages", "lapin::channels", "lapin::frames", "tungstenite"];
/// Unless the level asks for it: lapin reports every lost connection three times over, and [`crate::broker::amqp`]
/// says the same once; symphonia tells of every stream that it opens, twice a note.
const SAID_ELSEWHERE: &str = "lapin=off,symphonia=warn";

/// Starts to log. A second call changes nothing, so that tests can share a process.
///
/// # Errors
/// If the level cannot be read.
pub fn start_logging(config: &Config) -> Result<(), ParseError> {
    let level = EnvFilter::try_new(format!("{SAID_ELSEWHERE},{}", config.level))?;
    // A filter of its own: in the other, whoever names a module more closely would have its messages.
    let discreet = filter_fn(|metadata| !holds_messages(metadata.target()));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let on_terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        Format::Auto => !on_terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let lines = if json {
        lines.fmt_fields(JsonFields::new()).event_format(WithCauses::default()).boxed()
    } else {
        // Colours are for eyes: in a file they are rubbish, and who sets NO_COLOR wants none anywhere.
        let colours = on_terminal && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        lines.with_target(false).with_ansi(colours).boxed()
    };
    // An error here means that somebody else logs already.
    let _ = tracing_subscriber::registry().with(level).with(discreet).with(lines).try_init();
    Ok(())
}

/// JSON as the library writes it, which says of an error its first sentence alone; what that was caused by is added as
/// `<field>.sources`, the name that it has in the library's text.
struct WithCauses(Lines<Json>);

impl Default for WithCauses {
    fn default() -> Self {
        Self(tracing_subscriber::fmt::format().json().flatten_event(true))
    }
}

impl<S, N> FormatEvent<S, N> for WithCauses
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut causes = Causes::default();
        event.record(&mut causes);
        if causes.0.is_empty() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let open = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        writer.write_str(open)?;
        for (name, sources) in causes.0 {
            write!(writer, ",{}:{}", serde_json::Value::from(name), serde_json::Value::from(sources))?;
        }
        writeln!(writer, "}}")
    }
}

/// The errors among the fields of an event that were caused by others.
#[derive(Default)]
struct Causes(Vec<(String, Vec<String>)>);

impl Visit for Causes {
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let causes = iter::successors(error.source(), |&cause| cause.source());
        let sources: Vec<String> = causes.map(ToString::to_string).collect();
        if !sources.is_empty() {
            self.0.push((format!("{}.sources", field.name()), sources));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// An error and what caused it, on one line: for texts that do not name causes by themselves, as the log does.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| ": ".to_owned() + &with_causes(cause));
    error.to_string() + &cause.unwrap_or_default()
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
    metrics::describe_gauge!("sprachpost_follow_ups_planned", "Follow-ups that are not due yet");
    metrics::describe_counter!("sprachpost_follow_ups_due_total", "Follow-ups that were told to be due");
    metrics::describe_counter!(
        "sprachpost_follow_ups_dropped_total",
        "Follow-ups that were not planned, because watch.planned_max were already"
    );
    metrics::describe_counter!("sprachpost_spikes_total", "Spikes that were told");
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_and_the_known_ones_are_named() {
        for wrong in ["", "warning", "verbose", "debg", "info,debg", "info,", "sprachpost", "info,sprachpost=debgu"] {
            let fault = fault_of_level(wrong).unwrap_or_else(|| panic!("{wrong:?} is accepted"));
            assert!(fault.contains("error, warn, info, debug, trace or off"), "{fault}");
        }
        for right in ["info", "WARN", "off", "info,sprachpost::broker=debug", "sprachpost[note{attempt=1}]=trace"] {
            assert_eq!(fault_of_level(right), None, "{right}");
        }
    }

    /// What was written, for whoever holds a copy.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the note could not be stored")]
    struct NotStored(#[source] Disk);

    #[derive(Debug, thiserror::Error)]
    #[error("the \"disk\" cannot be written")]
    struct Disk(#[source] std::io::Error);

    #[test]
    fn a_line_of_json_holds_every_cause_of_an_error() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let lines = lines.fmt_fields(JsonFields::new()).event_format(WithCauses::default());
        let error = NotStored(Disk(std::io::Error::other("no space left")));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _note = tracing::info_span!("note", attempt = 2).entered();
            tracing::warn!(error = &error as &dyn Error, "trouble");
            tracing::info!("none");
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{written}");
        assert_eq!(lines[0]["error"], "the note could not be stored");
        assert_eq!(lines[0]["error.sources"], serde_json::json!(["the \"disk\" cannot be written", "no space left"]));
        assert_eq!((&lines[0]["message"], &lines[0]["span"]["attempt"]), (&"trouble".into(), &2.into()));
        assert_eq!(lines[1]["message"], "none");
    }
}
