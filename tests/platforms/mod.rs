//! Channels beyond Meta's and Telegram's, in a running gateway, against doubles that enforce what the platforms document.

mod mutated;
mod pulled;
mod threema;
mod ticketing;
mod waha;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hmac::{Hmac, KeyInit, Mac};
use sprachpost::{
    audio::fetch::{self, Fetcher},
    broker::{self, Prefetch},
    event::envelope::parse_received,
    note::VoiceNote,
    outcome::Settlement,
};

use crate::support::{
    program::{self, Server},
    runtime,
};

const PATIENCE: Duration = Duration::from_mins(1);
/// What every secret of a test's configuration holds, unless the test has its own.
const SECRET: &str = "a-secret-for-tests";

/// A stand-in for a platform's interface on loopback.
struct Double {
    url: String,
    /// Paths with their queries, in the order in which they were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Double {
    fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let (asked, answer) = (Arc::new(Mutex::new(vec![])), Arc::new(answer));
        let log = asked.clone();
        let router = Router::new().fallback(move |request: Request| {
            log.lock().unwrap().push(request.uri().to_string());
            // Whoever is asked to wait for news takes his time.
            let waits = request.uri().query().is_some_and(|query| query.contains("timeout="));
            let response = answer(&request);
            async move {
                tokio::time::sleep(Duration::from_millis(if waits { 100 } else { 0 })).await;
                response
            }
        });
        let url = runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, router).await });
            url
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

/// A gateway with the channels that `channels` configures; every secret is `{ env = "TEST_SECRET" }`.
fn gateway(folder: &Path, channels: &str) -> Server {
    let config = folder.join("sprachpost.toml");
    std::fs::write(&config, channels).unwrap();
    let mut command = program::command(folder);
    command.env("TEST_SECRET", SECRET).env("SPRACHPOST__HTTP__MEDIA_RETRY__FIRST_DELAY_S", "0.1");
    command.args(["--config", config.to_str().unwrap()]);
    Server::start(command, &["--roles", "gateway"])
}

fn post(server: &Server, name: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    server.request("POST", &format!("/v1/channels/{name}"), headers, body).0
}

/// An HMAC in hex, keyed with [`SECRET`].
fn hmac<M: Mac + KeyInit>(parts: &[&[u8]]) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

type HmacSha1 = Hmac<sha1::Sha1>;
type HmacSha256 = Hmac<sha2::Sha256>;
type HmacSha512 = Hmac<sha2::Sha512>;

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/channels/{name}", program::ROOT)).unwrap()
}

/// Waits until so many notes are queued and takes them all, each with its audio, in the order of their message ids.
fn take(folder: &Path, count: u64) -> Vec<(VoiceNote, Vec<u8>)> {
    let url = format!("embedded:{}", folder.join("queue.sqlite").display());
    let roots = [folder.join("spool")].into_iter().filter_map(|root| root.canonicalize().ok()).collect();
    let fetcher = Fetcher::new(&fetch::Config { file_roots: roots, ..fetch::Config::default() }).unwrap();
    runtime().block_on(async {
        let queue = broker::open(Some(&url.into()), &broker::Config::default()).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while queue.depth().await.unwrap().waiting < count {
            assert!(Instant::now() < deadline, "{count} notes were to be queued, not {:?}", queue.depth().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let waiting = queue.depth().await.unwrap().waiting;
        let mut deliveries = queue.consume(Prefetch::from(100)).await.unwrap();
        let mut notes = vec![];
        for _ in 0..waiting {
            let delivery = tokio::time::timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
            let note = parse_received(delivery.message()).unwrap().note;
            let audio = fetcher.fetch(&note.audio).await.unwrap();
            delivery.settle(&Settlement::Ack).await.unwrap();
            notes.push((note, audio));
        }
        queue.close().await;
        notes.sort_by(|(a, _), (b, _)| a.message_id.cmp(&b.message_id));
        notes
    })
}

fn figures(server: &Server) -> String {
    server.request("GET", "/metrics", &[], b"").1
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come to that");
        std::thread::sleep(Duration::from_millis(20));
    }
}
