//! The ledger on a real PostgreSQL: by itself, through its outages, and under real workers on a real RabbitMQ.

#[path = "ledger/claims.rs"]
mod claims;
#[path = "ledger/outages.rs"]
mod outages;
#[path = "ledger/start.rs"]
mod start;
#[path = "ledger/workers.rs"]
mod workers;

use std::time::Duration;

use sprachpost::{
    broker::Message,
    event::Event,
    ledger::{Answer, Begun, Claim, Config, Ledger, Step},
    note::{AudioSource, NoteId, VoiceNote},
    outcome::{Outcome, Settlement},
    report::{Attempt, Report},
};
use uuid::Uuid;

use crate::support::postgres::Database;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Short limits: nothing here is far away.
fn config() -> Config {
    Config { busy_pause_s: 1, connect_s_max: 5, query_s_max: 2, reconnect_s_max: 1, ..Config::default() }
}

async fn open(database: &Database) -> Ledger {
    open_with(database, &config()).await
}

async fn open_with(database: &Database, config: &Config) -> Ledger {
    Ledger::open(Some(&database.url().into()), config).await.unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes far less time than this")
}

async fn until<F: Future<Output = bool>>(what: &str, mut reached: impl FnMut() -> F) {
    let waiting = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// So many ledgers have a session.
async fn until_up(database: &Database, ledgers: i64) {
    let sessions = "SELECT count(*) FROM pg_stat_activity \
                    WHERE application_name = 'sprachpost' AND datname = current_database()";
    until("the ledgers are back", || async { database.count(sessions).await == ledgers }).await;
}

fn note(message_id: &str) -> VoiceNote {
    let audio = AudioSource::Inline { data: String::new() };
    VoiceNote::new("musterstrom".parse().unwrap(), "whatsapp".parse().unwrap(), message_id.to_owned(), audio)
}

fn event_id(note: NoteId) -> Uuid {
    note.event_id(sprachpost::event::envelope::PROCESSED_V1)
}

/// How a worker of this name answers a note, each in words of its own.
fn answered_by(worker: &str, note: &VoiceNote, settlement: Settlement) -> Outcome {
    let report = Report::begin(note, Attempt::only(), worker);
    Outcome { effects: vec![Event::processed(report.finish(), None)], settlement }
}

async fn work(ledger: &Ledger, note: &VoiceNote) -> Claim {
    match ledger.begin(event_id(note.id()), 1).await {
        Begun::Work(claim) => claim,
        Begun::Settle(answer) => panic!("there is work to do, not {answer:?}"),
    }
}

async fn no_work(ledger: &Ledger, note: &VoiceNote) -> Answer {
    match ledger.begin(event_id(note.id()), 1).await {
        Begun::Settle(answer) => *answer,
        Begun::Work(claim) => panic!("there is nothing to do, and yet {claim:?}"),
    }
}

/// What is left to be published, none or one, and what the broker is to be told after that.
fn left(answer: &mut Answer) -> (Option<Message>, Option<Settlement>) {
    match answer.step() {
        Step::Publish(message) => (Some(message.clone()), None),
        Step::Settle(settlement) => (None, Some(settlement.clone())),
    }
}

/// Publishes what is left, to nobody, and settles.
async fn finish(mut answer: Answer) -> Option<Outcome> {
    while matches!(answer.step(), Step::Publish(_)) {
        answer.published().await;
    }
    answer.settled().await
}

fn is_settled_by(answer: &mut Answer, settlement: &Settlement) -> bool {
    answer.step() == Step::Settle(settlement)
}

fn is_put_back(mut answer: Answer) -> bool {
    is_settled_by(&mut answer, &Settlement::Later { after: Duration::from_secs(1) })
}

fn is_done(mut answer: Answer) -> bool {
    is_settled_by(&mut answer, &Settlement::Ack)
}
