//! What is told beside the result: the acknowledgement, and the result without personal data.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;
use sprachpost::{
    app,
    asr::{AsrError, Hints, Recognised, Transcriber, pool::Pool, scripted::ScriptedTranscriber},
    audio::Pcm,
    backlog::{self, Relief},
    broker::{self, Broker, Exchange, Group, Message, Subscription, topology::header},
    config::Config,
    event::{
        Acknowledged, Event, Processed, Redacted,
        envelope::{Received, parse_event, received_message},
        processed::OutcomeKind,
    },
    ledger::Ledger,
    letters::{self, Filter, Order},
    note::{Tenant, VoiceNote},
    shutdown::Shutdown,
    worker,
};
use tokio::{task::JoinHandle, time::timeout};

use crate::support::{
    clips, rabbitmq, runtime,
    stages::{self, note_of},
};

const PATIENCE: Duration = Duration::from_mins(1);
const SETTINGS: &str = "[test]\nacknowledgement = true\nredacted_events = true\n";
const SAID: &str = "Mein Paket ist nicht angekommen, die Bestellnummer ist vier sieben eins eins null acht.";

/// Fails the first time and hears the same then; each time it waits to be let go, until nobody can do that any more.
struct Held {
    script: ScriptedTranscriber,
    go: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Transcriber for Held {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        let _ = self.go.lock().unwrap().recv();
        self.script.transcribe(pcm, hints)
    }
}

struct Running {
    broker: Arc<dyn Broker>,
    go: mpsc::Sender<()>,
    shutdown: Shutdown,
    handle: JoinHandle<()>,
}

impl Running {
    async fn start(url: SecretString, mut config: Config) -> Self {
        config.tenants = toml::from_str(SETTINGS).unwrap();
        config.worker.retry.attempts_max = 2;
        config.worker.retry.first_delay_s = 1.0;
        let queue = broker::Config { retry_delays_s: vec![1], ..broker::Config::default() };
        let broker = broker::open(Some(&url), &queue).await.unwrap();
        let (go, gone_on) = mpsc::channel();
        let gone_on = Arc::new(Mutex::new(gone_on));
        let pool = Pool::start(1, move || {
            let mut first = true;
            let script = ScriptedTranscriber::always(move |pcm| {
                if std::mem::take(&mut first) {
                    return Err(AsrError::Engine("scripted".to_owned()));
                }
                Ok(ScriptedTranscriber::confident(pcm, "de", SAID.into()))
            });
            Ok(Box::new(Held { script, go: Arc::clone(&gone_on) }) as Box<dyn Transcriber>)
        });
        let stages = app::stages_on(&config, pool.unwrap()).unwrap();
        let shutdown = Shutdown::default();
        let run = worker::run(Arc::clone(&broker), Ledger::none(), stages, config.worker, shutdown.clone());
        Self { broker, go, shutdown, handle: tokio::spawn(run) }
    }

    async fn submit(&self, tenant: &str, queued_at: Option<Timestamp>) {
        let clip = clips::own().into_iter().find(|clip| clip.file.ends_with("de-outage.ogg")).unwrap().path;
        let note = VoiceNote { tenant: tenant.parse::<Tenant>().unwrap(), ..note_of(&clip) };
        let mut message: Message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        message.headers.extend(queued_at.map(|at| (header::QUEUED_AT.to_owned(), at.to_string())));
        self.broker.publish(Exchange::Notes, &message).await.unwrap();
    }

    async fn stop(self) {
        self.shutdown.request();
        drop(self.go);
        self.handle.await.unwrap();
        self.broker.close().await;
    }
}

/// The next event, of whichever kind.
async fn next(events: &mut Box<dyn Subscription>) -> (String, Event) {
    let message = timeout(PATIENCE, events.next()).await.expect("it comes in time").unwrap();
    (message.routing_key.clone(), parse_event(&message).unwrap())
}

async fn acknowledged(events: &mut Box<dyn Subscription>) -> Acknowledged {
    match next(events).await {
        (key, Event::Acknowledged { data, .. }) if key == "acknowledged.test.upload" => *data,
        other => panic!("{other:?}"),
    }
}

async fn processed(events: &mut Box<dyn Subscription>) -> Processed {
    match next(events).await.1 {
        Event::Processed { data, .. } => *data,
        other => panic!("{other:?}"),
    }
}

async fn redacted(events: &mut Box<dyn Subscription>) -> Redacted {
    match next(events).await {
        (key, Event::Redacted { data, .. }) if key.starts_with("redacted.test.upload.") => *data,
        other => panic!("{other:?}"),
    }
}

