//! `sprachpost config`: what applies, and whether it can.

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};

use crate::config::Config;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check file and environment: unknown keys, types, and that every secret can be read.
    Check,
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Print the settings that apply, defaults included, secrets as references.
    Show,
}

pub fn run(arguments: &Arguments, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match arguments.what {
        What::Schema => println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(Config))?),
        What::Show => print!("{}", Config::load(file, std::env::vars())?.to_toml()?),
        What::Check => {
            let config = Config::load(file, std::env::vars())?;
            config.check()?;
            let from = file.map_or_else(|| "defaults and environment".to_owned(), |f| f.display().to_string());
            println!("the configuration is good ({from})");
        }
    }
    Ok(ExitCode::SUCCESS)
}
