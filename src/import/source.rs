//! Owns what lies in a folder or a zip archive: names, sizes, and the bytes of one file at a time, within limits.
//!
//! Nothing is unpacked to disk and no name is ever used as a path to write to. What an archive says about itself (how
//! many files, how large) is a limit for what is read of it, never a size to allocate.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use zip::{
    ZipArchive,
    result::{ZipError, ZipResult},
};

use super::{Config, ImportError};

/// A folder or an archive, opened.
#[derive(Debug)]
pub struct Source {
    /// Without symbolic links.
    path: PathBuf,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    Folder(Vec<PathBuf>),
    Zip(ZipArchive<BufReader<File>>),
}

/// One file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Below the source, with `/` between folders.
    pub name: String,
    /// Bytes, unpacked, as the source says.
    pub size: u64,
    /// Changes with the content: when the file was written, or the archive's checksum.
    pub stamp: u64,
    pub(super) index: usize,
    /// Why it cannot be taken, where its name or kind forbids it.
    pub refused: Option<Refused>,
}

/// Why a file is not taken. Each stands in the final account beside the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("its name leads out of the folder")]
    LeadsOut,
    #[error("it is a symbolic link")]
    Link,
    #[error("it is no regular file")]
    Special,
    #[error("it is encrypted")]
    Encrypted,
    #[error("it is empty")]
    Empty,
    #[error("it is larger than fetch.bytes_max")]
    TooLarge,
    #[error("it is damaged")]
    Damaged,
    #[error("it cannot be read")]
    Unreadable,
}

impl Member {
    /// The last part of its name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that it lies in; empty at the top.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

impl Source {
    /// Opens `path` and looks at the names and sizes of all that it holds, in the order of their names.
    ///
    /// # Errors
    /// If it cannot be read, is neither folder nor archive, or holds more files than allowed.
    pub fn open(path: &Path, limits: &Config) -> Result<(Self, Vec<Member>), ImportError> {
        let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
        let real = path.canonicalize().map_err(unreadable)?;
        let (inside, mut members) = if real.is_dir() {
            let mut walk = Walk { limits, paths: vec![], members: vec![] };
            walk.folder(&real, "", 0)?;
            (Inside::Folder(walk.paths), walk.members)
        } else {
            let file = File::open(&real).map_err(unreadable)?;
            look_into_zip(file, path, limits)?
        };
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((Self { path: real, inside }, members))
    }

    /// Where it lies, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is called, without its extension: exports name the conversation there.
    #[must_use]
    pub fn title(&self) -> String {
        let name = match self.inside {
            Inside::Folder(_) => self.path.file_name(),
            Inside::Zip(_) => self.path.file_stem(),
        };
        name.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The bytes of one file, no more than `bytes_max`.
    pub fn read(&mut self, member: &Member, bytes_max: u64) -> Result<Vec<u8>, Refused> {
        if let Some(refused) = member.refused {
            return Err(refused);
        }
        if member.size > bytes_max {
            return Err(Refused::TooLarge);
        }
        match &mut self.inside {
            Inside::Folder(paths) => read_file(&paths[member.index], bytes_max),
            Inside::Zip(archive) => {
                let file = archive.by_index(member.index).map_err(|_| Refused::Damaged)?;
                let mut bytes = Vec::new();
                file.take(member.size.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| Refused::Damaged)?;
                if bytes.len() as u64 == member.size { Ok(bytes) } else { Err(Refused::Damaged) }
            }
        }
    }
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Refused> {
    // A FIFO would wait for somebody to write to it, and a link may have been put there a moment ago.
    let opened = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path);
    let file = opened.map_err(|_| Refused::Unreadable)?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(Refused::Special);
    }
    let mut bytes = Vec::new();
    // The file may still be growing.
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| Refused::Unreadable)?;
    if bytes.len() as u64 > bytes_max { Err(Refused::TooLarge) } else { Ok(bytes) }
}

/// A way through a folder and those below it.
struct Walk<'a> {
    limits: &'a Config,
    paths: Vec<PathBuf>,
    members: Vec<Member>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) -> Result<(), ImportError> {
        let unreadable = |source| ImportError::Unreadable { path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = [name, &entry.file_name().to_string_lossy()].concat();
            // Of the link itself, where it is one.
            let metadata = entry.metadata().map_err(unreadable)?;
            if metadata.is_dir() && depth < self.limits.depth_max {
                self.folder(&entry.path(), &format!("{name}/"), depth + 1)?;
                continue;
            }
            if self.members.len() >= self.limits.files_max {
                return Err(ImportError::TooManyFiles { files_max: self.limits.files_max });
            }
            let refused = if metadata.is_symlink() {
                Some(Refused::Link)
            } else {
                (!metadata.is_file()).then_some(Refused::Special)
            };
            let written = metadata.modified().ok().and_then(|at| jiff::Timestamp::try_from(at).ok());
            let stamp = written.map_or(0, |at| at.as_nanosecond() as u64);
            self.members.push(Member { name, size: metadata.len(), stamp, index: self.paths.len(), refused });
            self.paths.push(entry.path());
        }
        Ok(())
    }
}

fn look_into_zip(mut file: File, path: &Path, limits: &Config) -> Result<(Inside, Vec<Member>), ImportError> {
    let wrong = |source| ImportError::NotAnArchive { path: path.to_owned(), source };
    if entries_claimed(&mut file).map_err(wrong)? > limits.files_max as u64 {
        return Err(ImportError::TooManyFiles { files_max: limits.files_max });
    }
    let archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(wrong)?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_or_else(|_| String::from_utf8_lossy(entry.name_raw()).into_owned(), Into::into);
        let refused = if leads_out(&name) {
            Some(Refused::LeadsOut)
        } else if entry.is_symlink() {
            Some(Refused::Link)
        } else {
            entry.encrypted().then_some(Refused::Encrypted)
        };
        members.push(Member { name, size: entry.size(), stamp: entry.crc32().into(), index, refused });
    }
    Ok((Inside::Zip(archive), members))
}

/// How many entries the archive says that it has, the highest figure where it says several: opening it would make
/// room for all of them. The records that say so stand at its end, before a comment of up to 64 KiB.
fn entries_claimed(file: &mut File) -> ZipResult<u64> {
    const TAIL_BYTES: u64 = (1 << 16) + 1024;
    const END: &[u8; 4] = b"PK\x05\x06";
    const END_64: &[u8; 4] = b"PK\x06\x06";
    const LOCATOR_64: &[u8; 4] = b"PK\x06\x07";
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    file.seek(SeekFrom::Start(0))?;
    let (mut most, mut has_locator, mut has_end_64) = (0, false, false);
    for (at, record) in (0..tail.len()).map(|at| (at, &tail[at..])) {
        let figure = |from: usize, bytes: usize| {
            let figure = tail.get(at + from..at + from + bytes).unwrap_or_default();
            figure.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        if record.starts_with(END) {
            most = most.max(figure(10, 2));
        } else if record.starts_with(END_64) {
            (most, has_end_64) = (most.max(figure(32, 8)), true);
        } else if record.starts_with(LOCATOR_64) {
            has_locator = true;
        }
    }
    // The locator's record stands right before it in every archive that was not made to hide it.
    if has_locator && !has_end_64 {
        return Err(ZipError::InvalidArchive("its directory is not at its end".into()));
    }
    Ok(most)
}

fn leads_out(name: &str) -> bool {
    name.starts_with('/') || name.contains(['\0', '\\']) || name.split('/').any(|part| part == "..")
}
