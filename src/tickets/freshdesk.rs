//! Freshdesk, by its API v2.
//!
//! Sources: Freshdesk's API documentation, "Tickets", "Conversations" (notes), "Rate Limit", "Errors". What follows
//! from it:
//! * Notes are private unless said otherwise; it is said all the same. Files come along in the same request, as a form;
//!   a ticket's files may not exceed 20 MB together.
//! * A ticket needs a requester. One stands for each conversation, made and found by `unique_external_id`: listing its
//!   tickets is not behind, as a search is. Lists leave out what is older than 30 days, unless asked.
//! * Closed tickets can be changed. Tags are replaced as a whole, so those that are there are sent along.
//! * Requests that are refused count towards the limit as well.

use std::collections::BTreeSet;

use async_trait::async_trait;
use reqwest::StatusCode;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    Config as Common, Finding, Found, Language, OpenError, TicketConnector, TicketEntry, TicketError, TicketId,
    account::{self, Account},
    http::{Answer, Http},
    limiter::{Accounts, Rate},
    mapped::{self, Mapped},
    markup,
    multipart::Form,
    opening, reference,
};
use crate::config::Secret;

/// Keys of `type = "freshdesk"`. Priorities are `low`, `medium`, `high` and `urgent`, teams the numbers of groups. A
/// reminder is the time at which the ticket is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For example `https://example.freshdesk.com`.
    pub url: Url,
    /// The API key of an agent.
    pub api_key: Secret,
    /// Whether closed tickets take notes and are opened again; else a new one is opened that names the old one.
    #[serde(default)]
    pub reopen: bool,
    /// By plan: Growth 200, Pro 400, Enterprise 700. Everybody who uses the account counts.
    #[serde(default = "default_requests_per_minute")]
    pub requests_per_minute: u32,
}

fn default_requests_per_minute() -> u32 {
    100
}

/// By number, from 1.
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];
const OPEN: u64 = 2;
const RESOLVED: u64 = 4;
const CLOSED: u64 = 5;
/// Notes that one answer holds, and answers that are read.
const PAGE: (usize, usize) = (100, 50);
/// Tickets of one conversation that are looked at.
const FOUND_MAX: &str = "5";
/// Before there was a Freshdesk.
const ALWAYS: &str = "2010-01-01T00:00:00Z";

pub struct Freshdesk {
    http: Http,
    config: Config,
    mapped: Mapped,
    language: Language,
}

impl std::fmt::Debug for Freshdesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Freshdesk").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Ticket {
    id: u64,
    status: u64,
    priority: u64,
    group_id: Option<u64>,
    #[serde(default)]
    tags: Vec<String>,
    due_by: Option<String>,
    fr_due_by: Option<String>,
}

#[derive(Deserialize)]
struct Note {
    body_text: Option<String>,
}

impl Freshdesk {
    /// # Errors
    /// [`OpenError`] if the settings cannot be used; nothing is asked yet.
    pub fn new(config: &Config, common: &Common, accounts: &Accounts) -> Result<Self, OpenError> {
        let mapped = Mapped::of(common);
        mapped.priorities_among(&PRIORITIES)?;
        mapped.teams_by_number()?;
        let rates = [Rate::new(config.requests_per_minute, 60)];
        let account = Account { system: "freshdesk", url: &config.url, user: "", rates: &rates, each: &[] };
        let http = account.http(&common.http, accounts, &["api", "v2"])?;
        // The password is not looked at; the documentation writes an X.
        let http = account::with_basic(http, config.api_key.read()?.expose_secret(), "X")?;
        Ok(Self { http, config: config.clone(), mapped, language: common.language })
    }

    async fn ticket(&self, ticket: &TicketId) -> Result<Ticket, TicketError> {
        judged(self.http.get(&["tickets", ticket.as_str()]).send().await?, "read tickets")?.json()
    }

