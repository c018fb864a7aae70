//! The connector for Request Tracker, on a real one.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use sprachpost::tickets::{
    TicketConnector, TicketEntry, TicketError,
    bridge::once::{self, Written},
};

use super::{checked, config, entry, entry_with, open, result, usual};
use crate::support::{
    http_proxy::{Action, HttpProxy},
    request_tracker::{CONVERSATION_FIELD, TAGS_FIELD, shared},
    runtime,
    ticketing::RealSystem,
};

async fn write(connector: &Arc<dyn TicketConnector>, entry: &TicketEntry) -> Result<Written, TicketError> {
    once::write(connector.as_ref(), entry).await
}

/// Writes it and returns its ticket.
async fn written(connector: &Arc<dyn TicketConnector>, entry: &TicketEntry) -> String {
    match write(connector, entry).await {
        Ok(Written::Now { ticket, unset: None }) => ticket.to_string(),
        other => panic!("{other:?}"),
    }
}

fn values_of(ticket: &Value, field: &str) -> Vec<String> {
    let fields = ticket["CustomFields"].as_array().unwrap();
    let own = fields.iter().find(|own| own["name"] == field).unwrap();
    own["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_note_is_written_once_and_its_audio_arrives_byte_for_byte() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let config = usual(rt, &queue, "");
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

        assert_eq!(rt.tickets(&queue).await, std::slice::from_ref(&ticket));
        let comments = rt.notes(&ticket).await;
        assert_eq!(comments.len(), 1);
        assert_eq!(comments[0].text.trim_end(), entry.text.expose().trim_end());
        let (name, kind, bytes) = &comments[0].files[0];
        assert!(name.starts_with("voice-note-") && kind == "application/octet-stream", "{name} {kind}");
        assert!(bytes == audio, "{} bytes instead of {}", bytes.len(), audio.len());
        assert_eq!(rt.transactions(&ticket, "Correspond").await, 0, "nothing for the customer");
    });
}

#[test]
fn notes_of_a_conversation_share_a_ticket_with_or_without_a_field_for_it() {
    runtime().block_on(async {
        let rt = shared();
        for with_field in [true, false] {
            let queue = rt.new_queue().await;
            let mut text = toml::to_string(&usual(rt, &queue, "")).unwrap();
            if !with_field {
                text = text.replace(&format!("conversation_field = \"{CONVERSATION_FIELD}\"\n"), "");
                assert!(!text.contains("conversation_field"));
            }
            let config = toml::from_str(&text).unwrap();
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
            assert_eq!(rt.tickets(&queue).await.len(), 2);
            assert_eq!(rt.notes(&tickets[0]).await.len(), 3);
        }
    });
}

#[test]
fn a_note_goes_into_the_ticket_that_it_names_and_a_wrong_name_does_no_harm() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let config = usual(rt, &queue, "");
        let connector = open(&config);
        let named = rt.ask(Method::POST, "ticket", Some(json!({"Queue": queue, "Subject": "by an agent"}))).await;
        let named = named["id"].as_str().unwrap();
        let note = result(&format!("{queue} c1"), "names", &json!({"ticket": named}));
        assert_eq!(written(&connector, &entry(&note, &config)).await, named);
        for wrong in ["999999999", "1 OR 1=1", "../user/root", ""] {
            let note = result(&format!("{queue} c2"), &format!("wrong {wrong}"), &json!({"ticket": wrong}));
            assert_ne!(written(&connector, &entry(&note, &config)).await, named, "{wrong}");
        }
        assert_eq!(rt.tickets(&queue).await.len(), 2);
    });
}

