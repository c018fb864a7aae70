//! Owns the data of `de.sprachpost.voice-note.redacted.v1`: a result for consumers that may not see personal data.
//!
//! It knows the event's form; what personal data are is known by [`crate::understanding::redaction`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Processed, envelope::REDACTED_V1};

/// The result with the same fields as in the processed event, so that the same code reads both. `message_id`,
/// `conversation`, `sender` and `ticket` are null, `recording` is absent; what was said has placeholders like `[IBAN]`
/// or `[Zahl]`, and so have the values of entities; words within a placeholder keep their times and have no text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Redacted(Processed);

impl Redacted {
    /// Takes the word of the one who redacted it.
    pub(crate) fn vouched_for(processed: Processed) -> Self {
        Self(processed)
    }

    #[must_use]
    pub fn get(&self) -> &Processed {
        &self.0
    }

    /// `redacted.<tenant>.<channel>.<outcome>.<language>.<intent>.<urgency>`; unknown parts are `none`.
    #[must_use]
    pub fn routing_key(&self) -> String {
        self.0.key_under("redacted")
    }

    /// The id of this event: the same on every redelivery, and another one for each replay.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        self.0.note_id.event_id_of_replay(REDACTED_V1, self.0.replay)
    }
}
