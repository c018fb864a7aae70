//! Results into ticketing systems: real ones where they can run here, else stand-ins that keep the documented rules.

mod bridge;
mod connectors;
mod killed;
mod request_tracker;
mod znuny;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use sprachpost::{
    event::Processed,
    tickets::{Config, TicketConnector, TicketEntry, entry::Playback, limiter::Accounts},
};

use crate::support::{program, request_tracker::own_keys, ticketing::RealSystem};

/// Longest wait for something that takes some seconds on a machine that has nothing else to do.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// The result of a note that was understood; `conversation` and `message_id` say which.
pub fn result(conversation: &str, message_id: &str, changes: &Value) -> Processed {
    let note_id = sprachpost::note::NoteId::of(&"acme".parse().unwrap(), &"whatsapp".parse().unwrap(), message_id);
    let mut result = json!({
        "note_id": note_id, "tenant": "acme", "channel": "whatsapp", "message_id": message_id,
        "conversation": conversation, "ticket": null, "sender": null, "sent_at": "2026-11-21T18:02:11Z",
        "reply_window_ends_at": null, "outcome": "completed", "reason": null, "detail": null, "audio": null,
        "transcript": {"text": "Grüße, <b>das Internet</b> geht nicht.", "language": "de", "language_confidence": 0.99,
                       "confidence": 0.93, "segments": [], "model": "m"},
        "understanding": {"intent": {"name": "outage", "confidence": 0.9}, "alternatives": [],
                          "urgency": {"level": "high", "grounds": ["outage"]}, "entities": [],
                          "contact": {"phone_allowed": null}},
        "reply": {"kind": "abstention", "reason": "no_template"}, "route": {"team": "technik", "escalate": false},
        "follow_up": null, "attempt": 1, "worker": "w", "software": "0",
        "timings_ms": {"queue": null, "fetch": null, "decode": null, "transcribe": null, "understand": null, "total": 1}
    });
    for (field, value) in changes.as_object().unwrap() {
        result[field] = value.clone();
    }
    serde_json::from_value(result).unwrap()
}

/// What `[[tickets]]` says of a system, with `more` beside its own keys.
pub fn config_with(own_keys: &str, more: &str) -> Config {
    toml::from_str(&format!("name = \"main\"\n{own_keys}pause_first_s = 0.2\npause_s_max = 1.0\n{more}")).unwrap()
}

/// The same for Request Tracker.
pub fn config(url: &str, token_file: &Path, queue: &str, more: &str) -> Config {
    config_with(&own_keys(url, token_file, queue), more)
}

/// The user with every right, in this queue.
pub fn usual(system: &dyn RealSystem, queue: &str, more: &str) -> Config {
    config_with(&system.own_keys(&system.url(), queue), more)
}

pub fn open(config: &Config) -> Arc<dyn TicketConnector> {
    config.open(&Accounts::default()).unwrap()
}

pub fn entry(result: &Processed, config: &Config) -> TicketEntry {
    TicketEntry::of(result, config, &Playback::NotWanted)
}

pub fn entry_with(result: &Processed, config: &Config, audio: &'static [u8]) -> TicketEntry {
    TicketEntry::of(result, config, &Playback::Attached(Bytes::from_static(audio)))
}

/// What `sprachpost tickets check` says of these settings, and its exit code.
pub fn checked(folder: &Path, tickets: &Config) -> (Option<i32>, String) {
    let file = folder.join("sprachpost.toml");
    let table = toml::Table::try_from(tickets).unwrap();
    let whole = toml::Table::from_iter([("tickets".to_owned(), toml::Value::Array(vec![table.into()]))]);
    std::fs::write(&file, toml::to_string(&whole).unwrap()).unwrap();
    let output = program::run(folder, &["tickets", "check", "main", "--json", "--config", file.to_str().unwrap()]);
    let text = program::stdout(&output);
    assert!(!text.is_empty(), "{}", program::stderr(&output));
    (output.status.code(), text)
}
