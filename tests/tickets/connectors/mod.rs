//! Connectors to ticketing systems: one suite for all, what only one of them does, and the doubles against the
//! documentation.

mod chatwoot;
mod documented;
mod freshdesk;
mod suite;
mod webhook;
mod zammad;
mod zendesk;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use sprachpost::{
    note::NoteId,
    tickets::{
        Attachment, Config, ConversationKey, Marker, TicketConnector, TicketEntry, TicketError, TicketId,
        bridge::once::{self, Written},
        limiter::Accounts,
    },
};

use crate::support::{
    clips,
    tickets::{SeenTicket, Wire},
};

/// One ticketing system that connectors are tried against.
#[async_trait]
pub trait System: Send + Sync {
    /// `type = "…"` and the vendor's own keys, with `secret` as the reference to this user's credential.
    fn own_keys(&self, who: Who, secret: &str) -> String;
    /// The credential that `own_keys` refers to.
    fn secret(&self, who: Who) -> &'static str;
    fn words(&self) -> Words;
    /// A ticket that somebody else opened; its number is what notes refer to.
    async fn foreign_ticket(&self) -> String;
    async fn close(&self, ticket: &str);
    /// All that there are, the oldest first.
    async fn tickets(&self) -> Vec<String>;
    async fn seen(&self, ticket: &str) -> SeenTicket;
    /// Where requests are counted and broken.
    fn wire(&self) -> &Wire;
    /// Has no file of more bytes be taken.
    fn limit_files(&self, bytes_max: usize);
}

/// Whose credential it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Who {
    /// An agent with all rights.
    Agent,
    /// Somebody whom the system does not know.
    Stranger,
    /// A user who may not do it.
    WithoutRights,
}

/// What the system calls things.
pub struct Words {
    pub priority: &'static str,
    pub team: &'static str,
    pub tags: [&'static str; 2],
    /// A team, and a tag where those have to be made first, that do not exist.
    pub missing: (&'static str, Option<&'static str>),
    /// Most characters of a note's text, where that is less than a megabyte.
    pub text_max: Option<usize>,
}

/// A connector, and the folder that its secret lies in.
pub struct Connected {
    pub connector: Arc<dyn TicketConnector>,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for Connected {
    type Target = dyn TicketConnector;

    fn deref(&self) -> &Self::Target {
        self.connector.as_ref()
    }
}

/// Connects as configured, with keys of one's own. Each has limits of its own, as processes have.
pub fn connect_with(system: &dyn System, who: Who, keys: &str) -> Connected {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, system.secret(who)).unwrap();
    let secret = format!("{{ file = {:?} }}", file.to_str().unwrap());
    let text = format!("name = \"main\"\n{}\n{keys}", system.own_keys(who, &secret));
    let config: Config = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let connector = config.open(&Accounts::default()).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(system.secret(who)), "a configuration shows its secret: {shown}");
    Connected { connector, _folder: folder }
}

pub fn connect(system: &dyn System) -> Connected {
    connect_with(system, Who::Agent, "http.total_s_max = 3\n")
}

/// The result of a note that was sent in a conversation.
pub fn entry(system: &dyn System, message_id: &str) -> TicketEntry {
    let words = system.words();
    let (tenant, channel) = ("musterstrom".parse().unwrap(), "whatsapp".parse().unwrap());
    let marker = Marker::of(NoteId::of(&tenant, &channel, message_id), 0);
    let conversation = ConversationKey::of(&tenant, &channel, &"4917012345".into());
    let clip = clips::own().into_iter().find(|clip| clip.file.ends_with("de-outage.ogg")).unwrap();
    let text = format!("Abschrift (de, 93 %):\nSeit gestern Abend geht das Internet nicht mehr.\n{}", marker.as_str());
    TicketEntry {
        marker,
        conversation: Some(conversation),
        reference: None,
        title: "Sprachnachricht: Störung".to_owned(),
        text: text.into(),
        attachment: Some(Attachment {
            file_name: "sprachnachricht.ogg".to_owned(),
            content_type: "audio/ogg".to_owned(),
            bytes: Bytes::from(std::fs::read(clip.path).unwrap()),
        }),
        priority: Some(words.priority.to_owned()),
        team: Some(words.team.to_owned()),
        tags: words.tags.map(str::to_owned).into(),
        reminder_at: None,
    }
}

/// What the bridge does with an entry. Here a ticket that cannot be set as configured is an error.
pub async fn deliver(connector: &dyn TicketConnector, entry: &TicketEntry) -> Result<TicketId, TicketError> {
    match once::write(connector, entry).await? {
        Written::Now { ticket, unset: None } => Ok(ticket),
        Written::Now { unset: Some(error), .. } => Err(error),
        Written::Before => {
            let found = connector.find(entry).await?;
            for candidate in found {
                if connector.has_note(&candidate.ticket, entry).await? {
                    return Ok(candidate.ticket);
                }
            }
            panic!("the note was there a moment ago");
        }
    }
}

/// The test's limit on what may take a while.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.expect("this should not take so long")
}

pub const SOON: Duration = Duration::from_secs(20);
