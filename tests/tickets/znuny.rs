//! The connector for Znuny, on a real one. All of it is ignored unless it is asked for: its package is not Debian's own,
//! and may not be to be had. `make test-znuny` unpacks it and asks.

mod check;
mod faults;

use std::sync::Arc;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use sprachpost::tickets::{
    Config, TicketConnector, TicketEntry, TicketError, TicketId,
    bridge::once::{self, Written},
};

use super::{bridge::notes, config_with, entry, entry_with, open, result, usual};
use crate::support::{
    runtime,
    ticketing::RealSystem,
    znuny::{
        AGENT, ARTICLE_FIELD, BARE_WEB_SERVICE, CONVERSATION_FIELD, OPENER, READER, TAGS_FIELD, TEXT_TAGS_FIELD,
        shared, value_of,
    },
};

async fn write(connector: &Arc<dyn TicketConnector>, entry: &TicketEntry) -> Result<Written, TicketError> {
    once::write(connector.as_ref(), entry).await
}

/// Writes it and returns its ticket.
async fn written(connector: &Arc<dyn TicketConnector>, entry: &TicketEntry) -> String {
    match write(connector, entry).await {
        Ok(Written::Now { ticket, unset: None }) => ticket.to_string(),
        other => panic!("{other:?}\n{}", shared().log()),
    }
}

/// The usual configuration with one text of it replaced.
fn but(queue: &str, old: &str, new: &str, more: &str) -> Config {
    let znuny = shared();
    let keys = znuny.own_keys(&znuny.url(), queue);
    assert!(keys.contains(old), "{keys}");
    config_with(&keys.replace(old, new), more)
}

fn as_user(queue: &str, user: &str) -> Config {
    but(queue, &format!("\"{AGENT}\""), &format!("\"{user}\""), "")
}