#[test]
fn priority_queue_tags_and_reminder_are_set_and_a_repeat_changes_nothing() {
    runtime().block_on(async {
        let rt = shared();
        let (queue, team) = (rt.new_queue().await, rt.new_queue().await);
        let more = format!(
            "tags = [\"voice\"]\n[priority_by_urgency]\nhigh = \"80\"\n[team_by_route]\ntechnik = \"{team}\"\n\
             [tags_by_intent]\noutage = [\"ausfall\"]\n"
        );
        let config = usual(rt, &queue, &more);
        let connector = open(&config);
        let due = json!({"follow_up": {"due_at": "2026-11-28T18:02:11Z"}});
        let entry = entry(&result(&format!("{queue} c1"), "mapped", &due), &config);
        let id = written(&connector, &entry).await;

        let ticket = rt.ticket(&id).await;
        assert_eq!(ticket["Priority"], "80");
        assert_eq!(rt.tickets(&team).await, std::slice::from_ref(&id));
        assert_eq!(values_of(&ticket, TAGS_FIELD), ["voice", "ausfall"]);
        assert_eq!(values_of(&ticket, CONVERSATION_FIELD), [entry.key()]);
        let reminders = format!("tickets?query=Type%3D'reminder'%20AND%20RefersTo%3D{id}&fields=Due,Subject,Status");
        let reminders = || rt.ask(Method::GET, &reminders, None);
        let made = reminders().await;
        assert_eq!((made["count"].as_u64(), made["items"][0]["Due"].as_str()), (Some(1), Some("2026-11-28T18:02:11Z")));

        let changes = rt.transactions(&id, "").await;
        connector.set(&sprachpost::tickets::TicketId::new(&*id), &entry).await.unwrap();
        assert_eq!(rt.transactions(&id, "").await, changes);
        assert_eq!(reminders().await["count"], 1);
    });
}

#[test]
fn a_team_may_be_an_owner_and_what_cannot_be_set_does_not_hold_up_the_note() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let mapped =
            |owner| usual(rt, &queue, &format!("team_is = \"owner\"\n[team_by_route]\ntechnik = \"{owner}\"\n"));
        let config = mapped("voicebot");
        let id = written(&open(&config), &entry(&result(&format!("{queue} c1"), "owned", &json!({})), &config)).await;
        assert_eq!(rt.ticket(&id).await["Owner"]["id"], "voicebot");

        let config = mapped("nobody-of-this-name");
        let note = entry(&result(&format!("{queue} c2"), "not owned", &json!({})), &config);
        let Ok(Written::Now { ticket, unset: Some(TicketError::Forbidden { what }) }) =
            write(&open(&config), &note).await
        else {
            panic!("it says what could not be set");
        };
        assert!(what.contains("Owner"), "{what}");
        assert_eq!(rt.notes(ticket.as_str()).await.len(), 1);
    });
}

#[test]
fn a_closed_ticket_is_opened_again_or_followed_by_a_new_one() {
    runtime().block_on(async {
        let rt = shared();
        for reopen in [true, false] {
            let queue = rt.new_queue().await;
            let config = usual(rt, &queue, &format!("reopen = {reopen}\n"));
            let connector = open(&config);
            let conversation = format!("{queue} {reopen}");
            let first = entry(&result(&conversation, &format!("{queue} 1"), &json!({})), &config);
            let old = written(&connector, &first).await;
            rt.ask(Method::PUT, &format!("ticket/{old}"), Some(json!({"Status": "resolved"}))).await;

            assert_eq!(
                write(&connector, &first).await,
                Ok(Written::Before),
                "it was written before the ticket was closed"
            );
            let second = entry(&result(&conversation, &format!("{queue} 2"), &json!({})), &config);
            let new = written(&connector, &second).await;
            if reopen {
                assert_eq!(new, old);
                assert_eq!(rt.ticket(&old).await["Status"], "open");
            } else {
                assert_ne!(new, old);
                assert_eq!(rt.ticket(&old).await["Status"], "resolved");
                let links = rt.ticket(&new).await["_hyperlinks"].to_string();
                assert!(links.contains("refers-to") && links.contains(&format!("ticket/{old}")), "{links}");
                let third = entry(&result(&conversation, &format!("{queue} 3"), &json!({})), &config);
                assert_eq!(written(&connector, &third).await, new);
            }
        }
    });
}

#[test]
fn wrong_credentials_and_missing_rights_are_told_apart() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let wrong = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(wrong.path(), "1-14-0123456789abcdef").unwrap();
        let as_user = |file: &std::path::Path| config(&rt.url(), file, &queue, "");

        let stranger = as_user(wrong.path());
        let note = entry(&result(&format!("{queue} c1"), "rights", &json!({})), &stranger);
        assert_eq!(write(&open(&stranger), &note).await, Err(TicketError::Unauthorized));

        // RT answers with 400 and a sentence.
        let Err(TicketError::Forbidden { what }) = write(&open(&as_user(&rt.token_file("mute"))), &note).await else {
            panic!("a missing right");
        };
        assert!(what.contains("CommentOnTicket"), "{what}");
        assert_eq!(rt.tickets(&queue).await.len(), 1, "and only one ticket was opened");
    });
}

