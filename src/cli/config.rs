//! `sprachpost config`: what applies, and whether it can.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{exit::USAGE, out, rehearsal};
use crate::{app::Role, config::Config};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check all that can be found out about a start without one, and say what cannot.
    ///
    /// Unknown keys and types, secrets, folders and files, models, the playbook, channels, ticketing systems. Nothing is
    /// asked over a network and nothing is left behind.
    Check {
        /// What the process is to do, as with `serve`.
        #[arg(long, value_delimiter = ',', value_enum)]
        roles: Vec<Role>,
    },
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Print the settings that apply, defaults included, secrets as references.
    Show,
}

pub fn run(arguments: Arguments, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match arguments.what {
        What::Schema => out::pretty_json(&schemars::schema_for!(Config))?,
        What::Show => out::text(&Config::load(file, std::env::vars())?.to_toml()?)?,
        What::Check { roles } => return check(&Config::load(file, std::env::vars())?, roles, file),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(config: &Config, roles: Vec<Role>, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let roles = if roles.is_empty() {
        Role::usual(config).unwrap_or_else(|_| vec![Role::Gateway, Role::Worker, Role::Bridge])
    } else {
        roles
    };
    let runtime = tokio::runtime::Runtime::new().context("the asynchronous runtime could not start")?;
    let faults = runtime.block_on(rehearsal::faults(config, &roles));
    if faults.is_empty() {
        let from = file.map_or_else(|| "defaults and environment".to_owned(), |f| f.display().to_string());
        out::line(format_args!("the configuration is good ({})", out::visible(&from)))?;
        out::line(format_args!("not checked: {}", rehearsal::unchecked(config, &roles)))?;
        return Ok(ExitCode::SUCCESS);
    }
    for fault in faults {
        out::aside(format_args!("sprachpost: {fault:#}"));
    }
    Ok(ExitCode::from(USAGE))
}
