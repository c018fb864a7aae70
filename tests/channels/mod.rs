//! Channels of a running gateway, against stand-ins for the platforms.

mod abuse;
mod flow;
mod media;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use sprachpost::{
    audio::fetch::{self, Fetcher},
    broker::{self, Broker, Deliveries},
    event::envelope::parse_received,
    note::{AudioSource, VoiceNote},
    outcome::Settlement,
};

use crate::support::{
    platforms::{ACCESS_TOKEN, BOT_TOKEN, Platforms},
    program::{self, Server},
    runtime,
};

const APP_SECRET: &str = "app-secret-for-tests";
const VERIFY_TOKEN: &str = "verify-token-for-tests";
const SECRET_TOKEN: &str = "secret-token-for-tests";
const PATIENCE: Duration = Duration::from_mins(1);

/// A gateway with one channel of each platform, all of them at `platforms`.
fn start(folder: &Path, platforms: &Platforms, broker_url: Option<&str>, roles: &str, more: &[(&str, &str)]) -> Server {
    start_with(folder, platforms, broker_url, roles, more, "")
}

/// The same with `tables` at the end of its configuration.
fn start_with(
    folder: &Path,
    platforms: &Platforms,
    broker_url: Option<&str>,
    roles: &str,
    more: &[(&str, &str)],
    tables: &str,
) -> Server {
    let (config, url) = (folder.join("sprachpost.toml"), platforms.url());
    let text = format!(
        r#"
        [[channels]]
        name = "whatsapp"
        tenant = "musterstrom"
        type = "whatsapp"
        app_secret = {{ env = "TEST_APP_SECRET" }}
        verify_token = {{ env = "TEST_VERIFY_TOKEN" }}
        access_token = {{ env = "TEST_ACCESS_TOKEN" }}
        api = "{url}v25.0"

        [[channels]]
        name = "page"
        tenant = "musterstrom"
        type = "messenger"
        app_secret = {{ env = "TEST_APP_SECRET" }}
        verify_token = {{ env = "TEST_VERIFY_TOKEN" }}
        media_server = "{url}"

        [[channels]]
        name = "bot"
        tenant = "second"
        type = "telegram"
        bot_token = {{ env = "TEST_BOT_TOKEN" }}
        secret_token = {{ env = "TEST_SECRET_TOKEN" }}
        api = "{url}"

        {tables}
        "#
    );
    std::fs::write(&config, text).unwrap();
    let mut command = program::command(folder);
    for (name, value) in [
        ("TEST_APP_SECRET", APP_SECRET),
        ("TEST_VERIFY_TOKEN", VERIFY_TOKEN),
        ("TEST_ACCESS_TOKEN", ACCESS_TOKEN),
        ("TEST_BOT_TOKEN", BOT_TOKEN),
        ("TEST_SECRET_TOKEN", SECRET_TOKEN),
        ("SPRACHPOST__HTTP__MEDIA_RETRY__FIRST_DELAY_S", "0.1"),
    ]
    .iter()
    .chain(more)
    {
        command.env(name, value);
    }
    if let Some(url) = broker_url {
        command.env("SPRACHPOST__BROKER__URL", url);
    }
    command.args(["--config", config.to_str().unwrap()]);
    Server::start(command, &["--roles", roles])
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/channels/{name}", program::ROOT)).unwrap()
}

/// A documented WhatsApp webhook about audio with this id and digest.
fn voice(id: &str, media: &str, sha256: Option<&str>) -> String {
    let mut webhook: Value = serde_json::from_str(&fixture("whatsapp/voice.json")).unwrap();
    let message = &mut webhook["entry"][0]["changes"][0]["value"]["messages"][0];
    message["id"] = id.into();
    message["audio"]["id"] = media.into();
    message["audio"]["sha256"] = sha256.into();
    webhook.to_string()
}

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// What Meta does: signs, sends, and looks at the status.
fn post_signed(server: &Server, channel: &str, body: &str) -> u16 {
    let signature = signature(body.as_bytes());
    let headers = [("Content-Type", "application/json"), ("X-Hub-Signature-256", signature.as_str())];
    let begun = Instant::now();
    let status = server.request("POST", &format!("/v1/channels/{channel}"), &headers, body.as_bytes()).0;
    assert!(begun.elapsed() < Duration::from_secs(1), "answered after {:?}", begun.elapsed());
    status
}

fn post_to_bot(server: &Server, body: &str) -> u16 {
    let headers = [("X-Telegram-Bot-Api-Secret-Token", SECRET_TOKEN)];
    server.request("POST", "/v1/channels/bot", &headers, body.as_bytes()).0
}

fn embedded(folder: &Path) -> String {
    format!("embedded:{}", folder.join("queue.sqlite").display())
}

/// Reads the notes that wait for workers, as one would.
struct Waiting {
    broker: Arc<dyn Broker>,
    deliveries: Box<dyn Deliveries>,
}

impl Waiting {
    fn open(url: &str) -> Self {
        runtime().block_on(async {
            let broker = broker::open(Some(&url.to_owned().into()), &broker::Config::default()).await.unwrap();
            let deliveries = broker.consume(10.into()).await.unwrap();
            Self { broker, deliveries }
        })
    }

    /// The next note; it is taken off the queue.
    fn next(&mut self) -> VoiceNote {
        runtime().block_on(async {
            let delivery = tokio::time::timeout(PATIENCE, self.deliveries.next()).await.expect("a note").unwrap();
            let note = parse_received(delivery.message()).unwrap().note;
            delivery.settle(&Settlement::Ack).await.unwrap();
            note
        })
    }

    fn notes(&mut self, count: usize) -> Vec<VoiceNote> {
        let mut notes: Vec<VoiceNote> = (0..count).map(|_| self.next()).collect();
        notes.sort_by(|a, b| a.message_id.cmp(&b.message_id));
        notes
    }

    fn assert_empty(&self) {
        assert_eq!(runtime().block_on(self.broker.depth()).unwrap().waiting, 0);
    }
}

/// The audio of a note, fetched as a worker would.
fn audio_of(note: &VoiceNote, folder: &Path) -> Vec<u8> {
    assert!(matches!(note.audio, AudioSource::File { .. }), "{:?}", note.audio);
    let root = folder.join("spool").canonicalize().unwrap();
    let fetcher = Fetcher::new(&fetch::Config { file_roots: vec![root], ..fetch::Config::default() }).unwrap();
    runtime().block_on(fetcher.fetch(&note.audio)).unwrap()
}

/// Waits until a figure has at least this value.
fn wait_for_figure(server: &Server, figure: &str, value: u64) {
    let deadline = Instant::now() + PATIENCE;
    let mut figures = String::new();
    while Instant::now() < deadline {
        figures = server.request("GET", "/metrics", &[], b"").1;
        let found = figures.lines().find_map(|line| line.strip_prefix(figure)?.trim().parse::<u64>().ok());
        if found.is_some_and(|found| found >= value) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no {figure} {value} in\n{figures}");
}
