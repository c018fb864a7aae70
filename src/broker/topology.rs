//! Owns the names: exchanges, queues, routing keys and headers. They are part of the wire contract, and so
//! are the queues' arguments.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use super::Config;
pub use super::group::{Consumers, Group, GroupName, ResultQueue};
use crate::note::{Priority, VoiceNote};

/// Topic exchange that notes come in on, with routing key `received.<tenant>.<channel>`, or `urgent.…` in front.
pub const NOTES_EXCHANGE: &str = "sprachpost.notes";
/// Topic exchange that results go out on.
pub const RESULTS_EXCHANGE: &str = "sprachpost.results";
/// The queue of the regular lane.
pub const WORK_QUEUE: &str = "sprachpost.notes.work";
/// Notes that were given up on, for people.
pub const DEAD_LETTER_QUEUE: &str = "sprachpost.notes.dead-letters";
/// Fanout exchange that the broker moves notes to when they used up their deliveries; routing keys survive it.
pub const CRASHED_EXCHANGE: &str = "sprachpost.notes.crashed";
/// Notes that used up their deliveries, for workers to answer.
pub const CRASHED_QUEUE: &str = "sprachpost.notes.crashed";
/// Where results go that nobody has bound: an exchange and the one queue on it.
pub const UNROUTED_RESULTS: &str = "sprachpost.results.unrouted";
/// Routing keys of notes on the regular lane.
pub const REGULAR_PATTERN: &str = "received.#";
/// Routing keys of notes on the urgent lane.
pub const URGENT_PATTERN: &str = "urgent.#";

/// Notes wait in lanes, so that one kind of them does not stand in the way of another. Each is a queue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Notes that their sender marked as urgent.
    Urgent,
    /// Notes that came back without being settled: one of them may be what took its worker down. A worker holds one
    /// at a time, so that it drags no other with it again and again.
    Suspect,
    /// Everything else.
    Regular,
    /// Notes that a worker found to be long.
    Long,
}

impl Lane {
    /// All, in the order in which a worker asks them for notes.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::Suspect, Self::Regular, Self::Long];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Suspect => "suspect",
            Self::Regular => "regular",
            Self::Long => "long",
        }
    }

    /// Its queue on RabbitMQ.
    #[must_use]
    pub fn queue(self) -> &'static str {
        match self {
            Self::Urgent => "sprachpost.notes.urgent",
            Self::Suspect => "sprachpost.notes.suspect",
            Self::Regular => WORK_QUEUE,
            Self::Long => "sprachpost.notes.long",
        }
    }

    /// The lane that a note with this routing key begins on; none where it is no note's.
    #[must_use]
    pub fn of_routing_key(key: &str) -> Option<Self> {
        match key.split('.').next() {
            Some("received") => Some(Self::Regular),
            Some("urgent") => Some(Self::Urgent),
            _ => None,
        }
    }

    /// The lane on which a note is tried again: notes that are urgent stay so.
    #[must_use]
    pub fn of_retry(routing_key: &str) -> Self {
        Self::of_routing_key(routing_key).unwrap_or(Self::Regular)
    }
}

/// Headers are flat strings with this prefix.
pub mod header {
    /// Attempts so far, counting this one.
    pub const ATTEMPT: &str = "sprachpost-attempt";
    /// `true` on a retry of a note that used up its deliveries.
    pub const EXHAUSTED: &str = "sprachpost-exhausted";
    /// When the note was first queued, RFC 3339.
    pub const QUEUED_AT: &str = "sprachpost-queued-at";
    /// On a retry or dead letter: a word of [`crate::event::Reason`].
    pub const REASON: &str = "sprachpost-reason";
    /// On a dead letter: where it happened.
    pub const STAGE: &str = "sprachpost-stage";
    /// On a retry or dead letter: when the first attempt began, RFC 3339.
    pub const FIRST_AT: &str = "sprachpost-first-at";
    /// On a dead letter: when the last attempt ended, RFC 3339.
    pub const LAST_AT: &str = "sprachpost-last-at";
    /// On a retry or dead letter: the routing key the note came with.
    pub const ROUTING_KEY: &str = "sprachpost-routing-key";
    /// On a note that changed its lane: how often it came back without being settled before that.
    pub const RETURNS: &str = "sprachpost-returns";
    /// On a note that people sent back to work from the dead letters: how often they did.
    pub const REPLAY: &str = "sprachpost-replay";

