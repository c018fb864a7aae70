//! Real workers that share a RabbitMQ and a ledger.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use secrecy::SecretString;
use sprachpost::{
    app,
    asr::{AsrError, Hints, Recognised, Transcriber, pool::Pool, scripted::ScriptedTranscriber},
    audio::Pcm,
    broker::{self, Broker, Exchange, Message, Subscription},
    event::envelope::parse_processed,
    ledger::{Begun, Config, Ledger, Step},
    note::{AudioSource, VoiceNote},
    outcome::Settlement,
    retry::RetryPolicy,
    shutdown::Shutdown,
    worker,
};
use tokio::task::JoinHandle;

use super::{Duration, answered_by, config, event_id, note, open, soon, until};
use crate::support::{clips, postgres, program, rabbitmq, stages};

/// Takes its time, so that repeats overlap, and counts.
struct Counting(Arc<AtomicUsize>);

impl Transcriber for Counting {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(300));
        ScriptedTranscriber::default().then_say("de", "Mein Paket ist nicht angekommen.").transcribe(pcm, hints)
    }
}

struct Running {
    shutdown: Shutdown,
    handle: JoinHandle<()>,
}

fn queue() -> broker::Config {
    broker::Config { retry_delays_s: vec![1], ..broker::Config::default() }
}

async fn start(url: &SecretString, ledger: Ledger, transcribed: &Arc<AtomicUsize>) -> Running {
    let broker = broker::open(Some(url), &queue()).await.unwrap();
    let transcribed = Arc::clone(transcribed);
    let pool = Pool::start(2, move || Ok(Box::new(Counting(Arc::clone(&transcribed))))).unwrap();
    let stages = app::stages_on(&stages::quick(), pool).unwrap();
    let config = worker::Config { retry: RetryPolicy::default(), ..worker::Config::default() };
    let shutdown = Shutdown::default();
    let handle = tokio::spawn(worker::run(broker, ledger, stages, config, shutdown.clone()));
    Running { shutdown, handle }
}

impl Running {
    async fn stop(self) {
        self.shutdown.request();
        soon(self.handle).await.unwrap();
    }
}

/// The same platform message, with its audio at this address.
fn submission(message_id: &str, audio: &Path) -> Message {
    let audio = AudioSource::File { path: audio.display().to_string() };
    let note = VoiceNote { audio, ..note(message_id) };
    Message {
        id: Some(uuid::Uuid::new_v4().to_string()),
        correlation_id: None,
        routing_key: "received.musterstrom.whatsapp".to_owned(),
        content_type: Some("application/json".to_owned()),
        headers: [].into(),
        body: serde_json::to_vec(&note).unwrap(),
    }
}

fn clip() -> std::path::PathBuf {
    clips::own().into_iter().find(|c| c.file.ends_with("de-parcel-missing.ogg")).unwrap().path
}

