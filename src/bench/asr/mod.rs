//! Owns the figures of recognition: how fast, how right, at what price, on recordings of which one knows what is said.
//!
//! Notes go the whole way that they go in production, through queue and worker, so that everything around recognition is
//! measured with it and can be told apart from it. Several profiles take turns, clip by clip, and so share whatever
//! else the machine does meanwhile.
//!
//! * [`clips`]: the recordings; `customers`: who sends them and waits.
//! * `meter`: recognition's own share of processor time; [`tally`]: what is counted.

pub mod clips;
mod customers;
mod meter;
mod tally;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;

pub use self::tally::{Latency, Row};
use self::{
    clips::Clip,
    customers::{Answered, Counter},
    meter::{Meter, Scope},
};
use super::{BenchError, proc, rig::Rig};
use crate::{
    app,
    asr::{Profile, pool::Pool},
    audio::{decode, speech},
    config::Config,
    event::processed::Timings,
    note::{AudioSource, Channel, Tenant, VoiceNote},
    tenants::{TenantConfig, Tenants},
};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    pub clips: Vec<Clip>,
    /// Each clip is heard by each of them in turn.
    pub profiles: Vec<Profile>,
    /// How often all of it is heard.
    pub rounds: usize,
    /// Notes on their way at a time; one a slot where none. One gives the latency of an idle machine.
    pub in_flight: Option<usize>,
    /// The notes say which language is spoken in them, where a label does. Otherwise it is detected.
    pub language_known: bool,
    /// Whose settings the notes are heard with.
    pub tenant: Option<Tenant>,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// "RabbitMQ" or "embedded queue".
    pub broker: &'static str,
    pub model: String,
    pub slots: usize,
    pub threads_per_slot: usize,
    pub in_flight: usize,
    /// In the order of the plan.
    pub profiles: Vec<OfProfile>,
    pub around: Around,
    /// The most memory that the process held.
    pub memory_bytes_max: u64,
}

/// What one profile came to.
#[derive(Debug, Clone, Serialize)]
pub struct OfProfile {
    pub profile: Profile,
    pub audio_s: f64,
    /// Its share of the time that passed: that of its notes in flight.
    pub elapsed_s: f64,
    /// Processor time of recognition.
    pub processor_s: f64,
    /// Seconds of audio a second that passed.
    pub real_time: f64,
    /// Seconds of audio a second of recognition's processor time.
    pub real_time_per_core: f64,
    /// All notes first, then by length, language and sound.
    pub rows: Vec<Row>,
}

/// Everything but the recogniser: producer, queue, fetching, decoding, finding speech, understanding, publishing.
#[derive(Debug, Clone, Serialize)]
pub struct Around {
    pub processor_s: f64,
    /// Percent of recognition's processor time, over all profiles.
    pub share: f64,
    /// The same without finding speech, which other recognisers count as theirs.
    pub share_without_detection: f64,
    /// Mean time that a note spends in these stages.
    pub decode_ms: f64,
    pub detect_ms: f64,
    pub understand_ms: f64,
}

/// Longer than any note is worked on.
const PATIENCE_MORE: Duration = Duration::from_mins(1);

/// Hears everything as planned.
///
/// # Errors
/// Before anything is heard, where the plan or the configuration cannot be followed; later, if notes went missing.
pub async fn run(mut config: Config, plan: &Plan) -> Result<Measured, BenchError> {
    config.worker.retry.attempts_max = 1;
    config.fetch.file_roots.extend(plan.clips.iter().filter_map(|clip| Some(clip.path.parent()?.to_owned())));
    config.fetch.file_roots.dedup();
    config.tenants = tenants(&config, plan);

    let slots = app::slots(&config);
    let threads = config.asr.threads_per_slot.max(1);
    let in_flight = plan.in_flight.unwrap_or(slots).max(1);
    let meter = Meter::new(if threads == 1 { Scope::Thread } else { Scope::Process });
    if threads > 1 && in_flight > 1 {
        return Err(BenchError::ThreadsAndNotes);
    }
    let (engine, metered) = (tokio::task::block_in_place(|| app::engines(&config))?, meter.clone());
    let pool = Pool::start(slots, move || Ok(metered.on(engine()?)))?;
    let patience = Duration::from_secs_f64(config.asr.time_limit_s_max) + PATIENCE_MORE;
    let rig = Rig::start(&config, app::stages_on(&config, pool)?).await?;
    let broker = rig.kind;
    let detection = tokio::task::block_in_place(|| detection(&config, &plan.clips))?;
    let measured = measure(&rig, plan, &meter, detection, in_flight, patience).await;
    rig.stop().await;
    let (profiles, around) = measured?;
    let memory_bytes_max = proc::memory_bytes_max().map_err(BenchError::Proc)?;
    let model = config.asr.model;
    Ok(Measured { broker, model, slots, threads_per_slot: threads, in_flight, profiles, around, memory_bytes_max })
}

/// One for each profile, with otherwise the same settings.
fn tenants(config: &Config, plan: &Plan) -> Tenants {
    let own = plan.tenant.as_ref().map(|tenant| config.tenants.get(tenant)).unwrap_or_default();
    let settings = |profile| {
        let quiet = TenantConfig { acknowledgement: Some(false), redacted_events: false, ..own.clone() };
        (name(profile).to_owned(), TenantConfig { asr_profile: Some(profile), ..quiet })
    };
    plan.profiles.iter().copied().map(settings).collect()
}

