//! One fault after the other, against the program as it is run: it notices, says so once, is not ready meanwhile, and
//! goes on.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sprachpost::{
    broker::topology,
    event::envelope::Received,
    note::{AudioSource, VoiceNote},
};

use super::{assert_empty, collect, config, opened};
use crate::support::{
    frames::{Edge, Seen},
    ledger::{Collector, Expected, Ledger, submit},
    program::{self, Server},
    proxy::{Fault, Proxy},
    rabbitmq::{self, Node},
    runtime, until,
};

/// There are two connections, and each may say what it has to say.
const TIMES_SAID_MAX: usize = 2;

struct Scene {
    node: Node,
    vhost: String,
    proxy: Proxy,
    server: Server,
    readiness: Readiness,
    ledger: Ledger,
    collector: Collector,
    _folder: tempfile::TempDir,
    notes: u32,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what the program said since the fault: {:#?}", self.server.news());
        }
    }
}

/// What a fault does to readiness.
#[derive(PartialEq)]
enum Shows {
    /// It is false until the fault is over.
    Unready,
    /// It is false for a moment.
    Briefly,
    /// A channel is all that is lost.
    Not,
}

impl Scene {
    fn start() -> Self {
        let node = Node::start();
        let vhost = node.new_vhost().name().to_owned();
        let proxy = Proxy::start(vec![node.amqp_port()], None);
        let ledger = Ledger::default();
        let collector = collect(&node.vhost(&vhost).url(), &config(), &ledger);
        let folder = tempfile::tempdir().unwrap();
        let mut command = program::command(folder.path());
        command.env("SPRACHPOST__BROKER__URL", proxy.url(&vhost));
        for (name, value) in [
            ("CONNECT_S_MAX", "3"),
            ("DECLARE_S_MAX", "5"),
            ("CONFIRM_S_MAX", "2"),
            ("HEARTBEAT_S", "4"),
            ("RECONNECT_S_MAX", "1"),
            ("DELIVERIES_MAX", "1000"),
            ("RETRY_DELAYS_S", "[1]"),
        ] {
            command.env(format!("SPRACHPOST__BROKER__{name}"), value);
        }
        let server = Server::start(command, &["--roles", "worker"]);
        let readiness = Readiness::watch(&server.address);
        let mut scene = Self { node, vhost, proxy, server, readiness, ledger, collector, _folder: folder, notes: 0 };
        scene.hand_in(1);
        scene.ledger.wait(Duration::from_mins(1));
        scene
    }

    /// Notes without speech: the fault is the point, not what was said.
    fn hand_in(&mut self, count: u32) {
        let clip = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips/notes/silent.ogg");
        let data = BASE64_STANDARD.encode(std::fs::read(clip).unwrap());
        let url = self.node.vhost(&self.vhost).url();
        let broker = runtime().block_on(opened(&url, &config()));
        for _ in 0..count {
            self.notes += 1;
            let (tenant, channel) = ("chaos".parse().unwrap(), "test".parse().unwrap());
            let audio = AudioSource::Inline { data: data.clone() };
            let note = VoiceNote::new(tenant, channel, format!("f{}", self.notes), audio);
            let received = Received { note, traceparent: None };
            self.ledger.expect(&received, Expected { outcome: "no_speech", text: None });
            runtime().block_on(submit(&broker, &received));
        }
        runtime().block_on(broker.close());
    }

    fn survives(
        &mut self,
        fault: &str,
        shows: &Shows,
        begin: impl FnOnce(&mut Self),
        end: impl FnOnce(&mut Self),
        said: &str,
    ) {
        until(&format!("ready before: {fault}"), || self.readiness.now());
        self.server.news();
        self.readiness.forget();
        begin(self);
        match shows {
            Shows::Unready => until(&format!("not ready: {fault}"), || !self.readiness.now()),
            Shows::Briefly => until(&format!("not ready for a moment: {fault}"), || self.readiness.was_lost()),
            Shows::Not => {}
        }
        end(self);
        until(&format!("ready again: {fault}"), || self.readiness.now());
        self.hand_in(2);
        until(&format!("answered after: {fault}"), || self.ledger.lost() == 0);
        self.check_log(fault, said);
        eprintln!("fault survived: {fault}");
    }

