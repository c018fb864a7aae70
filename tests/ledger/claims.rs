//! Who may work on a note, and whose answer counts.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
};

use sprachpost::{
    event::{Event, Reason, processed::Transcript},
    ledger::{Answer, Begun, Config, Ledger},
    note::VoiceNote,
    outcome::{DeadLetterCause, Disposition, Outcome, Settlement, Stage},
    private::Private,
    retry::RetryPolicy,
};

use super::{
    Duration, answered_by, config, event_id, finish, is_done, is_put_back, is_settled_by, left, no_work, note, open,
    open_with, soon, until, until_up, work,
};
use crate::support::postgres;

/// The address of the database for [`a_process_that_holds_a_claim`].
const ADDRESS: &str = "SPRACHPOST_TEST_LEDGER";

fn dead_letter() -> Settlement {
    Settlement::DeadLetter(DeadLetterCause { reason: Reason::TranscriberFailed, stage: Stage::Transcribe })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_is_worked_on_once_and_then_its_repeats_are_only_acknowledged() {
    let database = postgres::shared().new_database();
    let (one, other, note) = (open(&database).await, open(&database).await, note("a"));
    let claim = work(&one, &note).await;
    assert!(is_put_back(no_work(&other, &note).await), "another session has it");

    let mut answer = claim.decide(answered_by("one", &note, Settlement::Ack)).await;
    assert!(left(&mut answer).0.is_some());
    assert!(is_put_back(no_work(&other, &note).await), "it is not published yet");
    let kept = "SELECT count(body) + count(envelope) FROM sprachpost_answers";
    assert_eq!(database.count(kept).await, 2);
    answer.published().await;
    assert_eq!(database.count(kept).await, 0, "what customers said is gone once it is published");
    assert!(answer.settled().await.is_some());

    for ledger in [&one, &other] {
        until("it is done", || async { is_done(no_work(ledger, &note).await) }).await;
    }
    assert_eq!(database.count("SELECT count(*) FROM sprachpost_answers").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_deliveries_in_one_process_exclude_each_other_and_different_notes_do_not() {
    let database = postgres::shared().new_database();
    let ledger = open(&database).await;
    let claim = work(&ledger, &note("a")).await;
    assert!(is_put_back(no_work(&ledger.clone(), &note("a")).await));
    let other_note = work(&ledger, &note("b")).await;
    drop(claim);
    until("a dropped claim is free", || async {
        matches!(ledger.begin(event_id(note("a").id()), 1).await, Begun::Work(_))
    })
    .await;
    drop(other_note);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_nobody_waited_for_is_free_again() {
    let database = postgres::shared().new_database();
    let (one, other) = (open(&database).await, open(&database).await);
    for round in 0..50 {
        let begun = one.begin(event_id(note("a").id()), 1);
        let _ = tokio::time::timeout(Duration::from_micros(round * 20), begun).await;
    }
    soon(async {
        while !matches!(other.begin(event_id(note("a").id()), 1).await, Begun::Work(_)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_without_an_event_decides_nothing_and_frees_the_note_at_once() {
    let database = postgres::shared().new_database();
    let (one, other, note) = (open(&database).await, open(&database).await, note("a"));
    let claim = work(&one, &note).await;
    let retry = Outcome::retry(Duration::from_secs(7), Reason::AudioUnreachable);
    let settlement = retry.settlement.clone();
    let mut answer = claim.decide(retry).await;
    assert!(is_settled_by(&mut answer, &settlement));
    let again = work(&other, &note).await;
    assert_eq!(database.count("SELECT count(*) FROM sprachpost_answers").await, 0);
    drop((answer, again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_and_not_published_is_published_by_the_next_in_the_same_bytes() {
    let database = postgres::shared().new_database();
    let (one, other, note) = (open(&database).await, open(&database).await, note("a"));
    let mut outcome = answered_by("one", &note, dead_letter());
    let Event::Processed { traceparent, .. } = &mut outcome.effects[0] else { panic!() };
    *traceparent = Some("00-4bf92f35-00f067aa-01".to_owned());
    let mut first = work(&one, &note).await.decide(outcome).await;
    let (message, _) = left(&mut first);
    assert!(message.is_some());
    // Its worker dies.
    drop((first, one));
    let mut second = soon_no_work(&other, &note).await;
    assert_eq!(left(&mut second), (message, None));
    second.published().await;
    assert!(is_settled_by(&mut second, &dead_letter()));
    // And so does the next, before the original lies with the dead letters.
    drop((second, other));
    let third = open(&database).await;
    let mut answer = soon_no_work(&third, &note).await;
    assert!(is_settled_by(&mut answer, &dead_letter()));
    assert!(finish(answer).await.is_none(), "the outcome is another worker's");
    until("it is done", || async { is_done(no_work(&third, &note).await) }).await;
}

/// What is left to do, once nobody is at the note.
async fn soon_no_work(ledger: &Ledger, note: &VoiceNote) -> Answer {
    soon(async {
        loop {
            let mut answer = no_work(ledger, note).await;
            if !is_settled_by(&mut answer, &Settlement::Later { after: Duration::from_secs(1) }) {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_no_broker_takes_is_replaced_by_what_is_published_instead() {
    let database = postgres::shared().new_database();
    let (one, other, note) = (open(&database).await, open(&database).await, note("a"));
    let mut outcome = answered_by("one", &note, Settlement::Ack);
    let Event::Processed { data, .. } = &mut outcome.effects[0] else { panic!() };
    data.transcript = Some(Transcript {
        text: Private::new("so lang, dass kein Broker es nimmt"),
        language: "de".to_owned(),
        language_confidence: 1.0,
        confidence: 1.0,
        segments: vec![],
        model: "scripted".to_owned(),
    });
    let mut answer = work(&one, &note).await.decide(outcome).await;
    let (large, _) = left(&mut answer);
    answer.not_published(Disposition::Fail, &RetryPolicy::default()).await;
    let (shorter, _) = left(&mut answer);
    assert!(shorter.is_some() && shorter != large);
    drop((answer, one));
    let mut found = soon_no_work(&other, &note).await;
    assert_eq!(left(&mut found).0, shorter);
    found.published().await;
    let cause = DeadLetterCause { reason: Reason::ResultTooLarge, stage: Stage::Receive };
    assert!(is_settled_by(&mut found, &Settlement::DeadLetter(cause)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_the_claim_publishes_the_answer_that_was_decided_first() {
    let database = postgres::shared().new_database();
    let (one, other, note) = (open(&database).await, open(&database).await, note("a"));
    let claim = work(&one, &note).await;
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(database.count(others).await, 2);
    until("the claim ended with its session", || async {
        let Begun::Work(second) = other.begin(event_id(note.id()), 1).await else { return false };
        let answer = second.decide(answered_by("other", &note, Settlement::Ack)).await;
        assert!(finish(answer).await.is_some());
        true
    })
    .await;
    until_up(&database, 2).await;
    let late = claim.decide(answered_by("one", &note, Settlement::Ack)).await;
    assert!(is_done(late), "the other answer is out already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_holds_nothing() {
    let database = postgres::shared().new_database();
    let (ledger, note) = (open(&database).await, note("held"));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["ledger::claims::a_process_that_holds_a_claim", "--exact", "--ignored", "--nocapture"])
        .env(ADDRESS, database.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("it has the claim")));
    assert!(is_put_back(no_work(&ledger, &note).await));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the claim died with its holder", || async {
        matches!(ledger.begin(event_id(note.id()), 1).await, Begun::Work(_))
    })
    .await;
}

#[test]
#[ignore = "no test: the process that another test kills"]
fn a_process_that_holds_a_claim() {
    let address = std::env::var(ADDRESS).expect("started by another test");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _claim = runtime.block_on(async {
        let ledger = Ledger::open(Some(&address.into()), &config()).await.unwrap();
        (work(&ledger, &note("held")).await, ledger)
    });
    println!("it has the claim");
    // Ends with the process that started it, should that forget.
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    })
    .join()
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_window_a_note_is_new_again() {
    let database = postgres::shared().new_database();
    let (note, config) = (note("a"), Config { window_s: 2, ..config() });
    let ledger = open_with(&database, &config).await;
    // Neither was published nor settled: the window is the end for these, too.
    let unpublished = work(&ledger, &note).await.decide(answered_by("one", &note, dead_letter())).await;
    drop(unpublished);
    database
        .execute("INSERT INTO sprachpost_answers SELECT gen_random_uuid(), now() - interval '3 s' FROM generate_series(1, 5000)")
        .await;
    until("old entries are removed", || async {
        database.count("SELECT count(*) FROM sprachpost_answers WHERE decided_at < now() - interval '2 s'").await == 0
    })
    .await;
    until("and this one", || async { matches!(ledger.begin(event_id(note.id()), 1).await, Begun::Work(_)) }).await;
}
