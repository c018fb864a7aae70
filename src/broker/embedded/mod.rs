//! Owns the queue that is one SQLite file: durable, at least once, for several workers and several processes on one
//! machine.
//!
//! * `schema`: the tables and their version.
//! * `storage`: the one thread that touches the file.
//! * `notes`, `results`: the statements.
//! * `deliveries`: handing out and settling.
//! * `letters`: going through the dead letters.
//!
//! Waiting costs a look at the file every `poll_ms`, for what other processes wrote; what this process writes wakes
//! its own waiters at once. It knows nothing of RabbitMQ.

mod deliveries;
mod headers;
mod letters;
mod notes;
mod results;
mod schema;
mod storage;

use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

use self::{notes::Queued, results::Published, storage::Storage};
use super::{
    Broker, BrokerError, Config, Consumers, DeadLetters, Deliveries, Depth, Exchange, ForeignQueue, Group, Lane,
    Message, Prefetch, ResultQueue, Subscription, consuming::Missing, pattern::TopicPattern,
};

/// The queue in a file.
pub struct Embedded {
    storage: Storage,
    config: Arc<Config>,
    /// Which process, and which opening of the file in it, leases belong to.
    owner: String,
    notes: Signal,
    /// The log of results has grown.
    results: Signal,
    /// Queues of results have.
    queued_results: Signal,
    missing: Missing,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens or makes the file at `path`, its folder included.
    pub async fn open(path: &Path, config: &Config) -> Result<Self, BrokerError> {
        let config = Arc::new(config.clone());
        let owner = uuid::Uuid::new_v4().to_string();
        let connection = schema::open(path, config.confirm_limit())?;
        let upkeep = {
            let (owner, config) = (owner.clone(), config.clone());
            move |connection: &rusqlite::Connection| {
                let now = Timestamp::now();
                notes::upkeep(connection, &owner, &config, now)?;
                results::upkeep(connection, &config, now)
            }
        };
        // A lease survives two missed renewals.
        let interval = Duration::from_secs(config.lease_s.into()) / 3;
        // Longer than the file's own patience with other processes, so that its error is the one that is seen.
        let answer_limit = config.confirm_limit() + Duration::from_secs(1);
        let storage = Storage::start(connection, path, answer_limit, interval, upkeep)?;
        // The thread works: an error of the file is known here and not with the first note.
        storage.read(|connection| notes::depth(connection, &Group::Notes)).await?;
        let (notes, results, queued_results) = (Signal::default(), Signal::default(), Signal::default());
        Ok(Self { storage, config, owner, notes, results, queued_results, missing: Missing::default() })
    }

    fn changes(&self, signal: &Signal) -> Changes {
        Changes { signal: signal.0.subscribe(), poll: Duration::from_millis(self.config.poll_ms.into()) }
    }

    /// What tells of changes in these queues.
    fn signal(&self, group: &Group) -> &Signal {
        match group {
            Group::Notes => &self.notes,
            Group::Named(_) => &self.queued_results,
        }
    }

