//! Owns the data of `de.sprachpost.follow-up-due.v1`: the moment has come to ask a customer how things stand, because
//! nobody has heard of the case since.
//!
//! Within v1 the type only grows: new fields are optional.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::envelope::FOLLOW_UP_DUE_V1;
use crate::{
    note::{Channel, NoteId, Tenant},
    private::Private,
};

/// A follow-up that is due: the note it was planned for, and how its sender can be written to now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FollowUpDue {
    /// The note that the follow-up was planned for.
    pub note_id: NoteId,
    pub tenant: Tenant,
    pub channel: Channel,
    pub message_id: Option<String>,
    pub conversation: Option<Private>,
    pub ticket: Option<String>,
    pub sender: Option<Private>,
    /// A name from the playbook.
    pub intent: String,
    /// ISO 639-1 code of what was spoken.
    pub language: Option<String>,
    /// The team of the playbook that the note went to.
    pub team: Option<String>,
    pub sent_at: Option<Timestamp>,
    pub due_at: Timestamp,
    /// Until when the channel lets any answer through; None: without end, as far as is known.
    pub reply_window_ends_at: Option<Timestamp>,
    /// True if the channel still lets any answer through when this is published.
    pub reply_window_open: bool,
    /// The channel's message template, by name, that the playbook wants to be used once the window is over; None while
    /// it is open.
    pub template: Option<String>,
}

impl FollowUpDue {
    /// `follow-up-due.<tenant>.<channel>.<intent>`
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("follow-up-due.{}.{}.{}", self.tenant, self.channel, self.intent)
    }

    /// The id of this event: one a note.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        self.note_id.event_id(FOLLOW_UP_DUE_V1)
    }
}
