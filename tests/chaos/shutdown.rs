//! The end of a worker in the middle of its work: in order, in time, at once, and one after the other.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sprachpost::{
    audio::{Pcm, decode},
    broker::{Broker, Config},
    event::envelope::Received,
    note::{AudioSource, VoiceNote},
};

use super::{Crew, assert_empty, collect, config, opened, produce};
use crate::support::{
    ledger::{Expected, Ledger, submit},
    program::{self, Server},
    rabbitmq, runtime, until,
    voices::{Voices, Wav},
    worker::Job,
};

/// The exit code of a process that was told twice.
const FORCED: i32 = 130;

/// A note whose audio lies in the program's folder of recordings.
pub fn note_in(spool: &Path, file: &str) -> VoiceNote {
    let path = spool.join(file).canonicalize().unwrap().to_string_lossy().into_owned();
    VoiceNote::new("chaos".parse().unwrap(), "test".parse().unwrap(), file.to_owned(), AudioSource::File { path })
}

/// Three customers, one after the other, again and again: minutes, so that even a machine several times as fast as a
/// customary one is still in the middle of it when it is told to stop.
fn long_speech() -> Pcm {
    let notes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips/notes");
    let names = ["de-complaint.ogg", "de-outage.ogg", "de-invoice-question.ogg"];
    let decoded = names.map(|name| {
        let bytes = std::fs::read(notes.join(name)).unwrap();
        decode::decode(&bytes, &decode::Config::default()).unwrap().pcm.0
    });
    Pcm(decoded.concat().repeat(6))
}

/// The program with a note of real speech that keeps it busy for seconds.
struct Busy {
    folder: tempfile::TempDir,
    url: String,
    ledger: Ledger,
    broker: std::sync::Arc<dyn Broker>,
    _collector: Option<crate::support::ledger::Collector>,
}

impl Busy {
    fn on(url: String, folder: tempfile::TempDir) -> Self {
        let ledger = Ledger::default();
        let spool = folder.path().join("spool");
        std::fs::create_dir_all(&spool).unwrap();
        std::fs::write(spool.join("long.wav"), Wav::of(&long_speech()).bytes()).unwrap();
        let collector = url.starts_with("amqp").then(|| collect(&url, &Config::default(), &ledger));
        let broker = runtime().block_on(opened(&url, &Config::default()));
        if collector.is_none() {
            let results = runtime().block_on(broker.subscribe("#")).unwrap();
            let following = ledger.clone();
            runtime().spawn(async move { following.follow(results).await });
        }
        let received = Received { note: note_in(&spool, "long.wav"), traceparent: None };
        ledger.expect(&received, Expected { outcome: "completed", text: None });
        runtime().block_on(submit(&broker, &received));
        Self { folder, url, ledger, broker, _collector: collector }
    }

    fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::on(format!("embedded:{}", folder.path().join("queue.sqlite").display()), folder)
    }

    /// Starts the program and waits until it transcribes.
    fn serve(&self, drain_s_max: u32) -> Server {
        let mut command = program::command(self.folder.path());
        command
            .env("SPRACHPOST__BROKER__URL", &self.url)
            .env("SPRACHPOST__WORKER__DRAIN_S_MAX", drain_s_max.to_string())
            .env("SPRACHPOST__WORKER__LANES__LONG_S", "1000")
            .env("SPRACHPOST__ASR__SLOTS", "1");
        let server = Server::start(command, &["--roles", "worker"]);
        until("the note is in work", || {
            server.request("GET", "/metrics", &[], b"").1.contains("sprachpost_notes_in_work 1")
        });
        // Fetched and decoded in far less.
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(self.ledger.answered(), 0, "it is in the middle of it");
        server
    }

    fn end(self) {
        self.ledger.wait(Duration::from_mins(1));
        self.ledger.check();
        assert_eq!(self.ledger.duplicates(), 0);
        let depth = runtime().block_on(self.broker.depth()).unwrap();
        assert_eq!((depth.waiting, depth.dead_letters), (0, 0));
        runtime().block_on(self.broker.close());
    }
}

#[test]
fn a_worker_that_is_asked_to_stop_finishes_its_note_first() {
    let busy = Busy::embedded();
    let server = busy.serve(100);
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    busy.end();
}

#[test]
fn a_worker_whose_drain_limit_is_over_hands_its_note_back_and_another_answers_it() {
    let vhost = rabbitmq::shared().new_vhost();
    let busy = Busy::on(vhost.url(), tempfile::tempdir().unwrap());
    let server = busy.serve(1);
    let asked_at = Instant::now();
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(asked_at.elapsed() < Duration::from_secs(10), "{:?}", asked_at.elapsed());
    assert!(log.contains("handing back"), "{log}");
    until("the note waits for somebody else", || runtime().block_on(busy.broker.depth()).unwrap().waiting == 1);
    assert_eq!(busy.ledger.answered(), 0);
    let other = busy.serve(100);
    other.signal("TERM");
    assert_eq!(other.wait().0, Some(0));
    busy.end();
}

#[test]
fn a_worker_that_is_told_twice_stops_at_once() {
    let busy = Busy::embedded();
    let mut server = busy.serve(100);
    server.signal("TERM");
    server.wait_for_log("stopping");
    let told_at = Instant::now();
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(FORCED), "{log}");
    assert!(told_at.elapsed() < Duration::from_secs(2), "{:?}", told_at.elapsed());
    assert_eq!(busy.ledger.answered(), 0);
    runtime().block_on(busy.broker.close());
}

#[test]
fn a_rolling_restart_of_workers_loses_and_repeats_nothing() {
    let vhost = rabbitmq::shared().new_vhost();
    let (ledger, voices) = (Ledger::default(), Voices::make());
    let collector = collect(&vhost.url(), &config(), &ledger);
    let job = Job { work_ms: 50, ..Job::new(vhost.url(), config()) };
    let mut crew = Crew::start(&job, 3);
    let producing = produce(&job, &voices, &ledger, "m", 400, Duration::from_secs(8));
    let mut restarts = 0;
    while !producing.is_finished() {
        crew.renew(restarts % 3);
        restarts += 1;
    }
    runtime().block_on(producing).unwrap();
    ledger.wait(Duration::from_mins(1));
    crew.stop();
    eprintln!("rolling restart: {} notes, {restarts} restarts", ledger.answered());
    assert!(restarts >= 3);
    ledger.check();
    assert_eq!(ledger.duplicates(), 0);
    assert_empty(&collector, 0);
}
