//! `sprachpost bench`: how well it hears, how much it carries, and whether it can do so for long.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{NOT_PROCESSED, bench_asr, out};
use crate::{
    bench::{Figures, Holdings, plumbing, soak},
    config::Config,
    shutdown::Shutdown,
    telemetry,
};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How well and how fast notes are heard: words heard wrong, times, memory, processor time.
    ///
    /// Notes go through queue and worker as in `bench plumbing`, on such a queue of its own, and the configured speech
    /// model hears them. Several profiles take turns, clip by clip, so that they share whatever else the machine does;
    /// a profile's × real time is what it would reach alone. Where a label says what is said, words heard wrong are
    /// counted; a note without a transcript, because it was not believed, has got all its words wrong. `calibration` is
    /// the mean distance between a word's confidence and the share of such words that are right.
    Asr(bench_asr::Arguments),
    /// How many notes a second the plumbing carries, and how much time it adds to a note.
    ///
    /// Everything runs as it does in `serve`, but for recognition: notes are published and confirmed, handed to a
    /// worker, parsed, decoded, understood, answered by an event that is published and confirmed, and acknowledged. A
    /// note counts when its event has arrived at a subscriber. The recogniser is a script that answers at once, and
    /// each note carries 20 ms of uncompressed audio, so that fetching, decoding and looking for speech cost next to
    /// nothing; its text is understood by letters and words, without the sentence encoder. No model is needed. Producer, worker and subscriber share this process.
    ///
    /// It measures twice: as fast as it goes, with a bounded number of notes on their way; then on a fixed schedule of
    /// half as many a second, where a note's time counts from when it was due, whatever kept it from leaving.
    ///
    /// No note of yours is touched. On the embedded queue it works in a new file beside the configured one. On
    /// RabbitMQ it refuses a virtual host (the path of `broker.url`) that has neither `bench` nor `test` in its name,
    /// in which notes wait or a worker works. Whoever subscribes to results there sees those of the tenant `bench`.
    Plumbing(PlumbingArguments),
    /// Whether memory, file descriptors and threads stay the same over many notes.
    ///
    /// Notes go through a worker as in `bench plumbing`, on such a queue of its own; one in ten has broken audio, one
    /// in fifty is no note at all, and one recognition in twenty fails once. From the hundredth note on, what the
    /// process holds must not grow, and every note must be answered. With audio files, the configured speech model
    /// hears them over and over, as fast as it goes, and the twentieth note is where it begins.
    ///
    /// What is no note ends with the dead letters of the virtual host. Exit code 1: it grew.
    Soak(SoakArguments),
}

#[derive(Debug, Args)]
struct PlumbingArguments {
    /// Seconds of each of the two measurements.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", value_parser = positive)]
    seconds: f64,
    /// End each measurement after so many notes, if that is earlier.
    #[arg(long, default_value_t = 1_000_000, value_name = "NOTES", value_parser = clap::value_parser!(u64).range(1..))]
    notes: u64,
    /// Notes on their way at a time in the first measurement; the worker has as many slots, so that they are no bound.
    #[arg(long, default_value_t = 192, value_name = "NOTES", value_parser = clap::value_parser!(u16).range(1..=1024))]
    in_flight: u16,
    /// Notes a second in the second measurement; half of what the first one found if not given.
    #[arg(long, value_name = "NOTES", value_parser = positive)]
    rate: Option<f64>,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SoakArguments {
    /// Audio files for the speech model to hear; without any, recognition is scripted.
    #[arg(value_name = "FILE")]
    clips: Vec<PathBuf>,
    /// How long notes are sent.
    #[arg(long, default_value_t = 180.0, value_name = "SECONDS", value_parser = positive)]
    seconds: f64,
    /// Notes a second, without audio files.
    #[arg(long, default_value_t = 200.0, value_name = "NOTES", value_parser = positive)]
    rate: f64,
    /// Print what was seen as one JSON object.
    #[arg(long)]
    json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("it has to be a number greater than 0".to_owned()),
    }
}

