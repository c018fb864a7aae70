//! Freshdesk as far as its documentation says: an API key, notes with files as a form, 20 MB of files a ticket,
//! requesters by `unique_external_id`, numbers for states and priorities, and faults by field.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::HeaderMap,
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use url::Url;

use super::{Habits, Said, SeenFile, SeenNote, SeenTicket, Wire, filled_in, form, now, say, serve, shown_html};

pub const API_KEY: &str = "a-key-of-an-agent";
/// Of an agent who may see nothing but its own tickets.
pub const API_KEY_WITHOUT_RIGHTS: &str = "a-key-of-a-restricted-agent";
pub const GROUPS: [u64; 2] = [101, 102];
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];

#[derive(Clone)]
pub struct Freshdesk {
    pub url: Url,
    pub wire: Wire,
    state: Arc<Mutex<Stored>>,
}

struct Stored {
    tickets: Vec<Map<String, Value>>,
    notes: Vec<Map<String, Value>>,
    files: Vec<(u64, SeenFile)>,
    /// Requesters, by their external id.
    requesters: Vec<String>,
    files_bytes_max: usize,
}

impl Freshdesk {
    pub fn start() -> Self {
        let wire = Wire::default();
        let state = Arc::new(Mutex::new(Stored {
            tickets: vec![],
            notes: vec![],
            files: vec![],
            requesters: vec![],
            files_bytes_max: 20 << 20,
        }));
        let router = Router::new()
            .route("/api/v2/agents/me", get(me))
            .route("/api/v2/groups/{id}", get(group))
            .route("/api/v2/tickets", get(list).post(open))
            .route("/api/v2/tickets/{id}", get(show).put(update))
            .route("/api/v2/tickets/{id}/notes", post(write))
            .route("/api/v2/tickets/{id}/conversations", get(conversations))
            .with_state(Arc::clone(&state));
        let habits = Habits {
            writes_a_note: |method, path, _| method == "POST" && path.ends_with("/notes"),
            too_many: || json!({"message": "You have exceeded the limit of requests per minute"}),
            says_when: true,
        };
        Self { url: serve(router, &wire, habits), wire, state }
    }

    pub fn limit_files(&self, bytes_max: usize) {
        self.state.lock().unwrap().files_bytes_max = bytes_max;
    }

    /// A ticket that somebody else opened, long ago.
    pub fn ticket(&self) -> String {
        let mut state = self.state.lock().unwrap();
        let given = json!({"subject": "Frage zur Rechnung", "description": "Hallo", "status": 2, "priority": 1,
                           "unique_external_id": "4711", "tags": ["billing"]});
        let id = state.add_ticket(given.as_object().unwrap());
        // More than one page.
        for n in 0..120 {
            state.add_note(id, &format!("Antwort {n}"), false, vec![]);
        }
        id.to_string()
    }

    pub fn set_status(&self, id: &str, status: u64) {
        let mut state = self.state.lock().unwrap();
        state.ticket(id.parse().unwrap()).unwrap().insert("status".to_owned(), status.into());
    }

    pub fn status(&self, id: &str) -> u64 {
        self.state.lock().unwrap().ticket(id.parse().unwrap()).unwrap()["status"].as_u64().unwrap()
    }

    pub fn tickets(&self) -> Vec<String> {
        self.state.lock().unwrap().tickets.iter().map(|ticket| ticket["id"].to_string()).collect()
    }

    pub fn seen(&self, id: &str) -> SeenTicket {
        let mut state = self.state.lock().unwrap();
        let number: u64 = id.parse().unwrap();
        let ticket = state.ticket(number).unwrap().clone();
        let ours = |note: &&Map<String, Value>| {
            note["ticket_id"] == number && note["body"].as_str().unwrap().starts_with("<div>")
        };
        let notes = state.notes.iter().filter(ours).map(|note| SeenNote {
            text: shown_html(&filled_in(note["body"].as_str().unwrap())),
            internal: note["private"] == true,
            files: state.files.iter().filter(|(of, _)| note["id"] == *of).map(|(_, file)| file.clone()).collect(),
        });
        let description = ticket["description"].as_str().unwrap();
        SeenTicket {
            closed: ticket["status"] == 5,
            priority: Some(PRIORITIES[ticket["priority"].as_u64().unwrap() as usize - 1].to_owned()),
            team: ticket["group_id"].as_u64().map(|id| id.to_string()),
            tags: ticket["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect(),
            reminder_s: ticket["due_by"].as_str().map(|due| due.parse::<jiff::Timestamp>().unwrap().as_second()),
            follows: description.split_once("von Ticket ").map(|(_, id)| id.trim_end_matches('.').to_owned()),
            notes: notes.collect(),
        }
    }
}

impl Stored {
    fn ticket(&mut self, id: u64) -> Option<&mut Map<String, Value>> {
        self.tickets.iter_mut().find(|ticket| ticket["id"] == id)
    }

