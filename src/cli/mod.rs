//! Owns the command line: what can be asked for, one file a command. Only here errors lose their type and become
//! sentences and exit codes.

mod bench;
mod bench_asr;
mod config;
mod contract;
mod dead_letters;
mod exit;
mod import;
mod labelled;
mod letter_table;
mod listen;
mod memory;
pub mod models;
mod out;
pub mod playbook;
mod present;
mod process;
mod rehearsal;
mod serve;
mod submit;
mod tickets;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use self::exit::NOT_PROCESSED;
use crate::config::Config;

/// Voice notes in; transcript, intent and a suggested reply out. Everything stays on this machine.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = format!("{}\n\n\
                  Begin with:\n  sprachpost models pull            fetch the models (once)\n  \
                  sprachpost process note.ogg       see what an agent would get\n  \
                  sprachpost serve                  work on notes from the queue", exit::HELP)
)]
struct Arguments {
    /// The configuration file; without one, defaults and the environment (`SPRACHPOST__SECTION__KEY`) apply.
    #[arg(long, short, global = true, value_name = "FILE", env = "SPRACHPOST_CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work on audio files right here, without any queue, and print what comes out.
    Process(process::Arguments),
    /// Run the roles of this process: take notes over HTTP, work on notes.
    Serve(serve::Arguments),
    /// Put audio files on the queue as voice notes.
    Submit(submit::Arguments),
    /// Put a folder of recordings, or an exported chat, on the queue.
    Import(import::Arguments),
    /// Print results as they are published.
    Listen(listen::Arguments),
    /// Look at notes that were given up on, and replay or discard them.
    DeadLetters(dead_letters::Arguments),
    /// Check the ticketing systems that results are written into.
    Tickets(tickets::Arguments),
    /// Fetch, list and verify model files.
    Models(models::ModelsArgs),
    /// Check and measure a playbook.
    Playbook(playbook::PlaybookArgs),
    /// Measure how well and fast it hears and what it carries, on a queue of its own.
    Bench(bench::Arguments),
    /// Check and show the configuration.
    Config(config::Arguments),
    /// Print the wire contract.
    Contract(contract::Arguments),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

/// A language that can be recognised, as it is written everywhere else.
fn language(code: &str) -> Result<String, String> {
    match crate::asr::whisper::language::fault_of(code) {
        None => Ok(code.to_ascii_lowercase()),
        Some(fault) => Err(fault),
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    memory::share_arenas();
    // clap prints help, version and usage errors itself, with exit code 2 for the latter.
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // One line with all causes: whoever reads it at night should not have to count frames.
            if !out::is_closed(&error) {
                let said = format!("sprachpost: {error:#}");
                out::aside(said.lines().map(out::visible).collect::<Vec<_>>().join("\n"));
            }
            exit::code_of(&error)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { config: file, command } = arguments;
    // These work without any configuration, and help to repair one.
    match command {
        Command::Completions { shell } => {
            // Into memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sprachpost", &mut script);
            out::bytes(&script)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Contract(arguments) => return contract::run(&arguments),
        Command::Config(arguments) => return config::run(arguments, file.as_deref()),
        _ => {}
    }
    let config = Config::load(file.as_deref(), std::env::vars())?;
    let runtime = tokio::runtime::Runtime::new().context("the asynchronous runtime could not start")?;
    runtime.block_on(async {
        match command {
            Command::Process(arguments) => process::run(arguments, config).await,
            Command::Serve(arguments) => serve::run(arguments, config).await,
            Command::Submit(arguments) => submit::run(arguments, config).await,
            Command::Import(arguments) => import::run(arguments, config).await,
            Command::Listen(arguments) => listen::run(arguments, config).await,
            Command::DeadLetters(arguments) => dead_letters::run(arguments, config).await,
            Command::Tickets(arguments) => tickets::run(arguments, config).await,
            Command::Bench(arguments) => bench::run(arguments, config).await,
            Command::Models(arguments) => {
                models::run(&arguments, &config).await?;
                if matches!(arguments.command, models::ModelsCommand::Pull { .. }) {
                    playbook::read_ahead(&config);
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Playbook(arguments) => playbook::run(arguments, &config).await,
            Command::Completions { .. } | Command::Contract(_) | Command::Config(_) => Ok(ExitCode::SUCCESS),
        }
    })
}
