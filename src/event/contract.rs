//! Owns the generated contract: JSON Schema of all events, and an AsyncAPI 3 document of topics, keys, headers and
//! queue arguments. The files in `contract/` are what these functions return; a test notices when they differ.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{
    Acknowledged, CaseClosed, FollowUpDue, Processed, Redacted, Spike,
    envelope::{
        ACKNOWLEDGED_V1, CASE_CLOSED_V1, CONTENT_TYPE, Envelope, FOLLOW_UP_DUE_V1, PROCESSED_V1, RECEIVED_V1,
        REDACTED_V1, SPIKE_V1,
    },
};
use crate::{
    broker::{self, Lane, topology},
    note::VoiceNote,
};

/// Schema of `de.sprachpost.voice-note.received.v1`: the structured event; its `data` is also accepted alone.
#[must_use]
pub fn received_schema() -> Schema {
    schema::<Envelope<VoiceNote>>(RECEIVED_V1)
}

/// Schema of `de.sprachpost.voice-note.processed.v1`.
#[must_use]
pub fn processed_schema() -> Schema {
    schema::<Envelope<Processed>>(PROCESSED_V1)
}

/// Schema of `de.sprachpost.voice-note.acknowledged.v1`.
#[must_use]
pub fn acknowledged_schema() -> Schema {
    schema::<Envelope<Acknowledged>>(ACKNOWLEDGED_V1)
}

/// Schema of `de.sprachpost.voice-note.redacted.v1`.
#[must_use]
pub fn redacted_schema() -> Schema {
    schema::<Envelope<Redacted>>(REDACTED_V1)
}

/// Schema of `de.sprachpost.follow-up-due.v1`.
#[must_use]
pub fn follow_up_due_schema() -> Schema {
    schema::<Envelope<FollowUpDue>>(FOLLOW_UP_DUE_V1)
}

/// Schema of `de.sprachpost.spike.v1`.
#[must_use]
pub fn spike_schema() -> Schema {
    schema::<Envelope<Spike>>(SPIKE_V1)
}

/// Schema of `de.sprachpost.case.closed.v1`: the structured event; its `data` is also accepted alone.
#[must_use]
pub fn case_closed_schema() -> Schema {
    schema::<Envelope<CaseClosed>>(CASE_CLOSED_V1)
}

fn schema<T: JsonSchema>(event_type: &str) -> Schema {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), event_type.into());
    // With an id of its own, a schema's references stay within it wherever it is embedded.
    schema.insert("$id".to_owned(), format!("urn:sprachpost:{event_type}").into());
    if let Some(property) = schema.pointer_mut("/properties/type") {
        *property = json!({"const": event_type});
    }
    schema
}

/// All schemas in one document, by event type.
#[must_use]
pub fn schemas() -> Value {
    json!({
        RECEIVED_V1: received_schema(),
        PROCESSED_V1: processed_schema(),
        ACKNOWLEDGED_V1: acknowledged_schema(),
        REDACTED_V1: redacted_schema(),
        FOLLOW_UP_DUE_V1: follow_up_due_schema(),
        SPIKE_V1: spike_schema(),
        CASE_CLOSED_V1: case_closed_schema(),
    })
}

/// AsyncAPI 3 document of what goes over the broker.
#[must_use]
pub fn asyncapi() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sprachpost",
            "version": "1",
            "description": "Voice notes in; transcript, intent and suggested reply out.",
            "license": {"name": "MIT OR Apache-2.0"}
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels(),
        "operations": {
            "takeNotes": operation("receive", "notes"),
            "publishResults": operation("send", "results"),
            "publishAcknowledgements": operation("send", "acknowledgements"),
            "publishRedactedResults": operation("send", "redactedResults"),
            "publishDueFollowUps": operation("send", "dueFollowUps"),
            "publishSpikes": operation("send", "spikes"),
            "takeClosedCases": operation("receive", "closedCases"),
        },
        "components": {
            "messages": {
                "received": message(RECEIVED_V1, "A voice note to process", &received_schema()),
                "processed": message(PROCESSED_V1, "What became of a voice note", &processed_schema()),
                "acknowledged": message(ACKNOWLEDGED_V1, "What its sender can be told at once", &acknowledged_schema()),
                "redacted": message(REDACTED_V1, "What became of it, without personal data", &redacted_schema()),
                "followUpDue": message(FOLLOW_UP_DUE_V1, "It is time to ask how things stand", &follow_up_due_schema()),
                "spike": message(SPIKE_V1, "Far more notes of one kind than usual", &spike_schema()),
                "caseClosed": message(CASE_CLOSED_V1, "Nobody has to ask any more", &case_closed_schema()),
            }
        }
    })
}

