//! `sprachpost contract`: the wire contract, generated from the types that are used.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::out;
use crate::event::contract;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// JSON Schema of all events, by type.
    Schema,
    /// AsyncAPI 3 document of topics, keys, headers and queues.
    Asyncapi,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = match arguments.what {
        What::Schema => contract::schemas(),
        What::Asyncapi => contract::asyncapi(),
    };
    out::pretty_json(&document)?;
    Ok(ExitCode::SUCCESS)
}
