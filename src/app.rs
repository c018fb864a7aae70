//! Owns the assembly: from a configuration to running roles, and their end.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    asr::{AsrError, Transcriber, pool::Pool, stepped::Stepped, whisper::WhisperModel},
    audio::fetch::{Fetcher, SetupError},
    backlog::Relief,
    broker::{self, Broker, BrokerError, config::Target},
    config::{Config, SecretError},
    gateway::{
        Duties, Gateway,
        channels::{self, Channels, collector::Collector, intake::Intake},
    },
    learning::{LearnError, Learning},
    ledger::{Ledger, LedgerError},
    models::{ModelError, Store},
    pipeline::Stages,
    recordings::{self, Recordings},
    reload::{self, Reload},
    reply::draft::{self, Drafter},
    shutdown::Shutdown,
    telemetry,
    tickets::{OpenError, bridge::Bridges},
    watch, worker,
};

/// What one process does. Roles share a queue and nothing else, so each can run on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Takes notes over HTTP.
    Gateway,
    /// Works on notes.
    Worker,
    /// Writes results into ticketing systems.
    Bridge,
    /// Tells of follow-ups that are due, and of spikes. One process at a time is at it, others stand by.
    Watch,
}

impl Role {
    /// What a process does that is not told: everything, as long as all processes share what they have to know. Over
    /// RabbitMQ the watch needs the ledger's database for that, and has to be asked for where there is none.
    pub fn usual(config: &Config) -> Result<Vec<Self>, StartError> {
        let shared = broker::config::is_embedded(config.broker.address()?.as_ref()) || config.ledger.url.is_some();
        let watch = shared.then_some(Self::Watch);
        Ok([Self::Gateway, Self::Worker, Self::Bridge].into_iter().chain(watch).collect())
    }
}

