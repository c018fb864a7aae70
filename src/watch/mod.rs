//! Owns the role that looks over many notes: tells when a follow-up is due, and when far more notes of one kind come
//! than usual.
//!
//! ```text
//! results ─► queue of its own ─► cases, counts ─► kept ─► settled
//!                                     └─ every few seconds: what is due, what is unusual ─► published ─► kept
//! ```
//!
//! * [`cases`]: which follow-ups wait, and what cancels them.
//! * [`counts`], [`baseline`], [`unusual`]: what is usual, and what is not. [`spikes`]: their settings.
//! * [`store`]: where all of that is kept. One process at a time holds it; others stand by.
//!
//! A result is settled once what follows from it is kept; what is told is kept as told once it is confirmed. Whoever dies
//! in between tells it again, under the same id. It knows nothing of playbooks: results carry what these want.

mod baseline;
mod cases;
mod counts;
pub mod spikes;
pub mod store;
mod unusual;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::store::{Place, StoreError};
use self::{
    cases::Cases,
    counts::Counts,
    store::{Change, Store},
};
use crate::{
    broker::{
        Broker, Consumers, Deliveries, Delivery, Exchange, ResultQueue, consuming::Consuming, patience::Patience,
    },
    event::{Event, Reason, Spike, envelope},
    outcome::{DeadLetterCause, Settlement, Stage},
    shutdown::Shutdown,
};

/// Settings of the role `watch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file in which follow-ups and counts are kept. Where none is set: beside the embedded queue; with RabbitMQ, in
    /// the ledger's database, or else in `data/sprachpost-watch.sqlite`, which only one machine can hold.
    pub path: Option<PathBuf>,
    /// How often it is looked at what is due or unusual, in seconds.
    pub look_every_s: f64,
    /// Follow-ups that may wait; with more, new ones are dropped and counted.
    pub planned_max: u32,
    /// For so many days a case is remembered that nothing waits for, so that results which come late or twice plan
    /// nothing. At least 1.
    pub remembered_days: u32,
    /// For how many hours after a note channels let any answer through, where a note does not say so itself.
    pub reply_window_h: BTreeMap<String, u32>,
    /// When many notes are too many.
    pub spikes: spikes::Config,
}

impl Default for Config {
    fn default() -> Self {
        let windows = ["whatsapp", "messenger", "instagram"].map(|channel| (channel.to_owned(), 24));
        Self {
            path: None,
            look_every_s: 5.0,
            planned_max: 200_000,
            remembered_days: 7,
            reply_window_h: windows.into(),
            spikes: spikes::Config::default(),
        }
    }
}

impl Config {
    /// What keeps it from working, in words for people; None: nothing.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        if !(0.01..=3600.0).contains(&self.look_every_s) {
            return Some("watch.look_every_s must be from 0.01 to 3600");
        }
        if self.remembered_days == 0 {
            return Some("watch.remembered_days must be at least 1");
        }
        self.spikes.fault()
    }
}

/// Says what time it is; tests have their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Results that are held unsettled at a time.
const PREFETCH: u16 = 64;
/// Results that come within this time are kept together.
const TOGETHER: Duration = Duration::from_millis(2);
/// Follow-ups that are told at a look.
const TOLD_AT_A_TIME: usize = 100;
/// Forgetting what is old can wait so long.
const TIDY_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// The queue that results are collected in.
#[must_use]
pub fn queue() -> ResultQueue {
    let patterns = ["processed.#", "case-closed.#"].map(str::to_owned).to_vec();
    ResultQueue { name: "watch".to_owned(), patterns, consumers: Consumers::Many }
}

