//! Chatwoot as far as its interface's description and its source code say: token, account, private messages (read as
//! a Liquid template, shown as Markdown), pages of 20, labels that replace, contacts with unique identifiers.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::HeaderMap,
    routing::{get, post},
};
use serde_json::{Map, Value, json};
use url::Url;

use super::{Habits, Said, SeenFile, SeenNote, SeenTicket, Wire, filled_in, form, say, serve};

pub const TOKEN: &str = "a-token-of-an-administrator";
/// Of a user who is a member of no inbox.
pub const TOKEN_WITHOUT_RIGHTS: &str = "a-token-of-an-agent-without-inboxes";
pub const ACCOUNT: u64 = 3;
pub const INBOX: u64 = 11;
/// An inbox of another type.
pub const WEB_INBOX: u64 = 12;
pub const TEAMS: [u64; 2] = [7, 8];
pub const LABELS: [&str; 3] = ["voice", "outage", "billing"];
const TEXT_CHARS_MAX: usize = 150_000;

#[derive(Clone)]
pub struct Chatwoot {
    pub url: Url,
    pub wire: Wire,
    state: Arc<Mutex<Stored>>,
}

struct Stored {
    contacts: Vec<Value>,
    conversations: Vec<Map<String, Value>>,
    messages: Vec<Map<String, Value>>,
    files: Vec<(u64, SeenFile)>,
    file_bytes_max: usize,
}

impl Chatwoot {
    pub fn start() -> Self {
        let wire = Wire::default();
        let state = Arc::new(Mutex::new(Stored {
            contacts: vec![],
            conversations: vec![],
            messages: vec![],
            files: vec![],
            file_bytes_max: 40 << 20,
        }));
        let of_account = Router::new()
            .route("/inboxes/{id}", get(inbox))
            .route("/teams", get(teams))
            .route("/labels", get(labels))
            .route("/contacts", post(make_contact))
            .route("/contacts/search", get(search_contacts))
            .route("/contacts/{id}/conversations", get(conversations_of))
            .route("/conversations", post(open))
            .route("/conversations/{id}", get(show))
            .route("/conversations/{id}/messages", get(messages).post(write))
            .route("/conversations/{id}/labels", get(labels_of).post(set_labels))
            .route("/conversations/{id}/assignments", post(assign))
            .route("/conversations/{id}/toggle_priority", post(set_priority))
            .route("/conversations/{id}/toggle_status", post(set_status));
        let router = Router::new()
            .route("/api/v1/profile", get(profile))
            .nest(&format!("/api/v1/accounts/{ACCOUNT}"), of_account)
            .with_state(Arc::clone(&state));
        let habits = Habits {
            writes_a_note: |method, path, _| method == "POST" && path.ends_with("/messages"),
            too_many: || Value::Null,
            // Rack::Attack says nothing unless it is told to.
            says_when: false,
        };
        Self { url: serve(router, &wire, habits), wire, state }
    }

    pub fn limit_files(&self, bytes_max: usize) {
        self.state.lock().unwrap().file_bytes_max = bytes_max;
    }

    /// A conversation that a customer began, in another inbox.
    pub fn ticket(&self) -> String {
        let mut state = self.state.lock().unwrap();
        let id = state.add_conversation(WEB_INBOX, 1, &Map::new());
        state.conversations.last_mut().unwrap().insert("labels".to_owned(), json!(["billing"]));
        // More than one page.
        for n in 0..45 {
            state.add_message(id, &format!("Nachricht {n}"), false, vec![]);
        }
        id.to_string()
    }

    pub fn close(&self, id: &str) {
        let mut state = self.state.lock().unwrap();
        state.conversation(id.parse().unwrap()).unwrap().insert("status".to_owned(), "resolved".into());
    }

    pub fn tickets(&self) -> Vec<String> {
        self.state.lock().unwrap().conversations.iter().map(|found| found["id"].to_string()).collect()
    }

