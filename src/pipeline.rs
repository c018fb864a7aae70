//! Read this first: what happens to one voice note, from top to bottom.
//!
//! ```text
//! fetch ─► decode ─► speech? ─► transcribe ─► trustworthy? ─► understand ─► suggest (─► draft) ─► Outcome
//! ```
//!
//! [`process`] turns a note into an [`Outcome`]: what to publish, and what to tell the broker. It performs neither;
//! [`crate::worker`] does. It knows nothing of queues, only which attempt this is. Stages return values, or an error
//! that says whether another attempt can help.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    asr::{
        self, AsrError, Effort, Hints, Limit, Recognised, Transcriber,
        long::LongNote,
        pool::{Pool, Precedence},
        stretches,
        trust::{self, Verdict},
    },
    audio::{
        Pcm,
        decode::{self, DecodeError},
        fetch::{FetchError, Fetcher},
        pauses::{self, Pauses},
        speech,
    },
    backlog::Relief,
    broker::Lane,
    event::{
        Event, Processed, Reason,
        envelope::Received,
        processed::{OutcomeKind, Reply},
    },
    learning::{Learning, Learnt},
    note::VoiceNote,
    outcome::{DeadLetterCause, Disposition, Outcome, Settlement, Stage},
    reply::{self, draft::Drafter},
    report::{Attempt, Report},
    retry::RetryPolicy,
    tenants::Tenants,
    understanding::redaction,
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
    /// By which playbook notes are read that begin now.
    pub learning: Learning,
    /// Says suggestions once more, where the operator has a language model for that.
    pub drafter: Option<Drafter>,
    pub tenants: Tenants,
    pub retry: RetryPolicy,
    /// Seconds from which on a note waits on the lane of long ones.
    pub long_s: f64,
    /// Names this worker in events.
    pub worker: String,
}