pub async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    // Each note's fate is in the figures; a log of them would be measured with the rest.
    let level = "warn,sprachpost::worker=error".to_owned();
    telemetry::start_logging(&telemetry::Config { level, ..config.log.clone() })?;
    let shutdown = Shutdown::on_signals()?;
    let measuring = async {
        match arguments.what {
            What::Asr(arguments) => bench_asr::run(&arguments, config).await,
            What::Plumbing(arguments) => plumbing(&arguments, config).await,
            What::Soak(arguments) => soak(&arguments, config).await,
        }
    };
    tokio::select! {
        code = measuring => code,
        // By now what was measured on is dropped, and with it the folder of its queue. The rest ends with the process,
        // without exit handlers: recognition may still be at work in C++.
        () = shutdown.requested() => signal_hook::low_level::exit(INTERRUPTED),
    }
}

/// Exit code of a process that was asked to end before it was done, as shells know it from Ctrl-C.
const INTERRUPTED: i32 = 130;

async fn plumbing(arguments: &PlumbingArguments, config: Config) -> anyhow::Result<ExitCode> {
    let plan = plumbing::Plan {
        seconds: arguments.seconds,
        notes_max: arguments.notes,
        in_flight: arguments.in_flight,
        rate: arguments.rate,
    };
    let measured = plumbing::run(config, &plan).await?;
    if arguments.json {
        out::json(&measured)?;
    } else {
        out::line(format_args!("plumbing on: {}, {} slots, recognition scripted", measured.broker, measured.slots))?;
        out::line(format_args!(
            "{:22}{:>9}{:>9}{:>9}{:>9}{:>9}{:>11}",
            "", "notes/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "in flight"
        ))?;
        print_row("as fast as it goes", &measured.throughput)?;
        print_row(&format!("at {:.0} notes/s", measured.rate), &measured.latency)?;
        out::line(format_args!(
            "processor time of this process: {:.0} µs a note at full speed",
            measured.processor_us_per_note
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_row(what: &str, figures: &Figures) -> Result<(), out::NotWritten> {
    let latency = figures.latency_ms;
    out::line(format_args!(
        "{what:22}{:>9.0}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>11}",
        figures.notes_per_s,
        latency.p50,
        latency.p90,
        latency.p99,
        latency.max,
        format!("{:.0} ({})", figures.in_flight.mean, figures.in_flight.max)
    ))
}

async fn soak(arguments: &SoakArguments, config: Config) -> anyhow::Result<ExitCode> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let clips = arguments.clips.iter().map(read).collect::<anyhow::Result<_>>()?;
    let soaked = soak::run(config, &soak::Plan { seconds: arguments.seconds, rate: arguments.rate, clips }).await?;
    if arguments.json {
        out::json(&soaked)?;
    } else {
        out::line(format_args!(
            "soak on: {}, {} notes in {:.0} s",
            soaked.broker, soaked.figures.notes, soaked.figures.seconds
        ))?;
        let outcomes = soaked.figures.outcomes.iter().map(|(outcome, notes)| format!("{notes} {outcome}"));
        out::line(format_args!(
            "outcomes: {}; {} recognitions failed",
            outcomes.collect::<Vec<_>>().join(", "),
            soaked.failures
        ))?;
        out::line(format_args!("{:22}{:>12}{:>12}{:>9}", "", "memory MiB", "descriptors", "threads"))?;
        print_holdings("after the first notes", soaked.first)?;
        print_holdings("at the end", soaked.last)?;
        print_holdings("most", soaked.most)?;
        out::line(if soaked.flat { "flat" } else { "NOT FLAT: it grew" })?;
    }
    Ok(if soaked.flat { ExitCode::SUCCESS } else { ExitCode::from(NOT_PROCESSED) })
}

fn print_holdings(what: &str, held: Holdings) -> Result<(), out::NotWritten> {
    let memory_mib = held.memory_bytes as f64 / (1024.0 * 1024.0);
    out::line(format_args!("{what:22}{memory_mib:>12.1}{:>12}{:>9}", held.file_descriptors, held.threads))
}
