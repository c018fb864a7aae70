//! Owns the loop between queue and pipeline: take a delivery, have it processed, perform the effects, settle.
//!
//! The order is the promise: every effect is published and confirmed before the delivery is settled, so a crash at
//! any point means another delivery and never a lost note. What cannot be settled comes back by itself.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, field::display, info_span};

use crate::{
    backlog::{self, Backlog},
    broker::{Broker, BrokerError, Delivery, Exchange, Lane, Message, Prefetch, consuming::Consuming},
    event::{
        Event, Reason,
        envelope::{self, EventError, PROCESSED_V1, Received},
    },
    learning::Learnt,
    ledger::{Answer, Begun, Ledger, Step},
    note::NoteId,
    outcome::{DeadLetterCause, Outcome, Settlement, Stage},
    pipeline::{self, Stages},
    reply::acknowledgement::acknowledge,
    report::{Attempt, Report},
    retry::RetryPolicy,
    shutdown::Shutdown,
    telemetry,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names this worker in events; the host's name where none.
    pub name: Option<String>,
    /// Seconds that notes in work get to finish when the process is asked to stop; the rest is handed back.
    pub drain_s_max: u64,
    /// When a note is tried again.
    pub retry: RetryPolicy,
    /// How notes wait beside each other.
    pub lanes: Lanes,
    /// What to do when notes wait too long.
    pub backlog: backlog::Config,
}

/// Notes wait in lanes: urgent ones, those that came back without being settled, long ones, and all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lanes {
    /// Seconds of audio from which on a note waits on the lane of long ones.
    pub long_s: f64,
    /// How many long notes a worker holds at a time. Each takes 4 MB a minute, and idle slots only.
    pub long_notes_max: u16,
    /// How many urgent notes a worker holds at a time; they go first on every slot. 0: as many as there are slots.
    pub urgent_notes_max: u16,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { long_s: 90.0, long_notes_max: 1, urgent_notes_max: 0 }
    }
}

impl Lanes {
    /// Derived from the pool, so that back-pressure reaches the broker.
    fn prefetch(&self, slots: usize) -> Prefetch {
        let slots = u16::try_from(slots).unwrap_or(u16::MAX);
        Prefetch {
            urgent: if self.urgent_notes_max == 0 { slots } else { self.urgent_notes_max },
            regular: slots.saturating_add(AHEAD_OF_SLOTS),
            long: self.long_notes_max,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            drain_s_max: 30,
            retry: RetryPolicy::default(),
            lanes: Lanes::default(),
            backlog: backlog::Config::default(),
        }
    }
}

/// Notes fetched ahead of the slots, so that a free slot finds its audio ready.
const AHEAD_OF_SLOTS: u16 = 1;

/// Works until shutdown is requested, then finishes what fits into the drain limit and hands back the rest.
pub async fn run(broker: Arc<dyn Broker>, ledger: Ledger, stages: Arc<Stages>, config: Config, shutdown: Shutdown) {
    let prefetch = config.lanes.prefetch(stages.pool.slots());
    let backlog = Arc::new(Backlog::new(&config.backlog));
    let worker = Worker { broker, ledger, stages, backlog, hand_back: CancellationToken::new() };
    let tasks = TaskTracker::new();

    let open = || worker.broker.consume(prefetch);
    let take = |delivery: Box<dyn Delivery>| {
        let worker = worker.clone();
        let span = info_span!("note", attempt = delivery.attempt());
        tasks.spawn(async move { worker.handle(delivery).await }.instrument(span));
    };
    Consuming::new(worker.broker.as_ref(), "the work queue").run(open, take, &shutdown).await;

    tasks.close();
    let drain_limit = Duration::from_secs(config.drain_s_max);
    if tokio::time::timeout(drain_limit, tasks.wait()).await.is_err() {
        tracing::info!(notes = tasks.len(), "the drain limit is over; handing back the notes that are not finished");
        worker.hand_back.cancel();
        tasks.wait().await;
    }
}

#[derive(Clone)]
struct Worker {
    broker: Arc<dyn Broker>,
    ledger: Ledger,
    stages: Arc<Stages>,
    backlog: Arc<Backlog>,
    /// Cancelled when notes in work have to be given back.
    hand_back: CancellationToken,
}

impl Worker {
    async fn handle(&self, delivery: Box<dyn Delivery>) {
        metrics::gauge!("sprachpost_notes_in_work").increment(1);
        let answer = tokio::select! {
            answer = self.answer(delivery.as_ref()) => Some(answer),
            () = self.hand_back.cancelled() => None,
        };
        let note_id = answer.as_ref().and_then(|(note_id, _)| *note_id);
        let result = match answer {
            Some((note_id, answer)) => self.perform(note_id, answer, delivery).await,
            None => delivery.hand_back().await,
        };
        if let Err(error) = result {
            log_failure(&error, note_id, "a note could not be settled; the broker delivers it again");
        }
        metrics::gauge!("sprachpost_notes_in_work").decrement(1);
    }

    /// Works on a note, unless it waits elsewhere, or was answered already, or is being worked on. The note's id is
    /// there as far as the note was read.
    async fn answer(&self, delivery: &dyn Delivery) -> (Option<NoteId>, Answer) {
        let number = delivery.attempt();
        if let Some(lane) = better_lane(delivery.lane(), delivery.returned(), delivery.exhausted()) {
            return (None, Answer::new(Outcome::settled(Settlement::Move(lane)), number));
        }
        let received = envelope::parse_received(delivery.message());
        let note_id = id_of(&received, delivery.message());
        // A replay that people ordered is answered once more, under an id of its own.
        let event_id = note_id.event_id_of_replay(PROCESSED_V1, delivery.replay());
        let begun = self.ledger.begin(event_id, number).await;
        // From here on the note is read by this, whatever comes into force meanwhile.
        let learnt = self.stages.learning.in_force();
        let mut answer = match begun {
            Begun::Work(claim) => claim.decide(self.outcome_of(received, delivery, &learnt).await).await,
            Begun::Settle(answer) => *answer,
        };
        answer.tell_others(|processed, traceparent| pipeline::redacted(processed, traceparent, &learnt, &self.stages));
        (Some(note_id), answer)
    }

