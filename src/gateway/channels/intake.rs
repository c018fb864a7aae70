//! Owns the one way in for all channels: from what a platform says to a note on the queue whose audio is kept.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{Incoming, Media, MediaError, OpenChannel, Parsed};
use crate::{
    broker::{Broker, BrokerError, Exchange},
    event::envelope::{Received, received_message},
    note::{AudioSource, NoteId},
    recordings::{RecordingError, Recordings},
};

/// Notes of one request that are worked on at a time.
const CONCURRENT: usize = 16;
/// Notes that are remembered as taken, so that a platform that repeats itself costs little.
const REMEMBERED: usize = 10_000;

/// Takes notes in. One serves the whole process; clones share everything.
#[derive(Clone)]
pub struct Intake {
    broker: Arc<dyn Broker>,
    recordings: Arc<Recordings>,
    taken: Arc<Taken>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, recordings: Arc<Recordings>) -> Self {
        Self { broker, recordings, taken: Arc::default() }
    }

    /// Takes everything in that a platform told of at once. When this returns well, all of it is safe and the platform
    /// may forget it; otherwise the platform has to tell again, and what was taken already is then not taken twice.
    ///
    /// # Errors
    /// [`NotTaken`] with what stopped the first note that was not taken.
    pub async fn accept(&self, own: &Arc<OpenChannel>, parsed: Parsed) -> Result<(), NotTaken> {
        count(own, "ignored", parsed.ignored);
        count(own, "unreadable", parsed.unreadable);
        if parsed.unreadable > 0 {
            tracing::warn!(channel = %own.name, messages = parsed.unreadable, "voice notes could not be read");
        }
        let take = |incoming| self.accept_one(own, incoming);
        stream::iter(parsed.notes).map(Ok).try_for_each_concurrent(CONCURRENT, take).await
    }

    async fn accept_one(&self, own: &Arc<OpenChannel>, incoming: Incoming) -> Result<(), NotTaken> {
        let id = incoming.note_id(own);
        if self.taken.holds(id) {
            count(own, "repeated", 1);
            return Ok(());
        }
        let audio = match &incoming.media {
            Media::Inline(bytes) => self.recordings.put(&bytes.0).await?,
            Media::Remote(remote) => self.recordings.put(&own.platform.fetch(remote).await?).await?,
        };
        self.queue(own, incoming, audio).await?;
        self.taken.remember(id);
        count(own, "taken", 1);
        tracing::info!(note_id = %id, channel = %own.name, "note received and queued");
        Ok(())
    }

    async fn queue(&self, own: &OpenChannel, incoming: Incoming, audio: AudioSource) -> Result<(), NotTaken> {
        let received = Received { note: incoming.into_note(own, audio), traceparent: None };
        self.broker.publish(Exchange::Notes, &received_message(&received, Timestamp::now())).await?;
        Ok(())
    }
}

fn count(own: &OpenChannel, result: &'static str, messages: usize) {
    metrics::counter!("sprachpost_channel_messages_total", "channel" => own.name.to_string(), "result" => result)
        .increment(messages as u64);
}

/// The notes that were taken last.
#[derive(Debug, Default)]
struct Taken(Mutex<(HashSet<NoteId>, VecDeque<NoteId>)>);

impl Taken {
    fn holds(&self, id: NoteId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.contains(&id)
    }

    fn remember(&self, id: NoteId) {
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
    #[error("a note's audio could not be fetched")]
    Media(#[from] MediaError),
    #[error("notes were not taken within {limit_ms} ms")]
    TooSlow { limit_ms: u32 },
}
