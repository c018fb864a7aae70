//! Owns the declaration of all exchanges and queues, with arguments that mean the same on RabbitMQ 3.10 and 4.
//!
//! ```text
//! [notes] ─► work ──(used up its deliveries)──► [crashed] ─► crashed ─► a worker answers it ─► dead-letters
//!              ▲  └─(worker: retry)─► retry.1s, retry.5s, … ──(time is up)──┐
//!              └────────────────────────────────────────────────────────────┘
//! [results] ─► whoever binds;  nobody ─► [unrouted] ─► unrouted (limited in number and age)
//! ```
//!
//! Everything is a quorum queue, on a single node too: only they count deliveries. Two traps shape the arguments:
//! `x-delivery-limit=N` means N + 1 deliveries, and since 4.0 a queue without that argument gives up on a message
//! after 20 of them, in silence where there is no dead-letter exchange. So every queue has the argument, and those
//! whose messages people look at by taking them and putting them back have one that is never reached.

use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::errors::{failed, is_precondition, within};
use crate::broker::{BrokerError, Config, topology};

const NEVER: i32 = i32::MAX;
/// How often a note may take down the worker that only answers it.
const ANSWERS_MAX: i32 = 20;

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

    // From the end to the start: no queue is there before the one that it hands messages on to.
    declaring.queue(topology::DEAD_LETTER_QUEUE, queue(NEVER, [])).await?;

    let answers = dead_lettered_to("", Some(topology::DEAD_LETTER_QUEUE));
    declaring.queue(topology::CRASHED_QUEUE, queue(ANSWERS_MAX, answers)).await?;
    declaring.bind(topology::CRASHED_QUEUE, topology::CRASHED_EXCHANGE, "").await?;

    let mut work = queue(count(delivery_limit(config)), dead_lettered_to(topology::CRASHED_EXCHANGE, None));
    work.insert("x-max-length".into(), number(config.waiting_max));
    declaring.queue(topology::WORK_QUEUE, work).await?;
    declaring.bind(topology::WORK_QUEUE, topology::NOTES_EXCHANGE, topology::NOTES_PATTERN).await?;

    for delay_s in &config.retry_delays_s {
        let mut waiting = queue(NEVER, dead_lettered_to("", Some(topology::WORK_QUEUE)));
        waiting.insert("x-message-ttl".into(), milliseconds(*delay_s));
        declaring.queue(&topology::retry_queue(*delay_s), waiting).await?;
    }

    let mut unrouted = queue(NEVER, []);
    unrouted.insert("x-message-ttl".into(), milliseconds(config.results_kept_s));
    unrouted.insert("x-max-length".into(), number(config.results_kept_max));
    declaring.queue(topology::UNROUTED_RESULTS, unrouted).await?;
    declaring.bind(topology::UNROUTED_RESULTS, topology::UNROUTED_RESULTS, "").await
}

/// RabbitMQ counts how often a message came back, we count how often it is handed out.
pub(super) fn delivery_limit(config: &Config) -> u32 {
    config.deliveries_max.saturating_sub(1)
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

    async fn queue(&self, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
        self.channel
            .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments)
            .await
            .map(drop)
            .map_err(|error| conflict(name, "declare a queue", error))
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

fn queue(delivery_limit: i32, more: impl IntoIterator<Item = (&'static str, AMQPValue)>) -> FieldTable {
    let mut arguments = table([("x-queue-type", text("quorum")), ("x-delivery-limit", delivery_limit.into())]);
    for (name, value) in more {
        arguments.insert(name.into(), value);
    }
    arguments
}

/// Hands messages on only once they are safe in their new place; that needs `reject-publish`.
fn dead_lettered_to(exchange: &str, routing_key: Option<&str>) -> Vec<(&'static str, AMQPValue)> {
    let mut arguments = vec![
        ("x-dead-letter-exchange", text(exchange)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    arguments.extend(routing_key.map(|key| ("x-dead-letter-routing-key", text(key))));
    arguments
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

fn number(value: u32) -> AMQPValue {
    AMQPValue::LongLongInt(value.into())
}

fn milliseconds(seconds: u32) -> AMQPValue {
    AMQPValue::LongLongInt(i64::from(seconds) * 1000)
}

fn count(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(NEVER)
}