fn without_field(queue: &str, more: &str) -> Config {
    but(queue, &format!("conversation_field = \"{CONVERSATION_FIELD}\"\n"), "", more)
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_note_is_written_once_and_its_audio_arrives_byte_for_byte() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        let config = usual(znuny, &queue, "");
        let connector = open(&config);
        let audio: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let audio: &'static [u8] = audio.leak();
        let entry = entry_with(&result(&format!("{queue} c1"), "m1", &json!({})), &config, audio);

        let ticket = written(&connector, &entry).await;
        for _ in 0..2 {
            assert_eq!(write(&connector, &entry).await, Ok(Written::Before));
        }
        // Another process has seen nothing of this.
        assert_eq!(write(&open(&config), &entry).await, Ok(Written::Before));

        assert_eq!(znuny.tickets(&queue).await, std::slice::from_ref(&ticket));
        let notes = notes(znuny, &queue).await;
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].text.trim(), entry.text.expose().trim());
        let (name, kind, bytes) = &notes[0].files[0];
        assert!(name.starts_with("voice-note-") && kind == "application/octet-stream", "{name} {kind}");
        assert!(bytes == audio, "{} bytes instead of {}", bytes.len(), audio.len());
        let ticket = znuny.ticket(&ticket).await;
        assert_eq!(ticket["Article"].as_array().unwrap().len(), 2, "what the ticket was opened with, and the note");
        assert_eq!(ticket["Lock"], "unlock");
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn nobody_is_sent_anything_and_no_secret_is_written_into_the_web_servers_log() {
    runtime().block_on(async {
        let znuny = shared();
        // Its automatic responses are on.
        let queue = znuny.new_queue().await;
        let config = usual(znuny, &queue, "");
        for n in 0..2 {
            let note = entry(&result(&format!("{queue} c1"), &format!("{queue} mail {n}"), &json!({})), &config);
            written(&open(&config), &note).await;
        }
        assert_eq!(znuny.mails(&queue).await, 0);
        znuny.open_by_mail(&queue).await;
        assert!(znuny.mails(&queue).await > 0, "its queues do answer");
        let password = std::fs::read_to_string(znuny.password_file()).unwrap();
        let log = znuny.access_log();
        assert!(log.contains("/Ticket/"), "{log}");
        assert!(!log.contains("SessionID") && !log.contains(&password) && !log.contains(AGENT), "{log}");
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn notes_of_a_conversation_share_a_ticket_with_or_without_a_field_for_it() {
    runtime().block_on(async {
        let znuny = shared();
        for with_field in [true, false] {
            let queue = znuny.new_queue().await;
            let config = if with_field { usual(znuny, &queue, "") } else { without_field(&queue, "") };
            let connector = open(&config);
            let mut tickets = vec![];
            for (conversation, message) in [("c1", "m1"), ("c1", "m2"), ("c2", "m3"), ("c1", "m4")] {
                let message = format!("{queue} {message}");
                let entry = entry(&result(&format!("{queue} {conversation}"), &message, &json!({})), &config);
                tickets.push(written(&connector, &entry).await);
            }
            assert_eq!(tickets[0], tickets[1]);
            assert_eq!(tickets[0], tickets[3]);
            assert_ne!(tickets[0], tickets[2]);
            assert_eq!(znuny.tickets(&queue).await.len(), 2);
            assert_eq!(znuny.notes(&tickets[0]).await.len(), 3);
        }
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_note_goes_into_the_ticket_that_it_names_and_a_wrong_name_does_no_harm() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        let config = usual(znuny, &queue, "");
        let connector = open(&config);
        let (id, number) = znuny.open(&queue).await;
        for (n, named) in [&number, &id].into_iter().enumerate() {
            let note = result(&format!("{queue} c1"), &format!("{queue} names {n}"), &json!({"ticket": named}));
            assert_eq!(written(&connector, &entry(&note, &config)).await, id);
        }
        let part_of_number = &number[..number.len() - 1];
        for wrong in ["999999999", "00", "99999999999999999999", "*", "1,2", "../Session", "", part_of_number] {
            let note = result(&format!("{queue} c2"), &format!("{queue} wrong {wrong}"), &json!({"ticket": wrong}));
            assert_ne!(written(&connector, &entry(&note, &config)).await, id, "{wrong}");
        }
        assert_eq!(znuny.tickets(&queue).await.len(), 2);
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn priority_queue_tags_and_reminder_are_set_and_a_repeat_changes_nothing() {
    runtime().block_on(async {
        let znuny = shared();
        let (queue, team) = (znuny.new_queue().await, znuny.new_queue().await);
        let more = format!(
            "tags = [\"voice\"]\n[priority_by_urgency]\nhigh = \"4 high\"\n[team_by_route]\ntechnik = \"{team}\"\n\
             [tags_by_intent]\noutage = [\"ausfall\"]\n"
        );
        let text = format!("{TEXT_TAGS_FIELD}\"\ntags_field_is = \"text");
        let due = Timestamp::now().as_second() + 7 * 24 * 60 * 60;
        let due_at = Timestamp::from_second(due).unwrap().to_string();
        for (config, tags) in [
            (usual(znuny, &queue, &more), json!(["ausfall", "voice"])),
            (but(&queue, TAGS_FIELD, &text, &more), json!("voice, ausfall")),
        ] {
            let connector = open(&config);
            let message = format!("{queue} mapped {tags}");
            let entry = entry(&result(&message, &message, &json!({"follow_up": {"due_at": due_at}})), &config);
            let id = written(&connector, &entry).await;

            let ticket = znuny.ticket(&id).await;
            assert_eq!((&ticket["Priority"], &ticket["Queue"]), (&json!("4 high"), &json!(team)));
            assert_eq!(ticket["State"], "pending reminder");
            let until = ticket["RealTillTimeNotUsed"].as_i64().unwrap();
            assert!((until - due).abs() < 90, "{until} instead of {due}");
            let field = if tags.is_array() { TAGS_FIELD } else { TEXT_TAGS_FIELD };
            let mut shown = value_of(&ticket, field);
            if let Value::Array(tags) = &mut shown {
                tags.sort_by_key(Value::to_string);
            }
            assert_eq!(shown, tags);
            assert_eq!(value_of(&ticket, CONVERSATION_FIELD), entry.key());

            let lines = znuny.history(&id).await;
            connector.set(&TicketId::new(&*id), &entry).await.unwrap();
            assert_eq!(znuny.history(&id).await, lines);
        }
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn tags_are_added_to_those_that_are_there_and_what_cannot_be_set_does_not_hold_up_the_note() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        let (id, number) = znuny.open(&queue).await;
        let field = json!({"DynamicField": [{"Name": TAGS_FIELD, "Value": ["agent"]}]});
        znuny.ask(Method::PATCH, &format!("Ticket/{id}"), field).await;
        let noted = |config: &Config, name: &str| {
            entry(&result(&queue, &format!("{queue} {name}"), &json!({"ticket": number})), config)
        };
        let config = usual(znuny, &queue, "tags = [\"voice\"]\n");
        written(&open(&config), &noted(&config, "added")).await;
        let mut tags = value_of(&znuny.ticket(&id).await, TAGS_FIELD).as_array().unwrap().clone();
        tags.sort_by_key(Value::to_string);
        assert_eq!(tags, ["agent", "voice"]);

        for (n, wrong) in [
            "tags = [\"unknown\"]\n",
            "[team_by_route]\ntechnik = \"No Such Team\"\n",
            "[priority_by_urgency]\nhigh = \"99\"\n",
        ]
        .into_iter()
        .enumerate()
        {
            let config = usual(znuny, &queue, wrong);
            let note = noted(&config, wrong);
            let Ok(Written::Now { unset: Some(TicketError::Missing { .. }), .. }) = write(&open(&config), &note).await
            else {
                panic!("it says what could not be set: {wrong}");
            };
            assert_eq!(znuny.notes(&id).await.len(), n + 2);
        }
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_closed_ticket_is_opened_again_or_followed_by_a_new_one() {
    runtime().block_on(async {
        let znuny = shared();
        for reopen in [true, false] {
            let queue = znuny.new_queue().await;
            let config = but(&queue, "queue =", &format!("reopen = {reopen}\nqueue ="), "");
            let connector = open(&config);
            let first = entry(&result(&queue, &format!("{queue} 1"), &json!({})), &config);
            let old = written(&connector, &first).await;
            znuny.change(&old, json!({"State": "closed successful"})).await;

            let again = write(&connector, &first).await;
            assert_eq!(again, Ok(Written::Before), "it was written before the ticket was closed");
            let second = entry(&result(&queue, &format!("{queue} 2"), &json!({})), &config);
            let new = written(&connector, &second).await;
            if reopen {
                assert_eq!(new, old);
                assert_eq!(znuny.ticket(&old).await["State"], "open");
            } else {
                assert_ne!(new, old);
                assert_eq!(znuny.ticket(&old).await["State"], "closed successful");
                let opening = znuny.ticket(&new).await["Article"][0]["Body"].as_str().unwrap().to_owned();
                assert!(opening.contains(&format!("Ticket {old}")), "{opening}");
                let third = entry(&result(&queue, &format!("{queue} 3"), &json!({})), &config);
                assert_eq!(written(&connector, &third).await, new);
            }
        }
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_ticket_that_was_deleted_is_replaced_and_one_that_was_merged_is_followed() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        let config = usual(znuny, &queue, "");
        let connector = open(&config);
        let noted = |n: u32| entry(&result(&queue, &format!("{queue} {n}"), &json!({})), &config);
        let deleted = written(&connector, &noted(1)).await;
        znuny.delete(&deleted);
        let merged = written(&connector, &noted(2)).await;
        assert_ne!(merged, deleted);

        let (main, _) = znuny.open(&queue).await;
        znuny.merge(&merged, &main);
        assert_eq!(write(&connector, &noted(2)).await, Ok(Written::Before), "the note went along");
        assert_eq!(written(&connector, &noted(3)).await, main);
        assert_eq!(znuny.notes(&main).await.len(), 2);

        // A web service that does not tell what became of it.
        let bare = format!("web_service = \"{BARE_WEB_SERVICE}\"\nqueue =");
        let bare = but(&queue, "queue =", &bare, "");
        let error = write(&open(&bare), &noted(4)).await.unwrap_err();
        assert!(matches!(&error, TicketError::Missing { what } if what.contains("TicketSearch")), "{error}");
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn wrong_credentials_and_missing_rights_are_told_apart() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        let wrong = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(wrong.path(), "wrong").unwrap();
        let file = znuny.password_file();
        let stranger = but(&queue, file.to_str().unwrap(), wrong.path().to_str().unwrap(), "");
        let note = entry(&result(&queue, &format!("{queue} rights"), &json!({})), &stranger);
        assert_eq!(write(&open(&stranger), &note).await, Err(TicketError::Unauthorized));

        let Err(TicketError::Forbidden { what }) = write(&open(&as_user(&queue, READER)), &note).await else {
            panic!("a missing right");
        };
        assert!(what.contains("create"), "{what}");
        assert!(znuny.tickets(&queue).await.is_empty());

        // Znuny gives all rights on tickets that are one's own.
        let (id, number) = znuny.open(&queue).await;
        let named = result(&queue, &format!("{queue} rights"), &json!({"ticket": number}));
        for _ in 0..2 {
            let opener = as_user(&queue, OPENER);
            let Err(TicketError::Forbidden { what }) = write(&open(&opener), &entry(&named, &opener)).await else {
                panic!("a missing right");
            };
            assert!(what.contains("rw"), "{what}");
        }
        assert_eq!(znuny.tickets(&queue).await, [id]);
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn what_the_configuration_names_and_is_not_there_concerns_every_note() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        let wrong_field = |name| but(&queue, CONVERSATION_FIELD, name, "");
        for (config, named) in [
            (usual(znuny, "No Such Queue", ""), "No Such Queue"),
            (but(&queue, "customer_user", "priority = \"99\"\ncustomer_user", ""), "priority"),
            (but(&queue, "customer_user", "state = \"nowhere\"\ncustomer_user", ""), "state"),
            (but(&queue, "voice-notes@tests.local", "nobody", ""), "nobody"),
            (wrong_field("NoSuchField"), "dynamic field"),
        ] {
            let note = entry(&result(&queue, &format!("{queue} {named}"), &json!({})), &config);
            let error = write(&open(&config), &note).await.unwrap_err();
            assert!(matches!(&error, TicketError::Missing { what } if what.contains(named)), "{named}: {error}");
        }
        assert!(znuny.tickets(&queue).await.is_empty());

        // Znuny takes it, but not for the ticket: a later note would never find it.
        let config = wrong_field(ARTICLE_FIELD);
        let note = entry(&result(&queue, &format!("{queue} article's"), &json!({})), &config);
        let error = write(&open(&config), &note).await.unwrap_err();
        assert!(matches!(&error, TicketError::Missing { what } if what.contains(ARTICLE_FIELD)), "{error}");
        // Its title tells, so that the note is not lost.
        written(&open(&config), &note).await;
        assert_eq!(znuny.tickets(&queue).await.len(), 1);
    });
}
