//! The bridge from a queue of results into a real ticketing system, through a proxy that makes it fail. What is public
//! here is done on any system; the tests do it on Request Tracker.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::json;
use sprachpost::{
    audio::fetch::{self, Fetcher},
    broker::{self, Broker, Depth, Exchange, Group},
    event::{Event, Processed},
    shutdown::Shutdown,
    tickets::{
        Config,
        bridge::{Bridges, gate::Gates},
    },
};
use tokio::{task::JoinHandle, time::Instant};

use super::{PATIENCE, config, config_with, result, usual};
use crate::support::{
    http_proxy::{Action, HttpProxy, Seen},
    request_tracker::shared,
    runtime,
    ticketing::{Note, RealSystem},
};

/// A bridge on an embedded queue of its own.
struct Running {
    broker: Arc<dyn Broker>,
    shutdown: Shutdown,
    gates: Gates,
    handle: Option<JoinHandle<()>>,
    group: Group,
    folder: Arc<tempfile::TempDir>,
    system: &'static dyn RealSystem,
}

impl Running {
    async fn start(system: &'static dyn RealSystem, config: &Config) -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().unwrap()), system, config).await
    }

    /// Another process, as far as the queue can tell.
    async fn beside(&self, config: &Config) -> Self {
        Self::in_folder(Arc::clone(&self.folder), self.system, config).await
    }

    async fn in_folder(folder: Arc<tempfile::TempDir>, system: &'static dyn RealSystem, config: &Config) -> Self {
        let url = format!("embedded:{}", folder.path().join("queue.sqlite").display()).into();
        let broker = broker::open(Some(&url), &broker::Config::default()).await.unwrap();
        let fetch = fetch::Config { file_roots: vec![folder.path().to_owned()], ..fetch::Config::default() };
        let bridges = Bridges::open(std::slice::from_ref(config), &Arc::new(Fetcher::new(&fetch).unwrap())).unwrap();
        let (shutdown, gates) = (Shutdown::default(), bridges.gates());
        broker.declare_results(&config.queue()).await.unwrap();
        let group = Group::Named(config.queue().group().unwrap());
        let handle = Some(tokio::spawn(bridges.run(Arc::clone(&broker), shutdown.clone())));
        Self { broker, shutdown, gates, handle, group, folder, system }
    }