    pub fn seen(&self, id: &str) -> SeenTicket {
        let mut state = self.state.lock().unwrap();
        let number: u64 = id.parse().unwrap();
        let found = state.conversation(number).unwrap().clone();
        let ours = state.messages.iter().filter(|m| m["conversation_id"] == number && m["message_type"] == 1);
        let notes = ours.map(|message| SeenNote {
            text: shown_markdown(&filled_in(message["content"].as_str().unwrap())),
            internal: message["private"] == true,
            files: state.files.iter().filter(|(of, _)| message["id"] == *of).map(|(_, file)| file.clone()).collect(),
        });
        SeenTicket {
            closed: found["status"] == "resolved",
            priority: found["priority"].as_str().map(str::to_owned),
            team: found["meta"]["team"]["id"].as_u64().map(|id| id.to_string()),
            tags: found["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned()).collect(),
            reminder_s: found["snoozed_until"].as_i64(),
            follows: found["custom_attributes"]["follows_conversation"].as_str().map(str::to_owned),
            notes: notes.collect(),
        }
    }
}

/// Markdown as it is shown: its text, and whatever is no plain text in brackets for the test to stumble over.
fn shown_markdown(text: &str) -> String {
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut shown = String::new();
    for event in Parser::new_ext(text, options) {
        match event {
            Event::Text(text) => shown.push_str(&text),
            Event::SoftBreak | Event::HardBreak | Event::End(TagEnd::Paragraph) => shown.push('\n'),
            Event::Start(Tag::Paragraph) => {}
            other => shown.extend(["⟦", &format!("{other:?}"), "⟧"]),
        }
    }
    shown
}

impl Stored {
    fn conversation(&mut self, id: u64) -> Option<&mut Map<String, Value>> {
        self.conversations.iter_mut().find(|found| found["id"] == id)
    }

    fn add_conversation(&mut self, inbox: u64, contact: u64, given: &Map<String, Value>) -> u64 {
        let id = self.conversations.len() as u64 + 1;
        let conversation = json!({
            "id": id, "account_id": ACCOUNT, "inbox_id": inbox, "contact_id": contact, "status": "open",
            "priority": null, "labels": [], "snoozed_until": null, "meta": {"team": null},
            "custom_attributes": given.get("custom_attributes").cloned().unwrap_or(json!({})),
        });
        self.conversations.push(conversation.as_object().unwrap().clone());
        id
    }

