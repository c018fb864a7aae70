//! Owns the way from [`AudioSource`] to bytes, within limits, from nowhere but where the operator allows.
//!
//! What a note points to is data from outside: every address, redirect, resolved IP address, path and bucket is
//! checked against the configuration, and no error repeats any of them. This module knows nothing of audio.

mod address;
mod file;
mod http;
mod object;
mod web;

use std::{path::PathBuf, time::Duration};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

pub(crate) use self::address::is_public;
pub use self::web::{Credential, Sites, Web};
use self::{address::Allowed, file::Roots, http::Http, object::Store};
use crate::{
    config::{Secret, SecretError},
    event::Reason,
    note::AudioSource,
    outcome::Disposition,
};

/// From where audio may be fetched, and how much. Without hosts, roots or a store, notes must carry their audio inline.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes of one note's audio; what goes beyond is never taken into memory.
    pub bytes_max: u64,
    /// Bytes of audio that a message itself may carry, before base64.
    pub inline_bytes_max: u64,
    /// Hosts that audio may be fetched from over https: `media.example.com`, or `*.example.com` for everything below it.
    pub hosts: Vec<String>,
    /// Those of `hosts`, by exact name, whose addresses may lie in private, loopback or link-local networks. All
    /// others are refused if they resolve to such an address.
    pub private_hosts: Vec<String>,
    /// Those of `hosts`, by exact name, that may be asked over plain http.
    pub allow_http_hosts: Vec<String>,
    /// An http proxy for all addresses and the object store. It resolves names itself, so that private addresses are
    /// for it to refuse.
    pub proxy: Option<Url>,
    /// Redirects that are followed for one note, each only to one of `hosts`.
    pub redirects_max: u32,
    /// Seconds for a connection to be made.
    pub connect_s_max: u32,
    /// Seconds that a source may stay silent in between.
    pub read_s_max: u32,
    /// Seconds for everything together.
    pub total_s_max: u32,
    /// Folders below which files may be read. A symbolic link that leads out of them is refused.
    pub file_roots: Vec<PathBuf>,
    /// A store that speaks the S3 protocol.
    pub object_store: Option<ObjectStoreConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            inline_bytes_max: 1 << 20,
            hosts: Vec::new(),
            private_hosts: Vec::new(),
            allow_http_hosts: Vec::new(),
            proxy: None,
            redirects_max: 3,
            connect_s_max: 5,
            read_s_max: 15,
            total_s_max: 60,
            file_roots: Vec::new(),
            object_store: None,
        }
    }
}

/// An S3-compatible object store. Its host needs no place in `hosts` and may be private.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectStoreConfig {
    /// For example `https://s3.example.com`; buckets are the first part of the path.
    pub endpoint: Url,
    /// For example `eu-central-1`.
    pub region: String,
    /// Buckets that notes may name.
    pub buckets: Vec<String>,
    /// Where the access key is found.
    pub access_key: Secret,
    /// Where the secret key is found.
    pub secret_key: Secret,
}

