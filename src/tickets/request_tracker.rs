//! Owns Request Tracker 5 over its REST interface 2.0, with a token.
//!
//! * A note is a *comment*; RT shows comments to agents only, and sends none to requestors. Its subject holds the
//!   marker, by which one search over the ticket's own attachments finds it, whatever else the ticket holds.
//! * A follow-up is an RT reminder: a ticket of type `reminder` that refers to the ticket. `Due` stays what agents
//!   make of it.
//! * RT answers much with 200 and a sentence in the user's language: an update whose right is missing, a field that
//!   does not exist. What it did is therefore read back instead of believed.
//! * An update carries the ETag of what it is based on.

mod check;
mod config;
mod ticket;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, ETAG, IF_MATCH, LOCATION},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

pub use self::config::{Config, TeamIs};
use self::ticket::{Items, Ticket, text};
use super::{
    Finding, Found, OpenError, TicketConnector, TicketEntry, TicketError, TicketId,
    http::{Answer, Http},
    limiter::{Accounts, Limiter},
};

/// One account of one RT.
#[derive(Debug)]
pub struct RequestTracker {
    config: Config,
    http: Http,
    /// Ids of queues by name: updates take names, tickets show ids.
    queues: Mutex<HashMap<String, String>>,
    /// True once a ticket showed the value of `conversation_field`. Until then its subject is searched too: RT takes a
    /// field that may not be written in silence.
    field_works: AtomicBool,
    /// What the mapping makes of teams.
    teams: BTreeSet<String>,
    sight: Sight,
}

/// Whether comments can be read: without that right RT says that there are none, and each would be written again. It
/// shows at the first comment that is written, after which nothing more is.
#[derive(Debug, Default)]
struct Sight {
    sees: AtomicBool,
    is_blind: AtomicBool,
}

/// Newest tickets of a conversation that may hold a note.
const TICKETS_MAX: &str = "5";
/// How often an update is tried anew, because somebody else was faster.
const UPDATES_MAX: usize = 3;

impl RequestTracker {
    /// # Errors
    /// [`OpenError`] says which setting is wrong.
    pub fn open(own: &Config, shared: &super::Config, accounts: &Accounts) -> Result<Self, OpenError> {
        for name in own.conversation_field.iter().chain(&own.tags_field) {
            if name.is_empty() || name.contains(['{', '}', '\'', '"', '\\']) {
                return Err(OpenError::Setting("a custom field's name holds quotes or braces".to_owned()));
            }
        }
        let mut base = own.url.clone();
        base.path_segments_mut().map_err(|()| OpenError::Address)?.pop_if_empty().extend(["REST", "2.0"]);
        let limiter = accounts.limiter(&format!("{base} {}", own.token), || Limiter::new(&own.rates, &[]));
        let token = format!("token {}", own.token.read()?.expose_secret()).into();
        let http = Http::new(&shared.http, &base, limiter)?.with_credential(AUTHORIZATION, &token)?;
        Ok(Self {
            config: own.clone(),
            http,
            queues: Mutex::default(),
            field_works: AtomicBool::new(false),
            teams: shared.team_by_route.values().cloned().collect(),
            sight: Sight::default(),
        })
    }

    /// The ticket as it is now, with its ETag. Merged tickets answer as the one that they became.
    async fn read(&self, ticket: &TicketId) -> Result<(Ticket, String), TicketError> {
        let answer = self.http.get(&["ticket", ticket.as_str()]).send().await?.judged("see the ticket (ShowTicket)")?;
        let etag = answer.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        Ok((answer.json()?, etag))
    }

    fn found(&self, id: &Value, status: &str) -> Found {
        Found { ticket: TicketId::new(text(id)), closed: !self.config.reopen && self.is_closed(status) }
    }

    fn is_closed(&self, status: &str) -> bool {
        self.config.closed_statuses.iter().any(|closed| closed == status)
    }

