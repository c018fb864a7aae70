//! A ticketing system of one's own: every note as a signed `POST`, in the manner of Standard Webhooks.
//!
//! Source: the Standard Webhooks specification 1.0 ("Signature scheme", "Webhook headers", "Delivery success and
//! failure"). Nothing is asked of the receiver, so it keeps notes apart itself: `webhook-id` is the same however often
//! a note is sent.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::{StatusCode, header::HeaderName};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use url::Url;

use super::{
    Config as Common, Finding, Found, OpenError, TicketConnector, TicketEntry, TicketError, TicketId,
    account::Account,
    http::Http,
    limiter::{Accounts, Rate},
};
use crate::config::Secret;

/// Keys of `type = "webhook"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where notes are posted to, without a query.
    pub url: Url,
    /// What they are signed with: `whsec_` and 24 to 64 random bytes as base64.
    pub secret: Secret,
    /// Another secret that they are signed with as well, while receivers change from one to the other.
    #[serde(default)]
    pub previous_secret: Option<Secret>,
    /// How many the receiver takes.
    #[serde(default = "default_requests_per_minute")]
    pub requests_per_minute: u32,
}

fn default_requests_per_minute() -> u32 {
    600
}

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// The type of every message; a change that is more than an addition gets another.
const TYPE: &str = "sprachpost.note.v1";

pub struct Webhook {
    http: Http,
    keys: Vec<SecretSlice<u8>>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// What is posted.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

/// One note. Priority, team and tags are what the configuration maps to.
#[derive(Serialize)]
struct Data<'a> {
    /// Names the note, in its text as well.
    marker: &'a str,
    /// What notes of one conversation have in common.
    conversation: &'a str,
    /// The ticket that the note named.
    ticket: Option<&'a str>,
    title: &'a str,
    text: &'a str,
    priority: Option<&'a str>,
    team: Option<&'a str>,
    tags: &'a [String],
    reminder_at: Option<Timestamp>,
    attachment: Option<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    content_type: &'a str,
    /// As base64.
    data: String,
}

impl Webhook {
    /// # Errors
    /// [`OpenError`] if the settings cannot be used; nothing is asked yet.
    pub fn new(config: &Config, common: &Common, accounts: &Accounts) -> Result<Self, OpenError> {
        let rates = [Rate::new(config.requests_per_minute, 60)];
        let account = Account { system: "webhook", url: &config.url, user: "", rates: &rates, each: &[] };
        let http = account.http(&common.http, accounts, &[])?;
        let secrets = std::iter::once(&config.secret).chain(&config.previous_secret);
        let keys = secrets.map(|secret| key(&secret.read()?)).collect::<Result<_, _>>()?;
        Ok(Self { http, keys })
    }

    /// One signature a key, with a space between.
    fn signatures(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signed = |key: &SecretSlice<u8>| {
            format!("v1,{}", STANDARD.encode(signature(key.expose_secret(), id, timestamp, body)))
        };
        self.keys.iter().map(signed).collect::<Vec<_>>().join(" ")
    }
}

/// HMAC-SHA256 over `{id}.{timestamp}.{body}`.
fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

fn key(secret: &SecretString) -> Result<SecretSlice<u8>, OpenError> {
    let wrong = || OpenError::Setting("secret: it has to be whsec_ and 24 to 64 random bytes as base64".to_owned());
    let encoded = secret.expose_secret().strip_prefix("whsec_").ok_or_else(wrong)?;
    let key = STANDARD.decode(encoded).map_err(|_| wrong())?;
    if (24..=64).contains(&key.len()) { Ok(key.into()) } else { Err(wrong()) }
}

#[async_trait]
impl TicketConnector for Webhook {
    /// The receiver sorts notes into tickets itself; to all others it is one.
    async fn find(&self, _: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        Ok(vec![Found { ticket: TicketId::new("webhook"), closed: false }])
    }

    async fn open(&self, _: &TicketEntry, _: Option<&TicketId>) -> Result<TicketId, TicketError> {
        Ok(TicketId::new("webhook"))
    }

    /// The receiver knows; a note that it has, it takes once more and leaves it at that.
    async fn has_note(&self, _: &TicketId, _: &TicketEntry) -> Result<bool, TicketError> {
        Ok(false)
    }

    async fn add_note(&self, _: &TicketId, entry: &TicketEntry) -> Result<(), TicketError> {
        let now = Timestamp::now();
        let data = Data {
            marker: entry.marker.as_str(),
            conversation: entry.key(),
            ticket: entry.reference.as_deref(),
            title: &entry.title,
            text: entry.text.expose(),
            priority: entry.priority.as_deref(),
            team: entry.team.as_deref(),
            tags: &entry.tags,
            reminder_at: entry.reminder_at,
            attachment: entry.attachment.as_ref().map(|file| File {
                name: &file.file_name,
                content_type: &file.content_type,
                data: STANDARD.encode(&file.bytes),
            }),
        };
        let body = serde_json::to_vec(&Message { kind: TYPE, timestamp: now, data })
            .map_err(|_| TicketError::Unexpected { what: "a note that cannot be written as JSON" })?;
        let (id, at) = (id(entry), now.as_second());
        let request = self.http.post(&[]).header(SIGNATURE, &self.signatures(&id, at, &body));
        let answer =
            request.header(ID, &id).header(TIMESTAMP, &at.to_string()).body("application/json", body).send().await?;
        if answer.status == StatusCode::GONE {
            // The receiver wants no more of them, until people say otherwise.
            return Err(TicketError::Forbidden { what: "post notes to the webhook's address any more".to_owned() });
        }
        answer.judged("post notes").map(drop)
    }

    async fn set(&self, _: &TicketId, _: &TicketEntry) -> Result<(), TicketError> {
        Ok(())
    }

    /// There is nothing to ask that would not be a note.
    async fn check(&self) -> Vec<Finding> {
        vec![Finding::good("the form of address and secret; whether the receiver takes them shows with the first note")]
    }
}

/// The marker without dots, which separate what is signed.
fn id(entry: &TicketEntry) -> String {
    entry.marker.bare().replace([':', '.'], "_")
}
