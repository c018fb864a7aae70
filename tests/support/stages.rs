//! The real stages, with the real model, made once for all tests.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use sprachpost::{
    app,
    config::Config,
    event::{Event, Processed, envelope::Received},
    note::{AudioSource, Channel, VoiceNote},
    outcome::Settlement,
    pipeline::{self, Stages},
    report::Attempt,
    understanding,
};

/// Folders that the tests' stages may fetch files from.
fn roots() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips");
    std::env::var_os("SPRACHPOST_EVAL_DIR").map(PathBuf::from).into_iter().chain([own, std::env::temp_dir()]).collect()
}

/// The configuration that tests run on: the repository's models, its own playbook, one attempt.
pub fn config() -> Config {
    let mut config = Config::default();
    config.models.dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    config.fetch.file_roots = roots();
    config.worker.retry.attempts_max = 1;
    config
}

/// The same without the sentence encoder, which takes most of the time of a note that a script recognises.
pub fn quick() -> Config {
    Config { understanding: understanding::Config::without_encoder(), ..config() }
}

pub fn stages() -> Arc<Stages> {
    static STAGES: OnceLock<Arc<Stages>> = OnceLock::new();
    let make = || {
        let stages = app::stages(&config());
        stages.unwrap_or_else(|e| panic!("{e}; `make test` fetches the models first"))
    };
    Arc::clone(STAGES.get_or_init(make))
}

/// A note whose audio is this file.
pub fn note_of(file: &Path) -> VoiceNote {
    let audio = AudioSource::File { path: file.canonicalize().unwrap().to_string_lossy().into_owned() };
    VoiceNote::new("test".parse().unwrap(), Channel::upload(), file.to_string_lossy().into_owned(), audio)
}

/// Processes one note with one attempt, and checks what holds for all of them.
pub async fn process(note: VoiceNote, stages: &Arc<Stages>) -> Processed {
    let received = Received { note, traceparent: None };
    let outcome = pipeline::process(&received, Attempt::only(), &stages.learning.in_force(), stages).await;
    assert!(!matches!(outcome.settlement, Settlement::Retry { .. }), "one attempt is all there is");
    let Ok([Event::Processed { data, .. }]) = <[Event; 1]>::try_from(outcome.effects) else {
        panic!("exactly one event")
    };
    assert_eq!(data.note_id, received.note.id());
    *data
}
