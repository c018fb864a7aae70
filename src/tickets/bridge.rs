//! Owns the role that takes results from a connector's own durable queue and has each written into its ticketing
//! system, once. It knows no vendor.
//!
//! * [`once`]: what is done in which order, so that a repeat at any point writes nothing twice.
//! * [`gate`]: the pause of a whole connector, when its system is the problem and no note is.
//! * [`suspects`]: whether it is, or a single note makes it fail.
//! * [`turns`]: one note of a conversation at a time, so that two of them do not open two tickets.
//!
//! A result may come more than once although nothing failed here: workers repeat what they are not sure to have
//! published. The marker is therefore looked up for every note, not only for those that came back.
//!
//! One process at a time takes from a queue, so that two do not open a ticket each for two notes of a new conversation,
//! and so that the limits of an account hold; others stand by. A note that came back from a process that is gone waits
//! as long as a request of that process may still be carried out: before that, its marker may be looked for in vain.

pub mod gate;
pub mod once;
mod suspects;
mod turns;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, info_span};

use self::{
    gate::{Gate, Gates},
    once::Written,
    suspects::{Suspects, Verdict},
    turns::Turns,
};
use super::{
    Concern, Config, OpenError, TicketConnector, TicketEntry, TicketError, config::Audio, entry::Playback,
    limiter::Accounts,
};
use crate::{
    audio::fetch::Fetcher,
    broker::{Broker, Consumers, Deliveries, Delivery, ResultQueue, consuming::Consuming},
    event::{Processed, Reason, envelope},
    hex,
    outcome::{DeadLetterCause, Disposition, Settlement, Stage},
    shutdown::Shutdown,
};

/// How long notes that are being written get to finish when the process is asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long a note is held while its system pauses. RabbitMQ takes a consumer's channel away that holds a delivery for
/// longer than 30 minutes, and counts that.
const HELD_MAX: Duration = Duration::from_mins(10);
/// Attempts until a note is written without its recording, where that cannot be fetched at the moment.
const FETCH_ATTEMPTS_MAX: u32 = 3;

/// The bridges of this process: one for each of `[[tickets]]`.
#[derive(Default)]
pub struct Bridges {
    bridges: Vec<Bridge>,
    gates: Gates,
}

impl std::fmt::Debug for Bridges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridges").field("bridges", &self.bridges.len()).finish_non_exhaustive()
    }
}

impl Bridges {
    /// Reads credentials and checks settings; connects to nothing.
    ///
    /// # Errors
    /// The name of the entry in `[[tickets]]`, and what is wrong with it.
    pub fn open(configs: &[Config], fetcher: &Arc<Fetcher>) -> Result<Self, (String, OpenError)> {
        let accounts = Accounts::default();
        let bridges: Result<Vec<Bridge>, _> = configs
            .iter()
            .map(|config| match config.open(&accounts) {
                Ok(connector) => Ok(Bridge::new(config.clone(), connector, Arc::clone(fetcher))),
                Err(error) => Err((config.name.clone(), error)),
            })
            .collect();
        let bridges = bridges?;
        let gates = Gates::new(bridges.iter().map(|bridge| Arc::clone(&bridge.gate)).collect());
        Ok(Self { bridges, gates })
    }

    /// Which of them pause.
    #[must_use]
    pub fn gates(&self) -> Gates {
        self.gates.clone()
    }

    /// Works until shutdown is requested, then finishes what fits into the drain limit and hands back the rest.
    pub async fn run(self, broker: Arc<dyn Broker>, shutdown: Shutdown) {
        let running = self.bridges.into_iter().map(|bridge| bridge.run(Arc::clone(&broker), shutdown.clone()));
        futures_util::future::join_all(running).await;
    }
}