    async fn publish(&self, result: &Processed) {
        let message = Event::processed(result.clone(), None).to_message(Timestamp::now());
        self.broker.publish(Exchange::Results, &message).await.unwrap();
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    /// Waits until so many notes stand in the tickets of this queue, and so many were given up on.
    async fn until(&self, queue: &str, notes: usize, dead_letters: u64) {
        self.until_with(queue, notes, 0, dead_letters).await;
    }

    /// The same, with so many that wait.
    async fn until_with(&self, queue: &str, notes: usize, waiting: u64, dead_letters: u64) {
        let (system, deadline) = (self.system, Instant::now() + PATIENCE);
        let expected = (notes, Depth { waiting, dead_letters });
        loop {
            let mut found = 0;
            for ticket in system.tickets(queue).await {
                found += system.notes(&ticket).await.len();
            }
            let now = (found, self.broker.depth_of(&self.group).await.unwrap());
            // While it pauses, it does not know yet that a note whose answer was lost is there.
            if now == expected && self.gates.paused().is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{now:?} instead of {expected:?}, paused: {:?}", self.gates.paused());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn paused(&self, why: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.gates.paused() != [("main", why)] {
            assert!(Instant::now() < deadline, "{:?}", self.gates.paused());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for the same, lets it finish what it has begun, and checks that nothing has come in addition.
    async fn finish(mut self, queue: &str, notes: usize, dead_letters: u64) {
        self.until(queue, notes, dead_letters).await;
        self.end().await;
        self.until(queue, notes, dead_letters).await;
        self.broker.close().await;
    }

    async fn end(&mut self) {
        self.shutdown.request();
        tokio::time::timeout(PATIENCE, self.handle.take().unwrap()).await.unwrap().unwrap();
    }
}

/// Retries without long delays.
const QUICK: &str = "[retry]\nfirst_delay_s = 0.1\nfactor = 1.0\nattempts_max = 2\n[http]\ntotal_s_max = 6\n";

fn through(proxy: &HttpProxy, system: &dyn RealSystem, queue: &str) -> Config {
    config_with(&system.own_keys(&proxy.url(), queue), QUICK)
}

/// The notes of the only ticket of a queue.
pub async fn notes(system: &dyn RealSystem, queue: &str) -> Vec<Note> {
    let tickets = system.tickets(queue).await;
    assert_eq!(tickets.len(), 1, "{tickets:?}");
    system.notes(&tickets[0]).await
}

/// Does the first `count` requests that `matches`, and passes everything else.
fn first(
    count: usize,
    matches: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    act: Action,
) -> impl Fn(&Seen) -> Action + Send + Sync + 'static {
    let left = AtomicUsize::new(count);
    move |seen| {
        let hit =
            matches(seen) && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if hit { act.clone() } else { Action::Pass }
    }
}

#[test]
fn a_result_that_comes_again_and_again_is_one_note() {
    one_note_however_often(shared());
}

pub fn one_note_however_often(system: &'static dyn RealSystem) {
    runtime().block_on(async {
        let queue = system.new_queue().await;
        let bridge = Running::start(system, &usual(system, &queue, "")).await;
        let audio = b"not really audio".repeat(99);
        let path = bridge.keep("note.ogg", &audio);
        let note = result(&queue, "again", &json!({"recording": {"type": "file", "path": path}}));
        for _ in 0..5 {
            bridge.publish(&note).await;
        }
        bridge.finish(&queue, 1, 0).await;
        assert_eq!(notes(system, &queue).await[0].files[0].2, audio);
    });
}

#[test]
fn two_notes_of_a_new_conversation_open_one_ticket() {
    one_ticket_for_a_conversation(shared());
}

pub fn one_ticket_for_a_conversation(system: &'static dyn RealSystem) {
    runtime().block_on(async {
        let queue = system.new_queue().await;
        let bridge = Running::start(system, &usual(system, &queue, "")).await;
        for n in 0..4 {
            bridge.publish(&result("together", &format!("together {n}"), &json!({}))).await;
        }
        bridge.finish(&queue, 4, 0).await;
        assert_eq!(system.tickets(&queue).await.len(), 1);
    });
}

#[test]
fn a_storm_of_errors_pauses_the_connector_and_uses_up_no_attempts() {
    a_storm(shared(), |seen| seen.method != "GET" || seen.path.contains("/tickets"));
}

/// `hits` says which requests meet it.
pub fn a_storm(system: &'static dyn RealSystem, hits: fn(&Seen) -> bool) {
    runtime().block_on(async {
        let queue = system.new_queue().await;
        let storm = first(12, hits, Action::Answer(500, ""));
        let proxy = HttpProxy::start(system.port(), storm);
        let bridge = Running::start(system, &through(&proxy, system, &queue)).await;
        for n in 0..3 {
            bridge.publish(&result(&format!("storm {n}"), &format!("storm {n}"), &json!({}))).await;
        }
        bridge.paused("unavailable").await;
        // Two attempts are all that a note has; there are far more failures.
        bridge.finish(&queue, 3, 0).await;
        assert_eq!(system.tickets(&queue).await.len(), 3);
    });
}

#[test]
fn an_answer_that_takes_30_seconds_or_is_lost_writes_nothing_twice() {
    let writes =
        |seen: &Seen| seen.is("POST", "/comment") || (seen.is("POST", "/ticket") && seen.path.ends_with("/ticket"));
    late_or_lost_answers(shared(), |_| true, writes);
}

/// `writes` are the requests that open a ticket and write a note; they count from the one on that `begins`.
pub fn late_or_lost_answers(system: &'static dyn RealSystem, begins: fn(&Seen) -> bool, writes: fn(&Seen) -> bool) {
    runtime().block_on(async {
        for (name, lost) in [("late", Duration::from_secs(30)), ("lost", Duration::ZERO)] {
            let queue = system.new_queue().await;
            let begun = AtomicBool::new(false);
            let counts = move |seen: &Seen| {
                begun.fetch_or(begins(seen), Ordering::SeqCst);
                begun.load(Ordering::SeqCst) && writes(seen)
            };
            let proxy = HttpProxy::start(system.port(), first(2, counts, Action::LoseAnswer(lost)));
            let bridge = Running::start(system, &through(&proxy, system, &queue)).await;
            bridge.publish(&result(name, name, &json!({}))).await;
            bridge.paused(if lost.is_zero() { "unreachable" } else { "timed_out" }).await;
            bridge.finish(&queue, 1, 0).await;
            assert_eq!(system.tickets(&queue).await.len(), 1, "{name}");
            let seen = proxy.seen();
            assert_eq!(seen.iter().skip_while(|seen| !begins(seen)).filter(|seen| writes(seen)).count(), 2, "{name}");
        }
    });
}

#[test]
fn a_system_that_asks_for_a_pause_gets_it() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let asked = Action::Answer(429, "retry-after: 2\r\n");
        let proxy = HttpProxy::start(rt.port(), first(1, |seen| seen.is("POST", "/comment"), asked));
        let bridge = Running::start(rt, &through(&proxy, rt, &queue)).await;
        bridge.publish(&result("limited", "limited", &json!({}))).await;
        bridge.paused("limited").await;
        let (since, requests) = (Instant::now(), proxy.seen().len());
        while since.elapsed() < Duration::from_millis(1800) {
            assert_eq!(proxy.seen().len(), requests, "after {:?}", since.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bridge.finish(&queue, 1, 0).await;
    });
}

#[test]
fn an_operators_rate_is_kept() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let proxy = HttpProxy::start(rt.port(), |_| Action::Pass);
        let slow = format!("rates = [{{ requests = 5, per_s = 1 }}]\n{QUICK}");
        let bridge = Running::start(rt, &config(&proxy.url(), &rt.token_file("voicebot"), &queue, &slow)).await;
        let began = Instant::now();
        bridge.publish(&result("rate", "rate", &json!({}))).await;
        bridge.until(&queue, 1, 0).await;
        let requests = proxy.seen().len() as u32;
        assert!(
            began.elapsed() >= Duration::from_secs(1) * ((requests - 1) / 5),
            "{requests} in {:?}",
            began.elapsed()
        );
        bridge.finish(&queue, 1, 0).await;
    });
}

