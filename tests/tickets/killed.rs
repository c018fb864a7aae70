//! The whole way, with processes that die on it: a note goes from RabbitMQ through a real worker with the real model and
//! the bridge into a real ticketing system, and is there exactly once. What is public here is done on any system; the tests
//! do it on Request Tracker.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sprachpost::{
    broker::{self, Broker, Consumers, Depth, Exchange, Group, ResultQueue},
    event::{
        Event,
        envelope::{Received, received_message},
    },
    note::{AudioSource, VoiceNote},
};

use super::{PATIENCE, result};
use crate::support::{
    clips,
    http_proxy::{Action, HttpProxy, Seen},
    program::{self, Server},
    rabbitmq,
    request_tracker::{self, own_keys},
    runtime,
    ticketing::{RealSystem, assert_one_note},
};

/// A RabbitMQ of its own, and a folder that all processes share.
struct Way {
    url: String,
    folder: tempfile::TempDir,
    clip: PathBuf,
}

impl Way {
    fn new(vhost: &rabbitmq::Vhost<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = clips::own().into_iter().find(|clip| clip.outcome.as_deref() == Some("completed")).unwrap();
        let clip = folder.path().join("note.ogg");
        std::fs::copy(&own.path, &clip).unwrap();
        Self { url: vhost.url(), folder, clip }
    }

    /// What processes are told that start from now on. The sentence encoder has no part in this, and takes its time.
    fn configure(&self, own_keys: &str) {
        let config = format!(
            "understanding.encoder = \"none\"\n[fetch]\nfile_roots = [\"{}\"]\n[[tickets]]\nname = \"main\"\n{own_keys}\
             pause_first_s = 0.2\npause_s_max = 1.0\nhttp.total_s_max = 8\n",
            self.folder.path().display(),
        );
        std::fs::write(self.folder.path().join("sprachpost.toml"), config).unwrap();
    }

    /// A process of the program itself.
    fn process(&self, roles: &str) -> Server {
        let mut command = program::command(self.folder.path());
        command
            .env("SPRACHPOST__BROKER__URL", &self.url)
            .env("SPRACHPOST_CONFIG", self.folder.path().join("sprachpost.toml"));
        Server::start(command, &["--roles", roles])
    }

    async fn broker(&self) -> Arc<dyn Broker> {
        broker::open(Some(&self.url.clone().into()), &broker::Config::default()).await.unwrap()
    }

    /// A note of a conversation of its own.
    async fn submit(&self, message_id: &str) {
        let audio = AudioSource::File { path: self.clip.display().to_string() };
        let mut note =
            VoiceNote::new("acme".parse().unwrap(), "whatsapp".parse().unwrap(), message_id.to_owned(), audio);
        note.conversation = Some(format!("conversation {message_id}").into());
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        let broker = self.broker().await;
        broker.publish(Exchange::Notes, &message).await.unwrap();
        broker.close().await;
    }

