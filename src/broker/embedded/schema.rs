//! Owns the tables of the queue file and their version.
//!
//! `PRAGMA user_version` is the version. A file of a newer version is refused; one of an older version is brought up
//! to date, step by step, in one transaction.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, config::DbConfig};

use crate::broker::BrokerError;

/// One entry a version. Never changed once released, only added to.
const STEPS: [&str; 4] = [V1, V2, V3, V4];

const V1: &str = "
    CREATE TABLE notes (
        seq            INTEGER PRIMARY KEY AUTOINCREMENT,
        state          TEXT NOT NULL CHECK (state IN ('waiting', 'leased', 'dead')),
        message_id     TEXT,
        correlation_id TEXT,
        routing_key    TEXT NOT NULL,
        content_type   TEXT,
        headers        TEXT NOT NULL,               -- a JSON object of strings
        body           BLOB NOT NULL,
        queued_at      INTEGER NOT NULL,            -- all times: milliseconds since 1970
        available_at   INTEGER NOT NULL,            -- waiting: not before this
        attempt        INTEGER NOT NULL DEFAULT 0,  -- attempts begun
        deliveries     INTEGER NOT NULL DEFAULT 0,  -- hand-outs since the last settlement
        exhausted      INTEGER NOT NULL DEFAULT 0,  -- 1: used up its deliveries
        owner          TEXT,                        -- leased: by which process
        token          INTEGER NOT NULL DEFAULT 0,  -- leased: by which hand-out
        lease_until    INTEGER,                     -- leased: until when
        first_at       INTEGER,                     -- when the first attempt began
        last_at        INTEGER,                     -- dead: when the last attempt ended
        reason         TEXT,
        stage          TEXT
    );
    CREATE INDEX notes_waiting ON notes (available_at, seq) WHERE state = 'waiting';
    CREATE INDEX notes_leased ON notes (lease_until) WHERE state = 'leased';
    CREATE INDEX notes_dead ON notes (seq) WHERE state = 'dead';

    -- How many notes are in each state, so that nothing has to count them.
    CREATE TABLE tally (state TEXT PRIMARY KEY, notes INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO tally VALUES ('waiting', 0), ('leased', 0), ('dead', 0);
    CREATE TRIGGER notes_added AFTER INSERT ON notes BEGIN
        UPDATE tally SET notes = notes + 1 WHERE state = new.state;
    END;
    CREATE TRIGGER notes_removed AFTER DELETE ON notes BEGIN
        UPDATE tally SET notes = notes - 1 WHERE state = old.state;
    END;
    CREATE TRIGGER notes_moved AFTER UPDATE OF state ON notes WHEN old.state <> new.state BEGIN
        UPDATE tally SET notes = notes - 1 WHERE state = old.state;
        UPDATE tally SET notes = notes + 1 WHERE state = new.state;
    END;

    -- Message ids that were queued lately.
    CREATE TABLE seen (message_id TEXT PRIMARY KEY, queued_at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX seen_age ON seen (queued_at);

    -- The log of results. `seq` is never used twice and grows in the order of commits.
    CREATE TABLE results (
        seq            INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id     TEXT UNIQUE,
        correlation_id TEXT,
        routing_key    TEXT NOT NULL,
        content_type   TEXT,
        headers        TEXT NOT NULL,
        body           BLOB NOT NULL,
        published_at   INTEGER NOT NULL
    );
    CREATE INDEX results_age ON results (published_at);
";

/// Notes wait in lanes.
const V2: &str = "
    ALTER TABLE notes ADD COLUMN lane TEXT NOT NULL DEFAULT 'regular';
    DROP INDEX notes_waiting;
    CREATE INDEX notes_waiting ON notes (lane, available_at, seq) WHERE state = 'waiting';
";

/// Dead letters can be sent back to work, and are looked at in the order in which they were given up on.
const V3: &str = "
    ALTER TABLE notes ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;  -- how often people sent it back to work
    DROP INDEX notes_dead;
    CREATE INDEX notes_dead ON notes (last_at, seq) WHERE state = 'dead';
";

/// Results can be queued, too: each queue has rows of its own in the table of notes.
const V4: &str = "
    ALTER TABLE notes ADD COLUMN queue TEXT NOT NULL DEFAULT 'notes';
    DROP INDEX notes_waiting;
    CREATE INDEX notes_waiting ON notes (queue, lane, available_at, seq) WHERE state = 'waiting';
    DROP INDEX notes_dead;
    CREATE INDEX notes_dead ON notes (queue, last_at, seq) WHERE state = 'dead';

    DROP TRIGGER notes_added;
    DROP TRIGGER notes_removed;
    DROP TRIGGER notes_moved;
    DROP TABLE tally;
    CREATE TABLE tally (queue TEXT, state TEXT, notes INTEGER NOT NULL, PRIMARY KEY (queue, state)) WITHOUT ROWID;
    INSERT INTO tally SELECT queue, state, COUNT(*) FROM notes GROUP BY queue, state;
    CREATE TRIGGER notes_added AFTER INSERT ON notes BEGIN
        INSERT INTO tally VALUES (new.queue, new.state, 1) ON CONFLICT DO UPDATE SET notes = notes + 1;
    END;
    CREATE TRIGGER notes_removed AFTER DELETE ON notes BEGIN
        UPDATE tally SET notes = notes - 1 WHERE queue = old.queue AND state = old.state;
    END;
    CREATE TRIGGER notes_moved AFTER UPDATE OF state ON notes WHEN old.state <> new.state BEGIN
        UPDATE tally SET notes = notes - 1 WHERE queue = old.queue AND state = old.state;
        INSERT INTO tally VALUES (new.queue, new.state, 1) ON CONFLICT DO UPDATE SET notes = notes + 1;
    END;

    -- Message ids that were queued lately, by queue.
    ALTER TABLE seen RENAME TO seen_before;
    DROP INDEX seen_age;
    CREATE TABLE seen (
        queue      TEXT,
        message_id TEXT,
        queued_at  INTEGER NOT NULL,
        PRIMARY KEY (queue, message_id)
    ) WITHOUT ROWID;
    INSERT INTO seen SELECT 'notes', message_id, queued_at FROM seen_before;
    DROP TABLE seen_before;
    CREATE INDEX seen_age ON seen (queued_at);

    -- Which queues collect results, and which of them.
    CREATE TABLE bindings (queue TEXT, pattern TEXT, PRIMARY KEY (queue, pattern)) WITHOUT ROWID;
";

/// Statements that are kept prepared: more than the queue has, so that none is parsed twice.
const STATEMENTS_MAX: usize = 64;

/// Between two attempts at what SQLite does not wait for itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Opens the file, with its folder and its tables, and makes every commit survive a loss of power.
pub(super) fn open(path: &Path, busy_limit: Duration) -> Result<Connection, BrokerError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| storage(path, error))?;
    }
    let mut connection = Connection::open(path).map_err(|error| storage(path, error))?;
    prepare(&mut connection, busy_limit).map_err(|error| storage(path, error))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

