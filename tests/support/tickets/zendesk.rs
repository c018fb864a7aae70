//! Zendesk as far as its documentation says: basic authentication with a token, uploads first, comments of 64 KB,
//! closed tickets that never change, follow-ups, idempotency keys, safe updates, and limits on updates.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use url::Url;

use super::{Allowance, Habits, Said, SeenFile, SeenNote, SeenTicket, Wire, filled_in, say, serve, shown_html};

pub const EMAIL: &str = "bridge@zendesk.example";
pub const TOKEN: &str = "a-token-of-the-account";
/// Of a user who is no agent: it sees its own requests, and no tickets.
pub const EMAIL_WITHOUT_RIGHTS: &str = "customer@zendesk.example";
pub const GROUPS: [u64; 2] = [360_001, 360_002];

#[derive(Clone)]
pub struct Zendesk {
    pub url: Url,
    pub wire: Wire,
    state: Arc<Mutex<Stored>>,
}

#[derive(Default)]
struct Stored {
    tickets: Vec<Map<String, Value>>,
    comments: Vec<Map<String, Value>>,
    uploads: Vec<(String, SeenFile)>,
    files: Vec<(u64, SeenFile)>,
    opened: HashMap<String, (String, Value)>,
    file_bytes_max: usize,
    /// Counts up with every change: two changes within a second would have the same time.
    changes: i64,
    updates: Option<Allowance>,
    updated: HashMap<u64, VecDeque<Instant>>,
    /// Somebody else changes a ticket between reading and writing it, so often.
    busy: u32,
}

impl Zendesk {
    pub fn start() -> Self {
        let wire = Wire::default();
        let state = Arc::new(Mutex::new(Stored { file_bytes_max: 50 << 20, ..Stored::default() }));
        // Addresses end with `.json` or not.
        let mut router = Router::new();
        for json in ["", ".json"] {
            router = router
                .route(&format!("/api/v2/users/me{json}"), get(me))
                .route(&format!("/api/v2/tickets{json}"), get(list).post(open))
                .route(&format!("/api/v2/uploads{json}"), post(upload));
        }
        let router = router
            .route("/api/v2/users/{id}", get(user))
            .route("/api/v2/groups/{id}", get(group))
            .route("/api/v2/tickets/{id}", get(show).put(update))
            .route("/api/v2/tickets/{id}/comments", get(comments))
            .with_state(Arc::clone(&state));
        let habits = Habits {
            writes_a_note: |method, _, body| {
                method == "PUT"
                    && serde_json::from_slice::<Value>(body).is_ok_and(|body| body["ticket"]["comment"].is_object())
            },
            too_many: || json!({"error": "APIRateLimitExceeded", "description": "Number of allowed API requests per minute exceeded"}),
            says_when: true,
        };
        Self { url: serve(router, &wire, habits), wire, state }
    }

    pub fn limit_files(&self, bytes_max: usize) {
        self.state.lock().unwrap().file_bytes_max = bytes_max;
    }

    /// Has each ticket take so many updates within a time.
    pub fn limit_updates(&self, allowance: Allowance) {
        self.state.lock().unwrap().updates = Some(allowance);
    }

    /// Has somebody else be faster, this many times.
    pub fn be_busy(&self, times: u32) {
        self.state.lock().unwrap().busy = times;
    }

    /// A ticket that somebody else opened.
    pub fn ticket(&self) -> String {
        let given = json!({"subject": "Frage zur Rechnung", "tags": ["billing"], "comment": {"body": "Hallo"}});
        let mut state = self.state.lock().unwrap();
        let id = state.add_ticket(given.as_object().unwrap());
        // More than one page.
        for n in 0..120 {
            let comment = json!({"body": format!("Antwort {n}")});
            state.add_comment(id, comment.as_object().unwrap()).unwrap();
        }
        id.to_string()
    }

    pub fn set_status(&self, id: &str, status: &str) {
        let mut state = self.state.lock().unwrap();
        state.ticket(id.parse().unwrap()).unwrap().insert("status".to_owned(), status.into());
    }

    pub fn set_type(&self, id: &str, kind: &str) {
        let mut state = self.state.lock().unwrap();
        state.ticket(id.parse().unwrap()).unwrap().insert("type".to_owned(), kind.into());
    }

    pub fn tickets(&self) -> Vec<String> {
        self.state.lock().unwrap().tickets.iter().map(|ticket| ticket["id"].to_string()).collect()
    }