async fn a_sender_is_told_at_once_and_once_and_others_get_no_personal_data(url: SecretString) {
    let running = Running::start(url, stages::quick()).await;
    let mut events = running.broker.subscribe("#").await.unwrap();
    running.submit("test", None).await;
    // Nobody can have listened to it: the engine is held.
    let told = acknowledged(&mut events).await;
    assert!(told.text.starts_with("Danke für Ihre Sprachnachricht") && told.language == "de", "{told:?}");
    assert!(["acknowledgement.open", "acknowledgement.closed"].contains(&told.template.as_str()), "{told:?}");
    // The first attempt fails, the second does not, and says nothing before its result.
    running.go.send(()).unwrap();
    running.go.send(()).unwrap();
    let whole = processed(&mut events).await;
    assert_eq!((whole.outcome, whole.attempt, whole.note_id), (OutcomeKind::Completed, 2, told.note_id));
    let left = redacted(&mut events).await;
    assert_eq!((left.get().note_id, &left.get().message_id), (whole.note_id, &None));
    let text = left.get().transcript.as_ref().unwrap().text.expose().to_owned();
    assert_eq!(text, "Mein Paket ist nicht angekommen, die Bestellnummer ist [Bestellnummer].");
    let json = serde_json::to_string(&left).unwrap();
    assert!(serde_json::to_string(&whole).unwrap().contains("471108") && !json.contains("471108"), "{json}");
    // A tenant that wants neither gets the result alone.
    running.submit("plain", None).await;
    running.go.send(()).unwrap();
    assert_eq!(processed(&mut events).await.tenant.unwrap().as_str(), "plain");
    running.stop().await;
}

async fn who_is_set_aside_is_told_and_a_replay_tells_nobody_again(url: SecretString) {
    let mut config = stages::quick();
    config.worker.backlog =
        backlog::Config { after_s: Some(600), relief: Relief::SetAside, ..backlog::Config::default() };
    let running = Running::start(url, config).await;
    let mut events = running.broker.subscribe("#").await.unwrap();
    running.submit("test", Some(Timestamp::now().checked_sub(Duration::from_hours(1)).unwrap())).await;
    // First the sender, then the result: the engine is held all the while.
    let told = acknowledged(&mut events).await;
    assert_eq!(told.template, "acknowledgement.busy");
    let whole = processed(&mut events).await;
    assert_eq!(
        (whole.outcome, whole.relief, whole.note_id),
        (OutcomeKind::Failed, Some(Relief::SetAside), told.note_id)
    );
    assert_eq!(redacted(&mut events).await.get().outcome, OutcomeKind::Failed);
    let replayed = async {
        loop {
            let look = letters::find(running.broker.as_ref(), &Group::Notes, &Filter::default(), 10).await.unwrap();
            if !look.found.is_empty() {
                break letters::carry_out(running.broker.as_ref(), &Group::Notes, Order::Replay, look.found, |_| ())
                    .await
                    .unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, replayed).await.expect("it lies with the dead letters");
    let (first, second) = (running.go.send(()), running.go.send(()));
    assert!(first.is_ok() && second.is_ok());
    let again = processed(&mut events).await;
    assert_eq!((again.note_id, again.replay), (told.note_id, 1), "nobody is told a second time");
    running.stop().await;
}

fn embedded(folder: &tempfile::TempDir) -> SecretString {
    format!("embedded:{}", folder.path().join("queue.sqlite").display()).into()
}

#[test]
fn a_sender_is_told_at_once_and_once_and_others_get_no_personal_data_on_rabbitmq() {
    let vhost = rabbitmq::shared().new_vhost();
    runtime().block_on(a_sender_is_told_at_once_and_once_and_others_get_no_personal_data(vhost.url().into()));
}

#[test]
fn a_sender_is_told_at_once_and_once_and_others_get_no_personal_data_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(a_sender_is_told_at_once_and_once_and_others_get_no_personal_data(embedded(&folder)));
}

#[test]
fn who_is_set_aside_is_told_and_a_replay_tells_nobody_again_on_rabbitmq() {
    let vhost = rabbitmq::shared().new_vhost();
    runtime().block_on(who_is_set_aside_is_told_and_a_replay_tells_nobody_again(vhost.url().into()));
}

#[test]
fn who_is_set_aside_is_told_and_a_replay_tells_nobody_again_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(who_is_set_aside_is_told_and_a_replay_tells_nobody_again(embedded(&folder)));
}

#[test]
fn a_tenant_whose_playbook_has_nothing_to_say_is_an_error_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("playbook.toml");
    std::fs::write(&path, "version = 1\n").unwrap();
    let mut config = stages::quick();
    config.playbook.path = Some(path);
    config.tenants = toml::from_str(SETTINGS).unwrap();
    let pool = Pool::start(1, || Ok(Box::new(ScriptedTranscriber::default()) as Box<dyn Transcriber>)).unwrap();
    let error =
        runtime().block_on(async { tokio::spawn(async move { app::stages_on(&config, pool).unwrap_err() }).await });
    assert!(error.unwrap().to_string().contains("tenants.test.acknowledgement"));
}
