//! Owns bringing in many recordings at once: a folder, or the export of a chat, onto the queue.
//!
//! ```text
//! source (folder or zip) ─► members ─► chat: who, when ─► journal: done already? ─► queue, as deep as it may get
//! ```
//!
//! * [`source`]: what lies in a folder or an archive, read within limits. Nothing is ever written where a name says.
//! * [`chat`]: who sent which file of an export, and when.
//! * [`journal`]: what was queued by earlier runs.
//! * [`pseudonym`]: names of people become ids.
//! * [`run`]: the order of all this.
//!
//! It knows the queue as something to publish to; it needs no worker, and knows nothing of terminals.

pub mod chat;
pub mod journal;
pub mod pseudonym;
pub mod run;
pub mod source;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    broker::BrokerError,
    config::{Secret, SecretError},
    recordings::RecordingError,
};

/// Importing recordings from folders and chat exports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it is written down what was imported already, and the key of the pseudonyms where none is configured.
    pub dir: PathBuf,
    /// The key from which senders' and conversations' pseudonyms are made; with the same key they are the same on every
    /// machine. One that lies in `dir`, made at the first import, where none is configured.
    pub pseudonym_key: Option<Secret>,
    /// Files that a folder or an archive may hold, of any kind.
    pub files_max: usize,
    /// Folders below each other.
    pub depth_max: usize,
    /// Bytes that all recordings of one import may have together, unpacked.
    pub total_bytes_max: u64,
    /// Bytes that the text of a chat may have.
    pub chat_bytes_max: u64,
    /// Notes that may wait in the queue; with so many, the import waits for workers.
    pub waiting_max: u64,
    /// Seconds to wait for the queue: to answer at all, or for the number of waiting notes to change.
    pub stalled_s_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: "data/import".into(),
            pseudonym_key: None,
            files_max: 100_000,
            depth_max: 16,
            total_bytes_max: 64 << 30,
            chat_bytes_max: 64 << 20,
            waiting_max: 1000,
            stalled_s_max: 3600,
        }
    }
}

/// Why an import cannot begin or go on. What was queued before stays queued, and the same order goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is neither a folder nor a zip archive that can be read", path.display())]
    NotAnArchive {
        path: PathBuf,
        #[source]
        source: zip::result::ZipError,
    },
    #[error("there are more than import.files_max, {files_max}, files")]
    TooManyFiles { files_max: usize },
    #[error("the recordings have more than import.total_bytes_max, {total_bytes_max}, bytes together")]
    TooLarge { total_bytes_max: u64 },
    #[error("what was imported already cannot be written down at {}", path.display())]
    Journal {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("another import of the same recordings is running")]
    Busy,
    #[error("import.pseudonym_key cannot be read")]
    Key(#[from] SecretError),
    #[error("a recording cannot be kept")]
    NotKept(#[source] RecordingError),
    #[error("a note could not be queued; run the same command again to go on")]
    NotQueued(#[source] BrokerError),
    #[error(
        "{waiting} notes wait in the queue and for {stalled_s_max} s nobody took one: start a worker, then run the same \
         command again to go on"
    )]
    Stalled { waiting: u64, stalled_s_max: u64 },
}
