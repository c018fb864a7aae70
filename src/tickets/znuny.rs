//! Owns Znuny 6.5 (and OTRS 6, from which it comes) over its generic interface: the REST web service that it is shipped
//! with as an example, `GenericTicketConnectorREST`.
//!
//! * A note is an article of the channel Internal that customers cannot see. Its subject holds the marker, which is
//!   looked for in the ticket's own articles: Znuny's search works on an index that may lag behind.
//! * A conversation's ticket has its key in its title, and in a dynamic field where one is configured. Either holds from
//!   the moment on that the ticket exists. What a search finds is believed only once the ticket itself shows the key:
//!   asked for a dynamic field that does not exist, Znuny finds every ticket there is.
//! * Nothing is sent to anybody when a ticket is opened. Agents are not notified, and of the automatic responses, which
//!   an article cannot do without, it has the type that queues hardly ever answer with: `auto remove`. A note is
//!   internal, so that it notifies agents who asked for it, and nobody else.
//! * A follow-up makes the ticket pending until it is due, which is how it comes up again.
//! * A merged ticket is followed to the one that took its articles, where TicketHistoryGet is enabled. Else it counts as
//!   closed.
//! * A right that is missing and a ticket that is not there look the same; which it is shows when the ticket is read.

mod answer;
mod check;
mod config;
mod find;
mod service;
mod ticket;

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use self::config::{Config, TagsFieldIs};
use self::{
    answer::{Part, Refusal},
    service::{Service, read},
    ticket::{Created, Ticket},
};
use super::{
    Finding, Found, Language, OpenError, TicketConnector, TicketEntry, TicketError, TicketId,
    account::Account,
    limiter::Accounts,
    mapped::{Mapped, refused},
    opening,
};

/// One account of one Znuny.
#[derive(Debug)]
pub struct Znuny {
    config: Config,
    service: Service,
    language: Language,
    reminders: bool,
    mapped: Mapped,
    /// True once a ticket showed the value of `conversation_field`. Until then titles are searched too.
    field_works: AtomicBool,
}

/// Znuny takes reminders by the minute.
const REMINDER_TOLERANCE_S: i64 = 90;

impl Znuny {
    /// # Errors
    /// [`OpenError`] says which setting is wrong.
    pub fn open(own: &Config, shared: &super::Config, accounts: &Accounts) -> Result<Self, OpenError> {
        for name in own.conversation_field.iter().chain(&own.tags_field) {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                let what = format!("{name:?} is no dynamic field: their names are letters and digits");
                return Err(OpenError::Setting(what));
            }
        }
        let account = Account { system: "znuny", url: &own.url, user: &own.user, rates: &own.rates, each: &[] };
        let http = account.http(
            &shared.http,
            accounts,
            &["nph-genericinterface.pl", "Webservice", own.web_service.as_str()],
        )?;
        Ok(Self {
            config: own.clone(),
            service: Service::new(http, own.user.clone(), own.password.read()?),
            language: shared.language,
            reminders: shared.reminds(),
            mapped: Mapped::of(shared),
            field_works: AtomicBool::new(false),
        })
    }

    /// What the ticket is not yet and shall be.
    fn changes(&self, ticket: &Ticket, entry: &TicketEntry, now: Timestamp) -> Map<String, Value> {
        let mut own = Map::new();
        if self.config.reopen && ticket.state_type == "closed" {
            own.insert("State".to_owned(), json!(self.config.open_state));
        }
        if let Some(queue) = entry.team.as_ref().filter(|wanted| **wanted != ticket.queue) {
            own.insert("Queue".to_owned(), json!(queue));
        }
        if let Some(priority) = entry.priority.as_ref().filter(|wanted| **wanted != ticket.priority) {
            own.insert("Priority".to_owned(), json!(priority));
        }
        if let Some(at) = entry.reminder_at.filter(|at| !self.reminds(ticket, *at, now)) {
            own.insert("State".to_owned(), json!(self.config.reminder_state));
            // Minutes from now on: times of day would be in a time zone that only Znuny knows.
            let minutes = (at.as_second() - now.as_second() + 59) / 60;
            own.insert("PendingTime".to_owned(), json!({ "Diff": minutes.max(1).to_string() }));
        }
        let mut changes = Map::new();
        if !own.is_empty() {
            changes.insert("Ticket".to_owned(), own.into());
        }
        if let Some(field) = self.tags(ticket, entry) {
            changes.insert("DynamicField".to_owned(), json!([field]));
        }
        changes
    }

    /// Whether it comes up when it shall. What was due in the past came up.
    fn reminds(&self, ticket: &Ticket, at: Timestamp, now: Timestamp) -> bool {
        let at = at.as_second().max(now.as_second());
        ticket.state == self.config.reminder_state
            && ticket.pending_until().is_some_and(|until| (until - at).abs() <= REMINDER_TOLERANCE_S)
    }

    /// The field for tags with those that it lacks.
    fn tags(&self, ticket: &Ticket, entry: &TicketEntry) -> Option<Value> {
        let field = self.config.tags_field.as_ref()?;
        let mut tags = ticket.values_of(field);
        if self.config.tags_field_is == TagsFieldIs::Text {
            let split = |text: &String| text.split(',').map(|tag| tag.trim().to_owned()).collect::<Vec<_>>();
            tags = tags.iter().flat_map(split).collect();
        }
        let there = tags.len();
        tags.extend(entry.tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect::<Vec<_>>());
        (tags.len() > there).then(|| json!({ "Name": field, "Value": self.value_of_tags(&tags) }))
    }

    fn value_of_tags(&self, tags: &[String]) -> Value {
        match self.config.tags_field_is {
            TagsFieldIs::Multiselect => json!(tags),
            TagsFieldIs::Text => json!(tags.join(", ")),
        }
    }

    /// A ticket in the making, for TicketCreate.
    fn new_ticket(&self, title: &str) -> Value {
        let own = &self.config;
        let mut ticket = json!({
            "Title": title, "Queue": own.queue, "State": own.state, "Priority": own.priority,
            "CustomerUser": own.customer_user,
        });
        if let Some(kind) = &own.ticket_type {
            ticket["Type"] = json!(kind);
        }
        ticket
    }

    /// Changes the ticket, and finds out what it means where that is denied.
    async fn update(&self, id: &TicketId, changes: Map<String, Value>) -> Result<(), TicketError> {
        match self.service.update(id.as_str(), changes).await {
            Ok(_) => Ok(()),
            Err(Refusal::Denied) => {
                self.read(id.as_str(), &[]).await?;
                Err(TicketError::Forbidden { what: "change tickets of its queue (rw)".to_owned() })
            }
            Err(Refusal::Invalid(part)) => Err(self.invalid(part, "change the ticket")),
            Err(refusal) => Err(plain(refusal, "change the ticket")),
        }
    }

    /// Whose fault it is that a part of a request is wrong.
    fn invalid(&self, part: Part, what: &str) -> TicketError {
        let own = &self.config;
        let missing = |what: String| TicketError::Missing { what };
        match part {
            Part::Queue => missing(format!("queue as configured ({} or a team's)", own.queue)),
            Part::CustomerUser => missing(format!("customer user {}, and it is no address", own.customer_user)),
            Part::State => missing("state as configured (state, open_state or reminder_state)".to_owned()),
            Part::Priority => missing("priority as configured (priority or priority_by_urgency)".to_owned()),
            Part::Type => missing("ticket type as configured (ticket_type)".to_owned()),
            Part::Field => missing("dynamic field as configured (conversation_field or tags_field)".to_owned()),
            Part::FieldValue => missing("such value of a dynamic field (tags_field)".to_owned()),
            Part::Attachment | Part::Article | Part::PendingTime | Part::Unknown => {
                TicketError::Refused { status: 200, what: what.to_owned() }
            }
        }
    }
}

