//! Owns the recordings that recognition is measured on: a folder, or a manifest with what is said in each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::super::BenchError;

/// What a folder's list of labelled recordings is called.
const MANIFEST: &str = "manifest.jsonl";

/// One recording, and what is known about it. Fields that a manifest does not have are none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Clip {
    /// Relative to the manifest's folder.
    pub file: String,
    /// ISO 639-1.
    pub language: Option<String>,
    /// What is said, as spoken; empty or none where nobody speaks, none where nobody knows.
    pub text: Option<String>,
    /// The same as written, with digits for numbers.
    pub text_written: Option<String>,
    /// `clean`, `noise:street:10dB` and the like.
    pub variant: Option<String>,
    /// Where the file lies.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Clip {
    /// What is said, if anything is and somebody knows.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        self.text.as_deref().filter(|text| !text.trim().is_empty())
    }

    /// Whoever labels recordings names the language where somebody speaks; without any label nobody knows.
    #[must_use]
    pub fn is_without_speech(&self) -> bool {
        let is_labelled = self.text.is_some() || self.variant.is_some();
        is_labelled && self.words().is_none() && self.language.is_none()
    }
}

/// The recordings of a folder or of a manifest, in its order. A folder without a manifest has all its files, by name, and
/// nobody knows what is said in them.
pub fn read(path: &Path) -> Result<Vec<Clip>, BenchError> {
    let unreadable = |source: io::Error| BenchError::Clips { path: path.to_owned(), source };
    let (folder, manifest) = if path.is_dir() {
        (path.to_owned(), path.join(MANIFEST))
    } else {
        (path.parent().unwrap_or(Path::new("")).to_owned(), path.to_owned())
    };
    let mut clips = if path.is_dir() && !manifest.is_file() {
        unlabelled(&folder).map_err(unreadable)?
    } else {
        labelled(&fs::read_to_string(&manifest).map_err(unreadable)?, &manifest)?
    };
    for clip in &mut clips {
        let path = folder.join(&clip.file);
        clip.path = path.canonicalize().map_err(|source| BenchError::Clip { path, source })?;
    }
    if clips.is_empty() { Err(BenchError::NoClips { path: path.to_owned() }) } else { Ok(clips) }
}

fn labelled(text: &str, manifest: &Path) -> Result<Vec<Clip>, BenchError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|_| BenchError::Manifest { path: manifest.to_owned(), line: index + 1 })
    };
    lines.map(read).collect()
}

fn unlabelled(folder: &Path) -> io::Result<Vec<Clip>> {
    let mut clips = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let file = entry.file_name().to_string_lossy().into_owned();
            clips.push(Clip { file, ..Clip::default() });
        }
    }
    clips.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(clips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_by_its_manifest_and_without_one_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(matches!(read(folder.path()), Err(BenchError::NoClips { .. })));
        write("b.ogg", "");
        write("a.ogg", "");
        let files: Vec<String> = read(folder.path()).unwrap().into_iter().map(|clip| clip.file).collect();
        assert_eq!(files, ["a.ogg", "b.ogg"]);

        write(MANIFEST, "{\"file\": \"b.ogg\", \"text\": \"Hallo\", \"voice\": \"x\"}\n\n");
        let clips = read(folder.path()).unwrap();
        assert_eq!((clips.len(), clips[0].text.as_deref()), (1, Some("Hallo")));
        assert!(clips[0].path.is_absolute());
        write("short.jsonl", "{\"file\": \"a.ogg\"}");
        assert_eq!(read(&folder.path().join("short.jsonl")).unwrap()[0].file, "a.ogg");
    }

    #[test]
    fn nobody_speaks_where_a_label_has_neither_words_nor_a_language() {
        let clip = |text: Option<&str>, variant: Option<&str>, language: Option<&str>| Clip {
            text: text.map(str::to_owned),
            variant: variant.map(str::to_owned),
            language: language.map(str::to_owned),
            ..Clip::default()
        };
        assert!(clip(Some(""), None, None).is_without_speech());
        assert!(clip(None, Some("music"), None).is_without_speech());
        assert!(!clip(None, None, None).is_without_speech(), "nobody knows");
        assert!(!clip(None, Some("clean"), Some("tr")).is_without_speech());
        assert!(!clip(Some("Hallo"), None, None).is_without_speech());
        assert_eq!((clip(Some(" "), None, None).words(), clip(Some("ja"), None, None).words()), (None, Some("ja")));
    }

    #[test]
    fn a_faulty_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), "{\"file\": \"b.ogg\"}\n{\"file\"").unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("manifest.jsonl:2"), "{error}");
        assert!(matches!(read(&folder.path().join("none.jsonl")), Err(BenchError::Clips { .. })));
    }

    #[test]
    fn a_recording_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), "{\"file\": \"gone.ogg\"}\n").unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("gone.ogg"), "{error}");
    }
}