    fn add_message(&mut self, conversation: u64, content: &str, private: bool, files: Vec<SeenFile>) -> Value {
        let id = self.messages.len() as u64 + 100;
        let attachments: Vec<Value> = files.iter().map(|file| json!({"file_size": file.bytes.len()})).collect();
        self.files.extend(files.into_iter().map(|file| (id, file)));
        let message = json!({
            "id": id, "content": content, "content_type": "text", "inbox_id": INBOX, "conversation_id": conversation,
            "message_type": u8::from(private), "private": private, "created_at": 1_790_000_000, "attachments": attachments,
        });
        self.messages.push(message.as_object().unwrap().clone());
        message
    }
}

type Shared = State<Arc<Mutex<Stored>>>;

fn unauthorized(words: &str) -> Said {
    say(401, json!({"error": words}))
}

/// Whether the token's user is a member of the inboxes; an error where it is nobody's.
fn user(headers: &HeaderMap) -> Result<bool, Said> {
    match headers.get("api_access_token").and_then(|value| value.to_str().ok()) {
        Some(TOKEN) => Ok(true),
        Some(TOKEN_WITHOUT_RIGHTS) => Ok(false),
        _ => Err(unauthorized("Invalid Access Token")),
    }
}

fn only_members(headers: &HeaderMap) -> Result<(), Said> {
    user(headers)?.then_some(()).ok_or_else(|| unauthorized("You are not authorized to do this action"))
}

fn not_found() -> Said {
    say(404, json!({"error": "Resource could not be found"}))
}

fn unprocessable(words: &str) -> Said {
    say(422, json!({"error": words}))
}

fn parsed(bytes: &Bytes) -> Map<String, Value> {
    serde_json::from_slice(bytes).unwrap_or_default()
}

async fn profile(headers: HeaderMap) -> Result<Said, Said> {
    user(&headers)?;
    Ok(say(200, json!({"id": 1, "name": "Bridge", "accounts": [{"id": ACCOUNT, "role": "administrator"}]})))
}

async fn inbox(headers: HeaderMap, Path(id): Path<u64>) -> Result<Said, Said> {
    only_members(&headers)?;
    match id {
        INBOX => Ok(say(200, json!({"id": id, "name": "Sprachnachrichten", "channel_type": "Channel::Api"}))),
        WEB_INBOX => Ok(say(200, json!({"id": id, "name": "Website", "channel_type": "Channel::WebWidget"}))),
        _ => Err(not_found()),
    }
}

async fn teams(headers: HeaderMap) -> Result<Said, Said> {
    user(&headers)?;
    Ok(say(200, TEAMS.iter().map(|id| json!({"id": id, "name": format!("Team {id}")})).collect()))
}

async fn labels(headers: HeaderMap) -> Result<Said, Said> {
    user(&headers)?;
    let labels: Vec<Value> = LABELS.iter().map(|title| json!({"title": title})).collect();
    Ok(say(200, json!({"payload": labels})))
}

async fn make_contact(State(state): Shared, headers: HeaderMap, bytes: Bytes) -> Result<Said, Said> {
    user(&headers)?;
    let given = parsed(&bytes);
    let mut state = state.lock().unwrap();
    if given.contains_key("identifier") && state.contacts.iter().any(|c| c["identifier"] == given["identifier"]) {
        let attributes = json!(["identifier"]);
        return Err(say(422, json!({"message": "Identifier has already been taken", "attributes": attributes})));
    }
    let contact = json!({
        "id": state.contacts.len() + 40, "name": given.get("name"), "identifier": given.get("identifier"),
        "contact_inboxes": [{"source_id": "a0b1", "inbox": {"id": given.get("inbox_id")}}],
    });
    state.contacts.push(contact.clone());
    Ok(say(200, json!({"payload": {"contact": contact, "contact_inbox": {"source_id": "a0b1"}}})))
}

async fn search_contacts(
    State(state): Shared,
    headers: HeaderMap,
    Query(query): Query<Map<String, Value>>,
) -> Result<Said, Said> {
    user(&headers)?;
    let Some(wanted) = query.get("q").and_then(Value::as_str).filter(|q| !q.is_empty()) else {
        return Err(unprocessable("Specify search string with parameter q"));
    };
    let state = state.lock().unwrap();
    let holds = |contact: &&Value| contact["identifier"].as_str().is_some_and(|text| text.contains(wanted));
    let found: Vec<Value> = state.contacts.iter().filter(holds).take(15).cloned().collect();
    Ok(say(200, json!({"meta": {"count": found.len(), "current_page": 1}, "payload": found})))
}

async fn conversations_of(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>) -> Result<Said, Said> {
    let is_member = user(&headers)?;
    let state = state.lock().unwrap();
    if !state.contacts.iter().any(|contact| contact["id"] == id) {
        return Err(not_found());
    }
    let of_contact = state.conversations.iter().filter(|found| is_member && found["contact_id"] == id);
    let newest_first: Vec<Value> = of_contact.rev().take(20).map(|found| found.clone().into()).collect();
    Ok(say(200, json!({"payload": newest_first})))
}

async fn open(State(state): Shared, headers: HeaderMap, bytes: Bytes) -> Result<Said, Said> {
    only_members(&headers)?;
    let given = parsed(&bytes);
    let mut state = state.lock().unwrap();
    let number = |name: &str| given.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (inbox, contact) = (number("inbox_id"), number("contact_id"));
    if inbox != INBOX || !state.contacts.iter().any(|found| found["id"] == contact) {
        return Err(not_found());
    }
    let id = state.add_conversation(inbox, contact, &given);
    Ok(say(200, state.conversation(id).unwrap().clone().into()))
}

async fn show(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>) -> Result<Said, Said> {
    user(&headers)?;
    let found = state.lock().unwrap().conversation(id).cloned().ok_or_else(not_found)?;
    only_members(&headers)?;
    Ok(say(200, found.into()))
}

async fn messages(
    State(state): Shared,
    headers: HeaderMap,
    Path(id): Path<u64>,
    Query(query): Query<Map<String, Value>>,
) -> Result<Said, Said> {
    only_members(&headers)?;
    let mut state = state.lock().unwrap();
    state.conversation(id).ok_or_else(not_found)?;
    let before = query.get("before").and_then(Value::as_str).map_or(u64::MAX, |before| before.parse().unwrap());
    let of_conversation = state.messages.iter().filter(|message| message["conversation_id"] == id);
    let mut page: Vec<Value> = of_conversation
        .filter(|message| message["id"].as_u64().unwrap() < before)
        .rev()
        .take(20)
        .map(|message| message.clone().into())
        .collect();
    page.reverse();
    Ok(say(200, json!({"meta": {}, "payload": page})))
}

async fn write(state: Shared, Path(id): Path<u64>, request: Request) -> Result<Said, Said> {
    only_members(request.headers())?;
    let is_form =
        request.headers().get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"multipart/"));
    let (fields, files) = if is_form {
        form(request).await
    } else {
        (parsed(&axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap()), vec![])
    };
    let mut state = state.lock().unwrap();
    state.conversation(id).ok_or_else(not_found)?;
    let content = fields.get("content").and_then(Value::as_str).unwrap_or_default();
    if content.chars().count() > TEXT_CHARS_MAX {
        return Err(unprocessable("Validation failed: Content is too long (maximum is 150000 characters)"));
    }
    if files.iter().any(|file| file.bytes.len() > state.file_bytes_max) {
        return Err(unprocessable("Validation failed: Attachments file size is too big"));
    }
    if fields.get("message_type").is_some_and(|kind| kind == "incoming") {
        return Err(unprocessable("Incoming messages are only allowed in Api inboxes"));
    }
    let private = fields.get("private").is_some_and(|private| *private == true || private == "true");
    let mut message = state.add_message(id, content, private, files);
    message["message_type"] = 1.into();
    state.messages.last_mut().unwrap().insert("message_type".to_owned(), 1.into());
    Ok(say(200, message))
}

