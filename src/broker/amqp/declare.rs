//! Owns the declaration of all exchanges and queues, with arguments that mean the same on RabbitMQ 3.10 and 4.
//!
//! ```text
//! [notes] ─► work, urgent ──(used up its deliveries)──► [crashed] ─► crashed ─► a worker answers it ─► dead-letters
//!              ▲  │  └─(worker: long, suspect)─► long, suspect ──(the same)──►
//!              │  └─(worker: retry)─► retry.1s, retry.5s, … ──(time is up)──┐
//!              └────────────────────────────────────────────────────────────┘
//! [results] ─► whoever binds;  nobody ─► [unrouted] ─► unrouted (limited in number and age)
//! ```

use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::errors::{failed, is_precondition, within};
use crate::broker::{
    BrokerError, Config,
    topology::{self, Argument, Lane, Queue},
};

/// Declares everything. Harmless where it exists already.
pub(super) async fn declare(connection: &Connection, config: &Config) -> Result<(), BrokerError> {
    within("the declaration of queues", config.declare_limit(), declare_all(connection, config)).await
}

async fn declare_all(connection: &Connection, config: &Config) -> Result<(), BrokerError> {
    let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
    let declaring = Declaring { channel: &channel };

    declaring.exchange(topology::CRASHED_EXCHANGE, ExchangeKind::Fanout, FieldTable::default()).await?;
    declaring.exchange(topology::UNROUTED_RESULTS, ExchangeKind::Fanout, FieldTable::default()).await?;
    declaring.exchange(topology::NOTES_EXCHANGE, ExchangeKind::Topic, FieldTable::default()).await?;
    let alternate = table([("alternate-exchange", text(topology::UNROUTED_RESULTS))]);
    declaring.exchange(topology::RESULTS_EXCHANGE, ExchangeKind::Topic, alternate).await?;

    for queue in topology::queues(config) {
        declaring.queue(&queue).await?;
    }
    declaring.bind(topology::CRASHED_QUEUE, topology::CRASHED_EXCHANGE, "").await?;
    let notes = topology::NOTES_EXCHANGE;
    declaring.bind(Lane::Regular.queue(), notes, topology::REGULAR_PATTERN).await?;
    declaring.bind(Lane::Urgent.queue(), notes, topology::URGENT_PATTERN).await?;
    declaring.bind(topology::UNROUTED_RESULTS, topology::UNROUTED_RESULTS, "").await
}

struct Declaring<'a> {
    channel: &'a Channel,
}

impl Declaring<'_> {
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

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), BrokerError> {
        self.channel
            .queue_bind(queue.into(), exchange.into(), key.into(), QueueBindOptions::default(), FieldTable::default())
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
    }
}