pub(super) fn storage(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BrokerError {
    BrokerError::Storage { path: path.display().to_string(), source: source.into() }
}

/// With a write-ahead log, `FULL` is the weakest setting that survives a loss of power: a note whose sender was told
/// "queued" is on the disk. Commits are shared (see [`super::storage`]), so that it is affordable.
fn prepare(connection: &mut Connection, busy_limit: Duration) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Without it, SQLite plans a statement anew whenever another number is bound to its LIMIT.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(busy_limit)?;
    write_ahead(connection, busy_limit)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What customers said is overwritten once it is deleted.
    connection.pragma_update(None, "secure_delete", "ON")?;
    Ok(())
}

/// Processes that make the file at the same moment stand in each other's way here, and SQLite gives up at once where
/// waiting might never end.
fn write_ahead(connection: &Connection, busy_limit: Duration) -> rusqlite::Result<()> {
    let last = Instant::now() + busy_limit;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < last => {
                std::thread::sleep(BUSY_PAUSE);
            }
            done => return done,
        }
    }
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), BrokerError> {
    let failed = |error: rusqlite::Error| storage(path, error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = STEPS.len();
    let done = usize::try_from(version).ok().filter(|done| *done <= known).ok_or_else(|| {
        let why = format!("it has version {version}, this program knows {known}: use a newer program, or another file");
        storage(path, why)
    })?;
    for step in &STEPS[done..] {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", known as u32).map_err(failed)?;
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn processes_that_start_at_once_make_one_file() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("queue.sqlite");
            let all_at_once = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                let open_it = || {
                    all_at_once.wait();
                    open(&path, LIMIT).map(drop)
                };
                let opened: Vec<_> = (0..8).map(|_| scope.spawn(open_it)).collect();
                for thread in opened {
                    thread.join().unwrap().unwrap();
                }
            });
        }
    }

    #[test]
    fn the_folder_is_made_and_a_second_start_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/queue.sqlite");
        drop(open(&path, LIMIT).unwrap());
        let connection = open(&path, LIMIT).unwrap();
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, STEPS.len() as u32);
    }

    #[test]
    fn a_file_of_the_first_version_is_brought_up_to_date_with_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(V1).unwrap();
        old.execute_batch(
            "INSERT INTO notes (state, routing_key, headers, body, queued_at, available_at, last_at) \
             VALUES ('dead', 'received.a.b', '{}', x'00', 1, 1, 2); PRAGMA user_version = 1",
        )
        .unwrap();
        drop(old);
        let connection = open(&path, LIMIT).unwrap();
        let seen = connection.query_row(
            "SELECT notes.replay, notes.queue, tally.queue, tally.state, tally.notes FROM notes, tally",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        );
        let expected: (u32, String, String, String, u32) = (0, "notes".into(), "notes".into(), "dead".into(), 1);
        assert_eq!(seen.unwrap(), expected);
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        open(&path, LIMIT).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = open(&path, LIMIT).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("version 99") && source.contains("newer program"), "{source}");
        let version: i64 =
            Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 99);
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        std::fs::write(&path, "this is not a database, but it is long enough to be looked at".repeat(20)).unwrap();
        assert!(open(&path, LIMIT).unwrap_err().to_string().contains("queue.sqlite"));
    }
}
