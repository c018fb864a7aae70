//! Owns how a playbook's faults are told: file, line, column, field, and what to do.

use std::{fmt, ops::Range};

/// One fault, or one warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1; 0 where it concerns the whole file.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// For example `intent[2].team`.
    pub field: String,
    pub message: String,
}

impl Problem {
    pub(super) fn at(source: &str, span: Range<usize>, field: impl Into<String>, message: impl Into<String>) -> Self {
        let before = source.get(..span.start).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a file is no playbook: one line a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybookErrors {
    pub file: String,
    /// In the order of the file, never empty.
    pub problems: Vec<Problem>,
}

impl PlaybookErrors {
    pub(super) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Self { file: file.to_owned(), problems }
    }

    pub(super) fn unreadable(file: String, error: &std::io::Error) -> Self {
        let message = format!("cannot be read ({}); check the path", error.kind());
        Self { file, problems: vec![Problem { line: 0, column: 0, field: String::new(), message }] }
    }
}

impl fmt::Display for PlaybookErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {problem}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlaybookErrors {}
