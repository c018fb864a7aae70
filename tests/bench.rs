//! `sprachpost bench`, run as its users run it: on both queues, and never on somebody's notes.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use secrecy::SecretString;
use serde_json::Value;
use sprachpost::broker::{self, Depth, Exchange, Message};

use crate::support::{program, rabbitmq, runtime};

/// Seconds of each soak; `make soak` sets more.
const SOAK_S: &str = "SPRACHPOST_SOAK_S";
const SOAK_S_DEFAULT: &str = "10";

/// The program on RabbitMQ at this address.
fn on_rabbitmq(folder: &Path, url: &str) -> Command {
    let mut command = program::command(folder);
    command.env("SPRACHPOST__BROKER__URL", url);
    command
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}\n{}", program::stdout(output), program::stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_refused(output: &Output, why: &str) {
    let err = program::stderr(output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains(why), "{err}");
}

fn assert_measured(figures: &Value, broker: &str) {
    assert_eq!(figures["broker"], broker, "{figures}");
    for phase in ["throughput", "latency"] {
        let phase = &figures[phase];
        assert_eq!(phase["outcomes"]["completed"], 300, "{phase}");
        assert_eq!((&phase["refused"], &phase["unanswered"]), (&0.into(), &0.into()), "{phase}");
        let at = |name: &str| phase["latency_ms"][name].as_f64().unwrap();
        assert!(0.0 < at("p50") && at("p50") <= at("p90") && at("p90") <= at("p99"), "{phase}");
        assert!(phase["notes_per_s"].as_f64().unwrap() > 0.0, "{phase}");
    }
    assert!(figures["throughput"]["in_flight"]["max"].as_u64().unwrap() <= 32, "{figures}");
}

const SHORT: [&str; 7] = ["bench", "plumbing", "--notes", "300", "--in-flight", "32", "--json"];

#[test]
fn the_plumbing_is_measured_on_a_queue_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    assert_measured(&json(&program::run(folder.path(), &SHORT)), "embedded queue");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "neither the configured queue was opened nor anything left behind");
}

#[test]
fn the_plumbing_is_measured_on_rabbitmq_and_leaves_nothing_behind() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let figures = json(&on_rabbitmq(folder.path(), &vhost.url()).args(SHORT).output().unwrap());
    assert_measured(&figures, "RabbitMQ");
    let depth = runtime().block_on(async {
        let broker = broker::open(Some(&SecretString::from(vhost.url())), &broker::Config::default()).await.unwrap();
        broker.depth().await.unwrap()
    });
    assert_eq!(depth, Depth::default());
}

#[test]
fn a_person_can_read_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let output = program::run(folder.path(), &["bench", "plumbing", "--notes", "100", "--rate", "200"]);
    let out = program::stdout(&output);
    assert!(output.status.success(), "{}", program::stderr(&output));
    for words in ["embedded queue", "notes/s", "p99 ms", "in flight", "as fast as it goes", "at 200 notes/s"] {
        assert!(out.contains(words), "{words} is missing in\n{out}");
    }
}

#[test]
fn recognition_is_measured_on_labelled_clips_by_profiles_that_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let clips = Path::new(program::ROOT).join("tests/clips");
    let asr = ["bench", "asr", clips.to_str().unwrap(), "--only", "notes/en-", "--asr-profile", "balanced,fast"];
    let mut command = program::command(folder.path());
    command.env("SPRACHPOST__UNDERSTANDING__ENCODER", "none").args(asr);
    let figures = json(&command.arg("--json").output().unwrap());
    let profiles = figures["profiles"].as_array().unwrap();
    assert_eq!(profiles.iter().map(|of| &of["profile"]).collect::<Vec<_>>(), ["balanced", "fast"]);
    for of in profiles {
        let all = &of["rows"][0];
        assert_eq!((&all["group"], &all["notes"], &all["other_language"]), (&"all".into(), &3.into(), &0.into()));
        assert!(all["word_error_rate"].as_f64().unwrap() < 20.0, "{all}");
        assert!(all["latency_ms"]["p95"].as_f64() >= all["latency_ms"]["p50"].as_f64(), "{all}");
        assert!(of["real_time"].as_f64().unwrap() > 0.0 && of["processor_s"].as_f64().unwrap() > 0.0, "{of}");
    }
    assert!(figures["memory_bytes_max"].as_u64().unwrap() > 100_000_000, "the model is in it: {figures}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn recordings_that_are_not_there_are_an_error_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    assert_refused(&program::run(folder.path(), &["bench", "asr", "no-such-folder"]), "no-such-folder");
    let empty = folder.path().to_str().unwrap();
    assert_refused(&program::run(folder.path(), &["bench", "asr", empty]), "no recordings");
}

#[test]
fn a_virtual_host_that_is_not_for_benches_is_left_alone() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let url = vhost.url();
    let (server, _) = url.rsplit_once('/').unwrap();
    for what in ["plumbing", "soak"] {
        let output = on_rabbitmq(folder.path(), &format!("{server}/%2f")).args(["bench", what]).output().unwrap();
        assert_refused(&output, "not for benches");
    }
}

#[test]
fn a_queue_in_use_is_left_alone() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    runtime().block_on(async {
        let broker = broker::open(Some(&SecretString::from(vhost.url())), &broker::Config::default()).await.unwrap();
        let note = Message::event(uuid::Uuid::new_v4(), "n".to_owned(), "received.a.b".to_owned(), b"{}".to_vec());
        broker.publish(Exchange::Notes, &note).await.unwrap();
        assert_refused(&on_rabbitmq(folder.path(), &vhost.url()).args(SHORT).output().unwrap(), "1 notes wait");
        assert_eq!(broker.depth().await.unwrap().waiting, 1);

        let mut working = broker.consume(1.into()).await.unwrap();
        let delivery = tokio::time::timeout(Duration::from_secs(10), working.next()).await.unwrap().unwrap();
        assert_refused(&on_rabbitmq(folder.path(), &vhost.url()).args(SHORT).output().unwrap(), "1 workers");
        delivery.hand_back().await.unwrap();
    });
}

fn assert_soaked(output: &Output, broker: &str) {
    let seen = json(output);
    println!("{seen}");
    assert_eq!((&seen["broker"], &seen["flat"]), (&broker.into(), &true.into()), "{seen}");
    for outcome in ["completed", "rejected"] {
        assert!(seen["outcomes"][outcome].as_u64().unwrap() > 50, "{seen}");
    }
    assert!(seen["failures"].as_u64().unwrap() > 10 && seen["unanswered"] == 0, "{seen}");
}

fn soak_seconds() -> String {
    std::env::var(SOAK_S).unwrap_or_else(|_| SOAK_S_DEFAULT.to_owned())
}

#[test]
fn soak_embedded_holds_no_more_at_the_end_than_after_the_hundredth_note() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        program::run(folder.path(), &["bench", "soak", "--json", "--rate", "100", "--seconds", &soak_seconds()]);
    assert_soaked(&output, "embedded queue");
}

#[test]
fn soak_on_rabbitmq_holds_no_more_at_the_end_than_after_the_hundredth_note() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let arguments = ["bench", "soak", "--json", "--rate", "200", "--seconds", &soak_seconds()];
    let output = on_rabbitmq(folder.path(), &vhost.url()).args(arguments).output().unwrap();
    assert_soaked(&output, "RabbitMQ");
}

#[test]
fn a_soak_too_short_to_tell_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = program::run(folder.path(), &["bench", "soak", "--seconds", "0.3", "--rate", "20"]);
    assert_refused(&output, "soak for longer");
}
