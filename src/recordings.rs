//! Owns the place where audio is kept that came from outside: a folder, or a bucket of the S3-compatible store.
//!
//! Whoever takes a note in puts its audio here and hands on an [`AudioSource`], so that workers, and later those who
//! listen again, need nobody else. The same audio is kept once, under its SHA-256. It knows nothing of notes, nor of
//! what audio is; reading it back is [`crate::audio::fetch`]'s.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{fs, io::AsyncWriteExt, sync::RwLock};

use crate::{
    audio::fetch::{FetchError, Fetcher},
    hex::hex,
    note::AudioSource,
    outcome::Disposition,
    shutdown::Shutdown,
};

/// Where recordings are kept, which, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder. Workers, and bridges that attach audio, have to see the same one under the same path.
    pub dir: PathBuf,
    /// One of `fetch.object_store.buckets`; recordings are then kept there, and `dir` is not used.
    pub bucket: Option<String>,
    /// What the keys of objects begin with.
    pub prefix: String,
    /// Keep the audio of every upload, so that it can be heard again and attached to tickets. Otherwise audio of up to
    /// `fetch.inline_bytes_max` travels inside its message and is gone with it. What comes through a channel is always
    /// kept.
    pub always: bool,
    /// Days after which a file is removed from the folder; 0 keeps it for ever. The audio of a note that waits longer,
    /// with the dead letters for example, is gone. Objects are for the store's own rules to remove.
    pub keep_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: "data/recordings".into(),
            bucket: None,
            prefix: "recordings/".to_owned(),
            always: false,
            keep_days: 90,
        }
    }
}

/// How often the folder is looked through.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// A file that is still being written is younger than this.
const PARTIAL_AGE_MAX: Duration = Duration::from_hours(24);
const DAY: Duration = Duration::from_hours(24);

/// The place. One serves the whole process.
#[derive(Debug)]
pub struct Recordings {
    place: Place,
    always: bool,
    inline_bytes_max: u64,
    keep: Option<Duration>,
    /// Held while a file is looked at and removed, so that nobody counts on it at that moment.
    sweeping: RwLock<()>,
}

#[derive(Debug)]
enum Place {
    /// Its absolute path.
    Folder(PathBuf),
    Bucket {
        fetcher: Arc<Fetcher>,
        bucket: String,
        prefix: String,
    },
}

impl Recordings {
    /// Makes the folder where it is missing; connects to nothing. `fetcher` is what workers fetch with.
    ///
    /// # Errors
    /// [`SetupError`] says which setting is wrong.
    pub fn open(config: &Config, inline_bytes_max: u64, fetcher: &Arc<Fetcher>) -> Result<Self, SetupError> {
        let place = match &config.bucket {
            None => Place::Folder(folder(&config.dir)?),
            Some(bucket) => {
                fetcher.check_object(bucket, &key(&config.prefix, "x")).map_err(SetupError::Bucket)?;
                Place::Bucket { fetcher: Arc::clone(fetcher), bucket: bucket.clone(), prefix: config.prefix.clone() }
            }
        };
        let keep = (config.keep_days > 0).then(|| DAY.saturating_mul(config.keep_days));
        Ok(Self { place, always: config.always, inline_bytes_max, keep, sweeping: RwLock::new(()) })
    }

    /// Keeps `audio` and says where. When this returns it is on the disk, or confirmed by the store. The same audio
    /// put again costs little, and counts as new when old recordings are removed.
    ///
    /// # Errors
    /// [`RecordingError`] says whether another attempt may help.
    pub async fn put(&self, audio: &[u8]) -> Result<AudioSource, RecordingError> {
        let digest = hex(&Sha256::digest(audio));
        match &self.place {
            Place::Folder(dir) => {
                let _kept = self.sweeping.read().await;
                let path = write(dir, &digest, audio).await.map_err(RecordingError::Folder)?;
                Ok(AudioSource::File { path: path.to_string_lossy().into_owned() })
            }
            Place::Bucket { fetcher, bucket, prefix } => {
                let key = key(prefix, &digest);
                // Written again although it may be there: rules of the store go by an object's age.
                fetcher.put_object(bucket, &key, audio.to_vec()).await.map_err(RecordingError::Store)?;
                Ok(AudioSource::Object { bucket: bucket.clone(), key })
            }
        }
    }