/// One connector and its queue.
#[derive(Clone)]
struct Bridge {
    config: Arc<Config>,
    connector: Arc<dyn TicketConnector>,
    fetcher: Arc<Fetcher>,
    gate: Arc<Gate>,
    turns: Arc<Turns>,
    suspects: Arc<Suspects>,
    /// Cancelled when notes in work have to be given back.
    hand_back: CancellationToken,
}

impl Bridge {
    fn new(config: Config, connector: Arc<dyn TicketConnector>, fetcher: Arc<Fetcher>) -> Self {
        let gate = Arc::new(Gate::new(&config));
        let (turns, suspects, hand_back) = (Arc::default(), Arc::default(), CancellationToken::new());
        Self { config: Arc::new(config), connector, fetcher, gate, turns, suspects, hand_back }
    }

    async fn run(self, broker: Arc<dyn Broker>, shutdown: Shutdown) {
        let span = info_span!("tickets", connector = self.config.name);
        async {
            let tasks = TaskTracker::new();
            let bridge = self.clone();
            tokio::select! {
                () = bridge.say_what_is_wrong() => {}
                () = shutdown.requested() => {}
            }
            let queue = self.config.queue();
            let open = || broker.consume_results(&queue, self.config.notes_at_a_time.max(1));
            let what = format!("the results for the ticketing system {}", self.config.name);
            let mut consuming = Consuming::new(broker.as_ref(), what);
            let mut last = None;
            while let Some(mut deliveries) = consuming.open(open, &shutdown).await {
                self.take_from(&consuming, deliveries.as_mut(), &tasks, &shutdown).await;
                last = shutdown.is_requested().then_some(deliveries);
            }
            tasks.close();
            if tokio::time::timeout(DRAIN_MAX, tasks.wait()).await.is_err() {
                self.hand_back.cancel();
                tasks.wait().await;
            }
            // Only now may another process begin.
            drop(last);
        }
        .instrument(span)
        .await;
    }

    /// Whatever `sprachpost tickets check` would find, so that it is in the log before the first note is.
    async fn say_what_is_wrong(&self) {
        for finding in self.connector.check().await {
            if let Some(fault) = finding.fault {
                tracing::warn!(what = finding.what, fault, "the ticketing system is not as it has to be");
            }
        }
    }

    async fn take_from(
        &self,
        consuming: &Consuming,
        deliveries: &mut dyn Deliveries,
        tasks: &TaskTracker,
        shutdown: &Shutdown,
    ) {
        loop {
            let next = async {
                self.gate.passable().await;
                deliveries.next().await
            };
            let next = tokio::select! {
                next = next => next,
                () = shutdown.requested() => return,
            };
            match next {
                Ok(delivery) => {
                    let (bridge, shutdown) = (self.clone(), shutdown.clone());
                    let span = info_span!("result", attempt = delivery.attempt());
                    tasks.spawn(async move { bridge.handle(delivery, &shutdown).await }.instrument(span));
                }
                Err(error) => return consuming.is_gone(&error),
            }
        }
    }

    async fn handle(&self, delivery: Box<dyn Delivery>, shutdown: &Shutdown) {
        let asked = AtomicBool::new(false);
        let settlement = tokio::select! {
            settlement = self.settlement(delivery.as_ref(), shutdown, &asked) => settlement,
            () = self.hand_back.cancelled() => None,
        };
        // What the system was asked for it may still carry out: before that, its marker would be looked for in vain.
        let may_be_written = asked.load(Ordering::Relaxed);
        let settlement = settlement.or(may_be_written.then_some(Settlement::Later { after: self.request_limit() }));
        let settled = match settlement {
            Some(settlement) => delivery.settle(&settlement).await,
            None => delivery.hand_back().await,
        };
        if let Err(error) = settled {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a result could not be settled; it comes again, and is recognised by its marker");
        }
    }

