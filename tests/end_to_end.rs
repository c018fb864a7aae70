//! Notes through a real queue, a real worker and the real model, seen from outside.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use sprachpost::{
    broker::{self, Broker, Exchange, Message},
    event::{
        RECEIVED_V1,
        envelope::{PROCESSED_V1, parse_processed},
        processed::OutcomeKind,
    },
    ledger::Ledger,
    note::NoteId,
    shutdown::Shutdown,
    worker,
};
use tokio::{task::JoinHandle, time::timeout};

use crate::support::{
    clips::{self, Clip},
    rabbitmq, runtime, stages,
};

/// Longest wait for the next result; a note takes well under a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// A worker on a queue, as `serve` would run it.
struct RunningWorker {
    broker: Arc<dyn Broker>,
    shutdown: Shutdown,
    handle: JoinHandle<()>,
}

impl RunningWorker {
    async fn start(url: &SecretString) -> Self {
        Self::start_with(url, &broker::Config::default()).await
    }

    async fn start_with(url: &SecretString, config: &broker::Config) -> Self {
        let broker = broker::open(Some(url), config).await.unwrap();
        let (shutdown, stages) = (Shutdown::default(), stages::stages());
        let config = worker::Config::default();
        let run = worker::run(Arc::clone(&broker), Ledger::none(), stages, config, shutdown.clone());
        Self { handle: tokio::spawn(run), broker, shutdown }
    }

    /// Stops it, and checks that it left nothing behind but the dead letters that were expected.
    async fn stop(self, dead_letters_expected: u64) {
        self.shutdown.request();
        self.handle.await.unwrap();
        let depth = self.broker.depth().await.unwrap();
        assert_eq!((depth.waiting, depth.dead_letters), (0, dead_letters_expected));
        self.broker.close().await;
    }
}

fn short_clips() -> Vec<Clip> {
    let mut clips: Vec<Clip> = clips::own()
        .into_iter()
        .filter(|c| c.outcome.as_deref() == Some("completed") && c.seconds.is_some_and(|s| s < 8.0))
        .collect();
    clips.truncate(10);
    assert!(clips.len() >= 5);
    clips
}

fn inline(clip: &Clip) -> Value {
    json!({"type": "inline", "data": BASE64_STANDARD.encode(std::fs::read(&clip.path).unwrap())})
}

/// Someone else's program: its own connection, nothing of ours.
struct ForeignClient {
    _connection: Connection,
    channel: Channel,
}

impl ForeignClient {
    async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _connection: connection, channel }
    }

    async fn bind_results(&self, pattern: &str) -> lapin::Consumer {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
        let name = queue.name().clone();
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        self.channel.queue_bind(name.clone(), "sprachpost.results".into(), pattern.into(), bind, none).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        self.channel.basic_consume(name, "foreign".into(), options, FieldTable::default()).await.unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "a foreign client has no helper of ours; the confirm is awaited")]
    async fn publish(&self, key: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm =
            self.channel.basic_publish("sprachpost.notes".into(), key.into(), options, body, properties).await.unwrap();
        assert!(confirm.await.unwrap().is_ack());
    }
}

