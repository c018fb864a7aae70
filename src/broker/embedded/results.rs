//! Owns where results go in the queue file: into a log, which is read from a place on, and into the queues that collect
//! them.
//!
//! A subscription remembers the last entry it saw. Entries are trimmed by age and number whether or not somebody has
//! read them, as on a queue with a limit. What is queued is kept until it is settled.

use std::collections::VecDeque;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{
    Changes, headers,
    notes::{self, Queued},
    storage::Storage,
};
use crate::broker::{BrokerError, Config, Group, Lane, Message, Subscription, group::GroupName, pattern::TopicPattern};

/// Entries read at a time. Bounds the memory of a subscription that is behind.
const PAGE: i64 = 32;

/// Has a queue collect results from now on.
pub(super) fn bind(connection: &Connection, queue: &GroupName, patterns: &[String]) -> rusqlite::Result<()> {
    let mut binding = connection.prepare_cached("INSERT OR IGNORE INTO bindings VALUES (?1, ?2)")?;
    for pattern in patterns {
        binding.execute(params![queue.as_str(), pattern])?;
    }
    Ok(())
}

pub(super) fn is_declared(connection: &Connection, group: &Group) -> rusqlite::Result<bool> {
    let mut known = connection.prepare_cached("SELECT 1 FROM bindings WHERE queue = ?1")?;
    Ok(*group == Group::Notes || known.exists([group.as_str()])?)
}

/// What became of a result that was to be published.
pub(super) enum Published {
    /// It is in the log, and in this many queues.
    Safe { queues: usize },
    /// One of its queues holds as many messages as it may, and nothing was done.
    Full(Group),
}

/// Into the log, and into every queue that collects its topic.
pub(super) fn publish(
    connection: &Connection,
    message: &Message,
    config: &Config,
    now: Timestamp,
) -> rusqlite::Result<Published> {
    let queues = bound(connection, &message.routing_key)?;
    for queue in &queues {
        if notes::is_full(connection, queue, config)? {
            return Ok(Published::Full(queue.clone()));
        }
    }
    append(connection, message, now)?;
    for queue in &queues {
        match notes::submit(connection, queue, message, Lane::Regular, config, now)? {
            Queued::Safe | Queued::Full => {}
        }
    }
    Ok(Published::Safe { queues: queues.len() })
}

/// The queues that collect this topic.
fn bound(connection: &Connection, routing_key: &str) -> rusqlite::Result<Vec<Group>> {
    let mut bindings = connection.prepare_cached("SELECT queue, pattern FROM bindings ORDER BY queue")?;
    let mut rows = bindings.query([])?;
    let mut queues: Vec<Group> = Vec::new();
    while let Some(row) = rows.next()? {
        let (queue, pattern): (String, String) = (row.get(0)?, row.get(1)?);
        let known = queues.last().is_some_and(|last| last.as_str() == queue);
        if !known && TopicPattern::new(&pattern).matches(routing_key) {
            queues.extend(queue.parse::<GroupName>().ok().map(Group::Named));
        }
    }
    Ok(queues)
}

/// Appends to the log; an id that is there already stays as it is.
fn append(connection: &Connection, message: &Message, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO results (message_id, correlation_id, routing_key, content_type, headers, body, \
             published_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            message.id,
            message.correlation_id,
            message.routing_key,
            message.content_type,
            headers::to_text(&message.headers),
            message.body,
            notes::millis(now),
        ])?;
    Ok(())
}

/// The place from which a new subscription reads: nothing from before is delivered.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<i64> {
    // Not MAX(seq): that would go back when the newest entry is trimmed.
    connection
        .prepare_cached("SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'results'), 0)")?
        .query_row([], |row| row.get(0))
}

pub(super) fn upkeep(connection: &Connection, config: &Config, now: Timestamp) -> rusqlite::Result<()> {
    let oldest = notes::millis(now) - 1000 * i64::from(config.results_kept_s);
    connection.prepare_cached("DELETE FROM results WHERE published_at <= ?1")?.execute([oldest])?;
    connection
        .prepare_cached("DELETE FROM results WHERE seq <= (SELECT MAX(seq) FROM results) - ?1")?
        .execute([config.results_kept_max])?;
    Ok(())
}

fn after(connection: &Connection, seq: i64) -> rusqlite::Result<Vec<(i64, Message)>> {
    connection
        .prepare_cached("SELECT * FROM results WHERE seq > ?1 ORDER BY seq LIMIT ?2")?
        .query_map([seq, PAGE], |row| Ok((row.get("seq")?, notes::message(row)?)))?
        .collect()
}

pub(super) struct Reader {
    pub storage: Storage,
    pub pattern: TopicPattern,
    pub seen: i64,
    pub ready: VecDeque<Message>,
    pub changes: Changes,
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self) -> Result<Message, BrokerError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            self.changes.mark_seen();
            let seen = self.seen;
            let page = self.storage.read(move |connection| after(connection, seen)).await?;
            let Some((last, _)) = page.last() else {
                self.changes.wait().await;
                continue;
            };
            self.seen = *last;
            let matching = page.into_iter().map(|(_, message)| message);
            self.ready.extend(matching.filter(|message| self.pattern.matches(&message.routing_key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::embedded::schema;

    #[test]
    fn the_log_is_trimmed_by_number_and_age_and_never_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open(&folder.path().join("queue.sqlite"), Duration::from_secs(5)).unwrap();
        let config = Config { results_kept_max: 3, results_kept_s: 60, ..Config::default() };
        let now = Timestamp::now();
        for _ in 0..10 {
            let message = Message::event(uuid::Uuid::new_v4(), "note".to_owned(), "processed".to_owned(), Vec::new());
            append(&connection, &message, now).unwrap();
        }
        upkeep(&connection, &config, now).unwrap();
        let kept: Vec<i64> = after(&connection, 0).unwrap().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(kept, [8, 9, 10]);
        upkeep(&connection, &config, now + Duration::from_secs(61)).unwrap();
        assert!(after(&connection, 0).unwrap().is_empty());
        assert_eq!(end(&connection).unwrap(), 10);
    }
}