    /// The folder, where there is one: workers have to be allowed to read below it.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(dir) => Some(dir),
            Place::Bucket { .. } => None,
        }
    }

    /// How an upload's audio travels: inside its message where it is small and need not be kept.
    ///
    /// # Errors
    /// As [`Recordings::put`].
    pub async fn put_or_carry(&self, audio: &[u8]) -> Result<AudioSource, RecordingError> {
        if !self.always && audio.len() as u64 <= self.inline_bytes_max {
            return Ok(AudioSource::Inline { data: BASE64_STANDARD.encode(audio) });
        }
        self.put(audio).await
    }

    /// Removes files that are too old, every hour until shutdown is requested.
    pub async fn keep_swept(&self, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            match self.sweep(Timestamp::now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old recordings removed"),
                Err(error) => tracing::warn!(%error, "old recordings could not be removed"),
            }
            tokio::select! {
                () = tokio::time::sleep(SWEEP_EVERY) => {}
                () = shutdown.requested() => {}
            }
        }
    }

    /// Removes files that are older than `recordings.keep_days` at `now`, and what writers that died left behind.
    /// Returns how many.
    ///
    /// # Errors
    /// If the folder cannot be read; what cannot be removed is left for the next time.
    pub async fn sweep(&self, now: Timestamp) -> io::Result<usize> {
        let Place::Folder(dir) = &self.place else { return Ok(0) };
        let now = SystemTime::from(now);
        let mut removed = 0;
        let mut shards = fs::read_dir(dir).await?;
        while let Some(shard) = shards.next_entry().await? {
            let Ok(mut files) = fs::read_dir(shard.path()).await else { continue };
            while let Some(file) = files.next_entry().await? {
                removed += usize::from(self.remove_if_old(&file.path(), now).await);
            }
        }
        Ok(removed)
    }

    async fn remove_if_old(&self, path: &Path, now: SystemTime) -> bool {
        let limit = match kind(path) {
            Some(Kind::Recording) => self.keep,
            Some(Kind::Partial) => Some(PARTIAL_AGE_MAX),
            None => None,
        };
        let Some(limit) = limit else { return false };
        let _alone = self.sweeping.write().await;
        let modified = fs::metadata(path).await.and_then(|file| file.modified());
        let age = modified.ok().and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default();
        age > limit && fs::remove_file(path).await.is_ok()
    }
}

/// Files are spread over folders by the first two digits of their names.
async fn write(dir: &Path, digest: &str, audio: &[u8]) -> io::Result<PathBuf> {
    let shard = dir.join(&digest[..2]);
    let file = shard.join(digest);
    if renew(&file, audio.len() as u64).await {
        return Ok(file);
    }
    fs::create_dir_all(&shard).await?;
    // Written beside and renamed, so that nobody ever sees half a file.
    let partial = shard.join(format!("{digest}.{}{PARTIAL}", uuid::Uuid::new_v4()));
    let written = write_synced(&partial, audio).await;
    if let Err(error) = written {
        let _ = fs::remove_file(&partial).await;
        return Err(error);
    }
    fs::rename(&partial, &file).await?;
    // The names themselves: of the file, and of its folder where that is new.
    fs::File::open(&shard).await?.sync_all().await?;
    fs::File::open(dir).await?.sync_all().await?;
    Ok(file)
}

async fn write_synced(path: &Path, audio: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path).await?;
    file.write_all(audio).await?;
    file.sync_all().await
}

/// Makes a file that is there already count as new.
async fn renew(file: &Path, bytes: u64) -> bool {
    let Ok(open) = fs::OpenOptions::new().write(true).open(file).await else { return false };
    let complete = open.metadata().await.is_ok_and(|found| found.is_file() && found.len() == bytes);
    complete && open.into_std().await.set_modified(SystemTime::from(Timestamp::now())).is_ok()
}

const PARTIAL: &str = ".partial";

enum Kind {
    Recording,
    Partial,
}

/// What is not ours is nothing to remove.
fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    let (digest, rest) = name.split_at_checked(64)?;
    let is_digest = digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match rest {
        "" if is_digest => Some(Kind::Recording),
        rest if is_digest && rest.ends_with(PARTIAL) => Some(Kind::Partial),
        _ => None,
    }
}

fn key(prefix: &str, digest: &str) -> String {
    format!("{prefix}{digest}")
}

/// Makes the folder where it is missing, and returns its absolute path.
fn folder(dir: &Path) -> Result<PathBuf, SetupError> {
    let made = std::fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    made.map_err(|source| SetupError::Folder { path: dir.to_owned(), source })
}

/// Why recordings cannot be kept as configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the folder {}, recordings.dir, cannot be made", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("recordings.bucket or recordings.prefix cannot be used")]
    Bucket(#[source] FetchError),
}

