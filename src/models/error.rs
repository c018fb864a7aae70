//! Owns everything that can go wrong with models, each with what to do about it.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use super::archive::ArchiveError;
use super::convert::ConvertError;
use super::download::DownloadError;
use super::manifest::SourceKind;
use super::pip::PipError;
use crate::outcome::Disposition;

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the models manifest cannot be read from {}", path.display())]
    ManifestUnreadable { path: PathBuf, source: io::Error },
    #[error("the models manifest is not valid")]
    ManifestSyntax(#[source] Box<toml::de::Error>),
    #[error("the models manifest is not valid: model `{model}`: {what}")]
    ManifestRule { model: String, what: String },
    #[error("there is no model `{name}`: `sprachpost models list` names all there are")]
    Unknown { name: String },
    #[error("the model `{name}` is not at {}: run `sprachpost models pull {name}`", path.display())]
    Absent { name: String, path: PathBuf },
    #[error(
        "{} is damaged, as its size is not that of the model `{name}`, {expected} bytes: run `sprachpost models pull {name}`",
        path.display()
    )]
    Damaged { name: String, path: PathBuf, expected: u64 },
    #[error("{} has {found} bytes where the model `{name}` has {expected}", path.display())]
    WrongSize { name: String, path: PathBuf, expected: u64, found: u64 },
    #[error("the file for `{name}` has the wrong {algorithm}: expected {expected}, found {found}")]
    WrongHash { name: String, algorithm: &'static str, expected: String, found: String },
    #[error("another process has been pulling `{name}` for more than {waited_s} s: try again when it is done")]
    Busy { name: String, waited_s: u64 },
    #[error("{}", no_source_message(name, tried))]
    NoSource { name: String, tried: Vec<(String, ModelError)> },
    #[error("the model `{name}` has no source of a kind that is chosen ({})", list_kinds(chosen))]
    NoSourceChosen { name: String, chosen: Vec<SourceKind> },
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Pip(#[from] PipError),
    #[error("a package is not what the manifest says")]
    Archive(#[from] ArchiveError),
    #[error("the model cannot be converted")]
    Convert(#[from] ConvertError),
    #[error("cannot {what} {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the thread that worked on a model died")]
    Died,
}

impl ModelError {
    /// Whether the same call may go better later.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Download(error) => error.disposition(),
            Self::Pip(_) | Self::Busy { .. } => Disposition::Retry,
            Self::NoSource { tried, .. } => {
                if tried.iter().any(|(_, error)| error.disposition() == Disposition::Retry) {
                    Disposition::Retry
                } else {
                    Disposition::Fail
                }
            }
            Self::ManifestUnreadable { .. }
            | Self::ManifestSyntax(_)
            | Self::ManifestRule { .. }
            | Self::Unknown { .. }
            | Self::Absent { .. }
            | Self::Damaged { .. }
            | Self::WrongSize { .. }
            | Self::WrongHash { .. }
            | Self::NoSourceChosen { .. }
            | Self::Archive(_)
            | Self::Convert(_)
            | Self::Io { .. }
            | Self::Died => Disposition::Fail,
        }
    }

    /// Wraps an I/O error with what was done to which path: `read`, `create`, `rename`.
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// The error with its sources, on one line; of the network's many layers only the innermost, which says it all.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(mut error) = next {
            if error.is::<reqwest::Error>() {
                while let Some(inner) = error.source() {
                    error = inner;
                }
            }
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }
}

fn no_source_message(name: &str, tried: &[(String, ModelError)]) -> String {
    use std::fmt::Write as _;

    let mut text = format!("the model `{name}` could not be pulled");
    for (source, error) in tried {
        let _ = write!(text, "; {source}: {}", error.in_full());
    }
    if tried.iter().all(|(source, _)| source == "hub") {
        text.push_str(". It is to be had from its hub only, which takes a connection to the open internet");
    }
    let _ = write!(text, ". A copy that was fetched elsewhere is taken by `sprachpost models pull {name} --file PATH`");
    text
}

fn list_kinds(kinds: &[SourceKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
