//! Owns the memory of an import: which files were queued, so that a run that was interrupted goes on where it stopped
//! and a repeated one reads nothing twice.
//!
//! One small text file for each source, tenant, channel and queue; a line is a fingerprint of a file's name, size and
//! age, and says nothing about anybody. It is a help, not the truth: a file that is queued once more, because the
//! journal was lost, has the same note id as before.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{ImportError, source::Member};
use crate::hex::hex;

/// Characters of a fingerprint, and of a journal's own name.
const CHARS: usize = 32;

/// What was queued by earlier runs, and what this one adds.
#[derive(Debug)]
pub struct Journal {
    done: HashSet<String>,
    path: PathBuf,
    /// Held open for its lock; none in a run that changes nothing.
    file: Option<File>,
}

impl Journal {
    /// Opens the journal that belongs to `parts` (source, tenant, channel, queue), for this process alone.
    ///
    /// # Errors
    /// [`ImportError::Busy`] while another process has it.
    pub fn open(dir: &Path, parts: &[&str], writable: bool) -> Result<Self, ImportError> {
        let path = dir.join(format!("{}.imported", fingerprint(parts)));
        let failed = |source| ImportError::Journal { path: path.clone(), source };
        if !writable {
            let text = fs::read_to_string(&path).unwrap_or_default();
            return Ok(Self { done: lines(&text), path, file: None });
        }
        fs::create_dir_all(dir).map_err(failed)?;
        let mut file = File::options().create(true).read(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ImportError::Busy),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        // The last line of a run that was killed may be half a line.
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(Self { done: lines(&text), path, file: Some(file) })
    }

    #[must_use]
    pub fn holds(&self, member: &Member) -> bool {
        self.done.contains(&of(member))
    }

    /// Writes down that `member` is on the queue.
    pub fn add(&mut self, member: &Member) -> Result<(), ImportError> {
        let line = of(member);
        if let Some(file) = &mut self.file {
            let written = file.write_all(format!("{line}\n").as_bytes());
            written.map_err(|source| ImportError::Journal { path: self.path.clone(), source })?;
        }
        self.done.insert(line);
        Ok(())
    }
}

fn of(member: &Member) -> String {
    fingerprint(&[&member.name, &member.size.to_string(), &member.stamp.to_string()])
}

fn lines(text: &str) -> HashSet<String> {
    let is_whole = |line: &&str| line.len() == CHARS && line.bytes().all(|b| b.is_ascii_hexdigit());
    text.lines().filter(is_whole).map(str::to_owned).collect()
}

fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut name = hex(&hash.finalize());
    name.truncate(CHARS);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, size: u64) -> Member {
        Member { name: name.to_owned(), size, stamp: 1, index: 0, refused: None }
    }

    #[test]
    fn what_was_written_down_is_known_in_the_next_run_also_after_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), &["a", "b"], true).unwrap();
        journal.add(&member("one.ogg", 1)).unwrap();
        journal.file.as_mut().unwrap().write_all(b"0123").unwrap();
        drop(journal);
        let mut journal = Journal::open(dir.path(), &["a", "b"], true).unwrap();
        assert!(journal.holds(&member("one.ogg", 1)));
        assert!(!journal.holds(&member("one.ogg", 2)), "it has changed since");
        journal.add(&member("two.ogg", 1)).unwrap();
        drop(journal);
        let journal = Journal::open(dir.path(), &["a", "b"], false).unwrap();
        assert!(journal.holds(&member("one.ogg", 1)) && journal.holds(&member("two.ogg", 1)));
        assert!(!Journal::open(dir.path(), &["ab", ""], false).unwrap().holds(&member("one.ogg", 1)));
    }

    #[test]
    fn two_imports_of_the_same_are_not_at_work_together() {
        let dir = tempfile::tempdir().unwrap();
        let first = Journal::open(dir.path(), &["a"], true).unwrap();
        assert!(matches!(Journal::open(dir.path(), &["a"], true), Err(ImportError::Busy)));
        assert!(Journal::open(dir.path(), &["b"], true).is_ok());
        drop(first);
        assert!(Journal::open(dir.path(), &["a"], true).is_ok());
    }
}