    /// What happened is said, and not again and again.
    fn check_log(&mut self, fault: &str, said: &str) {
        let mut counts = BTreeMap::new();
        let news = self.server.news();
        for line in &news {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            // What becomes of a note is said for each note.
            if line["level"] != "INFO" && line["span"]["name"] != "note" {
                let key = format!("{} {}", line["message"], line["purpose"]);
                *counts.entry(key).or_insert(0_usize) += 1;
            }
        }
        assert!(news.iter().any(|line| line.contains(said)), "{fault}: nobody said {said:?} in {news:#?}");
        assert!(counts.values().all(|count| *count <= TIMES_SAID_MAX), "{fault}: {counts:#?}");
    }

    /// Has the worker find notes while the broker takes none: they are there before the broker stops taking any.
    fn with_notes_waiting(&mut self, stop_taking: &[&str]) {
        self.server.signal("STOP");
        self.hand_in(2);
        self.node.control(stop_taking);
        self.server.signal("CONT");
    }
}

#[test]
fn the_program_notices_every_fault_of_its_broker_says_so_once_and_goes_on() {
    let _alone = rabbitmq::nodes_of_its_own();
    let mut scene = Scene::start();
    let scene = &mut scene;
    let lost = "the connection was lost";

    let close = |s: &mut Scene| s.node.vhost(&s.vhost).close_connections();
    scene.survives("the broker closes all connections", &Shows::Briefly, close, |_| {}, lost);
    scene.survives(
        "the broker hangs for longer than heartbeats",
        &Shows::Unready,
        |s| s.node.suspend(true),
        |s| s.node.suspend(false),
        lost,
    );
    scene.survives("the cable is pulled", &Shows::Unready, |s| s.proxy.freeze(true), |s| s.proxy.freeze(false), lost);
    scene.survives(
        "the broker runs short of memory",
        &Shows::Unready,
        |s| s.with_notes_waiting(&["set_vm_memory_high_watermark", "absolute", "1MB"]),
        |s| s.node.control(&["set_vm_memory_high_watermark", "absolute", "1GB"]),
        "the broker takes no messages for now",
    );
    scene.survives(
        "the broker runs short of disk",
        &Shows::Unready,
        |s| s.with_notes_waiting(&["set_disk_free_limit", "1000GB"]),
        |s| s.node.control(&["set_disk_free_limit", "50MB"]),
        "the broker takes no messages for now",
    );

    // Not the first: RabbitMQ 3.10 does not always bring back a queue that was declared seconds before it was killed.
    scene.survives("the broker restarts", &Shows::Unready, |s| s.node.kill(), |s| s.node.restart(), lost);

    let gone = "the consumer is gone";
    let twice = |s: &mut Scene| {
        s.proxy.once((Seen::Ack, Edge::After), Fault::Repeat);
        s.hand_in(1);
        until("the acknowledgement passed twice", || s.proxy.all_happened());
    };
    scene.survives("the broker closes the channel with 406", &Shows::Not, twice, |_| {}, gone);
    let cancel = |s: &mut Scene| {
        s.proxy.once((Seen::Deliver, Edge::After), Fault::CancelConsumer);
        s.hand_in(1);
        until("the consumer was cancelled", || s.proxy.all_happened());
    };
    scene.survives("the broker cancels the consumer", &Shows::Not, cancel, |_| {}, gone);
    let delete = |s: &mut Scene| s.node.vhost(&s.vhost).delete_queue(topology::WORK_QUEUE);
    // What comes while RabbitMQ still deletes the old queue goes with it.
    let put_back = |s: &mut Scene| {
        s.server.wait_for_log(gone);
        until("the queue is consumed again", || {
            runtime().block_on(s.collector.consumers_of(topology::WORK_QUEUE)) == 1
        });
    };
    scene.survives("somebody deletes the work queue", &Shows::Not, delete, put_back, "");

    scene.ledger.check();
    assert_empty(&scene.collector, 0);
}

/// Asks `/readyz` all the time.
struct Readiness {
    now: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Readiness {
    fn watch(address: &str) -> Self {
        let flag = || Arc::new(AtomicBool::new(false));
        let watch = Self { now: flag(), lost: flag(), ended: flag() };
        let (now, lost, ended) = (Arc::clone(&watch.now), Arc::clone(&watch.lost), Arc::clone(&watch.ended));
        let address = address.to_owned();
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let ready = is_ready(&address);
                now.store(ready, Ordering::Relaxed);
                lost.fetch_or(!ready, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        watch
    }

    fn now(&self) -> bool {
        self.now.load(Ordering::Relaxed)
    }

    fn was_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn forget(&self) {
        self.lost.store(false, Ordering::Relaxed);
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn is_ready(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
