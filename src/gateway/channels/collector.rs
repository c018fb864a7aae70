//! Owns the way from a platform's reference to kept audio: the second half of the intake, off a durable queue.
//!
//! What a platform told of is safe on that queue before the platform is answered; here its audio is fetched while the
//! reference still holds, however often that takes, and only then the note goes to the workers. A note whose audio
//! cannot be had ends here, with the same event that a worker would have published.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio_util::task::TaskTracker;

use super::{
    Channels, Media, MediaError, OpenChannel,
    intake::{NotTaken, Taken, Waiting, count, note_message, queue},
};
use crate::{
    broker::{Broker, BrokerError, Delivery, Exchange, Message, consuming::Consuming, topology::header},
    event::{Event, Processed, Reason, processed::OutcomeKind},
    note::{AudioSource, VoiceNote},
    outcome::{DeadLetterCause, Disposition, Settlement, Stage},
    recordings::Recordings,
    report::{Attempt, Report},
    retry::RetryPolicy,
    shutdown::Shutdown,
    tenants::Tenants,
    understanding::redaction::redact,
};

/// Messages that are fetched for at a time.
const PREFETCH: u16 = 16;
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// Times that a message is published before its delivery is put off: fetching anew what cannot be handed on would load the
/// platform, and may end otherwise.
const PUBLISH_TRIES: u32 = 5;
/// What could not be handed on for so long waits, for it is fetched anew then.
const OURS_PAUSE: Duration = Duration::from_mins(1);
/// While a platform does not accept the credentials, its notes wait so long at a time …
const CREDENTIALS_PAUSE: Duration = Duration::from_mins(1);
/// … and so long in all: WhatsApp, for one, keeps media for 7 days.
const CREDENTIALS_LIMIT: SignedDuration = SignedDuration::from_hours(6 * 24);

/// Fetches what waits. One runs in every gateway that has channels; they share the queue.
pub struct Collector {
    pub broker: Arc<dyn Broker>,
    pub recordings: Arc<Recordings>,
    pub channels: Channels,
    pub retry: RetryPolicy,
    pub tenants: Tenants,
    /// Names this process in events.
    pub name: String,
    /// The notes that this process handed on.
    done: Taken,
    /// Channels whose credentials are not accepted: said once.
    locked_out: Mutex<BTreeSet<String>>,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// What becomes of one delivery, and what has to be published before.
struct Verdict {
    effects: Vec<Event>,
    settlement: Settlement,
}

impl Collector {
    #[must_use]
    pub fn new(
        broker: Arc<dyn Broker>,
        recordings: Arc<Recordings>,
        channels: Channels,
        retry: RetryPolicy,
        tenants: Tenants,
        name: String,
    ) -> Self {
        let (done, locked_out) = (Taken::default(), Mutex::default());
        Self { broker, recordings, channels, retry, tenants, name, done, locked_out }
    }

    /// Works until shutdown is requested, then finishes what it has begun, as far as that takes no longer than a
    /// moment: what is left comes back when the broker is closed.
    pub async fn run(self, shutdown: &Shutdown) {
        let (this, tasks) = (Arc::new(self), TaskTracker::new());
        let queue = queue();
        let open = || this.broker.consume_results(&queue, PREFETCH);
        let take = |delivery| {
            let this = Arc::clone(&this);
            tasks.spawn(async move { this.handle(delivery).await });
        };
        Consuming::new(this.broker.as_ref(), "announced audio").run(open, take, shutdown).await;
        tasks.close();
        let _ = tokio::time::timeout(DRAIN_LIMIT, tasks.wait()).await;
    }

    async fn handle(&self, delivery: Box<dyn Delivery>) {
        let settled = match serde_json::from_slice::<Waiting>(&delivery.message().body) {
            Ok(waiting) => self.perform(self.judge(waiting, delivery.as_ref()).await, delivery).await,
            // Nobody but this program publishes here.
            Err(_) => delivery.settle(&dead_letter(Reason::MalformedEvent, Stage::Receive)).await,
        };
        if let Err(error) = settled {
            log_failure(&error, "a message of the intake could not be settled; the broker delivers it again");
        }
    }

    /// Effects first, each of them confirmed; then, and only then, the settlement.
    async fn perform(&self, verdict: Verdict, delivery: Box<dyn Delivery>) -> Result<(), BrokerError> {
        for event in &verdict.effects {
            if let Err(error) = self.publish(Exchange::Results, &event.to_message(Timestamp::now())).await {
                log_failure(&error, "the end of a note could not be published; it is tried again");
                return delivery.settle(&Settlement::Later { after: OURS_PAUSE }).await;
            }
        }
        delivery.settle(&verdict.settlement).await
    }

    /// Again, with pauses, as long as it may be the broker's fault.
    async fn publish(&self, exchange: Exchange, message: &Message) -> Result<(), BrokerError> {
        for tried in 1..PUBLISH_TRIES {
            match self.broker.publish(exchange, message).await {
                Err(error) if error.disposition() == Disposition::Retry => {
                    log_failure(&error, "a message of the intake could not be published; it is tried again");
                    tokio::time::sleep(self.retry.pause_after(tried)).await;
                }
                published => return published,
            }
        }
        self.broker.publish(exchange, message).await
    }

