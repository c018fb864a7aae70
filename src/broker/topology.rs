//! Owns the names: exchanges, queues, routing keys and headers. They are part of the wire contract.

/// Topic exchange that notes come in on, with routing key `received.<tenant>.<channel>`.
pub const NOTES_EXCHANGE: &str = "sprachpost.notes";
/// Topic exchange that results go out on.
pub const RESULTS_EXCHANGE: &str = "sprachpost.results";
/// The queue that workers share.
pub const WORK_QUEUE: &str = "sprachpost.notes.work";
/// Notes that were given up on, for people.
pub const DEAD_LETTER_QUEUE: &str = "sprachpost.notes.dead-letters";
/// Fanout exchange that the broker moves notes to when they used up their deliveries; routing keys survive it.
pub const CRASHED_EXCHANGE: &str = "sprachpost.notes.crashed";
/// Notes that used up their deliveries, for workers to answer.
pub const CRASHED_QUEUE: &str = "sprachpost.notes.crashed";
/// Where results go that nobody has bound: an exchange and the one queue on it.
pub const UNROUTED_RESULTS: &str = "sprachpost.results.unrouted";
/// Every note has a routing key that matches this.
pub const NOTES_PATTERN: &str = "received.#";

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

    /// All of the above: the queue's own notes, which no receiver of a message sees.
    pub const INTERNAL: [&str; 8] = [ATTEMPT, EXHAUSTED, QUEUED_AT, REASON, STAGE, FIRST_AT, LAST_AT, ROUTING_KEY];
}

/// The queue in which retries wait for `delay_s` seconds.
#[must_use]
pub fn retry_queue(delay_s: u32) -> String {
    format!("sprachpost.notes.retry.{delay_s}s")
}

#[must_use]
pub fn received_routing_key(tenant: &crate::note::Tenant, channel: &crate::note::Channel) -> String {
    format!("received.{tenant}.{channel}")
}
