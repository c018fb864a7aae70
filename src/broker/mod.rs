//! Owns the seam between the program and whatever queue it stands on: one trait, two implementations.
//!
//! * [`embedded`]: one SQLite file, for a single machine and for trying things out.
//! * [`amqp`]: RabbitMQ, the only user of lapin.
//! * [`topology`]: the names of exchanges, queues and headers that both share.
//! * [`group`]: which queues belong together.
//! * [`foreign`]: queues on exchanges of other systems.
//! * [`consuming`]: how a role consumes; [`patience`]: with what does not work yet.
//! * [`pattern`]: what a topic pattern matches.
//!
//! Both behave the same, and one suite shows it. Neither knows what a note is: they carry [`Message`]s.

pub mod amqp;
pub mod config;
pub mod consuming;
pub mod embedded;
pub mod foreign;
pub mod group;
pub mod patience;
pub mod pattern;
pub mod topology;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;

pub use self::config::Config;
use self::{amqp::Amqp, config::Target, consuming::Missing, embedded::Embedded};
pub use self::{
    foreign::ForeignQueue,
    topology::{Consumers, Group, GroupName, Lane, ResultQueue},
};
use crate::outcome::{Disposition, Settlement};

/// Opens the queue that `url` names: `amqp://…` and `amqps://…` are RabbitMQ, `embedded:PATH` is a file, and without
/// an address it is the file [`config::EMBEDDED_PATH`]. Fails when the broker cannot be reached now; once open, it
/// reconnects by itself.
pub async fn open(url: Option<&SecretString>, config: &Config) -> Result<Arc<dyn Broker>, BrokerError> {
    config.check()?;
    Ok(match Target::of(url)? {
        Target::Embedded(path) => Arc::new(Embedded::open(&path, config).await?),
        Target::Amqp(url) => Arc::new(Amqp::open(url, config).await?),
    })
}

/// Which exchange a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// `sprachpost.notes`: notes on their way to a worker.
    Notes,
    /// `sprachpost.results`: topics for whoever binds them.
    Results,
}

/// One message, as it is carried. `Debug` shows no body.
#[derive(Clone, PartialEq)]
pub struct Message {
    /// AMQP `message_id`, CloudEvents `id`: consumers dedupe on it.
    pub id: Option<String>,
    /// The note id, where known.
    pub correlation_id: Option<String>,
    pub routing_key: String,
    pub content_type: Option<String>,
    /// Flat strings: anything else does not survive the way to AMQP 1.0.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("routing_key", &self.routing_key)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A queue of notes and topics of results.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes one message and returns once the broker has it safe: a positive confirm of a routable message on
    /// AMQP, a committed transaction on the embedded queue. Everything else is an error. Results that nobody has
    /// bound yet count as published: the results exchange has an alternate exchange or is written to the log.
    async fn publish(&self, exchange: Exchange, message: &Message) -> Result<(), BrokerError>;

    /// Starts to consume all lanes, with at most so many deliveries of each unsettled at a time. Notes that used up
    /// their deliveries come through the same stream, see [`Delivery::exhausted`].
    async fn consume(&self, prefetch: Prefetch) -> Result<Box<dyn Deliveries>, BrokerError>;

    /// Makes sure that results are collected for a role, also before it runs for the first time; see [`ResultQueue`].
    async fn declare_results(&self, queue: &ResultQueue) -> Result<(), BrokerError>;

    /// Declares such a queue and starts to consume it, with at most `prefetch` deliveries unsettled at a time. They are
    /// settled as notes are: a retry comes back to this queue and to no other that got the same result, and what is
    /// given up on lies with dead letters of the queue's own. Used up deliveries come through the same stream.
    async fn consume_results(&self, queue: &ResultQueue, prefetch: u16) -> Result<Box<dyn Deliveries>, BrokerError>;

    /// Declares a queue on somebody else's exchange and starts to consume it, as [`Broker::consume_results`] does. An
    /// error on the embedded queue: nobody else publishes to it.
    async fn consume_foreign(&self, queue: &ForeignQueue, prefetch: u16) -> Result<Box<dyn Deliveries>, BrokerError>;

    /// Subscribes to result topics from now on; `pattern` is an AMQP topic pattern (`*` one word, `#` any number).
    /// The subscription ends when it is dropped.
    async fn subscribe(&self, pattern: &str) -> Result<Box<dyn Subscription>, BrokerError>;

