//! Thousands of notes while workers are killed, the broker restarted and connections cut: the books have to balance.

use std::{
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sprachpost::{
    event::envelope::Received,
    note::{AudioSource, VoiceNote},
};

use super::{Crew, assert_empty, collect, config, opened, produce};
use crate::support::{
    clips,
    ledger::{COLLECTOR, Expected, Ledger, submit},
    program::{self, Server},
    proxy::{AROUND_MESSAGES, Fault, Plan, Proxy},
    rabbitmq::{self, Node},
    random::Random,
    runtime, until,
    voices::{Voice, Voices},
    worker::Job,
};

/// Of the broker, in every run.
const RESTARTS_MIN: u32 = 2;

/// `SPRACHPOST_CHAOS_SCALE` makes runs so many times longer, with so many times the notes.
fn scale() -> u32 {
    let given = std::env::var("SPRACHPOST_CHAOS_SCALE").ok();
    given.map_or(1, |text| text.parse().expect("SPRACHPOST_CHAOS_SCALE is a whole number"))
}

#[test]
fn no_note_is_lost_or_answered_otherwise_while_workers_brokers_and_connections_die() {
    let _alone = rabbitmq::nodes_of_its_own();
    let (notes, duration) = (3000 * scale(), Duration::from_secs(40) * scale());
    let mut random = Random::of_this_run("ledger on RabbitMQ");
    let mut node = Node::start();
    let vhost = node.new_vhost().name().to_owned();
    let plan = Plan { random: random.fork(), gap: 100..1400, stall_ms: 100..6000 };
    let proxy = Proxy::start(vec![node.amqp_port()], Some(plan));
    let (ledger, voices) = (Ledger::default(), Voices::make());
    // What collects is spared, or faults there would look like faults elsewhere.
    let collector = collect(&node.vhost(&vhost).url(), &config(), &ledger);
    let job = Job::new(proxy.url(&vhost), config());
    let mut crew = Crew::start(&job, 3);
    let producing = produce(&job, &voices, &ledger, "m", notes, duration);

    let mut restarts: u32 = 0;
    let end = Instant::now() + duration;
    let mut next_restart = Instant::now() + random.duration(5000..10_000);
    // A busy machine takes its time to restart a broker.
    while Instant::now() < end || restarts < RESTARTS_MIN {
        if Instant::now() > next_restart {
            node.kill();
            thread::sleep(random.duration(0..2000));
            node.restart();
            restarts += 1;
            next_restart = Instant::now() + random.duration(5000..10_000);
        }
        thread::sleep(random.duration(300..2000));
        crew.kill_one(&mut random);
    }
    runtime().block_on(producing).unwrap();
    proxy.calm();
    ledger.wait(Duration::from_mins(2));

    assert_empty(&collector, 0);
    let kills = crew.kills;
    crew.stop();
    let (cuts, stalls) = proxy.cuts_and_stalls();
    eprintln!("{:?}", proxy.counts());
    eprintln!(
        "ledger on RabbitMQ: {} notes / {kills} kills / {cuts} cuts, {stalls} stalls / {restarts} restarts / {} lost / \
         {} conflicting ({} repeated under their id)",
        ledger.answered(),
        ledger.lost(),
        ledger.conflicting(),
        ledger.duplicates()
    );
    ledger.check();
    assert!(kills > 5 && cuts > 10 && stalls > 5, "faults were injected");
    assert_empty(&collector, 0);
    assert_eq!(runtime().block_on(collector.waiting_in(COLLECTOR)), 0);
}

#[test]
fn a_cut_at_any_point_around_a_message_costs_nothing() {
    let vhost = rabbitmq::shared().new_vhost();
    let proxy = Proxy::start(vec![rabbitmq::shared().amqp_port()], None);
    let (ledger, voices) = (Ledger::default(), Voices::make());
    let collector = collect(&vhost.url(), &config(), &ledger);
    let crew = Crew::start(&Job::new(proxy.url(vhost.name()), config()), 1);
    let broker = runtime().block_on(opened(&vhost.url(), &config()));
    for fault in [Fault::Reset, Fault::Close, Fault::Stall(Duration::from_millis(300))] {
        for mark in AROUND_MESSAGES {
            proxy.once(mark, fault);
            let received = voices.note(&format!("{mark:?} {fault:?}"), Voice::Says(0));
            ledger.expect(&received, Expected { outcome: "completed", text: None });
            runtime().block_on(submit(&broker, &received));
            until(&format!("{fault:?} at {mark:?}"), || proxy.all_happened() && ledger.lost() == 0);
        }
    }
    eprintln!("cuts around one message: {:?}, {} answers repeated", proxy.counts(), ledger.duplicates());
    crew.stop();
    ledger.check();
    assert_empty(&collector, 0);
    runtime().block_on(broker.close());
}

#[test]
fn no_note_is_lost_or_answered_otherwise_while_workers_on_a_file_die() {
    let (notes, duration) = (600 * scale(), Duration::from_secs(12) * scale());
    let mut random = Random::of_this_run("ledger on the embedded queue");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    let (ledger, voices) = (Ledger::default(), Voices::make());
    let broker = runtime().block_on(opened(&url, &config()));
    let results = runtime().block_on(broker.subscribe("#")).unwrap();
    let following = ledger.clone();
    runtime().spawn(async move { following.follow(results).await });
    let job = Job::new(url, config());
    let mut crew = Crew::start(&job, 3);
    let producing = produce(&job, &voices, &ledger, "m", notes, duration);

    let end = Instant::now() + duration;
    while Instant::now() < end || crew.kills < 5 {
        thread::sleep(random.duration(300..2000));
        crew.kill_one(&mut random);
    }
    runtime().block_on(producing).unwrap();
    ledger.wait(Duration::from_mins(1));
    until("nothing waits", || runtime().block_on(broker.depth()).unwrap().waiting == 0);
    let kills = crew.kills;
    crew.stop();
    eprintln!(
        "ledger on the embedded queue: {} notes / {kills} kills / {} lost / {} conflicting ({} repeated)",
        ledger.answered(),
        ledger.lost(),
        ledger.conflicting(),
        ledger.duplicates()
    );
    ledger.check();
    assert_eq!(ledger.duplicates(), 0, "the log has every event once");
    let depth = runtime().block_on(broker.depth()).unwrap();
    assert_eq!((depth.waiting, depth.dead_letters), (0, 0));
    runtime().block_on(broker.close());
}

#[test]
fn no_note_is_lost_while_the_real_program_is_killed_in_the_middle_of_real_notes() {
    const NOTES: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let vhost = rabbitmq::shared().new_vhost();
    let defaults = sprachpost::broker::Config::default();
    let ledger = Ledger::default();
    let _collector = collect(&vhost.url(), &defaults, &ledger);
    let broker = runtime().block_on(opened(&vhost.url(), &defaults));
    let clips: Vec<_> =
        clips::own().into_iter().filter(|clip| clip.file.starts_with("notes/") && clip.text.is_some()).collect();
    for (number, clip) in clips.iter().cycle().take(NOTES).enumerate() {
        let audio = AudioSource::Inline { data: BASE64_STANDARD.encode(std::fs::read(&clip.path).unwrap()) };
        let note = VoiceNote::new("chaos".parse().unwrap(), "test".parse().unwrap(), format!("real{number}"), audio);
        let received = Received { note, traceparent: None };
        ledger.expect(&received, Expected { outcome: "completed", text: None });
        runtime().block_on(submit(&broker, &received));
    }
    let serve = || {
        let mut command = program::command(folder.path());
        command.env("SPRACHPOST__BROKER__URL", vhost.url());
        Server::start(command, &["--roles", "worker"])
    };
    for kill in 1..=2 {
        let server = serve();
        let before = ledger.answered();
        until("the program answers a note", || ledger.answered() > before);
        // Dropping it is signal 9, with notes in work.
        drop(server);
        eprintln!("kill {kill}: {} of {NOTES} answered", ledger.answered());
        assert!(ledger.lost() > 0, "it was killed in the middle");
    }
    let last = serve();
    ledger.wait(Duration::from_mins(2));
    last.signal("TERM");
    assert_eq!(last.wait().0, Some(0));
    eprintln!(
        "ledger with the real model: {} notes / 2 kills / {} lost / {} conflicting ({} repeated under their id)",
        ledger.answered(),
        ledger.lost(),
        ledger.conflicting(),
        ledger.duplicates()
    );
    ledger.check();
    let depth = runtime().block_on(broker.depth()).unwrap();
    assert_eq!((depth.waiting, depth.dead_letters), (0, 0));
    runtime().block_on(broker.close());
}
