//! Owns what is said about a queue of ours on somebody else's exchange.

use super::{BrokerError, GroupName, group};

/// A queue that collects what another system publishes to its own exchange. It has all that a queue of notes has:
/// attempts, retries, dead letters. Only RabbitMQ has other people's exchanges.
#[derive(Debug, Clone)]
pub struct ForeignQueue {
    /// For example `channels.evolution`, see [`GroupName`].
    pub name: String,
    /// The other system's exchange. Where it is missing it is declared as a durable topic exchange, so that nothing is
    /// lost that is published before anybody looks again.
    pub exchange: String,
    /// Routing keys, or patterns of them where it is a topic exchange.
    pub patterns: Vec<String>,
    /// Blanks what may not be kept: bodies go through it before anybody sees them, and before they are published again
    /// as a retry or a dead letter.
    pub scrub: fn(&mut [u8]),
}

impl ForeignQueue {
    /// The name of its queues.
    ///
    /// # Errors
    /// Where nothing can be called so, or the queue would collect nothing.
    pub fn group(&self) -> Result<GroupName, BrokerError> {
        group::checked(&self.name, &self.patterns)
    }
}