/// Nothing waits, and stays that way.
async fn until_idle(broker: &Arc<dyn Broker>) {
    let mut idle = 0;
    soon(async {
        while idle < 5 {
            idle = if broker.depth().await.unwrap().waiting == 0 { idle + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// All bodies that were published about a note until now.
async fn drain(results: &mut Box<dyn Subscription>) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Ok(next) = tokio::time::timeout(Duration::from_millis(500), results.next()).await {
        messages.push(next.unwrap());
    }
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_platform_message_submitted_again_and_again_is_processed_once_and_answered_once() {
    let (vhost, database) = (rabbitmq::shared().new_vhost(), postgres::shared().new_database());
    let url = vhost.url().into();
    let broker = broker::open(Some(&url), &queue()).await.unwrap();
    let mut results = broker.subscribe("processed.#").await.unwrap();
    let transcribed = Arc::new(AtomicUsize::new(0));
    let (one, other) = (
        start(&url, open(&database).await, &transcribed).await,
        start(&url, open(&database).await, &transcribed).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let submit = async |number: usize| {
        let audio = folder.path().join(format!("{number}.ogg"));
        std::fs::copy(clip(), &audio).unwrap();
        for message_id in ["wamid.1", "wamid.2"] {
            broker.publish(Exchange::Notes, &submission(message_id, &audio)).await.unwrap();
        }
    };
    for number in 0..5 {
        submit(number).await;
    }
    until("both are answered", || async {
        database.count("SELECT count(*) FROM sprachpost_answers WHERE body IS NULL").await == 2
    })
    .await;
    until_idle(&broker).await;
    // Long after.
    submit(5).await;
    until_idle(&broker).await;
    one.stop().await;
    other.stop().await;
    assert_eq!(transcribed.load(Ordering::Relaxed), 2, "each note was listened to once");
    let events = drain(&mut results).await;
    let ids: BTreeSet<_> = events.iter().map(|event| event.id.clone()).collect();
    assert_eq!((events.len(), ids.len()), (2, 2));
    assert!(events.iter().all(|event| parse_processed(event).unwrap().transcript.is_some()));
    let depth = broker.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.dead_letters), (0, 0));
}

/// A worker publishes its answer and dies before it settles; `marked`: after it told the ledger, or before.
async fn redelivered_after_its_event_was_published(marked: bool) {
    let (vhost, database) = (rabbitmq::shared().new_vhost(), postgres::shared().new_database());
    let url = vhost.url().into();
    let observer = broker::open(Some(&url), &queue()).await.unwrap();
    let mut results = observer.subscribe("processed.#").await.unwrap();
    observer.publish(Exchange::Notes, &submission("wamid.1", &clip())).await.unwrap();

    let dying = broker::open(Some(&url), &queue()).await.unwrap();
    let ledger = open(&database).await;
    let mut deliveries = dying.consume(1.into()).await.unwrap();
    let delivery = soon(deliveries.next()).await.unwrap();
    let Begun::Work(claim) = ledger.begin(event_id(note("wamid.1").id()), 1).await else { panic!("it is new") };
    let mut answer = claim.decide(answered_by("dying", &note("wamid.1"), Settlement::Ack)).await;
    let Step::Publish(message) = answer.step() else { panic!("there is an event") };
    dying.publish(Exchange::Results, message).await.unwrap();
    if marked {
        answer.published().await;
    }
    dying.close().await;
    drop((answer, ledger, delivery, deliveries, dying));

    let transcribed = Arc::new(AtomicUsize::new(0));
    let worker = start(&url, open(&database).await, &transcribed).await;
    until("nothing of it is left", || async {
        database.count("SELECT count(*) FROM sprachpost_answers WHERE body IS NULL").await == 1
    })
    .await;
    until_idle(&observer).await;
    worker.stop().await;
    assert_eq!(transcribed.load(Ordering::Relaxed), 0);
    let events = drain(&mut results).await;
    assert_eq!(events.len(), if marked { 1 } else { 2 });
    let bodies: BTreeSet<_> = events.iter().map(|event| (event.id.clone(), event.body.clone())).collect();
    assert_eq!(bodies.len(), 1, "the same bytes under the same id");
    assert_eq!(observer.depth().await.unwrap().waiting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_confirm_and_mark_has_its_very_event_repeated() {
    redelivered_after_its_event_was_published(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_mark_and_acknowledgement_has_nothing_repeated() {
    redelivered_after_its_event_was_published(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_ledger_is_away_workers_go_on_and_repeats_have_the_same_id() {
    let vhost = rabbitmq::shared().new_vhost();
    let mut server = postgres::Server::start();
    let database = server.new_database();
    let url = vhost.url().into();
    let broker = broker::open(Some(&url), &queue()).await.unwrap();
    let mut results = broker.subscribe("processed.#").await.unwrap();
    let ledger = super::open_with(&database, &Config { query_s_max: 1, ..config() }).await;
    let transcribed = Arc::new(AtomicUsize::new(0));
    let worker = start(&url, ledger, &transcribed).await;
    server.stop();
    for _ in 0..2 {
        broker.publish(Exchange::Notes, &submission("wamid.1", &clip())).await.unwrap();
    }
    let (one, other) = (soon(results.next()).await.unwrap(), soon(results.next()).await.unwrap());
    assert_eq!(one.id, other.id);
    worker.stop().await;
}

#[test]
fn an_outage_of_the_ledger_is_logged_once_and_notes_that_went_by_it_are_counted() {
    let mut ledger = postgres::Server::start();
    let (vhost, database) = (rabbitmq::shared().new_vhost(), ledger.new_database());
    let folder = tempfile::tempdir().unwrap();
    let with_broker = || {
        let mut command = program::command(folder.path());
        command.env("SPRACHPOST__BROKER__URL", vhost.url());
        command
    };
    let mut command = with_broker();
    command.env("SPRACHPOST__LEDGER__URL", database.url()).env("SPRACHPOST__LEDGER__QUERY_S_MAX", "1");
    let mut server = program::Server::start(command, &[]);
    ledger.stop();
    server.wait_for_log("the ledger was lost");
    for name in ["de-follow-up.ogg", "en-no-callback.ogg"] {
        let file = Path::new(program::ROOT).join("tests/clips/notes").join(name);
        let output = with_broker().arg("submit").arg("--wait").arg(file).output().unwrap();
        assert!(output.status.success(), "{}", program::stderr(&output));
    }
    let (_, figures) = server.request("GET", "/metrics", &[], b"");
    assert!(figures.contains("sprachpost_ledger_bypassed_total 2"), "{figures}");
    ledger.restart();
    server.wait_for_log("the ledger is back");
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("the ledger was lost"), "{log}");
}
