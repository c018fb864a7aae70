//! Chatwoot, by its application interface: its conversations are the tickets.
//!
//! Sources: Chatwoot's API reference ("Messages", "Conversations", "Contacts", "Conversation Assignments", "Labels")
//! and its source code (`Message`, `Liquidable`, `Attachment`, `MessageFinder`, `Rack::Attack`) for what it leaves out.
//! What follows from it:
//! * A private note is an outgoing message with `private: true`. Its text is shown as Markdown, and before that read as
//!   a Liquid template, which would fill `{{contact.email}}` in.
//! * Labels are replaced as a whole, so those that are there are sent along; one that does not exist is left out in
//!   silence.
//! * Resolved conversations take notes, and are opened again if that is wanted.
//! * A missing right and a wrong token are both answered with 401; the body tells them apart.
//! * A conversation needs a contact. One stands for each conversation, found by its `identifier`, which is unique.

use async_trait::async_trait;
use reqwest::{StatusCode, header::HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    Config as Common, Finding, Found, OpenError, TicketConnector, TicketEntry, TicketError, TicketId,
    account::{self, Account},
    fit::fit,
    http::{Answer, Http, Request},
    limiter::{Accounts, Rate},
    mapped::{self, Mapped},
    markup,
    multipart::Form,
    reference,
};
use crate::config::Secret;

/// Keys of `type = "chatwoot"`. A note's ticket reference is the number of a conversation. Priorities are `low`,
/// `medium`, `high` and `urgent`, teams the numbers of teams, tags labels that exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For example `https://chat.example.com`.
    pub url: Url,
    /// The number of the account.
    pub account_id: u64,
    /// The access token of a user. An administrator's: a conversation that an agent opens again is assigned to that
    /// agent.
    pub token: Secret,
    /// The number of the inbox in which conversations are opened that are not there yet: one of the type API, because
    /// nothing may be sent to the customer from it.
    pub inbox_id: u64,
    /// Whether resolved conversations take notes and are opened again; else a new one is opened that names the old one.
    #[serde(default)]
    pub reopen: bool,
    /// Chatwoot takes 3000 from one address.
    #[serde(default = "default_requests_per_minute")]
    pub requests_per_minute: u32,
}

fn default_requests_per_minute() -> u32 {
    600
}

const TOKEN_HEADER: HeaderName = HeaderName::from_static("api_access_token");
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];
/// Characters of a message; more is refused with 422.
const TEXT_CHARS_MAX: usize = 150_000;
/// Searches for contacts have a limit of their own.
const CONTACT_SEARCHES: Rate = Rate::new(100, 60);
/// Messages that one answer holds.
const PAGE: usize = 20;
/// Answers that are read to find a note: 2000 messages.
const PAGES_MAX: usize = 100;
/// Tickets of one conversation that are looked at.
const FOUND_MAX: usize = 5;
const RESOLVED: &str = "resolved";

pub struct Chatwoot {
    http: Http,
    config: Config,
    mapped: Mapped,
}

impl std::fmt::Debug for Chatwoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chatwoot").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Conversation {
    id: u64,
    inbox_id: u64,
    status: String,
    priority: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    /// Seconds since 1970.
    snoozed_until: Option<i64>,
    #[serde(default)]
    meta: Value,
}

#[derive(Deserialize)]
struct Payload<T> {
    payload: T,
}

#[derive(Deserialize)]
struct Message {
    id: u64,
    content: Option<String>,
}

impl Chatwoot {
    /// # Errors
    /// [`OpenError`] if the settings cannot be used; nothing is asked yet.
    pub fn new(config: &Config, common: &Common, accounts: &Accounts) -> Result<Self, OpenError> {
        let mapped = Mapped::of(common);
        mapped.priorities_among(&PRIORITIES)?;
        mapped.teams_by_number()?;
        let (rates, each) = ([Rate::new(config.requests_per_minute, 60)], [CONTACT_SEARCHES]);
        let account = Account { system: "chatwoot", url: &config.url, user: "", rates: &rates, each: &each };
        let http = account.http(&common.http, accounts, &["api", "v1"])?;
        let http = account::with_token(http, TOKEN_HEADER, &config.token.read()?, str::to_owned)?;
        Ok(Self { http, config: config.clone(), mapped })
    }

