//! `sprachpost models`: lists, pulls and verifies the files that speech and understanding run on.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::out;
use crate::{
    backlog::Relief,
    config::Config,
    models::{DEFAULT_MODELS, Model, ModelError, Presence, Progress, SourceKind, Store, megabytes},
    understanding,
};

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
    /// Without a name it pulls what the configuration needs. A download that was interrupted goes on where it
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
        /// Models to verify; all that are here and all that the configuration needs, if none is named.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Runs one of them.
pub async fn run(args: &ModelsArgs, config: &Config) -> anyhow::Result<()> {
    match &args.command {
        ModelsCommand::List => list(&Store::open(&config.models)?),
        ModelsCommand::Pull { names, source, file: None } => {
            let mut models = config.models.clone();
            if !source.is_empty() {
                models.sources.clone_from(source);
            }
            let names = if names.is_empty() { to_pull(config) } else { names.clone() };
            pull(&Store::open(&models)?, &names).await
        }
        ModelsCommand::Pull { names, file: Some(path), .. } => {
            let [name] = names.as_slice() else { anyhow::bail!("`--file` is for exactly one model: name it") };
            let store = Store::open(&config.models)?;
            let pulled = store.pull_from_file(name, path, &Progress::on_stderr()).await?;
            Ok(out::line(pulled.sentence(store.model(name)?))?)
        }
        ModelsCommand::Verify { names } => verify(&Store::open(&config.models)?, names, &needed(config)),
    }
}

/// The models without which a worker with this configuration does not start.
fn needed(config: &Config) -> Vec<String> {
    let backlog = &config.worker.backlog;
    let smaller = backlog.model.clone().filter(|_| backlog.after_s.is_some() && backlog.relief == Relief::SmallerModel);
    let understanding = &config.understanding;
    let encoder = (*understanding != understanding::Config::without_encoder()).then(|| understanding.encoder.clone());
    [Some(config.asr.model.clone()), smaller, encoder].into_iter().flatten().collect()
}

/// By default also what the tests make the default model from once more.
fn to_pull(config: &Config) -> Vec<String> {
    let needed = needed(config);
    if needed == self::needed(&Config::default()) { DEFAULT_MODELS.map(str::to_owned).to_vec() } else { needed }
}

fn list(store: &Store) -> anyhow::Result<()> {
    let headings = ["NAME", "SIZE", "LANGUAGES", "LICENCE", "HERE", "SOURCES"].map(str::to_owned);
    let rows: Vec<[String; 6]> =
        std::iter::once(headings).chain(store.manifest().models.iter().map(|model| row(store, model))).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    for row in rows {
        let [name, size, languages, licence, here, sources] = row;
        out::line(format_args!(
            "{name:0$}  {size:>1$}  {languages:2$}  {licence:3$}  {here:4$}  {sources}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        ))?;
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
    // A name that does not exist is better found before the first download than after it.
    for name in names {
        store.model(name)?;
    }
    for name in names {
        let pulled = store.pull(name, &progress).await?;
        out::line(pulled.sentence(store.model(name)?))?;
    }
    Ok(())
}

fn verify(store: &Store, names: &[String], needed: &[String]) -> anyhow::Result<()> {
    let of_all = || {
        let all = store.manifest().models.iter();
        let is_meant = |model: &&Model| store.presence(model) != Presence::Absent || needed.contains(&model.name);
        all.filter(is_meant).map(|model| model.name.clone()).collect()
    };
    let names: Vec<String> = if names.is_empty() { of_all() } else { names.to_vec() };
    let (mut absent, mut damaged) = (Vec::new(), Vec::new());
    for name in names {
        match store.verify(&name) {
            Ok(()) => out::line(format_args!("{name}: sound"))?,
            Err(error @ ModelError::Absent { .. }) => {
                out::line(format_args!("{name}: {error}"))?;
                absent.push(name);
            }
            Err(error @ (ModelError::Damaged { .. } | ModelError::WrongHash { .. })) => {
                out::line(format_args!("{name}: {error}"))?;
                damaged.push(name);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot verify `{name}`")),
        }
    }
    let said = [(&absent, "not there"), (&damaged, "not sound")];
    let said = said.iter().filter(|(names, _)| !names.is_empty());
    let said: Vec<String> = said.map(|(names, what)| format!("{what}: {}", names.join(", "))).collect();
    let names = [absent, damaged].concat().join(" ");
    anyhow::ensure!(said.is_empty(), "{}. `sprachpost models pull {names}` puts that right", said.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pulled_follows_the_configuration() {
        assert_eq!(to_pull(&Config::default()), DEFAULT_MODELS);
        let mut config = Config { understanding: understanding::Config::without_encoder(), ..Config::default() };
        config.asr.model = "whisper-small".to_owned();
        config.worker.backlog.model = Some("whisper-base".to_owned());
        assert_eq!(to_pull(&config), ["whisper-small"]);
        config.worker.backlog.after_s = Some(60);
        config.worker.backlog.relief = Relief::SmallerModel;
        assert_eq!(to_pull(&config), ["whisper-small", "whisper-base"]);
    }
}
