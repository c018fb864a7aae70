//! Owns the messages that UnoAPI publishes to RabbitMQ on their way to its webhooks, and the two steps to a note's audio.
//!
//! They have the form of WhatsApp's Cloud API within an envelope of UnoAPI's own, which also holds the tokens of those
//! webhooks; these are blanked before anything is read. The same message is published more than once on its way.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    Incoming, Media, MediaError, OpenChannel, Parsed, Place, Platform, Refused, Remote, SetupError,
    evolution::{messages_held_max, whatsapp},
    intake::Intake,
    jid::Chat,
    producer::Producer,
    scrub::blank,
};
use crate::{
    audio::fetch::{self, FetchError, Sites, Web},
    config::Secret,
    note::Channel,
    private::Private,
    shutdown::Shutdown,
};

/// An installation of UnoAPI that publishes to the same RabbitMQ and virtual host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its interface with the version, for example `http://unoapi:9876/v15.0/`; audio is fetched from there.
    pub api: Url,
    /// A token for that interface.
    pub access_token: Secret,
    /// The exchange that it publishes to.
    #[serde(default = "exchange")]
    pub exchange: String,
    #[serde(default = "routing_keys")]
    pub routing_keys: Vec<String>,
    /// Its telephone numbers whose notes are taken, digits only; empty: all.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Take what is said in groups, too.
    #[serde(default)]
    pub groups: bool,
    /// Servers of your own that its interface refers to for the audio, where that is another one. They may be private.
    #[serde(default)]
    pub media_servers: Vec<Url>,
    /// Further hosts that it may refer to, as in `fetch.hosts`.
    #[serde(default)]
    pub media_hosts: Vec<String>,
    /// Messages in memory at a time.
    #[serde(default = "messages_held_max")]
    pub messages_held_max: u16,
}

fn exchange() -> String {
    "unoapi.broker".to_owned()
}

fn routing_keys() -> Vec<String> {
    vec!["unoapi.outgoing.*".to_owned()]
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.access_token]
    }

    #[must_use]
    pub fn producer(&self) -> Producer {
        Producer {
            exchange: self.exchange.clone(),
            routing_keys: self.routing_keys.clone(),
            messages_held_max: self.messages_held_max,
            scrub: |body| blank(body, &["token", "apikey", "authToken", "Authorization"]),
        }
    }
}

/// One installation, ready.
#[derive(Debug)]
pub struct UnoApi {
    producer: Producer,
    api: Url,
    access_token: SecretString,
    numbers: Vec<String>,
    groups: bool,
    web: Web,
    /// What its notes are, whoever passes them on.
    whatsapp: Channel,
}

impl UnoApi {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let servers = config.media_servers.iter().chain([&config.api]).cloned().collect();
        let sites = Sites { servers, media_hosts: config.media_hosts.clone() };
        Ok(Self {
            producer: config.producer(),
            api: super::folder("api", &config.api)?,
            access_token: config.access_token.read()?,
            numbers: config.numbers.clone(),
            groups: config.groups,
            web: Web::new(limits, &sites)?,
            whatsapp: whatsapp(),
        })
    }

    /// All voice notes of one body in the Cloud API's form.
    fn take(&self, webhook: &Value, parsed: &mut Parsed) {
        for entry in items(&webhook["entry"]) {
            for change in items(&entry["changes"]) {
                let value = &change["value"];
                parsed.ignored += items(&value["statuses"]).len();
                for message in items(&value["messages"]) {
                    let said = Said { value, message };
                    parsed.take(&said, |said| self.is_voice(said), |said| self.incoming(said));
                }
            }
        }
    }

    fn is_voice(&self, said: &Said) -> bool {
        let number = said.number();
        let ours = self.numbers.is_empty() || number.is_some_and(|number| self.numbers.iter().any(|n| n == number));
        let own = number.is_some() && said.from() == number;
        ours && !own && (self.groups || said.group().is_none()) && said.message["type"] == "audio"
    }

    fn incoming(&self, said: &Said) -> Option<Incoming> {
        let message_id = said.message["id"].as_str().filter(|id| (1..=512).contains(&id.len()))?;
        let media_id = said.message["audio"]["id"].as_str().filter(|id| is_media_id(id))?;
        let sender = Private::new(said.sender()?.into_name());
        let conversation = said.group().map_or_else(|| sender.clone(), Private::from);
        let seconds = said.message["timestamp"].as_str().and_then(|text| text.parse().ok());
        Some(Incoming {
            conversation: Some(conversation),
            sender: Some(sender),
            sent_at: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            channel: Some(self.whatsapp.clone()),
            ..Incoming::new(message_id.to_owned(), Media::Remote(Remote::file(media_id)))
        })
    }
}

