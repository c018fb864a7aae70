//! What happens to notes while the ledger is away.

use std::time::Instant;

use sprachpost::{
    ledger::{Config, WhenUnreachable},
    outcome::Settlement,
};

use super::{
    Duration, answered_by, config, finish, is_done, is_put_back, left, no_work, note, open, open_with, soon, until,
    until_up, work,
};
use crate::support::postgres::{self, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_in_the_middle_changes_nothing() {
    let mut server = Server::start();
    let database = server.new_database();
    let (ledger, other, note) = (open(&database).await, open(&database).await, note("a"));
    let claim = work(&ledger, &note).await;
    server.restart();
    until_up(&database, 2).await;
    let mut answer = soon(claim.decide(answered_by("one", &note, Settlement::Ack))).await;
    assert!(left(&mut answer).0.is_some());
    server.restart();
    until_up(&database, 2).await;
    assert!(soon(finish(answer)).await.is_some());
    until("the other is back and knows", || async { is_done(no_work(&other, &note).await) }).await;
    assert_eq!(database.count("SELECT count(*) FROM sprachpost_answers WHERE body IS NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_ledger_notes_are_processed_and_what_they_left_is_erased_when_it_is_back() {
    let mut server = Server::start();
    let database = server.new_database();
    let ledger = open_with(&database, &Config { query_s_max: 1, ..config() }).await;
    let decided = work(&ledger, &note("decided before")).await;
    let decided = decided.decide(answered_by("one", &note("decided before"), Settlement::Ack)).await;
    server.stop();

    let started = Instant::now();
    soon(finish(decided)).await;
    let note = note("meanwhile");
    for _ in 0..100 {
        let claim = work(&ledger, &note).await;
        let answer = claim.decide(answered_by("one", &note, Settlement::Ack)).await;
        assert!(finish(answer).await.is_some());
    }
    assert!(started.elapsed() < Duration::from_secs(5), "a long outage is not waited for: {:?}", started.elapsed());

    server.restart();
    until("it is back", || async {
        let claim = match ledger.begin(super::event_id(note.id()), 1).await {
            sprachpost::ledger::Begun::Work(claim) => claim,
            sprachpost::ledger::Begun::Settle(answer) => return is_done(*answer),
        };
        finish(claim.decide(answered_by("one", &note, Settlement::Ack)).await).await;
        false
    })
    .await;
    until("nothing is left of what was published", || async {
        database.count("SELECT count(body) FROM sprachpost_answers").await == 0
    })
    .await;
    assert_eq!(database.count("SELECT count(*) FROM sprachpost_answers").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_notes_wait_for_the_ledger_they_are_put_back_and_nothing_is_counted() {
    let mut server = Server::start();
    let database = server.new_database();
    let config = Config { query_s_max: 1, when_unreachable: WhenUnreachable::Wait, ..config() };
    let ledger = open_with(&database, &config).await;
    let claim = work(&ledger, &note("begun before")).await;
    server.stop();
    let answer = soon(claim.decide(answered_by("one", &note("begun before"), Settlement::Ack))).await;
    assert!(is_put_back(answer));
    assert!(is_put_back(soon(no_work(&ledger, &note("meanwhile"))).await));
    server.restart();
    until("it is back", || async {
        matches!(ledger.begin(super::event_id(note("meanwhile").id()), 1).await, sprachpost::ledger::Begun::Work(_))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_hangs_is_not_waited_for_longer_than_its_limit() {
    let database = postgres::shared().new_database();
    let ledger = open_with(&database, &Config { query_s_max: 1, ..config() }).await;
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE sprachpost_answers").await.unwrap();
    let started = Instant::now();
    let note = note("a");
    let mut answer = work(&ledger, &note).await.decide(answered_by("one", &note, Settlement::Ack)).await;
    assert!(left(&mut answer).0.is_some(), "the note goes on");
    finish(answer).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    client.batch_execute("ROLLBACK").await.unwrap();
    let other = super::note("b");
    until("it answers again", || async {
        let claim = work(&ledger, &other).await;
        let answer = claim.decide(answered_by("one", &other, Settlement::Ack)).await;
        drop(answer);
        database.count("SELECT count(*) FROM sprachpost_answers").await > 0
    })
    .await;
}
