//! Owns requests that the gateway makes for media: the same rules as for notes, on hosts of the channel's own.

use std::time::Duration;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use url::Url;

use super::{Config, FetchError, SetupError, address::Allowed, http::Http};

/// Where one channel's media may come from.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    /// Servers that the operator named himself. They may be private, and are asked over http where they are named so.
    pub servers: Vec<Url>,
    /// Hosts that a platform's answer may lead to, as in `fetch.hosts`; https only, public addresses only.
    pub media_hosts: Vec<String>,
}

/// What shows a server who asks. Nobody sees it but the host that is asked first.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// `Authorization: Bearer …`.
    Bearer(&'a SecretString),
    /// A header of the server's own.
    Header(&'static str, &'a SecretString),
}

/// Fetches from [`Sites`] and nowhere else.
pub struct Web {
    http: Http,
    total_s_max: u32,
}

impl Web {
    /// `limits` are those for all audio; its hosts do not count here. Connects to nothing.
    ///
    /// # Errors
    /// [`SetupError`] says which host is none.
    pub fn new(limits: &Config, sites: &Sites) -> Result<Self, SetupError> {
        let named = |wanted: fn(&Url) -> bool| {
            sites.servers.iter().filter(|url| wanted(url)).filter_map(|url| url.host_str().map(str::to_owned)).collect()
        };
        let servers: Vec<String> = named(|_| true);
        let config = Config {
            hosts: sites.media_hosts.iter().cloned().chain(servers.iter().cloned()).collect(),
            private_hosts: servers,
            allow_http_hosts: named(|url| url.scheme() == "http"),
            object_store: None,
            ..limits.clone()
        };
        let allowed = Allowed::new(&config)?;
        Ok(Self { http: Http::new(&config, allowed)?, total_s_max: config.total_s_max })
    }

    /// The bytes at an address. `bearer` is shown to its host only, never to one that it redirects to.
    ///
    /// # Errors
    /// [`FetchError`]; its text repeats nothing of the address.
    pub async fn get(&self, url: Url, bearer: Option<&SecretString>) -> Result<Vec<u8>, FetchError> {
        self.get_as(url, bearer.map(Credential::Bearer)).await
    }

    /// The same with any credential.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn get_with(&self, url: Url, credential: Credential<'_>) -> Result<Vec<u8>, FetchError> {
        self.get_as(url, Some(credential)).await
    }

    async fn get_as(&self, url: Url, credential: Option<Credential<'_>>) -> Result<Vec<u8>, FetchError> {
        let limit = Duration::from_secs(self.total_s_max.into());
        let timed_out = FetchError::TimedOut { limit_s: self.total_s_max };
        tokio::time::timeout(limit, self.http.get_as(url, credential)).await.unwrap_or(Err(timed_out))
    }

    /// What a platform's interface says at an address; none where that is not of the shape that is wanted.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        url: Url,
        bearer: Option<&SecretString>,
    ) -> Result<Option<T>, FetchError> {
        Ok(serde_json::from_slice(&self.get(url, bearer).await?).ok())
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}