    /// What becomes of a delivery; none: it is to be handed back. `asked` tells whether its system was asked to write it.
    async fn settlement(&self, delivery: &dyn Delivery, shutdown: &Shutdown, asked: &AtomicBool) -> Option<Settlement> {
        let result = match envelope::parse_processed(delivery.message()) {
            Ok(result) => result,
            Err(error) => {
                self.count("unreadable");
                tracing::warn!(error = &error as &dyn std::error::Error, "a message is no result");
                return Some(dead_letter(error.reason()));
            }
        };
        if delivery.exhausted() {
            self.count("given_up");
            return Some(dead_letter(Reason::WorkerCrashed));
        }
        // The queue may still be bound as an earlier configuration asked for.
        if !self.config.wants(&result) {
            self.count("not_wanted");
            return Some(Settlement::Ack);
        }
        let mut playback = match self.playback(&result, delivery.attempt()).await {
            Ok(playback) => playback,
            Err(settlement) => return Some(settlement),
        };
        let mut entry = TicketEntry::of(&result, &self.config, &playback);
        let _turn = self.turns.turn(entry.key()).await;
        if delivery.returned() {
            tokio::time::sleep(self.request_limit()).await;
        }
        let began = Instant::now();
        loop {
            tokio::select! {
                () = self.gate.passable() => {}
                // A pause may be long: what it holds up goes back at once.
                () = shutdown.requested() => self.gate.passes_now().then_some(())?,
            }
            asked.store(true, Ordering::Relaxed);
            let error = match once::write(self.connector.as_ref(), &entry).await {
                Ok(written) => {
                    self.gate.succeeded();
                    self.suspects.cleared(result.note_id);
                    self.say_written(&written, &result, began);
                    return Some(Settlement::Ack);
                }
                Err(error) => error,
            };
            metrics::counter!("sprachpost_tickets_failures_total", "connector" => self.config.name.clone(), "error" => error.as_str())
                .increment(1);
            if let Concern::Account { after } = error.concern() {
                match self.suspects.failed(result.note_id, &error, self.gate.worked(), Instant::now()) {
                    Verdict::Note => return Some(self.fails_alone(&error, &result, delivery.queued_at())),
                    Verdict::OthersFirst => {
                        return Some(Settlement::Later { after: self.gate.failed(&error, after) });
                    }
                    Verdict::System => {}
                }
                let pause = self.gate.failed(&error, after);
                if began.elapsed() + pause > HELD_MAX {
                    return Some(Settlement::Later { after: pause });
                }
                continue;
            }
            self.gate.succeeded();
            self.suspects.cleared(result.note_id);
            if error == TicketError::TooLarge && entry.attachment.is_some() {
                playback = Playback::TooLarge;
                entry = TicketEntry::of(&result, &self.config, &playback);
                continue;
            }
            return Some(self.refused(&error, &result, delivery.attempt()));
        }
    }

    /// The recording, as far as it is wanted and to be had. A settlement: it may be to be had a little later.
    async fn playback(&self, result: &Processed, attempt: u32) -> Result<Playback, Settlement> {
        if self.config.audio != Audio::Attach {
            return Ok(Playback::NotWanted);
        }
        let Some(recording) = &result.recording else { return Ok(Playback::NotKept) };
        match self.fetcher.fetch(&recording.clone().into()).await {
            // What an address answers may have become something else since, such as a page that says that it is gone.
            Ok(bytes) if result.audio.as_ref().is_some_and(|audio| audio.sha256 != sha256(&bytes)) => {
                Ok(Playback::Gone)
            }
            Ok(bytes) if bytes.len() > self.config.audio_bytes_max => Ok(Playback::TooLarge),
            Ok(bytes) if bytes.is_empty() => Ok(Playback::Gone),
            Ok(bytes) => Ok(Playback::Attached(bytes.into())),
            Err(error) => {
                let later = self.config.retry.delay_after(attempt, result.note_id);
                match (error.disposition(), later) {
                    (Disposition::Retry, Some(after)) if attempt < FETCH_ATTEMPTS_MAX => {
                        Err(Settlement::Retry { after, reason: error.reason() })
                    }
                    _ if error.reason() == Reason::AudioTooLarge => Ok(Playback::TooLarge),
                    _ => Ok(Playback::Gone),
                }
            }
        }
    }

