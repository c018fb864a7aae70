//! Owns handing notes and results from the queue file to whoever consumes them, and taking back what becomes of them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Changes, Signal,
    notes::{self, Claim, Claimed},
    storage::Storage,
};
use crate::{
    broker::{BrokerError, Config, Consumers, Deliveries, Delivery, Group, Lane, Message},
    outcome::Settlement,
};

/// Notes that are handed out in one transaction, at most: a commit costs a flush of the disk, for one as for many.
const TOGETHER_MAX: usize = 64;

pub(super) struct Consumer {
    pub storage: Storage,
    pub config: Arc<Config>,
    pub owner: String,
    pub group: Group,
    pub consumers: Consumers,
    /// By lane, in the order in which they are asked.
    pub slots: Vec<(Lane, Arc<Semaphore>)>,
    /// Handed out and not asked for yet, each with the slot that was free for it.
    pub ready: VecDeque<(Handed, OwnedSemaphorePermit)>,
    pub changes: Changes,
    pub signal: Signal,
}

#[async_trait]
impl Deliveries for Consumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        loop {
            if let Some((handed, slot)) = self.ready.pop_front() {
                return Ok(Box::new(handed.begin(slot)));
            }
            self.changes.mark_seen();
            let mut slots = self.free_slots();
            let handed = self.claim(slots.iter().map(|(lane, free)| (*lane, free.len())).collect()).await?;
            if handed.is_empty() {
                drop(slots);
                self.changes.wait().await;
                continue;
            }
            for handed in handed {
                let free = slots.iter_mut().find(|(lane, _)| *lane == handed.claimed.lane);
                // No more were claimed than were free.
                self.ready.extend(free.and_then(|(_, free)| free.pop()).map(|slot| (handed, slot)));
            }
        }
    }
}

impl Consumer {
    /// What is left of each lane.
    fn free_slots(&self) -> Vec<(Lane, Vec<OwnedSemaphorePermit>)> {
        let free = |slots: &Arc<Semaphore>| {
            std::iter::from_fn(|| slots.clone().try_acquire_owned().ok()).take(TOGETHER_MAX).collect()
        };
        self.slots.iter().map(|(lane, slots)| (*lane, free(slots))).collect()
    }

    async fn claim(&self, wanted: Vec<(Lane, usize)>) -> Result<Vec<Handed>, BrokerError> {
        let lanes: Vec<Lane> = wanted.iter().filter(|(_, count)| *count > 0).map(|(lane, _)| *lane).collect();
        let (owner, config, consumers) = (self.owner.clone(), self.config.clone(), self.consumers);
        let is_anothers = move |connection: &_, group: &Group, now: Timestamp| match consumers {
            Consumers::Many => Ok(false),
            Consumers::One => notes::others_hold_any(connection, group, &owner, now),
        };
        let (group, anothers) = (self.group.clone(), is_anothers.clone());
        let look = move |connection: &_| {
            let now = Timestamp::now();
            Ok(notes::any_due(connection, &group, &lanes, now)? && !anothers(connection, &group, now)?)
        };
        let due = self.storage.read(look).await?;
        if !due {
            return Ok(Vec::new());
        }
        let (owner, group) = (self.owner.clone(), self.group.clone());
        let (storage, signal) = (self.storage.clone(), self.signal.clone());
        self.storage
            .write(move |connection| {
                let now = Timestamp::now();
                // Another process may have been faster since that look.
                if is_anothers(connection, &group, now)? {
                    return Ok(Vec::new());
                }
                let claimed = notes::claim(connection, &group, &wanted, &owner, &config, now)?;
                let hold = |claimed: Claimed| Handed {
                    held: Held {
                        claim: Some(claimed.claim.clone()),
                        storage: storage.clone(),
                        signal: signal.clone(),
                        begun: false,
                    },
                    claimed,
                    group: group.clone(),
                };
                Ok(claimed.into_iter().map(hold).collect())
            })
            .await
    }
}

/// A note on its way from the file to the worker.
pub(super) struct Handed {
    held: Held,
    claimed: Claimed,
    group: Group,
}

impl Handed {
    fn begin(mut self, slot: OwnedSemaphorePermit) -> FileDelivery {
        self.held.begun = true;
        let freed = Freed { slot: Some(slot), signal: self.held.signal.clone() };
        FileDelivery { held: self.held, claimed: self.claimed, group: self.group, _freed: freed }
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
    group: Group,
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
                let lane = self.group.lane_of_retry(&self.claimed.message.routing_key);
                self.held.settle(move |claim, connection| claim.retry(connection, lane, due_at, reason)).await
            }
            Settlement::Later { after } => {
                let (lane, due_at) = (self.claimed.lane, later(*after));
                self.held.settle(move |claim, connection| claim.put_off(connection, lane, due_at)).await
            }
            Settlement::Move(lane) => {
                let lane = self.group.lane(*lane);
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
