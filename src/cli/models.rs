//! `sprachpost models`: lists, pulls and verifies the files that speech and understanding run on.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::models::{Config, DEFAULT_MODELS, Model, ModelError, Presence, Progress, SourceKind, Store, megabytes};

/// List, pull and verify the models.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Show every model: size, languages, licence, sources, and whether it is here.
    List,
    /// Fetch or make models, and verify them; those that are here and sound are left alone.
    ///
    /// Without a name it pulls what the default configuration needs. A download that was interrupted goes on where it
    /// stopped; a file with a wrong checksum is removed.
    Pull {
        /// Models to pull.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Use only these kinds of source, in this order, instead of `models.sources`.
        #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
        source: Vec<SourceKind>,
        /// Take the one model named from a file that was fetched elsewhere.
        #[arg(long, value_name = "PATH", conflicts_with = "source")]
        file: Option<PathBuf>,
    },
    /// Compare the models that are here with the manifest, size and checksums.
    Verify {
        /// Models to verify; all that are here, if none is named.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Runs one of them.
pub async fn run(args: &ModelsArgs, config: &Config) -> anyhow::Result<()> {
    match &args.command {
        ModelsCommand::List => list(&Store::open(config)?),
        ModelsCommand::Pull { names, source, file: None } => {
            let mut config = config.clone();
            if !source.is_empty() {
                config.sources.clone_from(source);
            }
            pull(&Store::open(&config)?, names).await
        }
        ModelsCommand::Pull { names, file: Some(path), .. } => {
            let [name] = names.as_slice() else { anyhow::bail!("`--file` is for exactly one model: name it") };
            let store = Store::open(config)?;
            let pulled = store.pull_from_file(name, path, &Progress::on_stderr()).await?;
            println!("{}", pulled.sentence(store.model(name)?));
            Ok(())
        }
        ModelsCommand::Verify { names } => verify(&Store::open(config)?, names),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one shape for all subcommands")]
fn list(store: &Store) -> anyhow::Result<()> {
    let headings = ["NAME", "SIZE", "LANGUAGES", "LICENCE", "HERE", "SOURCES"].map(str::to_owned);
    let rows: Vec<[String; 6]> =
        std::iter::once(headings).chain(store.manifest().models.iter().map(|model| row(store, model))).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    for row in rows {
        let [name, size, languages, licence, here, sources] = row;
        println!(
            "{name:0$}  {size:>1$}  {languages:2$}  {licence:3$}  {here:4$}  {sources}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
    }
    Ok(())
}

fn row(store: &Store, model: &Model) -> [String; 6] {
    let mut sources: Vec<String> = model.sources.iter().map(crate::models::Source::word).collect();
    sources.dedup();
    let here = match store.presence(model) {
        Presence::Present => "yes",
        Presence::Absent => "no",
        Presence::Wrong => "damaged",
    };
    let languages = model.languages.join(",").replace("mul", "many");
    [
        model.name.clone(),
        megabytes(model.size_bytes),
        languages,
        model.licence.clone(),
        here.to_owned(),
        sources.join(", "),
    ]
}

async fn pull(store: &Store, names: &[String]) -> anyhow::Result<()> {
    let progress = Progress::on_stderr();
    let names: Vec<&str> =
        if names.is_empty() { DEFAULT_MODELS.to_vec() } else { names.iter().map(String::as_str).collect() };
    // A name that does not exist is better found before the first download than after it.
    for name in &names {
        store.model(name)?;
    }
    for name in names {
        let pulled = store.pull(name, &progress).await?;
        println!("{}", pulled.sentence(store.model(name)?));
    }
    Ok(())
}

fn verify(store: &Store, names: &[String]) -> anyhow::Result<()> {
    let names: Vec<&str> = if names.is_empty() {
        let here = |model: &&Model| store.presence(model) != Presence::Absent;
        store.manifest().models.iter().filter(here).map(|model| model.name.as_str()).collect()
    } else {
        names.iter().map(String::as_str).collect()
    };
    if names.is_empty() {
        println!("no model is in {}: run `sprachpost models pull`", store.dir().display());
    }
    let mut failed = Vec::new();
    for name in names {
        match store.verify(name) {
            Ok(()) => println!("{name}: sound"),
            Err(error @ (ModelError::Damaged { .. } | ModelError::WrongHash { .. } | ModelError::Absent { .. })) => {
                println!("{name}: {error}");
                failed.push(name);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot verify `{name}`")),
        }
    }
    anyhow::ensure!(
        failed.is_empty(),
        "not sound: {}. `sprachpost models pull {}` replaces what is there",
        failed.join(", "),
        failed.join(" ")
    );
    Ok(())
}