    /// Lets this process finish its one result and end, and checks that nothing is left anywhere.
    async fn finish(&self, bridge: Server) {
        let deadline = Instant::now() + PATIENCE;
        let is_done = |figures: &str| {
            let counts = figures.lines().filter(|line| line.starts_with("sprachpost_tickets_total{"));
            counts.filter(|line| line.contains("written") || line.contains("repeated")).count() > 0
        };
        while !is_done(&bridge.request("GET", "/metrics", &[], b"").1) {
            assert!(Instant::now() < deadline, "the result was not written");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bridge.signal("TERM");
        let (code, log) = tokio::task::block_in_place(|| bridge.wait());
        assert_eq!(code, Some(0), "{log}");
        let broker = self.broker().await;
        let tickets = ResultQueue {
            name: "tickets.main".to_owned(),
            patterns: vec!["processed.#".to_owned()],
            consumers: Consumers::One,
        };
        for group in [Group::Notes, Group::Named(tickets.group().unwrap())] {
            let depth = broker.depth_of(&group).await.unwrap();
            assert_eq!(depth, Depth { waiting: 0, dead_letters: 0 }, "{group}\n{log}");
        }
        broker.close().await;
    }
}

#[test]
fn a_note_reaches_the_ticket_with_its_recording_byte_for_byte() {
    let (rt, vhost) = (request_tracker::shared(), rabbitmq::shared().new_vhost());
    runtime().block_on(async {
        let queue = rt.new_queue().await;
        let way = Way::new(&vhost);
        way.configure(&rt.own_keys(&rt.url(), &queue));
        let worker_and_bridge = tokio::task::block_in_place(|| way.process("worker,bridge"));
        way.submit("the whole way").await;
        way.finish(worker_and_bridge).await;
        assert_one_note(rt, &queue, &way.clip, "undisturbed").await;
    });
}

#[test]
fn a_bridge_whose_credentials_are_wrong_is_not_ready_and_says_why_once() {
    let (rt, vhost) = (request_tracker::shared(), rabbitmq::shared().new_vhost());
    let way = Way::new(&vhost);
    let wrong = way.folder.path().join("token");
    std::fs::write(&wrong, "1-14-0123456789abcdef").unwrap();
    way.configure(&own_keys(&rt.url(), &wrong, "Voice"));
    let mut bridge = way.process("bridge");
    runtime().block_on(async {
        let broker = way.broker().await;
        let event = Event::processed(result("c", "wrong credentials", &serde_json::json!({})), None);
        broker.publish(Exchange::Results, &event.to_message(Timestamp::now())).await.unwrap();
        broker.close().await;
    });
    bridge.wait_for_log("nothing is written into the ticketing system");
    let (status, text) = bridge.request("GET", "/readyz", &[], b"");
    assert_eq!((status, text.as_str()), (503, "not ready\nthe ticketing system main does not work: unauthorized\n"));
    std::thread::sleep(Duration::from_secs(3));
    let again = bridge.news().into_iter().filter(|line| line.contains("nothing is written")).count();
    assert_eq!(again, 0);
    bridge.signal("TERM");
    let (code, log) = bridge.wait();
    assert!(code == Some(0) && !log.contains("1-14-"), "{log}");
}

/// A request at which the bridge is killed: what it is for, which it may be, and how many of those come before it.
pub type Step = (&'static str, fn(&Seen) -> bool, usize);

#[test]
fn a_bridge_killed_at_any_step_leaves_exactly_one_note() {
    let steps: [Step; 5] = [
        ("looking for the ticket", |seen| seen.is("GET", "/tickets?query=%27CF"), 0),
        ("opening the ticket", |seen| seen.method == "POST" && seen.path.ends_with("/ticket"), 0),
        ("reading the ticket", |seen| seen.is("GET", "/ticket/"), 0),
        ("writing the note", |seen| seen.is("POST", "/comment"), 0),
        ("looking at the note", |seen| seen.is("GET", "/transaction/"), 0),
    ];
    // The bridge also looks around when it starts, before it has a note: for tickets of its queue.
    killed_at(request_tracker::shared(), &steps, |seen| seen.path.contains("CF"));
}

/// Each step is one request: killed before the system sees it, and after the system did what it asks for. `is_first`
/// tells a request for a note from those that a bridge makes when it starts.
pub fn killed_at(system: &'static dyn RealSystem, steps: &[Step], is_first: fn(&Seen) -> bool) {
    let vhost = rabbitmq::shared().new_vhost();
    let way = Way::new(&vhost);
    way.configure(&system.own_keys(&system.url(), "of nobody"));
    // Its results wait while no bridge runs.
    let _worker = way.process("worker");
    for (step, is_step, before) in steps.iter().copied() {
        for after in [false, true] {
            let when = format!("{step}, {}", if after { "after" } else { "before" });
            let queue = runtime().block_on(system.new_queue());
            let (armed, reached) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
            let proxy = HttpProxy::start(system.port(), {
                let (armed, reached) = (Arc::clone(&armed), Arc::clone(&reached));
                let writing = AtomicBool::new(false);
                move |seen| {
                    writing.fetch_or(is_first(seen), Ordering::SeqCst);
                    if !armed.load(Ordering::SeqCst) || !writing.load(Ordering::SeqCst) || !is_step(seen) {
                        return Action::Pass;
                    }
                    if reached.fetch_add(1, Ordering::SeqCst) < before {
                        return Action::Pass;
                    }
                    if after { Action::LoseAnswer(PATIENCE) } else { Action::Stall(PATIENCE) }
                }
            });
            way.configure(&system.own_keys(&proxy.url(), &queue));
            let bridge = way.process("bridge");
            runtime().block_on(way.submit(&when));
            let deadline = Instant::now() + PATIENCE;
            while reached.load(Ordering::SeqCst) <= before {
                assert!(Instant::now() < deadline, "{when}: never reached; {:#?}", proxy.seen());
                std::thread::sleep(Duration::from_millis(10));
            }
            if after {
                proxy.wait_until_done();
            }
            // With signal 9.
            drop(bridge);
            armed.store(false, Ordering::SeqCst);
            let bridge = way.process("bridge");
            runtime().block_on(async {
                way.finish(bridge).await;
                assert_one_note(system, &queue, &way.clip, &when).await;
            });
        }
    }
}