    /// The ticket that the note names. What is no number names none, and neither does what is not there or is none of
    /// this account's business: the note comes from outside.
    async fn referred_to(&self, entry: &TicketEntry) -> Result<Option<Found>, TicketError> {
        let is_number =
            |text: &&String| !text.is_empty() && text.len() < 16 && text.bytes().all(|b| b.is_ascii_digit());
        let Some(number) = entry.reference.as_ref().filter(is_number) else { return Ok(None) };
        match self.read(&TicketId::new(number.as_str())).await {
            Ok((ticket, _)) => Ok(Some(self.found(&ticket.id, &ticket.status))),
            Err(TicketError::Gone | TicketError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The conversation's tickets, the newest first.
    async fn of_conversation(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        // Keys consist of letters, digits and `[:.-]`: nothing to escape.
        let key = entry.key();
        let in_subject = format!("Subject LIKE '{key}'");
        let query = match &self.config.conversation_field {
            Some(field) if self.field_works.load(Ordering::Relaxed) => format!("'CF.{{{field}}}' = '{key}'"),
            Some(field) => format!("'CF.{{{field}}}' = '{key}' OR {in_subject}"),
            None => in_subject,
        };
        let request = self.http.get(&["tickets"]).query("query", &query).query("fields", "Status");
        let request = request.query("orderby", "id").query("order", "DESC").query("per_page", TICKETS_MAX);
        let items: Items = request.send().await?.judged("search tickets (ShowTicket)")?.json()?;
        Ok(items.items.iter().map(|item| self.found(&item.id, &item.status)).collect())
    }

    /// The queue's id. RT says the same of a queue that is not there and of one that may not be seen.
    async fn queue_id(&self, name: &str) -> Result<String, TicketError> {
        let known = || self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known().get(name) {
            return Ok(id.clone());
        }
        let answer = self.http.get(&["queue", name]).send().await?;
        if matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            return Err(TicketError::Missing { what: format!("queue {name} that its user may see (SeeQueue)") });
        }
        let queue: Value = answer.judged("see the queue (SeeQueue)")?.json()?;
        let id = text(&queue["id"]);
        known().insert(name.to_owned(), id.clone());
        Ok(id)
    }

    /// Fields of the ticket that are not as they shall be.
    async fn changes(&self, ticket: &Ticket, entry: &TicketEntry) -> Result<Map<String, Value>, TicketError> {
        let mut changes = Map::new();
        if self.config.reopen && self.is_closed(&ticket.status) {
            changes.insert("Status".to_owned(), json!(self.config.open_status));
        }
        match (&entry.team, self.config.team_is) {
            (Some(queue), TeamIs::Queue) if self.queue_id(queue).await? != text(&ticket.queue.id) => {
                changes.insert("Queue".to_owned(), json!(queue));
            }
            (Some(owner), TeamIs::Owner) if !owner.eq_ignore_ascii_case(&text(&ticket.owner.id)) => {
                changes.insert("Owner".to_owned(), json!(owner));
            }
            _ => {}
        }
        if let Some(priority) = entry.priority.as_ref().filter(|wanted| **wanted != text(&ticket.priority)) {
            changes.insert("Priority".to_owned(), json!(priority));
        }
        if let Some(field) = &self.config.tags_field {
            let mut tags = ticket.values_of(field);
            let there = tags.len();
            tags.extend(entry.tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect::<Vec<_>>());
            if tags.len() > there {
                changes.insert("CustomFields".to_owned(), json!({ field: tags }));
            }
        }
        Ok(changes)
    }

    /// Brings the ticket to what it shall be, and makes sure that it is.
    async fn update(&self, id: &TicketId, entry: &TicketEntry) -> Result<Ticket, TicketError> {
        for _ in 0..UPDATES_MAX {
            let (ticket, etag) = self.read(id).await?;
            let changes = self.changes(&ticket, entry).await?;
            if changes.is_empty() {
                return Ok(ticket);
            }
            let request = self.http.put(&["ticket", id.as_str()]).header(IF_MATCH, &etag).json(&changes);
            match request.send().await?.judged("change the ticket (ModifyTicket)") {
                Ok(_) => {
                    let (ticket, _) = self.read(id).await?;
                    return match self.changes(&ticket, entry).await?.keys().next() {
                        None => Ok(ticket),
                        Some(field) => Err(TicketError::Forbidden { what: format!("set {field} as configured") }),
                    };
                }
                Err(TicketError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TicketError::Conflict)
    }

    /// Makes the reminder, unless it is there.
    async fn remind(
        &self,
        id: &TicketId,
        entry: &TicketEntry,
        at: Timestamp,
        ticket: &Ticket,
    ) -> Result<(), TicketError> {
        let query = format!("Type = 'reminder' AND RefersTo = {id} AND Subject LIKE '{}'", entry.marker.as_str());
        let request = self.http.get(&["tickets"]).query("query", &query).query("per_page", "1");
        let items: Items = request.send().await?.judged("search tickets (ShowTicket)")?.json()?;
        if !items.items.is_empty() {
            return Ok(());
        }
        let mut reminder = json!({
            "Type": "reminder",
            "Status": self.config.open_status,
            "Queue": text(&ticket.queue.id),
            "Subject": subject(&entry.title, entry.marker.as_str()),
            "RefersTo": id.as_str(),
            // RT takes times in UTC without saying so, and silently drops those that say so.
            "Due": at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        });
        let owner = text(&ticket.owner.id);
        if owner != "Nobody" {
            reminder["Owner"] = json!(owner);
        }
        self.http.post(&["ticket"]).json(&reminder).send().await?.judged("make reminders (CreateTicket)")?;
        Ok(())
    }

    /// What a comment's status 400 means: RT says it in the user's language, but links only to what the user may do.
    async fn why_refused(&self, ticket: &TicketId) -> TicketError {
        match self.read(ticket).await {
            Ok((ticket, _)) if ticket.may("comment") => {
                TicketError::Refused { status: 400, what: "the note".to_owned() }
            }
            Ok(_) => TicketError::Forbidden { what: "comment on the ticket (CommentOnTicket)".to_owned() },
            Err(error) => error,
        }
    }

    /// Once a process: was the comment that was just written to be seen?
    async fn look_back(&self, answer: &Answer) {
        if self.sight.sees.load(Ordering::Relaxed) {
            return;
        }
        let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        let Some((_, transaction)) = location.rsplit_once('/') else { return };
        // A failure says nothing either way; the next note asks again.
        if let Ok(answer) = self.http.get(&["transaction", transaction]).send().await {
            self.sight.sees.store(answer.status.is_success(), Ordering::Relaxed);
            self.sight.is_blind.store(answer.status == StatusCode::FORBIDDEN, Ordering::Relaxed);
        }
    }
}

/// The subject of what is made here, for people and for searches.
fn subject(title: &str, key: &str) -> String {
    format!("{title} {key}")
}

#[async_trait]
impl TicketConnector for RequestTracker {
    async fn find(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        let mut found: Vec<Found> = self.referred_to(entry).await?.into_iter().collect();
        for ticket in self.of_conversation(entry).await? {
            if !found.iter().any(|known| known.ticket == ticket.ticket) {
                found.push(ticket);
            }
        }
        Ok(found)
    }

    async fn open(&self, entry: &TicketEntry, follows: Option<&TicketId>) -> Result<TicketId, TicketError> {
        // RT says the same of a queue that is not there and of one that nothing may be created in.
        self.queue_id(&self.config.queue).await?;
        let mut ticket = json!({ "Queue": self.config.queue, "Subject": subject(&entry.title, entry.key()) });
        if let Some(old) = follows {
            ticket["RefersTo"] = json!(old.as_str());
        }
        if let Some(field) = &self.config.conversation_field {
            ticket["CustomFields"] = json!({ field: entry.key() });
        }
        let answer = self.http.post(&["ticket"]).json(&ticket).send().await?;
        let created: Value = answer.judged("open tickets in the queue (CreateTicket)")?.json()?;
        let id = TicketId::new(text(&created["id"]));
        if let Some(field) =
            self.config.conversation_field.as_ref().filter(|_| !self.field_works.load(Ordering::Relaxed))
        {
            if !self.read(&id).await?.0.values_of(field).iter().any(|value| value == entry.key()) {
                let what =
                    format!("fill the custom field {field} (SeeCustomField, ModifyCustomField), or there is none");
                return Err(TicketError::Forbidden { what });
            }
            self.field_works.store(true, Ordering::Relaxed);
        }
        Ok(id)
    }

    async fn has_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<bool, TicketError> {
        let wanted = json!([{ "field": "Subject", "operator": "LIKE", "value": entry.marker.as_str() }]);
        let request = self.http.post(&["ticket", ticket.as_str(), "attachments"]).query("per_page", "1").json(&wanted);
        let items: Items = request.send().await?.judged("see comments (ShowTicketComments)")?.json()?;
        if !items.items.is_empty() {
            return Ok(true);
        }
        if self.sight.is_blind.load(Ordering::Relaxed) {
            return Err(TicketError::Forbidden { what: "see comments (ShowTicketComments)".to_owned() });
        }
        Ok(false)
    }

    async fn add_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let mut comment = json!({
            "Subject": subject(&entry.title, entry.marker.as_str()),
            "Content": entry.text.expose(),
            "ContentType": "text/plain",
        });
        if let Some(attachment) = &entry.attachment {
            comment["Attachments"] = json!([{
                "FileName": attachment.file_name,
                "FileType": attachment.content_type,
                "FileContent": BASE64.encode(&attachment.bytes),
            }]);
        }
        let answer = self.http.post(&["ticket", ticket.as_str(), "comment"]).json(&comment).send().await?;
        if answer.status == StatusCode::BAD_REQUEST {
            return Err(self.why_refused(ticket).await);
        }
        let answer = answer.judged("comment on the ticket (CommentOnTicket)")?;
        self.look_back(&answer).await;
        Ok(())
    }

    async fn set(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let as_it_is = self.update(ticket, entry).await?;
        match entry.reminder_at {
            Some(at) => self.remind(ticket, entry, at, &as_it_is).await,
            None => Ok(()),
        }
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(self).await
    }
}
