//! Three nodes: the leader dies under load, then the majority.

use std::{
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sprachpost::{
    broker::{Exchange, topology},
    event::envelope::received_message,
};

use super::{Crew, assert_empty, collect, config, opened, produce};
use crate::support::{
    ledger::Ledger,
    proxy::Proxy,
    rabbitmq::{self, Node},
    runtime, until,
    voices::{Voice, Voices},
    worker::Job,
};

/// A leader is replaced, connections are opened anew: the longest that nobody is answered meanwhile. Most of a second as
/// a rule.
const STALL_MAX: Duration = Duration::from_mins(1);
const SETTLED_AFTER: Duration = Duration::from_secs(15);

#[test]
fn a_cluster_loses_its_leader_and_then_its_majority_and_no_note() {
    let _alone = rabbitmq::nodes_of_its_own();
    let mut nodes = Node::start_cluster();
    let vhost = nodes[0].new_vhost().name().to_owned();
    // What stands before a cluster, and hands connections to nodes that live.
    let proxy = Proxy::start(nodes.iter().map(Node::amqp_port).collect(), None);
    let url = proxy.url(&vhost);
    let (ledger, voices) = (Ledger::default(), Voices::make());
    let collector = collect(&url, &config(), &ledger);
    let job = Job::new(url.clone(), config());
    let crew = Crew::start(&job, 2);
    let broker = runtime().block_on(opened(&url, &config()));

    // RabbitMQ 3.10 may not bring a queue back whose leader dies soon after its declaration. Its management interface is
    // asked meanwhile, because it may not answer for minutes while notes go through.
    thread::sleep(SETTLED_AFTER);
    let leads = |node: &Node| node.vhost(&vhost).leads(topology::WORK_QUEUE);
    let leader = nodes.iter().position(leads).expect("one of the nodes leads");
    let producing = produce(&job, &voices, &ledger, "leader", 1000, Duration::from_secs(25));
    until("notes are answered", || ledger.answered() > 600);
    ledger.longest_silence();
    nodes[leader].kill();
    runtime().block_on(producing).unwrap();
    ledger.wait(STALL_MAX);
    let stall = ledger.longest_silence();
    eprintln!("cluster: the leader died, the longest stall was {:.1} s", stall.as_secs_f64());
    nodes[leader].restart();

    let producing = produce(&job, &voices, &ledger, "majority", 300, Duration::from_secs(6));
    until("notes are answered", || ledger.answered() > 1050);
    let note = received_message(&voices.note("majority0", Voice::Says(0)), Timestamp::now());
    nodes[1].kill();
    nodes[2].kill();
    let killed_at = Instant::now();
    until("nothing can be published", || {
        // As a gateway would.
        let asked_at = Instant::now();
        let published = runtime().block_on(broker.publish(Exchange::Notes, &note));
        assert!(asked_at.elapsed() < Duration::from_secs(15), "a publish hangs");
        published.is_err()
    });
    // A node without its majority goes on taking connections: to whom has one with it, the broker may seem ready.
    let seems = if broker.is_ready() { "ready" } else { "not ready" };
    let noticed = killed_at.elapsed().as_secs_f64();
    eprintln!("cluster: two of three nodes down, noticed after {noticed:.1} s, when it seemed {seems}");
    for _ in 0..3 {
        assert!(runtime().block_on(broker.publish(Exchange::Notes, &note)).is_err(), "nobody can have confirmed it");
    }
    nodes[1].launch();
    nodes[2].launch();
    nodes.iter().for_each(Node::wait);
    let back_at = Instant::now();
    until("the broker is ready again", || broker.is_ready());
    runtime().block_on(producing).unwrap();
    ledger.wait(Duration::from_mins(2));
    eprintln!(
        "cluster: all {} notes answered {:.1} s after the nodes were back, {} repeated under their id",
        ledger.answered(),
        back_at.elapsed().as_secs_f64(),
        ledger.duplicates()
    );
    assert_empty(&collector, 0);
    crew.stop();
    ledger.check();
    assert_empty(&collector, 0);
    runtime().block_on(broker.close());
}