/// Of the tenant that has this profile.
fn name(profile: Profile) -> &'static str {
    match profile {
        Profile::Fast => "bench-fast",
        Profile::Balanced => "bench-balanced",
        Profile::Accurate => "bench-accurate",
    }
}

async fn measure(
    rig: &Rig,
    plan: &Plan,
    meter: &Meter,
    detection: Duration,
    in_flight: usize,
    patience: Duration,
) -> Result<(Vec<OfProfile>, Around), BenchError> {
    let counter = Counter::open(&rig.broker, patience).await?;
    // Buffers, caches and connections are there before anything counts.
    let first = Plan { clips: plan.clips.iter().take(1).cloned().collect(), rounds: 1, ..plan.clone() };
    counter.serve(notes(&first), in_flight).await?;
    meter.take();

    let used_before = proc::processor_time().map_err(BenchError::Proc)?;
    let answers = counter.serve(notes(plan), in_flight).await;
    let used = proc::processor_time().map_err(BenchError::Proc)?.saturating_sub(used_before);
    counter.close().await;
    let (answers, recognition) = (answers?, meter.take());
    let around = around(&answers, used, &recognition, detection);
    let profile = |(index, &profile)| {
        // Notes were sent clip by clip, each to one profile after the other.
        let own = plan.clips.iter().cycle().zip(answers.iter().skip(index).step_by(plan.profiles.len()));
        let own: Vec<(&Clip, &Answered)> = own.collect();
        of_profile(profile, &own, recognition.get(&profile).copied().unwrap_or_default(), in_flight)
    };
    Ok((plan.profiles.iter().enumerate().map(profile).collect(), around))
}

/// In the order in which they are sent.
fn notes(plan: &Plan) -> impl Iterator<Item = VoiceNote> {
    let run = uuid::Uuid::new_v4();
    let clips = (0..plan.rounds).flat_map(|round| plan.clips.iter().enumerate().map(move |clip| (round, clip)));
    clips.flat_map(move |(round, (index, clip))| {
        plan.profiles.iter().map(move |&profile| {
            let audio = AudioSource::File { path: clip.path.to_string_lossy().into_owned() };
            let tenant: Tenant = name(profile).parse().expect("a name of letters and a hyphen");
            let mut note = VoiceNote::new(tenant, Channel::upload(), format!("{run}-{round}-{index}"), audio);
            note.language = clip.language.clone().filter(|_| plan.language_known);
            note
        })
    })
}

fn of_profile(profile: Profile, notes: &[(&Clip, &Answered)], processor: Duration, in_flight: usize) -> OfProfile {
    let rows = tally::rows(notes.iter().copied());
    let audio_s = rows.first().map_or(0.0, |all| all.audio_s);
    let waited_s: f64 = notes.iter().map(|(_, answered)| answered.took.as_secs_f64()).sum();
    let (elapsed_s, processor_s) = (waited_s / in_flight as f64, processor.as_secs_f64());
    let (real_time, real_time_per_core) = (audio_s / elapsed_s, audio_s / processor_s);
    OfProfile { profile, audio_s, elapsed_s, processor_s, real_time, real_time_per_core, rows }
}

/// How long it takes to find speech in a recording, on average: it has no time of its own in a note's result. What cannot
/// be decoded takes none.
fn detection(config: &Config, clips: &[Clip]) -> Result<Duration, BenchError> {
    let mut taken = Duration::ZERO;
    for clip in clips {
        let unreadable = |source| BenchError::Clip { path: clip.path.clone(), source };
        let audio = std::fs::read(&clip.path).map_err(unreadable)?;
        if let Ok(decoded) = decode::decode(&audio, &config.audio) {
            let began = Instant::now();
            std::hint::black_box(speech::detect(&decoded.pcm, &config.speech));
            taken += began.elapsed();
        }
    }
    Ok(taken / u32::try_from(clips.len().max(1)).unwrap_or(u32::MAX))
}

/// `detection`: what finding speech takes a note.
fn around(
    answers: &[Answered],
    used: Duration,
    recognition: &BTreeMap<Profile, Duration>,
    detection: Duration,
) -> Around {
    let recognition: Duration = recognition.values().sum();
    let processor_s = used.saturating_sub(recognition).as_secs_f64();
    let share = |processor_s: f64| 100.0 * processor_s / recognition.as_secs_f64();
    let detection_s = detection.as_secs_f64() * answers.len() as f64;
    let mean = |stage: fn(&Timings) -> Option<u64>| {
        let times: Vec<u64> = answers.iter().filter_map(|answer| stage(&answer.processed.timings_ms)).collect();
        times.iter().sum::<u64>() as f64 / times.len().max(1) as f64
    };
    Around {
        processor_s,
        share: share(processor_s),
        share_without_detection: share((processor_s - detection_s).max(0.0)),
        decode_ms: mean(|timings| timings.decode),
        detect_ms: 1000.0 * detection.as_secs_f64(),
        understand_ms: mean(|timings| timings.understand),
    }
}
