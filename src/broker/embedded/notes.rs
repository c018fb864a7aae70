//! Owns the statements on what is queued in the file, notes and results: queueing, handing out, settling.
//!
//! Every row belongs to a queue, `notes` or one of results, and all is done within one of them. A note is handed out under a lease: a claim of one process, renewed while that process lives, and of one hand-out,
//! so that whoever lost a note in between cannot settle it any more. Attempts and deliveries are counted when a note
//! is handed out, before any work on it starts: a crash counts.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params, params};

use super::headers;
use crate::broker::{Config, Depth, Group, Lane, Message};

/// What became of a note that was to be queued.
#[derive(Debug, PartialEq)]
pub(super) enum Queued {
    /// It is queued now, or was within the window.
    Safe,
    /// The queue holds as many notes as it may.
    Full,
}

/// A note that was handed out.
pub(super) struct Claimed {
    pub claim: Claim,
    pub message: Message,
    pub lane: Lane,
    pub attempt: u32,
    /// Hand-outs since the last settlement, this one included.
    pub deliveries: u32,
    pub exhausted: bool,
    pub queued_at: Option<Timestamp>,
    pub replay: u32,
}

/// The right to settle a note, as long as the lease holds.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub seq: i64,
    pub owner: String,
    pub token: i64,
}

pub(super) fn submit(
    connection: &Connection,
    group: &Group,
    message: &Message,
    lane: Lane,
    config: &Config,
    now: Timestamp,
) -> rusqlite::Result<Queued> {
    if let Some(id) = &message.id {
        let oldest = millis(now) - 1000 * i64::from(config.dedupe_window_s);
        let known = connection
            .prepare_cached("SELECT 1 FROM seen WHERE queue = ?1 AND message_id = ?2 AND queued_at > ?3")?
            .exists(params![group.as_str(), id, oldest])?;
        if known {
            return Ok(Queued::Safe);
        }
    }
    if is_full(connection, group, config)? {
        return Ok(Queued::Full);
    }
    if let Some(id) = &message.id {
        connection.prepare_cached("INSERT OR REPLACE INTO seen VALUES (?1, ?2, ?3)")?.execute(params![
            group.as_str(),
            id,
            millis(now)
        ])?;
    }
    connection
        .prepare_cached(
            "INSERT INTO notes (state, message_id, correlation_id, routing_key, content_type, headers, body, queued_at, \
             available_at, lane, queue, replay) VALUES ('waiting', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            message.id,
            message.correlation_id,
            message.routing_key,
            message.content_type,
            headers::to_text(&message.headers),
            message.body,
            millis(headers::queued_at(&message.headers).unwrap_or(now)),
            millis(now),
            lane.as_str(),
            group.as_str(),
            headers::replay(&message.headers),
        ])?;
    Ok(Queued::Safe)
}

/// Whether as many notes wait, or are in work, as may.
pub(super) fn is_full(connection: &Connection, group: &Group, config: &Config) -> rusqlite::Result<bool> {
    let waiting: i64 = connection
        .prepare_cached(
            "SELECT COALESCE(SUM(notes), 0) FROM tally WHERE queue = ?1 AND state IN ('waiting', 'leased')",
        )?
        .query_row([group.as_str()], |row| row.get(0))?;
    Ok(waiting >= i64::from(config.waiting_max))
}