fn headers(pairs: &[(&str, &str)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    table
}

fn schema() -> jsonschema::Validator {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/contract/processed.v1.schema.json"));
    jsonschema::validator_for(&serde_json::from_str(&text.unwrap()).unwrap()).unwrap()
}

#[test]
fn fifty_notes_from_a_foreign_client_have_exactly_one_valid_event_each_under_the_right_key() {
    runtime().block_on(async {
        let vhost = rabbitmq::shared().new_vhost();
        let worker = RunningWorker::start(&vhost.url().into()).await;
        let client = ForeignClient::connect(&vhost.url()).await;
        let mut results = client.bind_results("processed.#").await;

        let clips = short_clips();
        let mut expected: BTreeMap<String, &Clip> = BTreeMap::new();
        for number in 0..50 {
            let (clip, id) = (&clips[number % clips.len()], format!("wamid.{number}"));
            let channel = ["whatsapp", "telegram", "signal"][number % 3];
            let note = json!({"tenant": "musterstrom", "channel": channel, "message_id": id, "audio": inline(clip)});
            let key = format!("received.musterstrom.{channel}");
            let plain = BasicProperties::default();
            match number % 4 {
                0 => {
                    let properties = plain.with_content_type("application/json".into());
                    client.publish(&key, properties, note.to_string().as_bytes()).await;
                }
                // No content type, no message id: what a shell script sends.
                1 => client.publish(&key, plain, note.to_string().as_bytes()).await,
                2 => {
                    let prefix = ["ce-", "cloudEvents:", "cloudEvents_"][number % 3];
                    let attributes = [("specversion", "1.0"), ("type", RECEIVED_V1), ("id", "1"), ("source", "/shop")]
                        .map(|(name, value)| (format!("{prefix}{name}"), value));
                    let attributes: Vec<(&str, &str)> = attributes.iter().map(|(n, v)| (n.as_str(), *v)).collect();
                    let properties =
                        plain.with_content_type("application/json".into()).with_headers(headers(&attributes));
                    client.publish(&key, properties, note.to_string().as_bytes()).await;
                }
                _ => {
                    let event = json!({"specversion": "1.0", "id": format!("e{number}"), "source": "/shop",
                                       "type": RECEIVED_V1, "data": note});
                    let properties = plain.with_content_type("application/cloudevents+json".into());
                    client.publish(&key, properties, event.to_string().as_bytes()).await;
                }
            }
            let note_id = NoteId::of(&"musterstrom".parse().unwrap(), &channel.parse().unwrap(), &id);
            expected.insert(note_id.to_string(), clip);
        }
        assert_eq!(expected.len(), 50);

        let validator = schema();
        while !expected.is_empty() {
            let next = timeout(PATIENCE, results.next()).await;
            let delivery = next.unwrap_or_else(|_| panic!("{} notes have no event", expected.len())).unwrap().unwrap();
            let event: Value = serde_json::from_slice(&delivery.data).unwrap();
            let mistakes: Vec<String> = validator.iter_errors(&event).map(|e| e.to_string()).collect();
            assert!(mistakes.is_empty(), "{mistakes:?}");

            let data = &event["data"];
            let note_id = data["note_id"].as_str().unwrap();
            let clip = expected.remove(note_id).expect("one event for each note, and none for others");
            let property = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
            assert_eq!(property(delivery.properties.correlation_id()).as_deref(), Some(note_id));
            assert_eq!(property(delivery.properties.message_id()).as_deref(), event["id"].as_str());
            assert_eq!(event["type"], PROCESSED_V1);
            let or_none = |value: &Value| value.as_str().unwrap_or("none").to_owned();
            let key = format!(
                "processed.musterstrom.{}.completed.{}.{}.{}",
                data["channel"].as_str().unwrap(),
                clip.language.as_deref().unwrap(),
                or_none(&data["understanding"]["intent"]["name"]),
                or_none(&data["understanding"]["urgency"]["level"]),
            );
            assert_eq!(delivery.routing_key.as_str(), key);
        }
        let more = timeout(Duration::from_millis(500), results.next()).await;
        assert!(more.is_err(), "no second event for any note");
        worker.stop(0).await;
    });
}

/// A message and how its note has to end.
struct Bad {
    what: &'static str,
    body: Vec<u8>,
    outcome: OutcomeKind,
    reason: &'static str,
    dead_letter: bool,
}

fn bad_messages() -> Vec<Bad> {
    let rejected = |what, body: Value, reason| Bad {
        what,
        body: body.to_string().into_bytes(),
        outcome: OutcomeKind::Rejected,
        reason,
        dead_letter: false,
    };
    let note = |id: &str, audio: Value| json!({"tenant": "t", "channel": "c", "message_id": id, "audio": audio});
    let kept = |bad: Bad| Bad { dead_letter: true, ..bad };
    let mut all = vec![
        Bad { body: b"{\"tenant\": \"t\"".to_vec(), ..kept(rejected("cut JSON", json!(0), "malformed_event")) },
        Bad { body: vec![0xff; 64], ..kept(rejected("no JSON at all", json!(0), "malformed_event")) },
        Bad { body: vec![], ..kept(rejected("nothing", json!(0), "malformed_event")) },
        kept(rejected("a bare string", json!("hallo"), "malformed_event")),
        kept(rejected("no audio", json!({"tenant": "t", "channel": "c", "message_id": "1"}), "malformed_event")),
        kept(rejected(
            "a tenant that widens a key",
            json!({"tenant": "#", "channel": "c", "message_id": "1",
            "audio": {"type": "inline", "data": ""}}),
            "malformed_event",
        )),
        kept(rejected(
            "a version of the future",
            json!({"specversion": "1.0", "id": "1", "source": "/x",
            "type": "de.sprachpost.voice-note.received.v2", "data": {}}),
            "unsupported_event",
        )),
        rejected("no base64", note("b64", json!({"type": "inline", "data": "%%%"})), "invalid_inline_audio"),
        rejected(
            "a forbidden host",
            note("host", json!({"type": "url", "url": "https://elsewhere.example/a.ogg"})),
            "source_forbidden",
        ),
        rejected(
            "the cloud's metadata",
            note("meta", json!({"type": "url", "url": "http://169.254.169.254/latest"})),
            "source_forbidden",
        ),
        rejected("a file outside", note("file", json!({"type": "file", "path": "/etc/passwd"})), "source_forbidden"),
    ];
    for clip in clips::own().into_iter().filter(|c| c.outcome.as_deref() == Some("rejected")) {
        let reason: &'static str = clip.reason.clone().unwrap().leak();
        all.push(rejected("a hostile file", note(&clip.file, inline(&clip)), reason));
    }
    all
}

/// Every bad message ends in its own event; in the end the worker still works.
async fn bad_messages_end_in_their_own_events(url: &SecretString) {
    let worker = RunningWorker::start(url).await;
    let mut results = worker.broker.subscribe("processed.#").await.unwrap();
    let bad = bad_messages();
    let dead_letters = bad.iter().filter(|b| b.dead_letter).count() as u64;
    for bad in bad {
        let message = Message {
            id: None,
            correlation_id: None,
            routing_key: "received.t.c".to_owned(),
            content_type: Some("application/json".to_owned()),
            headers: BTreeMap::new(),
            body: bad.body,
        };
        worker.broker.publish(Exchange::Notes, &message).await.unwrap();
        let result = timeout(PATIENCE, results.next()).await.unwrap_or_else(|_| panic!("{}: no event", bad.what));
        let processed = parse_processed(&result.unwrap()).unwrap();
        let reason = processed.reason.map(sprachpost::event::Reason::as_str);
        assert_eq!((processed.outcome, reason), (bad.outcome, Some(bad.reason)), "{}", bad.what);
        assert!(processed.detail.is_some_and(|d| !d.is_empty()), "{}: people want a sentence", bad.what);
    }
    let letters = worker.broker.dead_letters(100).await.unwrap();
    assert_eq!(letters.len() as u64, dead_letters);
    assert!(letters.iter().all(|l| l.reason == "malformed_event" || l.reason == "unsupported_event"));

    let clip = &short_clips()[0];
    let good = json!({"tenant": "t", "channel": "c", "message_id": "good", "audio": inline(clip)});
    let mut message =
        Message::event(uuid::Uuid::new_v4(), String::new(), "received.t.c".to_owned(), good.to_string().into_bytes());
    message.content_type = None;
    worker.broker.publish(Exchange::Notes, &message).await.unwrap();
    let result = timeout(PATIENCE, results.next()).await.expect("the worker still works").unwrap();
    assert_eq!(parse_processed(&result).unwrap().outcome, OutcomeKind::Completed);
    worker.stop(dead_letters).await;
}

#[test]
fn bad_messages_end_in_their_own_events_on_rabbitmq() {
    let vhost = rabbitmq::shared().new_vhost();
    runtime().block_on(bad_messages_end_in_their_own_events(&vhost.url().into()));
}

#[test]
fn bad_messages_end_in_their_own_events_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    runtime().block_on(bad_messages_end_in_their_own_events(&url.into()));
}