#[async_trait]
impl Platform for UnoApi {
    /// Nothing comes over HTTP: who may publish is the broker's to know.
    fn verify(&self, _headers: &HeaderMap, _body: &[u8]) -> Result<(), Refused> {
        Err(Refused::Unsigned)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let mut parsed = Parsed::default();
        match &envelope.payload {
            Value::Array(webhooks) => webhooks.iter().for_each(|webhook| self.take(webhook, &mut parsed)),
            webhook @ Value::Object(_) => self.take(webhook, &mut parsed),
            _ => return Err(Refused::Malformed),
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::File(id) = &media.place else { return Err(FetchError::NotFound.into()) };
        let about = self.api.join(id).map_err(|_| FetchError::NotFound)?;
        let about =
            self.web.get_json::<MediaObject>(about, Some(&self.access_token)).await.map_err(MediaError::not_told)?;
        let url = about.ok_or(MediaError::Unexpected { what: "a media object without an address" })?.url;
        // A store that it refers to is not shown the token.
        let token = (url.origin() == self.api.origin()).then_some(&self.access_token);
        self.web.get(url, token).await.map_err(MediaError::refused)
    }

    async fn listen(&self, own: &Arc<OpenChannel>, intake: &Intake, shutdown: &Shutdown) {
        self.producer.listen(own, intake, shutdown).await;
    }
}

/// Only what is read.
#[derive(Deserialize)]
struct Envelope {
    payload: Value,
}

#[derive(Deserialize)]
struct MediaObject {
    url: Url,
}

/// A message and what is said beside it.
struct Said<'a> {
    value: &'a Value,
    message: &'a Value,
}

impl<'a> Said<'a> {
    /// The installation's own number.
    fn number(&self) -> Option<&'a str> {
        self.value["metadata"]["display_phone_number"].as_str().map(digits)
    }

    fn from(&self) -> Option<&'a str> {
        self.message["from"].as_str().map(digits)
    }

    fn contact(&self) -> &'a Value {
        self.value["contacts"].get(0).unwrap_or(&Value::Null)
    }

    fn group(&self) -> Option<&'a str> {
        self.contact()["group_id"].as_str()
    }

    /// One of them may be an address that hides the number.
    fn sender(&self) -> Option<Chat> {
        Chat::of(self.from().into_iter().chain(self.contact()["wa_id"].as_str()))
    }
}

