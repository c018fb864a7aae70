//! Owns the messages that Evolution API publishes to RabbitMQ: one event for each message that its numbers see.
//!
//! They hold the audio itself (`base64`), or its address in the installation's own store (`mediaUrl`). They also hold
//! the key to the whole installation, which nobody here has a use for: it is blanked before anything is read.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::HeaderMap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    Incoming, Media, MediaError, OpenChannel, Parsed, Place, Platform, Refused, Remote, SetupError, incoming::Bytes,
    intake::Intake, jid::Chat, producer::Producer, scrub::blank,
};
use crate::{
    audio::fetch::{self, FetchError, Sites, Web},
    config::Secret,
    note::Channel,
    private::Private,
    shutdown::Shutdown,
};

/// An installation of Evolution API that publishes to the same RabbitMQ and virtual host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The topic exchange that it publishes to: `evolution_exchange` where it is set up globally, else the instance's
    /// name.
    #[serde(default = "exchange")]
    pub exchange: String,
    /// With the prefix that it puts before its events, where it has one.
    #[serde(default = "routing_keys")]
    pub routing_keys: Vec<String>,
    /// The instances whose notes are taken; empty: all.
    #[serde(default)]
    pub instances: Vec<String>,
    /// Take what is said in groups, too.
    #[serde(default)]
    pub groups: bool,
    /// The store that `mediaUrl` leads to, for example `http://minio:9000`: a server of your own. It may be private.
    #[serde(default)]
    pub media_servers: Vec<Url>,
    /// Further hosts that `mediaUrl` may lead to, as in `fetch.hosts`.
    #[serde(default)]
    pub media_hosts: Vec<String>,
    /// Messages in memory at a time; each may hold a whole recording.
    #[serde(default = "messages_held_max")]
    pub messages_held_max: u16,
}

fn exchange() -> String {
    "evolution_exchange".to_owned()
}

fn routing_keys() -> Vec<String> {
    vec![UPSERT.to_owned()]
}

pub(super) fn messages_held_max() -> u16 {
    8
}

const UPSERT: &str = "messages.upsert";

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![]
    }

    #[must_use]
    pub fn producer(&self) -> Producer {
        Producer {
            exchange: self.exchange.clone(),
            routing_keys: self.routing_keys.clone(),
            messages_held_max: self.messages_held_max,
            scrub: |body| blank(body, &["apikey"]),
        }
    }
}

/// One installation, ready.
#[derive(Debug)]
pub struct Evolution {
    producer: Producer,
    instances: Vec<String>,
    groups: bool,
    web: Web,
    audio_bytes_max: u64,
    /// What its notes are, whoever passes them on.
    whatsapp: Channel,
}

impl Evolution {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let sites = Sites { servers: config.media_servers.clone(), media_hosts: config.media_hosts.clone() };
        Ok(Self {
            producer: config.producer(),
            instances: config.instances.clone(),
            groups: config.groups,
            web: Web::new(limits, &sites)?,
            audio_bytes_max: limits.bytes_max,
            whatsapp: whatsapp(),
        })
    }

    fn is_wanted(&self, event: &Event) -> bool {
        let name = event.name.replace('_', ".");
        name.eq_ignore_ascii_case(UPSERT) && (self.instances.is_empty() || self.instances.contains(&event.instance))
    }

    /// Somebody else's voice, in a chat that is listened to.
    fn is_voice(&self, data: &Value) -> bool {
        let key = Key::of(data);
        let heard = key.chat().is_some_and(|chat| chat.is_person() || (self.groups && chat.is_group()));
        heard && !key.from_me && is_audio(data)
    }

    fn incoming(&self, data: &Value) -> Option<Incoming> {
        let key = Key::of(data);
        let message_id = key.id.clone().filter(|id| (1..=512).contains(&id.len()))?;
        let conversation = Private::new(key.chat()?.into_name());
        let sender = key.sender().map_or_else(|| conversation.clone(), |sender| Private::new(sender.into_name()));
        Some(Incoming {
            conversation: Some(conversation),
            sender: Some(sender),
            sent_at: seconds(&data["messageTimestamp"]).and_then(|seconds| Timestamp::from_second(seconds).ok()),
            channel: Some(self.whatsapp.clone()),
            ..Incoming::new(message_id, self.media(&data["message"])?)
        })
    }

    fn media(&self, message: &Value) -> Option<Media> {
        let text = |field: &str| [message, inner(message)].iter().find_map(|at| at[field].as_str());
        if let Some(audio) = text("base64") {
            // Some versions write a data URL.
            let audio = audio.rsplit_once(";base64,").map_or(audio, |(_, audio)| audio);
            // Four characters are three bytes.
            let fits = audio.len() as u64 / 4 * 3 <= self.audio_bytes_max;
            let audio = fits.then(|| BASE64_STANDARD.decode(audio.trim()).ok())??;
            return (!audio.is_empty()).then_some(Media::Inline(Bytes(audio)));
        }
        let url = text("mediaUrl")?.parse().ok()?;
        Some(Media::Remote(Remote::url(url)))
    }
}

