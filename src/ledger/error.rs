//! Owns what can go wrong between a worker and its ledger. No text holds a password, a user, or anything that
//! PostgreSQL says in words: it quotes rows, and rows hold what customers said.

use std::time::Duration;

use crate::outcome::Disposition;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("{why}")]
    InvalidSetting {
        why: String,
        #[source]
        source: Option<Source>,
    },
    #[error(
        "the ledger cannot be reached at {address}: see that PostgreSQL runs there and that ledger.url names it; \
         where it speaks no TLS, the address has to end in ?sslmode=disable"
    )]
    Unreachable {
        address: String,
        #[source]
        source: Source,
    },
    #[error("the connection to the ledger was lost")]
    Lost(#[source] Source),
    #[error("the ledger did not answer {what} within {} s", limit.as_secs_f64())]
    TimedOut { what: &'static str, limit: Duration },
    #[error("the ledger refused {what} (SQLSTATE {code}): {}", advice(code))]
    Refused { what: &'static str, code: String },
    #[error(
        "the ledger's tables are of version {found}, and this program knows version {known}: update this program, or \
         give it a database of its own"
    )]
    Schema { found: i32, known: i32 },
}

impl LedgerError {
    pub(super) fn setting(why: impl Into<String>) -> Self {
        Self::InvalidSetting { why: why.into(), source: None }
    }

    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) | Self::TimedOut { .. } | Self::Refused { .. } => {
                Disposition::Retry
            }
            Self::InvalidSetting { .. } | Self::Schema { .. } => Disposition::Fail,
        }
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => {
            "correct user and password in ledger.url, or let this machine in by PostgreSQL's pg_hba.conf"
        }
        "3D000" => "create the database that ledger.url names",
        "42501" | "3F000" => {
            "let the role in ledger.url own its database, or grant it CREATE and USAGE on a schema of it"
        }
        "25006" => "it is a standby, which nothing can be written to: name the primary in ledger.url",
        "53300" => "allow more connections in PostgreSQL, one a worker",
        _ => "PostgreSQL's own log says why",
    }
}
