//! Zammad as far as its documentation says: token, permissions by group, articles, attachments, tags, states, searches
//! by condition, and 422 with a word about what is missing.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::HeaderMap,
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use url::Url;

use super::{Habits, Said, SeenFile, SeenNote, SeenTicket, Wire, now, say, serve};

pub const TOKEN: &str = "a-token-of-an-agent";
/// Knows who it is, but is no agent of any group.
pub const TOKEN_WITHOUT_RIGHTS: &str = "a-token-of-a-customer";
pub const CUSTOMER: &str = "voice-notes@zammad.example";
const GROUPS: [&str; 2] = ["Voice", "Technik"];
const PRIORITIES: [&str; 3] = ["1 low", "2 normal", "3 high"];
const STATES: [&str; 6] = ["new", "open", "pending reminder", "closed", "merged", "removed"];

#[derive(Clone)]
pub struct Zammad {
    pub url: Url,
    pub wire: Wire,
    state: Arc<Mutex<Stored>>,
}

#[derive(Default)]
struct Stored {
    tickets: Vec<Map<String, Value>>,
    articles: Vec<Map<String, Value>>,
    files: Vec<(u64, SeenFile)>,
    tags: Vec<(u64, String)>,
    /// Largest request in bytes, as the web server before Zammad has it.
    body_bytes_max: usize,
    follow_up_refused: bool,
}

impl Zammad {
    pub fn start() -> Self {
        let wire = Wire::default();
        let state = Arc::new(Mutex::new(Stored { body_bytes_max: 50 << 20, ..Stored::default() }));
        let router = Router::new()
            .route("/api/v1/users/me", get(me))
            .route("/api/v1/users/search", get(users))
            .route("/api/v1/ticket_priorities", get(|headers: HeaderMap| async move { named(&headers, &PRIORITIES) }))
            .route("/api/v1/ticket_states", get(|headers: HeaderMap| async move { named(&headers, &STATES) }))
            .route("/api/v1/tickets", post(open))
            .route("/api/v1/tickets/search", post(search))
            .route("/api/v1/tickets/{id}", get(show).put(update))
            .route("/api/v1/ticket_articles", post(write))
            .route("/api/v1/ticket_articles/by_ticket/{id}", get(articles))
            .route("/api/v1/tags", get(tags))
            .route("/api/v1/tags/add", post(add_tag))
            .with_state(Arc::clone(&state));
        let habits = Habits {
            writes_a_note: |method, path, _| method == "POST" && path == "/api/v1/ticket_articles",
            too_many: || json!({"error": "too many requests"}),
            says_when: true,
        };
        Self { url: serve(router, &wire, habits), wire, state }
    }

    pub fn limit_bodies(&self, bytes_max: usize) {
        self.state.lock().unwrap().body_bytes_max = bytes_max;
    }

    /// Has closed tickets take no notes, as a group can be set up for users that are no agents of it.
    pub fn refuse_follow_ups(&self) {
        self.state.lock().unwrap().follow_up_refused = true;
    }

    /// A ticket that somebody else opened.
    pub fn ticket(&self) -> String {
        self.state.lock().unwrap().add_ticket("Frage zur Rechnung", "Voice").to_string()
    }

    pub fn set_state(&self, id: &str, name: &str) {
        self.state.lock().unwrap().ticket(id.parse().unwrap()).unwrap().insert("state".into(), name.into());
    }

    pub fn tickets(&self) -> Vec<String> {
        self.state.lock().unwrap().tickets.iter().map(|ticket| ticket["id"].to_string()).collect()
    }

    pub fn seen(&self, id: &str) -> SeenTicket {
        let mut state = self.state.lock().unwrap();
        let number: u64 = id.parse().unwrap();
        let ticket = state.ticket(number).unwrap().clone();
        let of_ticket = |article: &&Map<String, Value>| article["ticket_id"] == number;
        // The first article is what opened the ticket.
        let opening = state.articles.iter().find(of_ticket).map(|article| article["body"].as_str().unwrap().to_owned());
        let notes = state.articles.iter().filter(of_ticket).skip(1).map(|article| state.seen_note(article)).collect();
        let text = |name: &str| ticket[name].as_str().map(str::to_owned);
        let pending = text("pending_time").filter(|_| ticket["state"] == "pending reminder");
        SeenTicket {
            closed: ticket["state"] == "closed",
            priority: text("priority"),
            team: text("group"),
            tags: state.tags.iter().filter(|(of, _)| *of == number).map(|(_, tag)| tag.clone()).collect(),
            reminder_s: pending.map(|at| at.parse::<jiff::Timestamp>().unwrap().as_second()),
            follows: opening.and_then(|text| Some(text.split_once("von Ticket ")?.1.trim_end_matches('.').to_owned())),
            notes,
        }
    }
}