/// Why audio could not be kept. No text names a path, an address or a key.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("the audio could not be written to the folder of recordings")]
    Folder(#[source] io::Error),
    #[error("the audio could not be written to the object store")]
    Store(#[source] FetchError),
}

impl RecordingError {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            // A full disk can be emptied.
            Self::Folder(_) => Disposition::Retry,
            Self::Store(error) => error.disposition(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::fetch;

    fn open(dir: &Path, change: impl FnOnce(&mut Config)) -> Recordings {
        let mut config = Config { dir: dir.to_owned(), ..Config::default() };
        change(&mut config);
        let fetcher = Arc::new(Fetcher::new(&fetch::Config::default()).unwrap());
        Recordings::open(&config, 4, &fetcher).unwrap()
    }

    fn path(source: AudioSource) -> PathBuf {
        let AudioSource::File { path } = source else { panic!("{source:?}") };
        path.into()
    }

    fn files(dir: &Path) -> usize {
        let shards = std::fs::read_dir(dir).unwrap();
        shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
    }

    fn age(file: &Path, days: u32) {
        let modified = SystemTime::from(Timestamp::now()) - DAY * days;
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_modified(modified).unwrap();
    }

    #[tokio::test]
    async fn the_same_audio_is_kept_once_and_can_be_fetched_by_a_worker() {
        let dir = tempfile::tempdir().unwrap();
        let recordings = open(dir.path(), |_| {});
        let [first, second] = [recordings.put(b"OggS").await.unwrap(), recordings.put(b"OggS").await.unwrap()];
        assert_eq!(first, second);
        recordings.put(b"other").await.unwrap();
        assert_eq!(files(dir.path()), 2);
        let config = fetch::Config { file_roots: vec![dir.path().canonicalize().unwrap()], ..fetch::Config::default() };
        assert_eq!(Fetcher::new(&config).unwrap().fetch(&first).await.unwrap(), b"OggS");
    }

    #[tokio::test]
    async fn half_a_file_under_the_right_name_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let recordings = open(dir.path(), |_| {});
        let file = path(recordings.put(b"whole").await.unwrap());
        std::fs::write(&file, b"who").unwrap();
        recordings.put(b"whole").await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"whole");
    }

    #[tokio::test]
    async fn small_uploads_travel_inside_their_message_unless_all_are_to_be_kept() {
        let dir = tempfile::tempdir().unwrap();
        let usual = open(dir.path(), |_| {});
        assert!(matches!(usual.put_or_carry(b"1234").await.unwrap(), AudioSource::Inline { .. }));
        assert!(matches!(usual.put_or_carry(b"12345").await.unwrap(), AudioSource::File { .. }));
        let always = open(dir.path(), |config| config.always = true);
        assert!(matches!(always.put_or_carry(b"1234").await.unwrap(), AudioSource::File { .. }));
    }

    #[tokio::test]
    async fn what_is_too_old_is_removed_unless_it_came_again() {
        let dir = tempfile::tempdir().unwrap();
        let recordings = open(dir.path(), |config| config.keep_days = 7);
        let [old, again, new] = [b"old", b"two", b"new"];
        let old = path(recordings.put(old).await.unwrap());
        let renewed = path(recordings.put(again).await.unwrap());
        let new = path(recordings.put(new).await.unwrap());
        age(&old, 8);
        age(&renewed, 8);
        age(&new, 6);
        recordings.put(again).await.unwrap();
        assert_eq!(recordings.sweep(Timestamp::now()).await.unwrap(), 1);
        assert_eq!([old.exists(), renewed.exists(), new.exists()], [false, true, true]);
    }

    #[tokio::test]
    async fn what_a_dead_writer_left_is_removed_and_what_is_not_ours_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let recordings = open(dir.path(), |config| config.keep_days = 0);
        let kept = path(recordings.put(b"kept").await.unwrap());
        let partial = kept.with_file_name(format!("{}.x{PARTIAL}", kept.file_name().unwrap().to_str().unwrap()));
        let foreign = kept.with_file_name("notes.txt");
        for file in [&partial, &foreign] {
            std::fs::write(file, "x").unwrap();
        }
        for file in [&kept, &partial, &foreign] {
            age(file, 1000);
        }
        assert_eq!(recordings.sweep(Timestamp::now()).await.unwrap(), 1);
        assert_eq!([kept.exists(), partial.exists(), foreign.exists()], [true, false, true]);
    }

    #[test]
    fn a_bucket_that_no_store_has_is_a_configuration_error() {
        let fetcher = Arc::new(Fetcher::new(&fetch::Config::default()).unwrap());
        let config = Config { bucket: Some("recordings".to_owned()), ..Config::default() };
        assert!(matches!(Recordings::open(&config, 0, &fetcher), Err(SetupError::Bucket(_))));
    }
}
