//! Owns handing notes from the queue file to a worker, and taking back what becomes of them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Changes, Signal,
    notes::{self, Claim, Claimed},
    storage::Storage,
};
use crate::{
    broker::{BrokerError, Config, Deliveries, Delivery, Lane, Message},
    outcome::Settlement,
};

pub(super) struct Consumer {
    pub storage: Storage,
    pub config: Arc<Config>,
    pub owner: String,
    /// By lane, in the order in which they are asked.
    pub slots: [(Lane, Arc<Semaphore>); 4],
    pub changes: Changes,
    pub signal: Signal,
}

#[async_trait]
impl Deliveries for Consumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        loop {
            self.changes.mark_seen();
            let mut slots: Vec<(Lane, OwnedSemaphorePermit)> = self.free_slots();
            let lanes: Vec<Lane> = slots.iter().map(|(lane, _)| *lane).collect();
            if let Some(handed) = self.claim(lanes).await? {
                let taken = slots.iter().position(|(lane, _)| *lane == handed.claimed.lane);
                let slot = taken.map(|index| slots.swap_remove(index).1);
                return Ok(Box::new(handed.begin(slot)));
            }
            drop(slots);
            self.changes.wait().await;
        }
    }
}

impl Consumer {
    /// One of each lane that has one left.
    fn free_slots(&self) -> Vec<(Lane, OwnedSemaphorePermit)> {
        let free = self.slots.iter().filter_map(|(lane, slots)| Some((*lane, slots.clone().try_acquire_owned().ok()?)));
        free.collect()
    }

    async fn claim(&self, lanes: Vec<Lane>) -> Result<Option<Handed>, BrokerError> {
        let due = {
            let lanes = lanes.clone();
            self.storage.read(move |connection| notes::any_due(connection, &lanes, Timestamp::now())).await?
        };
        if !due {
            return Ok(None);
        }
        let (owner, config) = (self.owner.clone(), self.config.clone());
        let (storage, signal) = (self.storage.clone(), self.signal.clone());
        self.storage
            .write(move |connection| {
                let claimed = notes::claim(connection, &lanes, &owner, &config, Timestamp::now())?;
                Ok(claimed.map(|claimed| Handed {
                    held: Held { claim: Some(claimed.claim.clone()), storage, signal, begun: false },
                    claimed,
                }))
            })
            .await
    }
}

/// A note on its way from the file to the worker.
struct Handed {
    held: Held,
    claimed: Claimed,
}

impl Handed {
    fn begin(mut self, slot: Option<OwnedSemaphorePermit>) -> FileDelivery {
        self.held.begun = true;
        let freed = Freed { slot, signal: self.held.signal.clone() };
        FileDelivery { held: self.held, claimed: self.claimed, _freed: freed }
    }
}

/// A claim that gives itself back when it is dropped: uncounted where it never reached the worker, because whoever
/// asked for it stopped waiting; counted where the worker dropped it.
struct Held {
    claim: Option<Claim>,
    storage: Storage,
    signal: Signal,
    begun: bool,
}

impl Held {
    /// Settles, and says so if the lease was lost in between.
    async fn settle(
        mut self,
        job: impl FnOnce(&Claim, &rusqlite::Connection) -> rusqlite::Result<bool> + Send + 'static,
    ) -> Result<(), BrokerError> {
        let Some(claim) = self.claim.clone() else { return Err(lease_lost()) };
        let held = self.storage.write(move |connection| job(&claim, connection)).await?;
        self.claim = None;
        self.signal.notify();
        if held { Ok(()) } else { Err(lease_lost()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else { return };
        let (begun, signal) = (self.begun, self.signal.clone());
        self.storage.write_later(move |connection| {
            if begun {
                claim.release(connection)?
            } else {
                claim.hand_back(connection)?
            };
            signal.notify();
            Ok(())
        });
    }
}

fn lease_lost() -> BrokerError {
    BrokerError::Lost("the note went to another worker when its lease ran out".into())
}

/// A slot of the consumer; whoever waits for one is told when it is free.
struct Freed {
    slot: Option<OwnedSemaphorePermit>,
    signal: Signal,
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.slot = None;
        self.signal.notify();
    }
}

struct FileDelivery {
    held: Held,
    claimed: Claimed,
    _freed: Freed,
}

#[async_trait]
impl Delivery for FileDelivery {
    fn message(&self) -> &Message {
        &self.claimed.message
    }

    fn lane(&self) -> Lane {
        self.claimed.lane
    }

    fn attempt(&self) -> u32 {
        self.claimed.attempt
    }

    fn returned(&self) -> bool {
        self.claimed.deliveries > 1
    }

    fn exhausted(&self) -> bool {
        self.claimed.exhausted
    }

    fn queued_at(&self) -> Option<Timestamp> {
        self.claimed.queued_at
    }

    fn replay(&self) -> u32 {
        self.claimed.replay
    }

    async fn settle(self: Box<Self>, settlement: &Settlement) -> Result<(), BrokerError> {
        match settlement {
            Settlement::Ack => self.held.settle(Claim::ack).await,
            Settlement::Retry { after, reason } => {
                let (due_at, reason) = (later(*after), reason.as_str());
                let lane = Lane::of_retry(&self.claimed.message.routing_key);
                self.held.settle(move |claim, connection| claim.retry(connection, lane, due_at, reason)).await
            }
            Settlement::Later { after } => {
                let (lane, due_at) = (self.claimed.lane, later(*after));
                self.held.settle(move |claim, connection| claim.put_off(connection, lane, due_at)).await
            }
            Settlement::Move(lane) => {
                let lane = *lane;
                self.held.settle(move |claim, connection| claim.put_off(connection, lane, Timestamp::now())).await
            }
            Settlement::DeadLetter(cause) => {
                let (reason, stage) = (cause.reason.as_str(), cause.stage.as_str());
                self.held.settle(move |claim, connection| claim.bury(connection, Timestamp::now(), reason, stage)).await
            }
        }
    }

    async fn hand_back(self: Box<Self>) -> Result<(), BrokerError> {
        self.held.settle(Claim::hand_back).await
    }
}

fn later(after: Duration) -> Timestamp {
    let now = Timestamp::now();
    now.checked_add(after).unwrap_or(now)
}
