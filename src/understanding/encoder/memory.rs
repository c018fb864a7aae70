//! Owns what the encoder has already said of a playbook's examples, so that a program that starts again, or takes up
//! a changed playbook, need not ask for it a second time.
//!
//! The file is a convenience: what cannot be read is computed again, and where nothing can be written nothing is kept.
//! It holds hashes and numbers, no text. Only examples come here, never what a customer says.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use super::Embedding;

/// Changes whenever the same model gives other numbers for the same text.
const MAGIC: &[u8; 8] = b"SPEMB\x01\0\0";
const KEY_BYTES: usize = 16;
/// More examples are not kept: 20,000 of them are 31 MB.
const ENTRIES_MAX: usize = 20_000;

type Key = [u8; KEY_BYTES];

#[derive(Debug, Default)]
pub struct Memory {
    file: Option<PathBuf>,
    known: Mutex<HashMap<Key, Embedding>>,
}

impl Memory {
    /// What lies in `file`; nothing if there is none, or if it was written by another program.
    pub fn open(file: PathBuf, width: usize) -> Self {
        let known = std::fs::read(&file).ok().and_then(|bytes| parse(&bytes, width)).unwrap_or_default();
        Self { file: Some(file), known: Mutex::new(known) }
    }

    /// The embeddings of all texts; `embed` is asked for those that are not known, and its answers are kept.
    pub fn recall(&self, texts: &[&str], embed: impl FnOnce(&[&str]) -> Vec<Embedding>) -> Vec<Embedding> {
        let keys: Vec<Key> = texts.iter().map(|text| key(text)).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked: HashMap<Key, &str> = keys.iter().copied().zip(texts.iter().copied()).collect();
        asked.retain(|key, _| !known.contains_key(key));
        if !asked.is_empty() {
            let (new, texts): (Vec<Key>, Vec<&str>) = asked.into_iter().unzip();
            known.extend(new.into_iter().zip(embed(&texts)));
            if let Some(file) = &self.file
                && let Err(error) = write(file, &known)
            {
                tracing::debug!(%error, "embeddings of the playbook's examples are not kept for the next start");
            }
        }
        keys.iter().map(|key| known.get(key).cloned().unwrap_or_default()).collect()
    }
}

fn key(text: &str) -> Key {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|i| digest[i])
}

fn parse(bytes: &[u8], width: usize) -> Option<HashMap<Key, Embedding>> {
    let entries = bytes.strip_prefix(MAGIC)?;
    let size = KEY_BYTES + width * 4;
    if !entries.len().is_multiple_of(size) || entries.len() / size > ENTRIES_MAX {
        return None;
    }
    let entry = |entry: &[u8]| {
        let (key, numbers) = entry.split_first_chunk::<KEY_BYTES>()?;
        let numbers: Embedding = numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let length = numbers.iter().map(|number| number * number).sum::<f32>();
        ((length - 1.0).abs() < 1e-3).then_some((*key, numbers))
    };
    entries.chunks_exact(size).map(entry).collect()
}

/// Replaces the file at once, so that nobody ever reads half of it.
fn write(file: &Path, known: &HashMap<Key, Embedding>) -> io::Result<()> {
    let mut temporary = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    let mut bytes = MAGIC.to_vec();
    for (key, numbers) in known.iter().take(ENTRIES_MAX) {
        bytes.extend(key);
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    temporary.write_all(&bytes)?;
    temporary.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(texts: &[&str]) -> Vec<Embedding> {
        texts.iter().map(|text| if text.len().is_multiple_of(2) { vec![0.6, 0.8] } else { vec![1.0, 0.0] }).collect()
    }

    #[test]
    fn what_was_embedded_once_is_known_to_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory");
        let first = Memory::open(file.clone(), 2).recall(&["a", "bb", "a"], embed);
        let second = Memory::open(file.clone(), 2).recall(&["bb", "a"], |_| panic!("both are known"));
        assert_eq!((second[0].clone(), second[1].clone()), (first[1].clone(), first[0].clone()));
        assert!(!std::fs::read(&file).unwrap().windows(2).any(|part| part == b"bb"));
    }

    #[test]
    fn a_damaged_file_or_one_of_another_model_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory");
        Memory::open(file.clone(), 2).recall(&["a"], embed);
        assert_eq!(Memory::open(file.clone(), 3).recall(&["a"], |_| vec![vec![0.0, 0.0, 1.0]])[0].len(), 3);
        std::fs::write(&file, b"SPEMB\x01\0\0half").unwrap();
        assert_eq!(Memory::open(file, 2).recall(&["a"], embed), vec![vec![1.0, 0.0]]);
    }

    #[test]
    fn where_nothing_can_be_written_everything_works_all_the_same() {
        let memory = Memory::open(PathBuf::from("/nowhere/at/all"), 2);
        assert_eq!(memory.recall(&["a"], embed), vec![vec![1.0, 0.0]]);
    }
}