async fn labels_of(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>) -> Result<Said, Said> {
    only_members(&headers)?;
    let mut state = state.lock().unwrap();
    let found = state.conversation(id).ok_or_else(not_found)?;
    Ok(say(200, json!({"payload": found["labels"]})))
}

/// Replaces all labels; those that the account does not have are left out in silence.
async fn set_labels(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>, bytes: Bytes) -> Result<Said, Said> {
    only_members(&headers)?;
    let given = parsed(&bytes);
    let labels: Vec<&str> = given["labels"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let labels: Vec<&str> = labels.into_iter().filter(|label| LABELS.contains(label)).collect();
    let mut state = state.lock().unwrap();
    state.conversation(id).ok_or_else(not_found)?.insert("labels".to_owned(), json!(labels));
    Ok(say(200, json!({"payload": labels})))
}

async fn assign(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>, bytes: Bytes) -> Result<Said, Said> {
    only_members(&headers)?;
    let team = parsed(&bytes).get("team_id").and_then(Value::as_u64).unwrap_or_default();
    let mut state = state.lock().unwrap();
    let found = state.conversation(id).ok_or_else(not_found)?;
    if !TEAMS.contains(&team) {
        return Err(not_found());
    }
    found["meta"]["team"] = json!({"id": team, "name": format!("Team {team}")});
    Ok(say(200, found["meta"]["team"].clone()))
}

async fn set_priority(
    State(state): Shared,
    headers: HeaderMap,
    Path(id): Path<u64>,
    bytes: Bytes,
) -> Result<Said, Said> {
    only_members(&headers)?;
    let priority = parsed(&bytes).get("priority").cloned().unwrap_or_default();
    let mut state = state.lock().unwrap();
    let found = state.conversation(id).ok_or_else(not_found)?;
    if !["low", "medium", "high", "urgent"].iter().any(|known| priority == *known) {
        return Err(say(500, Value::Null));
    }
    found.insert("priority".to_owned(), priority);
    Ok(say(200, Value::Null))
}

async fn set_status(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>, bytes: Bytes) -> Result<Said, Said> {
    only_members(&headers)?;
    let given = parsed(&bytes);
    let mut state = state.lock().unwrap();
    let found = state.conversation(id).ok_or_else(not_found)?;
    let status = given.get("status").cloned().unwrap_or_default();
    if !["open", "resolved", "pending", "snoozed"].iter().any(|known| status == *known) {
        return Err(say(500, Value::Null));
    }
    let until = given.get("snoozed_until").filter(|_| status == "snoozed").cloned().unwrap_or_default();
    found.insert("snoozed_until".to_owned(), until);
    found.insert("status".to_owned(), status.clone());
    let payload = json!({"success": true, "current_status": status, "conversation_id": id});
    Ok(say(200, json!({"meta": {}, "payload": payload})))
}
