//! The real models: that what `make models` put in place is what the manifest says, and that it is made again the same.

use std::path::Path;

use sprachpost::models::{Config, Progress, Pulled, Store};

/// The store that the suite's set-up has filled.
fn store() -> Store {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    Store::open(&Config { dir, ..Config::default() }).expect("the manifest is part of the program")
}

#[test]
fn the_default_models_are_here_and_sound() {
    for name in sprachpost::models::DEFAULT_MODELS {
        if let Err(error) = store().verify(name) {
            panic!("{error} (`make models` does it for the whole suite)");
        }
    }
}

#[tokio::test]
async fn quantising_the_base_model_again_gives_the_published_file() {
    let base =
        store().path("whisper-base").unwrap_or_else(|e| panic!("{e} (`make models` does it for the whole suite)"));
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(base, dir.path().join("ggml-base.bin")).unwrap();
    // No source that downloads is chosen: what comes of it was made here.
    let config = Config { dir: dir.path().to_owned(), sources: Vec::new(), ..Config::default() };
    let fresh = Store::open(&config).unwrap();
    assert_eq!(fresh.pull("whisper-base-q8_0", &Progress::silent()).await.unwrap(), Pulled::New);
    fresh.verify("whisper-base-q8_0").unwrap();
}
