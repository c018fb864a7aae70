//! The start: tables that make themselves, and errors that say what to do.

use std::{fs, net::TcpListener};

use sprachpost::{
    ledger::{Config, Ledger, LedgerError},
    outcome::Disposition,
};

use super::{config, note, open, soon, work};
use crate::support::{
    postgres::{self, Server},
    program, rabbitmq,
};

async fn refusal(url: &str) -> LedgerError {
    let error = soon(Ledger::open(Some(&url.to_owned().into()), &config())).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("geheim") && !shown.contains("nur-fuer-tests"), "{shown}");
    error
}

#[tokio::test]
async fn without_an_address_nothing_is_asked_and_everything_is_worked_on() {
    let ledger = Ledger::open(None, &Config::default()).await.unwrap();
    let (one, other) = (work(&ledger, &note("a")).await, work(&ledger, &note("a")).await);
    let answer = one.decide(super::answered_by("one", &note("a"), sprachpost::outcome::Settlement::Ack)).await;
    assert!(super::finish(answer).await.is_some());
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_start_together_make_the_tables_once() {
    let database = postgres::shared().new_database();
    let opening = (0..8).map(|_| open(&database));
    futures_util::future::join_all(opening).await;
    assert_eq!(database.count("SELECT count(*) FROM sprachpost_ledger").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_later_version_are_left_alone() {
    let database = postgres::shared().new_database();
    drop(open(&database).await);
    database.execute("UPDATE sprachpost_ledger SET version = 2").await;
    let error = refusal(&database.url()).await;
    assert!(matches!(error, LedgerError::Schema { found: 2, known: 1 }), "{error:?}");
    assert_eq!(error.disposition(), Disposition::Fail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_refuses_says_what_to_do_and_shows_no_secret() {
    let database = postgres::shared().new_database();
    let wrong_password = refusal(&database.url_of("sprachpost", "geheim")).await.to_string();
    assert!(wrong_password.contains("28P01") && wrong_password.contains("password in ledger.url"), "{wrong_password}");

    let role = format!("weak_{}", uuid::Uuid::new_v4().simple());
    database
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'geheim'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        .await;
    let no_tables = refusal(&database.url_of(&role, "geheim")).await.to_string();
    assert!(no_tables.contains("42501") && no_tables.contains("grant"), "{no_tables}");
    drop(open(&database).await);
    let all = "sprachpost_ledger, sprachpost_answers";
    database.execute(&format!("GRANT SELECT ON {all} TO {role}")).await;
    assert!(refusal(&database.url_of(&role, "geheim")).await.to_string().contains("42501"), "it may only look");
    database.execute(&format!("GRANT INSERT, UPDATE, DELETE ON {all} TO {role}")).await;
    let ledger = Ledger::open(Some(&database.url_of(&role, "geheim").into()), &config()).await.unwrap();
    drop(work(&ledger, &note("a")).await);

    let no_database = refusal(&database.url().replace("/test_", "/geheim_")).await.to_string();
    assert!(no_database.contains("3D000") && no_database.contains("create the database"), "{no_database}");
    assert!(matches!(refusal("mysql://user:geheim@host/db").await, LedgerError::InvalidSetting { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_not_there_or_says_nothing_is_an_error_in_time() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let error = refusal(&format!("postgres://nutzer:geheim@{nobody}/db?sslmode=disable")).await;
    let LedgerError::Unreachable { address, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*address, nobody.to_string());
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://nutzer:geheim@{}/db", silent.local_addr().unwrap());
    let error = soon(Ledger::open(Some(&url.into()), &Config { connect_s_max: 1, ..config() })).await.unwrap_err();
    assert!(matches!(error, LedgerError::TimedOut { .. } | LedgerError::Unreachable { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_is_encrypted_unless_the_operator_says_otherwise() {
    let plain = postgres::shared().new_database();
    let refused = refusal(&plain.tls_url()).await;
    assert!(refused.to_string().contains("sslmode=disable"), "{refused}");

    let mut server = Server::start();
    let certificate = server.speak_tls();
    let database = server.new_database();
    let unknown = refusal(&database.tls_url()).await;
    assert!(matches!(unknown, LedgerError::Unreachable { .. }), "nobody vouches for it: {unknown:?}");
    let trusting = Config { ca_file: Some(certificate), ..config() };
    let ledger = Ledger::open(Some(&database.tls_url().into()), &trusting).await.unwrap();
    drop(work(&ledger, &note("a")).await);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND \
                     application_name = 'sprachpost'";
    assert_eq!(database.count(encrypted).await, 1);
}

#[test]
fn a_worker_does_not_start_on_a_ledger_that_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |broker: &str, ledger: &str| {
        let output = program::command(folder.path())
            .env("SPRACHPOST__BROKER__URL", broker)
            .env("SPRACHPOST__LEDGER__URL", ledger)
            .args(["serve", "--roles", "worker"])
            .output()
            .unwrap();
        let shown = program::stderr(&output);
        assert!(!output.status.success() && !shown.contains("geheim"), "{shown}");
        shown
    };
    let embedded = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    let shown = serve(&embedded, "postgres://user:geheim@127.0.0.1/db");
    assert!(shown.contains("the embedded queue keeps a ledger of its own"), "{shown}");
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let shown =
        serve(&rabbitmq::shared().new_vhost().url(), &format!("postgres://user:geheim@{nobody}/db?sslmode=disable"));
    assert!(shown.contains("see that PostgreSQL runs there"), "{shown}");
}

#[test]
fn a_ledgers_address_that_cannot_be_read_is_found_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprachpost.toml");
    fs::write(&file, "[ledger]\nurl = { file = \"/nowhere/ledger_url\" }\n").unwrap();
    let output = program::run(folder.path(), &["config", "check", "--config", file.to_str().unwrap()]);
    assert!(!output.status.success() && program::stderr(&output).contains("/nowhere/ledger_url"));
}
