//! Owns the request to an OpenAI-compatible endpoint, within limits, and what may be asked at all. It knows nothing of
//! templates; neither an address nor a body ever becomes part of an error or a log.

use std::{net::SocketAddr, time::Duration};

use reqwest::{
    Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{ACCEPT, CONTENT_TYPE},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use super::{Config, SetupError};
use crate::{audio::fetch::is_public, event::DraftRefused, http_client, private::Private};

pub struct Endpoint {
    client: Client,
    completions: Url,
    api_key: Option<SecretString>,
    total: Duration,
    answer_bytes_max: usize,
}

/// The part of an answer that is looked at.
#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

impl Endpoint {
    /// Connects to nothing.
    pub fn new(config: &Config, url: &Url) -> Result<Self, SetupError> {
        check(config, url)?;
        let mut completions = url.clone();
        completions
            .path_segments_mut()
            .map_err(|()| SetupError::Address)?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        let public = allows_public(config, url);
        let client = http_client::builder(config.connect_s_max, config.total_s_max).dns_resolver(Resolver { public });
        Ok(Self {
            client: client.build().map_err(SetupError::Client)?,
            completions,
            api_key: config.api_key.as_ref().map(crate::config::Secret::read).transpose()?,
            total: Duration::from_secs(config.total_s_max.into()),
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    /// What the model answers: the text of its first choice.
    pub async fn ask(&self, request: &Value) -> Result<Private, DraftRefused> {
        tokio::time::timeout(self.total, self.answer(request)).await.unwrap_or(Err(DraftRefused::TimedOut))
    }

    async fn answer(&self, request: &Value) -> Result<Private, DraftRefused> {
        let mut post = self.client.post(self.completions.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.api_key {
            post = post.bearer_auth(key.expose_secret());
        }
        let post = post.header(ACCEPT, "application/json").body(request.to_string());
        let mut response = post.send().await.map_err(|error| failed(&error))?;
        judge(response.status())?;
        // Nothing is reserved for what a header promises.
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + chunk.len() > self.answer_bytes_max {
                return Err(DraftRefused::UnexpectedAnswer);
            }
            body.extend_from_slice(&chunk);
        }
        let completion: Completion = serde_json::from_slice(&body).map_err(|_| DraftRefused::UnexpectedAnswer)?;
        let first = completion.choices.into_iter().next().ok_or(DraftRefused::UnexpectedAnswer)?;
        // Half a reply is none.
        if first.finish_reason.is_some_and(|why| why != "stop") {
            return Err(DraftRefused::UnexpectedAnswer);
        }
        first.message.content.map(Private::from).ok_or(DraftRefused::UnexpectedAnswer)
    }
}

/// The client's error names the address, so it goes no further than here.
fn failed(error: &reqwest::Error) -> DraftRefused {
    if error.is_timeout() { DraftRefused::TimedOut } else { DraftRefused::Unreachable }
}

fn judge(status: StatusCode) -> Result<(), DraftRefused> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(DraftRefused::Unreachable)
        }
        status if status.is_server_error() => Err(DraftRefused::Unreachable),
        status if status.is_client_error() => Err(DraftRefused::Denied),
        // A redirect, too: customers' words go where the operator said, and nowhere else.
        _ => Err(DraftRefused::UnexpectedAnswer),
    }
}

fn check(config: &Config, url: &Url) -> Result<(), SetupError> {
    let plain = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || plain || url.fragment().is_some() {
        return Err(SetupError::Address);
    }
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => Some(ip.into()),
        Some(Host::Ipv6(ip)) => Some(ip.into()),
        _ => None,
    };
    if ip.is_some_and(is_public) && !allows_public(config, url) {
        return Err(SetupError::Public);
    }
    Ok(())
}

/// Names are held to this when they are resolved.
fn allows_public(config: &Config, url: &Url) -> bool {
    config.allow_public && (url.scheme() == "https" || config.allow_public_http)
}

/// Resolves names, and drops addresses that are not in the operator's network, unless they are allowed.
struct Resolver {
    public: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public = self.public;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable: Vec<SocketAddr> = found.filter(|address| public || !is_public(address.ip())).collect();
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(url: &str, config: &Config) -> Result<Endpoint, SetupError> {
        Endpoint::new(config, &url.parse().unwrap())
    }

    #[test]
    fn an_endpoint_lies_in_the_operators_network_unless_he_says_otherwise() {
        for url in ["http://127.0.0.1:8080/v1", "http://10.1.2.3/v1", "http://[fd00::1]/v1", "https://llm.internal/v1"]
        {
            let endpoint = opened(url, &Config::default()).unwrap();
            assert!(endpoint.completions.path().ends_with("/v1/chat/completions"));
        }
        let public = Config { allow_public: true, ..Config::default() };
        for url in ["http://93.184.216.34/v1", "https://93.184.216.34/v1"] {
            assert!(matches!(opened(url, &Config::default()), Err(SetupError::Public)), "{url}");
        }
        assert!(opened("https://93.184.216.34/v1", &public).is_ok());
        assert!(matches!(opened("http://93.184.216.34/v1", &public), Err(SetupError::Public)));
        assert!(opened("http://93.184.216.34/v1", &Config { allow_public_http: true, ..public }).is_ok());
    }

    #[test]
    fn an_address_that_carries_more_than_a_place_is_refused() {
        for url in ["ftp://127.0.0.1/v1", "http://user:pw@127.0.0.1/v1", "http://127.0.0.1/v1?key=1", "mailto:a@b.de"] {
            assert!(matches!(opened(url, &Config::default()), Err(SetupError::Address)), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_held_to_the_same_rule_when_it_is_resolved() {
        let found = Resolver { public: false }.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.count() > 0);
    }
}
