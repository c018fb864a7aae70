//! Owns the one way in for all channels: from what a platform says to a message that is safe on a queue.
//!
//! Audio that came with its message is kept at once, and the note goes to the workers. Audio that lies with the
//! platform takes its time to be fetched, and the platform wants to be answered within a second: such a note goes to a
//! queue of the intake's own first, and [`super::collector`] takes it from there.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ChannelName, Incoming, Media, MediaError, OpenChannel, Parsed};
use crate::{
    broker::{Broker, BrokerError, Consumers, Exchange, Message, ResultQueue},
    event::envelope::{Received, received_message},
    note::{AudioSource, Channel, NoteId, Tenant, VoiceNote},
    outcome::Disposition,
    recordings::{RecordingError, Recordings},
};

/// Notes of one request that are worked on at a time.
const CONCURRENT: usize = 32;
/// Notes that are remembered, so that a platform that repeats itself costs little.
const REMEMBERED: usize = 10_000;
/// The type of events that tell of a note whose audio is not here yet; between gateways only, and no part of the
/// contract.
const ANNOUNCED: &str = "de.sprachpost.internal.voice-note.announced";

/// The queue of notes whose audio has to be fetched.
pub(super) fn queue() -> ResultQueue {
    ResultQueue { name: "intake".to_owned(), patterns: vec!["announced.#".to_owned()], consumers: Consumers::Many }
}

/// A note whose audio is not here yet, as it waits on the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The channel as it is configured: it knows how to fetch.
    pub name: ChannelName,
    pub tenant: Tenant,
    pub channel: Channel,
    pub incoming: Incoming,
}

impl Waiting {
    pub(super) fn into_note(self, audio: AudioSource) -> VoiceNote {
        self.incoming.into_note(self.tenant, self.channel, audio)
    }
}

/// Takes notes in. One serves the whole process; clones share everything.
#[derive(Clone)]
pub struct Intake {
    broker: Arc<dyn Broker>,
    recordings: Arc<Recordings>,
    taken: Arc<Taken>,
    turns: Arc<Turns>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, recordings: Arc<Recordings>) -> Self {
        Self { broker, recordings, taken: Arc::default(), turns: Arc::default() }
    }

    /// Where notes go, for channels that have to ask the queue themselves.
    pub(super) fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Makes the queue where it is missing. Without it, nothing that is accepted would be safe.
    ///
    /// # Errors
    /// If the broker does not make it.
    pub async fn declare(broker: &Arc<dyn Broker>) -> Result<(), BrokerError> {
        broker.declare_results(&queue()).await
    }

    /// Takes everything in that a platform told of at once. When this returns well, all of it is safe and the platform
    /// may forget it; otherwise the platform has to tell again, and what was taken already is then not taken twice.
    ///
    /// # Errors
    /// [`NotTaken`] with what stopped the first note that was not taken.
    pub async fn accept(&self, own: &OpenChannel, parsed: Parsed) -> Result<(), NotTaken> {
        let name = own.name.as_str();
        count(name, "ignored", parsed.ignored);
        count(name, "unreadable", parsed.unreadable);
        if parsed.unreadable > 0 {
            tracing::warn!(channel = name, messages = parsed.unreadable, "voice notes could not be read");
        }
        let take = |incoming| self.accept_one(own, incoming);
        stream::iter(parsed.notes).map(Ok).try_for_each_concurrent(CONCURRENT, take).await
    }

    async fn accept_one(&self, own: &OpenChannel, incoming: Incoming) -> Result<(), NotTaken> {
        let id = incoming.note_id(&own.tenant, &own.channel);
        // A platform may repeat itself while the first telling is still on its way.
        let _turn = self.turns.of(id).lock().await;
        if self.taken.holds(id) {
            count(own.name.as_str(), "repeated", 1);
            return Ok(());
        }
        let (name, tenant, channel) = (own.name.clone(), own.tenant.clone(), own.channel.clone());
        if let Media::Inline(audio) = &incoming.media {
            let audio = self.recordings.put(&audio.0).await?;
            self.broker.publish(Exchange::Notes, &note_message(incoming.into_note(tenant, channel, audio))).await?;
        } else {
            let waiting = Waiting { name, tenant, channel, incoming };
            self.broker.publish(Exchange::Results, &waiting_message(&waiting, id)).await?;
        }
        self.taken.remember(id);
        count(own.name.as_str(), "taken", 1);
        tracing::info!(note_id = %id, channel = %own.name, "note received");
        Ok(())
    }
}

/// The message that hands a note to the workers.
pub(super) fn note_message(note: VoiceNote) -> Message {
    received_message(&Received { note, traceparent: None }, Timestamp::now())
}

fn waiting_message(waiting: &Waiting, id: NoteId) -> Message {
    let body = serde_json::to_vec(waiting).expect("it has string keys only, and audio in memory never waits");
    let key = format!("announced.{}.{}", waiting.tenant, waiting.channel);
    let mut message = Message::event(id.event_id(ANNOUNCED), id.to_string(), key, body);
    message.content_type = Some("application/json".to_owned());
    message
}

pub(super) fn count(channel: &str, result: &'static str, messages: usize) {
    metrics::counter!("sprachpost_channel_messages_total", "channel" => channel.to_owned(), "result" => result)
        .increment(messages as u64);
}

/// One telling of a note at a time. Few notes share a turn by chance, and then wait for each other for milliseconds.
#[derive(Default)]
struct Turns([tokio::sync::Mutex<()>; 32]);

impl Turns {
    fn of(&self, id: NoteId) -> &tokio::sync::Mutex<()> {
        &self.0[usize::from(id.as_uuid().as_bytes()[15]) % self.0.len()]
    }
}

/// The notes that were taken last.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<(HashSet<NoteId>, VecDeque<NoteId>)>);

impl Taken {
    pub(super) fn holds(&self, id: NoteId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.contains(&id)
    }

    pub(super) fn remember(&self, id: NoteId) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ids, order) = &mut *taken;
        if ids.insert(id) {
            order.push_back(id);
        }
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            ids.remove(&oldest);
        }
    }
}

/// Why a note was not taken in; the platform tells again.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error("a note could not be queued")]
    Queue(#[from] BrokerError),
    #[error("a note's audio could not be kept")]
    Recording(#[from] RecordingError),
    #[error("the platform could not be asked about a note")]
    Asked(#[source] MediaError),
    #[error("notes were not taken within {limit_ms} ms")]
    TooSlow { limit_ms: u32 },
}

impl NotTaken {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Queue(error) => error.disposition(),
            Self::Recording(error) => error.disposition(),
            Self::Asked(error) => error.disposition(),
            Self::TooSlow { .. } => Disposition::Retry,
        }
    }
}
