//! Owns workers as processes of their own that a test can kill, stop and start: this test binary runs itself again as
//! a real worker on real queues, with a script in place of the recogniser. The program itself has no such engine.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sprachpost::{
    app, asr::pool::Pool, broker, ledger::Ledger, pipeline::Stages, shutdown::Shutdown, telemetry, worker,
};

use super::{stages, voices::Reader};

const JOB: &str = "SPRACHPOST_TEST_WORKER";
const WORKING: &str = "a worker of the tests works";
const ENTRY: &str = "support::worker::works_until_it_is_told_to_stop";

/// What a worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub url: String,
    pub broker: broker::Config,
    pub worker: worker::Config,
    pub slots: usize,
    /// How long a note takes.
    pub work_ms: u64,
    /// After how many seconds recognition of a note is abandoned.
    pub time_limit_s: f64,
    /// What it logs, as in the configuration.
    pub log_level: String,
}

impl Job {
    pub fn new(url: String, broker: broker::Config) -> Self {
        Self {
            url,
            broker,
            worker: worker::Config::default(),
            slots: 2,
            work_ms: 5,
            time_limit_s: 60.0,
            log_level: "info".to_owned(),
        }
    }

    /// The real stages with the script for an engine.
    pub fn stages(&self) -> Arc<Stages> {
        let mut config = stages::quick();
        config.worker.clone_from(&self.worker);
        (config.asr.time_limit_s_min, config.asr.time_limit_s_max) = (self.time_limit_s, self.time_limit_s);
        // A transcript that is too large for the broker is not to be stopped for being too long.
        config.asr.trust.characters_per_s_max = f64::INFINITY;
        let work = Duration::from_millis(self.work_ms);
        let pool = Pool::start(self.slots, move || Ok(Box::new(Reader { work }))).unwrap();
        app::stages_on(&config, pool).unwrap()
    }
}

/// A worker process. It ends when it is dropped, and when the tests end, however these do.
pub struct WorkerProcess {
    child: Child,
    log: PathBuf,
    /// Where in its log it begins: others of its name came before it.
    log_start: usize,
}

impl WorkerProcess {
    /// Starts one whose log is `name` in `folder`, after what an earlier one of that name wrote.
    pub fn start(job: &Job, folder: &Path, name: &str) -> Self {
        let log = folder.join(name);
        let log_start = fs::read(&log).map_or(0, |earlier| earlier.len());
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", ENTRY, "--ignored", "--nocapture"])
            .env(JOB, serde_json::to_string(job).unwrap())
            // Closed by the kernel when this process ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log, log_start }
    }

    /// Waits until it takes notes; before that, a signal just ends it.
    pub fn wait_until_working(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.log().contains(WORKING) {
            assert!(Instant::now() < deadline, "the worker did not start:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Signal 9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// True once it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Asks it to stop and waits until it has; it must end well.
    pub fn stop(mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "the worker did not stop:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()[self.log_start..]).into_owned()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by other tests, in a process of its own"]
async fn works_until_it_is_told_to_stop() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job: Job = serde_json::from_str(&job).unwrap();
    thread::spawn(|| {
        // Ends with the process that holds the other end, which waits for nobody.
        let _ = std::io::stdin().read_to_end(&mut vec![]);
        std::process::exit(1);
    });
    let stages = job.stages();
    telemetry::start_logging(&telemetry::Config { level: job.log_level, format: telemetry::Format::Json }).unwrap();
    let shutdown = Shutdown::on_signals().unwrap();
    let url = job.url.clone().into();
    // Whatever supervises a real worker would start it again until the broker is there.
    let broker = loop {
        match broker::open(Some(&url), &job.broker).await {
            Ok(broker) => break broker,
            Err(_) if shutdown.is_requested() => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    tracing::info!("{WORKING}");
    worker::run(Arc::clone(&broker), Ledger::none(), stages, job.worker, shutdown).await;
    broker.close().await;
}
