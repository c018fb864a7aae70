//! Notes that would take a worker down, or hold it up for good: each ends in its own event, and no neighbour suffers.

use std::{sync::Arc, thread, time::Duration};

use sprachpost::broker::{Broker, Config, Lane, topology};

use super::{Crew, assert_empty, collect, config, opened, produce};
use crate::support::{
    ledger::{Collector, Expected, Ledger, submit},
    program::{self, Server},
    rabbitmq, runtime, until,
    voices::{Voice, Voices, Wav},
    worker::Job,
};

fn hand_in(broker: &Arc<dyn Broker>, ledger: &Ledger, voices: &Voices, id: &str, voice: Voice, outcome: &'static str) {
    let received = voices.note(id, voice);
    ledger.expect(&received, Expected { outcome, text: None });
    runtime().block_on(submit(broker, &received));
}

/// One poisonous note among good ones: everybody is answered, and it alone lies with the dead letters.
fn a_note_that_aborts_its_process(url: &str, config: &Config, ledger: &Ledger) {
    let voices = Voices::make();
    let broker = runtime().block_on(opened(url, config));
    let job = Job::new(url.to_owned(), config.clone());
    let mut crew = Crew::start(&job, 1);
    hand_in(&broker, ledger, &voices, "poison", Voice::Aborts, "failed");
    let producing = produce(&job, &voices, ledger, "neighbour", 30, Duration::from_secs(3));
    let mut deaths = 0;
    until("everybody is answered", || {
        deaths += crew.revive();
        thread::sleep(Duration::from_millis(20));
        producing.is_finished() && ledger.lost() == 0
    });
    assert_eq!(deaths, config.deliveries_max, "it was tried as often as allowed, and not once more");
    crew.stop();
    ledger.check();
    let letters = runtime().block_on(broker.dead_letters(10)).unwrap();
    let letters: Vec<_> = letters.iter().map(|letter| (letter.reason.as_str(), letter.attempts)).collect();
    assert_eq!(letters, [("worker_crashed", config.deliveries_max)]);
    runtime().block_on(broker.close());
}

#[test]
fn a_note_that_aborts_its_process_is_answered_and_kept_on_rabbitmq() {
    let vhost = rabbitmq::shared().new_vhost();
    let config = Config { deliveries_max: 3, ..config() };
    let ledger = Ledger::default();
    let collector = collect(&vhost.url(), &config, &ledger);
    a_note_that_aborts_its_process(&vhost.url(), &config, &ledger);
    assert_empty(&collector, 1);
}

#[test]
fn a_note_that_aborts_its_process_is_answered_and_kept_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    let config = Config { deliveries_max: 3, lease_s: 1, ..config() };
    let ledger = Ledger::default();
    let listener = runtime().block_on(opened(&url, &config));
    let results = runtime().block_on(listener.subscribe("#")).unwrap();
    let following = ledger.clone();
    runtime().spawn(async move { following.follow(results).await });
    a_note_that_aborts_its_process(&url, &config, &ledger);
    runtime().block_on(listener.close());
}

/// A queue, a worker process on it, and what it answers.
struct Scene {
    vhost: rabbitmq::Vhost<'static>,
    ledger: Ledger,
    collector: Collector,
    voices: Voices,
    broker: Arc<dyn Broker>,
    crew: Crew,
}

impl Scene {
    fn start(change: impl FnOnce(&mut Job)) -> Self {
        let vhost = rabbitmq::shared().new_vhost();
        let ledger = Ledger::default();
        let collector = collect(&vhost.url(), &config(), &ledger);
        let mut job = Job::new(vhost.url(), config());
        change(&mut job);
        let broker = runtime().block_on(opened(&vhost.url(), &config()));
        Self { vhost, ledger, collector, voices: Voices::make(), broker, crew: Crew::start(&job, 1) }
    }

    fn hand_in(&self, id: &str, voice: Voice, outcome: &'static str) {
        hand_in(&self.broker, &self.ledger, &self.voices, id, voice, outcome);
    }

    fn end(mut self, reasons_of_dead_letters: &[&str]) {
        self.ledger.wait(Duration::from_mins(1));
        assert_eq!(self.crew.revive(), 0, "the worker lived through it");
        self.crew.stop();
        self.ledger.check();
        let letters = runtime().block_on(self.broker.dead_letters(10)).unwrap();
        assert_eq!(letters.iter().map(|l| l.reason.as_str()).collect::<Vec<_>>(), reasons_of_dead_letters);
        let count = u32::try_from(letters.len()).unwrap();
        until("what was looked at is back", || {
            runtime().block_on(self.collector.waiting_in(topology::DEAD_LETTER_QUEUE)) == count
        });
        assert_empty(&self.collector, count);
        runtime().block_on(self.broker.close());
    }
}