/// Where messages are published, and the queues that they wait in.
fn channels() -> Value {
    json!({
        "notes": topic_channel(
            topology::NOTES_EXCHANGE,
            "received.{tenant}.{channel}",
            "Notes on their way to a worker. A plain JSON object, a CloudEvent in binary mode (headers with the \
             prefix ce-, cloudEvents: or cloudEvents_) and one in structured mode are accepted.",
            &["tenant", "channel"],
            "received",
        ),
        "results": topic_channel(
            topology::RESULTS_EXCHANGE,
            "processed.{tenant}.{channel}.{outcome}.{language}.{intent}.{urgency}",
            "Exactly one event a note. Parts that are unknown are `none`.",
            &["tenant", "channel", "outcome", "language", "intent", "urgency"],
            "processed",
        ),
        "acknowledgements": topic_channel(
            topology::RESULTS_EXCHANGE,
            "acknowledged.{tenant}.{channel}",
            "At most one event a note, before anybody has listened to it, where the playbook or the tenant wants it.",
            &["tenant", "channel"],
            "acknowledged",
        ),
        "redactedResults": topic_channel(
            topology::RESULTS_EXCHANGE,
            "redacted.{tenant}.{channel}.{outcome}.{language}.{intent}.{urgency}",
            "What the results say, without personal data, for tenants that want it.",
            &["tenant", "channel", "outcome", "language", "intent", "urgency"],
            "redacted",
        ),
        "dueFollowUps": topic_channel(
            topology::RESULTS_EXCHANGE,
            "follow-up-due.{tenant}.{channel}.{intent}",
            "One event a follow-up of the playbook, when it is time to ask how things stand.",
            &["tenant", "channel", "intent"],
            "followUpDue",
        ),
        "spikes": topic_channel(
            topology::RESULTS_EXCHANGE,
            "spike.{tenant}.{intent}",
            "One event a rise of an intent far above what is usual at that hour; `none` is notes without an intent.",
            &["tenant", "intent"],
            "spike",
        ),
        "closedCases": topic_channel(
            topology::RESULTS_EXCHANGE,
            "case-closed.{tenant}",
            "What others publish when a case is closed, so that nobody is asked about it any more. A plain JSON \
             object and a CloudEvent in structured mode are accepted.",
            &["tenant"],
            "caseClosed",
        ),
        "urgentNotes": topic_channel(
            topology::NOTES_EXCHANGE,
            "urgent.{tenant}.{channel}",
            "Notes that are to be worked on before all others.",
            &["tenant", "channel"],
            "received",
        ),
        "work": queue_channel(Lane::Regular.queue(), "The regular lane; notes are bound with `received.#`."),
        "urgent": queue_channel(Lane::Urgent.queue(), "The urgent lane; notes are bound with `urgent.#`."),
        "suspect": queue_channel(Lane::Suspect.queue(), "Notes that came back unsettled, to be tried one by one."),
        "long": queue_channel(Lane::Long.queue(), "Notes that a worker found to be long."),
        "deadLetters": queue_channel(
            topology::DEAD_LETTER_QUEUE,
            "Notes that were given up on, as they came, with the reason in headers.",
        ),
        "crashed": queue_channel(topology::CRASHED_QUEUE, "Notes that took their workers down, until one is answered."),
        "ownQueue": own_queue_channel(
            "sprachpost.{name}",
            "What a role must not miss, or a channel takes off another system's exchange. It collects also while \
             nobody takes; one process at a time is given a connector's.",
        ),
        "ownDeadLetters": own_queue_channel(
            "sprachpost.{name}.dead-letters",
            "What was given up on there, as it came, with the reason in headers.",
        ),
        "unroutedResults": queue_channel(topology::UNROUTED_RESULTS, "Results that nobody has bound, for a while."),
    })
}

fn topic_channel(exchange: &str, address: &str, description: &str, parameters: &[&str], message: &str) -> Value {
    let parameters: serde_json::Map<String, Value> =
        parameters.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({
        "address": address,
        "description": description,
        "parameters": parameters,
        "messages": {message: {"$ref": format!("#/components/messages/{message}")}},
        "bindings": {"amqp": {"is": "routingKey", "bindingVersion": "0.3.0",
            "exchange": {"name": exchange, "type": "topic", "durable": true, "autoDelete": false}}}
    })
}

/// The arguments are those of the default configuration; AsyncAPI's binding has no place for them.
fn queue_channel(queue: &str, description: &str) -> Value {
    let declared = topology::queues(&broker::Config::default());
    let arguments = declared.into_iter().find(|declared| declared.name == queue).map(|declared| declared.arguments);
    json!({
        "address": queue,
        "description": description,
        "bindings": {"amqp": {"is": "queue", "bindingVersion": "0.3.0",
            "queue": {"name": queue, "durable": true, "exclusive": false, "autoDelete": false}}},
        "x-queue-arguments": arguments
    })
}

/// Queues that there are as many of as roles and channels want.
fn own_queue_channel(address: &str, description: &str) -> Value {
    json!({
        "address": address,
        "description": description,
        "parameters": {"name": {"description":
            "`watch`, `intake`, `tickets.<name>` of each of [[tickets]], `channels.<name>` of a channel that is a producer"}},
        "bindings": {"amqp": {"is": "queue", "bindingVersion": "0.3.0",
            "queue": {"durable": true, "exclusive": false, "autoDelete": false}}}
    })
}

fn operation(action: &str, channel: &str) -> Value {
    json!({"action": action, "channel": {"$ref": format!("#/channels/{channel}")}})
}

fn message(event_type: &str, summary: &str, payload: &Schema) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "name": event_type,
        "summary": summary,
        "contentType": CONTENT_TYPE,
        "correlationId": {"location": "$message.payload#/data/note_id"},
        "headers": {"type": "object", "properties": {
            "traceparent": text("W3C Trace Context, handed on from note to result"),
            topology::header::REASON: text("on a dead letter: why it was given up on"),
            topology::header::STAGE: text("on a dead letter: where that happened"),
            topology::header::ATTEMPT: text("on a retry or dead letter: attempts begun"),
            topology::header::REPLAY: text("on a note sent back to work from the dead letters: how often that was done"),
            topology::header::FIRST_AT: text("on a dead letter: when the first attempt began, RFC 3339"),
            topology::header::LAST_AT: text("on a dead letter: when the last attempt ended, RFC 3339")}},
        "bindings": {"amqp": {"bindingVersion": "0.3.0", "messageType": event_type}},
        "payload": payload
    })
}