    async fn outcome_of(
        &self,
        received: Result<Received, EventError>,
        delivery: &dyn Delivery,
        learnt: &Arc<Learnt>,
    ) -> Outcome {
        let (number, queued_at) = (delivery.attempt(), delivery.queued_at());
        let relief = self.backlog.relief(number, queued_at, Timestamp::now());
        let attempt = Attempt { number, queued_at, lane: delivery.lane(), relief, replay: delivery.replay() };
        match received {
            Ok(received) if delivery.exhausted() => pipeline::crashed(&received, attempt, &self.stages.worker),
            Ok(received) => {
                self.acknowledge(&received, attempt, learnt).await;
                pipeline::process(&received, attempt, learnt, &self.stages).await
            }
            Err(error) => {
                let report = Report::of_unreadable(delivery.message(), &error, attempt, &self.stages.worker);
                let cause = DeadLetterCause { reason: error.reason(), stage: Stage::Receive };
                let event = Event::processed(report.finish(), None);
                Outcome { effects: vec![event], settlement: Settlement::DeadLetter(cause) }
            }
        }
    }

    /// Tells the sender that the note is there, where that is wanted. The note goes on whether it succeeds or not.
    async fn acknowledge(&self, received: &Received, attempt: Attempt, learnt: &Learnt) {
        let (tenant, now) = (self.stages.tenants.get(&received.note.tenant), Timestamp::now());
        let Some(event) = acknowledge(received, attempt, &tenant, &learnt.playbook, now) else { return };
        let published = self.broker.publish(Exchange::Results, &event.to_message(now)).await;
        let result = if published.is_ok() { "published" } else { "lost" };
        metrics::counter!("sprachpost_acknowledgements_total", "result" => result).increment(1);
        if let Err(error) = published {
            let note_id = Some(received.note.id());
            log_failure(&error, note_id, "a note could not be acknowledged; it is worked on all the same");
        }
    }

    /// Effects first, each of them confirmed; then, and only then, the settlement.
    async fn perform(
        &self,
        note_id: Option<NoteId>,
        mut answer: Answer,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError> {
        loop {
            match answer.step() {
                Step::Publish(message) => match self.broker.publish(Exchange::Results, message).await {
                    Ok(()) => answer.published().await,
                    Err(error) => {
                        log_failure(&error, note_id, "a result could not be published");
                        answer.not_published(error.disposition(), &self.stages.retry).await;
                    }
                },
                Step::Settle(settlement) => {
                    // A suspect is read for the log when it is out of harm's way, and no sooner.
                    let unread = note_id.is_none().then(|| delivery.message().clone());
                    delivery.settle(settlement).await?;
                    let note_id =
                        note_id.or_else(|| unread.map(|unread| id_of(&envelope::parse_received(&unread), &unread)));
                    if let Some(outcome) = answer.settled().await {
                        log_outcome(note_id, &outcome);
                    } else {
                        let note_id = note_id.map(display);
                        tracing::info!(note_id, "note was answered, or is being answered, by another delivery");
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// Where a note has to wait instead, before anything is done about it. One that came back unsettled may take this
/// process down, and with it all that it holds: on a lane of its own it is alone in that.
pub(crate) fn better_lane(lane: Lane, returned: bool, exhausted: bool) -> Option<Lane> {
    (returned && !exhausted && lane != Lane::Suspect).then_some(Lane::Suspect)
}

/// The note that a message holds, or would hold if it could be read.
fn id_of(received: &Result<Received, EventError>, message: &Message) -> NoteId {
    match received {
        Ok(received) => received.note.id(),
        Err(_) => Report::id_of_unreadable(message),
    }
}

/// The one place where a note's fate is logged: ids, words from closed sets and figures only.
fn log_outcome(note_id: Option<NoteId>, outcome: &Outcome) {
    for data in outcome.effects.iter().filter_map(Event::as_processed) {
        telemetry::count(data);
        tracing::info!(
            note_id = %data.note_id,
            outcome = data.outcome.as_str(),
            reason = data.reason.map(Reason::as_str),
            audio_s = data.audio.as_ref().map(|a| a.duration_s),
            total_ms = data.timings_ms.total,
            "note answered"
        );
    }
    let note_id = note_id.map(display);
    match &outcome.settlement {
        Settlement::Retry { after, reason } => {
            metrics::counter!("sprachpost_retries_total", "reason" => reason.as_str()).increment(1);
            let (reason, after_s) = (reason.as_str(), after.as_secs_f64());
            tracing::warn!(note_id, reason, after_s, "note will be tried again");
        }
        Settlement::Move(lane) => {
            metrics::counter!("sprachpost_moves_total", "lane" => lane.as_str()).increment(1);
            tracing::info!(note_id, lane = lane.as_str(), "note waits on another lane");
        }
        Settlement::DeadLetter(DeadLetterCause { reason, stage }) => {
            let (reason, stage) = (reason.as_str(), stage.as_str());
            tracing::warn!(note_id, reason, stage, "note was given up on and lies with the dead letters");
        }
        Settlement::Ack | Settlement::Later { .. } => {}
    }
}

fn log_failure(error: &BrokerError, note_id: Option<NoteId>, what: &str) {
    tracing::warn!(note_id = note_id.map(display), error = error as &dyn std::error::Error, "{what}");
}
