//! Owns `[[tickets]]`: which systems there are, what is written there, and how words of the playbook map to theirs.

use std::{collections::BTreeMap, sync::Arc};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    TicketConnector,
    chatwoot::{self, Chatwoot},
    freshdesk::{self, Freshdesk},
    http,
    limiter::Accounts,
    request_tracker::{self, RequestTracker},
    webhook::{self, Webhook},
    zammad::{self, Zammad},
    zendesk::{self, Zendesk},
    znuny::{self, Znuny},
};
use crate::{
    config::{Secret, SecretError},
    event::processed::{OutcomeKind, UrgencyLevel},
    note::{NoteId, Tenant},
    retry::RetryPolicy,
};

/// One ticketing system. An unknown key is refused by the vendor's part, which gets whatever is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// Names this entry, and its queue `sprachpost.tickets.<name>`: 1 to 64 of a-z, 0-9, `_` and `-`.
    pub name: String,
    /// Whose results are written here; empty: everybody's.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// Which results are written; all where it is not set.
    #[serde(default = "every_outcome")]
    pub outcomes: Vec<OutcomeKind>,
    /// What becomes of the recording.
    #[serde(default)]
    pub audio: Audio,
    /// Largest recording that is attached, in bytes. A larger one is not, and the note says so.
    #[serde(default = "default_audio_bytes_max")]
    pub audio_bytes_max: usize,
    /// Where a note can be heard again: its id is appended.
    #[serde(default)]
    pub link_base: Option<Url>,
    /// In which language agents read.
    #[serde(default)]
    pub language: Language,
    /// In which time zone agents read times, for example `Europe/Berlin`.
    #[serde(default = "default_time_zone")]
    pub time_zone: String,
    /// Begins the title of tickets that are opened here.
    #[serde(default)]
    pub title: Option<String>,
    /// The system's priority for each level of urgency; without an entry, it stays as it is.
    #[serde(default)]
    pub priority_by_urgency: BTreeMap<UrgencyLevel, String>,
    /// The system's queue, group or team for each team of the playbook; without an entry, it stays as it is.
    #[serde(default)]
    pub team_by_route: BTreeMap<String, String>,
    /// Tags for each intent of the playbook.
    #[serde(default)]
    pub tags_by_intent: BTreeMap<String, Vec<String>>,
    /// Tags of every ticket.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Tags where the playbook's escalation applies.
    #[serde(default)]
    pub tags_if_escalated: Vec<String>,
    /// Whether a follow-up becomes a reminder in the system. Where it is not set: yes, unless a ticket with a reminder
    /// is hidden from agents until then, who have not read the note yet (Chatwoot's snoozed conversations, pending
    /// tickets of Zammad and Znuny).
    #[serde(default)]
    pub reminders: Option<bool>,
    /// How many notes are written at a time.
    #[serde(default = "default_notes_at_a_time")]
    pub notes_at_a_time: u16,
    /// Seconds without any attempt after the system did not work, for the first time; each further pause is twice as
    /// long, …
    #[serde(default = "default_pause_first_s")]
    pub pause_first_s: f64,
    /// … up to this many seconds. The system may ask for longer ones.
    #[serde(default = "default_pause_s_max")]
    pub pause_s_max: f64,
    /// When a note that was refused is tried again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Limits on requests.
    #[serde(default)]
    pub http: http::Config,
    /// The system, and what only it has.
    #[serde(flatten)]
    pub vendor: Vendor,
}

impl Config {
    /// The system that is configured. Reads its credentials and connects to nothing. `accounts` is shared by all of the
    /// process.
    ///
    /// # Errors
    /// [`OpenError`] says which setting is wrong.
    pub fn open(&self, accounts: &Accounts) -> Result<Arc<dyn TicketConnector>, OpenError> {
        self.check()?;
        Ok(match &self.vendor {
            Vendor::RequestTracker(own) => Arc::new(RequestTracker::open(own, self, accounts)?),
            Vendor::Zammad(own) => Arc::new(Zammad::new(own, self, accounts)?),
            Vendor::Chatwoot(own) => Arc::new(Chatwoot::new(own, self, accounts)?),
            Vendor::Zendesk(own) => Arc::new(Zendesk::new(own, self, accounts)?),
            Vendor::Freshdesk(own) => Arc::new(Freshdesk::new(own, self, accounts)?),
            Vendor::Znuny(own) => Arc::new(Znuny::open(own, self, accounts)?),
            Vendor::Webhook(own) => Arc::new(Webhook::new(own, self, accounts)?),
        })
    }