    /// How many notes wait, and how many lie with the dead letters.
    async fn depth(&self) -> Result<Depth, BrokerError> {
        self.depth_of(&Group::Notes).await
    }

    /// The same of any queues that were declared.
    async fn depth_of(&self, group: &Group) -> Result<Depth, BrokerError>;

    /// Begins to go through the notes that were given up on. Workers go on meanwhile.
    async fn open_dead_letters(&self) -> Result<Box<dyn DeadLetters>, BrokerError> {
        self.open_dead_letters_of(&Group::Notes).await
    }

    /// The same with the dead letters of any queues that were declared.
    async fn open_dead_letters_of(&self, group: &Group) -> Result<Box<dyn DeadLetters>, BrokerError>;

    /// The first `limit` notes that were given up on, without changing anything.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let mut pass = self.open_dead_letters().await?;
        let mut letters = Vec::new();
        while letters.len() < limit
            && let Some(held) = pass.next().await?
        {
            letters.push(held.into_letter());
        }
        pass.close().await?;
        Ok(letters)
    }

    /// True while the broker can be reached, accepts messages and confirms them.
    fn is_ready(&self) -> bool;

    /// The consumers of this process that cannot be opened although it is.
    fn missing(&self) -> &Missing;

    /// Closes in order. Deliveries not settled by now come back to another worker.
    async fn close(&self);
}

/// How many notes of each lane one consumer holds at a time. It bounds the memory of a worker, however long the
/// backlog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    pub urgent: u16,
    pub regular: u16,
    pub long: u16,
}

impl Prefetch {
    /// Suspects are one at a time by definition.
    #[must_use]
    pub fn of(self, lane: Lane) -> u16 {
        match lane {
            Lane::Urgent => self.urgent.max(1),
            Lane::Suspect => 1,
            Lane::Regular => self.regular.max(1),
            Lane::Long => self.long.max(1),
        }
    }
}

/// So many of each lane.
impl From<u16> for Prefetch {
    fn from(notes: u16) -> Self {
        Self { urgent: notes, regular: notes, long: notes }
    }
}

/// A stream of deliveries from all lanes.
#[async_trait]
pub trait Deliveries: Send {
    /// The next delivery, waiting for it, and for one of the unsettled ones to be settled while there are as many as
    /// its lane's prefetch allows. An error means that the consumer is gone and has to be opened anew by [`Broker::consume`]; it never
    /// just ends. Cancel safe: no delivery is lost or counted when this future is dropped.
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError>;
}

/// One message that waits to be settled. Dropped without settlement, it comes back: to another worker at once where
/// the broker can tell, else after the lease.
#[async_trait]
pub trait Delivery: Send + Sync {
    fn message(&self) -> &Message;

    /// The lane that it came on; results are all on the regular one.
    fn lane(&self) -> Lane;

    /// Which attempt this is, from 1. Counted before work starts, so that a crash counts.
    fn attempt(&self) -> u32;

    /// True where it was handed out before and came back without being settled: whoever held it may have died of it.
    fn returned(&self) -> bool;

    /// True where the note was handed out as often as the configuration allows without ever being settled: it takes
    /// workers down. Such a note must not be worked on again. Whoever receives it publishes its terminal event and
    /// settles it as a dead letter; [`Delivery::attempt`] is the number of attempts that were made.
    fn exhausted(&self) -> bool;

    /// When the note was first queued, where known.
    fn queued_at(&self) -> Option<Timestamp>;

    /// How often people sent it back to work from the dead letters; see [`HeldLetter::replay`].
    fn replay(&self) -> u32;

    /// Tells the broker what became of it. `Retry` and `DeadLetter` are safe in their new place before the original
    /// is acknowledged. An error means that the note comes back: [`BrokerError::Lost`] where the delivery is no longer
    /// this consumer's to settle. A retry of an exhausted note stays exhausted. `Move` puts a result at the end of its
    /// queue: it has no other lane.
    async fn settle(self: Box<Self>, settlement: &Settlement) -> Result<(), BrokerError>;

    /// Hands it back unprocessed, at once, without counting an attempt where the broker allows that: RabbitMQ before
    /// 4.3 counts it. However often it is handed back, a note is not exhausted by that.
    async fn hand_back(self: Box<Self>) -> Result<(), BrokerError>;
}

