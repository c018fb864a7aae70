//! Owns exit codes: what a script learns from how a command ended.

use std::process::ExitCode;

use super::out::{self, NotWritten};
use crate::{
    app::StartError, bench::BenchError, broker::BrokerError, import::ImportError, ledger::LedgerError,
    models::ModelError, outcome::Disposition, recordings::RecordingError,
};

/// A note could not be processed, or was not found.
pub const NOT_PROCESSED: u8 = 1;
/// Usage or configuration: the same command fails again.
pub const USAGE: u8 = 2;
/// Something that the command needs could not be reached or used just now: the same command may succeed later.
pub const UNAVAILABLE: u8 = 3;

/// What the help says of them.
pub const HELP: &str = "Exit codes: 0 done, 1 a note could not be processed or was not found, 2 usage or configuration, \
                        3 a queue, database, network or disk could not be reached or used, so try again later.";

/// Nobody answered in time.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// The code of a command that ended with an error. Nobody's reading on is none.
pub fn code_of(error: &anyhow::Error) -> ExitCode {
    if out::is_closed(error) {
        ExitCode::SUCCESS
    } else if error.chain().any(is_unavailable) {
        ExitCode::from(UNAVAILABLE)
    } else {
        ExitCode::from(USAGE)
    }
}

/// Whether this, of all causes of an error, may be otherwise the next time. An error that only passes another on hides
/// it from the list of causes, so it is looked into.
fn is_unavailable(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(StartError::Broker(error)) = cause.downcast_ref() {
        return is_away(error);
    }
    if let Some(StartError::Ledger(error)) = cause.downcast_ref() {
        return error.disposition() == Disposition::Retry;
    }
    match cause.downcast_ref() {
        Some(BenchError::Broker(error)) => return is_away(error),
        Some(BenchError::Start(error)) => return is_unavailable(error),
        _ => {}
    }
    cause.downcast_ref().is_some_and(is_away)
        || cause.downcast_ref().is_some_and(|error: &LedgerError| error.disposition() == Disposition::Retry)
        || cause.downcast_ref().is_some_and(|error: &ModelError| error.disposition() == Disposition::Retry)
        || cause.downcast_ref().is_some_and(|error: &RecordingError| error.disposition() == Disposition::Retry)
        || matches!(cause.downcast_ref(), Some(ImportError::Journal { .. } | ImportError::Busy))
        || cause.is::<NoAnswer>()
        || cause.is::<NotWritten>()
}

/// A queue with other settings stays so until somebody does something about it.
fn is_away(error: &BrokerError) -> bool {
    error.disposition() == Disposition::Retry && !matches!(error, BrokerError::TopologyConflict { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_has_to_be_corrected() {
        let timed_out = || BrokerError::TimedOut { what: "in time", limit: std::time::Duration::from_secs(1) };
        let wrong = || BrokerError::InvalidSetting { why: "broker.url is none".to_owned() };
        let code = |error: anyhow::Error| code_of(&error.context("the note could not be queued"));
        for passing in [
            anyhow::Error::from(timed_out()),
            StartError::Broker(timed_out()).into(),
            BenchError::Start(StartError::Broker(timed_out())).into(),
            NoAnswer("nobody".to_owned()).into(),
            NotWritten::Failed(std::io::Error::other("full")).into(),
            ImportError::NotKept(RecordingError::Folder(std::io::Error::other("full"))).into(),
            ImportError::Busy.into(),
        ] {
            assert_eq!(code(passing), ExitCode::from(UNAVAILABLE));
        }
        for lasting in [anyhow::Error::from(wrong()), StartError::Broker(wrong()).into(), anyhow::anyhow!("no")] {
            assert_eq!(code(lasting), ExitCode::from(USAGE));
        }
        assert_eq!(code(NotWritten::Closed.into()), ExitCode::SUCCESS);
    }
}
