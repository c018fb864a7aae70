//! `sprachpost submit`: audio files onto the queue, as a producer would put them there.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use jiff::Timestamp;

use super::{NOT_PROCESSED, exit::NoAnswer, out, present};
use crate::{
    app,
    broker::{Exchange, Subscription},
    config::Config,
    event::{
        envelope::{self, Received, received_message},
        processed::OutcomeKind,
    },
    note::{AudioSource, Channel, NoteId, Priority, Tenant, VoiceNote},
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Audio files, in whatever format messengers send.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose customers speak.
    #[arg(long, default_value = "local")]
    tenant: Tenant,
    /// The messenger that the notes are said to come from.
    #[arg(long, default_value = "upload")]
    channel: Channel,
    /// The ticket that the notes belong to.
    #[arg(long)]
    ticket: Option<String>,
    /// Have the notes worked on before all others.
    #[arg(long)]
    urgent: bool,
    /// The language spoken, if it need not be detected (ISO 639-1).
    #[arg(long, value_parser = super::language)]
    language: Option<String>,
    /// The platform's id of the message, for one file: the same id is the same note. A new one each time otherwise.
    #[arg(long)]
    message_id: Option<String>,
    /// Wait for the results and print them.
    #[arg(long)]
    wait: bool,
    /// Seconds to wait for each further result.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", requires = "wait")]
    wait_s: u64,
    /// Print each result as one line of JSON.
    #[arg(long, requires = "wait")]
    json: bool,
}

pub async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    if arguments.message_id.is_some() && arguments.files.len() > 1 {
        bail!("--message-id names one note; submit one file with it");
    }
    // Read all before the first is queued: a typo in the last name should not leave half of them submitted.
    let notes = arguments.files.iter().map(|file| note(file, &arguments, &config)).collect::<Result<Vec<_>, _>>()?;
    let broker = app::open_broker(&config).await?;
    let pattern = format!("processed.{}.{}.#", arguments.tenant, arguments.channel);
    // Listen first: a result may be there before the second note is queued.
    let results = if arguments.wait { Some(broker.subscribe(&pattern).await?) } else { None };

    let mut files = HashMap::new();
    for (note, file) in notes.into_iter().zip(&arguments.files) {
        files.insert(note.id(), file.clone());
        let id = note.id();
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        broker.publish(Exchange::Notes, &message).await.context("the note could not be queued")?;
        if !arguments.json {
            // Queues drop what they had before without a word.
            let unless = if arguments.message_id.is_some() { ", unless it was there already" } else { "" };
            out::aside(format_args!("queued {} as note {id}{unless}", out::visible(&file.to_string_lossy())));
        }
    }
    let code = match results {
        Some(results) => wait(results, files, &arguments).await?,
        None => ExitCode::SUCCESS,
    };
    broker.close().await;
    Ok(code)
}

fn note(file: &Path, arguments: &Arguments, config: &Config) -> anyhow::Result<VoiceNote> {
    let shown = file.display();
    let bytes = std::fs::metadata(file).with_context(|| format!("the file {shown} cannot be opened"))?.len();
    let audio = if bytes <= config.fetch.inline_bytes_max {
        let audio = std::fs::read(file).with_context(|| format!("the file {shown} cannot be read"))?;
        AudioSource::Inline { data: BASE64_STANDARD.encode(audio) }
    } else {
        AudioSource::File { path: shared_path(file, config)? }
    };
    let message_id = arguments.message_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let note = VoiceNote::new(arguments.tenant.clone(), arguments.channel.clone(), message_id, audio);
    Ok(VoiceNote {
        ticket: arguments.ticket.clone(),
        sent_at: Some(Timestamp::now()),
        language: arguments.language.clone(),
        priority: if arguments.urgent { Priority::Urgent } else { Priority::Normal },
        ..note
    })
}

/// A file that is too large to travel inside a message has to lie where workers may fetch it.
fn shared_path(file: &Path, config: &Config) -> anyhow::Result<String> {
    let path = file.canonicalize()?;
    let is_below = |root: &PathBuf| root.canonicalize().is_ok_and(|root| path.starts_with(root));
    if !config.fetch.file_roots.iter().any(is_below) {
        bail!(
            "the file {} is larger than fetch.inline_bytes_max ({} bytes): put it below a folder of fetch.file_roots, \
             which workers see too",
            file.display(),
            config.fetch.inline_bytes_max
        );
    }
    Ok(path.to_string_lossy().into_owned())
}

async fn wait(
    mut results: Box<dyn Subscription>,
    mut files: HashMap<NoteId, PathBuf>,
    arguments: &Arguments,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    while !files.is_empty() {
        let limit = Duration::from_secs(arguments.wait_s);
        let Ok(message) = tokio::time::timeout(limit, results.next()).await else {
            let notes = if files.len() == 1 { "1 note".to_owned() } else { format!("{} notes", files.len()) };
            let again = if arguments.message_id.is_some() {
                " A note that was queued under this id before is not answered again"
            } else {
                ""
            };
            let why = format!(
                "no result for {notes} within {} s: is a worker running on this queue?{again}",
                arguments.wait_s
            );
            return Err(NoAnswer(why).into());
        };
        // Somebody else's messages may be anything.
        let Ok(processed) = envelope::parse_processed(&message?) else { continue };
        if let Some(file) = files.remove(&processed.note_id) {
            if matches!(processed.outcome, OutcomeKind::Rejected | OutcomeKind::Failed) {
                code = ExitCode::from(NOT_PROCESSED);
            }
            present::print(&processed, Some(&file), arguments.json)?;
        }
    }
    Ok(code)
}
