//! `sprachpost listen`: results as they are published, and what is told beside them.

use std::process::ExitCode;

use clap::Args;

use super::{out, present};
use crate::{
    app,
    config::Config,
    event::{Event, envelope},
    shutdown::Shutdown,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sprachpost listen\n  sprachpost listen 'processed.*.*.completed.de.complaint.high'\n  \
                  sprachpost listen 'acknowledged.#'"
)]
pub struct Arguments {
    /// A topic pattern: `*` is one word, `#` any number. Topics begin with `processed`, `redacted`,
    /// `acknowledged`, `follow-up-due`, `spike` or `case-closed`.
    #[arg(default_value = "processed.#")]
    pattern: String,
    /// Print each event as one line of JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    let broker = app::open_broker(&config).await?;
    let mut results = broker.subscribe(&arguments.pattern).await?;
    out::aside(format_args!("listening to {}; Ctrl-C ends it", arguments.pattern));
    loop {
        let message = tokio::select! {
            message = results.next() => message?,
            () = shutdown.requested() => break,
        };
        match envelope::parse_event(&message) {
            Ok(Event::Processed { data, .. }) => present::print(&data, None, arguments.json)?,
            Ok(Event::Redacted { data, .. }) => present::print(data.get(), None, arguments.json)?,
            Ok(Event::Acknowledged { data, .. }) => present::print_acknowledged(&data, arguments.json)?,
            Ok(Event::FollowUpDue { data, .. }) => present::print_follow_up(&data, arguments.json)?,
            Ok(Event::Spike { data }) => present::print_spike(&data, arguments.json)?,
            Ok(Event::CaseClosed { data }) => present::print_closed(&data, arguments.json)?,
            Err(error) => {
                out::aside(format_args!("sprachpost: a message on {} is no result: {error}", message.routing_key));
            }
        }
    }
    broker.close().await;
    Ok(ExitCode::SUCCESS)
}
