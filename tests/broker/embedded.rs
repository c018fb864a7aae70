//! What only the queue in a file does.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use sprachpost::{
    broker::{self, BrokerError, Consumers, ResultQueue},
    event::Reason,
    outcome::{DeadLetterCause, Settlement, Stage},
};

use super::{Config, Exchange, Place, assert_nothing_comes, next, note, result, soon, submit};

const QUEUE_OF_CHILD: &str = "SPRACHPOST_TEST_QUEUE_OF_CHILD";

fn short_lease() -> Config {
    Config { lease_s: 1, ..Config::default() }
}

#[tokio::test]
async fn a_message_id_is_queued_once_within_the_window() {
    let place = Place::embedded();
    let broker = place.open().await;
    submit(&broker, "a").await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(5.into()).await.unwrap();
    next(&mut deliveries).await.settle(&Settlement::Ack).await.unwrap();
    submit(&broker, "a").await;
    assert_nothing_comes(&mut deliveries).await;
    let mut nameless = note("b");
    nameless.id = None;
    for _ in 0..2 {
        broker.publish(Exchange::Notes, &nameless).await.unwrap();
        next(&mut deliveries).await.settle(&Settlement::Ack).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_could_not_be_given_back_at_once_is_given_back_when_the_file_can_be_written() {
    let mut place = Place::embedded();
    // Renewed every three seconds, and far from running out by itself.
    place.config = Config { lease_s: 9, confirm_s_max: 1, ..Config::default() };
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    let path = secrecy::ExposeSecret::expose_secret(&place.url).trim_start_matches("embedded:").to_owned();
    let another = rusqlite::Connection::open(path).unwrap();
    another.execute_batch("BEGIN IMMEDIATE").unwrap();
    drop(delivery);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    another.execute_batch("COMMIT").unwrap();
    let again = tokio::time::timeout(Duration::from_secs(7), next(&mut deliveries)).await.unwrap();
    assert_eq!(again.attempt(), 2);
    again.settle(&Settlement::Ack).await.unwrap();
}

#[tokio::test]
async fn without_a_window_every_message_is_queued() {
    let mut place = Place::embedded();
    place.config.dedupe_window_s = 0;
    let broker = place.open().await;
    submit(&broker, "a").await;
    submit(&broker, "a").await;
    assert_eq!(broker.depth().await.unwrap().waiting, 2);
}

#[tokio::test]
async fn an_event_published_twice_is_in_the_log_once() {
    let place = Place::embedded();
    let broker = place.open().await;
    let mut results = broker.subscribe("processed.#").await.unwrap();
    for id in ["a", "a", "b"] {
        broker.publish(Exchange::Results, &result(id, "processed.acme")).await.unwrap();
    }
    for expected in ["a", "b"] {
        assert_eq!(soon(results.next()).await.unwrap().id.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn an_event_published_twice_is_queued_once_in_every_queue() {
    let place = Place::embedded();
    let broker = place.open().await;
    let queues = ["tickets.a", "tickets.b"];
    let queues = queues.map(|name| ResultQueue {
        name: name.to_owned(),
        patterns: vec!["processed.#".to_owned()],
        consumers: Consumers::Many,
    });
    for queue in &queues {
        broker.declare_results(queue).await.unwrap();
    }
    for id in ["a", "a", "b"] {
        broker.publish(Exchange::Results, &result(id, "processed.acme")).await.unwrap();
    }
    for queue in &queues {
        let mut results = broker.consume_results(queue, 5).await.unwrap();
        for expected in ["a", "b"] {
            let delivery = next(&mut results).await;
            assert_eq!(delivery.message().id.as_deref(), Some(expected));
            delivery.settle(&Settlement::Ack).await.unwrap();
        }
        assert_nothing_comes(&mut results).await;
    }
}

#[tokio::test]
async fn a_note_handed_back_was_never_attempted() {
    let place = Place::embedded();
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    for _ in 0..20 {
        let delivery = next(&mut deliveries).await;
        assert_eq!((delivery.attempt(), delivery.exhausted()), (1, false));
        delivery.hand_back().await.unwrap();
    }
}

#[tokio::test]
async fn of_two_who_look_at_the_same_letter_the_first_to_act_has_it() {
    let place = Place::embedded();
    let (broker, other) = (place.open().await, place.open().await);
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let cause = DeadLetterCause { reason: Reason::CorruptAudio, stage: Stage::Decode };
    next(&mut deliveries).await.settle(&Settlement::DeadLetter(cause)).await.unwrap();
    let mut passes = [broker.open_dead_letters().await.unwrap(), other.open_dead_letters().await.unwrap()];
    let mut letters = Vec::new();
    for pass in &mut passes {
        letters.push(pass.next().await.unwrap().unwrap());
        assert!(pass.next().await.unwrap().is_none());
    }
    let [first, second] = letters.try_into().ok().unwrap();
    assert!(first.replay(1).await.unwrap());
    assert!(!second.discard().await.unwrap());
    assert_eq!(next(&mut deliveries).await.replay(), 1);
}

#[tokio::test]
async fn a_killed_process_loses_its_note_when_its_lease_runs_out_and_not_before() {
    let mut place = Place::embedded();
    place.config = short_lease();
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "broker::embedded::takes_a_note_and_holds_it", "--ignored", "--nocapture"])
        .env(QUEUE_OF_CHILD, secrecy::ExposeSecret::expose_secret(&place.url))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("taken")), "the child says that it holds the note");
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let stolen = tokio::time::timeout(Duration::from_secs(3), deliveries.next()).await;
    assert!(stolen.is_err(), "a living process keeps its note beyond the first lease");
    child.kill().unwrap();
    child.wait().unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.message()), (2, &note("a")));
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn takes_a_note_and_holds_it() {
    let Ok(url) = std::env::var(QUEUE_OF_CHILD) else { return };
    let broker = broker::open(Some(&url.into()), &short_lease()).await.unwrap();
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let _held = next(&mut deliveries).await;
    println!("taken");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let url = format!("embedded:{}/file/queue.sqlite", folder.path().display());
    let error = broker::open(Some(&url.into()), &Config::default()).await.map(drop).unwrap_err();
    assert!(matches!(&error, BrokerError::Storage { path, .. } if path.ends_with("queue.sqlite")), "{error:?}");
}
