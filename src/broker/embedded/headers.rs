//! Owns how headers lie in a row: a JSON object of strings, without the queue's own ones, which have columns.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::broker::topology::header;

pub(super) fn to_text(headers: &BTreeMap<String, String>) -> String {
    let foreign: serde_json::Map<String, serde_json::Value> = headers
        .iter()
        .filter(|(name, _)| !header::INTERNAL.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    serde_json::Value::Object(foreign).to_string()
}

/// Text that is not such an object reads as no headers: a note is worth more than its headers.
pub(super) fn from_text(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// How often people had sent the note back to work before it came to this queue.
pub(super) fn replay(headers: &BTreeMap<String, String>) -> u32 {
    headers.get(header::REPLAY).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// When a sender says that it queued the note.
pub(super) fn queued_at(headers: &BTreeMap<String, String>) -> Option<Timestamp> {
    headers.get(header::QUEUED_AT)?.parse().ok()
}
