//! Owns two figures: how many notes a second are carried, and how long a note takes at half of that.
//!
//! The first is taken with a bounded number of notes on their way: the next one leaves when one is answered. The
//! second is taken on a fixed schedule: a note leaves when it is due, however late the ones before it are, and its
//! time counts from when it was due. A bench that waited for answers would not see the delays it causes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    BenchError,
    flight::Figures,
    proc,
    rig::Rig,
    script::{self, Failures, Script},
    traffic::Traffic,
};
use crate::{app, config::Config, understanding};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seconds of each phase, …
    pub seconds: f64,
    /// … which ends earlier after so many notes.
    pub notes_max: u64,
    /// Notes on their way at a time while the throughput is measured; as many slots has the worker.
    pub in_flight: u16,
    /// Notes a second while the latency is measured; half of the throughput where none.
    pub rate: Option<f64>,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// "RabbitMQ" or "embedded queue".
    pub broker: &'static str,
    pub slots: u16,
    /// As fast as it goes.
    pub throughput: Figures,
    /// On a schedule.
    pub latency: Figures,
    /// The schedule, in notes a second.
    pub rate: f64,
    /// Processor time of this process (producer, worker and subscriber; not the broker) for each note, at full speed.
    pub processor_us_per_note: f64,
}

/// The share of a phase that does not count: caches fill, channels open.
const WARM_UP: f64 = 0.2;
/// Longest wait for the last answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often notes that are due are sent. Below what the latency is measured in.
const TICK: Duration = Duration::from_micros(500);

/// Runs both phases.
pub async fn run(mut config: Config, plan: &Plan) -> Result<Measured, BenchError> {
    config.speech = script::speech();
    config.understanding = understanding::Config::without_encoder();
    config.broker.publishes_max = config.broker.publishes_max.max(plan.in_flight);
    let pool = script::pool(plan.in_flight.into(), &Arc::new(Failures::none()))?;
    let rig = Rig::start(&config, app::stages_on(&config, pool)?).await?;
    let measured = measure(&rig, plan).await;
    rig.stop().await;
    measured
}

async fn measure(rig: &Rig, plan: &Plan) -> Result<Measured, BenchError> {
    let used_before = proc::processor_time().map_err(BenchError::Proc)?;
    let throughput = phase(rig, plan, None).await?;
    let used = proc::processor_time().map_err(BenchError::Proc)?.saturating_sub(used_before);
    let answered: u64 = throughput.outcomes.values().sum();
    let processor_us_per_note = used.as_secs_f64() * 1e6 / answered.max(1) as f64;
    let rate = plan.rate.unwrap_or(throughput.notes_per_s / 2.0).max(1.0);
    let latency = phase(rig, plan, Some(rate)).await?;
    Ok(Measured { broker: rig.kind, slots: plan.in_flight, throughput, latency, rate, processor_us_per_note })
}

/// One phase: at this rate, or as fast as it goes.
async fn phase(rig: &Rig, plan: &Plan, rate: Option<f64>) -> Result<Figures, BenchError> {
    let traffic = Traffic::open(&rig.broker).await?;
    let mut sender =
        Sender { plan, script: Script::new(), traffic: &traffic, started: Instant::now(), sent: 0, warm_at: None };
    match rate {
        None => sender.as_fast_as_possible().await,
        Some(rate) => sender.on_schedule(rate).await,
    }
    let since = sender.warm_at.unwrap_or(sender.started);
    traffic.wait_for_the_rest(PATIENCE).await;
    let figures = traffic.flight.figures(since);
    traffic.close().await?;
    if figures.unanswered > 0 || figures.refused > 0 {
        return Err(BenchError::Lost { unanswered: figures.unanswered, refused: figures.refused });
    }
    Ok(figures)
}

struct Sender<'a> {
    plan: &'a Plan,
    script: Script,
    traffic: &'a Traffic,
    started: Instant,
    sent: u64,
    /// When the time began that counts.
    warm_at: Option<Instant>,
}

impl Sender<'_> {
    async fn as_fast_as_possible(&mut self) {
        let seats = Arc::new(Semaphore::new(self.plan.in_flight.into()));
        while !self.is_over() {
            // Nobody closes it.
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
            self.send(Instant::now(), Some(seat));
        }
    }

    async fn on_schedule(&mut self, rate: f64) {
        let mut tick = tokio::time::interval(TICK);
        while !self.is_over() {
            tick.tick().await;
            let due_by_now = self.started.elapsed().as_secs_f64() * rate;
            while (self.sent as f64) < due_by_now && self.sent < self.plan.notes_max {
                let due = self.started + Duration::from_secs_f64(self.sent as f64 / rate);
                self.send(due, None);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.sent >= self.plan.notes_max || self.started.elapsed().as_secs_f64() >= self.plan.seconds
    }

    fn send(&mut self, due: Instant, seat: Option<OwnedSemaphorePermit>) {
        let done = (self.sent as f64 / self.plan.notes_max as f64)
            .max(self.started.elapsed().as_secs_f64() / self.plan.seconds);
        if done >= WARM_UP {
            self.warm_at.get_or_insert_with(Instant::now);
        }
        self.traffic.send(self.script.note(self.sent), due, seat);
        self.sent += 1;
    }
}