    /// The ticket that a note refers to. One that this user may not see is none: the reference comes from outside.
    async fn referred(&self, reference: &str) -> Result<Option<Ticket>, TicketError> {
        match self.ticket(&TicketId::new(reference)).await {
            Ok(ticket) => Ok(Some(ticket)),
            Err(TicketError::Gone | TicketError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest first.
    async fn of_requester(&self, external_id: &str) -> Result<Vec<Ticket>, TicketError> {
        let request = self.http.get(&["tickets"]).query("unique_external_id", external_id);
        let request = request.query("updated_since", ALWAYS).query("per_page", FOUND_MAX);
        let answer = request.query("order_by", "created_at").query("order_type", "desc").send().await?;
        // A requester whom nobody has written for yet.
        if answer.status == StatusCode::BAD_REQUEST
            && faults(&answer).iter().any(|fault| fault.field == "unique_external_id")
        {
            return Ok(vec![]);
        }
        judged(answer, "list tickets")?.json()
    }

    fn found(&self, ticket: &Ticket) -> Found {
        let closed = ticket.status == CLOSED && !self.config.reopen;
        Found { ticket: TicketId::new(ticket.id.to_string()), closed }
    }

    /// What has to change for the ticket to be as the entry says; null: nothing.
    fn changes(&self, ticket: &Ticket, entry: &TicketEntry) -> Value {
        let mut changes = serde_json::Map::new();
        let priority = entry.priority.as_ref().and_then(|name| PRIORITIES.iter().position(|known| known == name));
        if let Some(number) = priority.map(|at| at as u64 + 1)
            && ticket.priority != number
        {
            changes.insert("priority".to_owned(), number.into());
        }
        let group = entry.team.as_ref().and_then(|team| team.parse::<u64>().ok());
        if group.is_some() && ticket.group_id != group {
            changes.insert("group_id".to_owned(), group.into());
        }
        if !entry.tags.iter().all(|tag| ticket.tags.contains(tag)) {
            let tags: BTreeSet<&String> = ticket.tags.iter().chain(&entry.tags).collect();
            changes.insert("tags".to_owned(), json!(tags));
        }
        if let Some(at) = entry.reminder_at {
            let second = |text: &Option<String>| {
                text.as_deref()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
            };
            if second(&ticket.due_by) != Some(at.as_second()) {
                // A first answer is never due after the whole ticket.
                let first = second(&ticket.fr_due_by).filter(|first| *first <= at.as_second());
                let first = first.and_then(|first| jiff::Timestamp::from_second(first).ok()).unwrap_or(at);
                changes.insert("due_by".to_owned(), whole_seconds(at).into());
                changes.insert("fr_due_by".to_owned(), whole_seconds(first).into());
            }
        }
        // What is resolved is opened again whenever its customer writes.
        if ticket.status == RESOLVED || self.config.reopen && ticket.status == CLOSED {
            changes.insert("status".to_owned(), OPEN.into());
        }
        if changes.is_empty() { Value::Null } else { changes.into() }
    }

    async fn checked(&self, findings: &mut Vec<Finding>) -> Result<(), TicketError> {
        judged(self.http.get(&["agents", "me"]).send().await?, "read its own agent")?;
        findings.push(Finding::good("the API key, and its agent"));
        for group in &self.mapped.teams {
            let what = format!("the group {group}");
            findings.push(match judged(self.http.get(&["groups", group]).send().await?, "read groups") {
                Ok(_) => Finding::good(what),
                Err(TicketError::Gone) => Finding::bad(what, "there is no such group"),
                Err(TicketError::Forbidden { .. }) => {
                    Finding::bad(what, "this agent may not see it; whether it exists shows with the first note")
                }
                Err(error) => return Err(error),
            });
        }
        let request = self.http.get(&["tickets"]).query("per_page", "1");
        judged(request.send().await?, "list tickets")?;
        findings.push(Finding::good("the right to see tickets"));
        Ok(())
    }
}

/// Freshdesk writes times without fractions.
fn whole_seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[async_trait]
impl TicketConnector for Freshdesk {
    async fn find(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        let mut tickets = Vec::new();
        if let Some(reference) = reference::number(entry.reference.as_deref()) {
            tickets.extend(self.referred(reference).await?);
        }
        tickets.extend(self.of_requester(entry.bare_key()).await?);
        Ok(tickets.iter().map(|ticket| self.found(ticket)).collect())
    }

    async fn open(&self, entry: &TicketEntry, follows: Option<&TicketId>) -> Result<TicketId, TicketError> {
        let ticket = json!({
            "subject": entry.title, "description": markup::html(&opening::text(entry, follows, self.language)),
            "unique_external_id": entry.bare_key(), "name": entry.title, "status": OPEN, "priority": 1, "source": 2,
        });
        let opened: Ticket =
            judged(self.http.post(&["tickets"]).json(&ticket).send().await?, "open tickets")?.json()?;
        Ok(TicketId::new(opened.id.to_string()))
    }

    async fn has_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<bool, TicketError> {
        for page in 1..=PAGE.1 {
            let request = self.http.get(&["tickets", ticket.as_str(), "conversations"]);
            let request = request.query("page", &page.to_string()).query("per_page", &PAGE.0.to_string());
            let notes: Vec<Note> = judged(request.send().await?, "read notes")?.json()?;
            if notes.iter().any(|n| n.body_text.as_ref().is_some_and(|text| text.contains(entry.marker.as_str()))) {
                return Ok(true);
            }
            if notes.len() < PAGE.0 {
                break;
            }
        }
        Ok(false)
    }

    async fn add_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let text = format!("<div>{}</div>", markup::html(entry.text.expose()));
        let request = self.http.post(&["tickets", ticket.as_str(), "notes"]);
        let request = match &entry.attachment {
            None => request.json(&json!({"body": text, "private": true})),
            Some(file) => {
                let form = Form::default().field("body", text).field("private", "true").file("attachments[]", file);
                let (content_type, body) = form.finish();
                request.body(&content_type, body)
            }
        };
        judged(request.send().await?, "write notes").map(drop)
    }

    async fn set(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let changes = self.changes(&self.ticket(ticket).await?, entry);
        if changes.is_null() {
            return Ok(());
        }
        let request = self.http.put(&["tickets", ticket.as_str()]).json(&changes);
        judged(request.send().await?, "change tickets").map(drop).map_err(mapped::refused)
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = self.checked(&mut findings).await {
            findings.push(Finding::bad("Freshdesk", error.to_string()));
        }
        findings
    }
}

/// What Freshdesk does not like about one field.
#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    field: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn faults(answer: &Answer) -> Vec<Fault> {
    #[derive(Deserialize)]
    struct Faults {
        errors: Vec<Fault>,
    }
    answer.json::<Faults>().map(|faults| faults.errors).unwrap_or_default()
}

fn judged(answer: Answer, what: &str) -> Result<Answer, TicketError> {
    if answer.status == StatusCode::BAD_REQUEST {
        for Fault { field, code, message } in faults(&answer) {
            if field.starts_with("attachments") && (code == "invalid_size" || message.contains("size")) {
                return Err(TicketError::TooLarge);
            }
        }
    }
    answer.judged(what)
}
