//! Owns taking what another system publishes to RabbitMQ, just as it is, off a durable queue of ours on its exchange.
//!
//! ```text
//! [their exchange] ─► sprachpost.channels.<name> ─► parse ─► intake: kept and queued, confirmed ─► acknowledged
//!                                                     └─ cannot be read ─► …dead-letters
//! ```
//!
//! What was published while nobody looked waits there. A message that comes twice is one note, by the platform's id.

use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use super::{
    ChannelName, OpenChannel,
    intake::{Intake, count},
};
use crate::{
    broker::{BrokerError, Delivery, ForeignQueue, consuming::Consuming},
    event::Reason,
    outcome::{DeadLetterCause, Disposition, Settlement, Stage},
    retry::RetryPolicy,
    shutdown::Shutdown,
};

/// How long what is in work may take when the process is asked to stop; the broker has it back after that.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// How another system publishes.
#[derive(Debug, Clone)]
pub struct Producer {
    pub exchange: String,
    pub routing_keys: Vec<String>,
    /// Messages in memory at a time; each may hold a whole recording.
    pub messages_held_max: u16,
    /// Blanks what may not be kept of a message.
    pub scrub: fn(&mut [u8]),
}

impl Producer {
    /// The queue of a channel on that system's exchange.
    #[must_use]
    pub fn queue(&self, channel: &ChannelName) -> ForeignQueue {
        ForeignQueue {
            name: format!("channels.{channel}"),
            exchange: self.exchange.clone(),
            patterns: self.routing_keys.clone(),
            scrub: self.scrub,
        }
    }

    /// Takes messages until shutdown is requested, then finishes what it has begun.
    pub(super) async fn listen(&self, own: &Arc<OpenChannel>, intake: &Intake, shutdown: &Shutdown) {
        let (queue, tasks) = (self.queue(&own.name), TaskTracker::new());
        let open = || intake.broker().consume_foreign(&queue, self.messages_held_max);
        let take = |delivery| {
            let (own, intake) = (Arc::clone(own), intake.clone());
            tasks.spawn(async move { handle(&own, &intake, delivery).await });
        };
        let what = format!("what is published for the channel {}", own.name);
        Consuming::new(intake.broker().as_ref(), what).run(open, take, shutdown).await;
        tasks.close();
        if tokio::time::timeout(DRAIN_LIMIT, tasks.wait()).await.is_err() {
            tracing::info!(channel = %own.name, messages = tasks.len(), "the broker delivers these messages again");
        }
    }
}

async fn handle(own: &OpenChannel, intake: &Intake, delivery: Box<dyn Delivery>) {
    let settlement = take(own, intake, delivery.as_ref()).await;
    if let Err(error) = delivery.settle(&settlement).await {
        log_failure(own, &error, "a message could not be settled; the broker delivers it again");
    }
}

/// All notes of a message first, each of them safe; then, and only then, the message.
async fn take(own: &OpenChannel, intake: &Intake, delivery: &dyn Delivery) -> Settlement {
    if delivery.exhausted() {
        return given_up(own, Reason::WorkerCrashed);
    }
    let Ok(parsed) = own.platform.parse(&delivery.message().body) else {
        count(own.name.as_str(), "malformed", 1);
        return given_up(own, Reason::MalformedEvent);
    };
    let unreadable = parsed.unreadable > 0;
    match intake.accept(own, parsed).await {
        Ok(()) if unreadable => given_up(own, Reason::MalformedEvent),
        Ok(()) => Settlement::Ack,
        Err(error) => {
            let shown = &error as &dyn std::error::Error;
            tracing::warn!(channel = %own.name, error = shown, "a message was not taken; it is tried again");
            match error.disposition() {
                // Not the message's fault, so no attempt is its last.
                Disposition::Retry => {
                    let after = RetryPolicy::default().pause_after(delivery.attempt());
                    Settlement::Retry { after, reason: Reason::InternalError }
                }
                Disposition::Fail => given_up(own, Reason::InternalError),
            }
        }
    }
}

fn given_up(own: &OpenChannel, reason: Reason) -> Settlement {
    tracing::warn!(channel = %own.name, reason = reason.as_str(), "a message lies with the channel's dead letters");
    Settlement::DeadLetter(DeadLetterCause { reason, stage: Stage::Receive })
}

fn log_failure(own: &OpenChannel, error: &BrokerError, what: &str) {
    tracing::warn!(channel = %own.name, error = error as &dyn std::error::Error, "{what}");
}
