//! The contract that is checked in is the one that the types make.

use std::path::Path;

use serde_json::Value;
use sprachpost::event::contract;

fn compare(file: &str, generated: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract").join(file);
    let generated = serde_json::to_string_pretty(generated).unwrap() + "\n";
    if std::env::var_os("SPRACHPOST_UPDATE_CONTRACT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "contract/{file} is not what the types say. If the change only adds, run the tests with \
         SPRACHPOST_UPDATE_CONTRACT=1, look at the difference, and check it in"
    );
}

#[test]
fn the_schemas_that_are_checked_in_match_the_types() {
    compare("received.v1.schema.json", &serde_json::to_value(contract::received_schema()).unwrap());
    compare("processed.v1.schema.json", &serde_json::to_value(contract::processed_schema()).unwrap());
    compare("acknowledged.v1.schema.json", &serde_json::to_value(contract::acknowledged_schema()).unwrap());
    compare("redacted.v1.schema.json", &serde_json::to_value(contract::redacted_schema()).unwrap());
    compare("follow-up-due.v1.schema.json", &serde_json::to_value(contract::follow_up_due_schema()).unwrap());
    compare("spike.v1.schema.json", &serde_json::to_value(contract::spike_schema()).unwrap());
    compare("case-closed.v1.schema.json", &serde_json::to_value(contract::case_closed_schema()).unwrap());
    compare("asyncapi.json", &contract::asyncapi());
}

#[test]
fn the_schema_accepts_the_documented_example_and_refuses_a_widened_tenant() {
    let validator = jsonschema::validator_for(&serde_json::to_value(contract::received_schema()).unwrap()).unwrap();
    let mut event = serde_json::json!({
        "specversion": "1.0", "id": "1", "source": "/shop", "type": "de.sprachpost.voice-note.received.v1",
        "data": {"tenant": "musterstrom", "channel": "whatsapp", "message_id": "wamid.1", "conversation": "49170",
                 "ticket": "4711", "sender": "c:9f2b", "sent_at": "2026-11-21T18:02:11Z", "language": "de",
                 "reply_window_ends_at": "2026-11-22T18:02:11Z", "audio": {"type": "inline", "data": "T2dnUw=="}}
    });
    let mistakes: Vec<String> = validator.iter_errors(&event).map(|e| e.to_string()).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    event["data"]["tenant"] = "a.#".into();
    assert!(!validator.is_valid(&event));
}
