//! Other systems publish to RabbitMQ, just as they do: each voice note is taken once, nothing is lost, no key is kept.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::HeaderMap, routing::get};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use sprachpost::{
    app::{self, Role},
    audio::fetch::{self, Fetcher},
    broker::{self, Broker, DeadLetter, Deliveries, Depth, Exchange, Group},
    config::Config,
    event::envelope::{Received, parse_received, received_message},
    gateway::channels::{ChannelConfig, Channels, Media, OpenChannel, Place, Remote, intake::Intake},
    note::{AudioSource, VoiceNote},
    outcome::Settlement,
    recordings::{self, Recordings},
    reload::Reload,
    shutdown::Shutdown,
};
use tokio::task::JoinHandle;

use crate::support::rabbitmq::{Vhost, shared};

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for something that must not happen to show.
const A_MOMENT: Duration = Duration::from_millis(400);
/// The key in the fixtures.
const KEY: &str = "B6D711FC-0000-4DAA-AAAA-D5C7E1F2A3B4";

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channels").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes far less time than this")
}

/// A gateway's channel on a RabbitMQ of its own, with the other system beside it.
struct Scene {
    vhost: Vhost<'static>,
    config: broker::Config,
    limits: fetch::Config,
    folder: tempfile::TempDir,
    other: OtherSystem,
}

struct OtherSystem {
    channel: Channel,
    _connection: Connection,
}

impl OtherSystem {
    async fn connect(vhost: &Vhost<'_>) -> Self {
        let connection = Connection::connect(&vhost.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { channel, _connection: connection }
    }
}

impl Scene {
    async fn new() -> Self {
        let vhost = shared().new_vhost();
        let other = OtherSystem::connect(&vhost).await;
        let config = broker::Config { retry_delays_s: vec![1], ..broker::Config::default() };
        let folder = tempfile::tempdir().unwrap();
        Self { vhost, config, limits: fetch::Config::default(), folder, other }
    }

    async fn broker(&self) -> Arc<dyn Broker> {
        broker::open(Some(&self.vhost.url().into()), &self.config).await.unwrap()
    }

    async fn listen(&self, channel: Value) -> Listening {
        let broker = self.broker().await;
        let fetcher = Arc::new(Fetcher::new(&self.limits).unwrap());
        let config = recordings::Config { dir: self.folder.path().to_owned(), ..recordings::Config::default() };
        let recordings = Arc::new(Recordings::open(&config, 0, &fetcher).unwrap());
        let intake = Intake::new(Arc::clone(&broker), recordings);
        Intake::declare(&broker).await.unwrap();
        let own = open(channel, &self.limits);
        let shutdown = Shutdown::default();
        let until = shutdown.clone();
        let task = tokio::spawn(async move { own.platform.listen(&own, &intake, &until).await });
        Listening { broker, shutdown, task }
    }

    async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        #[expect(clippy::disallowed_methods, reason = "this is the other system")]
        let published = self
            .other
            .channel
            .basic_publish(
                exchange.into(),
                key.into(),
                BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
                body,
                BasicProperties::default(),
            )
            .await
            .unwrap();
        let confirmed = published.await.unwrap();
        assert!(matches!(confirmed, lapin::Confirmation::Ack(None)), "some queue takes it: {confirmed:?}");
    }

    async fn publish_event(&self, event: &Value) {
        self.publish("evolution_exchange", "messages.upsert", event.to_string().as_bytes()).await;
    }
}

