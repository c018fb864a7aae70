//! `sprachpost listen`: results as they are published.

use std::process::ExitCode;

use clap::Args;

use super::present;
use crate::{app, config::Config, event::envelope, shutdown::Shutdown};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sprachpost listen\n  sprachpost listen 'processed.*.*.completed.de.complaint.high'"
)]
pub struct Arguments {
    /// A topic pattern: `*` is one word, `#` any number.
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
    eprintln!("listening to {}; Ctrl-C ends it", arguments.pattern);
    loop {
        let message = tokio::select! {
            message = results.next() => message?,
            () = shutdown.requested() => break,
        };
        match envelope::parse_processed(&message) {
            Ok(processed) => present::print(&processed, None, arguments.json)?,
            Err(error) => eprintln!("sprachpost: a message on {} is no result: {error}", message.routing_key),
        }
    }
    broker.close().await;
    Ok(ExitCode::SUCCESS)
}
