//! Owns named values in the ledger's database, for a role of which one process at a time is at work: whoever holds the
//! lock of the session reads and writes them. It does not know what they mean.

use std::{collections::BTreeMap, sync::Arc};

use secrecy::SecretString;
use tokio_postgres::types::Type;

use super::{
    address::Database,
    session::{Hidden, Parameter, Session},
};
use crate::ledger::{Config, LedgerError};

/// The advisory lock of whoever holds the values.
const LOCK: i64 = 5_353_913_270_118_459_217;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS sprachpost_watch (name text PRIMARY KEY, value bytea NOT NULL)";

/// The values, while this process holds them. Dropped, they are free for the next.
#[derive(Debug)]
pub(crate) struct Shelf(Arc<Session>);

impl Shelf {
    /// Connects, and makes the table where it is missing. None: another process holds the values.
    pub(crate) async fn open(url: &SecretString, config: &Config) -> Result<Option<Self>, LedgerError> {
        let database = Database::parse(url, config)?;
        let session = Session::open(&database, config).await?;
        let locked = session
            .within("a lock", async {
                let there = "SELECT to_regclass('sprachpost_watch') IS NOT NULL, pg_try_advisory_lock($1)";
                let row = session.client.query_typed_one(there, &[(&LOCK, Type::INT8)]).await?;
                let (there, locked): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
                if locked && !there {
                    session.client.batch_execute(CREATE).await?;
                }
                Ok(locked)
            })
            .await?;
        Ok(locked.then_some(Self(session)))
    }

    /// Fails once the session is of no more use: somebody else may hold the values then.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        if self.0.is_lost() { Err(LedgerError::Lost(self.0.why_lost().into())) } else { Ok(()) }
    }

    pub(crate) async fn load(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        self.0
            .within("a look at what is kept", async {
                let rows = self.0.client.query_typed("SELECT name, value FROM sprachpost_watch", &[]).await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
            })
            .await
    }

    /// Keeps a value under each name, or none any more. Returns once all of it is committed, together.
    pub(crate) async fn write(&self, changes: &BTreeMap<String, Option<Vec<u8>>>) -> Result<(), LedgerError> {
        let kept = changes.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        let (names, values): (Vec<&str>, Vec<&[u8]>) = kept.unzip();
        let removed = changes.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str());
        let removed: Vec<&str> = removed.collect();
        let write = "WITH removed AS (DELETE FROM sprachpost_watch WHERE name = ANY ($3)) \
                     INSERT INTO sprachpost_watch SELECT * FROM unnest($1, $2) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let values = Hidden(&values);
        let parameters: [Parameter; 3] =
            [(&names, Type::TEXT_ARRAY), (&values, Type::BYTEA_ARRAY), (&removed, Type::TEXT_ARRAY)];
        self.0.within("a change", self.0.client.execute_typed(write, &parameters)).await.map(drop)
    }
}