/// A channel that takes what is published, until it is told to stop.
struct Listening {
    broker: Arc<dyn Broker>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Listening {
    async fn is_bound(&self, group: &str) {
        let group: Group = group.parse().unwrap();
        soon(async {
            while self.broker.depth_of(&group).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        // Bindings come right after the queues.
        tokio::time::sleep(A_MOMENT).await;
    }

    async fn holds(&self, group: &str, waiting: u64, dead_letters: u64) {
        let (group, expected): (Group, _) = (group.parse().unwrap(), Depth { waiting, dead_letters });
        soon(async {
            while self.broker.depth_of(&group).await.ok() != Some(expected) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    async fn letters(&self, group: &str) -> Vec<DeadLetter> {
        let mut pass = self.broker.open_dead_letters_of(&group.parse().unwrap()).await.unwrap();
        let mut letters = vec![];
        while let Some(held) = pass.next().await.unwrap() {
            letters.push(held.into_letter());
        }
        pass.close().await.unwrap();
        letters
    }

    async fn stop(self) {
        self.shutdown.request();
        soon(self.task).await.unwrap();
        self.broker.close().await;
    }
}

fn open(channel: Value, limits: &fetch::Config) -> Arc<OpenChannel> {
    let config: ChannelConfig = serde_json::from_value(channel).unwrap();
    let channels = Channels::open(std::slice::from_ref(&config), limits).unwrap();
    Arc::clone(channels.get(config.name.as_str()).unwrap())
}

fn evolution() -> Value {
    json!({"name": "evo", "tenant": "musterstrom", "type": "evolution"})
}

async fn next(deliveries: &mut Box<dyn Deliveries>) -> VoiceNote {
    let delivery = soon(deliveries.next()).await.unwrap();
    let note = parse_received(delivery.message()).unwrap().note;
    delivery.settle(&Settlement::Ack).await.unwrap();
    note
}

async fn assert_nothing_comes(deliveries: &mut Box<dyn Deliveries>) {
    assert!(tokio::time::timeout(A_MOMENT, deliveries.next()).await.is_err(), "nothing was to be delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_becomes_one_note_whose_audio_is_kept_however_often_it_comes() {
    let scene = Scene::new().await;
    let listening = scene.listen(evolution()).await;
    listening.is_bound("channels.evo").await;
    let mut notes = listening.broker.consume(5.into()).await.unwrap();
    let event = fixture("evolution/audio-base64.json");
    for _ in 0..3 {
        scene.publish_event(&event).await;
    }
    for ignored in ["text", "own-audio", "connection-update"] {
        scene.publish_event(&fixture(&format!("evolution/{ignored}.json"))).await;
    }
    let note = next(&mut notes).await;
    assert_eq!((note.tenant.as_str(), note.channel.as_str()), ("musterstrom", "whatsapp"));
    assert_eq!(note.message_id, "3EB0D98ABA37B1B6C9E5");
    assert_eq!(note.conversation.as_ref().unwrap().expose(), "4917055501");
    assert!(note.sender.as_ref().unwrap().expose().starts_with("c:"), "a pseudonym");
    let AudioSource::File { path } = &note.audio else { panic!("{:?}", note.audio) };
    let kept = std::fs::read(path).unwrap();
    let sent = event["data"]["message"]["base64"].as_str().unwrap();
    assert_eq!(BASE64_STANDARD.encode(kept), sent);
    listening.holds("channels.evo", 0, 0).await;
    assert_nothing_comes(&mut notes).await;
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_nobody_listens_waits_and_a_lost_connection_makes_no_second_note() {
    let mut scene = Scene::new().await;
    let listening = scene.listen(evolution()).await;
    listening.is_bound("channels.evo").await;
    listening.stop().await;
    scene.publish_event(&fixture("evolution/audio-base64.json")).await;

    let listening = scene.listen(evolution()).await;
    let workers = scene.broker().await;
    let mut notes = workers.consume(5.into()).await.unwrap();
    let first = next(&mut notes).await;
    workers.close().await;
    scene.vhost.close_connections();
    scene.other = OtherSystem::connect(&scene.vhost).await;
    scene.publish_event(&fixture("evolution/audio-base64.json")).await;
    let mut event = fixture("evolution/audio-base64.json");
    event["data"]["key"]["id"] = "3EB0AFTERWARDS".into();
    scene.publish_event(&event).await;
    let workers = scene.broker().await;
    let mut notes = workers.consume(5.into()).await.unwrap();
    let second = next(&mut notes).await;
    assert_eq!((first.message_id.as_str(), second.message_id.as_str()), ("3EB0D98ABA37B1B6C9E5", "3EB0AFTERWARDS"));
    assert_nothing_comes(&mut notes).await;
    listening.holds("channels.evo", 0, 0).await;
    workers.close().await;
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_lies_with_the_channels_dead_letters_without_the_key_and_others_go_on() {
    let mut scene = Scene::new().await;
    scene.config.message_bytes_max = 6000;
    scene.limits.bytes_max = 1000;
    let listening = scene.listen(evolution()).await;
    listening.is_bound("channels.evo").await;
    let mut notes = listening.broker.consume(5.into()).await.unwrap();
    let good = fixture("evolution/audio-base64.json");
    let whole = good.to_string();
    let mut without_audio = good.clone();
    without_audio["data"]["message"].as_object_mut().unwrap().remove("base64");
    let mut too_loud = good.clone();
    too_loud["data"]["message"]["base64"] = "AAAA".repeat(1000).into();
    let bodies: [Vec<u8>; 6] = [
        // Broken off after the key, or before the key ends.
        format!("{{\"apikey\":\"{KEY}\",{}", &whole[1..200]).into_bytes(),
        format!("{{\"apikey\":\"{KEY}").into_bytes(),
        [format!("{{\"apikey\" : \"{KEY}\", ").as_bytes(), b"\xff\xfe"].concat(),
        format!("{{\"apikey\":\"{KEY}\",\"deep\":{}", "[".repeat(5000)).into_bytes(),
        without_audio.to_string().into_bytes(),
        too_loud.to_string().into_bytes(),
    ];
    for body in &bodies {
        scene.publish("evolution_exchange", "messages.upsert", body).await;
    }
    // Larger than a message of ours may be: its beginning is kept.
    let large = format!("{{\"apikey\":\"{KEY}\",\"text\":\"{}", "x".repeat(20_000));
    scene.publish("evolution_exchange", "messages.upsert", large.as_bytes()).await;
    scene.publish_event(&good).await;
    assert_eq!(next(&mut notes).await.message_id, "3EB0D98ABA37B1B6C9E5");
    assert_nothing_comes(&mut notes).await;
    listening.holds("channels.evo", 0, 7).await;
    let letters = listening.letters("channels.evo").await;
    assert_eq!(letters.len(), 7);
    for letter in &letters {
        assert_eq!((letter.reason.as_str(), letter.stage.as_str(), letter.attempts), ("malformed_event", "receive", 1));
        let body = String::from_utf8_lossy(&letter.message.body);
        assert!(!body.contains(KEY) && !body.contains(&KEY[..12]), "{body:.100}");
        assert!(body.len() <= 6000 && body.contains("apikey"), "{} bytes", body.len());
    }
    assert!(letters.iter().any(|letter| letter.message.body.len() == 6000));
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_the_workers_queue_has_no_room_for_is_taken_when_it_has() {
    let mut scene = Scene::new().await;
    scene.config.waiting_max = 2;
    let listening = scene.listen(evolution()).await;
    listening.is_bound("channels.evo").await;
    let mut filled = 0;
    loop {
        let (channel, audio) = ("mail".parse().unwrap(), AudioSource::Inline { data: String::new() });
        let note = VoiceNote::new("acme".parse().unwrap(), channel, filled.to_string(), audio);
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        if listening.broker.publish(Exchange::Notes, &message).await.is_err() {
            break;
        }
        filled += 1;
    }
    scene.publish_event(&fixture("evolution/audio-base64.json")).await;
    // It waits for its next attempt: nothing was acknowledged that is not safe.
    listening.holds("channels.evo", 1, 0).await;
    let mut notes = listening.broker.consume(1.into()).await.unwrap();
    for _ in 0..filled {
        assert_eq!(next(&mut notes).await.tenant.as_str(), "acme");
    }
    assert_eq!(next(&mut notes).await.message_id, "3EB0D98ABA37B1B6C9E5");
    listening.holds("channels.evo", 0, 0).await;
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_system_may_declare_its_exchange_before_us_or_after() {
    let scene = Scene::new().await;
    // Before, and of another kind than it usually is.
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    scene
        .other
        .channel
        .exchange_declare("evolution_exchange".into(), ExchangeKind::Fanout, durable, FieldTable::default())
        .await
        .unwrap();
    let listening = scene.listen(evolution()).await;
    listening.is_bound("channels.evo").await;
    scene.publish_event(&fixture("evolution/audio-base64.json")).await;
    let mut notes = listening.broker.consume(5.into()).await.unwrap();
    next(&mut notes).await;
    listening.stop().await;

    let scene = Scene::new().await;
    let listening = scene.listen(unoapi("http://127.0.0.1:9")).await;
    listening.is_bound("channels.uno").await;
    // After, with the arguments that UnoAPI gives.
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-priority".into(), AMQPValue::LongInt(5));
    let declared =
        scene.other.channel.exchange_declare("unoapi.broker".into(), ExchangeKind::Topic, durable, arguments);
    declared.await.unwrap();
    let body = fixture("unoapi/audio.json").to_string();
    scene.publish("unoapi.broker", "unoapi.outgoing.4930901820", body.as_bytes()).await;
    // The audio is with UnoAPI: the note waits for whoever fetches it.
    listening.holds("intake", 1, 0).await;
    listening.holds("channels.uno", 0, 0).await;
    listening.stop().await;
}

fn unoapi(api: &str) -> Value {
    let token = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channels/unoapi/token");
    json!({"name": "uno", "tenant": "musterstrom", "type": "unoapi", "api": api, "access_token": {"file": token}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_is_fetched_from_unoapi_in_two_steps_and_no_other_server_sees_the_token() {
    let store = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (store_url, api_url) =
        (format!("http://{}/", store.local_addr().unwrap()), format!("http://{}/v15.0", api.local_addr().unwrap()));
    let audio = async |headers: HeaderMap| {
        assert!(!headers.contains_key("authorization"), "the store is not shown the token");
        b"OggS".to_vec()
    };
    let stored = Router::new().route("/audio", get(audio));
    let about = async |State(url): State<String>, headers: HeaderMap| {
        assert_eq!(headers["authorization"], "Bearer geheim");
        json!({"messaging_product": "whatsapp", "url": url, "mime_type": "audio/ogg"}).to_string()
    };
    let asked = Router::new().route("/v15.0/4930901820/3EB0C7A1F2", get(about)).with_state(format!("{store_url}audio"));
    let servers: [JoinHandle<_>; 2] = [
        tokio::spawn(async move { axum::serve(store, stored).await }),
        tokio::spawn(async move { axum::serve(api, asked).await }),
    ];
    let mut config = unoapi(&api_url);
    config["media_servers"] = json!([store_url]);
    let own = open(config, &fetch::Config::default());
    let parsed = own.platform.parse(fixture("unoapi/audio.json").to_string().as_bytes()).unwrap();
    let Media::Remote(remote) = &parsed.notes[0].media else { panic!() };
    assert_eq!(own.platform.fetch(remote).await.unwrap(), b"OggS");
    let elsewhere = Remote { place: Place::File("4930901820/other".to_owned()), ..remote.clone() };
    own.platform.fetch(&elsewhere).await.unwrap_err();
    servers.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_queue_such_a_channel_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.recordings.dir = folder.path().to_owned();
    config.channels = vec![serde_json::from_value(evolution()).unwrap()];
    let error =
        app::serve(config, &[Role::Gateway], Reload::default(), Shutdown::default()).await.unwrap_err().to_string();
    assert!(error.contains("channel evo") && error.contains("amqp://"), "{error}");
}