#[test]
fn a_note_that_overruns_frees_its_slot_and_ends_as_failed() {
    let scene = Scene::start(|job| (job.slots, job.time_limit_s, job.worker.retry.attempts_max) = (1, 0.5, 1));
    scene.hand_in("long", Voice::Overruns, "failed");
    scene.hand_in("short", Voice::Says(0), "completed");
    scene.end(&["transcription_timeout"]);
}

#[test]
fn a_real_recogniser_that_overruns_is_abandoned_counted_and_free_for_the_next_note() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let clips = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips");
    // Seven minutes of speech take much longer than the limit, three seconds much shorter.
    let long = Wav::read(&clips.join("formats/wav-pcm16-8k.wav")).repeated(64).bytes();
    std::fs::write(spool.join("long.wav"), long).unwrap();
    std::fs::copy(clips.join("formats/flac-16k.flac"), spool.join("short.flac")).unwrap();

    let mut command = program::command(folder.path());
    for (name, value) in [
        ("ASR__SLOTS", "1"),
        ("ASR__TIME_LIMIT_S_MIN", "4.0"),
        ("ASR__TIME_LIMIT_S_MAX", "4.0"),
        ("WORKER__RETRY__ATTEMPTS_MAX", "1"),
    ] {
        command.env(format!("SPRACHPOST__{name}"), value);
    }
    let server = Server::start(command, &["--roles", "worker"]);
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    let broker = runtime().block_on(opened(&url, &Config::default()));
    let ledger = Ledger::default();
    let results = runtime().block_on(broker.subscribe("#")).unwrap();
    let following = ledger.clone();
    runtime().spawn(async move { following.follow(results).await });
    for (file, outcome) in [("long.wav", "failed"), ("short.flac", "completed")] {
        let received =
            sprachpost::event::envelope::Received { note: super::shutdown::note_in(&spool, file), traceparent: None };
        ledger.expect(&received, Expected { outcome, text: None });
        runtime().block_on(submit(&broker, &received));
    }
    ledger.wait(Duration::from_mins(1));
    ledger.check();
    let (_, figures) = server.request("GET", "/metrics", &[], b"");
    let counted = r#"sprachpost_notes_total{outcome="failed",reason="transcription_timeout"} 1"#;
    assert!(figures.contains(counted), "{figures}");
    assert!(figures.contains("sprachpost_notes_in_work 0"), "{figures}");
    runtime().block_on(broker.close());
}

#[test]
fn a_result_that_nobody_takes_is_tried_again_until_somebody_does() {
    let scene = Scene::start(|job| job.worker.retry.first_delay_s = 1.0);
    // What takes unrouted results is gone: the first that needs it puts it back.
    scene.vhost.delete_queue(topology::UNROUTED_RESULTS);
    scene.vhost.delete_queue(crate::support::ledger::COLLECTOR);
    scene.hand_in("nobody listens", Voice::Says(1), "completed");
    until("the result lies with the unrouted ones", || {
        let depth = runtime().block_on(scene.broker.depth()).unwrap();
        depth.waiting == 0 && runtime().block_on(scene.collector.waiting_in(topology::UNROUTED_RESULTS)) == 1
    });
    // Now it cannot be put back: an exchange of that name is there, and has no alternate.
    scene.vhost.replace_results_exchange();
    scene.hand_in("nowhere to go", Voice::Says(2), "completed");
    until("it waits for another attempt", || {
        runtime().block_on(scene.collector.waiting_in(&topology::retry_queue(Lane::Regular, 1))) == 1
    });
    runtime().block_on(scene.collector.bind());
    // Its result is the only one that anybody can see; the other one lies where it was put.
    let received = scene.voices.note("nobody listens", Voice::Says(1));
    runtime().block_on(submit(&scene.broker, &received));
    scene.end(&[]);
}

#[test]
fn a_result_larger_than_the_broker_takes_ends_as_failed_and_closes_nothing() {
    let scene = Scene::start(|_| {});
    scene.hand_in("huge", Voice::SaysTooMuch, "failed");
    scene.hand_in("neighbour", Voice::Says(3), "completed");
    scene.end(&["result_too_large"]);
}
