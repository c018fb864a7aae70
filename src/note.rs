//! Owns the voice note as the rest of the program knows it: who sent it over which channel, and where its audio is.
//!
//! It knows nothing of queues or of how a note is encoded on the wire; [`crate::event`] turns bytes into a
//! [`VoiceNote`].

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::private::Private;

/// Every deterministic id of this program is a UUIDv5 in this namespace. It must never change: ids are compared
/// across versions.
const NAMESPACE: Uuid = Uuid::from_u128(0x8d0f_6a1e_53c7_5b0e_9a56_6f0c_2d0f_7e11);

/// One voice note that waits to be understood: the `data` of a `de.sprachpost.voice-note.received.v1` event.
///
/// Unknown fields are ignored, because within a version the contract only grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VoiceNote {
    /// The operator's customer or department that the note belongs to.
    pub tenant: Tenant,
    /// The messenger or system that the note came from.
    pub channel: Channel,
    /// The platform's own id of the message; with tenant and channel it identifies the note.
    #[schemars(length(min = 1, max = 512))]
    pub message_id: String,
    /// The conversation the note belongs to, as the platform names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Private>,
    /// The ticket this note belongs to, where it is known already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// A pseudonymous id of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Private>,
    /// When the customer sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// The language spoken, as an ISO 639-1 code, where it is known; it is then not detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Until when the channel lets an answer through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_window_ends_at: Option<Timestamp>,
    /// How soon its sender needs it heard. What a note says about its own urgency is found out later.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Where the audio is.
    pub audio: AudioSource,
}

/// How soon a note is to be worked on, as its sender says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// In its turn.
    #[default]
    Normal,
    /// Before all others. Published with a routing key that begins with `urgent.`.
    Urgent,
}

impl Priority {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

impl VoiceNote {
    /// A note of which nothing is known but what has to be.
    #[must_use]
    pub fn new(tenant: Tenant, channel: Channel, message_id: String, audio: AudioSource) -> Self {
        Self {
            tenant,
            channel,
            message_id,
            conversation: None,
            ticket: None,
            sender: None,
            sent_at: None,
            language: None,
            reply_window_ends_at: None,
            priority: Priority::Normal,
            audio,
        }
    }

    #[must_use]
    pub fn id(&self) -> NoteId {
        NoteId::of(&self.tenant, &self.channel, &self.message_id)
    }
}

/// Where a note's audio is. By reference (claim check) is the rule: brokers cap the size of a message.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AudioSource {
    /// The audio itself, base64; small notes only (`fetch.inline_bytes_max`).
    Inline { data: String },
    /// An https address on a host that the operator allows (`fetch.hosts`).
    Url { url: Url },
    /// A file below one of the operator's roots (`fetch.file_roots`).
    File { path: String },
    /// An object in the configured S3-compatible store (`fetch.object_store`).
    Object { bucket: String, key: String },
}

impl fmt::Debug for AudioSource {
    /// Names the kind of source only: addresses carry tokens, paths carry telephone numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline { .. } => "Inline(…)",
            Self::Url { .. } => "Url(…)",
            Self::File { .. } => "File(…)",
            Self::Object { .. } => "Object(…)",
        })
    }
}

impl AudioSource {
    /// Where the audio can be fetched again; none where the note itself was all there is of it.
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        Some(match self {
            Self::Inline { .. } => return None,
            Self::Url { url } => Recording::Url { url: url.clone() },
            Self::File { path } => Recording::File { path: path.clone() },
            Self::Object { bucket, key } => Recording::Object { bucket: bucket.clone(), key: key.clone() },
        })
    }
}

/// Where a note's audio can be fetched again by whoever may fetch from there: an [`AudioSource`] that is a place.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Recording {
    /// The address that the note named; it may have expired.
    Url { url: Url },
    /// A file on machines that share the operator's folders.
    File { path: String },
    /// An object in the configured S3-compatible store.
    Object { bucket: String, key: String },
}

impl Recording {
    /// How much it adds to an event, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Url { url } => url.as_str().len(),
            Self::File { path } => path.len(),
            Self::Object { bucket, key } => bucket.len() + key.len(),
        }
    }
}

impl From<Recording> for AudioSource {
    fn from(recording: Recording) -> Self {
        match recording {
            Recording::Url { url } => Self::Url { url },
            Recording::File { path } => Self::File { path },
            Recording::Object { bucket, key } => Self::Object { bucket, key },
        }
    }
}

impl fmt::Debug for Recording {
    /// As of an [`AudioSource`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AudioSource::from(self.clone()).fmt(f)
    }
}

/// Identifies a note for good: UUIDv5 of tenant, channel and platform message id. A redelivery has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NoteId(Uuid);

