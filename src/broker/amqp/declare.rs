//! Owns the declaration of all exchanges and queues, with arguments that mean the same on RabbitMQ 3.10 and 4.
//!
//! ```text
//! [notes] ─► work, urgent ──(used up its deliveries)──► [crashed] ─► crashed ─► a worker answers it ─► dead-letters
//!              ▲  │  └─(worker: long, suspect)─► long, suspect ──(the same)──►
//!              │  └─(worker: retry)─► retry.1s, retry.5s, … ──(time is up)──┐
//!              └────────────────────────────────────────────────────────────┘
//! [results] ─► whoever binds;  nobody ─► [unrouted] ─► unrouted (limited in number and age)
//!        └───► queues of results, each with its own retry.…, crashed and dead-letters, as above
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::errors::{failed, is_not_found, is_precondition, within};
use crate::broker::{
    BrokerError, Config, ForeignQueue, ResultQueue,
    topology::{self, Argument, Consumers, Group, GroupName, Lane, Queue},
};

/// What has to be there: the queues of notes, and those of roles and channels that were asked for since.
pub(super) struct Topology {
    config: Arc<Config>,
    named: Mutex<BTreeMap<GroupName, Collected>>,
}

/// What a group of results collects, and who takes it.
#[derive(Clone)]
struct Collected {
    /// Topics of results; none where it collects elsewhere.
    patterns: BTreeSet<ShortString>,
    consumers: Consumers,
}

impl Topology {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self { config, named: Mutex::default() }
    }

    /// Declares everything. Harmless where it exists already.
    pub(super) async fn declare(&self, connection: &Connection) -> Result<(), BrokerError> {
        // Not held while waiting for the broker.
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        within("the declaration of queues", self.config.declare_limit(), async {
            let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
            let declaring = Declaring { channel: &channel, config: &self.config };
            declaring.exchanges().await?;
            declaring.notes().await?;
            for (name, collected) in named {
                declaring.named(name, &collected).await?;
            }
            Ok(())
        })
        .await
    }

    /// Declares a queue of results, from now on with everything else.
    pub(super) async fn declare_results(
        &self,
        connection: &Connection,
        queue: &ResultQueue,
    ) -> Result<(), BrokerError> {
        let name = queue.group()?;
        let collected = Collected { patterns: keys(&queue.patterns)?, consumers: queue.consumers };
        within("the declaration of a queue", self.config.declare_limit(), async {
            let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
            Declaring { channel: &channel, config: &self.config }.named(name.clone(), &collected).await
        })
        .await?;
        self.remember(name, collected);
        Ok(())
    }

    /// Declares a queue on another system's exchange. Its queues are declared with everything else from now on; what
    /// concerns that exchange is not, so that nobody else's doing stands in the way of everything.
    pub(super) async fn declare_foreign(
        &self,
        connection: &Connection,
        queue: &ForeignQueue,
    ) -> Result<(), BrokerError> {
        let name = queue.group()?;
        let patterns = keys(&queue.patterns)?;
        let elsewhere = Collected { patterns: BTreeSet::new(), consumers: Consumers::Many };
        let exchange = ShortString::try_new(queue.exchange.as_str()).map_err(|_| too_long())?;
        within("the declaration of a queue", self.config.declare_limit(), async {
            let is_there = is_there(connection, exchange).await?;
            let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
            let declaring = Declaring { channel: &channel, config: &self.config };
            if !is_there {
                declaring.exchange(&queue.exchange, ExchangeKind::Topic, FieldTable::default()).await?;
            }
            declaring.named(name.clone(), &elsewhere).await?;
            for pattern in patterns {
                let group = Group::Named(name.clone());
                declaring.bind(&group.queue(Lane::Regular), &queue.exchange, pattern).await?;
            }
            Ok(())
        })
        .await?;
        self.remember(name, elsewhere);
        Ok(())
    }

    /// Only what could be declared: it must not stand in the way of everything else.
    fn remember(&self, name: GroupName, collected: Collected) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        match named.entry(name) {
            Entry::Occupied(known) => known.into_mut().patterns.extend(collected.patterns),
            Entry::Vacant(new) => drop(new.insert(collected)),
        }
    }
}