/// A stream of messages from result topics.
#[async_trait]
pub trait Subscription: Send {
    /// The next message, waiting for it. An error means that the subscription has ended: subscribe again, and take
    /// into account that what was published in between went by. Cancel safe.
    async fn next(&mut self) -> Result<Message, BrokerError>;
}

/// One pass through the dead letters, about oldest first. Nothing changes but what is replayed or discarded.
#[async_trait]
pub trait DeadLetters: Send {
    /// The next letter that this pass has not met, or `None` at its end. One body at a time is in memory, as long as
    /// the letters are not kept.
    async fn next(&mut self) -> Result<Option<Box<dyn HeldLetter>>, BrokerError>;

    /// After the end: whether letters were left out, because the pass holds back as many as it may.
    fn is_cut_short(&self) -> bool;

    /// Whether a letter that one pass has met is out of others' sight until that pass is closed. What is not found
    /// may be there then, a moment later.
    fn hides_letters(&self) -> bool;

    /// Ends the pass: whatever it met and did not take is back in its place, or is about to be.
    async fn close(self: Box<Self>) -> Result<(), BrokerError>;
}

/// A dead letter that a pass has met. Dropped, it stays where it is.
#[async_trait]
pub trait HeldLetter: Send + Sync {
    fn letter(&self) -> &DeadLetter;

    fn into_letter(self: Box<Self>) -> DeadLetter;

    /// Sends the note back to work as if it had just come, as replay `number` (from 1), and takes the letter away
    /// once that is safe. A result goes back to the queue that it was given up in, and to no other. Dying in between leaves both; the same order given once more then has the same effect, as
    /// long as its number is the same. `false`: somebody else took the letter before, and nothing was done.
    async fn replay(self: Box<Self>, number: u32) -> Result<bool, BrokerError>;

    /// Takes the letter away for good. `false`: somebody else did, or replayed it, before.
    async fn discard(self: Box<Self>) -> Result<bool, BrokerError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Notes ready to be worked on, or waiting for their next attempt.
    pub waiting: u64,
    pub dead_letters: u64,
}

/// A note that was given up on.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub message: Message,
    /// A word of [`crate::event::Reason`], or `worker_crashed` where the broker's own count ran out.
    pub reason: String,
    pub stage: String,
    pub attempts: u32,
    /// How often people had sent it back to work before.
    pub replays: u32,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
}

/// What can go wrong between the program and its queue. No text contains a message, an address with a password, or
/// anything a customer said.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the broker cannot be reached at {address}")]
    Unreachable {
        address: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the connection to the broker was lost")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the broker did not answer {what} within {} s", limit.as_secs_f64())]
    TimedOut { what: &'static str, limit: Duration },
    #[error("the broker refused a message: {why}")]
    NotConfirmed { why: String },
    #[error("the message has {bytes} bytes, the broker takes {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the broker refused to {what}")]
    Refused {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{why}")]
    InvalidSetting { why: String },
    #[error("the queue or exchange {name} exists with other settings: empty and delete it, or restore the settings")]
    TopologyConflict {
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the queue file {path} cannot be used")]
    Storage {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BrokerError {
    fn no_such(group: &Group) -> Self {
        Self::InvalidSetting { why: format!("there are no queues of the name {group}") }
    }

    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. }
            | Self::Lost(_)
            | Self::TimedOut { .. }
            | Self::NotConfirmed { .. }
            | Self::Refused { .. }
            // Somebody changed a queue under a running worker: no note's fault, and it can be changed back.
            | Self::TopologyConflict { .. }
            | Self::Storage { .. } => Disposition::Retry,
            Self::TooLarge { .. } | Self::InvalidSetting { .. } => Disposition::Fail,
        }
    }
}

/// The ids of messages are UUIDs here; foreign producers may use what they like.
impl Message {
    #[must_use]
    pub fn event(id: Uuid, correlation_id: String, routing_key: String, body: Vec<u8>) -> Self {
        Self {
            id: Some(id.to_string()),
            correlation_id: Some(correlation_id),
            routing_key,
            content_type: Some(crate::event::envelope::CONTENT_TYPE.to_owned()),
            headers: BTreeMap::new(),
            body,
        }
    }
}
