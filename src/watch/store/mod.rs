//! Owns where the role keeps what it knows, so that a restart forgets nothing: named values, read once at the start and
//! written with every change.
//!
//! * `file`: a SQLite file, for one machine.
//! * a table in the ledger's database (`ledger::Shelf`), where several machines share a RabbitMQ.
//!
//! Either is held by one process at a time; others stand by until it is free. It does not know what the values mean.

mod file;

use std::{collections::BTreeMap, path::PathBuf};

use secrecy::SecretString;
use serde::Serialize;

use self::file::File;
use crate::{
    ledger::{self, LedgerError, Shelf},
    outcome::Disposition,
};

/// A value that is to be kept under this name, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub key: String,
    pub value: Option<Vec<u8>>,
}

impl Change {
    pub(super) fn of(key: String, value: &impl Serialize) -> Self {
        // These values have string keys only and no failing serialisers; one that had would not be kept.
        Self { key, value: serde_json::to_vec(value).ok() }
    }

    pub(super) fn removed(key: String) -> Self {
        Self { key, value: None }
    }
}

/// The last change of each value.
type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// Where it is kept.
#[derive(Debug, Clone)]
pub enum Place {
    File(PathBuf),
    Ledger { url: SecretString, config: ledger::Config },
}

/// What is kept, while this process holds it.
pub(super) enum Store {
    File(File),
    Shelf(Shelf),
}

impl Store {
    /// None: another process holds it.
    pub(super) async fn open(place: &Place) -> Result<Option<Self>, StoreError> {
        Ok(match place {
            Place::File(path) => File::open(path).await?.map(Self::File),
            Place::Ledger { url, config } => Shelf::open(url, config).await?.map(Self::Shelf),
        })
    }

    /// All of it.
    pub(super) async fn load(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        match self {
            Self::File(file) => file.load().await,
            Self::Shelf(values) => Ok(values.load().await?),
        }
    }

    /// Returns once all changes are safe, together; of several under one name the last counts.
    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return self.check();
        }
        let changes = changes.into_iter().map(|change| (change.key, change.value)).collect();
        match self {
            Self::File(file) => file.write(changes).await,
            Self::Shelf(values) => Ok(values.write(&changes).await?),
        }
    }

    /// Fails where this process may not hold it any more.
    fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Shelf(values) => Ok(values.check()?),
        }
    }
}

/// Why what is known cannot be kept. No text holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the file {}, watch.path, cannot be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl StoreError {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            // A disk that is full may be emptied, a file be put back.
            Self::File { .. } => Disposition::Retry,
            Self::Ledger(error) => error.disposition(),
        }
    }
}
