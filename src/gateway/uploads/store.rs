//! Owns unfinished uploads on the disk: for each a file of what is known about it and one of its bytes so far.
//!
//! ```text
//! <id>.json    tenant, fields, length; the note's id once it is queued
//! <id>.part    as many bytes as are there: its length is the offset, also after a crash
//! <id>.chunk   a piece with a checksum, until that was checked
//! ```
//!
//! Whoever changes an upload holds a lock on its bytes, across processes; it ends with the process. It knows nothing of
//! HTTP, nor of queues.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    fs,
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Mutex,
};
use uuid::Uuid;

use super::Config;
use crate::{
    gateway::upload::Fields,
    note::{NoteId, Tenant},
};

/// What is known about an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Upload {
    pub tenant: Tenant,
    pub fields: Fields,
    /// Bytes that it will have.
    pub length: u64,
    /// The note that it became.
    pub note_id: Option<NoteId>,
}

/// All uploads of one folder.
#[derive(Debug)]
pub(super) struct Store {
    config: Config,
    /// Held while a new one is counted and made.
    creating: Mutex<()>,
}

/// An upload that nobody else changes meanwhile.
#[derive(Debug)]
pub(super) struct Open {
    pub upload: Upload,
    /// Bytes that are there.
    pub offset: u64,
    paths: Paths,
    part: fs::File,
}

/// A piece that may have to be thrown away; it is, when this is dropped.
#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    file: fs::File,
}

#[derive(Debug)]
struct Paths {
    json: PathBuf,
    part: PathBuf,
    chunk: PathBuf,
}

/// Why an upload cannot be found or changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("there is no such upload")]
    NotFound,
    #[error("the upload was left alone for too long and is gone")]
    Expired,
    #[error("another request is working on this upload")]
    Busy,
    #[error("too many uploads are unfinished; try again later")]
    Full,
    #[error("the upload cannot be written to the disk")]
    Disk(#[from] io::Error),
}

impl Store {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), creating: Mutex::default() }
    }

    /// Makes room for an upload, and returns its id.
    pub(super) async fn create(&self, upload: Upload) -> Result<Uuid, StoreError> {
        let _one_by_one = self.creating.lock().await;
        fs::create_dir_all(&self.config.dir).await?;
        let (mut unfinished, mut bytes) = (1, upload.length);
        // Those that are done, of which there may be many, have no bytes any more.
        for id in self.ids_of_files("part").await? {
            if let Ok(other) = self.read(id).await
                && other.note_id.is_none()
            {
                unfinished += 1;
                bytes = bytes.saturating_add(other.length);
            }
        }
        if unfinished > self.config.unfinished_max || bytes > self.config.unfinished_bytes_max {
            return Err(StoreError::Full);
        }
        let id = Uuid::new_v4();
        let paths = self.paths(id);
        fs::File::create(&paths.part).await?;
        write(&paths.json, &upload).await?;
        Ok(id)
    }

    /// The upload and how many of its bytes are there. It may change at any moment.
    pub(super) async fn look(&self, id: Uuid) -> Result<(Upload, u64), StoreError> {
        let upload = self.read(id).await?;
        if self.is_expired(id).await {
            return Err(StoreError::Expired);
        }
        let offset = self.offset(id, &upload).await?;
        Ok((upload, offset))
    }

    /// The upload, for this request alone.
    pub(super) async fn open(&self, id: Uuid) -> Result<Open, StoreError> {
        let paths = self.paths(id);
        let (upload, offset) = self.look(id).await?;
        let part = match fs::OpenOptions::new().append(true).read(true).open(&paths.part).await {
            // Of an upload that is done only the knowledge is left.
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::File::open(&paths.json).await.map_err(gone)?,
            part => part?,
        };
        let part = part.into_std().await;
        match part.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(StoreError::Busy),
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut open = Open { upload, offset, paths, part: fs::File::from_std(part) };
        // Somebody may have changed it, or removed it, before the lock was ours.
        open.upload = self.read(id).await?;
        open.offset = self.offset(id, &open.upload).await?;
        Ok(open)
    }

    pub(super) async fn remove(&self, id: Uuid) -> Result<(), StoreError> {
        let open = self.open(id).await?;
        open.paths.remove().await;
        Ok(())
    }

    /// Removes what expired and nobody is working on; returns what is complete and not queued.
    pub(super) async fn sweep(&self) -> Vec<Uuid> {
        let mut complete = vec![];
        for id in self.ids_of_files("json").await.unwrap_or_default() {
            match self.look(id).await {
                Ok((upload, offset)) if offset == upload.length && upload.note_id.is_none() => complete.push(id),
                Err(StoreError::Expired) if !self.is_held(id).await => {
                    self.paths(id).remove().await;
                    tracing::info!(upload_id = %id, "an upload that was left alone is removed");
                }
                _ => {}
            }
        }
        complete
    }

    /// When an upload that was touched now expires, as HTTP writes dates.
    pub(super) fn expiry_from_now(&self) -> String {
        http_date(Timestamp::now(), self.limit())
    }

    pub(super) async fn expiry(&self, id: Uuid) -> Result<String, StoreError> {
        let touched = self.touched(id).await.and_then(|at| Timestamp::try_from(at).ok());
        Ok(http_date(touched.ok_or(StoreError::NotFound)?, self.limit()))
    }

    async fn read(&self, id: Uuid) -> Result<Upload, StoreError> {
        let text = fs::read(self.paths(id).json).await.map_err(gone)?;
        serde_json::from_slice(&text).map_err(|error| StoreError::Disk(error.into()))
    }

    async fn offset(&self, id: Uuid, upload: &Upload) -> Result<u64, StoreError> {
        if upload.note_id.is_some() {
            return Ok(upload.length);
        }
        Ok(fs::metadata(self.paths(id).part).await.map_err(gone)?.len().min(upload.length))
    }

    /// All uploads that have such a file.
    async fn ids_of_files(&self, extension: &str) -> io::Result<Vec<Uuid>> {
        let mut files = match fs::read_dir(&self.config.dir).await {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let mut ids = vec![];
        while let Some(file) = files.next_entry().await? {
            let name = file.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(extension)?.strip_suffix('.'));
            ids.extend(id.and_then(|id| Uuid::try_parse(id).ok()));
        }
        Ok(ids)
    }

    async fn is_held(&self, id: Uuid) -> bool {
        let Ok(part) = fs::File::open(self.paths(id).part).await else { return false };
        part.into_std().await.try_lock().is_err()
    }

    async fn is_expired(&self, id: Uuid) -> bool {
        let age = self.touched(id).await.and_then(|at| SystemTime::from(Timestamp::now()).duration_since(at).ok());
        age.unwrap_or_default() > self.limit()
    }

    /// When a byte or the knowledge about it was written last.
    async fn touched(&self, id: Uuid) -> Option<SystemTime> {
        let Paths { json, part, .. } = self.paths(id);
        let mut latest = None;
        for path in [json, part] {
            latest = latest.max(fs::metadata(path).await.and_then(|file| file.modified()).ok());
        }
        latest
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.config.expire_s)
    }

    fn paths(&self, id: Uuid) -> Paths {
        let path = |extension: &str| self.config.dir.join(format!("{}.{extension}", id.simple()));
        Paths { json: path("json"), part: path("part"), chunk: path("chunk") }
    }
}