#[expect(clippy::expect_used, reason = "a constant that a test reads")]
pub(super) fn whatsapp() -> Channel {
    "whatsapp".parse().expect("this constant is a channel's name")
}

#[async_trait]
impl Platform for Evolution {
    /// Nothing comes over HTTP: who may publish is the broker's to know.
    fn verify(&self, _headers: &HeaderMap, _body: &[u8]) -> Result<(), Refused> {
        Err(Refused::Unsigned)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let event: Event = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let mut parsed = Parsed::default();
        if !self.is_wanted(&event) {
            parsed.ignored += 1;
            return Ok(parsed);
        }
        let messages = match event.data {
            Value::Array(messages) => messages,
            message @ Value::Object(_) => vec![message],
            _ => return Err(Refused::Malformed),
        };
        for message in &messages {
            parsed.take(message, |message| self.is_voice(message), |message| self.incoming(message));
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::Url(url) = &media.place else { return Err(FetchError::NotFound.into()) };
        Ok(self.web.get(url.clone(), None).await?)
    }

    async fn listen(&self, own: &Arc<OpenChannel>, intake: &Intake, shutdown: &Shutdown) {
        self.producer.listen(own, intake, shutdown).await;
    }
}

/// Only what is read.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event")]
    name: String,
    #[serde(default)]
    instance: String,
    #[serde(default)]
    data: Value,
}

/// Who said what to whom. A field of another type than expected is as good as none.
#[derive(Default)]
struct Key<'a> {
    id: Option<String>,
    from_me: bool,
    /// All addresses of the chat.
    chat: Vec<&'a str>,
    /// All addresses of who speaks in a group.
    sender: Vec<&'a str>,
}

impl<'a> Key<'a> {
    fn of(data: &'a Value) -> Self {
        let key = &data["key"];
        let texts = |fields: &[&str]| fields.iter().filter_map(|field| key[field].as_str()).collect::<Vec<_>>();
        let is_group = key["remoteJid"].as_str().is_some_and(|address| address.ends_with("@g.us"));
        // In a group, the fields that name a person name who speaks.
        let (of_chat, of_sender): (&[&str], &[&str]) = if is_group {
            (&["remoteJid"], &["participant", "participantAlt", "participantPn", "senderPn", "participantLid"])
        } else {
            (&["remoteJid", "remoteJidAlt", "senderPn", "previousRemoteJid", "senderLid"], &[])
        };
        Self {
            id: key["id"].as_str().map(str::to_owned),
            from_me: key["fromMe"].as_bool().unwrap_or_default(),
            chat: texts(of_chat),
            sender: texts(of_sender),
        }
    }

    fn chat(&self) -> Option<Chat> {
        Chat::of(self.chat.iter().copied())
    }

    fn sender(&self) -> Option<Chat> {
        Chat::of(self.sender.iter().copied())
    }
}

/// A voice note, another recording, or a round video message: somebody may speak in each.
fn is_audio(data: &Value) -> bool {
    let names = ["audioMessage", "ptvMessage"];
    let message = inner(&data["message"]);
    names.iter().any(|name| message[name].is_object())
        || data["messageType"].as_str().is_some_and(|t| names.contains(&t))
}

/// A message within others: one that disappears, or can be played once.
fn inner(message: &Value) -> &Value {
    const WRAPPERS: [&str; 4] =
        ["ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"];
    let unwrapped = |outer: &'_ Value| WRAPPERS.iter().find(|name| outer[**name]["message"].is_object()).copied();
    let mut message = message;
    // Nobody wraps deeper, and whoever does is not followed for ever.
    for _ in 0..WRAPPERS.len() {
        let Some(wrapper) = unwrapped(message) else { break };
        message = &message[wrapper]["message"];
    }
    message
}