/// What a refusal means that has no meaning of its own here.
fn plain(refusal: Refusal, what: &str) -> TicketError {
    match refusal {
        Refusal::Error(error) => error,
        Refusal::Login => TicketError::Unauthorized,
        Refusal::Denied => TicketError::Forbidden { what: what.to_owned() },
        Refusal::Invalid(_) => TicketError::Refused { status: 200, what: what.to_owned() },
    }
}

/// An article for agents only.
fn article(subject: &str, body: &str) -> Value {
    json!({
        "CommunicationChannel": "Internal", "IsVisibleForCustomer": 0, "SenderType": "agent",
        "AutoResponseType": "auto remove", "HistoryType": "AddNote", "HistoryComment": "%%Sprachpost",
        "ContentType": "text/plain; charset=utf-8", "Subject": subject, "Body": body,
    })
}

/// The fields of an object that was written down as one.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[async_trait]
impl TicketConnector for Znuny {
    async fn find(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        self.tickets_of(entry).await
    }

    async fn open(&self, entry: &TicketEntry, follows: Option<&TicketId>) -> Result<TicketId, TicketError> {
        let mut first = article(&entry.title, &opening::text(entry, follows, self.language));
        first["NoAgentNotify"] = json!(1);
        let title = format!("{} {}", entry.title, entry.key());
        let mut request = object(json!({ "Ticket": self.new_ticket(&title), "Article": first }));
        let field = self.config.conversation_field.as_ref();
        if let Some(field) = field {
            request.insert("DynamicField".to_owned(), json!([{ "Name": field, "Value": entry.key() }]));
        }
        let created = self.service.create(request).await.map_err(|refusal| match refusal {
            Refusal::Denied => {
                TicketError::Forbidden { what: format!("create tickets in the queue {} (create)", self.config.queue) }
            }
            Refusal::Invalid(part) => self.invalid(part, "open a ticket"),
            refusal => plain(refusal, "open a ticket"),
        })?;
        let id = read::<Created>(created)?.id;
        if let Some(field) = field.filter(|_| !self.field_works.load(Ordering::Relaxed)) {
            // A field of articles takes the value too, and tickets are never found by it.
            let shown = self.read(&id, &[("DynamicFields", "1")]).await?.values_of(field);
            if !shown.iter().any(|value| value == entry.key()) {
                return Err(TicketError::Missing { what: format!("dynamic field {field} for tickets, of type Text") });
            }
            self.field_works.store(true, Ordering::Relaxed);
        }
        Ok(TicketId::new(id))
    }

    async fn has_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<bool, TicketError> {
        let ticket = self.read(ticket.as_str(), &[("AllArticles", "1"), ("ArticleSenderType", "agent")]).await?;
        Ok(ticket.articles.iter().any(|article| article.subject.contains(entry.marker.as_str())))
    }

    async fn add_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let subject = format!("{} {}", entry.title, entry.marker.as_str());
        let mut request = object(json!({ "Article": article(&subject, entry.text.expose()) }));
        if let Some(attachment) = &entry.attachment {
            let file = json!([{
                "Filename": attachment.file_name,
                "ContentType": attachment.content_type,
                "Content": BASE64.encode(&attachment.bytes),
            }]);
            request.insert("Attachment".to_owned(), file);
        }
        self.update(ticket, request).await
    }

    async fn set(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let as_it_is = self.read(ticket.as_str(), &[("DynamicFields", "1")]).await?;
        let changes = self.changes(&as_it_is, entry, Timestamp::now());
        if changes.is_empty() {
            return Ok(());
        }
        self.update(ticket, changes).await.map_err(refused)
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(self).await
    }
}
