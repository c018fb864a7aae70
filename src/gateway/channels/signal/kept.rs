//! Owns messages on the disk, a file each, in the order in which they came: between who receives them, for good, and who
//! takes their notes in. Knows nothing of what they say.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use tokio::{fs, sync::Notify};
use uuid::Uuid;

use super::super::{
    OpenChannel,
    pull::{self, Pause},
};
use crate::shutdown::Shutdown;

pub struct Kept {
    dir: PathBuf,
    news: Notify,
}

impl Kept {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, news: Notify::new() }
    }

    /// Tries again until the disk takes it: nobody else has it any more.
    pub async fn keep(&self, own: &OpenChannel, message: &str, pause: &mut Pause, shutdown: &Shutdown) {
        // Sorted by name they are sorted by time.
        let name = format!("{:020}-{}.json", Timestamp::now().as_nanosecond(), Uuid::new_v4().simple());
        let path = self.dir.join(name);
        while let Err(error) = pull::write_whole(&path, message.as_bytes()).await {
            if !pause.after(own, &error, shutdown).await {
                tracing::error!(
                    channel = %own.name,
                    "a message could not be written to the disk before the end: its notes are lost"
                );
                break;
            }
        }
        self.news.notify_one();
    }

    /// The oldest message and its file, if there is any.
    pub async fn oldest(&self) -> io::Result<Option<(PathBuf, Vec<u8>)>> {
        let mut files = match fs::read_dir(&self.dir).await {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut oldest: Option<PathBuf> = None;
        while let Some(file) = files.next_entry().await? {
            let path = file.path();
            let is_ours = path.extension().is_some_and(|extension| extension == "json");
            if is_ours && oldest.as_deref().is_none_or(|oldest: &Path| path.as_path() < oldest) {
                oldest = Some(path);
            }
        }
        let Some(path) = oldest else { return Ok(None) };
        let message = fs::read(&path).await?;
        Ok(Some((path, message)))
    }

    /// Returns once a message was kept since it returned last.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}