impl Stored {
    fn ticket(&mut self, id: u64) -> Option<&mut Map<String, Value>> {
        self.tickets.iter_mut().find(|ticket| ticket["id"] == id)
    }

    fn add_ticket(&mut self, title: &str, group: &str) -> u64 {
        let id = self.tickets.len() as u64 + 1;
        let ticket = json!({
            "id": id, "number": (22_000 + id).to_string(), "title": title, "group": group, "group_id": 1,
            "state": "new", "state_id": 1, "priority": "2 normal", "priority_id": 2, "pending_time": null,
            "customer_id": 10, "owner_id": 1, "article_count": 0, "created_at": now(), "updated_at": now(),
        });
        self.tickets.push(ticket.as_object().unwrap().clone());
        self.add_article(id, json!({"body": title, "type": "web", "internal": false}).as_object().unwrap(), &[]);
        id
    }

    fn add_article(&mut self, ticket: u64, given: &Map<String, Value>, files: &[SeenFile]) -> Value {
        let id = self.articles.len() as u64 + 1;
        let attachments: Vec<Value> = files
            .iter()
            .map(|file| {
                self.files.push((id, file.clone()));
                json!({"id": self.files.len(), "filename": file.name, "size": file.bytes.len().to_string(),
                   "preferences": {"Mime-Type": file.content_type}})
            })
            .collect();
        let value = |name: &str, default: Value| given.get(name).cloned().unwrap_or(default);
        let article = json!({
            "id": id, "ticket_id": ticket, "type": value("type", "note".into()), "sender": "Agent",
            "internal": value("internal", false.into()), "subject": value("subject", Value::Null),
            "body": given["body"], "content_type": value("content_type", "text/plain".into()),
            "message_id": value("message_id", Value::Null), "attachments": attachments, "created_at": now(),
        });
        self.articles.push(article.as_object().unwrap().clone());
        article
    }

    fn seen_note(&self, article: &Map<String, Value>) -> SeenNote {
        let files = self.files.iter().filter(|(of, _)| article["id"] == *of).map(|(_, file)| file.clone());
        let body = article["body"].as_str().unwrap();
        SeenNote {
            text: if article["content_type"] == "text/plain" { body.to_owned() } else { super::shown_html(body) },
            // An article that is sent is not internal, whatever it says of itself.
            internal: article["internal"] == true && article["type"] == "note",
            files: files.collect(),
        }
    }
}

type Shared = State<Arc<Mutex<Stored>>>;

/// Whether the token is an agent's; an error where it is nobody's.
fn agent(headers: &HeaderMap) -> Result<bool, Said> {
    match headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Token token=")) {
        Some(TOKEN) => Ok(true),
        Some(TOKEN_WITHOUT_RIGHTS) => Ok(false),
        Some(_) => Err(say(401, json!({"error": "Invalid token!", "error_human": "Invalid token!"}))),
        None => Err(say(403, json!({"error": "Authentication required", "error_human": "Authentication required"}))),
    }
}

fn only_agents(headers: &HeaderMap) -> Result<(), Said> {
    let forbidden = || say(403, json!({"error": "Not authorized", "error_human": "Not authorized"}));
    agent(headers)?.then_some(()).ok_or_else(forbidden)
}

fn unprocessable(words: &str) -> Said {
    say(422, json!({"error": words, "error_human": words}))
}

fn not_found(object: &str, id: &str) -> Said {
    let words = format!("Couldn't find {object} with 'id'={id}");
    say(404, json!({"error": words, "error_human": words}))
}

fn body(state: &Shared, headers: &HeaderMap, bytes: &Bytes) -> Result<Map<String, Value>, Said> {
    if bytes.len() > state.lock().unwrap().body_bytes_max {
        return Err(say(413, Value::Null));
    }
    // Without it nothing is read from the body at all.
    let is_json = headers.get("content-type").is_some_and(|value| value == "application/json");
    let value = if is_json { serde_json::from_slice(bytes).ok() } else { None };
    Ok(value.unwrap_or_default())
}

