//! Owns the tables. They are made at the first start, in the schema that the role's `search_path` names first, and
//! carry a version.

use tokio_postgres::{Client, Error, Row, types::FromSql};

use super::session::failed;
use crate::ledger::LedgerError;

pub(super) const VERSION: i32 = 1;

/// A role that may only use tables, not make them, finds them made.
///
/// The columns after `decided_at` hold what is not done yet, and are emptied as it is done. They are why old row
/// versions are to be cleared away early: those hold what customers said.
const CREATE: &str = "
    BEGIN;
    SELECT pg_advisory_xact_lock(5353913270118459216);
    CREATE TABLE IF NOT EXISTS sprachpost_ledger (one boolean PRIMARY KEY DEFAULT true CHECK (one), version integer NOT NULL);
    CREATE TABLE IF NOT EXISTS sprachpost_answers (
        event_id uuid PRIMARY KEY,
        decided_at timestamptz NOT NULL DEFAULT now(),
        envelope text,
        body bytea,
        dead_letter_reason text,
        dead_letter_stage text
    ) WITH (
        fillfactor = 70,
        autovacuum_vacuum_scale_factor = 0.01,
        toast.autovacuum_vacuum_scale_factor = 0.01
    );
    CREATE INDEX IF NOT EXISTS sprachpost_answers_decided_at ON sprachpost_answers (decided_at);
    INSERT INTO sprachpost_ledger (version) VALUES (1) ON CONFLICT DO NOTHING;
    COMMIT;
";

const RIGHTS: &str = "
    SELECT has_table_privilege('sprachpost_answers', 'SELECT') AND has_table_privilege('sprachpost_answers', 'INSERT')
        AND has_table_privilege('sprachpost_answers', 'UPDATE') AND has_table_privilege('sprachpost_answers', 'DELETE')
";

/// Makes the tables where they are missing, and checks that they are of this version and can be used.
pub(super) async fn ensure(client: &Client) -> Result<(), LedgerError> {
    let there = "SELECT to_regclass('sprachpost_ledger') IS NOT NULL";
    let there: bool = one(client.query_typed_one(there, &[]).await, "a look at its tables")?;
    if !there {
        client.batch_execute(CREATE).await.map_err(failed("to make its tables"))?;
    }
    let found = client.query_typed_one("SELECT version FROM sprachpost_ledger", &[]).await;
    let found: i32 = one(found, "a look at its tables")?;
    if found != VERSION {
        return Err(LedgerError::Schema { found, known: VERSION });
    }
    if !one::<bool>(client.query_typed_one(RIGHTS, &[]).await, "a look at its tables")? {
        return Err(LedgerError::Refused { what: "the use of its tables", code: "42501".to_owned() });
    }
    // A table that somebody has locked is not one that can be used, either.
    client.batch_execute("SELECT FROM sprachpost_answers LIMIT 0").await.map_err(failed("a look at its tables"))
}

fn one<T: for<'a> FromSql<'a>>(row: Result<Row, Error>, what: &'static str) -> Result<T, LedgerError> {
    row.and_then(|row| row.try_get(0)).map_err(failed(what))
}
