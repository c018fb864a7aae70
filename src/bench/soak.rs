//! Owns the question whether a worker can run for ever: does what it holds stay the same, from the hundredth note to
//! the last, with failures of every kind mixed in?

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};

use super::{
    BenchError,
    flight::Figures,
    proc::Holdings,
    rig::Rig,
    script::{self, Failures, Script, Sent},
    traffic::Traffic,
};
use crate::{app, config::Config, retry::RetryPolicy, understanding};

/// How long, and of what.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seconds: f64,
    /// Notes a second; as fast as the model goes where there are clips.
    pub rate: f64,
    /// Audio files for the configured speech model. None: recognition is scripted.
    pub clips: Vec<Vec<u8>>,
}

/// What was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Soaked {
    /// "RabbitMQ" or "embedded queue".
    pub broker: &'static str,
    /// All notes, by what became of them.
    #[serde(flatten)]
    pub figures: Figures,
    /// Recognitions that failed on purpose, each of them tried again.
    pub failures: u64,
    /// What the process held after the first notes …
    pub first: Holdings,
    /// … at the end …
    pub last: Holdings,
    /// … and at most in between, each for itself.
    pub most: Holdings,
    /// Whether it stayed the same.
    pub flat: bool,
}

/// Notes after which what the process holds is looked at: connections, channels and caches are there by then.
const SETTLED_AFTER: u64 = 100;
/// The same with a speech model, of which few notes fit into a soak.
const SETTLED_AFTER_CLIPS: u64 = 20;
/// What caches and allocators may still take. In three minutes at 200 notes a second, a kilobyte a note is beyond it,
/// and so is a descriptor or a thread in a thousand notes.
const GROWTH_MAX: Holdings = Holdings { memory_bytes: 24 * 1024 * 1024, file_descriptors: 4, threads: 4 };
const SLOTS: usize = 8;
/// One recognition in so many fails once.
const FAIL_EVERY: u64 = 20;
/// One note in so many has audio that nobody can decode.
const BROKEN_EVERY: u64 = 10;
/// One message in so many is no note.
const NO_NOTE_EVERY: u64 = 50;
/// Notes on their way at a time where the model sets the pace.
const CLIPS_AT_A_TIME: usize = 4;
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for the last answers; a retry waits for a second, a clip for those before it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Sends notes for as long as planned, and looks at what the process holds meanwhile.
pub async fn run(mut config: Config, plan: &Plan) -> Result<Soaked, BenchError> {
    let failures = Arc::new(Failures::one_in(FAIL_EVERY));
    config.worker.retry = RetryPolicy { attempts_max: 5, first_delay_s: 0.2, factor: 2.0, delay_s_max: 1.0 };
    let stages = if plan.clips.is_empty() {
        config.speech = script::speech();
        config.understanding = understanding::Config::without_encoder();
        app::stages_on(&config, script::pool(SLOTS, &failures)?)?
    } else {
        app::stages(&config)?
    };
    let rig = Rig::start(&config, stages).await?;
    let soaked = soak(&rig, plan, &failures).await;
    rig.stop().await;
    soaked
}

async fn soak(rig: &Rig, plan: &Plan, failures: &Failures) -> Result<Soaked, BenchError> {
    let traffic = Traffic::open(&rig.broker).await?;
    let mut watch = Watch::of(if plan.clips.is_empty() { SETTLED_AFTER } else { SETTLED_AFTER_CLIPS });
    let started = Instant::now();
    send(plan, &traffic, &mut watch, started).await?;
    traffic.wait_for_the_rest(PATIENCE).await;
    watch.look(&traffic)?;
    let figures = traffic.flight.figures(started);
    traffic.close().await?;
    if figures.unanswered > 0 || figures.refused > 0 {
        return Err(BenchError::Lost { unanswered: figures.unanswered, refused: figures.refused });
    }
    let Some((first, last)) = watch.first.zip(watch.last) else {
        return Err(BenchError::TooShort { answered: figures.notes, wanted: watch.settled_after });
    };
    let (most, flat) = (watch.most, watch.is_flat());
    Ok(Soaked { broker: rig.kind, figures, failures: failures.made(), first, last, most, flat })
}

async fn send(plan: &Plan, traffic: &Traffic, watch: &mut Watch, started: Instant) -> Result<(), BenchError> {
    let (script, seats) = (Script::new(), Arc::new(Semaphore::new(CLIPS_AT_A_TIME)));
    let mut look = interval(LOOK);
    let mut tick = interval(Duration::from_secs_f64(1.0 / plan.rate));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while started.elapsed().as_secs_f64() < plan.seconds {
        let seat = tokio::select! {
            _ = look.tick() => {
                watch.look(traffic)?;
                continue;
            }
            _ = tick.tick(), if plan.clips.is_empty() => None,
            Ok(seat) = Arc::clone(&seats).acquire_owned(), if !plan.clips.is_empty() => Some(seat),
        };
        traffic.send(note(&script, &plan.clips, number), Instant::now(), seat);
        number += 1;
    }
    Ok(())
}

fn note(script: &Script, clips: &[Vec<u8>], number: u64) -> Sent {
    if number % NO_NOTE_EVERY == NO_NOTE_EVERY - 1 {
        script.no_note(number)
    } else if number % BROKEN_EVERY == BROKEN_EVERY - 1 {
        script.broken(number)
    } else if clips.is_empty() {
        script.note(number)
    } else {
        script.clip(number, &clips[number as usize % clips.len()])
    }
}

/// What the process holds, from a number of notes on.
struct Watch {
    settled_after: u64,
    first: Option<Holdings>,
    last: Option<Holdings>,
    most: Holdings,
}

impl Watch {
    fn of(settled_after: u64) -> Self {
        let most = Holdings { memory_bytes: 0, file_descriptors: 0, threads: 0 };
        Self { settled_after, first: None, last: None, most }
    }

    fn look(&mut self, traffic: &Traffic) -> Result<(), BenchError> {
        if traffic.flight.answered() < self.settled_after {
            return Ok(());
        }
        let now = Holdings::read().map_err(BenchError::Proc)?;
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.most = self.most.most(now);
        Ok(())
    }

    fn is_flat(&self) -> bool {
        self.first.is_some_and(|first| self.most.within(first, GROWTH_MAX))
    }
}
