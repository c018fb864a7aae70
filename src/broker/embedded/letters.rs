//! Owns going through the dead letters in the queue file.
//!
//! A pass remembers its place and holds nothing back: two people may look at the same letter, and whoever acts first
//! has it. Replaying is one change of one row, so there is nothing in between to die in.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::{
    Signal, full,
    notes::{is_full, message, millis, timestamp},
    storage::Storage,
};
use crate::broker::{BrokerError, Config, DeadLetter, DeadLetters, Group, HeldLetter};

pub(super) struct Pass {
    storage: Storage,
    config: Arc<Config>,
    signal: Signal,
    group: Group,
    after: Place,
}

/// Where a letter lies: when it was given up on, in milliseconds, and its number in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    last_at: i64,
    seq: i64,
}

impl Pass {
    pub(super) fn new(storage: Storage, config: Arc<Config>, signal: Signal, group: Group) -> Self {
        Self { storage, config, signal, group, after: Place { last_at: i64::MIN, seq: i64::MIN } }
    }
}

#[async_trait]
impl DeadLetters for Pass {
    async fn next(&mut self) -> Result<Option<Box<dyn HeldLetter>>, BrokerError> {
        let (after, group) = (self.after, self.group.clone());
        let next = self.storage.read(move |connection| next_after(connection, &group, after)).await?;
        let Some((place, content)) = next else { return Ok(None) };
        self.after = place;
        let (storage, config, signal) = (self.storage.clone(), self.config.clone(), self.signal.clone());
        Ok(Some(Box::new(Letter { content, place, storage, config, signal, group: self.group.clone() })))
    }

    fn is_cut_short(&self) -> bool {
        false
    }

    fn hides_letters(&self) -> bool {
        false
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        Ok(())
    }
}

struct Letter {
    content: DeadLetter,
    place: Place,
    storage: Storage,
    config: Arc<Config>,
    signal: Signal,
    group: Group,
}

#[async_trait]
impl HeldLetter for Letter {
    fn letter(&self) -> &DeadLetter {
        &self.content
    }

    fn into_letter(self: Box<Self>) -> DeadLetter {
        self.content
    }

    async fn replay(self: Box<Self>, number: u32) -> Result<bool, BrokerError> {
        let (place, config, group) = (self.place, self.config.clone(), self.group.clone());
        let done = self
            .storage
            .write(move |connection| {
                if is_full(connection, &group, &config)? {
                    return Ok(None);
                }
                replay(connection, place, number, Timestamp::now()).map(Some)
            })
            .await?;
        self.signal.notify();
        done.ok_or_else(|| full(&self.group, &self.config))
    }

    async fn discard(self: Box<Self>) -> Result<bool, BrokerError> {
        let place = self.place;
        self.storage.write(move |connection| discard(connection, place)).await
    }
}

fn next_after(connection: &Connection, group: &Group, after: Place) -> rusqlite::Result<Option<(Place, DeadLetter)>> {
    connection
        .prepare_cached(
            "SELECT * FROM notes WHERE state = 'dead' AND queue = ?1 AND (last_at, seq) > (?2, ?3) \
             ORDER BY last_at, seq LIMIT 1",
        )?
        .query_row(params![group.as_str(), after.last_at, after.seq], |row| {
            let place = Place { last_at: row.get("last_at")?, seq: row.get("seq")? };
            let letter = DeadLetter {
                message: message(row)?,
                reason: row.get("reason")?,
                stage: row.get("stage")?,
                attempts: row.get("attempt")?,
                replays: row.get("replay")?,
                first_at: timestamp(row, "first_at")?,
                last_at: timestamp(row, "last_at")?,
            };
            Ok((place, letter))
        })
        .optional()
}

/// As if it had just been queued, under the same message id: that it was queued before is no obstacle here.
fn replay(connection: &Connection, place: Place, number: u32, now: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "UPDATE notes SET state = 'waiting', replay = :number, queued_at = :now, available_at = :now, \
             attempt = 0, deliveries = 0, exhausted = 0, first_at = NULL, last_at = NULL, reason = NULL, stage = NULL \
             WHERE seq = :seq AND state = 'dead' AND last_at = :last_at",
        )?
        .execute(named_params! {
            ":number": number,
            ":now": millis(now),
            ":seq": place.seq,
            ":last_at": place.last_at,
        })
        .map(|changed| changed == 1)
}

fn discard(connection: &Connection, place: Place) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("DELETE FROM notes WHERE seq = ?1 AND state = 'dead' AND last_at = ?2")?
        .execute(params![place.seq, place.last_at])
        .map(|changed| changed == 1)
}