impl NoteId {
    #[must_use]
    pub fn of(tenant: &Tenant, channel: &Channel, message_id: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, identity(tenant, channel, message_id).as_bytes()))
    }

    /// The id of a message that could not be read as a note: the same bytes have the same id.
    #[must_use]
    pub fn of_unreadable(body: &[u8]) -> Self {
        Self(Uuid::new_v5(&Uuid::new_v5(&NAMESPACE, b"unreadable"), body))
    }

    /// The id of one event about this note, for example of type `de.sprachpost.voice-note.processed.v1`. Consumers
    /// dedupe on it: it is the same on every redelivery.
    #[must_use]
    pub fn event_id(self, event_type: &str) -> Uuid {
        Uuid::new_v5(&self.0, event_type.as_bytes())
    }

    /// The id of the same event where people sent the note back to work for the `replay`th time: new to consumers, and
    /// the same however often that replay is delivered. With 0 it is [`NoteId::event_id`].
    #[must_use]
    pub fn event_id_of_replay(self, event_type: &str, replay: u32) -> Uuid {
        let first = self.event_id(event_type);
        if replay == 0 { first } else { Uuid::new_v5(&first, format!("replay {replay}").as_bytes()) }
    }

    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for NoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NoteId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The id of what is known by these words, whatever it is; the first says what.
#[must_use]
pub fn id_of(words: &[&str]) -> Uuid {
    let text = words.iter().fold(String::new(), |text, word| format!("{text}{}:{word}", word.len()));
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}

/// Lengths are part of the hashed text, so that no two different notes can share it by shifting characters.
fn identity(tenant: &Tenant, channel: &Channel, message_id: &str) -> String {
    let [tenant, channel] = [tenant.as_str(), channel.as_str()];
    format!("{}:{tenant}{}:{channel}{}:{message_id}", tenant.len(), channel.len(), message_id.len())
}

/// A name that may be a word of a routing key: 1 to 64 of `a-z`, `0-9`, `_` and `-`.
macro_rules! topic_word {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(regex(pattern = r"^[a-z0-9_-]{1,64}$"))] String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let fits = (1..=64).contains(&text.len())
                    && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
                if fits { Ok(Self(text.to_owned())) } else { Err(NameError { what: $what }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

topic_word!(
    /// Whose customers speak: the first half of every routing key.
    Tenant,
    "tenant"
);
topic_word!(
    /// The messenger or system a note came from, for example `whatsapp`.
    Channel,
    "channel"
);

impl Channel {
    /// The channel of notes that were handed in directly and name no other.
    #[must_use]
    pub fn upload() -> Self {
        Self("upload".to_owned())
    }
}

/// The text itself is not repeated: it may be anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is 1 to 64 characters of a-z, 0-9, _ and -")]
pub struct NameError {
    what: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(tenant: &str, channel: &str, message: &str) -> NoteId {
        NoteId::of(&tenant.parse().unwrap(), &channel.parse().unwrap(), message)
    }

    #[test]
    fn the_note_id_is_the_same_on_every_machine_and_version() {
        assert_eq!(id("musterstrom", "whatsapp", "wamid.1"), id("musterstrom", "whatsapp", "wamid.1"));
        insta::assert_snapshot!(id("musterstrom", "whatsapp", "wamid.1"), @"b0d06c48-47c0-583a-b470-5984a1d880b9");
    }

    #[test]
    fn every_replay_has_event_ids_of_its_own_and_always_the_same() {
        let note = id("musterstrom", "whatsapp", "wamid.1");
        let ids: std::collections::BTreeSet<Uuid> = (0..10).map(|n| note.event_id_of_replay("t", n)).collect();
        assert_eq!(ids.len(), 10);
        assert_eq!(note.event_id_of_replay("t", 0), note.event_id("t"));
        insta::assert_snapshot!(note.event_id_of_replay("t", 1), @"96e4ee7b-2355-58a6-a5ff-7be5084121ef");
    }

    #[test]
    fn characters_cannot_move_between_the_parts_of_an_id() {
        assert_ne!(id("ab", "c", "d"), id("a", "bc", "d"));
        assert_ne!(id("a", "b", "1:cd"), id("a", "b1", "cd"));
    }

    #[test]
    fn a_tenant_can_never_widen_a_routing_key() {
        for bad in ["", "a.b", "*", "#", "A", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<Tenant>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_recording_is_the_source_again_and_inline_audio_has_none() {
        for source in [
            serde_json::json!({"type": "url", "url": "https://media.example/secret-token"}),
            serde_json::json!({"type": "file", "path": "/spool/4917055501.ogg"}),
            serde_json::json!({"type": "object", "bucket": "notes", "key": "4917055501"}),
        ] {
            let audio: AudioSource = serde_json::from_value(source.clone()).unwrap();
            let recording = audio.recording().unwrap();
            let shown = format!("{recording:?}");
            assert!(!shown.contains("secret") && !shown.contains("555"), "{shown}");
            assert_eq!(serde_json::to_value(&recording).unwrap(), source);
            assert_eq!(AudioSource::from(recording), audio);
        }
        assert_eq!(AudioSource::Inline { data: "T2dnUw==".to_owned() }.recording(), None);
    }

    #[test]
    fn debug_of_a_note_hides_addresses_and_people() {
        let note: VoiceNote = serde_json::from_value(serde_json::json!({
            "tenant": "t", "channel": "c", "message_id": "m", "sender": "+49170555", "conversation": "+49170555",
            "audio": {"type": "url", "url": "https://media.example/secret-token"}
        }))
        .unwrap();
        let shown = format!("{note:?}");
        assert!(!shown.contains("555") && !shown.contains("secret-token"), "{shown}");
    }
}
