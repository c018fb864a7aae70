//! Zammad, by its REST interface.
//!
//! Sources: Zammad's documentation, "API", chapters "Introduction", "Tickets", "Articles", "Tags" and "User".
//! What follows from it:
//! * Notes are articles of type `note`: `internal` hides an article from customers and stops nothing from being sent,
//!   so an internal article of type `email` is an e-mail all the same.
//! * A search by conditions reads the database, not the search index, so a ticket is found from the moment on that it
//!   exists.
//! * Agents may change closed tickets, so a closed one takes a note and is opened again, if that is wanted. A merged
//!   one is another ticket by now.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{StatusCode, header::AUTHORIZATION};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    Config as Common, Finding, Found, Language, OpenError, TicketConnector, TicketEntry, TicketError, TicketId,
    account::{self, Account},
    fit::fit,
    http::{Answer, Http},
    limiter::{Accounts, Rate},
    mapped::{self, Mapped},
    opening, reference,
};
use crate::config::Secret;

/// Keys of `type = "zammad"`. Priorities, teams and tags are Zammad's priorities, groups and tags, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For example `https://support.example.com`.
    pub url: Url,
    /// The access token of an agent, with the permission `ticket.agent`.
    pub token: Secret,
    /// The group in which tickets are opened; a team that is mapped gets them right after.
    pub group: String,
    /// Login or e-mail address of the user whom tickets are opened for. Zammad wants one, and who called is not known:
    /// a user of its own, without an address that is read.
    pub customer: String,
    /// What a note's ticket reference is.
    #[serde(default)]
    pub reference: Reference,
    /// Names of the states of closed tickets.
    #[serde(default = "default_closed_states")]
    pub closed_states: Vec<String>,
    /// Whether closed tickets take notes and are opened again; else a new one is opened that names the old one.
    #[serde(default)]
    pub reopen: bool,
    /// Zammad itself sets no limit.
    #[serde(default = "default_requests_per_minute")]
    pub requests_per_minute: u32,
}

/// What a note's ticket reference is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The number that agents see.
    Number,
    /// The id that addresses and webhooks have.
    #[default]
    Id,
}

fn default_closed_states() -> Vec<String> {
    vec!["closed".to_owned()]
}

fn default_requests_per_minute() -> u32 {
    300
}

/// States of tickets that are not there any more, whatever is configured.
const GONE_STATES: [&str; 2] = ["merged", "removed"];
/// Waits for `pending_time`.
const REMINDER_STATE: &str = "pending reminder";
const OPEN_STATE: &str = "open";
/// Characters of an article's text; more is refused with 422.
const TEXT_CHARS_MAX: usize = 1_500_000;
/// Tickets of one conversation that are looked at.
const FOUND_MAX: u32 = 5;

pub struct Zammad {
    http: Http,
    config: Config,
    mapped: Mapped,
    language: Language,
}

impl std::fmt::Debug for Zammad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zammad").finish_non_exhaustive()
    }
}

/// What is read of a ticket, with `expand=true`: names instead of ids.
#[derive(Deserialize)]
struct Ticket {
    id: u64,
    number: String,
    state: String,
    priority: Option<String>,
    group: Option<String>,
    pending_time: Option<String>,
}

