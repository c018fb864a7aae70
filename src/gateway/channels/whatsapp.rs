//! Owns WhatsApp's Cloud API: its webhook, and the two steps to a note's audio.
//!
//! A webhook names a media id that is good for 7 days. The interface turns it into an address that is good for 5
//! minutes, and that address wants the same bearer token; so both steps are made again on every attempt.

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

/// A WhatsApp Business app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The app's secret, which signs webhooks.
    pub app_secret: Secret,
    /// The word of your own that you enter beside the webhook's address.
    pub verify_token: Secret,
    /// A token of a system user with the permission `whatsapp_business_messaging`.
    pub access_token: Secret,
    /// The numbers, by their ids, whose notes are taken; empty: all that the app has.
    #[serde(default)]
    pub phone_number_ids: Vec<String>,
    /// The Graph API with its version.
    #[serde(default = "graph")]
    pub api: Url,
    /// Hosts that media may be fetched from; they are shown the access token.
    #[serde(default = "media_hosts")]
    pub media_hosts: Vec<String>,
}

fn graph() -> Url {
    "https://graph.facebook.com/v25.0/".parse().expect("this constant is an address")
}

fn media_hosts() -> Vec<String> {
    vec!["lookaside.fbsbx.com".to_owned()]
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.app_secret, &self.verify_token, &self.access_token]
    }
}

/// One app, ready.
#[derive(Debug)]
pub struct WhatsApp {
    app_secret: SecretString,
    verify_token: SecretString,
    access_token: SecretString,
    phone_number_ids: Vec<String>,
    api: Url,
    web: Web,
}

impl WhatsApp {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let sites = Sites { servers: vec![config.api.clone()], media_hosts: config.media_hosts.clone() };
        Ok(Self {
            app_secret: config.app_secret.read()?,
            verify_token: config.verify_token.read()?,
            access_token: config.access_token.read()?,
            phone_number_ids: config.phone_number_ids.clone(),
            api: super::folder("api", &config.api)?,
            web: Web::new(limits, &sites)?,
        })
    }

    fn is_ours(&self, value: &Change) -> bool {
        let ids = &self.phone_number_ids;
        ids.is_empty() || ids.contains(&value.metadata.phone_number_id)
    }
}

#[async_trait]
impl Platform for WhatsApp {
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        meta::verify(&self.app_secret, headers, body)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let webhook: Webhook = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let mut parsed = Parsed::default();
        for change in webhook.entry.into_iter().flat_map(|entry| entry.changes) {
            if change.field != "messages" {
                parsed.ignored += 1;
                continue;
            }
            // It may hold notes: nobody knows how many.
            let Ok(value) = Change::deserialize(change.value) else {
                parsed.unreadable += 1;
                continue;
            };
            if !self.is_ours(&value) {
                parsed.ignored += 1;
                continue;
            }
            parsed.ignored += value.statuses.len();
            for message in value.messages {
                parsed.take(&message, |message| message["type"] == "audio", incoming);
            }
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::File(id) = &media.place else { return Err(FetchError::NotFound.into()) };
        let token = Some(&self.access_token);
        let about = self.api.join(id).map_err(|_| FetchError::NotFound)?;
        let about = self.web.get_json::<MediaObject>(about, token).await.map_err(MediaError::not_told)?;
        let about = about.ok_or(MediaError::Unexpected { what: "a media object without an address" })?;
        let audio = self.web.get(about.url, token).await.map_err(MediaError::refused)?;
        media.check(&audio)?;
        Ok(audio)
    }

    fn challenge(&self, query: &BTreeMap<String, String>) -> Option<String> {
        meta::challenge(&self.verify_token, query)
    }
}

/// Only what is read; Meta adds fields at any time.
#[derive(Deserialize)]
struct Webhook {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    changes: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    field: String,
    #[serde(default)]
    value: Value,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    messages: Vec<Value>,
    #[serde(default)]
    statuses: Vec<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    phone_number_id: String,
}

#[derive(Deserialize)]
struct Message {
    id: String,
    from: Option<Private>,
    /// Instead of a number, of people who do not show theirs.
    from_user_id: Option<Private>,
    timestamp: String,
    audio: Audio,
}

#[derive(Deserialize)]
struct Audio {
    id: String,
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct MediaObject {
    url: Url,
}

fn incoming(message: &Value) -> Option<Incoming> {
    let message = Message::deserialize(message).ok()?;
    if !is_media_id(&message.audio.id) {
        return None;
    }
    let sent_at = message.timestamp.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let media = Media::Remote(Remote::file(message.audio.id).with_sha256(message.audio.sha256.as_deref()));
    let from = message.from.or(message.from_user_id);
    Some(Incoming {
        conversation: from.clone(),
        sender: from,
        sent_at,
        reply_window_ends_at: meta::reply_window_ends_at(sent_at),
        ..Incoming::new(message.id, media)
    })
}

/// It becomes part of an address.
fn is_media_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whatsapp(phone_number_ids: &[&str]) -> WhatsApp {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let secret = Secret::File(file.path().to_owned());
        let config = Config {
            app_secret: secret.clone(),
            verify_token: secret.clone(),
            access_token: secret,
            phone_number_ids: phone_number_ids.iter().map(|&id| id.to_owned()).collect(),
            api: graph(),
            media_hosts: media_hosts(),
        };
        WhatsApp::open(&config, &fetch::Config::default()).unwrap()
    }

    #[test]
    fn a_documented_voice_message_is_a_note() {
        let body = include_bytes!("../../../tests/fixtures/channels/whatsapp/voice.json");
        let parsed = whatsapp(&[]).parse(body).unwrap();
        let [note] = parsed.notes.as_slice() else { panic!("{parsed:?}") };
        assert_eq!(note.message_id, "wamid.HBgKNDkxNzA1NTUwMRUCABIYFDNBMDAwMDAwMDAwMDAwMDAwMDAxAA==");
        assert_eq!(note.conversation.as_ref().unwrap().expose(), "4917055501");
        let Media::Remote(media) = &note.media else { panic!("{note:?}") };
        assert_eq!(media.place, Place::File("1908647269898587".to_owned()));
        assert_eq!(media.check(b"test"), Ok(()));
        assert_eq!(media.check(b"tost"), Err(MediaError::Altered));
    }

    #[test]
    fn a_batch_is_read_to_its_end_and_numbers_of_others_are_left_out() {
        let body = include_bytes!("../../../tests/fixtures/channels/whatsapp/batch.json");
        let all = whatsapp(&[]).parse(body).unwrap();
        assert_eq!((all.notes.len(), all.ignored, all.unreadable), (3, 4, 1));
        assert_eq!(all.notes[2].sender.as_ref().unwrap().expose(), "DE.13491208655302741918");
        let one = whatsapp(&["106540352242922"]).parse(body).unwrap();
        assert_eq!((one.notes.len(), one.ignored, one.unreadable), (2, 5, 0));
    }

    #[test]
    fn the_documented_media_object_has_an_address_on_the_default_host() {
        let body = include_bytes!("../../../tests/fixtures/channels/whatsapp/media.json");
        let object: MediaObject = serde_json::from_slice(body).unwrap();
        assert_eq!(object.url.host_str(), Some(media_hosts()[0].as_str()));
    }

    #[test]
    fn no_media_id_leads_elsewhere() {
        for bad in ["", "..", "../me", "1/2", "1?x", "https://evil.example", &"1".repeat(129)] {
            assert!(!is_media_id(bad), "{bad}");
        }
    }
}