/// A note that takes its process down every time: counted by the queue, answered once, kept for people.
async fn a_note_that_kills_its_workers_is_answered_and_kept(url: &SecretString) {
    const DELIVERIES_MAX: u32 = 2;
    let config = broker::Config { deliveries_max: DELIVERIES_MAX, lease_s: 1, ..broker::Config::default() };
    let note = json!({"tenant": "t", "channel": "c", "message_id": "poison", "audio": inline(&short_clips()[0])});
    let mut message =
        Message::event(uuid::Uuid::new_v4(), String::new(), "received.t.c".to_owned(), note.to_string().into_bytes());
    message.content_type = None;
    for death in 0..DELIVERIES_MAX {
        let broker = broker::open(Some(url), &config).await.unwrap();
        if death == 0 {
            broker.publish(Exchange::Notes, &message).await.unwrap();
        }
        let mut deliveries = broker.consume(1.into()).await.unwrap();
        let delivery = timeout(PATIENCE, deliveries.next()).await.expect("the note comes back").unwrap();
        assert!(!delivery.exhausted());
        // As if the process had died here: the connection goes first, nothing is settled or handed back.
        broker.close().await;
        drop((delivery, deliveries));
    }
    // Somebody listens before the worker starts, or the answer could be missed.
    let listener = broker::open(Some(url), &config).await.unwrap();
    let mut results = listener.subscribe("processed.#").await.unwrap();
    let worker = RunningWorker::start_with(url, &config).await;
    let result = timeout(PATIENCE, results.next()).await.expect("even this note has its event").unwrap();
    let processed = parse_processed(&result).unwrap();
    let reason = processed.reason.map(sprachpost::event::Reason::as_str);
    assert_eq!((processed.outcome, reason), (OutcomeKind::Failed, Some("worker_crashed")));
    assert_eq!(processed.message_id.as_deref(), Some("poison"));
    worker.stop(1).await;
}

#[test]
fn a_note_that_kills_its_workers_is_answered_and_kept_on_rabbitmq() {
    let vhost = rabbitmq::shared().new_vhost();
    runtime().block_on(a_note_that_kills_its_workers_is_answered_and_kept(&vhost.url().into()));
}

#[test]
fn a_note_that_kills_its_workers_is_answered_and_kept_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    runtime().block_on(a_note_that_kills_its_workers_is_answered_and_kept(&url.into()));
}
