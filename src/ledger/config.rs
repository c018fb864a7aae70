//! Owns the settings of the ledger.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::config::{Address, SecretError};

/// Settings of the ledger: what workers that share a RabbitMQ have answered already. The embedded queue needs none.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A PostgreSQL database, the same for all workers: `postgres://user@host/database`, or where an address with a
    /// password is found: `{ env = "NAME" }` or `{ file = "PATH" }`. No ledger where none is set. The connection is
    /// encrypted unless the address ends in `?sslmode=disable`, and must not lead through a pooler that shares
    /// sessions.
    pub url: Option<Address>,
    /// Certificates (PEM) that the database's is checked against; those of the system where none.
    pub ca_file: Option<PathBuf>,
    /// A note is not processed again for so many seconds after it was answered. At least 1.
    pub window_s: u32,
    /// What happens to notes while the ledger cannot be reached.
    pub when_unreachable: WhenUnreachable,
    /// A note that another worker is at is looked at again after so many seconds; likewise one that waits for the
    /// ledger.
    pub busy_pause_s: u32,
    /// Longest wait for a connection, in seconds.
    pub connect_s_max: u32,
    /// Longest wait for an answer of the database, in seconds.
    pub query_s_max: u32,
    /// Longest pause between two attempts to reconnect, in seconds. The first pauses are shorter.
    pub reconnect_s_max: u32,
}

/// What happens to notes while the ledger cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenUnreachable {
    /// They are processed. A repeat is processed again, under the same event id.
    GoOn,
    /// They wait, without an attempt being counted.
    Wait,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            window_s: 7 * 24 * 3600,
            when_unreachable: WhenUnreachable::GoOn,
            busy_pause_s: 5,
            connect_s_max: 10,
            query_s_max: 5,
            reconnect_s_max: 10,
        }
    }
}

/// How often old entries are removed, at most and at least.
const UPKEEP: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

impl Config {
    /// The address, read from where it is kept.
    pub fn address(&self) -> Result<Option<SecretString>, SecretError> {
        self.url.as_ref().map(Address::read).transpose()
    }

    /// Refuses settings with which nothing could work.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        let at_least_one = [
            ("window_s", self.window_s),
            ("busy_pause_s", self.busy_pause_s),
            ("connect_s_max", self.connect_s_max),
            ("query_s_max", self.query_s_max),
            ("reconnect_s_max", self.reconnect_s_max),
        ];
        match at_least_one.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(LedgerError::setting(format!("ledger.{name} must be at least 1"))),
            None => Ok(()),
        }
    }

    pub(super) fn window(&self) -> Duration {
        Duration::from_secs(self.window_s.into())
    }

    pub(super) fn busy_pause(&self) -> Duration {
        Duration::from_secs(self.busy_pause_s.into())
    }

    pub(super) fn connect_limit(&self) -> Duration {
        Duration::from_secs(self.connect_s_max.into())
    }

    pub(super) fn query_limit(&self) -> Duration {
        Duration::from_secs(self.query_s_max.into())
    }

    pub(super) fn reconnect_pause_max(&self) -> Duration {
        Duration::from_secs(self.reconnect_s_max.into())
    }

    pub(super) fn upkeep_interval(&self) -> Duration {
        (self.window() / 20).clamp(UPKEEP.0, UPKEEP.1)
    }
}
