//! The labelled clips: the repository's own, and those of an evaluation folder where one is named.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One line of a `manifest.jsonl`; fields that a folder's manifest does not have are none.
#[derive(Debug, Clone, Deserialize)]
pub struct Clip {
    pub file: String,
    #[serde(default)]
    pub seconds: Option<f64>,
    #[serde(default)]
    pub language: Option<String>,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub text_written: Option<String>,
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub container: Option<String>,
    #[serde(default)]
    pub codec: Option<String>,
    #[serde(default)]
    pub partial: Option<bool>,
    #[serde(default)]
    pub variant: Option<String>,
    /// Where the file lies.
    #[serde(skip)]
    pub path: PathBuf,
}

/// The repository's own clips.
pub fn own() -> Vec<Clip> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips"))
}

/// The clips of the folder that `SPRACHPOST_EVAL_DIR` names; none, said loudly, where it is not set.
pub fn evaluation(what_is_skipped: &str) -> Option<Vec<Clip>> {
    let Some(folder) = std::env::var_os("SPRACHPOST_EVAL_DIR") else {
        eprintln!("\n!!! SKIPPED: {what_is_skipped}: SPRACHPOST_EVAL_DIR names no folder of labelled clips\n");
        return None;
    };
    Some(read(Path::new(&folder)))
}

/// The clips of a folder, in the order of its manifest.
pub fn read(folder: &Path) -> Vec<Clip> {
    let manifest = folder.join("manifest.jsonl");
    let text = std::fs::read_to_string(&manifest).unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
    let read = |line: &str| {
        let mut clip: Clip = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        clip.path = folder.join(&clip.file);
        clip
    };
    text.lines().map(read).collect()
}
