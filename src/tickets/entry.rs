//! Owns what one result says in a ticket, for every vendor alike. It knows nothing of how it gets there.

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{
    event::Processed,
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

impl TicketEntry {
    /// What the tickets of this entry are found by: its conversation, or itself where it has none.
    #[must_use]
    pub fn key(&self) -> &str {
        self.conversation.as_ref().map_or(self.marker.as_str(), ConversationKey::as_str)
    }
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

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment")
            .field("content_type", &self.content_type)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, channel: &str, conversation: &str) -> String {
        ConversationKey::of(&tenant.parse().unwrap(), &channel.parse().unwrap(), &conversation.into())
            .as_str()
            .to_owned()
    }

    #[test]
    fn a_conversation_has_one_key_that_does_not_show_its_number() {
        insta::assert_snapshot!(key("musterstrom", "whatsapp", "4917012345"), @"[vc:d42d57bab52f4cf57cb60a46]");
        assert_ne!(key("musterstrom", "whatsapp", "4917012345"), key("musterstrom", "telegram", "4917012345"));
        assert_ne!(key("a", "b", "1"), key("c", "b", "1"));
    }

    #[test]
    fn a_replay_has_a_marker_of_its_own_that_is_no_part_of_another() {
        let note = NoteId::of(&"t".parse().unwrap(), &"c".parse().unwrap(), "m");
        let markers: Vec<Marker> = (0..12).map(|replay| Marker::of(note, replay)).collect();
        for (n, marker) in markers.iter().enumerate() {
            let others = markers.iter().filter(|other| other.as_str().contains(marker.as_str()));
            assert_eq!(others.count(), 1, "{n}");
        }
        assert_eq!(markers[0].bare(), format!("vn:{note}"));
    }
}
