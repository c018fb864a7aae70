//! Owns what commands write: results on standard output, what is said beside them on standard error.
//!
//! Whoever reads may have read enough (`| head`): that ends a command quietly, at its next line. A full disk is an error
//! like any other. The macros of the standard library panic at both.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

/// Why something could not be written to standard output.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// Nobody reads any more.
    #[error("nobody reads standard output any more")]
    Closed,
    #[error("standard output cannot be written")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for NotWritten {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Failed(error) }
    }
}

/// Writes bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), NotWritten> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    // What is left in the buffer at the end of the process would be lost without a word.
    Ok(out.flush()?)
}

/// Writes a text that ends its own lines.
pub fn text(text: &str) -> Result<(), NotWritten> {
    bytes(text.as_bytes())
}

/// Writes one line.
pub fn line(line: impl fmt::Display) -> Result<(), NotWritten> {
    text(&format!("{line}\n"))
}

/// Writes a value as one line of JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string(value)?)?)
}

/// Writes a value as JSON on several lines.
pub fn pretty_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string_pretty(value)?)?)
}

/// Says something beside the results. That nobody reads it is no reason to stop.
pub fn aside(line: impl fmt::Display) {
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}

/// The text without what could move the cursor or worse: names of files and what senders wrote may hold anything.
pub fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Whether nothing is wrong but that nobody reads any more.
pub fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(NotWritten::Closed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_senders_wrote_cannot_move_the_cursor() {
        assert_eq!(visible("\u{1b}[2J\u{7}wamid.1\r\n\u{9b}31m"), "[2Jwamid.131m");
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let failed =
            |kind: io::ErrorKind| anyhow::Error::from(NotWritten::from(io::Error::from(kind))).context("printing");
        assert!(is_closed(&failed(io::ErrorKind::BrokenPipe)));
        assert!(!is_closed(&failed(io::ErrorKind::StorageFull)));
    }
}