    fn add_ticket(&mut self, given: &Map<String, Value>) -> u64 {
        let id = self.tickets.len() as u64 + 1;
        let requester = given["unique_external_id"].as_str().unwrap().to_owned();
        let known = self.requesters.iter().position(|known| *known == requester);
        let requester = known.unwrap_or_else(|| {
            self.requesters.push(requester);
            self.requesters.len() - 1
        });
        let ticket = json!({
            "id": id, "subject": given["subject"], "description": given["description"],
            "description_text": shown_html(given["description"].as_str().unwrap()), "status": given["status"],
            "priority": given["priority"], "source": given.get("source").cloned().unwrap_or(json!(2)),
            "requester_id": requester, "group_id": given.get("group_id"), "responder_id": null, "spam": false,
            "tags": given.get("tags").cloned().unwrap_or(json!([])), "due_by": null, "fr_due_by": "2026-11-23T10:00:00Z",
            "attachments": [], "custom_fields": {}, "created_at": now(), "updated_at": now(),
        });
        self.tickets.push(ticket.as_object().unwrap().clone());
        id
    }

    fn add_note(&mut self, ticket: u64, body: &str, private: bool, files: Vec<SeenFile>) -> Value {
        let id = self.notes.len() as u64 + 1;
        let attachments: Vec<Value> = files.iter().map(|f| json!({"name": f.name, "size": f.bytes.len()})).collect();
        self.files.extend(files.into_iter().map(|file| (id, file)));
        let note = json!({
            "id": id, "ticket_id": ticket, "body": body, "body_text": shown_html(body), "private": private,
            "incoming": false, "user_id": 5, "attachments": attachments, "created_at": now(), "updated_at": now(),
        });
        self.notes.push(note.as_object().unwrap().clone());
        note
    }
}

type Shared = State<Arc<Mutex<Stored>>>;

/// Whether the key's agent may see all tickets; an error where it is nobody's.
fn agent(headers: &HeaderMap) -> Result<bool, Said> {
    let credential = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let decoded = credential.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok()).unwrap_or_default();
    match decoded.split_once(':') {
        Some((API_KEY, _)) => Ok(true),
        Some((API_KEY_WITHOUT_RIGHTS, _)) => Ok(false),
        _ => Err(say(
            401,
            json!({"code": "invalid_credentials", "message": "You have to be logged in to perform this action."}),
        )),
    }
}

fn only_agents(headers: &HeaderMap) -> Result<(), Said> {
    let words = "You are not authorized to perform this action.";
    agent(headers)?.then_some(()).ok_or_else(|| say(403, json!({"code": "access_denied", "message": words})))
}

fn invalid(field: &str, code: &str, words: &str) -> Said {
    let errors = json!([{"field": field, "message": words, "code": code}]);
    say(400, json!({"description": "Validation failed", "errors": errors}))
}

fn not_found() -> Said {
    say(404, Value::Null)
}

fn parsed(headers: &HeaderMap, bytes: &Bytes) -> Result<Map<String, Value>, Said> {
    if headers.get("content-type").is_none_or(|value| value != "application/json") {
        let words = "Content-Type header is set to a type that is not supported. It should have application/json";
        return Err(say(415, json!({"code": "invalid_content_type", "message": words})));
    }
    let words = "Request body has invalid json format";
    serde_json::from_slice(bytes).map_err(|_| say(400, json!({"code": "invalid_json", "message": words})))
}

/// Values that Freshdesk knows, where they are given.
fn values_are_known(given: &Map<String, Value>) -> Result<(), Said> {
    let between = |name: &str, from: u64, to: u64| match given.get(name) {
        None => Ok(()),
        Some(value) if value.as_u64().is_some_and(|value| (from..=to).contains(&value)) => Ok(()),
        Some(value) if value.is_number() => Err(invalid(name, "invalid_value", "It should be one of these values")),
        Some(_) => Err(invalid(name, "datatype_mismatch", "Value set is of type String. It should be a/an Integer")),
    };
    between("status", 2, 7)?;
    between("priority", 1, 4)?;
    if let Some(group) = given.get("group_id").and_then(Value::as_u64)
        && !GROUPS.contains(&group)
    {
        return Err(invalid("group_id", "invalid_value", "There is no group matching the given group_id"));
    }
    Ok(())
}

async fn me(headers: HeaderMap) -> Result<Said, Said> {
    agent(&headers)?;
    Ok(say(
        200,
        json!({"id": 5, "ticket_scope": 1, "available": true, "contact": {"email": "bridge@freshdesk.example"}}),
    ))
}

async fn group(headers: HeaderMap, Path(id): Path<u64>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let id = GROUPS.into_iter().find(|known| *known == id).ok_or_else(not_found)?;
    Ok(say(200, json!({"id": id, "name": "Technik"})))
}

