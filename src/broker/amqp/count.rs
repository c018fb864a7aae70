//! Owns the arithmetic of attempts and returns: RabbitMQ counts in each queue anew, and notes change queues.

use crate::broker::{Config, Lane, topology::delivery_limit};

/// Where a delivery came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Lane(Lane),
    /// The queue in which RabbitMQ puts notes that used up their deliveries.
    Crashed,
}

/// What the message and the broker say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// Which attempt this was to be when it got into this queue, from 1.
    pub attempt: u32,
    /// How often it had come back without being settled when it got into this queue.
    pub returns: u32,
    /// How often it has come back to this queue since.
    pub delivery_count: u32,
    /// It has used up its deliveries before, and that was not yet answered.
    pub exhausted: bool,
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub lane: Lane,
    /// Which attempt this is; of an exhausted note, how many were made.
    pub attempt: u32,
    pub returns: u32,
    /// It must not be worked on any more.
    pub exhausted: bool,
}

pub(crate) fn count(origin: Origin, said: Said, config: &Config) -> Counted {
    let returns = said.returns.saturating_add(said.delivery_count);
    let (lane, exhausted) = match origin {
        Origin::Lane(lane) => (lane, said.exhausted || returns >= config.deliveries_max),
        Origin::Crashed => (Lane::Suspect, true),
    };
    let attempt = match origin {
        _ if said.exhausted => said.attempt,
        // The count of the queue that it came from ran out; this queue's own says nothing about attempts.
        Origin::Crashed => said.attempt.saturating_add(delivery_limit(config)),
        // It came back once more often than attempts were made: the next one is not made.
        Origin::Lane(_) if exhausted => said.attempt.saturating_add(said.delivery_count).saturating_sub(1).max(1),
        Origin::Lane(_) => said.attempt.saturating_add(said.delivery_count),
    };
    Counted { lane, attempt, returns, exhausted }
}