/// Why fetching cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("fetch.file_roots: {path} cannot be used")]
    Root {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("fetch.{field}: {name:?} is no host name; write it without scheme, port or path")]
    Host { field: &'static str, name: String },
    #[error("fetch.{field}: {name:?} stands in fetch.hosts neither by itself nor below a wildcard")]
    NotAHost { field: &'static str, name: String },
    #[error("fetch.object_store: a key is missing")]
    Secret(#[from] SecretError),
    #[error("fetch.object_store.endpoint is no http or https address without a query")]
    Endpoint,
    #[error("no connection can be made from here; are root certificates installed (package ca-certificates)?")]
    Client(#[source] reqwest::Error),
}

/// Why audio could not be fetched. No text names an address, a path or a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("the audio in the message is not valid base64")]
    NotBase64,
    #[error("the audio in the message is larger than fetch.inline_bytes_max, {inline_bytes_max} bytes")]
    InlineTooLarge { inline_bytes_max: u64 },
    #[error("the audio is larger than fetch.bytes_max, {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("the audio may not be fetched: {why}")]
    Forbidden { why: &'static str },
    #[error("the source refuses the audio with status {status}")]
    Refused { status: u16 },
    #[error("the source has no such audio")]
    NotFound,
    #[error("the source cannot be reached: {why}")]
    Unreachable { why: &'static str },
    #[error("the source answers with status {status}")]
    Unavailable { status: u16 },
    #[error("the source did not send the audio within {limit_s} s")]
    TimedOut { limit_s: u32 },
}

impl FetchError {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::NotBase64
            | Self::InlineTooLarge { .. }
            | Self::TooLarge { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::NotFound => Disposition::Fail,
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::TimedOut { .. } => Disposition::Retry,
        }
    }

    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotBase64 | Self::InlineTooLarge { .. } => Reason::InvalidInlineAudio,
            Self::TooLarge { .. } => Reason::AudioTooLarge,
            Self::Forbidden { .. } | Self::Refused { .. } => Reason::SourceForbidden,
            Self::NotFound => Reason::AudioNotFound,
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::TimedOut { .. } => Reason::AudioUnreachable,
        }
    }
}

/// Fetches audio. One serves the whole process; it keeps connections open between notes.
pub struct Fetcher {
    bytes_max: u64,
    inline_bytes_max: u64,
    total_s_max: u32,
    roots: Roots,
    /// None where neither hosts nor a store are configured.
    http: Option<Http>,
    store: Option<Store>,
}

impl Fetcher {
    /// Checks the configuration and reads the store's keys; it connects to nothing.
    ///
    /// # Errors
    /// [`SetupError`] says which setting is wrong.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let store = config.object_store.as_ref().map(Store::new).transpose()?;
        let allowed = Allowed::new(config)?;
        let needs_http = !config.hosts.is_empty() || store.is_some();
        Ok(Self {
            bytes_max: config.bytes_max,
            inline_bytes_max: config.inline_bytes_max,
            total_s_max: config.total_s_max,
            roots: Roots::new(&config.file_roots)?,
            http: needs_http.then(|| Http::new(config, allowed)).transpose()?,
            store,
        })
    }

    /// The bytes of a note's audio.
    ///
    /// # Errors
    /// [`FetchError`] says whether another attempt may help.
    pub async fn fetch(&self, source: &AudioSource) -> Result<Vec<u8>, FetchError> {
        let limit = Duration::from_secs(self.total_s_max.into());
        let timed_out = FetchError::TimedOut { limit_s: self.total_s_max };
        tokio::time::timeout(limit, self.fetch_unlimited(source)).await.unwrap_or(Err(timed_out))
    }

    /// Writes an object to the configured store; it replaces one of the same key.
    ///
    /// # Errors
    /// [`FetchError`], read the other way: [`FetchError::Forbidden`] where there is no such store or bucket.
    pub async fn put_object(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<(), FetchError> {
        let (store, http) = self.object_store()?;
        let limit = Duration::from_secs(self.total_s_max.into());
        let put = http.put_object(store.address_to_write(bucket, key)?, bytes);
        tokio::time::timeout(limit, put).await.unwrap_or(Err(FetchError::TimedOut { limit_s: self.total_s_max }))
    }

    /// Whether objects of this bucket with such keys can be read and written, as far as the configuration says.
    ///
    /// # Errors
    /// [`FetchError::Forbidden`].
    pub fn check_object(&self, bucket: &str, key: &str) -> Result<(), FetchError> {
        self.object_store()?.0.address_to_write(bucket, key).map(drop)
    }

    fn object_store(&self) -> Result<(&Store, &Http), FetchError> {
        self.store.as_ref().zip(self.http.as_ref()).ok_or(FetchError::Forbidden { why: NO_STORE })
    }

    async fn fetch_unlimited(&self, source: &AudioSource) -> Result<Vec<u8>, FetchError> {
        match source {
            AudioSource::Inline { data } => self.inline(data),
            AudioSource::File { path } => self.roots.read(path, self.bytes_max).await,
            AudioSource::Url { url } => match &self.http {
                Some(http) => http.get(url.clone()).await,
                None => Err(FetchError::Forbidden { why: "fetch.hosts is empty" }),
            },
            AudioSource::Object { bucket, key } => {
                let (store, http) = self.object_store()?;
                http.get_object(store.address(bucket, key)?).await
            }
        }
    }

    fn inline(&self, data: &str) -> Result<Vec<u8>, FetchError> {
        let decoded_bytes_min = data.len() as u64 / 4 * 3;
        if decoded_bytes_min > self.inline_bytes_max.saturating_add(3) {
            return Err(FetchError::InlineTooLarge { inline_bytes_max: self.inline_bytes_max });
        }
        let bytes = BASE64.decode(data).map_err(|_| FetchError::NotBase64)?;
        if bytes.len() as u64 > self.inline_bytes_max {
            return Err(FetchError::InlineTooLarge { inline_bytes_max: self.inline_bytes_max });
        }
        Ok(bytes)
    }
}

impl std::fmt::Debug for Fetcher {
    /// Without the store's keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

const NO_STORE: &str = "no fetch.object_store is configured";

/// Producers differ about padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests;
