//! Owns Facebook Messenger: its webhook. Audio lies at an address that is good for anybody, for a while.

use std::collections::BTreeMap;

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{Incoming, Media, MediaError, Parsed, Place, Platform, Refused, Remote, SetupError, meta};
use crate::{
    audio::fetch::{self, FetchError, Sites, Web},
    config::Secret,
    private::Private,
};

/// An app that is subscribed to pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The app's secret, which signs webhooks.
    pub app_secret: Secret,
    /// The word of your own that you enter beside the webhook's address.
    pub verify_token: Secret,
    /// Hosts that audio may be fetched from.
    #[serde(default = "media_hosts")]
    pub media_hosts: Vec<String>,
    /// A server of your own that audio is fetched from instead, for example one that caches or scans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_server: Option<Url>,
}

fn media_hosts() -> Vec<String> {
    ["*.fbsbx.com", "*.fbcdn.net"].map(str::to_owned).into()
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.app_secret, &self.verify_token]
    }
}

/// One app, ready.
#[derive(Debug)]
pub struct Messenger {
    app_secret: SecretString,
    verify_token: SecretString,
    web: Web,
}

impl Messenger {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let sites =
            Sites { servers: config.media_server.iter().cloned().collect(), media_hosts: config.media_hosts.clone() };
        Ok(Self {
            app_secret: config.app_secret.read()?,
            verify_token: config.verify_token.read()?,
            web: Web::new(limits, &sites)?,
        })
    }
}

#[async_trait]
impl Platform for Messenger {
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        meta::verify(&self.app_secret, headers, body)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let webhook: Webhook = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let mut parsed = Parsed::default();
        for entry in webhook.entry {
            for messaging in &entry.messaging {
                take(messaging, &mut parsed);
            }
            parsed.ignored += entry.standby.len() + entry.changes.len();
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::Url(url) = &media.place else { return Err(FetchError::NotFound.into()) };
        Ok(self.web.get(url.clone(), None).await?)
    }

    fn challenge(&self, query: &BTreeMap<String, String>) -> Option<String> {
        meta::challenge(&self.verify_token, query)
    }
}

/// A message may have several attachments; each that is audio is a note of its own.
fn take(messaging: &Value, parsed: &mut Parsed) {
    let message = &messaging["message"];
    // What the page itself said comes back as an echo.
    let attachments = message["attachments"].as_array().filter(|_| message["is_echo"] != true);
    let Some(attachments) = attachments.filter(|attachments| !attachments.is_empty()) else {
        parsed.ignored += 1;
        return;
    };
    for (number, attachment) in attachments.iter().enumerate() {
        parsed.take(attachment, |attachment| attachment["type"] == "audio", |it| incoming(messaging, it, number));
    }
}

fn incoming(messaging: &Value, attachment: &Value, number: usize) -> Option<Incoming> {
    let messaging = Messaging::deserialize(messaging).ok()?;
    let mid = messaging.message.mid;
    let url = Attachment::deserialize(attachment).ok()?.payload.url;
    let sent_at = messaging.timestamp.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Some(Incoming {
        conversation: Some(messaging.sender.id.clone()),
        sender: Some(messaging.sender.id),
        sent_at,
        reply_window_ends_at: meta::reply_window_ends_at(sent_at),
        ..Incoming::new(if number == 0 { mid } else { format!("{mid}#{number}") }, Media::Remote(Remote::url(url)))
    })
}

/// Only what is read; Meta adds fields at any time.
#[derive(Deserialize)]
struct Webhook {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Entry {
    messaging: Vec<Value>,
    /// Conversations that another app of the page answers.
    standby: Vec<serde::de::IgnoredAny>,
    changes: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Messaging {
    sender: Person,
    timestamp: Option<i64>,
    message: Message,
}

#[derive(Deserialize)]
struct Person {
    id: Private,
}

#[derive(Deserialize)]
struct Message {
    mid: String,
}

#[derive(Deserialize)]
struct Attachment {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    url: Url,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> Parsed {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let secret = Secret::File(file.path().to_owned());
        let config =
            Config { app_secret: secret.clone(), verify_token: secret, media_hosts: media_hosts(), media_server: None };
        Messenger::open(&config, &fetch::Config::default()).unwrap().parse(body).unwrap()
    }

    #[test]
    fn every_audio_attachment_is_a_note_and_our_own_echo_is_none() {
        let parsed = parse(include_bytes!("../../../tests/fixtures/channels/messenger/batch.json"));
        let ids: Vec<&str> = parsed.notes.iter().map(|note| note.message_id.as_str()).collect();
        assert_eq!(ids, ["m_1", "m_1#2", "m_4"]);
        assert_eq!((parsed.ignored, parsed.unreadable), (4, 0));
    }

    #[test]
    fn a_documented_audio_message_is_a_note() {
        let parsed = parse(include_bytes!("../../../tests/fixtures/channels/messenger/audio.json"));
        assert_eq!(parsed.notes.len(), 1);
        assert_eq!(parsed.notes[0].sent_at.unwrap().as_millisecond(), 1_763_748_131_308);
        assert_eq!(parsed.notes[0].conversation.as_ref().unwrap().expose(), "7400001");
    }
}
