//! A receiver of webhooks that follows the Standard Webhooks specification: it verifies the signature over id, time
//! and body, refuses what is old, and takes an id once.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use super::{Habits, Said, SeenFile, SeenNote, SeenTicket, Wire, say, serve};

pub const SECRET: &str = "whsec_c3ByYWNocG9zdC10ZXN0LXNlY3JldC0zMi1ieXRlcw==";
pub const OTHER_SECRET: &str = "whsec_YW5vdGhlci1zZWNyZXQtdGhhdC1pcy1ub3QtaXQtYXQ=";
const TOLERANCE_S: i64 = 300;

#[derive(Clone)]
pub struct Receiver {
    pub url: Url,
    pub wire: Wire,
    state: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    ids: Vec<String>,
    messages: Vec<Value>,
    /// How many came that were taken before.
    repeats: usize,
    body_bytes_max: Option<usize>,
    wants_no_more: bool,
}

impl Receiver {
    pub fn start() -> Self {
        let wire = Wire::default();
        let state = Arc::new(Mutex::new(Taken::default()));
        let router = Router::new().route("/notes", post(take)).with_state(Arc::clone(&state));
        let habits = Habits {
            writes_a_note: |_, _, _| true,
            too_many: || json!({"error": "too many requests"}),
            says_when: true,
        };
        let url = serve(router, &wire, habits).join("notes").unwrap();
        Self { url, wire, state }
    }

    pub fn limit_bodies(&self, bytes_max: usize) {
        self.state.lock().unwrap().body_bytes_max = Some(bytes_max);
    }

    pub fn want_no_more(&self) {
        self.state.lock().unwrap().wants_no_more = true;
    }

    pub fn messages(&self) -> Vec<Value> {
        self.state.lock().unwrap().messages.clone()
    }

    pub fn repeats(&self) -> usize {
        self.state.lock().unwrap().repeats
    }

    /// What stands in its one ticket.
    pub fn seen(&self) -> SeenTicket {
        let messages = self.messages();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let notes = messages.iter().map(|message| {
            let data = &message["data"];
            let file = data["attachment"].as_object().map(|file| SeenFile {
                name: text(&file["name"]).unwrap(),
                content_type: text(&file["content_type"]).unwrap(),
                bytes: STANDARD.decode(file["data"].as_str().unwrap()).unwrap(),
            });
            SeenNote { text: text(&data["text"]).unwrap(), internal: true, files: file.into_iter().collect() }
        });
        let last = messages.last().map(|message| message["data"].clone()).unwrap_or_default();
        SeenTicket {
            closed: false,
            priority: text(&last["priority"]),
            team: text(&last["team"]),
            tags: last["tags"].as_array().into_iter().flatten().filter_map(text).collect(),
            reminder_s: last["reminder_at"].as_str().map(|at| at.parse::<jiff::Timestamp>().unwrap().as_second()),
            follows: None,
            notes: notes.collect(),
        }
    }
}

/// What a receiver computes, from the specification alone.
pub fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn take(State(state): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes) -> Result<Said, Said> {
    let mut state = state.lock().unwrap();
    if state.wants_no_more {
        return Err(say(410, Value::Null));
    }
    if state.body_bytes_max.is_some_and(|max| body.len() > max) {
        return Err(say(413, Value::Null));
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let at: i64 = timestamp.parse().map_err(|_| say(400, json!({"error": "webhook-timestamp"})))?;
    if id.is_empty() || id.contains('.') || (jiff::Timestamp::now().as_second() - at).abs() > TOLERANCE_S {
        return Err(say(400, json!({"error": "webhook-id or webhook-timestamp"})));
    }
    let expected = signature(SECRET, id, timestamp, &body);
    if !header("webhook-signature").split(' ').any(|signature| signature == expected) {
        return Err(say(401, json!({"error": "webhook-signature"})));
    }
    if state.ids.iter().any(|known| known == id) {
        state.repeats += 1;
    } else {
        state.ids.push(id.to_owned());
        state.messages.push(serde_json::from_slice(&body).map_err(|_| say(400, json!({"error": "body"})))?);
    }
    Ok(say(204, Value::Null))
}