impl Open {
    /// Bytes that are missing.
    pub(super) fn room(&self) -> u64 {
        self.upload.length - self.offset
    }

    pub(super) async fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.part.write_all(bytes).await?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// What was appended is on the disk when this returns.
    pub(super) async fn sync(&mut self) -> Result<(), StoreError> {
        self.part.flush().await?;
        Ok(self.part.sync_all().await?)
    }

    /// A place for a piece that may have to be thrown away.
    pub(super) async fn beside(&self) -> Result<Beside, StoreError> {
        let path = self.paths.chunk.clone();
        let file = fs::OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path).await?;
        Ok(Beside { path, file })
    }

    /// Appends a piece that proved right. Dying in the middle leaves the front of it, which is right as well.
    pub(super) async fn append_from(&mut self, beside: Beside) -> Result<(), StoreError> {
        let mut piece = fs::File::open(&beside.path).await?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = piece.read(&mut buffer).await?;
            if count == 0 {
                return self.sync().await;
            }
            self.append(&buffer[..count]).await?;
        }
    }

    /// All bytes, once they are there.
    pub(super) async fn read(&self) -> Result<Vec<u8>, StoreError> {
        Ok(fs::read(&self.paths.part).await?)
    }

    /// Writes down that the note is queued; its bytes are needed no more.
    pub(super) async fn finish(&mut self, note_id: NoteId) -> Result<(), StoreError> {
        self.upload.note_id = Some(note_id);
        write(&self.paths.json, &self.upload).await?;
        let _ = fs::remove_file(&self.paths.part).await;
        Ok(())
    }
}

impl Beside {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).await?;
        Ok(self.file.flush().await?)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Paths {
    async fn remove(&self) {
        // What says that it exists goes first.
        for path in [&self.json, &self.part, &self.chunk] {
            let _ = fs::remove_file(path).await;
        }
    }
}

/// Written beside and renamed, so that nobody ever reads half of it.
async fn write(path: &Path, upload: &Upload) -> Result<(), StoreError> {
    let partial = path.with_extension(format!("{}.partial", Uuid::new_v4().simple()));
    let text = serde_json::to_vec(upload).map_err(|error| StoreError::Disk(error.into()))?;
    let mut file = fs::File::create(&partial).await?;
    file.write_all(&text).await?;
    file.sync_all().await?;
    Ok(fs::rename(&partial, path).await?)
}

fn gone(error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::NotFound { StoreError::NotFound } else { error.into() }
}

fn http_date(from: Timestamp, limit: Duration) -> String {
    let at = from.checked_add(limit).unwrap_or(Timestamp::MAX);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
