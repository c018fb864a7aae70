//! Ticketing systems on loopback that nobody can install here: they keep the documented rules, and remember what was
//! written. `tests/tickets/connectors/documented.rs` plays the documentation's examples against each.

pub mod chatwoot;
pub mod freshdesk;
pub mod webhook;
pub mod zammad;
pub mod zendesk;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequest, Multipart, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use url::Url;

use crate::support::runtime;

/// A note, as an agent sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenNote {
    /// What stands there: markup is rendered, and so would be anything that the text brought to life.
    pub text: String,
    /// Only agents see it, and nothing was sent to anybody.
    pub internal: bool,
    pub files: Vec<SeenFile>,
}

#[derive(Clone, PartialEq)]
pub struct SeenFile {
    pub name: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for SeenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.name, self.content_type, self.bytes.len())
    }
}

/// A ticket, as an agent sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeenTicket {
    pub closed: bool,
    pub priority: Option<String>,
    pub team: Option<String>,
    pub tags: Vec<String>,
    /// Seconds since 1970.
    pub reminder_s: Option<i64>,
    /// Whether it names the ticket that it goes on from.
    pub follows: Option<String>,
    pub notes: Vec<SeenNote>,
}

/// What the wire is to do wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Answers with this status, and does nothing.
    Status(u16),
    /// Does nothing, and says nothing for so long.
    Silence(Duration),
    /// Does as asked, but the connection breaks within the answer.
    LostAnswer,
}

/// Requests that a system takes within a time.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    pub requests: usize,
    pub within: Duration,
}

/// One request that came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub status: u16,
}

/// The wire of one double: counts requests, keeps the rate limit, and breaks on demand.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<WireState>>);

#[derive(Default)]
struct WireState {
    asked: Vec<Asked>,
    /// Each for the next request that its condition fits.
    faults: VecDeque<(Only, Fault)>,
    allowance: Option<Allowance>,
    /// When requests came that were not refused for being too many.
    taken: VecDeque<Instant>,
}

/// Which requests a fault is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Only {
    Any,
    /// Those that write a note.
    Notes,
}

impl Wire {
    pub fn break_next(&self, only: Only, fault: Fault, times: usize) {
        self.0.lock().unwrap().faults.extend(std::iter::repeat_n((only, fault), times));
    }

    pub fn allow(&self, allowance: Option<Allowance>) {
        self.0.lock().unwrap().allowance = allowance;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    /// How many requests were refused with this status.
    pub fn refused(&self, status: u16) -> usize {
        self.asked().iter().filter(|asked| asked.status == status).count()
    }

    fn next_fault(&self, writes_a_note: bool) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        let fits = |(only, _): &(Only, Fault)| *only == Only::Any || writes_a_note;
        let at = state.faults.iter().position(fits)?;
        state.faults.remove(at).map(|(_, fault)| fault)
    }

    /// How many seconds to wait, where there were too many requests.
    fn too_many(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap();
        let allowance = state.allowance?;
        let now = Instant::now();
        while state.taken.front().is_some_and(|at| now.duration_since(*at) >= allowance.within) {
            state.taken.pop_front();
        }
        if state.taken.len() < allowance.requests {
            state.taken.push_back(now);
            return None;
        }
        let free_at = *state.taken.front().unwrap() + allowance.within;
        Some(free_at.duration_since(now).as_secs_f64().ceil() as u64)
    }
}

/// What is the vendor's own about its wire.
#[derive(Clone, Copy)]
pub struct Habits {
    /// Whether a request writes a note: by method, path and body.
    pub writes_a_note: fn(&str, &str, &[u8]) -> bool,
    /// What is said to too many requests, beside `Retry-After`.
    pub too_many: fn() -> Value,
    /// Whether `Retry-After` is sent at all.
    pub says_when: bool,
}

/// Serves `router` behind `wire` on a free port, until the test process ends.
pub fn serve(router: Router, wire: &Wire, habits: Habits) -> Url {
    let limit = axum::extract::DefaultBodyLimit::disable();
    let router = router.layer(limit).layer(middleware::from_fn_with_state((wire.clone(), habits), through_the_wire));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let runtime = runtime();
    let _entered = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await });
    url.parse().unwrap()
}

async fn through_the_wire(State((wire, habits)): State<(Wire, Habits)>, request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let response = carried(&wire, habits, &method, &path, request, next).await;
    let status = response.status().as_u16();
    wire.0.lock().unwrap().asked.push(Asked { method, status });
    response
}

async fn carried(wire: &Wire, habits: Habits, method: &str, path: &str, request: Request, next: Next) -> Response {
    // Whoever is answered before it has sent everything may meet a closed connection instead of the answer.
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let writes_a_note = (habits.writes_a_note)(method, path, &body);
    let request = Request::from_parts(parts, Body::from(body));
    if let Some(seconds) = wire.too_many() {
        let mut headers = HeaderMap::new();
        if habits.says_when {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        return (StatusCode::TOO_MANY_REQUESTS, headers, Json((habits.too_many)())).into_response();
    }
    match wire.next_fault(writes_a_note) {
        None => next.run(request).await,
        Some(Fault::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::Silence(length)) => {
            tokio::time::sleep(length).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Some(Fault::LostAnswer) => {
            let answer = next.run(request).await;
            assert!(answer.status().is_success(), "only an answer to something that was done can be lost: {answer:?}");
            let broken = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("the connection broke"))]);
            Response::new(Body::from_stream(broken))
        }
    }
}

/// An answer in JSON.
pub type Said = (StatusCode, Json<Value>);

pub fn say(status: u16, value: Value) -> Said {
    (StatusCode::from_u16(status).unwrap(), Json(value))
}

/// Time as all of them write it.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The fields and the files of a form.
pub async fn form(request: Request) -> (Map<String, Value>, Vec<SeenFile>) {
    let (mut fields, mut files) = (Map::new(), Vec::new());
    let mut form = Multipart::from_request(request, &()).await.unwrap();
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.name().unwrap().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let content_type = field.content_type().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.unwrap().to_vec();
        if let Some(file_name) = file_name.filter(|_| name == "attachments[]") {
            files.push(SeenFile { name: file_name, content_type, bytes });
        } else {
            fields.insert(name, String::from_utf8(bytes).unwrap().into());
        }
    }
    (fields, files)
}

/// HTML as it is shown. Every tag but the few that only lay out is a fault of whoever wrote it, and is left standing in
/// braces for the test to stumble over.
pub fn shown_html(html: &str) -> String {
    let mut shown = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        shown.push_str(&rest[..at]);
        let end = rest[at..].find('>').map_or(rest.len(), |end| at + end + 1);
        match &rest[at..end] {
            "<br>" | "<br/>" => shown.push('\n'),
            "<div>" | "</div>" | "<p>" | "</p>" => {}
            tag => shown.extend(["⟦", tag, "⟧"]),
        }
        rest = &rest[end..];
    }
    shown.push_str(rest);
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.into_iter().fold(shown, |shown, (entity, character)| shown.replace(entity, character))
}

/// Text with its placeholders filled in, as systems do that know `{{…}}`.
pub fn filled_in(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let Some(end) = rest[at..].find("}}") else { break };
        out.push_str(&rest[..at]);
        out.push_str("⟦filled in⟧");
        rest = &rest[at + end + 2..];
    }
    out + rest
}
