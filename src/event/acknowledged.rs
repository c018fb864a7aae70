//! Owns the data of `de.sprachpost.voice-note.acknowledged.v1`: what a sender can be told as soon as a note is there,
//! at most once a note, whatever becomes of it.
//!
//! Within v1 the type only grows: new fields are optional.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::envelope::ACKNOWLEDGED_V1;
use crate::{
    note::{Channel, NoteId, Tenant},
    private::Private,
};

/// What to tell the sender of one voice note before anybody has listened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledged {
    pub note_id: NoteId,
    pub tenant: Tenant,
    pub channel: Channel,
    pub message_id: String,
    pub conversation: Option<Private>,
    pub ticket: Option<String>,
    pub sender: Option<Private>,
    /// Until when the channel lets an answer through.
    pub reply_window_ends_at: Option<Timestamp>,
    /// ISO 639-1 code of the text.
    pub language: String,
    /// From the playbook, word for word.
    pub text: String,
    /// `acknowledgement.open`, `acknowledgement.closed` or `acknowledgement.busy`.
    pub template: String,
    /// True if the note came within business hours.
    pub open: bool,
}

impl Acknowledged {
    /// `acknowledged.<tenant>.<channel>`
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("acknowledged.{}.{}", self.tenant, self.channel)
    }

    /// The id of this event: one a note.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        self.note_id.event_id(ACKNOWLEDGED_V1)
    }
}
