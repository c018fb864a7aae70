//! Zendesk Support, by the Ticketing API.
//!
//! Sources: Zendesk's developer documentation, "Tickets", "Ticket Comments", "Ticket Attachments", "Tags", "Rate
//! limits", "Ticketing: Idempotency", "Creating and updating tickets". What follows from it:
//! * Notes are comments with `public: false`, written by updating the ticket. Files are uploaded before, and named in
//!   the comment by their tokens.
//! * A search is behind by minutes, a list by `external_id` is not; so tickets are found by that. Two requests to open
//!   one for the same note are one, by `Idempotency-Key`, for two hours.
//! * Updates have limits of their own: 100 a minute for the account, and 30 in ten minutes for one user and ticket.
//! * Tags are replaced as a whole, so an update says which state of the ticket it was made for (`updated_stamp`), and
//!   is made anew if that is over.
//! * Solved tickets can be changed, closed ones never again: one that goes on from it names it
//!   (`via_followup_source_id`).

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use reqwest::{StatusCode, header::HeaderName};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    Attachment, Config as Common, Finding, Found, Language, OpenError, TicketConnector, TicketEntry, TicketError,
    TicketId,
    account::{self, Account},
    fit::fit,
    http::{Answer, Http},
    limiter::{Accounts, Limiter, Rate},
    mapped::{self, Mapped},
    markup, opening, reference,
};
use crate::config::Secret;

/// Keys of `type = "zendesk"`. Priorities are `low`, `normal`, `high` and `urgent`, teams the numbers of groups. A
/// reminder makes the ticket a task that is due then, unless it is an incident or a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For example `https://example.zendesk.com`.
    pub url: Url,
    /// The e-mail address of the agent whom the token is used for.
    pub email: String,
    /// An API token.
    pub token: Secret,
    /// The number of the user whom tickets are opened for; the agent where none.
    #[serde(default)]
    pub requester_id: Option<u64>,
    /// By plan: Team 200, Growth and Professional 400, Enterprise 700.
    #[serde(default = "default_requests_per_minute")]
    pub requests_per_minute: u32,
}

fn default_requests_per_minute() -> u32 {
    200
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];
/// Updates of tickets, for the account and for one ticket and user.
const UPDATES: (Rate, Rate) = (Rate::new(100, 60), Rate::new(30, 600));
/// Bytes of a comment.
const TEXT_BYTES_MAX: usize = 65_535;
/// Comments that one answer holds, and answers that are read: a ticket has 5000 at most.
const PAGE: (&str, usize) = ("100", 50);
/// Tickets of one conversation that are looked at.
const FOUND_MAX: usize = 5;
/// How often a change is made anew because somebody else was faster.
const CHANGES_MAX: usize = 3;

pub struct Zendesk {
    http: Http,
    updates: Arc<Limiter>,
    config: Config,
    mapped: Mapped,
    language: Language,
}

impl std::fmt::Debug for Zendesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zendesk").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Ticket {
    id: u64,
    status: String,
    priority: Option<String>,
    group_id: Option<u64>,
    #[serde(rename = "type")]
    kind: Option<String>,
    due_at: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    updated_at: String,
}

#[derive(Deserialize)]
struct One {
    ticket: Ticket,
}

#[derive(Deserialize)]
struct Several {
    tickets: Vec<Ticket>,
}

#[derive(Deserialize)]
struct Comments {
    comments: Vec<Comment>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Comment {
    body: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    has_more: bool,
    after_cursor: Option<String>,
}

impl Zendesk {
    /// # Errors
    /// [`OpenError`] if the settings cannot be used; nothing is asked yet.
    pub fn new(config: &Config, common: &Common, accounts: &Accounts) -> Result<Self, OpenError> {
        let mapped = Mapped::of(common);
        mapped.priorities_among(&PRIORITIES)?;
        mapped.teams_by_number()?;
        let rates = [Rate::new(config.requests_per_minute, 60)];
        let account = Account { system: "zendesk", url: &config.url, user: &config.email, rates: &rates, each: &[] };
        let http = account.http(&common.http, accounts, &["api", "v2"])?;
        let token = config.token.read()?;
        let http = account::with_basic(http, &format!("{}/token", config.email), token.expose_secret())?;
        let updates = Account { rates: &[UPDATES.0], each: &[UPDATES.1], ..account }.limiter(accounts, "updates");
        Ok(Self { http, updates, config: config.clone(), mapped, language: common.language })
    }