#[test]
fn who_cannot_see_comments_is_stopped_before_writing_twice() {
    runtime().block_on(async {
        let rt = shared();
        let queue = rt.new_queue().await;
        let config = config(&rt.url(), &rt.token_file("blind"), &queue, "");
        let note = entry(&result(&format!("{queue} c1"), "blind", &json!({})), &config);
        let connector = open(&config);
        let ticket = written(&connector, &note).await;
        for _ in 0..2 {
            let Err(TicketError::Forbidden { what }) = write(&connector, &note).await else {
                panic!("a missing right")
            };
            assert!(what.contains("ShowTicketComments"), "{what}");
        }
        assert_eq!(rt.notes(&ticket).await.len(), 1);
    });
}

#[test]
fn an_unknown_queue_concerns_every_note() {
    runtime().block_on(async {
        let rt = shared();
        let config = usual(rt, "No Such Queue", "");
        let error = write(&open(&config), &entry(&result("c9", "no queue", &json!({})), &config)).await.unwrap_err();
        assert!(matches!(&error, TicketError::Missing { what } if what.contains("No Such Queue")), "{error}");
    });
}

#[test]
fn an_agent_who_changes_the_ticket_at_the_same_time_loses_nothing() {
    runtime().block_on(async {
        let rt = shared();
        let (queue, team) = (rt.new_queue().await, rt.new_queue().await);
        let moved = usual(rt, &queue, &format!("[team_by_route]\ntechnik = \"{team}\"\n"));
        // Between what the connector read and what it writes, an agent raises the priority.
        let proxy = HttpProxy::scripted(
            rt.port(),
            Box::new(|seen| {
                Box::pin(async move {
                    if seen.method == "PUT" {
                        let id = seen.path.rsplit('/').next().unwrap();
                        let before = shared().ticket(id).await["Priority"].as_str().unwrap().parse::<u32>().unwrap();
                        if before == 0 {
                            shared().ask(Method::PUT, &format!("ticket/{id}"), Some(json!({"Priority": 33}))).await;
                        }
                    }
                    Action::Pass
                })
            }),
        );
        let config = config(
            &proxy.url(),
            &rt.token_file("voicebot"),
            &queue,
            &format!("[team_by_route]\ntechnik = \"{team}\"\n"),
        );
        let id = written(&open(&config), &entry(&result(&format!("{queue} c1"), "at once", &json!({})), &moved)).await;
        let puts = proxy.seen().iter().filter(|seen| seen.method == "PUT").count();
        assert_eq!(puts, 2, "the first was refused with 412");
        assert_eq!(
            (rt.ticket(&id).await["Priority"].as_str(), rt.tickets(&team).await),
            (Some("33"), vec![id.clone()])
        );
    });
}

#[test]
fn check_names_what_is_wrong_before_the_first_note() {
    let folder = tempfile::tempdir().unwrap();
    let rt = shared();
    let (queue, wrong) = (runtime().block_on(rt.new_queue()), folder.path().join("wrong"));
    std::fs::write(&wrong, "1-14-0123456789abcdef").unwrap();
    let check = |tickets: &sprachpost::tickets::Config| checked(folder.path(), tickets);
    // Without a ticket, rights on tickets do not show.
    let (code, good) = check(&usual(rt, &queue, ""));
    assert_eq!(code, Some(0), "{good}");
    assert!(good.contains(&queue) && good.contains(CONVERSATION_FIELD) && good.contains("RT 5"), "{good}");
    runtime().block_on(rt.ask(Method::POST, "ticket", Some(json!({"Queue": queue, "Subject": "the first"}))));
    assert_eq!(check(&usual(rt, &queue, "")).0, Some(0));

    for (tickets, fault) in [
        (config(&rt.url(), &wrong, &queue, ""), "credentials"),
        (usual(rt, "No Such Queue", ""), "No Such Queue"),
        (usual(rt, &queue, "[team_by_route]\ntechnik = \"No Such Team\"\n"), "No Such Team"),
        (config(&rt.url(), &rt.token_file("mute"), &queue, ""), "CommentOnTicket"),
        (config(&rt.url(), &rt.token_file("fixed"), &queue, ""), "ModifyTicket"),
        (config("http://127.0.0.1:9", &wrong, &queue, ""), "cannot be reached"),
    ] {
        let (code, text) = check(&tickets);
        assert!(code == Some(1) && text.contains(fault), "{fault}: {text}");
    }
}