    fn get(&self, path: &[&str]) -> Request<'_> {
        self.http.get(&self.in_account(path).iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn post(&self, path: &[&str]) -> Request<'_> {
        self.http.post(&self.in_account(path).iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn in_account(&self, path: &[&str]) -> Vec<String> {
        let account = ["accounts".to_owned(), self.config.account_id.to_string()];
        account.into_iter().chain(path.iter().map(|part| (*part).to_owned())).collect()
    }

    fn found(&self, conversation: &Conversation) -> Found {
        let closed = conversation.status == RESOLVED && !self.config.reopen;
        Found { ticket: TicketId::new(conversation.id.to_string()), closed }
    }

    async fn conversation(&self, ticket: &TicketId) -> Result<Conversation, TicketError> {
        judged(self.get(&["conversations", ticket.as_str()]).send().await?, "read conversations")?.json()
    }

    /// The conversation that a note refers to. One that this user may not see is none: the reference comes from outside.
    async fn referred(&self, reference: &str) -> Result<Option<Conversation>, TicketError> {
        match self.conversation(&TicketId::new(reference)).await {
            Ok(conversation) => Ok(Some(conversation)),
            Err(TicketError::Gone | TicketError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The contact that stands for the entry's conversation.
    async fn contact(&self, entry: &TicketEntry) -> Result<Option<u64>, TicketError> {
        let identifier = entry.bare_key();
        let request = self.get(&["contacts", "search"]).query("q", identifier).concerning("contacts/search");
        let found: Payload<Vec<Value>> = judged(request.send().await?, "search contacts")?.json()?;
        let ours = found.payload.iter().find(|contact| contact["identifier"] == identifier);
        Ok(ours.and_then(|contact| contact["id"].as_u64()))
    }

    async fn make_contact(&self, entry: &TicketEntry) -> Result<u64, TicketError> {
        let contact = json!({"inbox_id": self.config.inbox_id, "name": entry.title, "identifier": entry.bare_key()});
        let answer = judged(self.post(&["contacts"]).json(&contact).send().await?, "create contacts")?;
        let id = answer.json::<Value>()?["payload"]["contact"]["id"].as_u64();
        id.ok_or(TicketError::Unexpected { what: "a contact without an id" })
    }

    async fn change(&self, ticket: &TicketId, what: &str, change: Value) -> Result<(), TicketError> {
        let request = self.post(&["conversations", ticket.as_str(), what]).json(&change);
        judged(request.send().await?, "change conversations").map(drop).map_err(mapped::refused)
    }

    async fn checked(&self, findings: &mut Vec<Finding>) -> Result<(), TicketError> {
        judged(self.http.get(&["profile"]).send().await?, "read its own profile")?;
        findings.push(Finding::good("the token"));

        let inbox = self.config.inbox_id.to_string();
        let what = format!("the inbox {inbox}");
        findings.push(match judged(self.get(&["inboxes", &inbox]).send().await?, "read inboxes") {
            Ok(answer) if answer.json::<Value>()?["channel_type"] == "Channel::Api" => Finding::good(what),
            Ok(_) => {
                Finding::bad(what, "it is not of the type API: conversations cannot be opened there without a number")
            }
            Err(TicketError::Gone | TicketError::Forbidden { .. }) => {
                Finding::bad(what, "there is no such inbox in the account, or this user is no member of it")
            }
            Err(error) => return Err(error),
        });
        if !self.mapped.teams.is_empty() {
            let teams: Vec<Value> = judged(self.get(&["teams"]).send().await?, "read teams")?.json()?;
            let numbers: Vec<String> = teams.iter().map(|team| team["id"].to_string()).collect();
            findings.extend(mapped::findings("team", &self.mapped.teams, &numbers));
        }
        if !self.mapped.tags.is_empty() {
            let labels: Payload<Vec<Value>> = judged(self.get(&["labels"]).send().await?, "read labels")?.json()?;
            let titles = labels.payload.iter().filter_map(|label| label["title"].as_str().map(str::to_owned));
            findings.extend(mapped::findings("label", &self.mapped.tags, &titles.collect::<Vec<_>>()));
        }
        Ok(())
    }
}

#[async_trait]
impl TicketConnector for Chatwoot {
    async fn find(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        let mut conversations = Vec::new();
        if let Some(reference) = reference::number(entry.reference.as_deref()) {
            conversations.extend(self.referred(reference).await?);
        }
        if let Some(contact) = self.contact(entry).await? {
            let request = self.get(&["contacts", &contact.to_string(), "conversations"]);
            let found: Payload<Vec<Conversation>> = judged(request.send().await?, "read conversations")?.json()?;
            let mut ours: Vec<_> =
                found.payload.into_iter().filter(|found| found.inbox_id == self.config.inbox_id).collect();
            ours.sort_by_key(|conversation| std::cmp::Reverse(conversation.id));
            conversations.extend(ours.into_iter().take(FOUND_MAX));
        }
        Ok(conversations.iter().map(|conversation| self.found(conversation)).collect())
    }

    async fn open(&self, entry: &TicketEntry, follows: Option<&TicketId>) -> Result<TicketId, TicketError> {
        let contact = match self.contact(entry).await? {
            Some(contact) => contact,
            None => self.make_contact(entry).await?,
        };
        let mut attributes = serde_json::Map::new();
        if let Some(ticket) = follows {
            attributes.insert("follows_conversation".to_owned(), ticket.as_str().into());
        }
        let conversation = json!({
            "inbox_id": self.config.inbox_id, "contact_id": contact, "status": "open", "custom_attributes": attributes,
        });
        let answer = judged(self.post(&["conversations"]).json(&conversation).send().await?, "open conversations")?;
        let id = answer.json::<Value>()?["id"].as_u64();
        id.map(|id| TicketId::new(id.to_string()))
            .ok_or(TicketError::Unexpected { what: "a conversation without an id" })
    }

    async fn has_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<bool, TicketError> {
        let marker = markup::markdown(entry.marker.as_str());
        let mut before: Option<u64> = None;
        for _ in 0..PAGES_MAX {
            let mut request = self.get(&["conversations", ticket.as_str(), "messages"]);
            if let Some(before) = before {
                request = request.query("before", &before.to_string());
            }
            let page: Payload<Vec<Message>> = judged(request.send().await?, "read messages")?.json()?;
            if page.payload.iter().any(|m| m.content.as_deref().is_some_and(|content| content.contains(&marker))) {
                return Ok(true);
            }
            before = page.payload.iter().map(|message| message.id).min();
            if page.payload.len() < PAGE {
                break;
            }
        }
        Ok(false)
    }

    async fn add_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let text = fit(entry.text.expose(), &entry.marker, TEXT_CHARS_MAX, markup::markdown, |t| t.chars().count());
        let request = self.post(&["conversations", ticket.as_str(), "messages"]);
        let request = match &entry.attachment {
            None => request.json(&json!({"content": text, "message_type": "outgoing", "private": true})),
            Some(file) => {
                let form = Form::default().field("content", text).field("message_type", "outgoing");
                let (content_type, body) = form.field("private", "true").file("attachments[]", file).finish();
                request.body(&content_type, body)
            }
        };
        judged(request.send().await?, "write notes").map(drop)
    }

    async fn set(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let present = self.conversation(ticket).await?;
        if let Some(priority) = &entry.priority
            && present.priority.as_ref() != Some(priority)
        {
            self.change(ticket, "toggle_priority", json!({"priority": priority})).await?;
        }
        let team = entry.team.as_ref().and_then(|team| team.parse::<u64>().ok());
        if team.is_some() && present.meta["team"]["id"].as_u64() != team {
            match self.change(ticket, "assignments", json!({"team_id": team})).await {
                // The conversation was there a moment ago.
                Err(TicketError::Gone) => {
                    Err(TicketError::Missing { what: "team of the configured number".to_owned() })
                }
                result => result,
            }?;
        }
        let missing: Vec<&String> = entry.tags.iter().filter(|tag| !present.labels.contains(tag)).collect();
        if !missing.is_empty() {
            let labels: Vec<&String> = present.labels.iter().chain(missing).collect();
            self.change(ticket, "labels", json!({"labels": labels})).await?;
        }
        if let Some(at) = entry.reminder_at {
            let until = at.as_second();
            if present.status != "snoozed" || present.snoozed_until != Some(until) {
                self.change(ticket, "toggle_status", json!({"status": "snoozed", "snoozed_until": until})).await?;
            }
        } else if self.config.reopen && present.status == RESOLVED {
            self.change(ticket, "toggle_status", json!({"status": "open"})).await?;
        }
        Ok(())
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = self.checked(&mut findings).await {
            findings.push(Finding::bad("Chatwoot", error.to_string()));
        }
        findings
    }
}

fn judged(answer: Answer, what: &str) -> Result<Answer, TicketError> {
    let body = || answer.json::<Value>().unwrap_or_default();
    if answer.status == StatusCode::UNAUTHORIZED {
        let says = body()["error"].as_str().unwrap_or_default().to_owned();
        if !says.is_empty() && says != "Invalid Access Token" {
            return Err(TicketError::Forbidden { what: what.to_owned() });
        }
    }
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        let body = body();
        let says = body["error"].as_str().or(body["message"].as_str()).unwrap_or_default();
        if says.contains("too big") || says.contains("too long") {
            return Err(TicketError::TooLarge);
        }
    }
    answer.judged(what)
}