/// Whether an exchange exists, of whatever kind. A channel of its own for the question: a no closes it.
async fn is_there(connection: &Connection, exchange: ShortString) -> Result<bool, BrokerError> {
    let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    match channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default()).await {
        Ok(()) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(failed("look for an exchange")(error)),
    }
}

fn keys(patterns: &[String]) -> Result<BTreeSet<ShortString>, BrokerError> {
    patterns.iter().map(|pattern| ShortString::try_new(pattern.as_str()).map_err(|_| too_long())).collect()
}

pub(super) fn too_long() -> BrokerError {
    BrokerError::InvalidSetting { why: "a name or pattern is longer than 255 bytes".to_owned() }
}

struct Declaring<'a> {
    channel: &'a Channel,
    config: &'a Config,
}

impl Declaring<'_> {
    async fn exchanges(&self) -> Result<(), BrokerError> {
        self.exchange(topology::UNROUTED_RESULTS, ExchangeKind::Fanout, FieldTable::default()).await?;
        self.exchange(topology::NOTES_EXCHANGE, ExchangeKind::Topic, FieldTable::default()).await?;
        let alternate = table([("alternate-exchange", text(topology::UNROUTED_RESULTS))]);
        self.exchange(topology::RESULTS_EXCHANGE, ExchangeKind::Topic, alternate).await
    }

    async fn notes(&self) -> Result<(), BrokerError> {
        self.group(&Group::Notes, topology::queues(self.config)).await?;
        let notes = topology::NOTES_EXCHANGE;
        self.bind(Lane::Regular.queue(), notes, topology::REGULAR_PATTERN.into()).await?;
        self.bind(Lane::Urgent.queue(), notes, topology::URGENT_PATTERN.into()).await?;
        self.bind(topology::UNROUTED_RESULTS, topology::UNROUTED_RESULTS, "".into()).await
    }

    async fn named(&self, name: GroupName, collected: &Collected) -> Result<(), BrokerError> {
        let group = Group::Named(name);
        self.group(&group, group.queues(self.config, collected.consumers)).await?;
        // Last of all: nothing may come in that cannot go on.
        for pattern in &collected.patterns {
            self.bind(&group.queue(Lane::Regular), topology::RESULTS_EXCHANGE, pattern.clone()).await?;
        }
        Ok(())
    }

    async fn group(&self, group: &Group, queues: Vec<Queue>) -> Result<(), BrokerError> {
        self.exchange(&group.crashed(), ExchangeKind::Fanout, FieldTable::default()).await?;
        for queue in queues {
            self.queue(&queue).await?;
        }
        self.bind(&group.crashed(), &group.crashed(), "".into()).await
    }

    async fn exchange(&self, name: &str, kind: ExchangeKind, arguments: FieldTable) -> Result<(), BrokerError> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        self.channel
            .exchange_declare(name.into(), kind, options, arguments)
            .await
            .map_err(|error| conflict(name, "declare an exchange", error))
    }

    async fn queue(&self, queue: &Queue) -> Result<(), BrokerError> {
        let arguments = table(queue.arguments.iter().map(|(name, value)| (*name, amqp_value(value))));
        self.channel
            .queue_declare(queue.name.as_str().into(), QueueDeclareOptions::durable(), arguments)
            .await
            .map(drop)
            .map_err(|error| conflict(&queue.name, "declare a queue", error))
    }

    async fn bind(&self, queue: &str, exchange: &str, key: ShortString) -> Result<(), BrokerError> {
        self.channel
            .queue_bind(queue.into(), exchange.into(), key, QueueBindOptions::default(), FieldTable::default())
            .await
            .map_err(failed("bind a queue"))
    }
}

fn conflict(name: &str, what: &'static str, error: lapin::Error) -> BrokerError {
    if is_precondition(&error) {
        BrokerError::TopologyConflict { name: name.to_owned(), source: Box::new(error) }
    } else {
        failed(what)(error)
    }
}

fn table(entries: impl IntoIterator<Item = (&'static str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn amqp_value(value: &Argument) -> AMQPValue {
    match value {
        Argument::Text(content) => text(content),
        Argument::Number(number) => AMQPValue::LongLongInt(*number),
        Argument::Flag(flag) => AMQPValue::Boolean(*flag),
    }
}
