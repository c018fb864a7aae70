//! `sprachpost process`: audio files through the pipeline, without any queue.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{NOT_PROCESSED, present};
use crate::{
    app,
    config::Config,
    event::{Event, Processed, Reason, envelope::Received, processed::OutcomeKind},
    note::{AudioSource, Channel, Tenant, VoiceNote},
    outcome::{Outcome, Settlement},
    pipeline::{self, Stages},
    report::{Attempt, Report},
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Audio files, in whatever format messengers send; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one processed event a line, as JSON.
    #[arg(long)]
    json: bool,
    /// The language spoken, if it need not be detected (ISO 639-1).
    #[arg(long, value_parser = super::language)]
    language: Option<String>,
    /// Whose settings apply.
    #[arg(long, default_value = "local")]
    tenant: Tenant,
}

pub async fn run(arguments: Arguments, mut config: Config) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("there is no place for what comes through a pipe")?;
    let bytes_max = config.fetch.bytes_max;
    let lying = |(index, file): (usize, &PathBuf)| lying(file, &folder.path().join(index.to_string()), bytes_max);
    let files = arguments.files.iter().enumerate().map(lying).collect::<Result<Vec<_>, _>>()?;
    config.fetch.file_roots.extend(files.iter().filter_map(|file| file.parent()).map(Path::to_owned));
    // Nobody waits for a second attempt here.
    config.worker.retry.attempts_max = 1;
    let stages = app::stages(&config)?;

    let bar = progress_bar(files.len());
    let notes =
        files.iter().zip(&arguments.files).map(|(file, named)| note(file, named, &arguments)).collect::<Vec<_>>();
    let mut results = stream::iter(notes).map(|note| process(note, Arc::clone(&stages))).buffered(stages.pool.slots());

    let (mut code, mut index) = (ExitCode::SUCCESS, 0);
    while let Some(processed) = results.next().await {
        if matches!(processed.outcome, OutcomeKind::Rejected | OutcomeKind::Failed) {
            code = ExitCode::from(NOT_PROCESSED);
        }
        bar.suspend(|| present::print(&processed, Some(&arguments.files[index]), arguments.json))?;
        bar.inc(1);
        index += 1;
    }
    bar.finish_and_clear();
    Ok(code)
}

/// Where the audio lies. What comes through a pipe has no place, and is put at `place`; one byte more than is taken shows
/// that it is too much.
fn lying(file: &Path, place: &Path, bytes_max: u64) -> anyhow::Result<PathBuf> {
    let in_words = || format!("the file {} cannot be opened", file.display());
    let is_stdin = file == Path::new("-");
    if !is_stdin && std::fs::metadata(file).with_context(in_words)?.is_file() {
        return file.canonicalize().with_context(in_words);
    }
    let source: Box<dyn Read> =
        if is_stdin { Box::new(io::stdin().lock()) } else { Box::new(File::open(file).with_context(in_words)?) };
    let copied =
        File::create(place).and_then(|mut copy| io::copy(&mut source.take(bytes_max.saturating_add(1)), &mut copy));
    copied.with_context(|| format!("the file {} cannot be read", file.display()))?;
    place.canonicalize().with_context(in_words)
}

/// The file's name stands for the platform's message id, so that the same file has the same note id.
fn note(file: &Path, named: &Path, arguments: &Arguments) -> VoiceNote {
    let message_id = named.file_name().unwrap_or(named.as_os_str()).to_string_lossy().into_owned();
    let audio = AudioSource::File { path: file.to_string_lossy().into_owned() };
    let note = VoiceNote::new(arguments.tenant.clone(), Channel::upload(), message_id, audio);
    VoiceNote { language: arguments.language.clone(), ..note }
}

async fn process(note: VoiceNote, stages: Arc<Stages>) -> Processed {
    let received = Received { note, traceparent: None };
    let Outcome { effects, settlement } =
        pipeline::process(&received, Attempt::only(), &stages.learning.in_force(), &stages).await;
    if let Some(processed) = effects.iter().find_map(Event::as_processed) {
        return processed.clone();
    }
    // With one attempt there is always an event; should that ever change, say so instead of nothing.
    let reason = match settlement {
        Settlement::Retry { reason, .. } => reason,
        Settlement::Ack | Settlement::Later { .. } | Settlement::Move(_) | Settlement::DeadLetter(_) => {
            Reason::InternalError
        }
    };
    let mut report = Report::begin(&received.note, Attempt::only(), &stages.worker);
    report.conclude(OutcomeKind::Failed, reason, "the note would be tried again later");
    report.finish()
}

/// On a terminal only, and on stderr: stdout belongs to the results.
fn progress_bar(files: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} notes, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::stderr()).with_style(style);
    if files > 1 {
        bar.tick();
    }
    bar
}
