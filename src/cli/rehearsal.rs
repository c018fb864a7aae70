//! Owns what can be said of a start without one: `serve` would open all of this, in the same functions as far as they
//! leave nothing behind, and here it is closed again.
//!
//! Nothing is asked over a network, no address is listened on, and no folder is made.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};
use secrecy::SecretString;

use crate::{
    app::{Role, StartError},
    audio::fetch::Fetcher,
    backlog::Relief,
    broker::{self, amqp, config::Target},
    config::Config,
    gateway::channels::Channels,
    learning::Learning,
    models::{Kind, Store},
    recordings::Recordings,
    reply::draft::Drafter,
    tickets::bridge::Bridges,
    understanding,
};

/// What keeps these roles from starting; nothing, if it is empty.
pub async fn faults(config: &Config, roles: &[Role]) -> Vec<anyhow::Error> {
    let mut found = Vec::new();
    let mut note = |result: anyhow::Result<()>| found.extend(result.err());
    note(config.check().map_err(Into::into));
    note(queue(config).await);
    note(Fetcher::new(&config.fetch).map(drop).map_err(Into::into));
    note(recordings(config));
    note(watch(config));
    if roles.contains(&Role::Gateway) {
        note(channels(config));
    }
    if roles.contains(&Role::Bridge) {
        note(bridges(config));
    }
    if roles.contains(&Role::Worker) {
        note(speech_model(config, "asr.model", &config.asr.model));
        note(smaller_model(config));
        note(encoder(config));
        // The encoder was looked at already; without it, learning is a matter of an instant.
        let lettered = Config { understanding: understanding::Config::without_encoder(), ..config.clone() };
        note(Learning::begin(&lettered).map(drop).map_err(Into::into));
        note(Drafter::new(&config.reply.draft).map(drop).map_err(Into::into));
        note(ledger(config));
    }
    found
}

/// What only the start itself can find out.
pub fn unchecked(config: &Config, roles: &[Role]) -> String {
    let mut unchecked = vec!["whether http.listen is free"];
    let is_embedded = config.broker.address().is_ok_and(|address| broker::config::is_embedded(address.as_ref()));
    let what_answers = [
        (!is_embedded, "whether RabbitMQ answers and lets it in"),
        (config.ledger.url.is_some(), "whether the ledger's database does"),
        (config.reply.draft.url.is_some() && roles.contains(&Role::Worker), "whether the language model answers"),
        (!config.tickets.is_empty() && roles.contains(&Role::Bridge), "ticketing systems (`sprachpost tickets check`)"),
        (!config.channels.is_empty() && roles.contains(&Role::Gateway), "whether messengers take the credentials"),
        (roles.contains(&Role::Worker), "what is in the models' files (`sprachpost models verify`)"),
    ];
    unchecked.extend(what_answers.iter().filter(|(applies, _)| *applies).map(|(_, what)| what));
    unchecked.join(", ")
}

async fn queue(config: &Config) -> anyhow::Result<()> {
    // Secrets that cannot be read are found elsewhere.
    let Ok(address) = config.broker.address() else { return Ok(()) };
    let place = match Target::of(address.as_ref())? {
        Target::Embedded(path) => {
            let in_words = || format!("the queue file {} cannot be used", path.display());
            if path.exists() {
                fs::OpenOptions::new().read(true).write(true).open(&path).map(drop).with_context(in_words)?;
            }
            Some(writable(folder_of(&path)).with_context(in_words)?)
        }
        Target::Amqp(url) => {
            amqp::virtual_host(url, &config.broker)?;
            None
        }
    };
    // A queue of its own, gone at once: that the settings can work, and that the place takes such a file.
    let folder =
        place.map_or_else(tempfile::tempdir, |place| tempfile::Builder::new().prefix("check-").tempdir_in(place));
    let folder = folder.context("no file for a try could be made")?;
    let beside = SecretString::from(format!("embedded:{}", folder.path().join("queue.sqlite").display()));
    broker::open(Some(&beside), &config.broker).await?.close().await;
    Ok(())
}