async fn me(headers: HeaderMap, Query(query): Query<Map<String, Value>>) -> Result<Said, Said> {
    let is_agent = agent(&headers)?;
    let mut user = json!({"id": 3, "login": "bridge@zammad.example", "active": true, "role_ids": [2]});
    if query.get("expand").is_some_and(|expand| expand == "true") {
        let full = |group: &&str| ((*group).to_owned(), json!(["full"]));
        let groups = if is_agent { GROUPS.iter().map(full).collect() } else { Map::new() };
        user["groups"] = groups.into();
        user["roles"] = json!([if is_agent { "Agent" } else { "Customer" }]);
    }
    Ok(say(200, user))
}

async fn users(headers: HeaderMap, Query(query): Query<Map<String, Value>>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let all = [json!({"id": 10, "login": CUSTOMER, "email": CUSTOMER})];
    let wanted = query.get("query").and_then(Value::as_str).unwrap_or_default();
    let found = all.into_iter().filter(|user| user["login"].as_str().unwrap().contains(wanted));
    Ok(say(200, found.collect()))
}

fn named(headers: &HeaderMap, names: &[&str]) -> Result<Said, Said> {
    agent(headers)?;
    let list = names.iter().enumerate().map(|(n, name)| json!({"id": n + 1, "name": name, "active": true}));
    Ok(say(200, list.collect()))
}

async fn show(State(state): Shared, headers: HeaderMap, Path(id): Path<String>) -> Result<Said, Said> {
    let is_agent = agent(&headers)?;
    let mut state = state.lock().unwrap();
    let ticket = id.parse().ok().and_then(|id| state.ticket(id)).ok_or_else(|| not_found("Ticket", &id))?.clone();
    only_agents(&headers)?;
    assert!(is_agent);
    Ok(say(200, ticket.into()))
}

/// Names that do not exist are refused, by their attribute.
fn known(given: &Map<String, Value>, name: &str, known: &[&str]) -> Result<(), Said> {
    match given.get(name).and_then(Value::as_str) {
        Some(value) if !known.contains(&value) => {
            Err(unprocessable(&format!("No lookup value found for '{name}': \"{value}\"")))
        }
        _ => Ok(()),
    }
}

fn names_are_known(given: &Map<String, Value>) -> Result<(), Said> {
    known(given, "group", &GROUPS)?;
    known(given, "priority", &PRIORITIES)?;
    known(given, "state", &STATES)?;
    known(given, "customer", &[CUSTOMER])
}

async fn open(state: Shared, headers: HeaderMap, bytes: Bytes) -> Result<Said, Said> {
    only_agents(&headers)?;
    let given = body(&state, &headers, &bytes)?;
    names_are_known(&given)?;
    if !given.contains_key("group") {
        return Err(unprocessable("The required value 'group_id' is missing."));
    }
    if !given.contains_key("customer") && !given.contains_key("customer_id") {
        return Err(unprocessable("Attribute 'customer_id' required!"));
    }
    let article = given.get("article").and_then(Value::as_object).cloned();
    if article.as_ref().is_some_and(|article| !article.contains_key("body")) {
        return Err(unprocessable("Need at least article: { body: \"some text\" }"));
    }
    let mut state = state.lock().unwrap();
    let id = state.add_ticket(given["title"].as_str().unwrap_or("-"), given["group"].as_str().unwrap());
    if let Some(article) = article {
        state.articles.pop();
        state.add_article(id, &article, &[]);
    }
    let ticket = state.ticket(id).unwrap().clone();
    Ok(say(201, ticket.into()))
}

async fn update(state: Shared, headers: HeaderMap, Path(id): Path<String>, bytes: Bytes) -> Result<Said, Said> {
    only_agents(&headers)?;
    let given = body(&state, &headers, &bytes)?;
    names_are_known(&given)?;
    if given.get("state").is_some_and(|state| state == "pending reminder") && !given.contains_key("pending_time") {
        return Err(unprocessable("Missing required value for field 'pending_time'!"));
    }
    let mut state = state.lock().unwrap();
    let ticket = id.parse().ok().and_then(|id| state.ticket(id)).ok_or_else(|| not_found("Ticket", &id))?;
    for name in ["title", "group", "priority", "state", "pending_time"] {
        if let Some(value) = given.get(name) {
            ticket.insert(name.to_owned(), value.clone());
        }
    }
    Ok(say(200, ticket.clone().into()))
}

