//! Owns the ledger in PostgreSQL, and is the only user of its client.
//!
//! * `address`: where the database is, shown without user and password; TLS.
//! * `schema`: the tables.
//! * `session`: one connection and what is asked on it.
//! * `link`: a session that is kept up, and its upkeep.
//! * `shelf`: what the role `watch` keeps, beside the ledger.
//!
//! PostgreSQL rather than a cache: what it has committed survives its restart and, replicated, its failover, and its
//! session locks end with the process that held them, so nobody has to guess how long a dead worker may have needed.

mod address;
mod link;
mod schema;
mod session;
mod shelf;

use std::sync::Arc;

use secrecy::SecretString;
use tokio::runtime::Handle;
use uuid::Uuid;

pub(crate) use self::shelf::Shelf;
use self::{address::Database, link::Link, session::Session};
use super::{Config, Held, LedgerError};
use crate::{broker::Message, outcome::DeadLetterCause};

#[derive(Debug)]
pub(super) struct Postgres {
    link: Link,
}

/// How a note ends, as far as that is not done yet.
#[derive(Debug)]
pub(super) struct Decision {
    /// None: it is published.
    pub message: Option<Message>,
    /// None: there is nothing to be put with the dead letters, or it is there.
    pub dead_letter: Option<DeadLetterCause>,
}

impl Decision {
    fn is_done(&self) -> bool {
        self.message.is_none() && self.dead_letter.is_none()
    }
}

/// What a look at a note found.
#[derive(Debug)]
pub(super) enum Looked {
    Undecided(Lock),
    Busy,
    /// Without a lock where everything about it is done.
    Decided(Decision, Option<Lock>),
}

/// What is done about a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Published,
    Settled,
}

impl Postgres {
    pub(super) async fn open(url: &SecretString, config: &Config) -> Result<Self, LedgerError> {
        let database = Database::parse(url, config)?;
        Ok(Self { link: Link::open(database, config.clone()).await? })
    }

    pub(super) async fn claim(&self, id: Uuid, held: Held) -> Result<Looked, LedgerError> {
        let session = self.link.session().await?;
        // Made before the database is asked: whoever stops waiting for the answer must free what it may have given.
        let lock = Lock { session: Arc::clone(&session), id, held: Some(held) };
        let (locked, decision) = session.claim(id).await?;
        Ok(match (locked, decision) {
            (true, None) => Looked::Undecided(lock),
            (true, Some(decision)) => Looked::Decided(decision, Some(lock)),
            (false, decision) => {
                lock.forget();
                match decision.filter(Decision::is_done) {
                    Some(decision) => Looked::Decided(decision, None),
                    None => Looked::Busy,
                }
            }
        })
    }

    /// Writes the decision down. None: it holds. Some: another one was there.
    pub(super) async fn decide(
        &self,
        id: Uuid,
        message: &Message,
        dead_letter: Option<&DeadLetterCause>,
    ) -> Result<Option<Decision>, LedgerError> {
        let session = self.link.session().await?;
        if session.decide(id, message, dead_letter).await? {
            return Ok(None);
        }
        match session.find(id).await? {
            Some(decision) => Ok(Some(decision)),
            // Removed at this very moment, because its window ended.
            None => session.decide(id, message, dead_letter).await.map(|_| None),
        }
    }

    /// Puts another decision in the place of one that could not be published.
    pub(super) async fn overrule(
        &self,
        id: Uuid,
        message: &Message,
        dead_letter: Option<&DeadLetterCause>,
    ) -> Result<(), LedgerError> {
        self.link.session().await?.overrule(id, message, dead_letter).await
    }

    /// Marks what is done; later, where that is not possible now.
    pub(super) async fn mark(&self, id: Uuid, mark: Mark) {
        let marked = async { self.link.session().await?.mark(&[id], mark).await };
        if marked.await.is_err() {
            self.link.mark_later(id, mark);
        }
    }
}

/// A note that this process may work on, by a lock of the session, which nobody else gets until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    session: Arc<Session>,
    id: Uuid,
    /// Freed after the lock of the session, or the next to come would find that one.
    held: Option<Held>,
}

impl Lock {
    /// Frees the note, and waits until it is free.
    pub(super) async fn free(mut self) {
        // An error ends the session, and with it all its locks.
        let _ = self.session.unlock(self.id).await;
        drop(self.held.take());
    }

    /// The session does not have the lock.
    fn forget(mut self) {
        drop(self.held.take());
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        // Without a runtime the connection is gone, and with it the lock.
        let Ok(runtime) = Handle::try_current() else { return };
        let (session, id) = (Arc::clone(&self.session), self.id);
        runtime.spawn(async move {
            let _ = session.unlock(id).await;
            drop(held);
        });
    }
}