    pub fn seen(&self, id: &str) -> SeenTicket {
        let mut state = self.state.lock().unwrap();
        let number: u64 = id.parse().unwrap();
        let ticket = state.ticket(number).unwrap().clone();
        let ours = |comment: &&Map<String, Value>| comment["ticket_id"] == number && comment["by_bridge"] == true;
        let notes = state.comments.iter().filter(ours).map(|comment| SeenNote {
            text: shown_html(&filled_in(comment["html_body"].as_str().unwrap())),
            internal: comment["public"] == false,
            files: state.files.iter().filter(|(of, _)| comment["id"] == *of).map(|(_, file)| file.clone()).collect(),
        });
        let is_task = ticket["type"] == "task";
        let due = ticket["due_at"].as_str().filter(|_| is_task);
        SeenTicket {
            closed: ticket["status"] == "closed",
            priority: ticket["priority"].as_str().map(str::to_owned),
            team: ticket["group_id"].as_u64().map(|id| id.to_string()),
            tags: ticket["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect(),
            reminder_s: due.map(|due| due.parse::<jiff::Timestamp>().unwrap().as_second()),
            follows: ticket["via_followup_source_id"].as_u64().map(|id| id.to_string()),
            notes: notes.collect(),
        }
    }
}

impl Stored {
    fn ticket(&mut self, id: u64) -> Option<&mut Map<String, Value>> {
        self.tickets.iter_mut().find(|ticket| ticket["id"] == id)
    }

    fn stamp(&mut self) -> Value {
        self.changes += 1;
        jiff::Timestamp::from_second(1_790_000_000 + self.changes).unwrap().to_string().into()
    }

    fn add_ticket(&mut self, given: &Map<String, Value>) -> u64 {
        let id = self.tickets.len() as u64 + 35_436;
        let value = |name: &str| given.get(name).cloned().unwrap_or_default();
        let subject = given.get("subject").unwrap_or(&given["comment"]["body"]).clone();
        let ticket = json!({
            "id": id, "url": format!("https://zendesk.example/api/v2/tickets/{id}.json"), "subject": subject,
            "external_id": value("external_id"), "status": "new", "priority": null, "type": null, "due_at": null,
            "group_id": null, "requester_id": value("requester_id"), "tags": given.get("tags").cloned().unwrap_or(json!([])),
            "via_followup_source_id": value("via_followup_source_id"), "created_at": self.stamp(), "updated_at": self.stamp(),
        });
        self.tickets.push(ticket.as_object().unwrap().clone());
        self.add_comment(id, given["comment"].as_object().unwrap()).unwrap();
        self.comments.last_mut().unwrap().insert("by_bridge".to_owned(), false.into());
        id
    }

    fn add_comment(&mut self, ticket: u64, given: &Map<String, Value>) -> Result<(), Said> {
        let id = self.comments.len() as u64 + 1000;
        let html = given.get("html_body").or(given.get("body")).and_then(Value::as_str).unwrap_or_default().to_owned();
        if html.len() > 65_535 {
            return Err(invalid("comment", "Comment: is too long (maximum is 65535 characters)"));
        }
        for token in given.get("uploads").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let Some(at) = self.uploads.iter().position(|(known, _)| known == token) else {
                return Err(invalid("base", "Attachment is invalid"));
            };
            self.files.push((id, self.uploads.remove(at).1));
        }
        let comment = json!({
            "id": id, "type": "Comment", "ticket_id": ticket, "html_body": html, "body": shown_html(&html),
            "plain_body": shown_html(&html), "public": given.get("public").and_then(Value::as_bool).unwrap_or(true),
            "attachments": [], "created_at": self.stamp(), "by_bridge": given.contains_key("html_body"),
        });
        self.comments.push(comment.as_object().unwrap().clone());
        Ok(())
    }

    /// How many seconds to wait, where a ticket was updated too often.
    fn too_many_updates(&mut self, ticket: u64) -> Option<u64> {
        let allowance = self.updates?;
        let now = Instant::now();
        let updated = self.updated.entry(ticket).or_default();
        updated.retain(|at| now.duration_since(*at) < allowance.within);
        if updated.len() < allowance.requests {
            updated.push_back(now);
            return None;
        }
        Some((*updated.front().unwrap() + allowance.within - now).as_secs_f64().ceil() as u64)
    }
}

type Shared = State<Arc<Mutex<Stored>>>;

/// Whether the token's user is an agent; an error where it is nobody's.
fn agent(headers: &HeaderMap) -> Result<bool, Said> {
    let credential = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let decoded = credential.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok()).unwrap_or_default();
    match decoded.split_once("/token:") {
        Some((EMAIL, TOKEN)) => Ok(true),
        Some((EMAIL_WITHOUT_RIGHTS, TOKEN)) => Ok(false),
        _ => Err(say(401, json!({"error": "Couldn't authenticate you"}))),
    }
}

