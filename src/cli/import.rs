//! `sprachpost import`: a folder of recordings, or an exported chat, onto the queue.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;

use super::{NOT_PROCESSED, out};
use crate::{
    app,
    config::Config,
    import::{
        chat::DateOrder,
        journal::Journal,
        run::{Import, Order, Summary, Target},
        source::Source,
    },
    models::Progress,
    note::{Channel, Tenant},
};

/// Refused files that are named to people; `--json` names all.
const NAMED_MAX: usize = 20;

#[derive(Debug, Args)]
#[command(
    after_help = "A chat export holds `_chat.txt` (or `WhatsApp Chat with NAME.txt`) beside its recordings. Senders and \
                  conversations become pseudonyms.\n\nInterrupted or given again, the same command goes on where it \
                  stopped and queues nothing twice. No worker has to run; with more than import.waiting_max notes in \
                  the queue it waits for one.\n\n\
                  Examples:\n  sprachpost import recordings/ --tenant musterstrom\n  \
                  sprachpost import 'WhatsApp Chat - Erika.zip' --channel whatsapp --time-zone Europe/Berlin"
)]
pub struct Arguments {
    /// The folder, or the zip archive.
    #[arg(value_name = "DIR|ZIP")]
    source: PathBuf,
    /// Whose customers speak.
    #[arg(long, default_value = "local")]
    tenant: Tenant,
    /// The messenger that the notes come from.
    #[arg(long, default_value = "import")]
    channel: Channel,
    /// The time zone of the telephone that exported the chat, for example `Europe/Berlin`; this machine's otherwise.
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    time_zone: Option<TimeZone>,
    /// The order of day, month and year in the chat, where it cannot be told from the dates.
    #[arg(long, value_enum)]
    date_order: Option<DateOrder>,
    /// Leave out the notes of this sender of the chat, as it is written there. Can be given several times.
    #[arg(long, value_name = "NAME")]
    own: Vec<String>,
    /// The conversation that all notes belong to, instead of a pseudonym of the chat's name.
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// The language spoken, if it need not be detected (ISO 639-1).
    #[arg(long, value_parser = super::language)]
    language: Option<String>,
    /// Notes that may wait in the queue before the import waits for workers, instead of import.waiting_max.
    #[arg(long, value_name = "N")]
    waiting_max: Option<u64>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the final account as one line of JSON.
    #[arg(long)]
    json: bool,
}

fn time_zone(name: &str) -> anyhow::Result<TimeZone> {
    TimeZone::get(name).context("a time zone looks like `Europe/Berlin`")
}

pub async fn run(arguments: Arguments, mut config: Config) -> anyhow::Result<ExitCode> {
    let Arguments { source: path, tenant, channel, dry_run, json, .. } = arguments;
    if let Some(waiting_max) = arguments.waiting_max {
        config.import.waiting_max = waiting_max;
    }
    let order = Order {
        tenant,
        channel,
        conversation: arguments.conversation.map(Into::into),
        language: arguments.language,
        time_zone: arguments.time_zone.unwrap_or_else(TimeZone::system),
        date_order: arguments.date_order,
        own: arguments.own,
    };
    let (source, members) = tokio::task::block_in_place(|| Source::open(&path, &config.import))?;
    // Another queue has not got what this one has.
    let queue = config.broker.address()?;
    let queue = queue.as_ref().map_or("", |address| address.expose_secret());
    let place = source.path().to_string_lossy();
    let parts = [place.as_ref(), order.tenant.as_str(), order.channel.as_str(), queue];
    let mut journal = Journal::open(&config.import.dir, &parts, !dry_run)?;

    let broker = if dry_run { None } else { Some(app::open_broker(&config).await?) };
    // A run that changes nothing does not even make the folder for recordings.
    let recordings = if dry_run { None } else { Some(app::open_recordings(&mut config)?) };
    let target = broker.as_deref().zip(recordings.as_deref()).map(|(broker, recordings)| Target { broker, recordings });
    let bytes = members.iter().map(|member| member.size).fold(0, u64::saturating_add);
    let meter = if json { Progress::silent() } else { Progress::on_stderr() }.meter("importing", Some(bytes));
    let import = Import {
        order: &order,
        limits: &config.import,
        bytes_max: config.fetch.bytes_max,
        target,
        progress: &|done| meter.set(done),
    };
    let result = import.run(source, members, &mut journal).await;
    drop(meter);
    if let Some(broker) = broker {
        broker.close().await;
    }
    let summary = result?;
    if json {
        out::json(&summary)?;
    } else {
        print(&summary, &order, dry_run)?;
    }
    Ok(if summary.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NOT_PROCESSED) })
}

fn print(summary: &Summary, order: &Order, dry_run: bool) -> Result<(), out::NotWritten> {
    let Summary { queued, already_there, ignored, refused, undated } = summary;
    out::line(format_args!("{}         {queued}", if dry_run { "to be queued" } else { "queued      " }))?;
    out::line(format_args!("already there        {already_there}"))?;
    let kinds: Vec<String> = ignored.iter().map(|(kind, files)| format!("{kind} {files}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!("  ({})", kinds.join(", ")) };
    out::line(format_args!("ignored by type      {}{kinds}", ignored.values().sum::<u64>()))?;
    out::line(format_args!("refused              {}", refused.len()))?;
    for file in refused.iter().take(NAMED_MAX) {
        // A name in an archive may hold anything.
        out::line(format_args!("  {}: {}", out::visible(&file.file), file.reason))?;
    }
    if refused.len() > NAMED_MAX {
        out::line(format_args!("  and {} more; --json names all", refused.len() - NAMED_MAX))?;
    }
    if *undated > 0 {
        out::line(format_args!("without a date       {undated}  (--date-order says how the chat writes dates)"))?;
    }
    if let Some(zone) = order.time_zone.iana_name() {
        out::line(format_args!("times of chats in    {zone}"))?;
    }
    Ok(())
}