    /// All of the above: the queue's own notes, which no receiver of a message sees.
    pub const INTERNAL: [&str; 10] =
        [ATTEMPT, EXHAUSTED, QUEUED_AT, REASON, STAGE, FIRST_AT, LAST_AT, ROUTING_KEY, RETURNS, REPLAY];
}

/// The queue in which retries wait for `delay_s` seconds before they are back on their lane.
#[must_use]
pub fn retry_queue(lane: Lane, delay_s: u32) -> String {
    match lane {
        Lane::Urgent => format!("sprachpost.notes.urgent.retry.{delay_s}s"),
        Lane::Suspect | Lane::Regular | Lane::Long => format!("sprachpost.notes.retry.{delay_s}s"),
    }
}

/// The routing key that a note is published with.
#[must_use]
pub fn received_routing_key(note: &VoiceNote) -> String {
    let lane = match note.priority {
        Priority::Normal => "received",
        Priority::Urgent => "urgent",
    };
    format!("{lane}.{}.{}", note.tenant, note.channel)
}

/// A queue with its arguments, as it is declared on RabbitMQ.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    pub name: String,
    pub arguments: BTreeMap<&'static str, Argument>,
}

/// The value of a queue argument; numbers of time are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Argument {
    Text(Cow<'static, str>),
    Number(i64),
    Flag(bool),
}

/// The lanes that notes are retried on.
pub(super) const RETRY_LANES: [Lane; 2] = [Lane::Regular, Lane::Urgent];
/// AMQP keeps routing keys and patterns to so many bytes.
pub(super) const KEY_BYTES_MAX: usize = 255;
/// A limit that no count reaches.
pub(super) const NEVER: i64 = i32::MAX as i64;
/// How often a note may take down the worker that only answers it.
pub(super) const ANSWERS_MAX: i64 = 20;

/// The queues that are always there, from the end to the start: none is there before the one that it hands messages on
/// to.
///
/// Two traps shape the arguments: `x-delivery-limit=N` means N + 1 deliveries, and since 4.0 a queue without that
/// argument gives up on a message after 20 of them, in silence where there is no dead-letter exchange. So every queue
/// has the argument, and those whose messages people look at by taking them and putting them back have one that is
/// never reached. Only quorum queues count deliveries; so everything is one, on a single node too.
#[must_use]
pub fn queues(config: &Config) -> Vec<Queue> {
    let mut queues = Group::Notes.queues(config, Consumers::Many);
    queues.push(
        Queue::new(UNROUTED_RESULTS, NEVER)
            .with("x-message-ttl", milliseconds(config.results_kept_s))
            .with("x-max-length", Argument::Number(config.results_kept_max.into())),
    );
    queues
}

/// RabbitMQ counts how often a message came back, we count how often it is handed out.
#[must_use]
pub(crate) fn delivery_limit(config: &Config) -> u32 {
    config.deliveries_max.saturating_sub(1)
}

impl Queue {
    pub(super) fn new(name: impl Into<String>, delivery_limit: i64) -> Self {
        let arguments =
            [("x-queue-type", Argument::text("quorum")), ("x-delivery-limit", Argument::Number(delivery_limit))];
        Self { name: name.into(), arguments: arguments.into() }
    }

    pub(super) fn with(mut self, argument: &'static str, value: Argument) -> Self {
        self.arguments.insert(argument, value);
        self
    }

    /// Hands messages on only once they are safe in their new place; that needs `reject-publish`.
    pub(super) fn dead_lettered_to(self, exchange: impl Into<Cow<'static, str>>, routing_key: Option<String>) -> Self {
        let queue = self
            .with("x-dead-letter-exchange", Argument::text(exchange))
            .with("x-dead-letter-strategy", Argument::text("at-least-once"))
            .with("x-overflow", Argument::text("reject-publish"));
        match routing_key {
            Some(key) => queue.with("x-dead-letter-routing-key", Argument::text(key)),
            None => queue,
        }
    }
}

impl Argument {
    fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }
}

pub(super) fn milliseconds(seconds: u32) -> Argument {
    Argument::Number(i64::from(seconds) * 1000)
}
