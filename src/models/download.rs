//! Owns fetching one file over HTTPS to a `.partial` file, going on where an earlier attempt stopped.
//!
//! It never decides whether the bytes are the right ones; that is for the checksum, afterwards. A partial file is
//! continued only if the server vouches, by a strong ETag, that it still has the same file; else it starts over.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::manifest::is_safe_address;
use super::progress::Meter;
use crate::outcome::Disposition;

/// Attempts in a row that bring nothing new; each goes on where the one before was interrupted.
const ATTEMPTS: u32 = 4;
/// Before another attempt.
const PAUSE: Duration = Duration::from_millis(300);
const REDIRECTS_MAX: usize = 10;
const ETAG_BYTES_MAX: usize = 1 << 10;

#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("a TLS client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error("{host} cannot be reached from here")]
    Unreachable { host: String, source: reqwest::Error },
    #[error("{host} answered {status}")]
    Refused { host: String, status: StatusCode },
    #[error("{host} offers {offered} bytes where {expected} were expected")]
    OtherSize { host: String, expected: u64, offered: u64 },
    #[error("the download from {host} was interrupted {ATTEMPTS} times in a row")]
    Interrupted { host: String, source: reqwest::Error },
    #[error("the download from {host} ended too early, {ATTEMPTS} times in a row")]
    Short { host: String },
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl DownloadError {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Short { .. } => Disposition::Retry,
            Self::Refused { status, .. } if status.is_server_error() => Disposition::Retry,
            Self::Client(_) | Self::Refused { .. } | Self::OtherSize { .. } | Self::Write { .. } => Disposition::Fail,
        }
    }
}

/// How long the network may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connect: Duration,
    /// Without a single byte.
    pub stall: Duration,
}

/// Where the bytes go: the file, and beside it the ETag that they belong to.
#[derive(Debug, Clone)]
pub struct Partial {
    pub path: PathBuf,
    etag_path: PathBuf,
}

impl Partial {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let mut etag_path = path.clone().into_os_string();
        etag_path.push(".etag");
        Self { path, etag_path: etag_path.into() }
    }

    /// Removes all there is; what is not there needs no removing.
    pub fn discard(&self) {
        let _ = std::fs::remove_file(&self.path);
        self.forget_etag();
    }

    /// The file is whole, or not a download: it will not be continued.
    pub fn forget_etag(&self) {
        let _ = std::fs::remove_file(&self.etag_path);
    }

    /// Bytes that are there and the ETag they belong to, if they can be continued.
    async fn resumable(&self) -> Option<(u64, String)> {
        let length = fs::metadata(&self.path).await.ok()?.len();
        let etag = fs::read_to_string(&self.etag_path).await.ok()?;
        (length > 0 && is_strong(&etag)).then_some((length, etag))
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> DownloadError {
        let path = self.path.clone();
        move |source| DownloadError::Write { path, source }
    }
}