fn only_agents(headers: &HeaderMap) -> Result<(), Said> {
    let words = json!({"title": "Forbidden", "message": "You do not have access to this page."});
    agent(headers)?.then_some(()).ok_or_else(|| say(403, json!({"error": words})))
}

fn invalid(field: &str, words: &str) -> Said {
    let details = json!({field: [{"description": words}]});
    say(422, json!({"error": "RecordInvalid", "description": "Record validation errors", "details": details}))
}

fn not_found() -> Said {
    say(404, json!({"error": "RecordNotFound", "description": "Not found"}))
}

fn number(id: &str) -> Option<u64> {
    id.trim_end_matches(".json").parse().ok()
}

/// The object of this name in a body that says it is JSON.
fn parsed(headers: &HeaderMap, bytes: &Bytes, name: &str) -> Result<Map<String, Value>, Said> {
    let is_json = headers.get("content-type").is_some_and(|value| value == "application/json");
    let value: Value = if is_json { serde_json::from_slice(bytes).unwrap_or_default() } else { Value::Null };
    let object = value[name].as_object().cloned();
    object.ok_or_else(|| {
        say(400, json!({"error": {"title": "Invalid attribute", "message": format!("{name} is missing")}}))
    })
}

async fn me(headers: HeaderMap) -> Result<Said, Said> {
    let role = if agent(&headers)? { "agent" } else { "end-user" };
    Ok(say(200, json!({"user": {"id": 494_820_284, "role": role, "email": EMAIL}})))
}

async fn user(headers: HeaderMap, Path(id): Path<String>) -> Result<Said, Said> {
    only_agents(&headers)?;
    Err(if number(&id).is_some() { not_found() } else { say(400, Value::Null) })
}

async fn group(headers: HeaderMap, Path(id): Path<String>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let id = number(&id).filter(|id| GROUPS.contains(id)).ok_or_else(not_found)?;
    Ok(say(200, json!({"group": {"id": id, "name": "Technik", "deleted": false}})))
}

async fn list(State(state): Shared, headers: HeaderMap, Query(query): Query<Map<String, Value>>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let state = state.lock().unwrap();
    let wanted = query.get("external_id");
    let fits = |ticket: &&Map<String, Value>| wanted.is_none_or(|wanted| ticket["external_id"] == *wanted);
    let found: Vec<&Map<String, Value>> = state.tickets.iter().filter(fits).collect();
    Ok(say(200, json!({"tickets": found, "next_page": null, "previous_page": null, "count": found.len()})))
}

async fn show(State(state): Shared, headers: HeaderMap, Path(id): Path<String>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let mut state = state.lock().unwrap();
    let ticket = number(&id).and_then(|id| state.ticket(id)).ok_or_else(not_found)?.clone();
    if state.busy > 0 {
        state.busy -= 1;
        let stamp = state.stamp();
        let changed = state.ticket(number(&id).unwrap()).unwrap();
        changed.insert("updated_at".to_owned(), stamp);
        changed["tags"].as_array_mut().unwrap().push("by-somebody-else".into());
    }
    Ok(say(200, json!({"ticket": ticket})))
}

async fn open(State(state): Shared, headers: HeaderMap, bytes: Bytes) -> Result<Response, Said> {
    only_agents(&headers)?;
    let given = parsed(&headers, &bytes, "ticket")?;
    let comment = given.get("comment").and_then(Value::as_object);
    let text = comment.and_then(|comment| comment.get("body").or(comment.get("html_body"))).and_then(Value::as_str);
    if text.unwrap_or_default().is_empty() {
        return Err(invalid("base", "Description: cannot be blank"));
    }
    let mut state = state.lock().unwrap();
    // "The parameter only works with closed tickets."
    let source = given.get("via_followup_source_id").and_then(Value::as_u64);
    let follows = source.filter(|id| state.ticket(*id).is_some_and(|ticket| ticket["status"] == "closed"));
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    let given_text = Value::from(given.clone()).to_string();
    if let Some((before, answer)) = key.as_ref().and_then(|key| state.opened.get(key)) {
        if *before != given_text {
            let words = "The Idempotency-Key was used with other parameters";
            return Err(say(400, json!({"error": "IdempotentRequestError", "description": words})));
        }
        let lookup = [("x-idempotency-lookup", HeaderValue::from_static("hit"))];
        return Ok((StatusCode::CREATED, lookup, axum::Json(answer.clone())).into_response());
    }
    let id = state.add_ticket(&given);
    state.ticket(id).unwrap().insert("via_followup_source_id".to_owned(), follows.into());
    let answer = json!({"ticket": state.ticket(id).unwrap()});
    if let Some(key) = key {
        state.opened.insert(key, (given_text, answer.clone()));
    }
    let lookup = [("x-idempotency-lookup", HeaderValue::from_static("miss"))];
    Ok((StatusCode::CREATED, lookup, axum::Json(answer)).into_response())
}

