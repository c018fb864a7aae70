//! Owns the way from results into ticketing systems: one internal note a result, once, whatever happens.
//!
//! * [`entry`]: what one result says in a ticket.
//! * [`bridge`]: the role that takes results from a durable queue and has them written.
//! * [`http`]: the one HTTP client of all vendors: limits, and what a status means.
//! * [`limiter`]: how many requests an account may make.
//! * [`config`]: the settings, a list of `[[tickets]]`.
//! * One file a vendor, which knows its system's interface and nothing of queues, results or retries.

pub mod bridge;
pub mod config;
pub mod entry;
pub mod http;
pub mod limiter;
pub mod request_tracker;

// Vendors.
pub mod chatwoot;
pub mod freshdesk;
pub mod webhook;
pub mod zammad;
pub mod zendesk;
pub mod znuny;

// What vendors have in common.
mod account;
mod fit;
mod mapped;
mod markup;
mod multipart;
mod opening;
mod reference;

use std::{fmt, time::Duration};

use async_trait::async_trait;

pub use self::{
    config::{Audio, Config, Language, OpenError, Vendor},
    entry::{Attachment, ConversationKey, Marker, TicketEntry},
};

/// One system that tickets live in. Every method may be repeated, and every request is limited in time and size.
///
/// The note comes last: a ticket is found or opened, then set, and then the note is written. Where its marker is, there
/// is nothing left to do, and nothing that agents have changed since is changed back.
#[async_trait]
pub trait TicketConnector: Send + Sync {
    /// The tickets that may hold this entry, the best first, a handful at most: the one that it refers to, then those
    /// of its conversation ([`TicketEntry::key`]), the newest first.
    ///
    /// Closed ones are among them, because the note may have been written before its ticket was closed. A reference
    /// to a ticket that does not exist is no error: what a customer says must not be lost for a wrong number.
    async fn find(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError>;

    /// Opens a ticket that [`TicketConnector::find`] finds again by [`TicketEntry::key`], from the moment on that it
    /// exists: a crash must not open a second one. It holds no note yet, and tells the customer nothing.
    /// `follows` is the closed ticket that it goes on from, to be named in it.
    async fn open(&self, entry: &TicketEntry, follows: Option<&TicketId>) -> Result<TicketId, TicketError>;

    /// Whether the ticket holds a note with this entry's marker already.
    async fn has_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<bool, TicketError>;

    /// Writes the note, for agents only, with its attachment and its marker, in one step.
    async fn add_note(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError>;

    /// Priority, team, tags, reminder. Says what shall be, so repeating it changes nothing; what the entry leaves open
    /// stays as agents have set it.
    async fn set(&self, ticket: &TicketId, entry: &TicketEntry) -> Result<(), TicketError>;

    /// Tries credentials, rights, queues and fields without changing anything: one finding each.
    async fn check(&self) -> Vec<Finding>;
}

/// A ticket, as its system names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TicketId(String);

impl TicketId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A ticket that may hold an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub ticket: TicketId,
    /// True if no note may be added: it is closed, and the configuration does not have it opened again.
    pub closed: bool,
}

/// One thing that was checked before the first note.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// For example `the queue Voice`.
    pub what: String,
    /// None: all right. Else what is wrong and what to do, without secrets.
    pub fault: Option<String>,
}

impl Finding {
    pub fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), fault: None }
    }

    pub fn bad(what: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { what: what.into(), fault: Some(fault.into()) }
    }
}

/// Why a ticketing system did not do as it was asked. No text holds a body, an address, a token or what a customer
/// said; `what` comes from the source code or from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("the ticketing system does not accept the credentials")]
    Unauthorized,
    #[error("the ticketing system's user may not {what}")]
    Forbidden { what: String },
    #[error("the ticketing system has no {what}")]
    Missing { what: String },
    #[error("the ticketing system asks to make fewer requests")]
    Limited {
        /// When it may be asked again, as far as it said.
        after: Option<Duration>,
    },
    #[error("the ticketing system answers with status {status}")]
    Unavailable { status: u16 },
    #[error("the ticketing system did not answer in time")]
    TimedOut,
    #[error("the ticketing system cannot be reached")]
    Unreachable,
    #[error("the ticket is not there any more")]
    Gone,
    #[error("the ticket is closed")]
    Closed,
    #[error("somebody else changed the ticket at the same time")]
    Conflict,
    #[error("the ticketing system refused {what} with status {status}")]
    Refused { status: u16, what: String },
    #[error("the ticketing system answered with {what}")]
    Unexpected { what: &'static str },
    #[error("the note is larger than the ticketing system takes")]
    TooLarge,
}

/// Whom a failure concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Every note, until somebody or time changes it: wait, at least so long where it is known, and try again without
    /// using up attempts.
    Account { after: Option<Duration> },
    /// The ticket: look for it once more, now.
    Ticket,
    /// This note: try again later, and not for ever.
    Note,
}

impl TicketError {
    #[must_use]
    pub fn concern(&self) -> Concern {
        match self {
            Self::Limited { after } => Concern::Account { after: *after },
            Self::Unauthorized
            | Self::Forbidden { .. }
            // What the configuration names does not exist: no note is at fault, and it can be made.
            | Self::Missing { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut
            | Self::Unreachable => Concern::Account { after: None },
            Self::Gone | Self::Closed | Self::Conflict => Concern::Ticket,
            Self::Refused { .. } | Self::Unexpected { .. } | Self::TooLarge => Concern::Note,
        }
    }

    /// A word for figures.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::Missing { .. } => "missing",
            Self::Limited { .. } => "limited",
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Gone => "gone",
            Self::Closed => "closed",
            Self::Conflict => "conflict",
            Self::Refused { .. } => "refused",
            Self::Unexpected { .. } => "unexpected",
            Self::TooLarge => "too_large",
        }
    }
}