/// Watches until shutdown is requested. Whatever cannot be reached is tried again.
pub async fn run(broker: Arc<dyn Broker>, place: Place, config: Config, clock: Clock, shutdown: Shutdown) {
    let mut patience = Patience::default();
    let consuming = Consuming::new(broker.as_ref(), "the watch's queue");
    while !shutdown.is_requested() {
        // Results wait from now on, whichever process comes to watch them.
        if let Err(error) = broker.declare_results(&queue()).await {
            consuming.is_hindered(&error);
            patience.after(&error, "the watch's queue cannot be declared yet", &shutdown).await;
            continue;
        }
        match Store::open(&place).await {
            Ok(Some(store)) => match Watch::begin(&broker, store, &config, &clock).await {
                Ok(watch) => {
                    patience = Patience::default();
                    watch.go_on(&consuming, &shutdown).await;
                }
                Err(error) => {
                    consuming.is_hindered(&error);
                    patience.after(&error, "what the watch knew cannot be read yet", &shutdown).await;
                }
            },
            Ok(None) => {
                consuming.works();
                standing_by(&mut patience, &shutdown).await;
            }
            Err(error) => {
                consuming.is_hindered(&error);
                patience.after(&error, "the watch cannot keep what it knows yet", &shutdown).await;
            }
        }
    }
}

/// Everything that is known, while this process holds it.
struct Watch<'a> {
    broker: &'a Arc<dyn Broker>,
    store: Store,
    config: &'a Config,
    clock: &'a Clock,
    cases: Cases,
    counts: Counts,
    tidied_at: Timestamp,
    /// A failure to publish is said once.
    unpublished: bool,
}

impl<'a> Watch<'a> {
    async fn begin(
        broker: &'a Arc<dyn Broker>,
        store: Store,
        config: &'a Config,
        clock: &'a Clock,
    ) -> Result<Self, StoreError> {
        let (mut cases, mut counts) = (Cases::default(), Counts::new(&config.spikes));
        for (key, value) in store.load().await? {
            if key.starts_with(cases::PREFIX) {
                cases.restore(&key, &value);
            } else {
                counts.restore(&key, &value);
            }
        }
        tracing::info!(planned = cases.planned(), "watching for follow-ups and spikes");
        let tidied_at = Timestamp::UNIX_EPOCH;
        Ok(Self { broker, store, config, clock, cases, counts, tidied_at, unpublished: false })
    }

    /// Until shutdown, or until what is known could not be kept: then what was kept is the truth.
    async fn go_on(mut self, consuming: &Consuming, shutdown: &Shutdown) {
        let mut patience = Patience::default();
        while !shutdown.is_requested() {
            match self.broker.consume_results(&queue(), PREFETCH).await {
                Ok(mut results) => {
                    consuming.works();
                    match self.watch(results.as_mut(), shutdown).await {
                        Ok(()) => patience = Patience::default(),
                        Err(error) => {
                            log(&error, "what the watch knows cannot be kept; beginning again from what was");
                            return;
                        }
                    }
                }
                Err(error) => {
                    consuming.is_hindered(&error);
                    patience.after(&error, "the watch's queue cannot be consumed yet", shutdown).await;
                    // What is due does not wait for results.
                    if let Err(error) = self.look().await {
                        log(&error, "what the watch knows cannot be kept; beginning again from what was");
                        return;
                    }
                }
            }
        }
    }