/// A number, the same as text, or its lower half as JavaScript keeps long ones.
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).or_else(|| value["low"].as_i64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evolution(change: impl FnOnce(&mut Config)) -> Evolution {
        let mut config: Config = serde_json::from_str("{}").unwrap();
        change(&mut config);
        Evolution::open(&config, &fetch::Config::default()).unwrap()
    }

    fn fixture(name: &str) -> Value {
        let path = format!("{}/tests/fixtures/channels/evolution/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn parsed(evolution: &Evolution, event: &Value) -> Parsed {
        evolution.parse(event.to_string().as_bytes()).unwrap()
    }

    fn note(event: &Value) -> Incoming {
        let parsed = parsed(&evolution(|_| ()), event);
        assert_eq!((parsed.ignored, parsed.unreadable), (0, 0));
        let [note] = <[Incoming; 1]>::try_from(parsed.notes).unwrap();
        note
    }

    #[test]
    fn a_voice_note_with_its_audio_is_read() {
        let note = note(&fixture("audio-base64"));
        assert_eq!(note.message_id, "3EB0D98ABA37B1B6C9E5");
        assert_eq!(note.conversation.unwrap().expose(), "4917055501");
        assert_eq!(note.sender.unwrap().expose(), "4917055501");
        assert_eq!(note.sent_at.unwrap().to_string(), "2026-11-21T18:02:11Z");
        assert_eq!(note.channel.unwrap().as_str(), "whatsapp");
        let Media::Inline(Bytes(audio)) = note.media else { panic!("{:?}", note.media) };
        assert!(audio.starts_with(b"OggS"));
    }

    #[test]
    fn one_of_a_hidden_number_belongs_to_the_conversation_of_the_number() {
        let event = fixture("audio-media-url-lid");
        let note = note(&event);
        assert_eq!(note.conversation.unwrap().expose(), "4917055501");
        let Media::Remote(Remote { place: Place::Url(url), .. }) = note.media else { panic!("{:?}", note.media) };
        assert_eq!(url.host_str(), Some("minio.intern"));
    }

    #[test]
    fn what_is_no_voice_of_a_customer_is_ignored_and_counted() {
        for name in ["text", "own-audio", "status-audio", "connection-update"] {
            let parsed = parsed(&evolution(|_| ()), &fixture(name));
            assert_eq!((parsed.notes.len(), parsed.ignored, parsed.unreadable), (0, 1, 0), "{name}");
        }
        let other = evolution(|config| config.instances = vec!["other".to_owned()]);
        assert_eq!(parsed(&other, &fixture("audio-base64")).ignored, 1);
    }

    #[test]
    fn a_group_is_listened_to_where_that_is_wanted_and_its_sender_is_who_speaks() {
        let event = fixture("group-audio");
        assert_eq!(parsed(&evolution(|_| ()), &event).ignored, 1);
        let parsed = parsed(&evolution(|config| config.groups = true), &event);
        let note = &parsed.notes[0];
        assert_eq!(note.conversation.as_ref().unwrap().expose(), "120363028123456789@g.us");
        assert_eq!(note.sender.as_ref().unwrap().expose(), "4917055501");
    }

    #[test]
    fn several_messages_in_one_event_are_all_taken() {
        let mut event = fixture("audio-base64");
        let first = event["data"].clone();
        let mut second = first.clone();
        second["key"]["id"] = "3EB0".into();
        let text = fixture("text")["data"].clone();
        event["data"] = Value::Array(vec![first, text, second]);
        let parsed = parsed(&evolution(|_| ()), &event);
        assert_eq!((parsed.notes.len(), parsed.ignored), (2, 1));
    }

    #[test]
    fn a_voice_note_without_audio_or_id_is_unreadable_and_not_lost_in_silence() {
        let good = fixture("audio-base64");
        for (pointer, value) in [
            ("/data/message/base64", Value::Null),
            ("/data/message/base64", "not base64 !".into()),
            ("/data/message/base64", "".into()),
            ("/data/message/base64", Value::from(7)),
            ("/data/key/id", "".into()),
            ("/data/key/id", "x".repeat(513).into()),
        ] {
            let mut event = good.clone();
            *event.pointer_mut(pointer).unwrap() = value;
            let parsed = parsed(&evolution(|_| ()), &event);
            assert_eq!((parsed.notes.len(), parsed.unreadable), (0, 1), "{pointer}");
        }
        let small = Evolution { audio_bytes_max: 10, ..evolution(|_| ()) };
        assert_eq!(parsed(&small, &good).unreadable, 1, "larger than audio may be");
    }

    #[test]
    fn what_is_no_event_is_malformed_and_never_a_panic() {
        let evolution = evolution(|_| ());
        let deep = "[".repeat(100_000);
        for body in ["", "{", "[]", "null", "\"text\"", r#"{"event":"messages.upsert","data":7}"#, &deep] {
            assert!(matches!(evolution.parse(body.as_bytes()), Err(Refused::Malformed)), "{body:.20}");
        }
        for event in [
            serde_json::json!({"event": "messages.upsert", "data": {"key": 7, "message": []}}),
            serde_json::json!({"event": "messages.upsert", "data": {"key": {"remoteJid": {}, "id": 1}, "message": null}}),
        ] {
            assert_eq!(parsed(&evolution, &event).ignored, 1);
        }
    }

    #[test]
    fn a_message_that_can_be_played_once_is_found_in_its_wrapping() {
        let mut event = fixture("audio-base64");
        let mut message = event["data"]["message"].take();
        let base64 = message["base64"].take();
        event["data"]["messageType"] = "viewOnceMessageV2Extension".into();
        event["data"]["message"] =
            serde_json::json!({"viewOnceMessageV2Extension": {"message": message}, "base64": base64});
        assert!(matches!(note(&event).media, Media::Inline(_)));
    }

    #[test]
    fn the_key_of_the_installation_is_blanked() {
        let mut body = fixture("audio-base64").to_string().into_bytes();
        (evolution(|_| ()).producer.scrub)(&mut body);
        let left: Value = serde_json::from_slice(&body).unwrap();
        assert!(left["apikey"].as_str().unwrap().bytes().all(|b| b == b'*'), "{}", left["apikey"]);
    }
}
