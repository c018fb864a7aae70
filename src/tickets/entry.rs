//! Owns what one result says in a ticket, for every vendor alike. It knows nothing of how it gets there.
//!
//! * [`text`]: the note that agents read. [`words`]: its sentences, in German and English.

mod text;
mod wishes;
mod words;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::Config;
use crate::{
    event::{Processed, processed::AudioInfo},
    hex,
    note::{Channel, NoteId, Tenant},
    private::Private,
};

/// One result, ready to be written down. What it maps to in the system (priority, team, tags) is decided already.
#[derive(Debug, Clone, PartialEq)]
pub struct TicketEntry {
    pub marker: Marker,
    /// None where the channel knows no conversations.
    pub conversation: Option<ConversationKey>,
    /// The ticket that the note named. It comes from outside: check its form before it becomes part of an address.
    pub reference: Option<String>,
    /// One line without personal data.
    pub title: String,
    /// The whole note as plain text, with the marker in its last line. What customers said is in it: a vendor that
    /// takes markup has to escape it.
    pub text: Private,
    /// The recording, where it is to be attached.
    pub attachment: Option<Attachment>,
    /// In the vendor's words; none: leave it as it is.
    pub priority: Option<String>,
    /// The vendor's queue, group or team; none: leave it as it is.
    pub team: Option<String>,
    /// Added to those that the ticket has.
    pub tags: Vec<String>,
    /// When the ticket is to come up again.
    pub reminder_at: Option<Timestamp>,
}

/// What became of the recording on its way into the ticket.
#[derive(Debug, Clone, PartialEq)]
pub enum Playback {
    /// It is attached.
    Attached(Bytes),
    /// It is not to be.
    NotWanted,
    /// The note carried its audio itself, so that there is nothing to fetch it from.
    NotKept,
    /// It cannot be fetched any more.
    Gone,
    /// It is larger than what may be attached.
    TooLarge,
}

impl TicketEntry {
    /// What `result` says in the system of `config`.
    #[must_use]
    pub fn of(result: &Processed, config: &Config, playback: &Playback) -> Self {
        let understanding = result.understanding.as_ref();
        let route = result.route.as_ref();
        let marker = Marker::of(result.note_id, result.replay);
        Self {
            conversation: ConversationKey::of_result(result),
            reference: result.ticket.clone(),
            title: text::title(result, config),
            text: text::note(result, config, playback, &marker),
            attachment: match playback {
                Playback::Attached(bytes) => Some(Attachment::of(result, bytes)),
                _ => None,
            },
            priority: understanding.and_then(|u| config.priority_by_urgency.get(&u.urgency.level)).cloned(),
            team: route.and_then(|route| config.team_by_route.get(route.team.as_ref()?)).cloned(),
            tags: tags(result, config),
            reminder_at: result.follow_up.as_ref().filter(|_| config.reminds()).map(|follow_up| follow_up.due_at),
            marker,
        }
    }

    /// What the tickets of this entry are found by: its conversation, or itself where it has none.
    #[must_use]
    pub fn key(&self) -> &str {
        self.conversation.as_ref().map_or(self.marker.as_str(), ConversationKey::as_str)
    }

    /// The same without its brackets.
    #[must_use]
    pub fn bare_key(&self) -> &str {
        bare(self.key())
    }
}

/// Each once, in the order of the configuration.
fn tags(result: &Processed, config: &Config) -> Vec<String> {
    let intent = result.understanding.as_ref().and_then(|u| u.intent.as_ref());
    let of_intent = intent.and_then(|intent| config.tags_by_intent.get(&intent.name));
    let escalated = result.route.as_ref().is_some_and(|route| route.escalate);
    let of_escalation = escalated.then_some(&config.tags_if_escalated);
    let mut tags = Vec::new();
    for tag in [Some(&config.tags), of_intent, of_escalation].into_iter().flatten().flatten() {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

/// `[vn:<note id>]`, or `[vn:<note id>.<n>]` for the result of the `n`th replay: what a note is recognised by, so that
/// it is written once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Marker(String);

impl Marker {
    #[must_use]
    pub fn of(note: NoteId, replay: u32) -> Self {
        Self(if replay == 0 { format!("[vn:{note}]") } else { format!("[vn:{note}.{replay}]") })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without its brackets, for fields of their own and for searches to which brackets mean something.
    #[must_use]
    pub fn bare(&self) -> &str {
        bare(&self.0)
    }
}

/// `[vc:<hash>]`: a short hash of tenant, channel and conversation. Conversations are often telephone numbers, and a
/// ticket's title is no place for those.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConversationKey(String);

impl ConversationKey {
    /// Bytes of the hash: among a billion conversations no two share a key, but with a chance of one in 10¹¹.
    const HASH_BYTES: usize = 12;

    #[must_use]
    pub fn of(tenant: &Tenant, channel: &Channel, conversation: &Private) -> Self {
        // Neither a tenant nor a channel can hold a dot, so that the parts cannot be shifted.
        let text = format!("{tenant}.{channel}.{}", conversation.expose());
        Self(format!("[vc:{}]", hex::hex(&Sha256::digest(text)[..Self::HASH_BYTES])))
    }

    /// None where the result does not say which conversation it belongs to.
    #[must_use]
    pub fn of_result(result: &Processed) -> Option<Self> {
        Some(Self::of(result.tenant.as_ref()?, result.channel.as_ref()?, result.conversation.as_ref()?))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without its brackets, for fields of their own and for searches to which brackets mean something.
    #[must_use]
    pub fn bare(&self) -> &str {
        bare(&self.0)
    }
}

fn bare(bracketed: &str) -> &str {
    bracketed.trim_start_matches('[').trim_end_matches(']')
}

/// A recording in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// ASCII letters, digits, `.`, `-` and `_`.
    pub file_name: String,
    /// For example `audio/ogg`.
    pub content_type: String,
    pub bytes: Bytes,
}

impl Attachment {
    fn of(result: &Processed, bytes: &Bytes) -> Self {
        let (ending, content_type) = kind_of_file(result.audio.as_ref());
        Self {
            file_name: format!("voice-note-{}.{ending}", result.note_id),
            content_type: content_type.to_owned(),
            bytes: bytes.clone(),
        }
    }
}

/// By what the audio was found to be, never by what somebody called it.
fn kind_of_file(audio: Option<&AudioInfo>) -> (&'static str, &'static str) {
    match audio.map(|audio| audio.container.as_str()) {
        Some("ogg") => ("ogg", "audio/ogg"),
        Some("mp4") => ("m4a", "audio/mp4"),
        Some("adts") => ("aac", "audio/aac"),
        Some("mpeg") => ("mp3", "audio/mpeg"),
        Some("matroska") => ("mka", "audio/x-matroska"),
        Some("wav") => ("wav", "audio/wav"),
        Some("flac") => ("flac", "audio/flac"),
        Some("webm") => ("webm", "audio/webm"),
        Some("caf") => ("caf", "audio/x-caf"),
        _ => ("bin", "application/octet-stream"),
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment")
            .field("content_type", &self.content_type)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
