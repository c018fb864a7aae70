//! Owns the data of `de.sprachpost.spike.v1`: far more notes of one kind than there usually are at this hour.
//!
//! Within v1 the type only grows: new fields are optional. Nothing in it is personal.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::envelope::SPIKE_V1;
use crate::note::{NoteId, Tenant, id_of};

/// One rise of one intent at one tenant; told once, when it is noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spike {
    pub tenant: Tenant,
    /// A name from the playbook; `none` for notes without an intent.
    pub intent: String,
    /// When the notes began to be counted that show it.
    pub since: Timestamp,
    pub detected_at: Timestamp,
    /// Minutes from `since` to `detected_at`.
    pub window_minutes: u32,
    /// Notes in that time.
    pub count: u32,
    /// Notes that were to be expected in it, from past weeks.
    pub expected: f64,
    /// How probable as many notes are, or more, if nothing is out of the ordinary.
    pub probability: f64,
    /// Some of the notes, the latest last.
    pub note_ids: Vec<NoteId>,
}

impl Spike {
    /// `spike.<tenant>.<intent>`
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("spike.{}.{}", self.tenant, self.intent)
    }

    /// The id of this event: one a spike.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        id_of(&[SPIKE_V1, self.tenant.as_str(), &self.intent, &self.detected_at.to_string()])
    }
}