fn recordings(config: &Config) -> anyhow::Result<()> {
    if config.recordings.bucket.is_some() {
        // What is wrong with fetching is said beside this.
        let Ok(fetcher) = Fetcher::new(&config.fetch) else { return Ok(()) };
        Recordings::open(&config.recordings, config.fetch.inline_bytes_max, &Arc::new(fetcher))?;
    } else {
        let dir = &config.recordings.dir;
        writable(dir).with_context(|| format!("the folder recordings.dir, {}, cannot be used", dir.display()))?;
    }
    Ok(())
}

fn channels(config: &Config) -> anyhow::Result<()> {
    let is_embedded = config.broker.address().is_ok_and(|address| broker::config::is_embedded(address.as_ref()));
    for channel in &config.channels {
        let Some(producer) = channel.kind.producer() else { continue };
        if is_embedded {
            return Err(StartError::ChannelWithoutRabbitMq { name: channel.name.to_string() }.into());
        }
        producer.queue(&channel.name).group()?;
    }
    Channels::open(&config.channels, &config.fetch)?;
    Ok(())
}

fn bridges(config: &Config) -> anyhow::Result<()> {
    // As above.
    let Ok(fetcher) = Fetcher::new(&config.fetch) else { return Ok(()) };
    Bridges::open(&config.tickets, &Arc::new(fetcher))
        .map(drop)
        .map_err(|(name, source)| StartError::Tickets { name, source }.into())
}

fn speech_model(config: &Config, setting: &str, name: &str) -> anyhow::Result<()> {
    model(config, setting, name, Kind::Speech, "a speech model")
}

fn smaller_model(config: &Config) -> anyhow::Result<()> {
    let backlog = &config.worker.backlog;
    match (backlog.after_s, backlog.relief, &backlog.model) {
        (Some(_), Relief::SmallerModel, Some(name)) => speech_model(config, "worker.backlog.model", name),
        (Some(_), Relief::SmallerModel, None) => Err(StartError::NoSmallerModel.into()),
        _ => Ok(()),
    }
}

fn encoder(config: &Config) -> anyhow::Result<()> {
    if config.understanding == understanding::Config::without_encoder() {
        return Ok(());
    }
    model(config, "understanding.encoder", &config.understanding.encoder, Kind::SentenceEncoder, "a sentence encoder")
}

fn model(config: &Config, setting: &str, name: &str, wanted: Kind, in_words: &str) -> anyhow::Result<()> {
    let store = Store::open(&config.models)?;
    if store.model(name).with_context(|| setting.to_owned())?.kind != wanted {
        bail!("{setting} has to name {in_words}, and {name} is none: `sprachpost models list` names all there are");
    }
    store.path(name).with_context(|| setting.to_owned())?;
    Ok(())
}

fn ledger(config: &Config) -> anyhow::Result<()> {
    let is_embedded = config.broker.address().is_ok_and(|address| broker::config::is_embedded(address.as_ref()));
    if is_embedded && config.ledger.url.is_some() { Err(StartError::LedgerWithoutUse.into()) } else { Ok(()) }
}

fn watch(config: &Config) -> anyhow::Result<()> {
    if let Some(why) = config.watch.fault() {
        return Err(StartError::Watch { why }.into());
    }
    if let Some(path) = &config.watch.path {
        writable(folder_of(path))
            .with_context(|| format!("the file watch.path, {}, cannot be used", path.display()))?;
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// The folder itself, or the one that it would be made in; something can be written there.
fn writable(folder: &Path) -> anyhow::Result<PathBuf> {
    let here = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let there =
        folder.ancestors().map(here).find(|path| path.exists()).ok_or_else(|| anyhow!("there is no such place"))?;
    if !there.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory)).with_context(|| there.display().to_string());
    }
    tempfile::tempfile_in(&there).with_context(|| format!("nothing can be written to {}", there.display()))?;
    Ok(there)
}
