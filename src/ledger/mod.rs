//! Owns the memory of which notes were answered, where several workers share a RabbitMQ: a note is processed once
//! within a window, however often, by whatever message and with whatever address of its audio it was submitted.
//!
//! ```text
//! begin ─► nobody was at it ──► Claim ─► the work ─► decide ─► Answer ─► publish ─► published ─► settle ─► settled
//!    │                                                  └─ somebody else decided meanwhile: that answer
//!    ├─► another delivery is being worked on ► Answer: put back for a while
//!    └─► it was answered ────────────────────► Answer: what is left to publish, and to tell the broker
//! ```
//!
//! The key is the id of the terminal event, so a replay that people ask for, which ends in an event of its own, is not
//! taken for a repeat. A claim is held by the database session, and ends with the process that has it. Before it is
//! published, an answer is written down, and whoever finds it unpublished publishes those very bytes; once it is
//! confirmed only the id stays. So consumers never see two answers under one id.
//!
//! While the ledger cannot be reached, [`WhenUnreachable`] says what happens. Without one there are no claims at all:
//! a repeat is processed again and answered under the same id.
//!
//! It knows events by their ids and bytes; `postgres` is the only user of the database client.

mod answer;
mod config;
mod error;
mod holding;
mod postgres;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;

pub(crate) use self::postgres::Shelf;
pub use self::{
    answer::{Answer, Step},
    config::{Config, WhenUnreachable},
    error::LedgerError,
};
use self::{
    holding::{Held, Holding},
    postgres::{Looked, Postgres},
};
use crate::{event::Event, outcome::Outcome};

/// What a worker asks before and after it works on a note. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    postgres: Postgres,
    holding: Holding,
    policy: WhenUnreachable,
    pause: Duration,
}

/// What the ledger says about a note that was delivered.
#[derive(Debug)]
pub enum Begun {
    /// Nobody answered it and nobody is at it: work on it, then [`Claim::decide`].
    Work(Claim),
    /// There is nothing to work on.
    Settle(Box<Answer>),
}

impl Ledger {
    /// No ledger: every note is worked on, and nothing is asked or written.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Connects, and makes the tables where they are missing. Fails within `connect_s_max` and `query_s_max`; once
    /// open, it reconnects by itself. Without an address there is no ledger.
    pub async fn open(url: Option<&SecretString>, config: &Config) -> Result<Self, LedgerError> {
        config.check()?;
        let Some(url) = url else { return Ok(Self::none()) };
        Ok(Self(Some(Arc::new(Open {
            postgres: Postgres::open(url, config).await?,
            holding: Holding::default(),
            policy: config.when_unreachable,
            pause: config.busy_pause(),
        }))))
    }

    /// Asks for the note whose terminal event has this id; `attempt` is the delivery's. Waits no longer than
    /// `query_s_max` for a connection and as long for the answer. Cancel safe.
    pub async fn begin(&self, event_id: Uuid, attempt: u32) -> Begun {
        let claim = Claim { open: self.0.clone(), event_id, attempt, lock: None, bypassed: false };
        let Some(open) = &self.0 else { return Begun::Work(claim) };
        // One session's locks do not exclude one another.
        let Some(held) = open.holding.take(event_id) else {
            return Begun::Settle(Box::new(claim.put_back(open, "busy")));
        };
        match open.postgres.claim(event_id, held).await {
            Ok(Looked::Undecided(lock)) => Begun::Work(Claim { lock: Some(lock), ..claim }),
            Ok(Looked::Busy) => Begun::Settle(Box::new(claim.put_back(open, "busy"))),
            Ok(Looked::Decided(decision, lock)) => {
                count_repeat(if decision.message.is_some() { "published_again" } else { "answered" });
                Begun::Settle(Box::new(Answer::found(Claim { lock, ..claim }, decision, open.pause)))
            }
            Err(error) => match open.policy {
                WhenUnreachable::GoOn => Begun::Work(claim.bypass(&error)),
                WhenUnreachable::Wait => Begun::Settle(Box::new(claim.put_back(open, "unreachable"))),
            },
        }
    }
}

/// The right to work on a note. Dropped, it is free for the next.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    open: Option<Arc<Open>>,
    event_id: Uuid,
    attempt: u32,
    /// None without a ledger, and where the ledger could not be reached.
    lock: Option<postgres::Lock>,
    bypassed: bool,
}

impl Claim {
    /// Writes down how the note ends, if it ends: before anything is published. Where somebody else was faster, theirs
    /// is the answer. An outcome without the terminal event frees the note instead.
    pub async fn decide(mut self, outcome: Outcome) -> Answer {
        let Some(open) = self.open.clone() else { return Answer::new(outcome, self.attempt) };
        let is_terminal = |event: &&Event| event.id() == self.event_id;
        let Some(event) = outcome.effects.iter().find(is_terminal) else {
            if let Some(lock) = self.lock.take() {
                lock.free().await;
            }
            return Answer::new(outcome, self.attempt);
        };
        let message = event.to_message(Timestamp::now());
        match open.postgres.decide(self.event_id, &message, outcome.settlement.dead_letter_cause()).await {
            Ok(None) => Answer::written(self, outcome, message),
            Ok(Some(decision)) => {
                count_repeat("decided_elsewhere");
                Answer::found(self, decision, open.pause)
            }
            Err(error) => match open.policy {
                // It may have been written down all the same, so it is marked like any other.
                WhenUnreachable::GoOn => Answer::written(self.bypass(&error), outcome, message),
                WhenUnreachable::Wait => self.put_back(&open, "unreachable"),
            },
        }
    }

    fn put_back(&self, open: &Open, why: &'static str) -> Answer {
        count_repeat(why);
        Answer::later(open.pause, self.attempt)
    }

    /// Counted once a note; the outage as such is logged where it is noticed.
    fn bypass(mut self, error: &LedgerError) -> Self {
        tracing::debug!(error = error as &dyn std::error::Error, "the ledger is bypassed");
        if !std::mem::replace(&mut self.bypassed, true) {
            metrics::counter!("sprachpost_ledger_bypassed_total").increment(1);
        }
        self
    }
}

fn count_repeat(how: &'static str) {
    metrics::counter!("sprachpost_ledger_repeats_total", "how" => how).increment(1);
}
