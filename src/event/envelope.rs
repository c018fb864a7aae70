//! Owns CloudEvents 1.0: reads a note out of a message in any of three forms, and wraps results in one.
//!
//! In come the structured mode, the binary mode (attributes as headers with the prefix `ce-`, `cloudEvents:` or
//! `cloudEvents_`, as the HTTP and AMQP bindings and their users write them) and plain JSON without an envelope. Out
//! goes the structured mode only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::{Acknowledged, CaseClosed, FollowUpDue, Processed, Reason, Redacted, Spike};
use crate::{
    broker::Message,
    note::{Channel, Tenant, VoiceNote},
};

pub const CONTENT_TYPE: &str = "application/cloudevents+json";
pub const RECEIVED_V1: &str = "de.sprachpost.voice-note.received.v1";
pub const PROCESSED_V1: &str = "de.sprachpost.voice-note.processed.v1";
pub const ACKNOWLEDGED_V1: &str = "de.sprachpost.voice-note.acknowledged.v1";
pub const REDACTED_V1: &str = "de.sprachpost.voice-note.redacted.v1";
pub const FOLLOW_UP_DUE_V1: &str = "de.sprachpost.follow-up-due.v1";
pub const SPIKE_V1: &str = "de.sprachpost.spike.v1";
pub const CASE_CLOSED_V1: &str = "de.sprachpost.case.closed.v1";
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
    /// The terminal event: what became of a note.
    Processed { data: Box<Processed>, traceparent: Option<String> },
    /// The terminal event without personal data, beside it.
    Redacted { data: Box<Redacted>, traceparent: Option<String> },
    /// What the sender can be told at once.
    Acknowledged { data: Box<Acknowledged>, traceparent: Option<String> },
    /// It is time to ask how things stand.
    FollowUpDue { data: Box<FollowUpDue>, traceparent: Option<String> },
    /// There are far more notes of one kind than usual.
    Spike { data: Box<Spike> },
    /// Nobody has to ask about a case any more.
    CaseClosed { data: Box<CaseClosed> },
}

impl Event {
    #[must_use]
    pub fn processed(data: Processed, traceparent: Option<String>) -> Self {
        Self::Processed { data: Box::new(data), traceparent }
    }

    #[must_use]
    pub fn redacted(data: Redacted, traceparent: Option<String>) -> Self {
        Self::Redacted { data: Box::new(data), traceparent }
    }

    #[must_use]
    pub fn acknowledged(data: Acknowledged, traceparent: Option<String>) -> Self {
        Self::Acknowledged { data: Box::new(data), traceparent }
    }

    /// The terminal event's data, where it is one.
    #[must_use]
    pub fn as_processed(&self) -> Option<&Processed> {
        match self {
            Self::Processed { data, .. } => Some(data),
            Self::Redacted { .. }
            | Self::Acknowledged { .. }
            | Self::FollowUpDue { .. }
            | Self::Spike { .. }
            | Self::CaseClosed { .. } => None,
        }
    }

    /// Deterministic: what consumers dedupe on.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Processed { data, .. } => data.event_id(),
            Self::Redacted { data, .. } => data.event_id(),
            Self::Acknowledged { data, .. } => data.event_id(),
            Self::FollowUpDue { data, .. } => data.event_id(),
            Self::Spike { data } => data.event_id(),
            Self::CaseClosed { data } => data.event_id(),
        }
    }

    /// The message that carries this event: structured mode, deterministic id.
    ///
    /// # Panics
    /// Never: these types hold nothing that JSON cannot express.
    #[must_use]
    pub fn to_message(&self, now: Timestamp) -> Message {
        let id = self.id();
        match self {
            Self::Processed { data, traceparent } => {
                wrap(data, PROCESSED_V1, id, data.note_id.as_uuid(), data.routing_key(), traceparent.as_deref(), now)
            }
            Self::Redacted { data, traceparent } => wrap(
                data,
                REDACTED_V1,
                id,
                data.get().note_id.as_uuid(),
                data.routing_key(),
                traceparent.as_deref(),
                now,
            ),
            Self::Acknowledged { data, traceparent } => {
                wrap(data, ACKNOWLEDGED_V1, id, data.note_id.as_uuid(), data.routing_key(), traceparent.as_deref(), now)
            }
            Self::FollowUpDue { data, traceparent } => wrap(
                data,
                FOLLOW_UP_DUE_V1,
                id,
                data.note_id.as_uuid(),
                data.routing_key(),
                traceparent.as_deref(),
                now,
            ),
            // What is about many notes, or about none in particular, is about itself.
            Self::Spike { data } => wrap(data, SPIKE_V1, id, id, data.routing_key(), None, now),
            Self::CaseClosed { data } => wrap(data, CASE_CLOSED_V1, id, id, data.routing_key(), None, now),
        }
    }
}

