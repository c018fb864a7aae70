//! Owns how a [`Message`] looks on AMQP, ours and what foreign producers send.
//!
//! What others send is read generously: headers of any scalar type become text, tables and arrays are left out, and
//! nothing has to be there. What we send is flat: strings, an id, a content type, persistent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::broker::{Message, topology::header};

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// Properties for a message as it is, plus the queue's own headers.
pub(super) fn to_wire(message: &Message, internal: &[(&'static str, String)]) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        if let Some(name) = short(name) {
            headers.insert(name, AMQPValue::LongString(value.as_str().into()));
        }
    }
    for (name, value) in internal {
        headers.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
    }
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    if let Some(id) = message.id.as_deref().and_then(short) {
        properties = properties.with_message_id(id);
    }
    if let Some(id) = message.correlation_id.as_deref().and_then(short) {
        properties = properties.with_correlation_id(id);
    }
    if let Some(content_type) = message.content_type.as_deref().and_then(short) {
        properties = properties.with_content_type(content_type);
    }
    properties
}

/// AMQP keeps names and ids to 255 bytes; what is longer did not come over AMQP and cannot go there.
fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// What a message on AMQP says, the queue's own headers apart from the others.
pub(super) struct FromWire {
    pub message: Message,
    pub internal: Internal,
}

/// The queue's own headers.
#[derive(Debug, Default)]
pub(super) struct Internal {
    headers: BTreeMap<String, String>,
    sent_at: Option<Timestamp>,
    /// How often the broker had it back, in this queue.
    pub delivery_count: u32,
}

pub(super) fn from_wire(delivery: lapin::message::Delivery) -> FromWire {
    let properties = delivery.properties;
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut internal = Internal::default();
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        let Some(value) = text(value) else { continue };
        if name.as_str() == "x-delivery-count" {
            internal.delivery_count = value.parse().unwrap_or(0);
        } else if header::INTERNAL.contains(&name.as_str()) {
            internal.headers.insert(name.as_str().to_owned(), value);
        } else if !name.as_str().starts_with("x-") {
            all.insert(name.as_str().to_owned(), value);
        }
    }
    internal.sent_at = properties
        .timestamp()
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let routing_key = internal.text(header::ROUTING_KEY).unwrap_or_else(|| delivery.routing_key.as_str().to_owned());
    let owned = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let message = Message {
        id: owned(properties.message_id()),
        correlation_id: owned(properties.correlation_id()),
        content_type: owned(properties.content_type()),
        routing_key,
        headers: all,
        body: delivery.data,
    };
    FromWire { message, internal }
}

impl Internal {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        self.headers.get(name)?.parse().ok()
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.headers.get(name)?.parse().ok()
    }

    /// How often people sent the note back to work from the dead letters.
    pub(super) fn replay(&self) -> u32 {
        self.number(header::REPLAY).unwrap_or(0)
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.headers.get(name).is_some_and(|value| value == "true")
    }

    /// When the note was queued: by its header, else by the property that AMQP has for it.
    pub(super) fn queued_at(&self) -> Option<Timestamp> {
        self.time(header::QUEUED_AT).or(self.sent_at)
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::ShortString(value) => value.as_str().to_owned(),
        AMQPValue::LongString(value) => String::from_utf8(value.as_bytes().to_vec()).ok()?,
        AMQPValue::ByteArray(value) => String::from_utf8(value.as_slice().to_vec()).ok()?,
        AMQPValue::DecimalValue(_) | AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::Void => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;

    fn read(headers: FieldTable, routing_key: &str) -> FromWire {
        let mut delivery =
            lapin::message::Delivery::mock(1, "sprachpost.notes".into(), routing_key.into(), false, b"body".to_vec());
        delivery.properties = BasicProperties::default().with_headers(headers).with_timestamp(1_700_000_000);
        from_wire(delivery)
    }

    #[test]
    fn headers_of_any_scalar_type_are_read_as_text_and_others_left_out() {
        let mut headers = FieldTable::default();
        headers.insert("text".into(), AMQPValue::LongString("ja".into()));
        headers.insert("int".into(), AMQPValue::LongInt(-7));
        headers.insert("bool".into(), AMQPValue::Boolean(true));
        headers.insert("not-utf8".into(), AMQPValue::LongString(vec![0xff, 0xfe].into()));
        headers.insert("list".into(), AMQPValue::FieldArray(FieldArray::default()));
        headers.insert("table".into(), AMQPValue::FieldTable(FieldTable::default()));
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(2));
        let read = read(headers, "received.a.b");
        let expected = [("bool", "true"), ("int", "-7"), ("text", "ja")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read.message.headers, BTreeMap::from(expected));
        assert_eq!(read.internal.delivery_count, 2);
        assert_eq!(read.message.id, None);
    }

    #[test]
    fn a_message_survives_the_way_there_and_back() {
        let message = Message {
            id: Some("id".to_owned()),
            correlation_id: Some("note".to_owned()),
            routing_key: "received.acme.mail".to_owned(),
            content_type: Some("application/json".to_owned()),
            headers: BTreeMap::from([("traceparent".to_owned(), "00-1-2-01".to_owned())]),
            body: b"body".to_vec(),
        };
        let internal = [(header::ROUTING_KEY, message.routing_key.clone()), (header::ATTEMPT, "3".to_owned())];
        let properties = to_wire(&message, &internal);
        assert_eq!(*properties.delivery_mode(), Some(PERSISTENT));
        let mut delivery =
            lapin::message::Delivery::mock(1, "".into(), "some.retry.queue".into(), false, message.body.clone());
        delivery.properties = properties;
        let read = from_wire(delivery);
        assert_eq!(read.message, message);
        assert_eq!(read.internal.number(header::ATTEMPT), Some(3));
    }

    #[test]
    fn the_time_of_queueing_comes_from_the_header_or_the_property() {
        assert_eq!(read(FieldTable::default(), "k").internal.queued_at(), Timestamp::from_second(1_700_000_000).ok());
        let mut headers = FieldTable::default();
        headers.insert(header::QUEUED_AT.into(), AMQPValue::LongString("2026-11-21T18:02:11.250Z".into()));
        assert_eq!(read(headers, "k").internal.queued_at(), "2026-11-21T18:02:11.250Z".parse().ok());
    }
}