    fn check(&self) -> Result<(), OpenError> {
        let wrong = |what: &str| Err(OpenError::Setting(what.to_owned()));
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(allowed) {
            return wrong("its name has to be 1 to 64 characters of a-z, 0-9, _ and -");
        }
        if TimeZone::get(&self.time_zone).is_err() {
            return wrong("time_zone is none that is known, such as Europe/Berlin");
        }
        if self.audio == Audio::Link && self.link_base.is_none() {
            return wrong("audio is \"link\", so link_base has to say where notes can be heard");
        }
        Ok(())
    }

    /// Whether a follow-up becomes a reminder.
    #[must_use]
    pub fn reminds(&self) -> bool {
        self.reminders.unwrap_or(!self.vendor.reminder_hides_ticket())
    }

    /// Where a note can be heard again, if that is configured.
    #[must_use]
    pub fn link_to(&self, note: NoteId) -> Option<Url> {
        let mut link = self.link_base.clone()?;
        link.path_segments_mut().ok()?.pop_if_empty().push(&note.to_string());
        Some(link)
    }
}

/// Which system it is: `type = "…"`, and its own keys beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Vendor {
    RequestTracker(request_tracker::Config),
    Zammad(zammad::Config),
    Chatwoot(chatwoot::Config),
    Zendesk(zendesk::Config),
    Freshdesk(freshdesk::Config),
    Znuny(znuny::Config),
    Webhook(webhook::Config),
}

impl Vendor {
    /// Whether agents do not see a ticket among the open ones until its reminder is due.
    #[must_use]
    pub fn reminder_hides_ticket(&self) -> bool {
        match self {
            Self::Zammad(_) | Self::Znuny(_) | Self::Chatwoot(_) => true,
            Self::RequestTracker(_) | Self::Zendesk(_) | Self::Freshdesk(_) | Self::Webhook(_) => false,
        }
    }

    /// All that have to be readable for it to work.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::RequestTracker(own) => vec![&own.token],
            Self::Zammad(own) => vec![&own.token],
            Self::Chatwoot(own) => vec![&own.token],
            Self::Zendesk(own) => vec![&own.token],
            Self::Freshdesk(own) => vec![&own.api_key],
            Self::Znuny(own) => vec![&own.password],
            Self::Webhook(own) => [&own.secret].into_iter().chain(&own.previous_secret).collect(),
        }
    }
}

/// What becomes of the recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audio {
    /// It is fetched once more and attached to the note.
    #[default]
    Attach,
    /// The note links to where it can be heard (`link_base`).
    Link,
    /// Neither.
    None,
}

/// In which language agents read the note's labels. What a customer said stays as it was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    #[default]
    De,
    En,
}

fn every_outcome() -> Vec<OutcomeKind> {
    use OutcomeKind as O;
    vec![O::Completed, O::NoSpeech, O::Unintelligible, O::Rejected, O::Failed]
}

fn default_time_zone() -> String {
    "Europe/Berlin".to_owned()
}

fn default_audio_bytes_max() -> usize {
    10 << 20
}

fn default_notes_at_a_time() -> u16 {
    4
}

fn default_pause_first_s() -> f64 {
    2.0
}

fn default_pause_s_max() -> f64 {
    300.0
}

/// Why a ticketing system cannot be used as configured. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "its address has to be https://…, or http:// on this machine or with http.allow_http, without user, password \
         and query"
    )]
    Address,
    #[error("its credential holds characters that no header can; was a line break saved with it?")]
    Credential,
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("no connection can be made from here; are root certificates installed (package ca-certificates)?")]
    Client(#[source] reqwest::Error),
    #[error("{0}")]
    Setting(String),
}
