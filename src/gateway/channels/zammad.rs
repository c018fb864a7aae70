//! Owns Zammad as a channel: an article that a customer wrote there, with a recording attached.
//!
//! The ticket is the one that the article belongs to. A webhook holds no attachments, only their numbers; they are fetched
//! with a token of Zammad's own.

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    Incoming, Media, MediaError, Parsed, Place, Platform, Refused, Remote, SetupError,
    signature::{Algorithm, check_hmac},
};
use crate::{
    audio::fetch::{self, Credential, FetchError, Sites, Web},
    config::Secret,
    note::Channel,
    private::Private,
};

const SIGNATURE: &str = "x-hub-signature";
const AUTHORIZATION: &str = "authorization";
/// What recordings are called, for mail programs that say of every file that it is `application/octet-stream`.
const AUDIO: [&str; 10] = ["ogg", "oga", "opus", "mp3", "m4a", "aac", "wav", "amr", "flac", "weba"];

/// A Zammad with a trigger that calls a webhook for new articles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The webhook's HMAC-SHA1 signature token.
    pub signature_token: Secret,
    /// An access token with the permission `ticket.agent`.
    pub api_token: Secret,
    /// Where Zammad is.
    pub url: Url,
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.signature_token, &self.api_token]
    }
}

/// One Zammad, ready.
#[derive(Debug)]
pub struct Zammad {
    signature_token: SecretString,
    /// As it stands in the header.
    authorization: SecretString,
    url: Url,
    web: Web,
}

impl Zammad {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let authorization = format!("Token token={}", config.api_token.read()?.expose_secret());
        Ok(Self {
            signature_token: config.signature_token.read()?,
            authorization: authorization.into(),
            url: super::folder("url", &config.url)?,
            web: Web::new(limits, &Sites { servers: vec![config.url.clone()], media_hosts: vec![] })?,
        })
    }
}

#[async_trait]
impl Platform for Zammad {
    /// `sha1=<hex>` over the body.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let header = headers.get(SIGNATURE).ok_or(Refused::Unsigned)?;
        let given =
            header.to_str().ok().and_then(|header| header.strip_prefix("sha1=")).ok_or(Refused::WrongSignature)?;
        check_hmac(Algorithm::Sha1, &self.signature_token, &[body], given)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let event: Value = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        if !event.is_object() {
            return Err(Refused::Malformed);
        }
        let mut parsed = Parsed::default();
        let article = &event["article"];
        let attachments = article["attachments"].as_array().filter(|_| article["sender"] == "Customer");
        for attachment in attachments.into_iter().flatten() {
            parsed.take(attachment, is_audio, |file| incoming(&event, file));
        }
        if attachments.is_none_or(Vec::is_empty) {
            parsed.ignored += 1;
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::File(numbers) = &media.place else { return Err(FetchError::NotFound.into()) };
        let url = self.url.join(&format!("api/v1/ticket_attachment/{numbers}")).map_err(|_| FetchError::NotFound)?;
        let credential = Credential::Header(AUTHORIZATION, &self.authorization);
        self.web.get_with(url, credential).await.map_err(MediaError::refused)
    }
}

fn is_audio(file: &Value) -> bool {
    let kinds = ["Content-Type", "Mime-Type", "content-type"].map(|name| file["preferences"][name].as_str());
    let says_so = kinds.into_iter().flatten().any(|kind| kind.starts_with("audio/"));
    let extension = file["filename"].as_str().and_then(|name| name.rsplit_once('.')).map(|(_, end)| end.to_lowercase());
    says_so || extension.is_some_and(|extension| AUDIO.contains(&extension.as_str()))
}

fn incoming(event: &Value, file: &Value) -> Option<Incoming> {
    let (ticket, article) =
        (Ticket::deserialize(&event["ticket"]).ok()?, Article::deserialize(&event["article"]).ok()?);
    let file = File::deserialize(file).ok()?;
    let numbers = format!("{}/{}/{}", ticket.id, article.id, file.id);
    let bytes = file.size.as_ref().and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok()));
    let remote = Remote { bytes, ..Remote::file(numbers) };
    let customer = article.origin_by_id.or(ticket.customer_id);
    Some(Incoming {
        conversation: Some(Private::new(ticket.id.to_string())),
        sender: customer.map(|id| Private::new(format!("user {id}"))),
        ticket: Some(ticket.id.to_string()),
        sent_at: article.created_at,
        channel: messenger(article.kind.as_deref().unwrap_or_default()),
        ..Incoming::new(format!("zammad:{}:{}", article.id, file.id), Media::Remote(remote))
    })
}

/// The messenger behind it, under the name that its notes have when they come from there directly.
fn messenger(kind: &str) -> Option<Channel> {
    let name = match kind {
        "whatsapp message" => "whatsapp",
        "telegram personal-message" => "telegram",
        "email" => "email",
        "sms" => "sms",
        _ => return None,
    };
    name.parse().ok()
}

#[derive(Deserialize)]
struct Ticket {
    id: u64,
    customer_id: Option<u64>,
}

#[derive(Deserialize)]
struct Article {
    id: u64,
    origin_by_id: Option<u64>,
    created_at: Option<Timestamp>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct File {
    id: u64,
    size: Option<Value>,
}
