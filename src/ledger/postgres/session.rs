//! Owns one connection to the database, which holds the locks of this process, and everything that is asked on it.
//!
//! A request that fails or takes too long ends the session: whoever kept it up opens another. Nothing depends on its
//! locks alone, since a decision is written down only where there is none.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio_postgres::{
    Client, Row,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Decision, Mark, address::Database, schema};
use crate::{
    broker::Message,
    event::Reason,
    ledger::{Config, LedgerError},
    outcome::{DeadLetterCause, Stage},
};

/// A machine that vanished without a word holds its locks no longer than the sum of these, on either side.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
pub(super) const KEEPALIVE_RETRIES: u32 = 3;

/// Entries removed at a time, so that no removal takes long.
const PURGED_AT_A_TIME: i64 = 1000;

/// The value of a parameter, with its type, so that the database need not be asked for it.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) struct Session {
    pub(super) client: Client,
    limit: Duration,
    lost: CancellationToken,
    why: OnceLock<String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lost", &self.lost.is_cancelled()).finish_non_exhaustive()
    }
}

/// The parts of a message but its body, as the ledger keeps them.
#[derive(Serialize, Deserialize)]
struct Kept {
    correlation_id: Option<String>,
    routing_key: String,
    content_type: Option<String>,
    headers: std::collections::BTreeMap<String, String>,
}