#[test]
fn a_note_that_is_refused_is_a_dead_letter_and_others_are_written() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let refused = |seen: &Seen| seen.is("POST", "/comment");
        let proxy = HttpProxy::start(rt.port(), first(2, refused, Action::Answer(422, "")));
        let bridge = Running::start(rt, &through(&proxy, rt, &queue)).await;
        bridge.publish(&result(&queue, "refused", &json!({}))).await;
        bridge.until(&queue, 0, 1).await;
        bridge.publish(&result(&queue, "taken", &json!({}))).await;
        bridge.until(&queue, 1, 1).await;
        assert!(bridge.gates.paused().is_empty(), "the system works");
        let mut letters = bridge.broker.open_dead_letters_of(&bridge.group).await.unwrap();
        let letter = letters.next().await.unwrap().unwrap().into_letter();
        assert_eq!((letter.reason.as_str(), letter.stage.as_str(), letter.attempts), ("ticket_refused", "ticket", 2));
        letters.close().await.unwrap();
        bridge.finish(&queue, 1, 1).await;
    });
}

#[test]
fn a_note_that_alone_makes_the_system_fail_holds_up_nobody() {
    runtime().block_on(async {
        let rt = shared();
        let (queue, failing) = (rt.new_queue().await, Arc::new(Mutex::new(None)));
        let fails = Arc::clone(&failing);
        let proxy = HttpProxy::start(rt.port(), move |seen| match fails.lock().unwrap().as_deref() {
            Some(path) if seen.is("POST", path) => Action::Answer(500, ""),
            _ => Action::Pass,
        });
        let bridge = Running::start(rt, &through(&proxy, rt, &queue)).await;
        bridge.publish(&result("a", "a 1", &json!({}))).await;
        bridge.until(&queue, 1, 0).await;
        *failing.lock().unwrap() = Some(format!("/ticket/{}/comment", rt.tickets(&queue).await[0]));
        bridge.publish(&result("a", "a 2", &json!({}))).await;
        bridge.paused("unavailable").await;
        let others = 8;
        for n in 0..others {
            bridge.publish(&result(&format!("b {n}"), &format!("b {n}"), &json!({}))).await;
        }
        // All but the one, which waits for its time while nothing pauses.
        bridge.until_with(&queue, 1 + others, 1, 0).await;
        failing.lock().unwrap().take();
        bridge.finish(&queue, 2 + others, 0).await;
        assert_eq!(rt.tickets(&queue).await.len(), 1 + others);
    });
}