    async fn judge(&self, waiting: Waiting, delivery: &dyn Delivery) -> Verdict {
        let note = waiting.clone().into_note(AudioSource::Inline { data: String::new() });
        let attempt = Attempt {
            number: delivery.attempt(),
            queued_at: delivery.queued_at(),
            lane: delivery.lane(),
            relief: None,
            replay: delivery.replay(),
        };
        if delivery.exhausted() {
            let why = "the process that fetched the audio died, more than once";
            return self.given_up(&note, attempt, Reason::WorkerCrashed, why);
        }
        let id = note.id();
        // The platform repeated itself before it was answered. A replay that people ordered is another matter.
        if self.done.holds(id) && delivery.replay() == 0 {
            return Verdict { effects: vec![], settlement: Settlement::Ack };
        }
        match self.collect(waiting, delivery.replay()).await {
            Ok(()) => {
                self.done.remember(id);
                tracing::info!(note_id = %id, "a note's audio is kept; the note is queued");
                Verdict { effects: vec![], settlement: Settlement::Ack }
            }
            Err(failure) => self.failed(&note, attempt, &failure),
        }
    }

    /// Workers are told of a replay that people ordered, because it is answered under an id of its own.
    async fn collect(&self, waiting: Waiting, replay: u32) -> Result<(), Failure> {
        let own = self.channels.get(waiting.name.as_str()).ok_or(Failure::NoChannel)?;
        let Media::Remote(remote) = &waiting.incoming.media else { return Err(Failure::NoChannel) };
        let fetched = own.platform.fetch(remote).await;
        self.note_credentials(own, fetched.as_ref().err() == Some(&MediaError::Unauthorized));
        let audio = self.recordings.put(&fetched?).await.map_err(NotTaken::from)?;
        count(own.name.as_str(), "fetched", 1);
        let mut message = note_message(waiting.into_note(audio));
        if replay > 0 {
            message.headers.insert(header::REPLAY.to_owned(), replay.to_string());
        }
        self.publish(Exchange::Notes, &message).await.map_err(NotTaken::from)?;
        Ok(())
    }

    fn failed(&self, note: &VoiceNote, attempt: Attempt, failure: &Failure) -> Verdict {
        let (id, reason) = (note.id(), failure.reason());
        let retry = |after| Verdict { effects: vec![], settlement: Settlement::Retry { after, reason } };
        let error = failure as &dyn std::error::Error;
        if failure.is_ours() {
            // No fault of the note, and it has no last attempt.
            tracing::warn!(note_id = %id, error, "a note's audio could not be kept or the note not be queued yet");
            return Verdict { effects: vec![], settlement: Settlement::Later { after: OURS_PAUSE } };
        }
        if matches!(failure, Failure::Media(MediaError::Unauthorized)) && is_young(attempt.queued_at) {
            return Verdict { effects: vec![], settlement: Settlement::Later { after: CREDENTIALS_PAUSE } };
        }
        match failure.disposition() {
            Disposition::Retry => match self.retry.delay_after(attempt.number, id) {
                Some(after) => {
                    tracing::warn!(note_id = %id, error, "a note's audio could not be fetched; it is tried again");
                    retry(after)
                }
                None => self.given_up(note, attempt, reason, &failure.to_string()),
            },
            Disposition::Fail => {
                tracing::warn!(note_id = %id, error, "a note's audio cannot be fetched");
                let effects = self.end(note, attempt, OutcomeKind::Rejected, reason, &failure.to_string());
                Verdict { effects, settlement: Settlement::Ack }
            }
        }
    }

    fn given_up(&self, note: &VoiceNote, attempt: Attempt, reason: Reason, why: &str) -> Verdict {
        tracing::warn!(note_id = %note.id(), reason = reason.as_str(), "a note's audio was given up on");
        let effects = self.end(note, attempt, OutcomeKind::Failed, reason, why);
        Verdict { effects, settlement: dead_letter(reason, Stage::Fetch) }
    }

    /// The terminal event, and the same without personal data where the tenant wants it.
    fn end(&self, note: &VoiceNote, attempt: Attempt, kind: OutcomeKind, reason: Reason, why: &str) -> Vec<Event> {
        let mut report = Report::begin(note, attempt, &self.name);
        report.conclude(kind, reason, why);
        let processed: Processed = report.finish();
        let wants_redacted = self.tenants.get(&note.tenant).redacted_events;
        let redacted = wants_redacted.then(|| Event::redacted(redact(&processed, &BTreeMap::new()), None));
        [Event::processed(processed, None)].into_iter().chain(redacted).collect()
    }

    /// Says once when a channel's credentials stop to be accepted, and once when they are again.
    fn note_credentials(&self, own: &OpenChannel, refused: bool) {
        let mut locked_out = self.locked_out.lock().unwrap_or_else(PoisonError::into_inner);
        let name = own.name.as_str();
        if refused && locked_out.insert(name.to_owned()) {
            tracing::error!(channel = name, "the platform does not accept the channel's credentials; its notes wait");
        } else if !refused && locked_out.remove(name) {
            tracing::info!(channel = name, "the platform accepts the channel's credentials again");
        }
    }
}

fn is_young(queued_at: Option<Timestamp>) -> bool {
    queued_at.is_some_and(|at| Timestamp::now().duration_since(at) < CREDENTIALS_LIMIT)
}

fn dead_letter(reason: Reason, stage: Stage) -> Settlement {
    Settlement::DeadLetter(DeadLetterCause { reason, stage })
}

fn log_failure(error: &BrokerError, what: &str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{what}");
}

/// Why a note is not on its way to the workers.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the note's channel is not configured here")]
    NoChannel,
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Ours(#[from] NotTaken),
}

impl Failure {
    fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::NoChannel | Self::Ours(_) => Disposition::Retry,
            Self::Media(error) => error.disposition(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::NoChannel | Self::Ours(_) => Reason::AudioUnreachable,
            Self::Media(error) => error.reason(),
        }
    }
}