impl Session {
    /// Connects, and sees to the tables.
    pub(super) async fn open(database: &Database, config: &Config) -> Result<Arc<Self>, LedgerError> {
        let limit = config.connect_limit();
        let unreachable = |error: tokio_postgres::Error| match error.code() {
            Some(_) => failed("a connection")(error),
            None => LedgerError::Unreachable { address: database.shown().to_owned(), source: Box::new(error) },
        };
        let connecting = database.client.connect(database.tls.clone());
        let (client, connection) = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| LedgerError::TimedOut { what: "a request to connect", limit })?
            .map_err(unreachable)?;
        let session = Arc::new(Self {
            client,
            limit: config.query_limit(),
            lost: CancellationToken::new(),
            why: OnceLock::new(),
        });
        let (driven, lost) = (Arc::downgrade(&session), session.lost.clone());
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = connection => ended,
                () = lost.cancelled() => return,
            };
            if let Some(session) = driven.upgrade() {
                let error = ended.err().map(|error| failed("to go on")(error).to_string());
                session.end(error.unwrap_or_else(|| "it was closed".to_owned()));
            }
        });
        session.within("a request to begin", session.client.batch_execute(&settings(config.query_limit()))).await?;
        let schema = tokio::time::timeout(session.limit, schema::ensure(&session.client)).await;
        schema.map_err(|_| LedgerError::TimedOut { what: "a look at its tables", limit: session.limit })??;
        Ok(session)
    }

    /// Resolves once the session is of no more use.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    pub(super) fn why_lost(&self) -> &str {
        self.why.get().map_or("it was closed", String::as_str)
    }

    /// Whether the session got the lock of this note, and what was decided about it before that moment.
    pub(super) async fn claim(&self, id: Uuid) -> Result<(bool, Option<Decision>), LedgerError> {
        let key = lock_key(id);
        let (lock, find): ([Parameter; 1], [Parameter; 1]) = ([(&key, Type::INT8)], [(&id, Type::UUID)]);
        // Two statements, so that the second sees what was committed before the first got its lock; sent together.
        self.within("a claim", async {
            let (locked, row) = tokio::try_join!(
                biased;
                self.client.query_typed_one("SELECT pg_try_advisory_lock($1)", &lock),
                self.client.query_typed_opt(FIND, &find),
            )?;
            Ok((locked.try_get(0)?, row.map(|row| decision(id, &row)).transpose()?))
        })
        .await
    }

    pub(super) async fn unlock(&self, id: Uuid) -> Result<(), LedgerError> {
        let key = lock_key(id);
        self.within("an unlock", self.client.query_typed_one("SELECT pg_advisory_unlock($1)", &[(&key, Type::INT8)]))
            .await
            .map(drop)
    }

    pub(super) async fn find(&self, id: Uuid) -> Result<Option<Decision>, LedgerError> {
        self.within("a look", async {
            let row = self.client.query_typed_opt(FIND, &[(&id, Type::UUID)]).await?;
            row.map(|row| decision(id, &row)).transpose()
        })
        .await
    }

    /// False: there is a decision already.
    pub(super) async fn decide(
        &self,
        id: Uuid,
        message: &Message,
        dead_letter: Option<&DeadLetterCause>,
    ) -> Result<bool, LedgerError> {
        let insert = "INSERT INTO sprachpost_answers (event_id, envelope, body, dead_letter_reason, dead_letter_stage) \
                      VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        Ok(self.write(insert, id, message, dead_letter).await? == 1)
    }

    /// Replaces what is not published.
    pub(super) async fn overrule(
        &self,
        id: Uuid,
        message: &Message,
        dead_letter: Option<&DeadLetterCause>,
    ) -> Result<(), LedgerError> {
        let update = "UPDATE sprachpost_answers SET envelope = $2, body = $3, dead_letter_reason = $4, \
                      dead_letter_stage = $5 WHERE event_id = $1 AND body IS NOT NULL";
        self.write(update, id, message, dead_letter).await.map(drop)
    }

    async fn write(
        &self,
        statement: &str,
        id: Uuid,
        message: &Message,
        dead_letter: Option<&DeadLetterCause>,
    ) -> Result<u64, LedgerError> {
        let envelope = Kept::of(message).to_text();
        let (envelope, body) = (Hidden(&envelope), Hidden(&message.body));
        let (reason, stage) = (dead_letter.map(|d| d.reason.as_str()), dead_letter.map(|d| d.stage.as_str()));
        let parameters: [Parameter; 5] = [
            (&id, Type::UUID),
            (&envelope, Type::TEXT),
            (&body, Type::BYTEA),
            (&reason, Type::TEXT),
            (&stage, Type::TEXT),
        ];
        self.within("a decision", self.client.execute_typed(statement, &parameters)).await
    }

    pub(super) async fn mark(&self, ids: &[Uuid], mark: Mark) -> Result<(), LedgerError> {
        let update = match mark {
            Mark::Published => "UPDATE sprachpost_answers SET envelope = NULL, body = NULL WHERE event_id = ANY ($1)",
            Mark::Settled => {
                "UPDATE sprachpost_answers SET dead_letter_reason = NULL, dead_letter_stage = NULL \
                 WHERE event_id = ANY ($1)"
            }
        };
        self.within("a mark", self.client.execute_typed(update, &[(&ids, Type::UUID_ARRAY)])).await.map(drop)
    }

    /// Removes what was decided longer ago than `window`.
    pub(super) async fn purge(&self, window: Duration) -> Result<(), LedgerError> {
        let window_s = window.as_secs_f64();
        let delete = "DELETE FROM sprachpost_answers WHERE event_id IN (SELECT event_id FROM sprachpost_answers \
                      WHERE decided_at <= now() - make_interval(secs => $1) ORDER BY decided_at LIMIT $2 \
                      FOR UPDATE SKIP LOCKED)";
        loop {
            let parameters: [Parameter; 2] = [(&window_s, Type::FLOAT8), (&PURGED_AT_A_TIME, Type::INT8)];
            let removed = self.within("a removal", self.client.execute_typed(delete, &parameters)).await?;
            if removed < PURGED_AT_A_TIME.unsigned_abs() {
                return Ok(());
            }
        }
    }

    /// Does what is asked for within the limit; otherwise the session ends.
    pub(super) async fn within<T>(
        &self,
        what: &'static str,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, LedgerError> {
        let answer = tokio::time::timeout(self.limit, request).await;
        let result = match answer {
            Ok(answer) => answer.map_err(failed(what)),
            Err(_) => Err(LedgerError::TimedOut { what, limit: self.limit }),
        };
        if let Err(error) = &result {
            self.end(error.to_string());
        }
        result
    }

    fn end(&self, why: String) {
        // The first reason is the one that counts.
        let _ = self.why.set(why);
        self.lost.cancel();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.lost.cancel();
    }
}