/// Whether [`claim`] would find something. Changes nothing, so that idle workers do not write.
pub(super) fn any_due(
    connection: &Connection,
    group: &Group,
    lanes: &[Lane],
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut expired =
        connection.prepare_cached("SELECT 1 FROM notes WHERE state = 'leased' AND lease_until < ?1 LIMIT 1")?;
    if expired.exists([millis(now)])? {
        return Ok(true);
    }
    let mut due = connection.prepare_cached(
        "SELECT 1 FROM notes WHERE state = 'waiting' AND queue = ?1 AND lane = ?2 AND available_at <= ?3 LIMIT 1",
    )?;
    for lane in lanes {
        if due.exists(params![group.as_str(), lane.as_str(), millis(now)])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether another process has one of these in work.
pub(super) fn others_hold_any(
    connection: &Connection,
    group: &Group,
    owner: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut held = connection.prepare_cached(
        "SELECT 1 FROM notes WHERE state = 'leased' AND queue = ?1 AND owner <> ?2 AND lease_until >= ?3 LIMIT 1",
    )?;
    held.exists(params![group.as_str(), owner, millis(now)])
}

/// Hands out up to so many notes of each lane, those first that are due for longest. One that used up its deliveries is
/// marked as exhausted instead of being counted once more.
pub(super) fn claim(
    connection: &Connection,
    group: &Group,
    wanted: &[(Lane, usize)],
    owner: &str,
    config: &Config,
    now: Timestamp,
) -> rusqlite::Result<Vec<Claimed>> {
    connection
        .prepare_cached(
            "UPDATE notes SET state = 'waiting', owner = NULL, lease_until = NULL \
             WHERE state = 'leased' AND lease_until < ?1",
        )?
        .execute([millis(now)])?;
    let mut claimed = Vec::new();
    for (lane, limit) in wanted {
        claimed.extend(claim_on(connection, (group, *lane), *limit, owner, config, now)?);
    }
    Ok(claimed)
}

fn claim_on(
    connection: &Connection,
    (group, lane): (&Group, Lane),
    limit: usize,
    owner: &str,
    config: &Config,
    now: Timestamp,
) -> rusqlite::Result<Vec<Claimed>> {
    let mut claimed: Vec<(i64, Claimed)> = connection
        .prepare_cached(
            "UPDATE notes SET state = 'leased', owner = :owner, token = token + 1, lease_until = :lease_until, \
             first_at = COALESCE(first_at, :now), \
             exhausted = exhausted OR deliveries >= :deliveries_max, \
             attempt = attempt + NOT (exhausted OR deliveries >= :deliveries_max), \
             deliveries = deliveries + NOT (exhausted OR deliveries >= :deliveries_max) \
             WHERE seq IN (SELECT seq FROM notes WHERE state = 'waiting' AND queue = :queue AND lane = :lane \
             AND available_at <= :now ORDER BY available_at, seq LIMIT :limit) \
             RETURNING *",
        )?
        .query_map(
            named_params! {
                ":owner": owner,
                ":queue": group.as_str(),
                ":lane": lane.as_str(),
                ":lease_until": lease_until(config, now),
                ":now": millis(now),
                ":deliveries_max": config.deliveries_max,
                ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
            },
            |row| {
                let claimed = Claimed {
                    claim: Claim { seq: row.get("seq")?, owner: owner.to_owned(), token: row.get("token")? },
                    message: message(row)?,
                    lane,
                    attempt: row.get("attempt")?,
                    deliveries: row.get("deliveries")?,
                    exhausted: row.get("exhausted")?,
                    queued_at: timestamp(row, "queued_at")?,
                    replay: row.get("replay")?,
                };
                Ok((row.get("available_at")?, claimed))
            },
        )?
        .collect::<rusqlite::Result<_>>()?;
    // What is returned comes in no particular order.
    claimed.sort_by_key(|(available_at, claimed)| (*available_at, claimed.claim.seq));
    Ok(claimed.into_iter().map(|(_, claimed)| claimed).collect())
}

/// Each of these answers whether the claim still held.
impl Claim {
    pub(super) fn ack(&self, connection: &Connection) -> rusqlite::Result<bool> {
        self.change(connection, "DELETE FROM notes", &[])
    }

    pub(super) fn retry(
        &self,
        connection: &Connection,
        lane: Lane,
        due_at: Timestamp,
        reason: &str,
    ) -> rusqlite::Result<bool> {
        self.change(
            connection,
            "UPDATE notes SET state = 'waiting', owner = NULL, lease_until = NULL, deliveries = 0, lane = :lane, \
             available_at = :due_at, reason = :reason",
            named_params! { ":lane": lane.as_str(), ":due_at": millis(due_at), ":reason": reason },
        )
    }

    /// Onto a lane, at its end or where it is due later, as if it had not been handed out this time.
    pub(super) fn put_off(&self, connection: &Connection, lane: Lane, due_at: Timestamp) -> rusqlite::Result<bool> {
        self.change(
            connection,
            "UPDATE notes SET state = 'waiting', owner = NULL, lease_until = NULL, lane = :lane, \
             available_at = :due_at, attempt = attempt - NOT exhausted, deliveries = deliveries - NOT exhausted",
            named_params! { ":lane": lane.as_str(), ":due_at": millis(due_at) },
        )
    }

    pub(super) fn bury(
        &self,
        connection: &Connection,
        now: Timestamp,
        reason: &str,
        stage: &str,
    ) -> rusqlite::Result<bool> {
        self.change(
            connection,
            "UPDATE notes SET state = 'dead', owner = NULL, lease_until = NULL, last_at = :now, reason = :reason, \
             stage = :stage",
            named_params! { ":now": millis(now), ":reason": reason, ":stage": stage },
        )
    }

    /// Back to its old place, as if it had never been handed out.
    pub(super) fn hand_back(&self, connection: &Connection) -> rusqlite::Result<bool> {
        self.change(
            connection,
            "UPDATE notes SET state = 'waiting', owner = NULL, lease_until = NULL, \
             attempt = attempt - NOT exhausted, deliveries = deliveries - NOT exhausted",
            &[],
        )
    }

    /// Back to its old place, with what was counted.
    pub(super) fn release(&self, connection: &Connection) -> rusqlite::Result<bool> {
        self.change(connection, "UPDATE notes SET state = 'waiting', owner = NULL, lease_until = NULL", &[])
    }

    fn change(
        &self,
        connection: &Connection,
        what: &str,
        parameters: &[(&str, &dyn rusqlite::ToSql)],
    ) -> rusqlite::Result<bool> {
        let mut all: Vec<(&str, &dyn rusqlite::ToSql)> = parameters.to_vec();
        all.extend_from_slice(named_params! { ":seq": self.seq, ":owner": self.owner, ":token": self.token });
        let sql = format!("{what} WHERE seq = :seq AND state = 'leased' AND owner = :owner AND token = :token");
        Ok(connection.prepare_cached(&sql)?.execute(all.as_slice())? == 1)
    }
}

/// Renews what a living process holds, and forgets message ids beyond the window.
pub(super) fn upkeep(connection: &Connection, owner: &str, config: &Config, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE notes SET lease_until = ?1 WHERE state = 'leased' AND owner = ?2")?
        .execute(params![lease_until(config, now), owner])?;
    let oldest = millis(now) - 1000 * i64::from(config.dedupe_window_s);
    connection.prepare_cached("DELETE FROM seen WHERE queued_at <= ?1")?.execute([oldest])?;
    Ok(())
}

/// What a process gives back when it closes.
pub(super) fn release_all(connection: &Connection, owner: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE notes SET state = 'waiting', owner = NULL, lease_until = NULL \
             WHERE state = 'leased' AND owner = ?1",
        )?
        .execute([owner])?;
    Ok(())
}

pub(super) fn depth(connection: &Connection, group: &Group) -> rusqlite::Result<Depth> {
    let mut query =
        connection.prepare_cached("SELECT COALESCE(SUM(notes), 0) FROM tally WHERE queue = ?1 AND state = ?2")?;
    let mut count = |state: &str| -> rusqlite::Result<u64> {
        let notes: i64 = query.query_row([group.as_str(), state], |row| row.get(0))?;
        Ok(notes.unsigned_abs())
    };
    Ok(Depth { waiting: count("waiting")?, dead_letters: count("dead")? })
}

/// The columns that notes and results share.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let headers: String = row.get("headers")?;
    Ok(Message {
        id: row.get("message_id")?,
        correlation_id: row.get("correlation_id")?,
        routing_key: row.get("routing_key")?,
        content_type: row.get("content_type")?,
        headers: headers::from_text(&headers),
        body: row.get("body")?,
    })
}

pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(super) fn timestamp(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let value: Option<i64> = row.get(column)?;
    Ok(value.and_then(|value| Timestamp::from_millisecond(value).ok()))
}

fn lease_until(config: &Config, now: Timestamp) -> i64 {
    millis(now) + 1000 * i64::from(config.lease_s)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::embedded::schema;

    #[test]
    fn whoever_lost_a_lease_cannot_settle_and_the_new_holder_can() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open(&folder.path().join("queue.sqlite"), Duration::from_secs(5)).unwrap();
        let config = Config { lease_s: 30, ..Config::default() };
        let now = Timestamp::now();
        let message = Message::event(uuid::Uuid::new_v4(), "note".to_owned(), "received.a.b".to_owned(), Vec::new());
        submit(&connection, &Group::Notes, &message, Lane::Regular, &config, now).unwrap();
        let lost = claim(&connection, &Group::Notes, &[(Lane::Regular, 1)], "one", &config, now).unwrap().remove(0);
        let later = now + Duration::from_secs(29);
        assert!(!any_due(&connection, &Group::Notes, &Lane::ALL, later).unwrap());
        upkeep(&connection, "one", &config, later).unwrap();
        let later = later + Duration::from_secs(29);
        assert!(!any_due(&connection, &Group::Notes, &Lane::ALL, later).unwrap(), "the lease was renewed");
        let later = later + Duration::from_secs(2);
        // Even the same process is somebody else at its next hand-out.
        let held = claim(&connection, &Group::Notes, &[(Lane::Regular, 1)], "one", &config, later).unwrap().remove(0);
        assert_eq!((lost.attempt, held.attempt), (1, 2));
        assert!(!lost.claim.ack(&connection).unwrap());
        assert!(!lost.claim.retry(&connection, Lane::Regular, later, "internal_error").unwrap());
        assert!(!lost.claim.bury(&connection, later, "internal_error", "receive").unwrap());
        assert!(!lost.claim.hand_back(&connection).unwrap());
        assert_eq!(depth(&connection, &Group::Notes).unwrap(), Depth::default());
        assert!(held.claim.ack(&connection).unwrap());
        assert!(!held.claim.ack(&connection).unwrap(), "settled once");
    }

    #[test]
    fn notes_handed_out_together_come_in_the_order_in_which_they_are_due() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open(&folder.path().join("queue.sqlite"), Duration::from_secs(5)).unwrap();
        let (config, now) = (Config::default(), Timestamp::now());
        let submit_at = |name: &str, at: Timestamp| {
            let id = uuid::Uuid::new_v4();
            let message = Message::event(id, name.to_owned(), "received.a.b".to_owned(), Vec::new());
            submit(&connection, &Group::Notes, &message, Lane::Regular, &config, at).unwrap();
        };
        submit_at("second", now - Duration::from_secs(1));
        submit_at("third", now - Duration::from_secs(1));
        submit_at("first", now - Duration::from_secs(2));
        submit_at("later", now + Duration::from_secs(1));
        let handed_out = |limit| {
            let claimed = claim(&connection, &Group::Notes, &[(Lane::Regular, limit)], "one", &config, now).unwrap();
            claimed.into_iter().filter_map(|claimed| claimed.message.correlation_id).collect::<Vec<_>>()
        };
        assert_eq!(handed_out(2), ["first", "second"]);
        assert_eq!(handed_out(9), ["third"]);
        assert!(handed_out(9).is_empty());
    }
}