fn wrap<T: Serialize>(
    data: &T,
    event_type: &str,
    id: Uuid,
    about: Uuid,
    routing_key: String,
    traceparent: Option<&str>,
    now: Timestamp,
) -> Message {
    let traceparent = traceparent.filter(|text| is_trace_parent(text));
    let envelope = Envelope {
        specversion: SPEC_VERSION.to_owned(),
        id: id.to_string(),
        source: SOURCE.to_owned(),
        event_type: event_type.to_owned(),
        subject: Some(about.to_string()),
        time: Some(now),
        datacontenttype: Some("application/json".to_owned()),
        traceparent: traceparent.map(str::to_owned),
        data,
    };
    let body = serde_json::to_vec(&envelope).expect("an event has string keys only and no failing serialisers");
    let mut message = Message::event(id, about.to_string(), routing_key, body);
    message.headers.extend(traceparent.map(|parent| (TRACEPARENT.to_owned(), parent.to_owned())));
    message
}

/// The form that W3C Trace Context gives it: version, trace, parent, flags. Nothing else is handed on: it goes into a
/// header of every result, where a broker takes no more than a frame, and into those that may hold nothing personal.
fn is_trace_parent(text: &str) -> bool {
    let is_field = |field: &str, digits: usize| {
        field.len() == digits && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fields: Vec<&str> = text.split('-').take(5).collect();
    matches!(fields[..], [version, trace, parent, flags]
        if is_field(version, 2) && is_field(trace, 32) && is_field(parent, 16) && is_field(flags, 2))
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
    let key = crate::broker::topology::received_routing_key(note);
    wrap(note, RECEIVED_V1, id, note.id().as_uuid(), key, received.traceparent.as_deref(), now)
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

/// Reads a result back, for those who listen.
///
/// # Errors
/// [`EventError`] if the message is no processed event.
pub fn parse_processed(message: &Message) -> Result<Processed, EventError> {
    let envelope: Envelope<Processed> = read(&message.body)?;
    if envelope.event_type == PROCESSED_V1 { Ok(envelope.data) } else { Err(EventError::UnknownType) }
}

/// Reads back anything that this program publishes.
///
/// # Errors
/// [`EventError`] if the message is none of its events.
pub fn parse_event(message: &Message) -> Result<Event, EventError> {
    let Envelope { event_type, traceparent, .. } = read::<Envelope<IgnoredAny>>(&message.body)?;
    match event_type.as_str() {
        PROCESSED_V1 => Ok(Event::processed(data(message)?, traceparent)),
        REDACTED_V1 => Ok(Event::redacted(data(message)?, traceparent)),
        ACKNOWLEDGED_V1 => Ok(Event::acknowledged(data(message)?, traceparent)),
        FOLLOW_UP_DUE_V1 => Ok(Event::FollowUpDue { data: Box::new(data(message)?), traceparent }),
        SPIKE_V1 => Ok(Event::Spike { data: Box::new(data(message)?) }),
        CASE_CLOSED_V1 => Ok(Event::CaseClosed { data: Box::new(data(message)?) }),
        _ => Err(EventError::UnknownType),
    }
}

/// Reads what a role is to take note of: an event, or what says that a case is closed without any envelope, as others
/// may write it. Also when it was published.
///
/// # Errors
/// [`EventError`] if the message is neither.
pub fn parse_watched(message: &Message) -> Result<(Event, Option<Timestamp>), EventError> {
    let value: serde_json::Value = read(&message.body)?;
    if value.get("specversion").is_none() {
        return Ok((Event::CaseClosed { data: Box::new(read_value(value)?) }, None));
    }
    let Envelope { time, .. } = read_value::<Envelope<IgnoredAny>>(value)?;
    Ok((parse_event(message)?, time))
}

fn data<T: for<'a> Deserialize<'a>>(message: &Message) -> Result<T, EventError> {
    read::<Envelope<T>>(&message.body).map(|envelope| envelope.data)
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
    #[error("the message is an event of a type or version that is not known here")]
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

/// Who sent a message that is no note, as far as it says so in the right place: the producer learns under its own
/// ids what was wrong. None if it does not say.
#[must_use]
pub fn sender_of_unreadable(message: &Message) -> Option<(Tenant, Channel, String)> {
    let value: serde_json::Value = serde_json::from_slice(&message.body).ok()?;
    let note = value.get("data").filter(|data| data.is_object()).unwrap_or(&value);
    let text = |field: &str| note.get(field).and_then(serde_json::Value::as_str);
    let (tenant, channel, id) = (text("tenant")?.parse().ok()?, text("channel")?.parse().ok()?, text("message_id")?);
    Some((tenant, channel, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn note() -> serde_json::Value {
        json!({"tenant": "musterstrom", "channel": "whatsapp", "message_id": "wamid.1",
               "audio": {"type": "inline", "data": "T2dnUw=="}, "a_field_of_the_future": 1})
    }

    fn message(body: &serde_json::Value, content_type: &str, headers: &[(&str, &str)]) -> Message {
        Message {
            id: None,
            correlation_id: None,
            routing_key: "received.musterstrom.whatsapp".to_owned(),
            content_type: Some(content_type.to_owned()),
            headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn nothing_but_a_trace_parent_is_handed_on() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (longer, upper, endless) = (format!("{parent}-x"), parent.to_uppercase(), "0-".repeat(100_000));
        for (given, expected) in [
            (parent, Some(parent)),
            ("00-1-2-01", None),
            ("", None),
            (longer.as_str(), None),
            (upper.as_str(), None),
            (endless.as_str(), None),
        ] {
            let received = parse_received(&message(&note(), "application/json", &[("traceparent", given)])).unwrap();
            let message = received_message(&received, Timestamp::now());
            assert_eq!(message.headers.get(TRACEPARENT).map(String::as_str), expected);
            assert_eq!(parse_received(&message).unwrap().traceparent.as_deref(), expected, "nor in the body");
            assert!(message.body.len() < 1000);
        }
    }

    #[test]
    fn all_three_forms_carry_the_same_note() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let plain = message(&note(), "application/json", &[("traceparent", parent)]);
        let structured = json!({"specversion": "1.0", "id": "1", "source": "/test", "type": RECEIVED_V1,
                                "traceparent": parent, "data": note()});
        let structured = message(&structured, "application/cloudevents+json; charset=utf-8", &[]);
        let expected = parse_received(&plain).unwrap();
        assert_eq!(expected.traceparent.as_deref(), Some(parent));
        assert_eq!(parse_received(&structured).unwrap(), expected);
        for prefix in ["ce-", "cloudEvents:", "cloudEvents_"] {
            let headers: Vec<(String, &str)> = [
                ("specversion", "1.0"),
                ("type", RECEIVED_V1),
                ("id", "1"),
                ("source", "/test"),
                ("traceparent", parent),
            ]
            .map(|(k, v)| (format!("{prefix}{k}"), v))
            .to_vec();
            let headers: Vec<(&str, &str)> = headers.iter().map(|(k, v)| (k.as_str(), *v)).collect();
            assert_eq!(parse_received(&message(&note(), "application/json", &headers)).unwrap(), expected, "{prefix}");
        }
    }

    #[test]
    fn another_version_is_unsupported_even_if_its_data_look_different() {
        let future = json!({"specversion": "1.0", "id": "1", "source": "/t",
                            "type": "de.sprachpost.voice-note.received.v2", "data": {"new": true}});
        let error = parse_received(&message(&future, CONTENT_TYPE, &[])).unwrap_err();
        assert_eq!(error.reason(), Reason::UnsupportedEvent);
        let old_spec = json!({"specversion": "0.3", "type": RECEIVED_V1, "data": note()});
        assert_eq!(parse_received(&message(&old_spec, CONTENT_TYPE, &[])).unwrap_err(), EventError::SpecVersion);
    }

    #[test]
    fn a_malformed_note_names_the_field_and_never_its_value() {
        let mut bad = note();
        bad["sender"] = json!({"phone": "+49170555"});
        let error = parse_received(&message(&bad, "application/json", &[])).unwrap_err();
        assert!(error.to_string().contains("sender"), "{error}");
        assert!(!error.to_string().contains("555"), "{error}");
        assert_eq!(error.reason(), Reason::MalformedEvent);
    }

    #[test]
    fn what_goes_out_comes_in_again() {
        let received = parse_received(&message(&note(), "application/json", &[])).unwrap();
        let sent = received_message(&received, Timestamp::UNIX_EPOCH);
        assert_eq!(parse_received(&sent).unwrap(), received);
        assert_eq!(sent.routing_key, "received.musterstrom.whatsapp");
        assert_eq!(sent.id, received_message(&received, Timestamp::now()).id, "the id depends on the note alone");
    }

    #[test]
    fn the_sender_of_a_broken_note_is_told_under_its_own_ids() {
        let mut bad = note();
        bad["audio"] = json!({"type": "carrier pigeon"});
        let (tenant, channel, id) = sender_of_unreadable(&message(&bad, "application/json", &[])).unwrap();
        assert_eq!((tenant.as_str(), channel.as_str(), id.as_str()), ("musterstrom", "whatsapp", "wamid.1"));
    }
}
