//! Owns the check that a file is the model that it claims to be.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::ModelError;
use super::manifest::Model;
use crate::hex::hex;

/// Size and every checksum that the manifest gives.
pub fn check_file(path: &Path, model: &Model) -> Result<(), ModelError> {
    let mut file = File::open(path).map_err(ModelError::io("open", path))?;
    let found = file.metadata().map_err(ModelError::io("read", path))?.len();
    if found != model.size_bytes {
        let (name, path, expected) = (model.name.clone(), path.to_owned(), model.size_bytes);
        return Err(ModelError::WrongSize { name, path, expected, found });
    }
    let mut sha256 = model.sha256.as_ref().map(|expected| (expected, Sha256::new()));
    let mut sha1 = model.sha1.as_ref().map(|expected| (expected, Sha1::new()));
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ModelError::io("read", path)(e)),
        };
        if let Some((_, hash)) = &mut sha256 {
            hash.update(&buffer[..count]);
        }
        if let Some((_, hash)) = &mut sha1 {
            hash.update(&buffer[..count]);
        }
    }
    compare(model, "sha256", sha256.map(|(expected, hash)| (expected, hex(&hash.finalize()))))?;
    compare(model, "sha1", sha1.map(|(expected, hash)| (expected, hex(&hash.finalize()))))
}

fn compare(model: &Model, algorithm: &'static str, sums: Option<(&String, String)>) -> Result<(), ModelError> {
    match sums {
        Some((expected, found)) if *expected != found => {
            Err(ModelError::WrongHash { name: model.name.clone(), algorithm, expected: expected.clone(), found })
        }
        _ => Ok(()),
    }
}