const FIND: &str =
    "SELECT envelope, body, dead_letter_reason, dead_letter_stage FROM sprachpost_answers WHERE event_id = $1";

/// What the operator may have set otherwise for reasons that are not ours.
fn settings(limit: Duration) -> String {
    let limit_ms = limit.as_millis();
    let (idle_s, interval_s) = (KEEPALIVE_IDLE.as_secs(), KEEPALIVE_INTERVAL.as_secs());
    format!(
        "SET statement_timeout = {limit_ms}; SET lock_timeout = {limit_ms}; \
         SET default_transaction_isolation = 'read committed'; SET client_min_messages = error; \
         SET tcp_keepalives_idle = {idle_s}; SET tcp_keepalives_interval = {interval_s}; \
         SET tcp_keepalives_count = {KEEPALIVE_RETRIES}"
    )
}

fn decision(id: Uuid, row: &Row) -> Result<Decision, tokio_postgres::Error> {
    let (envelope, body): (Option<&str>, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
    let (reason, stage): (Option<&str>, Option<&str>) = (row.try_get(2)?, row.try_get(3)?);
    let message = envelope
        .zip(body)
        .and_then(|(envelope, body)| Kept::from_text(envelope).map(|kept| kept.into_message(id, body)));
    let dead_letter = reason.zip(stage).map(|(reason, stage)| DeadLetterCause {
        // A word of a later version is a reason all the same.
        reason: serde_json::from_value::<Reason>(reason.into()).unwrap_or(Reason::InternalError),
        stage: Stage::ALL.into_iter().find(|known| known.as_str() == stage).unwrap_or(Stage::Receive),
    });
    Ok(Decision { message, dead_letter })
}

impl Kept {
    fn of(message: &Message) -> Self {
        Self {
            correlation_id: message.correlation_id.clone(),
            routing_key: message.routing_key.clone(),
            content_type: message.content_type.clone(),
            headers: message.headers.clone(),
        }
    }

    fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn into_message(self, id: Uuid, body: Vec<u8>) -> Message {
        let Self { correlation_id, routing_key, content_type, headers } = self;
        Message { id: Some(id.to_string()), correlation_id, routing_key, content_type, headers, body }
    }
}

/// 64 bits of an id that is a hash already.
fn lock_key(id: Uuid) -> i64 {
    let (high, low) = id.as_u64_pair();
    (high ^ low).cast_signed()
}

/// The client shows parameters when it logs in detail. These hold what customers said.
pub(super) struct Hidden<'a, T>(pub(super) &'a T);

impl<T> fmt::Debug for Hidden<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<T: ToSql> ToSql for Hidden<'_, T> {
    fn to_sql(&self, as_type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql(as_type, out)
    }

    fn accepts(of_type: &Type) -> bool {
        T::accepts(of_type)
    }

    to_sql_checked!();
}

/// PostgreSQL said no, or nothing any more. Its words are left out: they may quote a row.
pub(super) fn failed(what: &'static str) -> impl Fn(tokio_postgres::Error) -> LedgerError {
    move |error| match error.code() {
        Some(code) => LedgerError::Refused { what, code: code.code().to_owned() },
        None => LedgerError::Lost(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_in_detail_does_not_hold_what_customers_said() {
        assert_eq!(format!("{:?}", Hidden(&"Mein Internet geht nicht")), "…");
    }

    #[test]
    fn ids_have_locks_of_their_own() {
        let keys: std::collections::HashSet<i64> =
            (0..1000u32).map(|number| lock_key(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes()))).collect();
        assert_eq!(keys.len(), 1000);
    }
}
