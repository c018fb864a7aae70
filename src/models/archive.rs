//! Owns taking single members out of package archives: wheels, which are zip files, and source archives (`.tar.gz`).
//!
//! A member is looked up by its whole path and copied to where the caller says; nothing is ever unpacked to a path
//! that an archive names. What it unpacks to is limited by what the manifest says, not by what the archive says.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Members that a source archive may have before the one that is looked for.
const TAR_MEMBERS_MAX: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it cannot be read as an archive")]
    Zip(#[from] zip::result::ZipError),
    #[error("the package archive is damaged, or cannot be read")]
    Read(#[source] io::Error),
    #[error("the unpacked file cannot be written")]
    Write(#[source] io::Error),
    #[error("it has no member `{0}`")]
    Missing(String),
    #[error("its member `{member}` is not the {expected} bytes that the manifest says")]
    Size { member: String, expected: u64 },
}

/// Copies the member at exactly this path, which must have exactly this size, to `out`.
pub fn copy_member(archive: &Path, member: &str, size_bytes: u64, out: &mut impl Write) -> Result<(), ArchiveError> {
    let file = File::open(archive).map_err(ArchiveError::Read)?;
    if archive.extension().is_some_and(|e| e == "gz") {
        copy_from_tar(file, member, size_bytes, out)
    } else {
        copy_from_zip(file, member, size_bytes, out)
    }
}

fn copy_from_zip(file: File, member: &str, size_bytes: u64, out: &mut impl Write) -> Result<(), ArchiveError> {
    let mut zip = zip::ZipArchive::new(BufReader::new(file))?;
    let found = match zip.by_name(member) {
        Err(zip::result::ZipError::FileNotFound) => return Err(ArchiveError::Missing(member.to_owned())),
        other => other?,
    };
    copy_exactly(found, member, size_bytes, out)
}

fn copy_from_tar(file: File, member: &str, size_bytes: u64, out: &mut impl Write) -> Result<(), ArchiveError> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(BufReader::new(file)));
    for entry in tar.entries().map_err(ArchiveError::Read)?.take(TAR_MEMBERS_MAX) {
        let entry = entry.map_err(ArchiveError::Read)?;
        if entry.header().entry_type().is_file() && *entry.path_bytes() == *member.as_bytes() {
            return copy_exactly(entry, member, size_bytes, out);
        }
    }
    Err(ArchiveError::Missing(member.to_owned()))
}

fn copy_exactly(from: impl Read, member: &str, size_bytes: u64, out: &mut impl Write) -> Result<(), ArchiveError> {
    let wrong = || ArchiveError::Size { member: member.to_owned(), expected: size_bytes };
    let mut from = from.take(size_bytes.saturating_add(1));
    let mut buffer = vec![0; 1 << 17];
    let mut copied = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ArchiveError::Read(e)),
        };
        copied += count as u64;
        if copied > size_bytes {
            return Err(wrong());
        }
        out.write_all(&buffer[..count]).map_err(ArchiveError::Write)?;
    }
    if copied == size_bytes { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(dir: &Path, members: &[(&str, &[u8])]) -> std::path::PathBuf {
        let path = dir.join("p-1-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in members {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    fn sdist(dir: &Path, members: &[(&str, &[u8])]) -> std::path::PathBuf {
        let path = dir.join("p-1.tar.gz");
        let gz = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn a_member_is_copied_from_a_wheel_and_from_a_source_archive() {
        let dir = tempfile::tempdir().unwrap();
        let members: &[(&str, &[u8])] = &[("p/other", b"x"), ("p/data", b"weights")];
        for archive in [wheel(dir.path(), members), sdist(dir.path(), members)] {
            let mut out = Vec::new();
            copy_member(&archive, "p/data", 7, &mut out).unwrap();
            assert_eq!(out, b"weights");
            let missing = copy_member(&archive, "p/none", 7, &mut out).unwrap_err();
            assert!(matches!(missing, ArchiveError::Missing(name) if name == "p/none"));
        }
    }

    #[test]
    fn a_member_that_unpacks_to_more_than_the_manifest_says_is_stopped_there() {
        let dir = tempfile::tempdir().unwrap();
        let bomb = vec![0; 10 << 20];
        let members: &[(&str, &[u8])] = &[("p/data", &bomb)];
        for archive in [wheel(dir.path(), members), sdist(dir.path(), members)] {
            let mut out = Vec::new();
            let error = copy_member(&archive, "p/data", 1000, &mut out).unwrap_err();
            assert!(matches!(error, ArchiveError::Size { expected: 1000, .. }));
            assert!(out.len() <= 1000);
        }
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for archive in [wheel(dir.path(), &[("p/data", b"weights")]), sdist(dir.path(), &[("p/data", b"weights")])] {
            let bytes = std::fs::read(&archive).unwrap();
            std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
            assert!(copy_member(&archive, "p/data", 7, &mut Vec::new()).is_err());
        }
    }
}
