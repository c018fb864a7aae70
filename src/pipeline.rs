//! Read this first: what happens to one voice note, from top to bottom.
//!
//! ```text
//! fetch ─► decode ─► speech? ─► transcribe ─► trustworthy? ─► understand ─► suggest ─► Outcome
//! ```
//!
//! [`process`] turns a note into an [`Outcome`]: what to publish, and what to tell the broker. It performs neither;
//! [`crate::worker`] does. It knows nothing of queues, only which attempt this is. Stages return values, or an error
//! that says whether another attempt can help.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;

use crate::{
    asr::{
        self, AsrError, Hints, Limit, Transcriber,
        pool::Pool,
        trust::{self, Verdict},
    },
    audio::{
        decode::{self, DecodeError},
        fetch::{FetchError, Fetcher},
        speech,
    },
    event::{Event, Reason, envelope::Received, processed::OutcomeKind},
    note::VoiceNote,
    outcome::{DeadLetterCause, Disposition, Outcome, Settlement, Stage},
    reply,
    report::{Attempt, Report},
    retry::RetryPolicy,
    tenants::Tenants,
    understanding::{Understander, playbook::Playbook},
};

/// Everything a note passes through; made once at start, shared by all notes.
#[derive(Debug)]
pub struct Stages {
    pub fetcher: Fetcher,
    /// Where decoding, recognition and understanding run: they block.
    pub pool: Pool,
    pub decode: decode::Config,
    pub speech: speech::Config,
    pub asr: asr::Config,
    pub understander: Understander,
    pub playbook: Playbook,
    pub tenants: Tenants,
    pub retry: RetryPolicy,
    /// Names this worker in events.
    pub worker: String,
}

/// Processes one note. Dropping the future abandons the work on it.
pub async fn process(received: &Received, attempt: Attempt, stages: &Arc<Stages>) -> Outcome {
    let note = &received.note;
    let mut report = Report::begin(note, attempt, &stages.worker);
    let result = listen(note, stages, &mut report).await;
    let settlement = match result {
        Ok(()) => Settlement::Ack,
        Err(failure) => match failure.disposition() {
            Disposition::Fail => {
                report.conclude(OutcomeKind::Rejected, failure.reason(), failure.to_string());
                Settlement::Ack
            }
            Disposition::Retry => {
                if let Some(after) = stages.retry.delay_after(attempt.number, note.id()) {
                    return Outcome::retry(after, failure.reason());
                }
                report.conclude(OutcomeKind::Failed, failure.reason(), failure.to_string());
                Settlement::DeadLetter(DeadLetterCause { reason: failure.reason(), stage: failure.stage() })
            }
        },
    };
    let event = Event::processed(report.finish(), received.traceparent.clone());
    Outcome { effects: vec![event], settlement }
}

/// Gets the audio, then takes a slot for everything that blocks.
async fn listen(note: &VoiceNote, stages: &Arc<Stages>, report: &mut Report) -> Result<(), Failure> {
    let audio = report.timed_async(Stage::Fetch, stages.fetcher.fetch(&note.audio)).await?;

    let abandoned = AbandonOnDrop::default();
    let (mut seen, stages, note, flag) = (report.clone(), Arc::clone(stages), note.clone(), abandoned.flag());
    let slot = stages.pool.clone();
    let (seen, result) = slot
        .run(move |engine| {
            let result = hear(&audio, &note, engine, flag, &stages, &mut seen);
            (seen, result)
        })
        .await?;
    *report = seen;
    result
}

/// From bytes to an answer, on one slot of the pool.
fn hear(
    audio: &[u8],
    note: &VoiceNote,
    engine: &mut dyn Transcriber,
    abandoned: Arc<AtomicBool>,
    stages: &Stages,
    report: &mut Report,
) -> Result<(), Failure> {
    let decoded = report.timed(Stage::Decode, || decode::decode(audio, &stages.decode))?;
    report.data.audio = Some(decoded.info);

    let activity = speech::detect(&decoded.pcm, &stages.speech);
    if let Some(reason) = activity.verdict.reason() {
        report.conclude(OutcomeKind::NoSpeech, reason, "nobody speaks in the note");
        return Ok(());
    }

    let tenant = stages.tenants.get(&note.tenant);
    let hints = Hints {
        language: note.language.clone().or_else(|| tenant.language.clone()),
        languages_accepted: tenant.languages.clone(),
        limit: Limit::after(stages.asr.time_limit(decoded.pcm.duration_s()), abandoned),
    };
    let recognised = report.timed(Stage::Transcribe, || engine.transcribe(&decoded.pcm, &hints))?;

    let restricted = !hints.languages_accepted.is_empty();
    match trust::judge(&recognised, decoded.pcm.duration_s(), restricted, &stages.asr.trust) {
        Verdict::NoSpeech(reason) => report.conclude(OutcomeKind::NoSpeech, reason, "nobody speaks in the note"),
        // The text stays away: what nobody should act on is not published.
        Verdict::Unintelligible(reason) => {
            report.conclude(OutcomeKind::Unintelligible, reason, "the recognised text cannot be trusted; listen to it");
        }
        Verdict::Believable => {
            let transcript = recognised.transcript;
            let understanding = report.timed(Stage::Understand, || {
                Ok::<_, Failure>(stages.understander.understand_at(&transcript, note.sent_at))
            })?;
            let suggested = reply::suggest(&stages.playbook, note, &transcript, &understanding, Timestamp::now());
            report.data.reply = Some(suggested.reply);
            report.data.route = Some(suggested.route);
            report.data.follow_up = suggested.follow_up;
            report.data.understanding = Some(understanding);
            report.data.transcript = Some(transcript);
        }
    }
    Ok(())
}

/// The outcome of a note that took its process down as often as the broker allows.
#[must_use]
pub fn crashed(received: &Received, attempt: Attempt, worker: &str) -> Outcome {
    let mut report = Report::begin(&received.note, attempt, worker);
    report.conclude(OutcomeKind::Failed, Reason::WorkerCrashed, "the process that worked on the note died, every time");
    let cause = DeadLetterCause { reason: Reason::WorkerCrashed, stage: Stage::Receive };
    let event = Event::processed(report.finish(), received.traceparent.clone());
    Outcome { effects: vec![event], settlement: Settlement::DeadLetter(cause) }
}

/// Sets its flag when it is dropped, and with it the work that nobody waits for any more gives up.
#[derive(Default)]
struct AbandonOnDrop(Arc<AtomicBool>);

impl AbandonOnDrop {
    fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What can go wrong with a note, by stage. The texts reach terminal events; none repeats what a customer said.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Transcribe(#[from] AsrError),
}

impl Failure {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Fetch(e) => e.disposition(),
            Self::Decode(e) => e.disposition(),
            Self::Transcribe(e) => e.disposition(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Fetch(e) => e.reason(),
            Self::Decode(e) => e.reason(),
            Self::Transcribe(e) => e.reason(),
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Fetch(_) => Stage::Fetch,
            Self::Decode(_) => Stage::Decode,
            Self::Transcribe(_) => Stage::Transcribe,
        }
    }
}
