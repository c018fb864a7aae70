//! Owns reading a file below one of the operator's roots, and nothing else on the machine.

use std::{
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf},
};

use tokio::{fs, io::AsyncReadExt};

use super::{FetchError, SetupError};

pub(super) struct Roots(Vec<Root>);

struct Root {
    /// As configured: what paths are compared with before the disk is touched.
    given: PathBuf,
    /// Without symbolic links: what the file that is really opened must lie below.
    real: PathBuf,
}

impl Roots {
    pub(super) fn new(roots: &[PathBuf]) -> Result<Self, SetupError> {
        roots
            .iter()
            .map(|given| {
                let wrong = |source| SetupError::Root { path: given.clone(), source };
                let real = given.canonicalize().map_err(wrong)?;
                if !given.is_absolute() || !real.is_dir() {
                    return Err(wrong(io::Error::other("it must be the absolute path of a folder")));
                }
                Ok(Root { given: given.clone(), real })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) async fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, FetchError> {
        let path = Path::new(path);
        // Before the disk is asked: the answer must not tell which files exist elsewhere.
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || !self.0.iter().any(|root| path.starts_with(&root.given) || path.starts_with(&root.real)) {
            return Err(FetchError::Forbidden { why: "the path is not below one of fetch.file_roots" });
        }
        let real = fs::canonicalize(path).await.map_err(|error| failed(&error))?;
        if !self.0.iter().any(|root| real.starts_with(&root.real)) {
            return Err(FetchError::Forbidden { why: "a symbolic link leads out of fetch.file_roots" });
        }
        let file = open(&real).await.map_err(|error| failed(&error))?;
        let metadata = file.metadata().await.map_err(|error| failed(&error))?;
        if !metadata.is_file() {
            return Err(FetchError::Forbidden { why: "it is not a regular file" });
        }
        let mut bytes = Vec::new();
        if metadata.len() <= bytes_max {
            // The file may still be growing.
            let mut limited = file.take(bytes_max.saturating_add(1));
            limited.read_to_end(&mut bytes).await.map_err(|error| failed(&error))?;
        }
        if metadata.len().max(bytes.len() as u64) > bytes_max {
            return Err(FetchError::TooLarge { bytes_max });
        }
        Ok(bytes)
    }
}

/// Opening a FIFO would wait for somebody to write to it, and a link may have been put there a moment ago.
async fn open(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path).await
}

fn failed(error: &io::Error) -> FetchError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => FetchError::NotFound,
        ErrorKind::PermissionDenied => FetchError::Forbidden { why: "the file may not be read by this process" },
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => FetchError::Forbidden { why: "it is not a path" },
        _ if error.raw_os_error() == Some(libc::ELOOP) => {
            FetchError::Forbidden { why: "its symbolic links lead nowhere" }
        }
        _ => FetchError::Unreachable { why: "the file cannot be read" },
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    struct Place {
        root: tempfile::TempDir,
        elsewhere: tempfile::TempDir,
        roots: Roots,
    }

    fn place() -> Place {
        let [root, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::write(root.path().join("note.ogg"), b"0123456789").unwrap();
        std::fs::write(elsewhere.path().join("secret"), b"secret").unwrap();
        let roots = Roots::new(&[root.path().to_owned()]).unwrap();
        Place { root, elsewhere, roots }
    }

    impl Place {
        async fn read(&self, path: &Path) -> Result<Vec<u8>, FetchError> {
            self.roots.read(path.to_str().unwrap(), 10).await
        }

        async fn assert_forbidden(&self, path: &Path) {
            match self.read(path).await {
                Err(FetchError::Forbidden { .. }) => {}
                other => panic!("{}: {other:?}", path.display()),
            }
        }
    }

    #[tokio::test]
    async fn a_file_below_a_root_is_read_up_to_the_limit() {
        let place = place();
        assert_eq!(place.read(&place.root.path().join("note.ogg")).await.unwrap(), b"0123456789");
        std::fs::write(place.root.path().join("long.ogg"), b"0123456789a").unwrap();
        let result = place.read(&place.root.path().join("long.ogg")).await;
        assert_eq!(result, Err(FetchError::TooLarge { bytes_max: 10 }));
    }

    #[tokio::test]
    async fn a_missing_file_is_not_found_below_a_root_and_forbidden_elsewhere() {
        let place = place();
        assert_eq!(place.read(&place.root.path().join("gone.ogg")).await, Err(FetchError::NotFound));
        assert_eq!(place.read(&place.root.path().join("note.ogg/deeper")).await, Err(FetchError::NotFound));
        place.assert_forbidden(&place.elsewhere.path().join("gone.ogg")).await;
    }

    #[tokio::test]
    async fn no_path_leads_out_of_the_roots() {
        let place = place();
        let (root, secret) = (place.root.path(), place.elsewhere.path().join("secret"));
        symlink(&secret, root.join("link.ogg")).unwrap();
        symlink(place.elsewhere.path(), root.join("folder")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for path in [
            secret.clone(),
            root.join("link.ogg"),
            root.join("folder/secret"),
            root.join("loop"),
            root.join("..").join(place.elsewhere.path().file_name().unwrap()).join("secret"),
            PathBuf::from("note.ogg"),
            PathBuf::from(""),
            PathBuf::from(format!("{}x/note.ogg", root.display())),
        ] {
            place.assert_forbidden(&path).await;
        }
        assert!(matches!(place.roots.read("/a\0b", 10).await, Err(FetchError::Forbidden { .. })));
    }

    #[tokio::test]
    async fn a_link_that_stays_below_the_root_is_followed() {
        let place = place();
        symlink(place.root.path().join("note.ogg"), place.root.path().join("same.ogg")).unwrap();
        assert_eq!(place.read(&place.root.path().join("same.ogg")).await.unwrap(), b"0123456789");
    }

    #[tokio::test]
    async fn folders_fifos_and_devices_are_refused_at_once() {
        let place = place();
        let fifo = place.root.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), place.assert_forbidden(&fifo));
        read.await.expect("a FIFO without a writer must not be waited for");
        place.assert_forbidden(place.root.path()).await;
        let devices = Roots::new(&[PathBuf::from("/dev")]).unwrap();
        assert!(matches!(devices.read("/dev/zero", 10).await, Err(FetchError::Forbidden { .. })));
    }

    #[test]
    fn a_root_that_is_missing_or_no_folder_is_a_configuration_error() {
        let place = place();
        for bad in [place.root.path().join("gone"), place.root.path().join("note.ogg"), PathBuf::from("src")] {
            assert!(
                matches!(Roots::new(std::slice::from_ref(&bad)), Err(SetupError::Root { .. })),
                "{}",
                bad.display()
            );
        }
    }
}
