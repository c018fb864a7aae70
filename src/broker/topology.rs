//! Owns the names: exchanges, queues, routing keys and headers. They are part of the wire contract.

/// Topic exchange that notes come in on, with routing key `received.<tenant>.<channel>`.
pub const NOTES_EXCHANGE: &str = "sprachpost.notes";
/// Topic exchange that results go out on.
pub const RESULTS_EXCHANGE: &str = "sprachpost.results";
/// The queue that workers share.
pub const WORK_QUEUE: &str = "sprachpost.notes.work";
/// Notes that were given up on, for people.
pub const DEAD_LETTER_QUEUE: &str = "sprachpost.notes.dead-letters";
/// Every note has a routing key that matches this.
pub const NOTES_PATTERN: &str = "received.#";

/// Headers are flat strings with this prefix.
pub mod header {
    /// Attempts so far, counting this one.
    pub const ATTEMPT: &str = "sprachpost-attempt";
    /// When the note was first queued, RFC 3339.
    pub const QUEUED_AT: &str = "sprachpost-queued-at";
    /// On a dead letter: a word of [`crate::event::Reason`].
    pub const REASON: &str = "sprachpost-reason";
    /// On a dead letter: where it happened.
    pub const STAGE: &str = "sprachpost-stage";
    /// On a dead letter: when the first attempt began, RFC 3339.
    pub const FIRST_AT: &str = "sprachpost-first-at";
    /// On a dead letter: when the last attempt ended, RFC 3339.
    pub const LAST_AT: &str = "sprachpost-last-at";
    /// On a retry or dead letter: the routing key the note came with.
    pub const ROUTING_KEY: &str = "sprachpost-routing-key";
}

#[must_use]
pub fn received_routing_key(tenant: &crate::note::Tenant, channel: &crate::note::Channel) -> String {
    format!("received.{tenant}.{channel}")
}
