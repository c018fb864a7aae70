//! Owns requests over HTTP: redirects, limits, and what a status or a broken connection means.

use reqwest::{Client, Proxy, Response, StatusCode, header::LOCATION};
use secrecy::ExposeSecret as _;
use url::Url;

use super::{
    Config, FetchError, SetupError,
    address::{Allowed, forbidden_address},
    web::Credential,
};
use crate::http_client;

pub(super) struct Http {
    client: Client,
    allowed: Allowed,
    redirects_max: u32,
    bytes_max: u64,
    read_s_max: u32,
}

impl Http {
    pub(super) fn new(config: &Config, allowed: Allowed) -> Result<Self, SetupError> {
        let servers_of_his_own = config.proxy.iter().chain(config.object_store.as_ref().map(|store| &store.endpoint));
        let trusted: Vec<String> = servers_of_his_own.filter_map(|url| url.host_str().map(str::to_owned)).collect();
        let mut client =
            http_client::builder(config.connect_s_max, config.read_s_max).dns_resolver(allowed.resolver(trusted));
        if let Some(proxy) = &config.proxy {
            client = client.proxy(Proxy::all(proxy.clone()).map_err(SetupError::Client)?);
        }
        Ok(Self {
            client: client.build().map_err(SetupError::Client)?,
            allowed,
            redirects_max: config.redirects_max,
            bytes_max: config.bytes_max,
            read_s_max: config.read_s_max,
        })
    }

    /// Audio from an address that a note names. Redirects are followed as long as each leads to where it may.
    pub(super) async fn get(&self, url: Url) -> Result<Vec<u8>, FetchError> {
        self.get_as(url, None).await
    }

    /// The same with a token, which nobody sees but the host that is asked first.
    pub(super) async fn get_as(&self, mut url: Url, credential: Option<Credential<'_>>) -> Result<Vec<u8>, FetchError> {
        let origin = url.origin();
        for _ in 0..=self.redirects_max {
            self.allowed.check(&url)?;
            let credential = credential.filter(|_| url.origin() == origin);
            let response = self.request(url.clone(), credential).await?;
            match redirect_target(&url, &response)? {
                Some(next) => url = next,
                None => return self.body(response).await,
            }
        }
        Err(FetchError::Forbidden { why: "there are more redirects than fetch.redirects_max" })
    }

    /// Audio from a signed address in the operator's own store, which has no reason to redirect.
    pub(super) async fn get_object(&self, signed: Url) -> Result<Vec<u8>, FetchError> {
        let response = self.request(signed, None).await?;
        self.body(response).await
    }

    /// Writes to a signed address in the operator's own store.
    pub(super) async fn put_object(&self, signed: Url, bytes: Vec<u8>) -> Result<(), FetchError> {
        let response = self.client.put(signed).body(bytes).send().await.map_err(|error| self.failed(&error))?;
        judge(response.status())
    }

    async fn request(&self, url: Url, credential: Option<Credential<'_>>) -> Result<Response, FetchError> {
        let mut request = self.client.get(url);
        request = match credential {
            Some(Credential::Bearer(token)) => request.bearer_auth(token.expose_secret()),
            Some(Credential::Header(name, value)) => request.header(name, value.expose_secret()),
            None => request,
        };
        request.send().await.map_err(|error| self.failed(&error))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, FetchError> {
        judge(response.status())?;
        let too_large = FetchError::TooLarge { bytes_max: self.bytes_max };
        if response.content_length().is_some_and(|bytes| bytes > self.bytes_max) {
            return Err(too_large);
        }
        // Nothing is reserved for what a header promises.
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if (body.len() + chunk.len()) as u64 > self.bytes_max {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The client's error names the address, so it goes no further than here.
    fn failed(&self, error: &reqwest::Error) -> FetchError {
        if let Some(forbidden) = forbidden_address(error) {
            forbidden
        } else if error.is_timeout() && !error.is_connect() {
            FetchError::TimedOut { limit_s: self.read_s_max }
        } else if error.is_connect() {
            FetchError::Unreachable { why: "no connection" }
        } else {
            FetchError::Unreachable { why: "the connection broke" }
        }
    }
}

fn redirect_target(from: &Url, response: &Response) -> Result<Option<Url>, FetchError> {
    use StatusCode as S;
    let status = response.status();
    if ![S::MOVED_PERMANENTLY, S::FOUND, S::SEE_OTHER, S::TEMPORARY_REDIRECT, S::PERMANENT_REDIRECT].contains(&status) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| from.join(location).ok());
    target.map(Some).ok_or(FetchError::Refused { status: status.as_u16() })
}

fn judge(status: StatusCode) -> Result<(), FetchError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(FetchError::NotFound),
        // Come back later.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(FetchError::Unavailable { status: status.as_u16() })
        }
        status if status.is_server_error() => Err(FetchError::Unavailable { status: status.as_u16() }),
        status => Err(FetchError::Refused { status: status.as_u16() }),
    }
}