#[test]
fn two_processes_open_one_ticket_for_a_new_conversation() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let mut bridge = Running::start(rt, &usual(rt, &queue, "")).await;
        let mut other = bridge.beside(&usual(rt, &queue, "")).await;
        for n in 0..6 {
            bridge.publish(&result("shared", &format!("shared {n}"), &json!({}))).await;
            if n == 2 {
                bridge.end().await;
            }
        }
        other.until(&queue, 6, 0).await;
        other.end().await;
        assert_eq!(rt.tickets(&queue).await.len(), 1);
        other.broker.close().await;
        bridge.broker.close().await;
    });
}

#[test]
fn a_recording_that_is_gone_or_too_large_is_said_and_the_note_is_written() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let bridge = Running::start(rt, &usual(rt, &queue, "audio_bytes_max = 1000\n")).await;
        let large = bridge.keep("large.ogg", &[7; 1001]);
        let other = bridge.keep("other.ogg", b"something else by now");
        let as_it_was = json!({"container": "ogg", "codec": "opus", "duration_s": 1.0, "sha256": "00"});
        let gone = bridge.folder.path().join("gone.ogg").display().to_string();
        for (n, (path, audio, said)) in (1..).zip([
            (gone, json!(null), "nicht mehr abrufbar"),
            (large, json!(null), "zu groß zum Anhängen"),
            (other, as_it_was, "nicht mehr abrufbar"),
        ]) {
            let note = result(&queue, &path, &json!({"recording": {"type": "file", "path": path}, "audio": audio}));
            bridge.publish(&note).await;
            bridge.until(&queue, n, 0).await;
            let notes = notes(rt, &queue).await;
            let note = notes.last().unwrap();
            assert!(note.text.contains(said) && note.files.is_empty(), "{}", note.text);
        }
        bridge.finish(&queue, 3, 0).await;
    });
}

#[test]
fn only_the_results_that_are_wanted_are_written() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let bridge = Running::start(rt, &usual(rt, &queue, "tenants = [\"acme\"]\noutcomes = [\"completed\"]\n")).await;
        let silent = json!({"outcome": "no_speech", "reason": "silence", "transcript": null, "understanding": null});
        bridge.publish(&result(&queue, "silent", &silent)).await;
        bridge.publish(&result(&queue, "another tenant's", &json!({"tenant": "other"}))).await;
        bridge.publish(&result(&queue, "wanted", &json!({}))).await;
        bridge.finish(&queue, 1, 0).await;
    });
}

#[test]
fn what_waits_for_a_system_that_is_down_is_handed_back_at_once_when_the_process_ends() {
    runtime().block_on(async {
        let mut config = config("http://127.0.0.1:9", Path::new("/dev/null"), "Voice", "");
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "x").unwrap();
        config =
            toml::from_str(&toml::to_string(&config).unwrap().replace("/dev/null", token.path().to_str().unwrap()))
                .unwrap();
        (config.pause_first_s, config.pause_s_max) = (300.0, 300.0);
        let mut bridge = Running::start(shared(), &config).await;
        bridge.publish(&result("down", "down", &json!({}))).await;
        bridge.paused("unreachable").await;
        let began = Instant::now();
        bridge.end().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let depth = bridge.broker.depth_of(&bridge.group).await.unwrap();
        assert_eq!(depth, Depth { waiting: 1, dead_letters: 0 });
        bridge.broker.close().await;
    });
}
