//! Owns what the encoder has already said of examples, so that it need not be asked a second time: what it says of texts
//! that come with the program comes with the program, too; what it said of others is kept in a file for the next start.
//!
//! Both are a convenience: what cannot be read, or was said by another model, is computed again, and where nothing can be
//! written nothing is kept. Both hold hashes and numbers, no text. Only examples come here, never what a customer says.
//!
//! Numbers are kept with 16 bits, and handed out so even when they were computed this very moment: whether an example was
//! known makes no difference to what is learnt from it.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use half::f16;
use sha2::{Digest as _, Sha256};

use super::Embedding;

/// Changes whenever the same model gives other numbers for the same text.
const MAGIC: &[u8; 8] = b"SPEMB\x03\0\0";
const KEY_BYTES: usize = 16;
/// More examples of an operator are not kept: 20,000 of them are 16 MB.
const ENTRIES_MAX: usize = 20_000;

/// The beginning of a text's hash.
type Key = [u8; KEY_BYTES];
/// Ordered, so that the same entries are the same file.
type Entries = BTreeMap<Key, Vec<f16>>;

/// The hash of a model's file.
pub type ModelHash = [u8; 32];

#[derive(Debug)]
pub struct Memory {
    model: ModelHash,
    width: usize,
    /// Comes with the program.
    shipped: Entries,
    /// Everything else that was asked for.
    known: Mutex<Entries>,
    file: Option<PathBuf>,
}

impl Memory {
    /// Knows nothing yet of what this model says, which is `width` numbers a text.
    pub fn new(model: ModelHash, width: usize) -> Self {
        Self { model, width, shipped: Entries::new(), known: Mutex::default(), file: None }
    }

    /// Adds what comes with the program.
    pub fn add_shipped(&mut self, bytes: &[u8]) {
        self.shipped.extend(self.parse(bytes).unwrap_or_default());
    }

    /// Adds what lies in `file`, where there is such a file, and keeps there what will be asked for.
    pub fn keep_in(&mut self, file: PathBuf) {
        let entries = std::fs::read(&file).ok().and_then(|bytes| self.parse(&bytes));
        self.known = Mutex::new(entries.unwrap_or_default());
        self.file = Some(file);
    }

    /// The embeddings of all texts; `embed` is asked for those that are not known, and its answers are kept.
    pub fn recall(&self, texts: &[&str], embed: impl FnOnce(&[&str]) -> Vec<Embedding>) -> Vec<Embedding> {
        let keys: Vec<Key> = texts.iter().map(|text| key(text)).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked: HashMap<Key, &str> = keys.iter().copied().zip(texts.iter().copied()).collect();
        asked.retain(|key, _| !self.shipped.contains_key(key) && !known.contains_key(key));
        if !asked.is_empty() {
            let (new, texts): (Vec<Key>, Vec<&str>) = asked.into_iter().unzip();
            let numbers = embed(&texts).into_iter().map(|numbers| numbers.into_iter().map(f16::from_f32).collect());
            known.extend(new.into_iter().zip(numbers));
            if known.len() > ENTRIES_MAX {
                known.retain(|key, _| keys.contains(key));
            }
            if let Some(file) = &self.file
                && let Err(error) = write(file, &self.format(&known))
            {
                tracing::debug!(%error, "embeddings of the playbook's examples are not kept for the next start");
            }
        }
        let numbers = |key| self.shipped.get(key).or_else(|| known.get(key)).map_or(&[][..], Vec::as_slice);
        keys.iter().map(|key| numbers(key).iter().map(|number| number.to_f32()).collect()).collect()
    }

    fn parse(&self, bytes: &[u8]) -> Option<Entries> {
        let entries = bytes.strip_prefix(MAGIC)?.strip_prefix(&self.model)?;
        let size = KEY_BYTES + self.width * 2;
        if !entries.len().is_multiple_of(size) || entries.len() / size > ENTRIES_MAX {
            return None;
        }
        let entry = |entry: &[u8]| {
            let (key, numbers) = entry.split_first_chunk::<KEY_BYTES>()?;
            let numbers: Vec<f16> = numbers.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
            let length = numbers.iter().map(|number| number.to_f32() * number.to_f32()).sum::<f32>();
            ((length - 1.0).abs() < 1e-2).then_some((*key, numbers))
        };
        entries.chunks_exact(size).map(entry).collect()
    }

