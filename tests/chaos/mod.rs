//! Real faults, really injected: processes killed, brokers restarted, connections cut and stalled at the worst moments.

mod cluster;
mod faults;
mod ledger;
mod logs;
mod poison;
mod shutdown;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use sprachpost::broker::{self, Broker, Config, Lane, topology};
use tokio::task::JoinHandle;

use crate::support::{
    ledger::{Collector, Expected, Ledger, submit},
    random::Random,
    runtime, until,
    voices::{LINES, Voice, Voices},
    worker::{Job, WorkerProcess},
};

/// Short limits, so that every one of them is met; and deliveries enough for the unluckiest of notes.
fn config() -> Config {
    Config {
        connect_s_max: 3,
        declare_s_max: 5,
        confirm_s_max: 2,
        heartbeat_s: 4,
        reconnect_s_max: 1,
        deliveries_max: 1000,
        retry_delays_s: vec![1],
        lease_s: 2,
        ..Config::default()
    }
}

/// Longer than the only delay that retries have here.
const EMPTY_FOR: Duration = Duration::from_secs(3);

/// A broker, as soon as it is there.
async fn opened(url: &str, config: &Config) -> Arc<dyn Broker> {
    loop {
        match broker::open(Some(&url.into()), config).await {
            Ok(broker) => break broker,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Declares the topology, and starts to collect its results.
fn collect(url: &str, config: &Config, ledger: &Ledger) -> Collector {
    runtime().block_on(async {
        opened(url, config).await.close().await;
        Collector::start(url.to_owned(), ledger.clone()).await
    })
}

/// Hands notes in as they come, evenly over the time; their ids begin with `prefix`.
fn produce(
    job: &Job,
    voices: &Voices,
    ledger: &Ledger,
    prefix: &str,
    count: u32,
    duration: Duration,
) -> JoinHandle<()> {
    let notes: Vec<_> = (0..count)
        .map(|number| {
            let line = number as usize % LINES.len();
            let received = voices.note(&format!("{prefix}{number}"), Voice::Says(line));
            ledger.expect(&received, Expected { outcome: "completed", text: Some(LINES[line].to_owned()) });
            received
        })
        .collect();
    let job = job.clone();
    runtime().spawn(async move {
        let broker = opened(&job.url, &job.broker).await;
        let start = tokio::time::Instant::now();
        let pace = duration / count;
        stream::iter((0..count).zip(notes))
            .for_each_concurrent(50, |(number, note)| {
                let broker = &broker;
                async move {
                    tokio::time::sleep_until(start + pace * number).await;
                    submit(broker, &note).await;
                }
            })
            .await;
        broker.close().await;
    })
}

/// Nothing is left anywhere, but for so many dead letters: not even what a careful producer handed in twice.
fn assert_empty(collector: &Collector, dead_letters: u32) {
    let lanes = Lane::ALL.map(|lane| lane.queue().to_owned());
    let retries = [Lane::Regular, Lane::Urgent].map(|lane| topology::retry_queue(lane, 1));
    let queues: Vec<_> = lanes.into_iter().chain(retries).chain([topology::CRASHED_QUEUE.to_owned()]).collect();
    // All of them for longer than a retry takes: a note may be on its way from one to another, or in a worker's hands.
    let mut empty_since = Instant::now();
    until("all queues are empty and stay so", || {
        let waiting = |queue: &String| runtime().block_on(collector.waiting_in(queue)) > 0;
        if queues.iter().any(waiting) {
            empty_since = Instant::now();
        }
        empty_since.elapsed() > EMPTY_FOR
    });
    assert_eq!(runtime().block_on(collector.waiting_in(topology::DEAD_LETTER_QUEUE)), dead_letters);
}

/// Workers that are killed or stopped, and replaced.
struct Crew {
    job: Job,
    folder: tempfile::TempDir,
    workers: Vec<WorkerProcess>,
    kills: u32,
}

impl Crew {
    fn start(job: &Job, count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workers: Vec<_> =
            (0..count).map(|index| WorkerProcess::start(job, folder.path(), &index.to_string())).collect();
        workers.iter().for_each(WorkerProcess::wait_until_working);
        Self { job: job.clone(), folder, workers, kills: 0 }
    }

    fn another(&self, index: usize) -> WorkerProcess {
        WorkerProcess::start(&self.job, self.folder.path(), &index.to_string())
    }

    fn kill_one(&mut self, random: &mut Random) {
        let index = random.below(self.workers.len());
        self.workers.remove(index).kill();
        self.workers.insert(index, self.another(index));
        self.kills += 1;
    }

    /// Stops one in order and replaces it.
    fn renew(&mut self, index: usize) {
        self.workers.remove(index).stop();
        self.workers.insert(index, self.another(index));
        self.workers[index].wait_until_working();
    }

    /// Replaces those that ended by themselves, as whatever supervises them would. Returns how many had.
    fn revive(&mut self) -> u32 {
        let mut dead = 0;
        for index in 0..self.workers.len() {
            if self.workers[index].has_ended() {
                self.workers[index] = self.another(index);
                dead += 1;
            }
        }
        dead
    }

    fn logs(&self) -> String {
        self.workers.iter().map(WorkerProcess::log).collect()
    }

    fn stop(self) {
        // Before it works, a signal just ends it.
        self.workers.iter().for_each(WorkerProcess::wait_until_working);
        self.workers.into_iter().for_each(WorkerProcess::stop);
    }
}