    async fn ticket(&self, ticket: &TicketId) -> Result<Ticket, TicketError> {
        let answer = self.http.get(&["tickets", ticket.as_str()]).send().await?;
        Ok(judged(answer, "read tickets")?.json::<One>()?.ticket)
    }

    /// The ticket that a note refers to. One that this user may not see is none: the reference comes from outside.
    async fn referred(&self, reference: &str) -> Result<Option<Ticket>, TicketError> {
        match self.ticket(&TicketId::new(reference)).await {
            Ok(ticket) => Ok(Some(ticket)),
            Err(TicketError::Gone | TicketError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn update(&self, ticket: &TicketId, change: &Value) -> Result<(), TicketError> {
        self.updates.wait(Some(ticket.as_str())).await;
        let request = self.http.put(&["tickets", ticket.as_str()]).json(&json!({"ticket": change}));
        judged(request.send().await?, "change tickets").map(drop)
    }

    /// The token of an uploaded file. It is good for an hour, and what no comment names is thrown away.
    async fn upload(&self, file: &Attachment) -> Result<String, TicketError> {
        let request = self.http.post(&["uploads"]).query("filename", &file.file_name);
        let answer = judged(request.body(&file.content_type, file.bytes.clone()).send().await?, "upload files")?;
        let token = answer.json::<Value>()?["upload"]["token"].as_str().map(str::to_owned);
        token.ok_or(TicketError::Unexpected { what: "an upload without a token" })
    }

    async fn checked(&self, findings: &mut Vec<Finding>) -> Result<(), TicketError> {
        let me: Value = judged(self.http.get(&["users", "me"]).send().await?, "read its own user")?.json()?;
        findings.push(match me["user"]["role"].as_str() {
            Some("agent" | "admin") => Finding::good("the token, and its agent"),
            // Whoever is not known is answered as an anonymous customer.
            _ => Finding::bad("the token, and its agent", "the user is no agent, so it cannot write internal notes"),
        });
        for group in &self.mapped.teams {
            let what = format!("the group {group}");
            findings.push(match judged(self.http.get(&["groups", group]).send().await?, "read groups") {
                Ok(_) => Finding::good(what),
                Err(TicketError::Gone) => Finding::bad(what, "there is no such group"),
                Err(TicketError::Forbidden { .. }) => Finding::bad(what, "this user may not see it"),
                Err(error) => return Err(error),
            });
        }
        if let Some(requester) = self.config.requester_id {
            let what = "the requester of opened tickets";
            let request = self.http.get(&["users", &requester.to_string()]);
            findings.push(match judged(request.send().await?, "read users") {
                Ok(_) => Finding::good(what),
                Err(TicketError::Gone) => Finding::bad(what, "there is no such user; change `requester_id`"),
                Err(error) => return Err(error),
            });
        }
        Ok(())
    }
}

/// What has to change for the ticket to be as the entry says; null: nothing.
fn changes(ticket: &Ticket, entry: &TicketEntry) -> Value {
    let mut changes = serde_json::Map::new();
    if let Some(priority) = &entry.priority
        && ticket.priority.as_ref() != Some(priority)
    {
        changes.insert("priority".to_owned(), priority.as_str().into());
    }
    let group = entry.team.as_ref().and_then(|team| team.parse::<u64>().ok());
    if group.is_some() && ticket.group_id != group {
        changes.insert("group_id".to_owned(), group.into());
    }
    // Zendesk makes all letters small.
    let is_there = |tag: &String| ticket.tags.iter().any(|there| there.eq_ignore_ascii_case(tag));
    if !entry.tags.iter().all(is_there) {
        let tags: BTreeSet<&String> = ticket.tags.iter().chain(&entry.tags).collect();
        changes.insert("tags".to_owned(), json!(tags));
    }
    if let Some(at) = entry.reminder_at
        && !matches!(ticket.kind.as_deref(), Some("incident" | "problem"))
    {
        let due = ticket.due_at.as_deref().and_then(|due| due.parse::<jiff::Timestamp>().ok());
        if ticket.kind.as_deref() != Some("task") || due.map(jiff::Timestamp::as_second) != Some(at.as_second()) {
            changes.insert("type".to_owned(), "task".into());
            changes.insert("due_at".to_owned(), at.to_string().into());
        }
    }
    if ticket.status == "solved" {
        changes.insert("status".to_owned(), "open".into());
    }
    if changes.is_empty() {
        return Value::Null;
    }
    changes.insert("safe_update".to_owned(), true.into());
    changes.insert("updated_stamp".to_owned(), ticket.updated_at.as_str().into());
    changes.into()
}

fn found(ticket: &Ticket) -> Found {
    Found { ticket: TicketId::new(ticket.id.to_string()), closed: ticket.status == "closed" }
}

#[async_trait]
impl TicketConnector for Zendesk {
    async fn find(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        let mut tickets = Vec::new();
        if let Some(reference) = reference::number(entry.reference.as_deref()) {
            tickets.extend(self.referred(reference).await?);
        }
        let answer = self.http.get(&["tickets"]).query("external_id", entry.bare_key()).send().await?;
        let mut ours = judged(answer, "list tickets")?.json::<Several>()?.tickets;
        ours.sort_by_key(|ticket| std::cmp::Reverse(ticket.id));
        tickets.extend(ours.into_iter().take(FOUND_MAX));
        Ok(tickets.iter().map(found).collect())
    }

    async fn open(&self, entry: &TicketEntry, follows: Option<&TicketId>) -> Result<TicketId, TicketError> {
        let text = opening::text(entry, follows, self.language);
        let mut ticket = json!({
            "subject": entry.title, "external_id": entry.bare_key(),
            "comment": {"html_body": markup::html(&text), "public": false},
        });
        if let Some(requester) = self.config.requester_id {
            ticket["requester_id"] = requester.into();
        }
        let closed = follows.and_then(|ticket| ticket.as_str().parse::<u64>().ok());
        if let Some(closed) = closed {
            ticket["via_followup_source_id"] = closed.into();
        }
        // A key stands for one request: the same note may go on from another ticket later.
        let key = format!("{}-{}", entry.marker.bare(), closed.unwrap_or_default());
        let request = self.http.post(&["tickets"]).json(&json!({"ticket": ticket})).header(IDEMPOTENCY_KEY, &key);
        let opened = judged(request.send().await?, "open tickets")?.json::<One>()?.ticket;
        Ok(TicketId::new(opened.id.to_string()))
    }

    async fn has_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<bool, TicketError> {
        let mut after: Option<String> = None;
        for _ in 0..PAGE.1 {
            let request = self.http.get(&["tickets", ticket.as_str(), "comments"]);
            let mut request = request.query("sort", "-created_at").query("page[size]", PAGE.0);
            if let Some(cursor) = &after {
                request = request.query("page[after]", cursor);
            }
            let page: Comments = judged(request.send().await?, "read comments")?.json()?;
            let holds = |comment: &Comment| comment.body.as_ref().is_some_and(|b| b.contains(entry.marker.as_str()));
            if page.comments.iter().any(holds) {
                return Ok(true);
            }
            after = page.meta.after_cursor;
            if !page.meta.has_more || after.is_none() {
                break;
            }
        }
        Ok(false)
    }

    async fn add_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let text = fit(entry.text.expose(), &entry.marker, TEXT_BYTES_MAX, markup::html, str::len);
        let mut comment = json!({"html_body": text, "public": false});
        if let Some(file) = &entry.attachment {
            comment["uploads"] = json!([self.upload(file).await?]);
        }
        self.update(ticket, &json!({"comment": comment})).await
    }

    async fn set(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        for _ in 0..CHANGES_MAX {
            let changes = changes(&self.ticket(ticket).await?, entry);
            if changes.is_null() {
                return Ok(());
            }
            match self.update(ticket, &changes).await {
                Err(TicketError::Conflict) => {}
                result => return result.map_err(mapped::refused),
            }
        }
        Err(TicketError::Conflict)
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = self.checked(&mut findings).await {
            findings.push(Finding::bad("Zendesk", error.to_string()));
        }
        findings
    }
}

fn judged(answer: Answer, what: &str) -> Result<Answer, TicketError> {
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        let body: Value = answer.json().unwrap_or_default();
        let faults = body["details"]["status"].as_array().into_iter().flatten();
        let mut words = faults.filter_map(|fault| fault["description"].as_str());
        if words.any(|words| words.contains("closed prevents ticket update")) {
            return Err(TicketError::Closed);
        }
    }
    answer.judged(what)
}