fn digits(number: &str) -> &str {
    number.trim_start_matches('+')
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// `<number>/<message>`; it becomes part of an address.
fn is_media_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'=' | b'@');
    let part_fits = |part: &str| !part.is_empty() && part.bytes().all(allowed);
    id.len() <= 256 && id.split('/').count() <= 2 && id.split('/').all(part_fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unoapi(change: impl FnOnce(&mut Config)) -> UnoApi {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "geheim").unwrap();
        let mut config: Config = serde_json::from_value(serde_json::json!({
            "api": "http://unoapi:9876/v15.0", "access_token": {"file": token.path()}
        }))
        .unwrap();
        change(&mut config);
        UnoApi::open(&config, &fetch::Config::default()).unwrap()
    }

    fn fixture(name: &str) -> Value {
        let path = format!("{}/tests/fixtures/channels/unoapi/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn parsed(unoapi: &UnoApi, message: &Value) -> Parsed {
        unoapi.parse(message.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_voice_note_is_read_and_its_conversation_is_the_number_where_one_is_known() {
        let parsed = parsed(&unoapi(|_| ()), &fixture("audio"));
        assert_eq!((parsed.notes.len(), parsed.ignored, parsed.unreadable), (1, 0, 0));
        let note = &parsed.notes[0];
        assert_eq!(note.message_id, "wamid.UNO.3EB0C7A1F2");
        assert_eq!(note.conversation.as_ref().unwrap().expose(), "4917055501");
        assert_eq!(note.sent_at.unwrap().to_string(), "2026-11-21T18:02:11Z");
        assert_eq!(note.channel.as_ref().unwrap().as_str(), "whatsapp");
        let Media::Remote(Remote { place: Place::File(id), .. }) = &note.media else { panic!("{:?}", note.media) };
        assert_eq!(id, "4930901820/3EB0C7A1F2");
    }

    #[test]
    fn every_message_of_a_list_of_payloads_is_taken() {
        let mut message = fixture("audio");
        let payload = message["payload"].take();
        let mut second = payload.clone();
        second["entry"][0]["changes"][0]["value"]["messages"][0]["id"] = "wamid.2".into();
        message["payload"] = Value::Array(vec![payload, second]);
        assert_eq!(parsed(&unoapi(|_| ()), &message).notes.len(), 2);
    }

    #[test]
    fn own_messages_receipts_texts_and_other_numbers_are_ignored() {
        let audio = fixture("audio");
        let at = "/payload/entry/0/changes/0/value";
        for (field, value) in [
            ("/messages/0/from", "4930901820"),
            ("/messages/0/type", "text"),
            ("/metadata/display_phone_number", "4940123"),
        ] {
            let mut message = audio.clone();
            *message.pointer_mut(&format!("{at}{field}")).unwrap() = value.into();
            let parsed = parsed(&unoapi(|config| config.numbers = vec!["4930901820".to_owned()]), &message);
            assert_eq!((parsed.notes.len(), parsed.ignored), (0, 1), "{field}");
        }
        assert_eq!(parsed(&unoapi(|_| ()), &fixture("status")).ignored, 1);
        let mut group = audio;
        group.pointer_mut(at).unwrap()["contacts"][0]["group_id"] = "120363@g.us".into();
        assert_eq!(parsed(&unoapi(|_| ()), &group).ignored, 1);
        let taken = parsed(&unoapi(|config| config.groups = true), &group);
        assert_eq!(taken.notes[0].conversation.as_ref().unwrap().expose(), "120363@g.us");
    }

    #[test]
    fn an_id_that_leads_elsewhere_is_unreadable() {
        for id in ["../admin", "a/b/c", "https://evil.example/", "a b", "", "/x", "a//b", "%2e%2e/x"] {
            let mut message = fixture("audio");
            message["payload"]["entry"][0]["changes"][0]["value"]["messages"][0]["audio"]["id"] = id.into();
            let parsed = parsed(&unoapi(|_| ()), &message);
            assert_eq!((parsed.notes.len(), parsed.unreadable), (0, 1), "{id}");
        }
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for body in ["", "{", "[]", "null", r#"{"payload":7}"#, r#"{"split":true}"#] {
            assert!(matches!(unoapi(|_| ()).parse(body.as_bytes()), Err(Refused::Malformed)), "{body}");
        }
    }

    #[test]
    fn the_tokens_of_webhooks_are_blanked() {
        let mut body = fixture("audio").to_string().into_bytes();
        (unoapi(|_| ()).producer.scrub)(&mut body);
        let left: Value = serde_json::from_slice(&body).unwrap();
        assert!(left["webhooks"][0]["token"].as_str().unwrap().bytes().all(|b| b == b'*'), "{left}");
    }
}