    fn format(&self, entries: &Entries) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &self.model].concat();
        for (key, numbers) in entries.iter().take(ENTRIES_MAX) {
            bytes.extend(key);
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes
    }

    /// What was asked for and does not come with the program, as a file that could.
    #[cfg(test)]
    pub fn not_shipped(&self) -> (usize, Vec<u8>) {
        let known = self.known.lock().unwrap();
        (known.len(), self.format(&known))
    }

    /// How many texts come with the program.
    #[cfg(test)]
    pub fn shipped(&self) -> usize {
        self.shipped.len()
    }
}

fn key(text: &str) -> Key {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|i| digest[i])
}

/// Replaces the file at once, so that nobody ever reads half of it.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    temporary.write_all(bytes)?;
    temporary.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: ModelHash = [1; 32];

    fn embed(texts: &[&str]) -> Vec<Embedding> {
        texts.iter().map(|text| if text.len().is_multiple_of(2) { vec![0.6, 0.8] } else { vec![1.0, 0.0] }).collect()
    }

    fn kept_in(file: &Path) -> Memory {
        let mut memory = Memory::new(MODEL, 2);
        memory.keep_in(file.to_owned());
        memory
    }

    #[test]
    fn what_was_embedded_once_is_known_to_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory");
        let first = kept_in(&file).recall(&["a", "bb", "a"], embed);
        let second = kept_in(&file).recall(&["bb", "a"], |_| panic!("both are known"));
        assert_eq!((second[0].clone(), second[1].clone()), (first[1].clone(), first[0].clone()));
        assert!(!std::fs::read(&file).unwrap().windows(2).any(|part| part == b"bb"));
    }

    #[test]
    fn only_what_is_new_is_asked_for() {
        let memory = Memory::new(MODEL, 2);
        memory.recall(&["a", "bb"], embed);
        let changed = memory.recall(&["a", "bbb"], |texts| {
            assert_eq!(texts, ["bbb"]);
            embed(texts)
        });
        assert_eq!(changed, [[1.0, 0.0], [1.0, 0.0]]);
    }

    #[test]
    fn it_makes_no_difference_whether_a_text_was_known() {
        let exact = |_: &[&str]| vec![vec![0.600_001, 0.799_999]];
        let memory = Memory::new(MODEL, 2);
        let first = memory.recall(&["a"], exact);
        assert_eq!(memory.recall(&["a"], |_| panic!("it is known")), first);
    }

    #[test]
    fn what_comes_with_the_program_is_neither_asked_for_nor_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory");
        let other = Memory::new(MODEL, 2);
        other.recall(&["a", "bb"], embed);
        let mut memory = kept_in(&file);
        memory.add_shipped(&other.not_shipped().1);
        let all = memory.recall(&["bb", "ccc", "a"], |texts| {
            assert_eq!(texts, ["ccc"]);
            embed(texts)
        });
        assert_eq!((all.len(), memory.shipped(), kept_in(&file).not_shipped().0), (3, 2, 1));
    }

    #[test]
    fn what_another_model_said_is_passed_over() {
        let other = Memory::new([2; 32], 2);
        other.recall(&["a"], embed);
        let mut memory = Memory::new(MODEL, 2);
        memory.add_shipped(&other.not_shipped().1);
        assert_eq!(memory.shipped(), 0);
        let mut same = Memory::new([2; 32], 2);
        same.add_shipped(&other.not_shipped().1);
        assert_eq!(same.shipped(), 1);
    }

    #[test]
    fn a_damaged_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory");
        for text in ["", "SPEMB", "SPEMB\x03\0\0half"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(kept_in(&file).recall(&["a"], embed), [[1.0, 0.0]]);
        }
        let whole = std::fs::read(&file).unwrap();
        for bytes in [&whole[..whole.len() - 1], &[&whole[..whole.len() - 2], b"\xff\x7f"].concat()] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(kept_in(&file).not_shipped().0, 0);
        }
    }

    #[test]
    fn where_nothing_can_be_written_everything_works_all_the_same() {
        let memory = kept_in(Path::new("/nowhere/at/all"));
        assert_eq!(memory.recall(&["a"], embed), [[1.0, 0.0]]);
    }
}