#[derive(Deserialize)]
struct Article {
    message_id: Option<String>,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Zammad {
    /// # Errors
    /// [`OpenError`] if the settings cannot be used; nothing is asked yet.
    pub fn new(config: &Config, common: &Common, accounts: &Accounts) -> Result<Self, OpenError> {
        let rates = [Rate::new(config.requests_per_minute, 60)];
        let account = Account { system: "zammad", url: &config.url, user: "", rates: &rates, each: &[] };
        let http = account.http(&common.http, accounts, &["api", "v1"])?;
        let http =
            account::with_token(http, AUTHORIZATION, &config.token.read()?, |token| format!("Token token={token}"))?;
        Ok(Self { http, config: config.clone(), mapped: Mapped::of(common), language: common.language })
    }

    /// The ticket that a note refers to. One that this user may not see is none: the reference comes from outside.
    async fn referred(&self, reference: &str) -> Result<Option<Ticket>, TicketError> {
        match self.config.reference {
            Reference::Number => {
                let found = self.search("ticket.number", "is", reference).await?;
                Ok(found.into_iter().find(|ticket| ticket.number == reference))
            }
            Reference::Id => {
                let answer = self.http.get(&["tickets", reference]).query("expand", "true").send().await?;
                match answer.status {
                    StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
                    _ => judged(answer, "read tickets")?.json().map(Some),
                }
            }
        }
    }

    /// The newest first.
    async fn search(&self, attribute: &str, operator: &str, value: &str) -> Result<Vec<Ticket>, TicketError> {
        let query = json!({
            "condition": {attribute: {"operator": operator, "value": value}},
            "expand": true, "limit": FOUND_MAX, "sort_by": "created_at", "order_by": "desc",
        });
        judged(self.http.post(&["tickets", "search"]).json(&query).send().await?, "search tickets")?.json()
    }

    async fn ticket(&self, ticket: &TicketId) -> Result<Ticket, TicketError> {
        let request = self.http.get(&["tickets", ticket.as_str()]).query("expand", "true");
        judged(request.send().await?, "read tickets")?.json()
    }

    fn is_closed(&self, ticket: &Ticket) -> bool {
        self.config.closed_states.contains(&ticket.state)
    }

    /// None for a ticket that is not there any more.
    fn found(&self, ticket: &Ticket) -> Option<Found> {
        let gone = GONE_STATES.contains(&ticket.state.as_str());
        let closed = self.is_closed(ticket) && !self.config.reopen;
        (!gone).then(|| Found { ticket: TicketId::new(ticket.id.to_string()), closed })
    }

    /// What has to change for the ticket to be as the entry says.
    fn changes(&self, ticket: &Ticket, entry: &TicketEntry) -> serde_json::Map<String, Value> {
        let mut changes = serde_json::Map::new();
        let mut want = |key: &str, wanted: Option<&str>, present: Option<&str>| {
            if let Some(wanted) = wanted.filter(|wanted| present != Some(*wanted)) {
                changes.insert(key.to_owned(), wanted.into());
            }
        };
        want("priority", entry.priority.as_deref(), ticket.priority.as_deref());
        want("group", entry.team.as_deref(), ticket.group.as_deref());
        if let Some(at) = entry.reminder_at {
            let present = ticket.pending_time.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let is_set =
                ticket.state == REMINDER_STATE && present.map(jiff::Timestamp::as_second) == Some(at.as_second());
            if !is_set {
                // One without the other is refused.
                want("state", Some(REMINDER_STATE), None);
                want("pending_time", Some(&at.to_string()), None);
            }
        } else if self.config.reopen && self.is_closed(ticket) {
            want("state", Some(OPEN_STATE), None);
        }
        changes
    }

    async fn names(&self, path: &str) -> Result<Vec<String>, TicketError> {
        let named: Vec<Named> = judged(self.http.get(&[path]).send().await?, "read settings")?.json()?;
        Ok(named.into_iter().map(|named| named.name).collect())
    }

    async fn checked(&self, findings: &mut Vec<Finding>) -> Result<(), TicketError> {
        let request = self.http.get(&["users", "me"]).query("expand", "true");
        let me: Value = judged(request.send().await?, "read its own user")?.json()?;
        findings.push(Finding::good("the token"));
        let holds = |rights: &Value, right: &str| {
            rights.as_array().is_some_and(|rights| rights.iter().any(|r| r == "full" || r == right))
        };
        for group in std::iter::once(&self.config.group).chain(&self.mapped.teams) {
            let rights = &me["groups"][group];
            let missing: Vec<&str> =
                ["read", "create", "change"].into_iter().filter(|right| !holds(rights, right)).collect();
            let what = format!("the group {group}");
            findings.push(if missing.is_empty() {
                Finding::good(what)
            } else {
                Finding::bad(what, format!("the token's user lacks there: {}", missing.join(", ")))
            });
        }
        findings.extend(mapped::findings("priority", &self.mapped.priorities, &self.names("ticket_priorities").await?));
        let states = self.names("ticket_states").await?;
        let needed = [OPEN_STATE.to_owned(), REMINDER_STATE.to_owned()];
        findings.extend(mapped::findings("state", needed.iter().chain(&self.config.closed_states), &states));

        let request = self.http.get(&["users", "search"]).query("query", &self.config.customer);
        let users: Vec<Value> = judged(request.send().await?, "search users")?.json()?;
        let customer = &self.config.customer;
        let is_there = users.iter().any(|user| user["login"] == **customer || user["email"] == **customer);
        findings.push(if is_there {
            Finding::good("the customer of opened tickets")
        } else {
            Finding::bad("the customer of opened tickets", "there is no such user; create it, or change `customer`")
        });
        Ok(())
    }
}

#[async_trait]
impl TicketConnector for Zammad {
    async fn find(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        let mut tickets = Vec::new();
        if let Some(reference) = reference::number(entry.reference.as_deref()) {
            tickets.extend(self.referred(reference).await?);
        }
        tickets.extend(self.search("ticket.title", "contains", entry.key()).await?);
        Ok(tickets.iter().filter_map(|ticket| self.found(ticket)).collect())
    }

