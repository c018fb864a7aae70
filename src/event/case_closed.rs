//! Owns the data of `de.sprachpost.case.closed.v1`: nobody has to ask how a case stands any more. Whoever closes a
//! ticket may publish it on the exchange of results, with routing key `case-closed.<tenant>`.
//!
//! Within v1 the type only grows: new fields are optional.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::envelope::CASE_CLOSED_V1;
use crate::{
    note::{Channel, NoteId, Tenant, id_of},
    private::Private,
};

/// A case that was closed, named by its conversation, its ticket or one of its notes; what is not known is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseClosed {
    pub tenant: Tenant,
    /// Goes with `conversation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Private>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_id: Option<NoteId>,
    /// When it was closed; what came later counts as a case of its own.
    pub closed_at: Timestamp,
}

impl CaseClosed {
    /// `case-closed.<tenant>`
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("case-closed.{}", self.tenant)
    }

    /// The id of this event.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        let conversation = self.conversation.as_ref().map_or("", Private::expose);
        let channel = self.channel.as_ref().map_or("", Channel::as_str);
        let note = self.note_id.map(|id| id.to_string()).unwrap_or_default();
        let ticket = self.ticket.as_deref().unwrap_or_default();
        let closed_at = self.closed_at.to_string();
        id_of(&[CASE_CLOSED_V1, self.tenant.as_str(), channel, conversation, ticket, &note, &closed_at])
    }
}