async fn list(State(state): Shared, headers: HeaderMap, Query(query): Query<Map<String, Value>>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let state = state.lock().unwrap();
    let text = |name: &str| query.get(name).and_then(Value::as_str);
    let nobody = || {
        let words = "There is no contact matching the given unique_external_id";
        invalid("unique_external_id", "invalid_value", words)
    };
    let position = |wanted: &str| state.requesters.iter().position(|known| known == wanted).ok_or_else(nobody);
    let requester = text("unique_external_id").map(position).transpose()?;
    let mut found: Vec<&Map<String, Value>> = state
        .tickets
        .iter()
        .filter(|ticket| requester.is_none_or(|requester| ticket["requester_id"] == requester))
        .collect();
    if text("order_type").unwrap_or("desc") == "desc" {
        found.reverse();
    }
    found.truncate(text("per_page").map_or(30, |n| n.parse().unwrap()));
    Ok(say(200, json!(found)))
}

async fn show(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let ticket = state.lock().unwrap().ticket(id).cloned().ok_or_else(not_found)?;
    Ok(say(200, ticket.into()))
}

async fn open(State(state): Shared, headers: HeaderMap, bytes: Bytes) -> Result<Said, Said> {
    only_agents(&headers)?;
    let given = parsed(&headers, &bytes)?;
    let requesters = ["requester_id", "email", "phone", "facebook_id", "twitter_id", "unique_external_id"];
    if !requesters.iter().any(|name| given.contains_key(*name)) {
        return Err(invalid("requester_id", "missing_field", "One of these is mandatory"));
    }
    for name in ["subject", "description", "status", "priority"] {
        if !given.contains_key(name) {
            return Err(invalid(name, "missing_field", "It should be present"));
        }
    }
    values_are_known(&given)?;
    let mut state = state.lock().unwrap();
    let id = state.add_ticket(&given);
    Ok(say(201, state.ticket(id).unwrap().clone().into()))
}

async fn update(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>, bytes: Bytes) -> Result<Said, Said> {
    only_agents(&headers)?;
    let given = parsed(&headers, &bytes)?;
    values_are_known(&given)?;
    let text =
        |name: &str| given.get(name).and_then(Value::as_str).map(|text| text.parse::<jiff::Timestamp>().unwrap());
    if text("fr_due_by") > text("due_by") {
        return Err(invalid("fr_due_by", "invalid_value", "It should be before due_by"));
    }
    let mut state = state.lock().unwrap();
    let ticket = state.ticket(id).ok_or_else(not_found)?;
    for name in ["priority", "status", "group_id", "tags", "due_by", "fr_due_by"] {
        if let Some(value) = given.get(name) {
            ticket.insert(name.to_owned(), value.clone());
        }
    }
    Ok(say(200, ticket.clone().into()))
}

async fn write(state: Shared, Path(id): Path<u64>, request: Request) -> Result<Said, Said> {
    only_agents(request.headers())?;
    let headers = request.headers().clone();
    let is_form = headers.get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data"));
    let (fields, files) = if is_form {
        form(request).await
    } else {
        (parsed(&headers, &axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap())?, vec![])
    };
    let Some(body) = fields.get("body").and_then(Value::as_str) else {
        return Err(invalid("body", "missing_field", "It should be present"));
    };
    let mut state = state.lock().unwrap();
    state.ticket(id).ok_or_else(not_found)?;
    let of_ticket = |of: &u64| state.notes.iter().any(|note| note["id"] == *of && note["ticket_id"] == id);
    let present: usize = state.files.iter().filter(|(of, _)| of_ticket(of)).map(|(_, file)| file.bytes.len()).sum();
    if present + files.iter().map(|file| file.bytes.len()).sum::<usize>() > state.files_bytes_max {
        let words = "The total size of all attachments cannot exceed 20 MB";
        return Err(invalid("attachments", "invalid_size", words));
    }
    let public = fields.get("private").is_some_and(|private| *private == false || private == "false");
    let note = state.add_note(id, body, !public, files);
    Ok(say(201, note))
}

async fn conversations(
    State(state): Shared,
    headers: HeaderMap,
    Path(id): Path<u64>,
    Query(query): Query<Map<String, Value>>,
) -> Result<Said, Said> {
    only_agents(&headers)?;
    let mut state = state.lock().unwrap();
    state.ticket(id).ok_or_else(not_found)?;
    let number = |name: &str, default: usize| query.get(name).map_or(default, |v| v.as_str().unwrap().parse().unwrap());
    let (page, per_page) = (number("page", 1), number("per_page", 30));
    if per_page > 100 {
        return Err(invalid("per_page", "invalid_value", "It should be a Positive Integer less than or equal to 100"));
    }
    let of_ticket = state.notes.iter().filter(|note| note["ticket_id"] == id);
    Ok(say(200, json!(of_ticket.skip((page - 1) * per_page).take(per_page).collect::<Vec<_>>())))
}