/// Runs `roles` until shutdown is requested. The HTTP listener always runs, for health and figures.
pub async fn serve(mut config: Config, roles: &[Role], reload: Reload, shutdown: Shutdown) -> Result<(), StartError> {
    let figures = telemetry::start_counting();
    // Whatever can be wrong is found before the first note is taken: the cheap things first.
    let listener = TcpListener::bind(config.http.listen)
        .await
        .map_err(|source| StartError::Listen { address: config.http.listen.to_string(), source })?;
    let recordings = open_recordings(&mut config)?;
    let channels = open_channels(&config, roles)?;
    let bridges = if roles.contains(&Role::Bridge) { bridges(&config)? } else { Bridges::default() };
    let stages = if roles.contains(&Role::Worker) { Some(stages(&config)?) } else { None };
    let watched = if roles.contains(&Role::Watch) { Some(watched(&config)?) } else { None };
    let ledger = if stages.is_some() { open_ledger(&config).await? } else { Ledger::none() };
    let broker = open_broker(&config).await?;
    // Whoever takes them: results wait from now on.
    for tickets in &config.tickets {
        broker.declare_results(&tickets.queue()).await?;
    }
    let collector = collector(&config, &channels, &recordings, &broker).await?;
    let duties = Duties { accepts_notes: roles.contains(&Role::Gateway), only_bridges: *roles == [Role::Bridge] };
    let gateway = Gateway::new(&config.http, recordings, channels, Arc::clone(&broker), figures)?
        .with_duties(duties, bridges.gates());
    let http = run_http(&config, duties, gateway, collector, listener, shutdown.clone());
    let bridges = tokio::spawn(bridges.run(Arc::clone(&broker), shutdown.clone()));

    let watching = watched.map(|place| {
        let (broker, config) = (Arc::clone(&broker), config.watch.clone());
        tokio::spawn(watch::run(broker, place, config, Arc::new(Timestamp::now), shutdown.clone()))
    });
    tokio::spawn(reload::run(reload, stages.clone(), shutdown.clone()));
    if let Some(stages) = stages {
        tracing::info!(slots = stages.pool.slots(), model = config.asr.model, "working on notes");
        worker::run(Arc::clone(&broker), ledger, stages, config.worker, shutdown.clone()).await;
    }
    shutdown.requested().await;
    if let Err(error) = bridges.await {
        tracing::error!(%error, "the bridge into ticketing systems did not end in order");
    }
    if let Some(watching) = watching
        && let Err(error) = watching.await
    {
        tracing::warn!(%error, "the watch did not end in order");
    }
    // Readiness can still be asked for while notes are finished; now nothing is left to ask about.
    if let Err(error) = http.await {
        tracing::warn!(%error, "the HTTP listener did not end in order");
    }
    broker.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The place for recordings; what is kept in a folder, workers have to be able to fetch.
pub fn open_recordings(config: &mut Config) -> Result<Arc<Recordings>, StartError> {
    let fetcher = Arc::new(Fetcher::new(&config.fetch)?);
    let recordings = Recordings::open(&config.recordings, config.fetch.inline_bytes_max, &fetcher)?;
    config.fetch.file_roots.extend(recordings.folder().map(Path::to_owned));
    Ok(Arc::new(recordings))
}

/// One for each ticketing system that is configured.
fn bridges(config: &Config) -> Result<Bridges, StartError> {
    let fetcher = Arc::new(Fetcher::new(&config.fetch)?);
    Bridges::open(&config.tickets, &fetcher).map_err(|(name, source)| StartError::Tickets { name, source })
}

/// The queue that the configuration names.
pub async fn open_broker(config: &Config) -> Result<Arc<dyn Broker>, StartError> {
    let address = config.broker.address()?;
    Ok(broker::open(address.as_ref(), &config.broker).await?)
}

/// Where the watch keeps what it knows.
fn watched(config: &Config) -> Result<watch::Place, StartError> {
    const FILE: &str = "data/sprachpost-watch.sqlite";
    if let Some(why) = config.watch.fault() {
        return Err(StartError::Watch { why });
    }
    if let Some(path) = &config.watch.path {
        return Ok(watch::Place::File(path.clone()));
    }
    let queue = config.broker.address()?;
    Ok(match (Target::of(queue.as_ref())?, config.ledger.address()?) {
        (Target::Embedded(path), _) => watch::Place::File(path.with_extension("watch.sqlite")),
        (Target::Amqp(_), Some(url)) => watch::Place::Ledger { url, config: config.ledger.clone() },
        (Target::Amqp(_), None) => watch::Place::File(FILE.into()),
    })
}

/// The ledger that the configuration names, if it names one.
async fn open_ledger(config: &Config) -> Result<Ledger, StartError> {
    let address = config.ledger.address()?;
    if address.is_some() && broker::config::is_embedded(config.broker.address()?.as_ref()) {
        return Err(StartError::LedgerWithoutUse);
    }
    Ok(Ledger::open(address.as_ref(), &config.ledger).await?)
}

fn run_http(
    config: &Config,
    duties: Duties,
    gateway: Gateway,
    collector: Option<Collector>,
    listener: TcpListener,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    let address = listener.local_addr().map_or_else(|_| config.http.listen.to_string(), |a| a.to_string());
    if duties.accepts_notes && config.http.tokens.is_empty() {
        tracing::info!(address, "listening; POST /v1/notes refuses everybody until http.tokens is configured");
    } else {
        tracing::info!(address, "listening");
    }
    tokio::spawn(async move {
        if duties.accepts_notes {
            let (beside, until) = (gateway.clone(), shutdown.clone());
            tokio::join!(gateway.serve(listener, shutdown), beside.run(collector, until));
        } else {
            gateway.serve(listener, shutdown).await;
        }
    })
}

/// The channels of a gateway; other roles need none of their secrets.
fn open_channels(config: &Config, roles: &[Role]) -> Result<Channels, StartError> {
    let configs = if roles.contains(&Role::Gateway) { config.channels.as_slice() } else { &[] };
    let is_embedded = broker::config::is_embedded(config.broker.address()?.as_ref());
    for channel in configs {
        let Some(producer) = channel.kind.producer() else { continue };
        if is_embedded {
            return Err(StartError::ChannelWithoutRabbitMq { name: channel.name.to_string() });
        }
        producer.queue(&channel.name).group()?;
    }
    Ok(Channels::open(configs, &config.fetch)?)
}

/// What fetches announced audio, where channels announce any. Its queue is there before the first channel is answered.
async fn collector(
    config: &Config,
    channels: &Channels,
    recordings: &Arc<Recordings>,
    broker: &Arc<dyn Broker>,
) -> Result<Option<Collector>, StartError> {
    if channels.is_empty() {
        return Ok(None);
    }
    Intake::declare(broker).await?;
    let (retry, tenants) = (config.http.media_retry.clone(), config.tenants.clone());
    let (broker, recordings, name) = (Arc::clone(broker), Arc::clone(recordings), host_name());
    Ok(Some(Collector::new(broker, recordings, channels.clone(), retry, tenants, name)))
}

/// Everything that a note passes through, ready to work: the model is loaded, the playbook learnt.
pub fn stages(config: &Config) -> Result<Arc<Stages>, StartError> {
    // Loading and learning take a second or two of one processor, once, before anything else runs.
    let pool = tokio::task::block_in_place(|| pool(config))?;
    stages_on(config, pool)
}

/// The same on a pool that is there already.
pub fn stages_on(config: &Config, pool: Pool) -> Result<Arc<Stages>, StartError> {
    let config = config.clone();
    let learning = tokio::task::block_in_place(|| Learning::begin(&config))?;
    Ok(Arc::new(Stages {
        fetcher: Fetcher::new(&config.fetch)?,
        pool,
        decode: config.audio,
        speech: config.speech,
        asr: config.asr,
        learning,
        drafter: Drafter::new(&config.reply.draft)?,
        tenants: config.tenants,
        retry: config.worker.retry,
        long_s: config.worker.lanes.long_s,
        worker: config.worker.name.unwrap_or_else(host_name),
    }))
}

fn pool(config: &Config) -> Result<Pool, StartError> {
    Ok(Pool::start(slots(config), engines(config)?)?)
}

/// How many notes are worked on at a time.
pub(crate) fn slots(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if config.asr.slots == 0 { cores() } else { config.asr.slots }
}

/// Makes the engine of a slot, on weights that are loaded here, once.
pub(crate) fn engines(
    config: &Config,
) -> Result<impl Fn() -> Result<Box<dyn Transcriber>, AsrError> + Send + Sync + use<>, StartError> {
    let model = speech_model(config, &config.asr.model)?;
    let backlog = &config.worker.backlog;
    let smaller = match (backlog.after_s, backlog.relief, &backlog.model) {
        (Some(_), Relief::SmallerModel, Some(name)) => Some(speech_model(config, name)?),
        (Some(_), Relief::SmallerModel, None) => return Err(StartError::NoSmallerModel),
        _ => None,
    };
    Ok(move || -> Result<Box<dyn Transcriber>, AsrError> {
        let usual = model.transcriber()?;
        Ok(match &smaller {
            Some(smaller) => Box::new(Stepped { usual, smaller: smaller.transcriber()? }),
            None => Box::new(usual),
        })
    })
}

fn speech_model(config: &Config, name: &str) -> Result<WhisperModel, StartError> {
    let file = Store::open(&config.models)?.path(name)?;
    Ok(WhisperModel::load(&file, name, config.asr.threads_per_slot, config.asr.word_times)?)
}

fn host_name() -> String {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = from_kernel.trim();
    if name.is_empty() { "worker".to_owned() } else { name.to_owned() }
}

/// Why the process cannot start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: choose another http.listen, or stop what listens there")]
    Listen {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Channels(#[from] channels::SetupError),
    #[error(
        "the channel {name} takes what another system publishes to RabbitMQ, and the queue is a file: set broker.url to \
         the amqp:// address of that RabbitMQ, or remove the channel"
    )]
    ChannelWithoutRabbitMq { name: String },
    #[error(transparent)]
    Recordings(#[from] recordings::SetupError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "ledger.url is set, but the embedded queue keeps a ledger of its own: remove ledger.url, or set broker.url to \
         an amqp:// address"
    )]
    LedgerWithoutUse,
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the speech model cannot be used")]
    Engine(#[from] AsrError),
    #[error("worker.backlog.relief is smaller_model, so worker.backlog.model has to name one")]
    NoSmallerModel,
    #[error(transparent)]
    Learning(#[from] LearnError),
    #[error(transparent)]
    Draft(#[from] draft::SetupError),
    #[error("{why}")]
    Watch { why: &'static str },
    #[error(transparent)]
    Fetch(#[from] SetupError),
    #[error("tickets.{name} cannot be used")]
    Tickets {
        name: String,
        #[source]
        source: OpenError,
    },
    #[error(transparent)]
    Secret(#[from] SecretError),
}