/// Fetches `url`, which must serve exactly `size_bytes`, to `partial`.
pub async fn fetch(
    url: &Url,
    size_bytes: u64,
    partial: &Partial,
    limits: Limits,
    meter: &Meter,
) -> Result<(), DownloadError> {
    let client = client(limits)?;
    let host = url.host_str().unwrap_or("the host").to_owned();
    let (mut furthest, mut barren) = (0, 0);
    loop {
        let cause = match attempt(&client, url, &host, size_bytes, partial, meter).await? {
            Ended::Complete => return Ok(()),
            Ended::Early { cause, done } => {
                barren = if done > furthest { 0 } else { barren + 1 };
                furthest = furthest.max(done);
                cause
            }
        };
        if barren >= ATTEMPTS {
            return Err(match cause {
                Some(source) => DownloadError::Interrupted { host, source },
                None => DownloadError::Short { host },
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Ended {
    Complete,
    /// After so many bytes of the file, with or without an error from the network.
    Early {
        cause: Option<reqwest::Error>,
        done: u64,
    },
}

async fn attempt(
    client: &Client,
    url: &Url,
    host: &str,
    size_bytes: u64,
    partial: &Partial,
    meter: &Meter,
) -> Result<Ended, DownloadError> {
    let resumable = partial.resumable().await.filter(|(length, _)| *length <= size_bytes);
    if resumable.as_ref().is_some_and(|(length, _)| *length == size_bytes) {
        return Ok(Ended::Complete);
    }
    let mut request = client.get(url.clone());
    if let Some((length, etag)) = &resumable {
        request = request.header(RANGE, format!("bytes={length}-")).header(IF_RANGE, etag);
    }
    let response = match request.send().await {
        Ok(response) => response,
        // The connection was there, and went.
        Err(error) if error.is_request() && !error.is_connect() && !error.is_timeout() => {
            return Ok(Ended::Early { cause: Some(error.without_url()), done: 0 });
        }
        Err(error) => {
            return Err(DownloadError::Unreachable { host: host.to_owned(), source: error.without_url() });
        }
    };
    let start = match (response.status(), &resumable) {
        (StatusCode::PARTIAL_CONTENT, Some((length, _))) if continues(response.headers(), *length, size_bytes) => {
            *length
        }
        (StatusCode::OK, _) => 0,
        (status, Some(_)) if status == StatusCode::PARTIAL_CONTENT || status == StatusCode::RANGE_NOT_SATISFIABLE => {
            // It is not the file that was begun: the next attempt starts over.
            partial.discard();
            return Ok(Ended::Early { cause: None, done: 0 });
        }
        (status, _) => return Err(DownloadError::Refused { host: host.to_owned(), status }),
    };
    let wrong_size = |offered| DownloadError::OtherSize { host: host.to_owned(), expected: size_bytes, offered };
    if let Some(offered) = response.content_length().map(|rest| rest + start).filter(|all| *all != size_bytes) {
        return Err(wrong_size(offered));
    }
    let mut file = open(partial, start, response.headers()).await?;
    let mut done = start;
    let ended = receive(response, &mut file, &mut done, size_bytes, partial, meter).await;
    // Whatever has come is worth keeping.
    file.flush().await.map_err(partial.failed())?;
    let cause = ended?;
    match done {
        _ if done > size_bytes => {
            partial.discard();
            Err(wrong_size(done))
        }
        _ if done == size_bytes => Ok(Ended::Complete),
        _ => Ok(Ended::Early { cause, done }),
    }
}

/// Writes what comes, but not much more than was expected; what stopped it, if the network did.
async fn receive(
    response: Response,
    file: &mut File,
    done: &mut u64,
    size_bytes: u64,
    partial: &Partial,
    meter: &Meter,
) -> Result<Option<reqwest::Error>, DownloadError> {
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Some(error.without_url())),
        };
        *done += chunk.len() as u64;
        if *done > size_bytes {
            break;
        }
        file.write_all(&chunk).await.map_err(partial.failed())?;
        meter.set(*done);
    }
    Ok(None)
}

async fn open(partial: &Partial, start: u64, headers: &HeaderMap) -> Result<File, DownloadError> {
    if start > 0 {
        return OpenOptions::new().append(true).open(&partial.path).await.map_err(partial.failed());
    }
    // In this order, so that no ETag ever stands beside another file's bytes.
    partial.forget_etag();
    let file = File::create(&partial.path).await.map_err(partial.failed())?;
    if let Some(etag) = headers.get(ETAG).and_then(|value| value.to_str().ok()).filter(|etag| is_strong(etag)) {
        fs::write(&partial.etag_path, etag).await.map_err(partial.failed())?;
    }
    Ok(file)
}

/// Only a strong ETag promises the same bytes.
fn is_strong(etag: &str) -> bool {
    etag.len() <= ETAG_BYTES_MAX && etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')
}

/// Whether the answer is the rest of the file from `start`.
fn continues(headers: &HeaderMap, start: u64, size_bytes: u64) -> bool {
    let expected = format!("bytes {start}-{}/{size_bytes}", size_bytes - 1);
    headers.get(CONTENT_RANGE).is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

fn client(limits: Limits) -> Result<Client, DownloadError> {
    // One provider serves the whole process; whoever comes second finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = redirect::Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("too many redirects")
        } else if is_safe_address(attempt.url()) {
            attempt.follow()
        } else {
            attempt.error("a redirect leaves https")
        }
    });
    Client::builder()
        .user_agent(concat!("sprachpost/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .read_timeout(limits.stall)
        .redirect(redirects)
        .build()
        .map_err(DownloadError::Client)
}