    async fn open(&self, entry: &TicketEntry, follows: Option<&TicketId>) -> Result<TicketId, TicketError> {
        let article = json!({
            "type": "note", "internal": true, "content_type": "text/plain", "subject": entry.title,
            "body": opening::text(entry, follows, self.language),
        });
        let ticket = json!({
            "title": format!("{} {}", entry.title, entry.key()),
            "group": self.config.group,
            "customer": self.config.customer,
            "article": article,
        });
        let answer = judged(self.http.post(&["tickets"]).json(&ticket).send().await?, "open tickets")?;
        let id = answer.json::<Value>()?["id"].as_u64();
        id.map(|id| TicketId::new(id.to_string())).ok_or(TicketError::Unexpected { what: "a ticket without an id" })
    }

    async fn has_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<bool, TicketError> {
        let request = self.http.get(&["ticket_articles", "by_ticket", ticket.as_str()]);
        let articles: Vec<Article> = judged(request.send().await?, "read articles")?.json()?;
        let holds = |article: &Article| {
            article.message_id.as_deref() == Some(entry.marker.bare())
                || article.body.as_deref().is_some_and(|body| body.contains(entry.marker.as_str()))
        };
        Ok(articles.iter().any(holds))
    }

    async fn add_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let attachments: Vec<Value> = entry
            .attachment
            .iter()
            .map(|file| {
                let data = STANDARD.encode(&file.bytes);
                json!({"filename": file.file_name, "data": data, "mime-type": file.content_type})
            })
            .collect();
        let text = fit(entry.text.expose(), &entry.marker, TEXT_CHARS_MAX, str::to_owned, |t| t.chars().count());
        let article = json!({
            "ticket_id": ticket.as_str().parse::<u64>().map_err(|_| TicketError::Gone)?,
            "type": "note", "internal": true, "content_type": "text/plain", "subject": entry.title, "body": text,
            "message_id": entry.marker.bare(), "attachments": attachments,
        });
        judged(self.http.post(&["ticket_articles"]).json(&article).send().await?, "write notes").map(drop)
    }

    async fn set(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let changes = self.changes(&self.ticket(ticket).await?, entry);
        if !changes.is_empty() {
            let request = self.http.put(&["tickets", ticket.as_str()]).json(&changes);
            judged(request.send().await?, "change tickets").map_err(mapped::refused)?;
        }
        if entry.tags.is_empty() {
            return Ok(());
        }
        let request = self.http.get(&["tags"]).query("object", "Ticket").query("o_id", ticket.as_str());
        let present: Value = judged(request.send().await?, "read tags")?.json()?;
        for tag in &entry.tags {
            let is_set = present["tags"].as_array().is_some_and(|tags| tags.iter().any(|t| t == tag.as_str()));
            if !is_set {
                let tag = json!({"item": tag, "object": "Ticket", "o_id": ticket.as_str()});
                let answer = self.http.post(&["tags", "add"]).json(&tag).send().await?;
                judged(answer, "add tags").map_err(mapped::refused)?;
            }
        }
        Ok(())
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = self.checked(&mut findings).await {
            findings.push(Finding::bad("Zammad", error.to_string()));
        }
        findings
    }
}

/// Zammad says with 422 what it does not like, in words.
fn judged(answer: Answer, what: &str) -> Result<Answer, TicketError> {
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        let body: Value = answer.json().unwrap_or_default();
        let says = |words: &str| body["error"].as_str().is_some_and(|error| error.contains(words));
        if says("follow-up on a closed ticket") {
            return Err(TicketError::Closed);
        }
        if says("No lookup value found for") {
            let what = ["group", "customer", "priority", "state"].into_iter().find(|name| says(&format!("'{name}'")));
            return Err(TicketError::Missing { what: format!("{} of the configured name", what.unwrap_or("object")) });
        }
        if says("is to large") {
            return Err(TicketError::TooLarge);
        }
    }
    answer.judged(what)
}
