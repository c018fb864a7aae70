//! What fails on the way: sessions, connections, web servers, processes.

use serde_json::json;

use super::{write, written};
use crate::{
    support::{
        http_proxy::{Action, HttpProxy, Seen},
        runtime,
        ticketing::RealSystem,
        znuny::shared,
    },
    tickets::{
        bridge::{self, notes},
        config_with, entry,
        killed::{self, Step},
        open, result,
    },
};

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_session_that_ran_out_is_replaced_once() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        let proxy = HttpProxy::start(znuny.port(), |_| Action::Pass);
        let config = config_with(&znuny.own_keys(&proxy.url(), &queue), "");
        let connector = open(&config);
        let logins = || proxy.seen().iter().filter(|seen| seen.path.ends_with("/Session")).count();
        for n in 0..3 {
            written(&connector, &entry(&result(&queue, &format!("{queue} {n}"), &json!({})), &config)).await;
        }
        assert_eq!(logins(), 1);
        znuny.expire_sessions().await;
        written(&connector, &entry(&result(&queue, &format!("{queue} later"), &json!({})), &config)).await;
        assert_eq!(logins(), 2);
        assert_eq!(notes(znuny, &queue).await.len(), 4);
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_web_server_that_answers_with_nothing_or_with_a_page_pauses_the_connector() {
    runtime().block_on(async {
        let znuny = shared();
        let queue = znuny.new_queue().await;
        for (status, concerns) in [(200, "answer"), (404, "address"), (302, ""), (500, "")] {
            let proxy = HttpProxy::start(znuny.port(), move |_| Action::Answer(status, ""));
            let config = config_with(&znuny.own_keys(&proxy.url(), &queue), "");
            let note = entry(&result(&queue, &format!("{queue} {status}"), &json!({})), &config);
            let error = write(&open(&config), &note).await.unwrap_err();
            assert!(error.to_string().contains(concerns), "{status}: {error}");
        }
    });
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_result_of_znuny_that_comes_again_and_again_is_one_note() {
    bridge::one_note_however_often(shared());
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn two_notes_of_a_new_conversation_open_one_ticket() {
    bridge::one_ticket_for_a_conversation(shared());
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_storm_of_errors_pauses_the_connector_and_uses_up_no_attempts() {
    bridge::a_storm(shared(), |_| true);
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn an_answer_that_takes_30_seconds_or_is_lost_writes_nothing_twice() {
    bridge::late_or_lost_answers(shared(), ends_its_check, opens_or_writes);
}

/// The last request that a bridge makes before it has a note.
fn ends_its_check(seen: &Seen) -> bool {
    seen.path.contains("/Ticket/History/2000000000")
}

fn opens_or_writes(seen: &Seen) -> bool {
    (seen.method == "POST" && seen.path.ends_with("/Ticket")) || seen.method == "PATCH"
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_bridge_killed_at_any_step_leaves_exactly_one_note() {
    let steps: [Step; 5] = [
        ("looking for the ticket", |seen| seen.path.ends_with("/Ticket/Search"), 0),
        ("opening the ticket", |seen| seen.method == "POST" && seen.path.ends_with("/Ticket"), 0),
        // The first is the one that ends its check.
        ("reading the ticket", |seen| seen.is("GET", "/Ticket/"), 1),
        ("setting the ticket", |seen| seen.method == "PATCH", 0),
        ("writing the note", |seen| seen.method == "PATCH", 1),
    ];
    killed::killed_at(shared(), &steps, ends_its_check);
}
