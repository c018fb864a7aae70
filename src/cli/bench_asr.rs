//! `sprachpost bench asr`: how well and how fast notes are heard.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::out;
use crate::{
    asr::Profile,
    bench::asr::{self, Measured, OfProfile, Row, clips},
    config::Config,
    note::Tenant,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A folder of recordings, or a manifest: a JSON object a line with `file`, and with `text`, `text_written`,
    /// `language` and `variant` where known. A folder with a `manifest.jsonl` is read by that.
    #[arg(value_name = "DIR|MANIFEST")]
    recordings: PathBuf,
    /// Profiles that take turns, clip by clip; `asr.profile` if not given.
    #[arg(long = "asr-profile", value_name = "PROFILE,…", value_delimiter = ',')]
    profiles: Vec<Profile>,
    /// Only recordings whose names hold this.
    #[arg(long, value_name = "PART", default_value = "")]
    only: String,
    /// Hear all of it so often.
    #[arg(long, value_name = "ROUNDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Notes on their way at a time; one a slot if not given. With 1, times are those of an idle machine.
    #[arg(long, value_name = "NOTES", value_parser = clap::value_parser!(u16).range(1..=1024))]
    in_flight: Option<u16>,
    /// Say with each note which language is spoken in it, instead of having it detected.
    #[arg(long)]
    language_known: bool,
    /// Hear with this tenant's settings.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<Tenant>,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments, config: Config) -> anyhow::Result<ExitCode> {
    let mut clips = clips::read(&arguments.recordings)?;
    clips.retain(|clip| clip.file.contains(&arguments.only));
    anyhow::ensure!(!clips.is_empty(), "no recording has a name with {:?} in it", arguments.only);
    let mut profiles = arguments.profiles.clone();
    profiles.dedup();
    if profiles.is_empty() {
        profiles.push(config.asr.profile);
    }
    let plan = asr::Plan {
        clips,
        profiles,
        rounds: arguments.rounds.into(),
        in_flight: arguments.in_flight.map(usize::from),
        language_known: arguments.language_known,
        tenant: arguments.tenant.clone(),
    };
    let measured = asr::run(config, &plan).await?;
    if arguments.json {
        out::json(&measured)?;
    } else {
        print(&measured)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(measured: &Measured) -> Result<(), out::NotWritten> {
    let Measured { model, slots, threads_per_slot, in_flight, broker, .. } = measured;
    out::line(format_args!(
        "{model}, slots: {slots}, threads a slot: {threads_per_slot}, notes at a time: {in_flight}, on: {broker}"
    ))?;
    for of in &measured.profiles {
        out::line(format_args!(
            "\n{:26}{:>6}{:>9}{:>8}{:>9}{:>9}{:>10}{:>7}{:>9}{:>9}{:>13}",
            name(of.profile),
            "notes",
            "audio s",
            "WER %",
            "no text",
            "dropped",
            "invented",
            "other",
            "p50 ms",
            "p95 ms",
            "calibration"
        ))?;
        of.rows.iter().try_for_each(print_row)?;
    }
    out::line(format_args!("\n{:10}{:>13}{:>10}{:>13}{:>9}", "", "× real time", "a core", "processor s", "WER %"))?;
    measured.profiles.iter().try_for_each(print_speed)?;
    let around = &measured.around;
    out::line(format_args!(
        "everything around recognition: {:.1} s of processor time, {:.1} % of recognition's, {:.1} % without finding \
         speech\n(a note: {:.1} ms decoding, {:.1} ms finding speech, {:.1} ms understanding)",
        around.processor_s,
        around.share,
        around.share_without_detection,
        around.decode_ms,
        around.detect_ms,
        around.understand_ms
    ))?;
    out::line(format_args!("memory: at most {:.0} MiB", measured.memory_bytes_max as f64 / (1024.0 * 1024.0)))
}

fn print_row(row: &Row) -> Result<(), out::NotWritten> {
    out::line(format_args!(
        "{:26}{:>6}{:>9.0}{:>8}{:>9}{:>9}{:>10}{:>7}{:>9.0}{:>9.0}{:>13}",
        row.group,
        row.notes,
        row.audio_s,
        row.word_error_rate.map_or("-".to_owned(), |rate| format!("{rate:.1}")),
        row.untold,
        row.dropped,
        row.invented,
        row.other_language,
        row.latency_ms.p50,
        row.latency_ms.p95,
        row.calibration_error.map_or("-".to_owned(), |error| format!("{error:.3}")),
    ))
}

fn print_speed(of: &OfProfile) -> Result<(), out::NotWritten> {
    let rate = of.rows.first().and_then(|all| all.word_error_rate);
    out::line(format_args!(
        "{:10}{:>13.1}{:>10.1}{:>13.1}{:>9}",
        name(of.profile),
        of.real_time,
        of.real_time_per_core,
        of.processor_s,
        rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"))
    ))
}

fn name(profile: Profile) -> &'static str {
    match profile {
        Profile::Fast => "fast",
        Profile::Balanced => "balanced",
        Profile::Accurate => "accurate",
    }
}
