//! Owns CloudEvents 1.0: reads a note out of a message in any of three forms, and wraps results in one.
//!
//! In come the structured mode, the binary mode (attributes as headers with the prefix `ce-`, `cloudEvents:` or
//! `cloudEvents_`, as the HTTP and AMQP bindings and their users write them) and plain JSON without an envelope. Out
//! goes the structured mode only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Processed, Reason};
use crate::{
    broker::Message,
    note::{NoteId, VoiceNote},
};

pub const CONTENT_TYPE: &str = "application/cloudevents+json";
pub const RECEIVED_V1: &str = "de.sprachpost.voice-note.received.v1";
pub const PROCESSED_V1: &str = "de.sprachpost.voice-note.processed.v1";
/// CloudEvents `source` of what this program publishes.
pub const SOURCE: &str = "/sprachpost";
/// W3C Trace Context, carried from the note to everything said about it.
pub const TRACEPARENT: &str = "traceparent";

const SPEC_VERSION: &str = "1.0";
const BINARY_PREFIXES: [&str; 3] = ["ce-", "cloudevents:", "cloudevents_"];

/// A CloudEvent in structured mode, as it goes out and as it may come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope<T> {
    #[schemars(regex(pattern = r"^1\.0$"))]
    pub specversion: String,
    #[schemars(length(min = 1))]
    pub id: String,
    #[schemars(length(min = 1))]
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    pub data: T,
}

/// A note with what its envelope said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    pub note: VoiceNote,
    pub traceparent: Option<String>,
}

/// Something this program tells the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Processed { data: Box<Processed>, traceparent: Option<String> },
}

impl Event {
    /// The message that carries this event: structured mode, deterministic id.
    ///
    /// # Panics
    /// Never: these types hold nothing that JSON cannot express.
    #[must_use]
    pub fn to_message(&self, now: Timestamp) -> Message {
        let Self::Processed { data, traceparent } = self;
        let id = data.event_id();
        let envelope = Envelope {
            specversion: SPEC_VERSION.to_owned(),
            id: id.to_string(),
            source: SOURCE.to_owned(),
            event_type: PROCESSED_V1.to_owned(),
            subject: Some(data.note_id.to_string()),
            time: Some(now),
            datacontenttype: Some("application/json".to_owned()),
            traceparent: traceparent.clone(),
            data,
        };
        let body = serde_json::to_vec(&envelope).expect("an event has string keys only and no failing serialisers");
        let mut message = Message::event(id, data.note_id.to_string(), data.routing_key(), body);
        message.headers.extend(traceparent.clone().map(|parent| (TRACEPARENT.to_owned(), parent)));
        message
    }
}

/// The message that hands a note to the workers: structured mode, deterministic id, so that the same note submitted
/// twice is the same message.
///
/// # Panics
/// Never: a note holds nothing that JSON cannot express.
#[must_use]
pub fn received_message(received: &Received, now: Timestamp) -> Message {
    let note = &received.note;
    let id = note.id().event_id(RECEIVED_V1);
    let envelope = Envelope {
        specversion: SPEC_VERSION.to_owned(),
        id: id.to_string(),
        source: SOURCE.to_owned(),
        event_type: RECEIVED_V1.to_owned(),
        subject: Some(note.id().to_string()),
        time: Some(now),
        datacontenttype: Some("application/json".to_owned()),
        traceparent: received.traceparent.clone(),
        data: note,
    };
    let body = serde_json::to_vec(&envelope).expect("a note has string keys only and no failing serialisers");
    let key = crate::broker::topology::received_routing_key(&note.tenant, &note.channel);
    Message::event(id, note.id().to_string(), key, body)
}

/// Reads a note out of a message, whichever form it has.
///
/// # Errors
/// [`EventError`] if it is none, or of a version that is not known here. The error never repeats the message.
pub fn parse_received(message: &Message) -> Result<Received, EventError> {
    let binary = binary_attributes(message);
    if let Some(event_type) = binary.get("type") {
        check_type(event_type)?;
        check_spec_version(binary.get("specversion").map(String::as_str))?;
        let traceparent = binary.get(TRACEPARENT).or_else(|| message.headers.get(TRACEPARENT)).cloned();
        return Ok(Received { note: read(&message.body)?, traceparent });
    }
    let value: serde_json::Value = read(&message.body)?;
    let structured = value.get("specversion").is_some()
        || message.content_type.as_deref().is_some_and(|t| t.starts_with(CONTENT_TYPE));
    if !structured {
        return Ok(Received { note: read_value(value)?, traceparent: message.headers.get(TRACEPARENT).cloned() });
    }
    // The type before the data: a newer version may have other data, and is then not malformed but unknown.
    check_spec_version(value.get("specversion").and_then(serde_json::Value::as_str))?;
    check_type(value.get("type").and_then(serde_json::Value::as_str).unwrap_or_default())?;
    let envelope: Envelope<VoiceNote> = read_value(value)?;
    let traceparent = envelope.traceparent.or_else(|| message.headers.get(TRACEPARENT).cloned());
    Ok(Received { note: envelope.data, traceparent })
}

/// CloudEvents attributes from headers, without their prefix, in lower case.
fn binary_attributes(message: &Message) -> BTreeMap<String, String> {
    let attribute = |name: &str| {
        let name = name.to_ascii_lowercase();
        BINARY_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix).map(str::to_owned))
    };
    message.headers.iter().filter_map(|(name, value)| Some((attribute(name)?, value.clone()))).collect()
}

fn check_spec_version(version: Option<&str>) -> Result<(), EventError> {
    match version {
        Some(SPEC_VERSION) => Ok(()),
        _ => Err(EventError::SpecVersion),
    }
}

fn check_type(event_type: &str) -> Result<(), EventError> {
    if event_type == RECEIVED_V1 { Ok(()) } else { Err(EventError::UnknownType) }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, EventError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|e| EventError::malformed(&e))
}

fn read_value<T: for<'a> Deserialize<'a>>(value: serde_json::Value) -> Result<T, EventError> {
    serde_path_to_error::deserialize(value).map_err(|e| EventError::malformed(&e))
}

/// Why a message is not a note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("the message is no voice note: {what} at {field}")]
    Malformed { field: String, what: &'static str },
    #[error("the message is no event of type {RECEIVED_V1}")]
    UnknownType,
    #[error("the message is a CloudEvent of another version than {SPEC_VERSION}")]
    SpecVersion,
}

impl EventError {
    /// serde's own text can quote the value it met, and that may be customer data: keep the place, classify the rest.
    fn malformed(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        use serde_json::error::Category;
        let what = match error.inner().classify() {
            Category::Io | Category::Eof => "the JSON ends too early",
            Category::Syntax => "the JSON is not well-formed",
            Category::Data => "a field is missing or has the wrong type or value",
        };
        let path = error.path().to_string();
        let field = if path == "." { "the top level".to_owned() } else { path };
        Self::Malformed { field, what }
    }

    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Malformed { .. } => Reason::MalformedEvent,
            Self::UnknownType | Self::SpecVersion => Reason::UnsupportedEvent,
        }
    }
}

/// The id to report an unreadable message under: its own, where it has one, else that of its bytes.
#[must_use]
pub fn unreadable_note_id(message: &Message) -> NoteId {
    NoteId::of_unreadable(&message.body)
}