    fn consumer(&self, group: Group, consumers: Consumers, prefetch: Prefetch) -> deliveries::Consumer {
        let slots = |lane: &Lane| (*lane, Arc::new(Semaphore::new(prefetch.of(*lane).into())));
        deliveries::Consumer {
            storage: self.storage.clone(),
            config: self.config.clone(),
            owner: self.owner.clone(),
            consumers,
            slots: group.lanes().iter().map(slots).collect(),
            ready: VecDeque::new(),
            changes: self.changes(self.signal(&group)),
            signal: self.signal(&group).clone(),
            group,
        }
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn publish(&self, exchange: Exchange, message: &Message) -> Result<(), BrokerError> {
        self.config.check_size(&message.body)?;
        let (message, config) = (message.clone(), self.config.clone());
        match exchange {
            Exchange::Notes => {
                let Some(lane) = Lane::of_routing_key(&message.routing_key) else {
                    return Err(BrokerError::NotConfirmed { why: "no queue takes its routing key".to_owned() });
                };
                let job = move |connection: &rusqlite::Connection| {
                    notes::submit(connection, &Group::Notes, &message, lane, &config, Timestamp::now())
                };
                match self.storage.write(job).await? {
                    Queued::Safe => self.notes.notify(),
                    Queued::Full => return Err(full(&Group::Notes, &self.config)),
                }
            }
            Exchange::Results => {
                let job = move |connection: &_| results::publish(connection, &message, &config, Timestamp::now());
                match self.storage.write(job).await? {
                    Published::Safe { queues } => {
                        self.results.notify();
                        if queues > 0 {
                            self.queued_results.notify();
                        }
                    }
                    Published::Full(group) => return Err(full(&group, &self.config)),
                }
            }
        }
        Ok(())
    }

    async fn consume(&self, prefetch: Prefetch) -> Result<Box<dyn Deliveries>, BrokerError> {
        self.depth().await?;
        Ok(Box::new(self.consumer(Group::Notes, Consumers::Many, prefetch)))
    }

    async fn declare_results(&self, queue: &ResultQueue) -> Result<(), BrokerError> {
        let (name, patterns) = (queue.group()?, queue.patterns.clone());
        self.storage.write(move |connection| results::bind(connection, &name, &patterns)).await
    }

    async fn consume_results(&self, queue: &ResultQueue, prefetch: u16) -> Result<Box<dyn Deliveries>, BrokerError> {
        self.declare_results(queue).await?;
        Ok(Box::new(self.consumer(Group::Named(queue.group()?), queue.consumers, prefetch.into())))
    }

    async fn consume_foreign(&self, _queue: &ForeignQueue, _prefetch: u16) -> Result<Box<dyn Deliveries>, BrokerError> {
        let why = "what other systems publish can be consumed on RabbitMQ only: set broker.url to an amqp:// address";
        Err(BrokerError::InvalidSetting { why: why.to_owned() })
    }

    async fn subscribe(&self, pattern: &str) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(results::Reader {
            storage: self.storage.clone(),
            pattern: TopicPattern::new(pattern),
            seen: self.storage.read(results::end).await?,
            ready: VecDeque::new(),
            changes: self.changes(&self.results),
        }))
    }

    async fn depth_of(&self, group: &Group) -> Result<Depth, BrokerError> {
        let group = group.clone();
        self.storage.read(move |connection| notes::depth(connection, &group)).await
    }

    async fn open_dead_letters_of(&self, group: &Group) -> Result<Box<dyn DeadLetters>, BrokerError> {
        let asked = group.clone();
        if !self.storage.read(move |connection| results::is_declared(connection, &asked)).await? {
            return Err(BrokerError::no_such(group));
        }
        let (storage, config) = (self.storage.clone(), self.config.clone());
        Ok(Box::new(letters::Pass::new(storage, config, self.signal(group).clone(), group.clone())))
    }

    fn is_ready(&self) -> bool {
        self.storage.is_healthy()
    }

    fn missing(&self) -> &Missing {
        &self.missing
    }

    async fn close(&self) {
        let owner = self.owner.clone();
        if let Err(error) = self.storage.write(move |connection| notes::release_all(connection, &owner)).await {
            tracing::warn!(%error, "notes in work could not be handed back, they come back when their lease runs out");
        }
        self.storage.stop();
        // Whoever waits for a change looks once more and learns that the file is closed.
        self.notes.notify();
        self.results.notify();
        self.queued_results.notify();
    }
}

fn full(group: &Group, config: &Config) -> BrokerError {
    BrokerError::NotConfirmed { why: format!("{} messages wait already in {group}", config.waiting_max) }
}

/// Tells the waiters of this process that there may be something new.
#[derive(Debug, Clone)]
struct Signal(watch::Sender<()>);

impl Default for Signal {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Signal {
    fn notify(&self) {
        self.0.send_replace(());
    }
}

/// One waiter's view of a [`Signal`].
#[derive(Debug)]
struct Changes {
    signal: watch::Receiver<()>,
    poll: Duration,
}

impl Changes {
    /// Everything up to now is seen: call it before looking, then nothing falls between looking and waiting.
    fn mark_seen(&mut self) {
        self.signal.mark_unchanged();
    }

    /// Until something may be new, or it is time to look at what other processes did.
    async fn wait(&mut self) {
        let _ = tokio::time::timeout(self.poll, self.signal.changed()).await;
    }
}