async fn update(
    State(state): Shared,
    headers: HeaderMap,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Response, Said> {
    only_agents(&headers)?;
    let given = parsed(&headers, &bytes, "ticket")?;
    let mut state = state.lock().unwrap();
    let id = number(&id).ok_or_else(not_found)?;
    let ticket = state.ticket(id).ok_or_else(not_found)?.clone();
    if let Some(seconds) = state.too_many_updates(id) {
        let when = [("retry-after", HeaderValue::from(seconds))];
        let words = json!({"error": "TooManyTicketUpdates", "description": "Too many updates of one ticket"});
        return Ok((StatusCode::TOO_MANY_REQUESTS, when, axum::Json(words)).into_response());
    }
    if ticket["status"] == "closed" {
        return Err(invalid("status", "Status: closed prevents ticket update"));
    }
    if given.get("safe_update") == Some(&Value::Bool(true)) && given.get("updated_stamp") != ticket.get("updated_at") {
        let words = "Safe Update prevented the update due to outdated ticket data. Please fetch the latest version.";
        return Err(say(409, json!({"error": "UpdateConflict", "description": words})));
    }
    if given.get("priority").is_some_and(|p| !["low", "normal", "high", "urgent"].iter().any(|known| p == *known)) {
        return Err(invalid("priority", "Priority: is not valid"));
    }
    if given.get("group_id").and_then(Value::as_u64).is_some_and(|group| !GROUPS.contains(&group)) {
        return Err(invalid("group", "Group: is invalid"));
    }
    if let Some(comment) = given.get("comment").and_then(Value::as_object) {
        state.add_comment(id, comment)?;
    }
    let stamp = state.stamp();
    let ticket = state.ticket(id).unwrap();
    for name in ["priority", "group_id", "tags", "type", "due_at", "status", "external_id", "subject"] {
        if let Some(value) = given.get(name) {
            ticket.insert(name.to_owned(), value.clone());
        }
    }
    ticket.insert("updated_at".to_owned(), stamp);
    Ok(say(200, json!({"ticket": ticket, "audit": {"ticket_id": id}})).into_response())
}

async fn comments(
    State(state): Shared,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<Map<String, Value>>,
) -> Result<Said, Said> {
    only_agents(&headers)?;
    let mut state = state.lock().unwrap();
    let id = number(&id).filter(|id| state.ticket(*id).is_some()).ok_or_else(not_found)?;
    let mut all: Vec<&Map<String, Value>> = state.comments.iter().filter(|c| c["ticket_id"] == id).collect();
    if query.get("sort").is_some_and(|sort| sort == "-created_at") {
        all.reverse();
    }
    let text = |name: &str| query.get(name).and_then(Value::as_str).map(str::to_owned);
    let from: usize = text("page[after]").map_or(0, |cursor| cursor.parse().unwrap());
    let size: usize = text("page[size]").map_or(100, |size| size.parse().unwrap());
    let page: Vec<_> = all.iter().skip(from).take(size.min(100)).collect();
    let has_more = from + page.len() < all.len();
    let meta = json!({"has_more": has_more, "after_cursor": has_more.then(|| (from + page.len()).to_string())});
    Ok(say(200, json!({"comments": page, "meta": meta})))
}

async fn upload(
    State(state): Shared,
    headers: HeaderMap,
    Query(query): Query<Map<String, Value>>,
    bytes: Bytes,
) -> Result<Said, Said> {
    only_agents(&headers)?;
    let mut state = state.lock().unwrap();
    let Some(name) = query.get("filename").and_then(Value::as_str).map(str::to_owned) else {
        return Err(say(400, json!({"error": "InvalidUpload", "description": "filename is missing"})));
    };
    if bytes.len() > state.file_bytes_max {
        return Err(say(413, json!({"error": "AttachmentTooLarge", "description": "The file is too large"})));
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let token = format!("token{}", state.uploads.len() + state.files.len());
    let attachment = json!({"id": 7, "file_name": name, "content_type": text("content-type"), "size": bytes.len()});
    state.uploads.push((token.clone(), SeenFile { name, content_type: text("content-type"), bytes: bytes.to_vec() }));
    Ok(say(201, json!({"upload": {"token": token, "attachment": attachment, "attachments": [attachment]}})))
}

/// The documented limit on updates of one ticket, at a speed for tests.
pub const FAST_UPDATES: Allowance = Allowance { requests: 3, within: Duration::from_secs(2) };