    /// Returns once the consumer is gone or shutdown is requested.
    async fn watch(&mut self, results: &mut dyn Deliveries, shutdown: &Shutdown) -> Result<(), StoreError> {
        let every = Duration::from_secs_f64(self.config.look_every_s);
        let mut looks = tokio::time::interval(every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                _ = looks.tick() => self.look().await?,
                next = results.next() => match next {
                    Ok(first) => self.take(first, results).await?,
                    Err(error) => {
                        log(&error, "the watch's consumer is gone; opening it again");
                        return Ok(());
                    }
                },
            }
        }
    }

    /// Takes note of a result, and of those that come with it: kept first, settled then.
    async fn take(&mut self, first: Box<dyn Delivery>, results: &mut dyn Deliveries) -> Result<(), StoreError> {
        let mut held = vec![first];
        while held.len() < PREFETCH.into()
            && let Ok(Ok(next)) = tokio::time::timeout(TOGETHER, results.next()).await
        {
            held.push(next);
        }
        let (mut changes, mut settlements) = (Vec::new(), Vec::new());
        for delivery in &held {
            settlements.push(self.note(delivery.as_ref(), &mut changes));
        }
        self.store.write(changes).await?;
        for (delivery, settlement) in held.into_iter().zip(settlements) {
            if let Err(error) = delivery.settle(&settlement).await {
                log(&error, "a result could not be settled; the broker delivers it again");
            }
        }
        Ok(())
    }

    fn note(&mut self, delivery: &dyn Delivery, changes: &mut Vec<Change>) -> Settlement {
        let given_up = |reason| Settlement::DeadLetter(DeadLetterCause { reason, stage: Stage::Receive });
        if delivery.exhausted() {
            return given_up(Reason::WorkerCrashed);
        }
        let now = (self.clock)();
        match envelope::parse_watched(delivery.message()) {
            Ok((Event::Processed { data, traceparent }, published_at)) => {
                // A clock that is ahead must not make older what was said since.
                let at = data.sent_at.or(published_at).unwrap_or(now).min(now);
                changes.extend(self.cases.note(&data, traceparent, at, self.config));
                if self.config.spikes.enabled {
                    changes.extend(self.counts.note(&data, at, now));
                }
                Settlement::Ack
            }
            Ok((Event::CaseClosed { data }, _)) => {
                changes.extend(self.cases.close(&data));
                Settlement::Ack
            }
            // Nothing else is bound; what an earlier version asked for is none of our business.
            Ok(_) => Settlement::Ack,
            Err(error) => {
                tracing::warn!(%error, "a message in the watch's queue cannot be read; it lies with the dead letters");
                given_up(error.reason())
            }
        }
    }

    /// Tells what is due and what is unusual, and forgets what is old.
    async fn look(&mut self) -> Result<(), StoreError> {
        let now = (self.clock)();
        if now.duration_since(self.tidied_at) >= TIDY_EVERY {
            self.tidied_at = now;
            let mut old = self.cases.tidy(now, self.config);
            old.extend(self.counts.tidy(now));
            self.store.write(old).await?;
        }
        metrics::gauge!("sprachpost_follow_ups_planned").set(self.cases.planned() as f64);
        self.tell_follow_ups(now).await?;
        if self.config.spikes.enabled { self.tell_spikes(now).await } else { Ok(()) }
    }

    async fn tell_follow_ups(&mut self, now: Timestamp) -> Result<(), StoreError> {
        for (case, planned) in self.cases.due(now, TOLD_AT_A_TIME) {
            let data = Box::new(planned.at(now));
            let note_id = data.note_id;
            let event = Event::FollowUpDue { data, traceparent: planned.traceparent };
            if !self.publish(&event, now).await {
                return Ok(());
            }
            self.store.write(self.cases.told(case).into_iter().collect()).await?;
            metrics::counter!("sprachpost_follow_ups_due_total").increment(1);
            tracing::info!(%note_id, "a follow-up is due");
        }
        Ok(())
    }

    async fn tell_spikes(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let changes = self.counts.look(now);
        self.store.write(changes).await?;
        for spike in self.counts.untold() {
            let event = Event::Spike { data: Box::new(spike.clone()) };
            if !self.publish(&event, now).await {
                return Ok(());
            }
            self.store.write(self.counts.told(&spike).into_iter().collect()).await?;
            metrics::counter!("sprachpost_spikes_total").increment(1);
            let Spike { tenant, intent, count, expected, .. } = &spike;
            tracing::warn!(%tenant, intent, count, expected, "far more notes of a kind than usual");
        }
        Ok(())
    }

    /// False: it could not be; it is tried again at the next look.
    async fn publish(&mut self, event: &Event, now: Timestamp) -> bool {
        match self.broker.publish(Exchange::Results, &event.to_message(now)).await {
            Ok(()) => {
                self.unpublished = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unpublished, true) {
                    log(&error, "what the watch has to tell cannot be published yet");
                }
                false
            }
        }
    }
}

async fn standing_by(patience: &mut Patience, shutdown: &Shutdown) {
    const SAID: &str = "another process watches for follow-ups and spikes; standing by";
    patience.because(SAID, || tracing::info!("{SAID}"), shutdown).await;
}

fn log(error: &(impl std::error::Error + 'static), what: &str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{what}");
}
