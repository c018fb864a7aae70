//! `sprachpost tickets`: whether the ticketing systems are as they have to be, before the first note.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{NOT_PROCESSED, out};
use crate::{
    config::Config,
    tickets::{self, Finding, limiter::Accounts},
};

/// Check the ticketing systems that results are written into.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Try credentials, rights, queues and fields, without changing anything. Exit code 1 if something is wrong.
    Check {
        /// The one entry of `[[tickets]]` to check; all of them, if none is named.
        name: Option<String>,
        /// Print one JSON object a finding.
        #[arg(long)]
        json: bool,
    },
}

/// A finding, as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    connector: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

pub async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    let What::Check { name, json } = arguments.what;
    let wanted: Vec<&tickets::Config> =
        config.tickets.iter().filter(|tickets| name.as_ref().is_none_or(|name| *name == tickets.name)).collect();
    if wanted.is_empty() {
        bail!("the configuration has no such ticketing system: name one of [[tickets]], or add it");
    }
    let (accounts, mut all_good) = (Accounts::default(), true);
    for tickets in wanted {
        let findings = match tickets.open(&accounts) {
            Ok(connector) => connector.check().await,
            Err(error) => vec![Finding::bad("the settings", format!("{:#}", anyhow::Error::from(error)))],
        };
        for finding in &findings {
            all_good &= finding.fault.is_none();
            if json {
                out::json(&Line { connector: &tickets.name, finding })?;
            } else {
                let fault = finding.fault.as_ref().map_or_else(|| "good".to_owned(), |fault| format!("WRONG: {fault}"));
                out::line(format_args!("{}: {}: {fault}", tickets.name, finding.what))?;
            }
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::from(NOT_PROCESSED) })
}
