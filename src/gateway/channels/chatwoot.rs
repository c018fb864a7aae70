//! Owns Chatwoot as a channel: a note that a customer sent there and that lies in a conversation already.
//!
//! The conversation's number is the ticket that the note refers to, so that the answer lands where the note is.

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    Incoming, Media, MediaError, Parsed, Place, Platform, Refused, Remote, SetupError,
    signature::{Algorithm, check_hmac},
};
use crate::{
    audio::fetch::{self, FetchError, Sites, Web},
    config::Secret,
    note::Channel,
    private::Private,
};

const SIGNATURE: &str = "x-chatwoot-signature";
const TIMESTAMP: &str = "x-chatwoot-timestamp";

/// A Chatwoot account with a webhook that tells of `message_created`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The webhook's secret.
    pub secret: Secret,
    /// Where Chatwoot is.
    pub url: Url,
    /// Seconds that a webhook may be old, or from the future.
    #[serde(default = "window_s")]
    pub window_s: u32,
    /// The inboxes, by their ids, whose notes are taken; empty: all.
    #[serde(default)]
    pub inboxes: Vec<u64>,
    /// Hosts of the object store that Chatwoot redirects to, where it keeps files in one.
    #[serde(default)]
    pub media_hosts: Vec<String>,
}

fn window_s() -> u32 {
    300
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.secret]
    }
}

/// One account, ready.
#[derive(Debug)]
pub struct Chatwoot {
    secret: SecretString,
    window: SignedDuration,
    inboxes: Vec<u64>,
    web: Web,
}

impl Chatwoot {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let sites = Sites { servers: vec![config.url.clone()], media_hosts: config.media_hosts.clone() };
        Ok(Self {
            secret: config.secret.read()?,
            window: SignedDuration::from_secs(config.window_s.into()),
            inboxes: config.inboxes.clone(),
            web: Web::new(limits, &sites)?,
        })
    }
}

#[async_trait]
impl Platform for Chatwoot {
    /// `sha256=<hex>` over `<timestamp>.<body>`.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Refused::Unsigned);
        let (signature, signed_at) = (header(SIGNATURE)?, header(TIMESTAMP)?);
        let given = signature.strip_prefix("sha256=").ok_or(Refused::WrongSignature)?;
        check_hmac(Algorithm::Sha256, &self.secret, &[signed_at.as_bytes(), b".", body], given)?;
        let signed_at = signed_at.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        let age = Timestamp::now().duration_since(signed_at.ok_or(Refused::Stale)?);
        if age.abs() <= self.window { Ok(()) } else { Err(Refused::Stale) }
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let event: Value = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        if !event.is_object() {
            return Err(Refused::Malformed);
        }
        let mut parsed = Parsed::default();
        let is_ours = event["event"] == "message_created"
            && (event["message_type"] == "incoming" || event["message_type"] == 0)
            && event["private"] != true
            && (self.inboxes.is_empty() || event["inbox"]["id"].as_u64().is_some_and(|id| self.inboxes.contains(&id)));
        let attachments = event["attachments"].as_array().filter(|_| is_ours);
        for attachment in attachments.into_iter().flatten() {
            parsed.take(attachment, |file| file["file_type"] == "audio", |file| incoming(&event, file));
        }
        if attachments.is_none_or(Vec::is_empty) {
            parsed.ignored += 1;
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::Url(url) = &media.place else { return Err(FetchError::NotFound.into()) };
        Ok(self.web.get(url.clone(), None).await?)
    }
}

fn incoming(event: &Value, file: &Value) -> Option<Incoming> {
    let message = Message::deserialize(event).ok()?;
    let file = Attachment::deserialize(file).ok()?;
    let remote = Remote { bytes: file.file_size, ..Remote::url(file.data_url) };
    let person = |id: u64| Private::new(format!("contact {id}"));
    Some(Incoming {
        conversation: Some(Private::new(message.conversation.id.to_string())),
        sender: message.sender.map(|sender| person(sender.id)),
        ticket: Some(message.conversation.id.to_string()),
        sent_at: message.created_at.as_ref().and_then(moment),
        channel: messenger(message.conversation.channel.as_deref().unwrap_or_default()),
        // Attachments are numbered across all messages of an installation.
        ..Incoming::new(format!("chatwoot:{}:{}", message.id, file.id), Media::Remote(remote))
    })
}

/// The messenger behind it, under the name that its notes have when they come from there directly.
fn messenger(channel: &str) -> Option<Channel> {
    let name = match channel {
        "Channel::Whatsapp" => "whatsapp",
        "Channel::Telegram" => "telegram",
        "Channel::FacebookPage" => "messenger",
        "Channel::Instagram" => "instagram",
        "Channel::Line" => "line",
        "Channel::Email" => "email",
        _ => return None,
    };
    name.parse().ok()
}

/// Chatwoot writes moments as text here and as seconds there.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok(),
        Value::String(text) => {
            // Older versions: `2020-03-03 13:05:57 UTC`.
            text.parse().ok().or_else(|| format!("{}Z", text.strip_suffix(" UTC")?.replace(' ', "T")).parse().ok())
        }
        _ => None,
    }
}

#[derive(Deserialize)]
struct Message {
    id: u64,
    created_at: Option<Value>,
    conversation: Conversation,
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct Conversation {
    id: u64,
    channel: Option<String>,
}

#[derive(Deserialize)]
struct Sender {
    id: u64,
}

#[derive(Deserialize)]
struct Attachment {
    id: u64,
    data_url: Url,
    file_size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_understood_in_all_three_ways() {
        let expected = Some("2020-03-03T13:05:57Z".parse().unwrap());
        for written in ["\"2020-03-03 13:05:57 UTC\"", "\"2020-03-03T13:05:57.000Z\"", "1583240757"] {
            assert_eq!(moment(&serde_json::from_str(written).unwrap()), expected, "{written}");
        }
        assert_eq!(moment(&Value::String("yesterday".to_owned())), None);
    }
}