async fn search(
    state: Shared,
    headers: HeaderMap,
    Query(query): Query<Map<String, Value>>,
    bytes: Bytes,
) -> Result<Said, Said> {
    only_agents(&headers)?;
    let mut given = body(&state, &headers, &bytes)?;
    given.extend(query);
    let state = state.lock().unwrap();
    let fits = |ticket: &Map<String, Value>| {
        given.get("condition").and_then(Value::as_object).into_iter().flatten().all(|(attribute, condition)| {
            let present = ticket[attribute.strip_prefix("ticket.").unwrap()].as_str().unwrap_or_default();
            let wanted = condition["value"].as_str().unwrap();
            match condition["operator"].as_str().unwrap() {
                "is" => present == wanted,
                "contains" => present.contains(wanted),
                other => panic!("this double does not know the operator {other}"),
            }
        })
    };
    let mut found: Vec<Value> =
        state.tickets.iter().filter(|ticket| fits(ticket)).map(|ticket| ticket.clone().into()).collect();
    if given.get("order_by").is_some_and(|order| order == "desc") {
        found.reverse();
    }
    found.truncate(given.get("limit").and_then(Value::as_u64).unwrap_or(50) as usize);
    Ok(say(200, found.into()))
}

async fn articles(State(state): Shared, headers: HeaderMap, Path(id): Path<u64>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let mut state = state.lock().unwrap();
    state.ticket(id).ok_or_else(|| not_found("Ticket", &id.to_string()))?;
    let of_ticket = state.articles.iter().filter(|article| article["ticket_id"] == id);
    Ok(say(200, of_ticket.map(|article| Value::from(article.clone())).collect()))
}

async fn write(state: Shared, headers: HeaderMap, bytes: Bytes) -> Result<Said, Said> {
    only_agents(&headers)?;
    let given = body(&state, &headers, &bytes)?;
    let Some(text) = given.get("body").and_then(Value::as_str) else {
        return Err(unprocessable("Need at least article: { body: \"some text\" }"));
    };
    let length = text.chars().count();
    if length > 1_500_000 {
        return Err(unprocessable(&format!("body if article is to large, {length} chars - only 1500000 allowed")));
    }
    let mut files = Vec::new();
    for (n, file) in given.get("attachments").and_then(Value::as_array).into_iter().flatten().enumerate() {
        for key in ["mime-type", "filename", "data"] {
            if file.get(key).is_none() {
                return Err(unprocessable(&format!("Attachment needs '{key}' param for attachment with index '{n}'")));
            }
        }
        let Ok(bytes) = STANDARD.decode(file["data"].as_str().unwrap()) else {
            return Err(unprocessable(&format!("Invalid base64 for attachment with index '{n}'")));
        };
        let text = |key: &str| file[key].as_str().unwrap().to_owned();
        files.push(SeenFile { name: text("filename"), content_type: text("mime-type"), bytes });
    }
    let mut state = state.lock().unwrap();
    let id = given.get("ticket_id").and_then(Value::as_u64).unwrap_or_default();
    let refused = state.follow_up_refused;
    let ticket = state.ticket(id).ok_or_else(|| not_found("Ticket", &id.to_string()))?;
    if refused && ticket["state"] == "closed" {
        return Err(unprocessable("Cannot follow-up on a closed ticket. Please create a new ticket."));
    }
    Ok(say(201, state.add_article(id, &given, &files)))
}

async fn tags(State(state): Shared, headers: HeaderMap, Query(query): Query<Map<String, Value>>) -> Result<Said, Said> {
    only_agents(&headers)?;
    let id: u64 = query["o_id"].as_str().unwrap().parse().unwrap();
    let state = state.lock().unwrap();
    let tags: Vec<&String> = state.tags.iter().filter(|(of, _)| *of == id).map(|(_, tag)| tag).collect();
    Ok(say(200, json!({"tags": tags})))
}

async fn add_tag(
    state: Shared,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<(axum::http::StatusCode, Json<Value>), Said> {
    only_agents(&headers)?;
    let given = body(&state, &headers, &bytes)?;
    let id = given["o_id"].as_u64().or_else(|| given["o_id"].as_str()?.parse().ok()).unwrap();
    let tag = given["item"].as_str().unwrap().to_owned();
    let mut state = state.lock().unwrap();
    if !state.tags.contains(&(id, tag.clone())) {
        state.tags.push((id, tag));
    }
    Ok(say(201, true.into()))
}