/// Processes one note, reading it by what was `learnt`. Dropping the future abandons the work on it.
pub async fn process(received: &Received, attempt: Attempt, learnt: &Arc<Learnt>, stages: &Arc<Stages>) -> Outcome {
    let note = &received.note;
    let mut report = Report::begin(note, attempt, &stages.worker);
    if attempt.relief == Some(Relief::SetAside) {
        return set_aside(report, received);
    }
    let result = listen(note, attempt, learnt, stages, &mut report).await;
    let settlement = match result {
        Ok(Listened::Answered) => {
            rephrase(attempt, learnt, stages, &mut report).await;
            Settlement::Ack
        }
        Ok(Listened::IsLong) => return Outcome::settled(Settlement::Move(Lane::Long)),
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

/// What became of a note that was listened to.
enum Listened {
    /// The report says it all.
    Answered,
    /// Others would wait behind it here.
    IsLong,
}

/// Gets the audio, then takes a slot for everything that blocks. A long note takes one for each of its stretches.
async fn listen(
    note: &VoiceNote,
    attempt: Attempt,
    learnt: &Arc<Learnt>,
    stages: &Arc<Stages>,
    report: &mut Report,
) -> Result<Listened, Failure> {
    let audio = report.timed_async(Stage::Fetch, stages.fetcher.fetch(&note.audio)).await?;

    let abandoned = AbandonOnDrop::default();
    let hearing = Hearing {
        note: note.clone(),
        attempt,
        abandoned: abandoned.flag(),
        learnt: Arc::clone(learnt),
        stages: Arc::clone(stages),
    };
    let first = hearing.clone();
    match hearing.on_a_slot(report, move |engine, report| first.hear(&audio, engine, report)).await? {
        Heard::Answered => Ok(Listened::Answered),
        Heard::Long(pcm, _) if attempt.lane == Lane::Regular && pcm.duration_s() > stages.long_s => {
            Ok(Listened::IsLong)
        }
        Heard::Long(pcm, pauses) => {
            let long = hearing.long_note(pcm);
            let recognised = report.timed_async(Stage::Transcribe, long.transcribe(&stages.pool, &stages.asr)).await?;
            let (last, pcm) = (hearing.clone(), Arc::clone(&long.pcm));
            hearing
                .on_a_slot(report, move |_, report| {
                    last.answer(recognised, &pauses, &pcm, report);
                    Ok(())
                })
                .await?;
            Ok(Listened::Answered)
        }
    }
}

/// One note on its way through the slots.
#[derive(Clone)]
struct Hearing {
    note: VoiceNote,
    attempt: Attempt,
    abandoned: Arc<AtomicBool>,
    learnt: Arc<Learnt>,
    stages: Arc<Stages>,
}

/// What there is after the first slot.
enum Heard {
    Answered,
    /// Too long to be heard at once; its silences are shortened.
    Long(Pcm, Pauses),
}

impl Hearing {
    /// Runs `work` on a slot. What the report learnt stays, whether the work fails or not.
    async fn on_a_slot<T: Send + 'static>(
        &self,
        report: &mut Report,
        work: impl FnOnce(&mut dyn Transcriber, &mut Report) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut seen = report.clone();
        let precedence = if self.attempt.lane == Lane::Urgent { Precedence::Urgent } else { Precedence::Normal };
        let ran = self.stages.pool.run(precedence, move |engine| {
            let result = work(engine, &mut seen);
            (seen, result)
        });
        let (seen, result) = ran.await?;
        *report = seen;
        result
    }

    /// From bytes to an answer, or to samples where they are too many to be heard at once.
    fn hear(&self, audio: &[u8], engine: &mut dyn Transcriber, report: &mut Report) -> Result<Heard, Failure> {
        let stages = &self.stages;
        let decoded = report.timed(Stage::Decode, || decode::decode(audio, &stages.decode))?;
        report.data.audio = Some(decoded.info);

        let activity = speech::detect(&decoded.pcm, &stages.speech);
        if let Some(reason) = activity.verdict.reason() {
            report.conclude(OutcomeKind::NoSpeech, reason, "nobody speaks in the note");
            return Ok(Heard::Answered);
        }
        let (pcm, pauses) = pauses::shorten(decoded.pcm, &activity, &stages.speech);
        if pcm.0.len() > stretches::SAMPLES_MAX {
            return Ok(Heard::Long(pcm, pauses));
        }
        let hints = self.hints(pcm.duration_s());
        let recognised = report.timed(Stage::Transcribe, || engine.transcribe(&pcm, &hints))?;
        self.answer(recognised, &pauses, &pcm, report);
        Ok(Heard::Answered)
    }

    fn long_note(&self, pcm: Pcm) -> LongNote {
        let patience = Precedence::Patient(Duration::from_secs_f64(self.stages.asr.long_patience_s));
        LongNote {
            hints: self.hints(pcm.duration_s()),
            pcm: Arc::new(pcm),
            precedence: if self.attempt.lane == Lane::Urgent { Precedence::Urgent } else { patience },
            abandoned: Arc::clone(&self.abandoned),
        }
    }

    fn hints(&self, duration_s: f64) -> Hints {
        let tenant = self.stages.tenants.get(&self.note.tenant);
        Hints {
            language: self.note.language.clone().or(tenant.language),
            languages_accepted: tenant.languages,
            profile: tenant.asr_profile.unwrap_or(self.stages.asr.profile),
            effort: self.attempt.relief.map_or(Effort::Usual, Relief::effort),
            glossary: tenant.glossary,
            limit: Limit::after(self.stages.asr.time_limit(duration_s), Arc::clone(&self.abandoned)),
        }
    }

    /// What is to be said to what was recognised in `pcm`, which is without the `pauses`.
    fn answer(&self, recognised: Recognised, pauses: &Pauses, pcm: &Pcm, report: &mut Report) {
        let (stages, learnt, note) = (&self.stages, &self.learnt, &self.note);
        let restricted = !stages.tenants.get(&note.tenant).languages.is_empty();
        match trust::judge(&recognised, pcm, restricted, &stages.asr.trust) {
            Verdict::NoSpeech(reason) => report.conclude(OutcomeKind::NoSpeech, reason, "nobody speaks in the note"),
            // The text stays away: what nobody should act on is not published.
            Verdict::Unintelligible(reason) => {
                report.conclude(
                    OutcomeKind::Unintelligible,
                    reason,
                    "the recognised text cannot be trusted; listen to it",
                );
            }
            Verdict::Believable => {
                let mut transcript = recognised.transcript;
                pauses.restore(&mut transcript);
                let understanding =
                    report.timed(Stage::Understand, || learnt.understander.understand_at(&transcript, note.sent_at));
                let suggested = reply::suggest(&learnt.playbook, note, &transcript, &understanding, Timestamp::now());
                report.data.reply = Some(suggested.reply);
                report.data.route = Some(suggested.route);
                report.data.follow_up = suggested.follow_up;
                report.data.understanding = Some(understanding);
                report.data.transcript = Some(transcript);
            }
        }
    }
}

/// Has the suggestion said in the customer's tone, where there is a model for that and nobody waits behind the note. It
/// needs no slot, and whatever comes of it, there is a suggestion.
async fn rephrase(attempt: Attempt, learnt: &Learnt, stages: &Stages, report: &mut Report) {
    let Some(drafter) = stages.drafter.as_ref().filter(|_| attempt.relief.is_none()) else { return };
    let Some(material) = drafter.material(&report.data, &learnt.playbook) else { return };
    let (draft, drafting) = report.timed_async(Stage::Draft, drafter.draft(&material)).await;
    report.data.drafting = Some(drafting);
    if let (Some(draft), Some(Reply::Suggestion { text, .. })) = (draft, &mut report.data.reply) {
        *text = draft;
    }
}

/// The outcome of a note that is not heard because too many others wait: people can have it replayed later.
fn set_aside(mut report: Report, received: &Received) -> Outcome {
    let reason = Reason::Backlog;
    report.conclude(OutcomeKind::Failed, reason, "too many notes wait; this one was set aside without being heard");
    let cause = DeadLetterCause { reason, stage: Stage::Receive };
    let event = Event::processed(report.finish(), received.traceparent.clone());
    Outcome { effects: vec![event], settlement: Settlement::DeadLetter(cause) }
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

/// The same result for consumers that may not see personal data, where the tenant wants it.
#[must_use]
pub fn redacted(processed: &Processed, traceparent: Option<&str>, learnt: &Learnt, stages: &Stages) -> Option<Event> {
    let tenant = stages.tenants.get(processed.tenant.as_ref()?);
    let redacted = || redaction::redact(processed, &learnt.playbook.entities);
    tenant.redacted_events.then(|| Event::redacted(redacted(), traceparent.map(str::to_owned)))
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
