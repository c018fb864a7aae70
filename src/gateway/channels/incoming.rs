//! Owns what a platform says about a voice note before anybody has its audio.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::MediaError;
use crate::{
    hex::{hex, unhex},
    note::{AudioSource, Channel, NoteId, Priority, Tenant, VoiceNote},
    private::Private,
};

/// What a body held.
#[derive(Debug, Default)]
pub struct Parsed {
    pub notes: Vec<Incoming>,
    /// Texts, pictures, receipts: what is none of our business.
    pub ignored: usize,
    /// What should have been a voice note and could not be read.
    pub unreadable: usize,
}

/// As the contract has it.
const ID_BYTES: std::ops::RangeInclusive<usize> = 1..=512;

impl Parsed {
    /// Counts one message, and keeps it where it is a voice note.
    pub fn take<T>(&mut self, message: &T, is_voice: impl Fn(&T) -> bool, read: impl Fn(&T) -> Option<Incoming>) {
        if !is_voice(message) {
            self.ignored += 1;
        } else if let Some(incoming) = read(message).filter(|it| ID_BYTES.contains(&it.message_id.len())) {
            self.notes.push(incoming);
        } else {
            self.unreadable += 1;
        }
    }
}

/// One voice note that a platform tells of. Its id makes it one note, however often the platform says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incoming {
    /// The platform's own id, unique within the channel.
    pub message_id: String,
    /// Where an answer goes, as the platform names it.
    pub conversation: Option<Private>,
    /// The platform's own name for the sender; the note will carry a pseudonym.
    pub sender: Option<Private>,
    pub ticket: Option<String>,
    pub sent_at: Option<Timestamp>,
    pub language: Option<String>,
    pub reply_window_ends_at: Option<Timestamp>,
    /// The messenger behind a system that passes on what others received; none: the channel itself.
    pub channel: Option<Channel>,
    pub media: Media,
}

/// A note's audio, or where it is for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// It came with the message. It is stored at once and is never queued.
    #[serde(skip)]
    Inline(Bytes),
    /// The channel knows how to fetch it.
    Remote(Remote),
}

/// Audio in memory; `Debug` shows its size.
#[derive(Clone, PartialEq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// Audio at the platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    pub place: Place,
    /// What decrypts it, where it is encrypted end to end; in the form that the platform's file defines.
    pub key: Option<Private>,
    /// What it has to be, where the platform says: 32 bytes in hex.
    pub sha256: Option<String>,
    /// How large it is, in bytes, where the platform says.
    pub bytes: Option<u64>,
}

/// How the platform refers to it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// An address; it may be good for anybody who knows it.
    Url(Url),
    /// An id that the platform's interface turns into an address or bytes.
    File(String),
}

impl fmt::Debug for Place {
    /// Addresses carry tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url(_) => "Url(…)",
            Self::File(_) => "File(…)",
        })
    }
}

impl Incoming {
    /// A note of which nothing is known but what has to be.
    #[must_use]
    pub fn new(message_id: String, media: Media) -> Self {
        Self {
            message_id,
            conversation: None,
            sender: None,
            ticket: None,
            sent_at: None,
            language: None,
            reply_window_ends_at: None,
            channel: None,
            media,
        }
    }

    /// The id that its note will have; `channel` where it names none itself.
    #[must_use]
    pub fn note_id(&self, tenant: &Tenant, channel: &Channel) -> NoteId {
        NoteId::of(tenant, self.channel.as_ref().unwrap_or(channel), &self.message_id)
    }

    /// The note, now that its audio is known to be at `audio`.
    #[must_use]
    pub fn into_note(self, tenant: Tenant, channel: Channel, audio: AudioSource) -> VoiceNote {
        let channel = self.channel.unwrap_or(channel);
        VoiceNote {
            sender: self.sender.map(|sender| pseudonym(&tenant, &channel, &sender)),
            tenant,
            channel,
            message_id: self.message_id,
            conversation: self.conversation,
            ticket: self.ticket,
            sent_at: self.sent_at,
            language: self.language,
            reply_window_ends_at: self.reply_window_ends_at,
            priority: Priority::Normal,
            audio,
        }
    }
}

/// The same for the same person at the same tenant and channel, and at no other.
fn pseudonym(tenant: &Tenant, channel: &Channel, sender: &Private) -> Private {
    let scope = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{tenant}:{channel}").as_bytes());
    Private::new(format!("c:{}", Uuid::new_v5(&scope, sender.expose().as_bytes()).simple()))
}

impl Remote {
    #[must_use]
    pub fn file(id: impl Into<String>) -> Self {
        Self { place: Place::File(id.into()), key: None, sha256: None, bytes: None }
    }

    #[must_use]
    pub fn url(url: Url) -> Self {
        Self { place: Place::Url(url), key: None, sha256: None, bytes: None }
    }

    /// With the digest that a platform announced, in hex or base64, whichever it is.
    #[must_use]
    pub fn with_sha256(mut self, announced: Option<&str>) -> Self {
        self.sha256 = announced.and_then(digest);
        self
    }

    /// Whether these bytes are the ones that were announced.
    ///
    /// # Errors
    /// [`MediaError::Altered`].
    pub fn check(&self, audio: &[u8]) -> Result<(), MediaError> {
        match &self.sha256 {
            Some(announced) if *announced != hex(&Sha256::digest(audio)) => Err(MediaError::Altered),
            _ => Ok(()),
        }
    }
}

/// Meta writes digests in base64 here and in hex there.
fn digest(text: &str) -> Option<String> {
    let bytes = unhex(text).filter(|bytes| bytes.len() == 32).or_else(|| BASE64_STANDARD.decode(text).ok())?;
    (bytes.len() == 32).then(|| hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_understood_in_hex_and_in_base64() {
        let audio = b"OggS";
        let digest = Sha256::digest(audio);
        for written in [hex(&digest), hex(&digest).to_uppercase(), BASE64_STANDARD.encode(digest)] {
            let remote = Remote::file("1").with_sha256(Some(&written));
            assert_eq!(remote.check(audio), Ok(()), "{written}");
            assert_eq!(remote.check(b"other"), Err(MediaError::Altered), "{written}");
        }
        assert_eq!(Remote::file("1").with_sha256(Some("none")).check(audio), Ok(()));
    }

    #[test]
    fn debug_shows_neither_people_nor_addresses_nor_audio() {
        let remote = Remote::url("https://media.example/secret-token".parse().unwrap());
        let mut incoming = Incoming::new("1".to_owned(), Media::Remote(remote));
        incoming.sender = Some("4917055501".into());
        let shown = format!("{incoming:?} {:?}", Media::Inline(Bytes(b"OggS".to_vec())));
        assert!(!shown.contains("555") && !shown.contains("secret") && !shown.contains("79"), "{shown}");
    }
}
