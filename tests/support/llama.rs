//! Owns a real language model behind a real server (llama.cpp's) on loopback, put into a folder by
//! `scripts/language-model`.
//!
//! It is there where `SPRACHPOST_LANGUAGE_MODEL` names its program, which `make test-language-model` sees to. Tests that
//! need it are ignored otherwise, and say so.

use std::{
    ffi::OsStr,
    fs, thread,
    time::{Duration, Instant},
};

use url::Url;

use super::{guarded::Guarded, language_model::KEY};

const START_LIMIT: Duration = Duration::from_mins(1);

/// Ends when it is dropped. Wants the key of the double.
pub struct Llama {
    /// Its base address.
    pub url: Url,
    _process: Guarded,
}

impl Llama {
    pub fn start() -> Self {
        let program = std::env::var_os("SPRACHPOST_LANGUAGE_MODEL")
            .expect("SPRACHPOST_LANGUAGE_MODEL names the server's program: run `make test-language-model`");
        let log = tempfile::NamedTempFile::new().unwrap();
        let process = Guarded::start([&*program, OsStr::new(KEY)], &[], log.path(), None);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let said = fs::read_to_string(log.path()).unwrap();
            if let Some(address) = said.lines().find(|line| line.starts_with("http://")) {
                return Self { url: format!("{address}/v1").parse().unwrap(), _process: process };
            }
            assert!(Instant::now() < deadline, "the language model does not answer:\n{said}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}