    /// The system does not take this note, whatever it does with others.
    fn refused(&self, error: &TicketError, result: &Processed, attempt: u32) -> Settlement {
        let error_text = error as &dyn std::error::Error;
        if let Some(after) = self.config.retry.delay_after(attempt, result.note_id) {
            let after_s = after.as_secs_f64();
            tracing::warn!(note_id = %result.note_id, error = error_text, after_s, "a result will be written again");
            Settlement::Retry { after, reason: Reason::TicketRefused }
        } else {
            self.count("given_up");
            tracing::error!(note_id = %result.note_id, error = error_text, "a result is given up on; it is a dead letter");
            dead_letter(Reason::TicketRefused)
        }
    }

    /// The system works, only not for this note: nobody waits for it.
    fn fails_alone(&self, error: &TicketError, result: &Processed, queued_at: Option<Timestamp>) -> Settlement {
        let (note_id, error) = (result.note_id, error as &dyn std::error::Error);
        if let Some(after) = suspects::again_after(queued_at, Timestamp::now(), self.request_limit()) {
            let after_s = after.as_secs_f64();
            tracing::warn!(%note_id, error, after_s, "only this result makes the ticketing system fail; it comes later");
            Settlement::Later { after }
        } else {
            self.suspects.cleared(note_id);
            self.count("given_up");
            tracing::error!(%note_id, error, "a result is given up on; it is a dead letter");
            dead_letter(Reason::TicketRefused)
        }
    }

    /// How long a request may take.
    fn request_limit(&self) -> Duration {
        Duration::from_secs(self.config.http.total_s_max.into())
    }

    fn say_written(&self, written: &Written, result: &Processed, began: Instant) {
        let note_id = result.note_id;
        match written {
            Written::Before => {
                self.count("repeated");
                tracing::info!(%note_id, "the result was in its ticket already");
            }
            Written::Now { ticket, unset } => {
                self.count("written");
                metrics::histogram!("sprachpost_tickets_seconds").record(began.elapsed().as_secs_f64());
                tracing::info!(%note_id, %ticket, "the result is in its ticket");
                if let Some(error) = unset {
                    self.count("not_set");
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(%note_id, %ticket, error, "priority, team, tags or reminder could not be set");
                }
            }
        }
    }

    fn count(&self, result: &'static str) {
        metrics::counter!("sprachpost_tickets_total", "connector" => self.config.name.clone(), "result" => result)
            .increment(1);
    }
}

impl Config {
    /// Where results wait for this connector, also while nobody takes them.
    #[must_use]
    pub fn queue(&self) -> ResultQueue {
        let of_tenant = |tenant: &str| -> Vec<String> {
            let outcomes = self.outcomes.iter();
            outcomes.map(|outcome| format!("processed.{tenant}.*.{}.#", outcome.as_str())).collect()
        };
        let patterns = if self.tenants.is_empty() {
            of_tenant("*")
        } else {
            self.tenants.iter().flat_map(|tenant| of_tenant(tenant.as_str())).collect()
        };
        // Two processes would open a ticket each for two notes of a new conversation.
        ResultQueue { name: format!("tickets.{}", self.name), patterns, consumers: Consumers::One }
    }

    fn wants(&self, result: &Processed) -> bool {
        let of_tenant = result.tenant.as_ref().is_some_and(|tenant| self.tenants.contains(tenant));
        (self.tenants.is_empty() || of_tenant) && self.outcomes.contains(&result.outcome)
    }
}

fn dead_letter(reason: Reason) -> Settlement {
    Settlement::DeadLetter(DeadLetterCause { reason, stage: Stage::Ticket })
}

fn sha256(bytes: &[u8]) -> String {
    hex::hex(&Sha256::digest(bytes))
}
