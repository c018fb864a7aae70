//! Owns what is known about a note so far, and how long each stage took; it becomes the terminal event.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::{
    backlog::Relief,
    broker::{Lane, Message},
    event::{
        EventError, Processed, Reason,
        envelope::sender_of_unreadable,
        processed::{Abstained, OutcomeKind, Reply, Timings},
    },
    note::{NoteId, VoiceNote},
    outcome::Stage,
};

const SOFTWARE: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Which attempt at a note this is.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When the note was first queued, where known.
    pub queued_at: Option<Timestamp>,
    /// The lane that the note came on.
    pub lane: Lane,
    /// What is left out because too many others wait.
    pub relief: Option<Relief>,
    /// How often people sent the note back to work from the dead letters.
    pub replay: u32,
}

impl Attempt {
    /// The only attempt at a note that came from no queue.
    #[must_use]
    pub fn only() -> Self {
        // Nobody waits behind it.
        Self { number: 1, queued_at: None, lane: Lane::Long, relief: None, replay: 0 }
    }
}

/// The terminal event in the making.
#[derive(Debug, Clone)]
pub struct Report {
    pub data: Processed,
    started: Instant,
}

impl Report {
    #[must_use]
    pub fn begin(note: &VoiceNote, attempt: Attempt, worker: &str) -> Self {
        let mut report = Self::blank(note.id(), attempt, worker);
        let data = &mut report.data;
        data.tenant = Some(note.tenant.clone());
        data.channel = Some(note.channel.clone());
        data.message_id = Some(note.message_id.clone());
        data.conversation.clone_from(&note.conversation);
        data.ticket.clone_from(&note.ticket);
        data.sender.clone_from(&note.sender);
        data.sent_at = note.sent_at;
        data.reply_window_ends_at = note.reply_window_ends_at;
        data.recording = note.audio.recording();
        report
    }

    /// The terminal event of a message that is no note, under the ids that it names itself, where it does.
    #[must_use]
    pub fn of_unreadable(message: &Message, error: &EventError, attempt: Attempt, worker: &str) -> Self {
        let mut report = Self::blank(Self::id_of_unreadable(message), attempt, worker);
        if let Some((tenant, channel, message_id)) = sender_of_unreadable(message) {
            report.data.tenant = Some(tenant);
            report.data.channel = Some(channel);
            report.data.message_id = Some(message_id);
        }
        report.conclude(OutcomeKind::Rejected, error.reason(), error.to_string());
        report
    }

    /// The note that such an event is about.
    #[must_use]
    pub fn id_of_unreadable(message: &Message) -> NoteId {
        match sender_of_unreadable(message) {
            Some((tenant, channel, message_id)) => NoteId::of(&tenant, &channel, &message_id),
            None => NoteId::of_unreadable(&message.body),
        }
    }

    fn blank(note_id: NoteId, attempt: Attempt, worker: &str) -> Self {
        let waited = attempt.queued_at.map(|at| Timestamp::now().duration_since(at).as_millis().max(0));
        let data = Processed {
            note_id,
            tenant: None,
            channel: None,
            message_id: None,
            conversation: None,
            ticket: None,
            sender: None,
            sent_at: None,
            reply_window_ends_at: None,
            outcome: OutcomeKind::Completed,
            reason: None,
            detail: None,
            audio: None,
            recording: None,
            transcript: None,
            understanding: None,
            reply: None,
            drafting: None,
            route: None,
            follow_up: None,
            relief: attempt.relief,
            timings_ms: Timings { queue: waited.and_then(|ms| ms.try_into().ok()), ..Timings::default() },
            attempt: attempt.number,
            replay: attempt.replay,
            worker: worker.to_owned(),
            software: SOFTWARE.to_owned(),
        };
        Self { data, started: Instant::now() }
    }

    /// Ends the note otherwise than as `completed`. `detail` is for people and never repeats the customer.
    pub fn conclude(&mut self, outcome: OutcomeKind, reason: Reason, detail: impl Into<String>) {
        self.data.outcome = outcome;
        self.data.reason = Some(reason);
        self.data.detail = Some(detail.into());
        self.data.reply = Some(Reply::Abstention { reason: Abstained::NothingUnderstood });
    }

    /// Runs a stage and keeps its time.
    pub fn timed<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.keep(stage, started.elapsed());
        result
    }

    /// Waits for a stage and keeps its time.
    pub async fn timed_async<T>(&mut self, stage: Stage, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let result = work.await;
        self.keep(stage, started.elapsed());
        result
    }

    fn keep(&mut self, stage: Stage, elapsed: Duration) {
        let timings = &mut self.data.timings_ms;
        let kept = match stage {
            Stage::Receive | Stage::Ticket => return,
            Stage::Fetch => &mut timings.fetch,
            Stage::Decode => &mut timings.decode,
            Stage::Transcribe => &mut timings.transcribe,
            Stage::Understand => &mut timings.understand,
            Stage::Draft => &mut timings.draft,
        };
        *kept = Some(milliseconds(elapsed));
    }

    /// The event, with the time that all of it took.
    #[must_use]
    pub fn finish(mut self) -> Processed {
        self.data.timings_ms.total = milliseconds(self.started.elapsed());
        self.data
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
