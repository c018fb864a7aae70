//! Owns Threema Gateway in end-to-end mode: callbacks that only we can read, and files that nobody else can.
//!
//! A message is a NaCl box from the sender's key to ours; a file lies encrypted on Threema's servers, under a key that
//! the message holds. The sender's public key is asked for once. Threema's own crate brings a client with a second
//! implementation of TLS, so the few primitives are used directly.

use async_trait::async_trait;
use axum::http::HeaderMap;
use crypto_box::{PublicKey, SalsaBox, SecretKey, aead::Aead as _};
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::{
    Incoming, Media, MediaError, NotRead, Parsed, Place, Platform, Refused, Remote, SetupError,
    known::Known,
    signature::{Algorithm, check_hmac},
};
use crate::{
    audio::fetch::{self, FetchError, Sites, Web},
    config::Secret,
    hex::unhex,
    private::Private,
};

/// The kind of message that a file is.
const FILE: u8 = 0x17;
/// Every file has a key of its own, so all have the same nonce.
const FILE_NONCE: [u8; 24] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// What the MAC is over, in this order.
const SIGNED: [&str; 6] = ["from", "to", "messageId", "date", "nonce", "box"];

/// A gateway id in end-to-end mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The id, for example `*MUSTER1`.
    pub gateway_id: String,
    /// The secret that belongs to it.
    pub api_secret: Secret,
    /// The private key: 64 digits in hex.
    pub private_key: Secret,
    /// Threema's interface.
    #[serde(default = "api")]
    pub api: Url,
}

#[expect(clippy::expect_used, reason = "a constant that a test reads")]
fn api() -> Url {
    "https://msgapi.threema.ch/".parse().expect("this constant is an address")
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.api_secret, &self.private_key]
    }
}

/// One id, ready.
pub struct Threema {
    gateway_id: String,
    api_secret: SecretString,
    private_key: SecretKey,
    api: Url,
    web: Web,
    /// Public keys by the ids that they belong to. Those of an id never change.
    keys: Known<PublicKey>,
}

impl std::fmt::Debug for Threema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threema").finish_non_exhaustive()
    }
}

impl Threema {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let wrong = SetupError::Setting { field: "private_key", what: "it has to be 64 digits in hex" };
        let private_key = config.private_key.read()?;
        let digits = private_key.expose_secret().trim().trim_start_matches("private:");
        let private_key = unhex(digits).and_then(|key| <[u8; 32]>::try_from(key).ok()).ok_or(wrong)?;
        Ok(Self {
            gateway_id: config.gateway_id.clone(),
            api_secret: config.api_secret.read()?,
            private_key: SecretKey::from(private_key),
            api: super::folder("api", &config.api)?,
            web: Web::new(limits, &Sites { servers: vec![config.api.clone()], media_hosts: vec![] })?,
            keys: Known::default(),
        })
    }

    /// Below Threema's interface, with our credentials, which stand in the address.
    fn address(&self, folder: &str, name: &str) -> Result<Url, MediaError> {
        let mut url = self.api.clone();
        let mut path = url.path_segments_mut().map_err(|()| FetchError::NotFound)?;
        path.pop_if_empty().extend([folder, name]);
        drop(path);
        let secret = self.api_secret.expose_secret();
        url.query_pairs_mut().append_pair("from", &self.gateway_id).append_pair("secret", secret);
        Ok(url)
    }

    /// Asks for the sender's key, where it is not known yet.
    async fn learn_key(&self, from: &str) -> Result<(), MediaError> {
        if self.keys.get(from).is_some() {
            return Ok(());
        }
        let answer = match self.web.get(self.address("pubkeys", from)?, None).await {
            // An id that was revoked since: the message cannot be read.
            Err(FetchError::NotFound) => return Ok(()),
            answer => answer.map_err(MediaError::refused)?,
        };
        let key = std::str::from_utf8(&answer).ok().and_then(|digits| unhex(digits.trim()));
        let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok());
        self.keys.add(from, PublicKey::from(key.ok_or(MediaError::Unexpected { what: "a public key that is none" })?));
        Ok(())
    }

    /// The message in the box, without its padding. None if it is not from that sender to us.
    fn unbox(&self, callback: &Callback) -> Option<Vec<u8>> {
        let sender = self.keys.get(&callback.from)?;
        let nonce = <[u8; 24]>::try_from(unhex(&callback.nonce)?).ok()?;
        let sealed = unhex(&callback.sealed)?;
        let mut message = SalsaBox::new(&sender, &self.private_key).decrypt(&nonce.into(), &*sealed).ok()?;
        let padding = usize::from(*message.last()?);
        let length = message.len().checked_sub(padding).filter(|length| padding > 0 && *length > 0)?;
        message.truncate(length);
        Some(message)
    }
}

#[async_trait]
impl Platform for Threema {
    fn verify(&self, _headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let mut parts: [Vec<u8>; SIGNED.len()] = Default::default();
        let mut mac = None;
        for (name, value) in form_urlencoded::parse(body) {
            if let Some(place) = SIGNED.iter().position(|signed| *signed == name) {
                parts[place] = value.into_owned().into_bytes();
            } else if name == "mac" {
                mac = Some(value.into_owned());
            }
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        check_hmac(Algorithm::Sha256, &self.api_secret, &parts, &mac.ok_or(Refused::Unsigned)?)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let callback = Callback::read(body).ok_or(Refused::Malformed)?;
        let mut parsed = Parsed::default();
        if callback.to != self.gateway_id {
            parsed.ignored += 1;
            return Ok(parsed);
        }
        match self.unbox(&callback) {
            Some(message) => match message.split_first() {
                Some((&FILE, json)) => {
                    let file: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
                    let is_audio =
                        |file: &serde_json::Value| file["m"].as_str().is_some_and(|m| m.starts_with("audio/"));
                    parsed.take(&file, is_audio, |file| incoming(&callback, file));
                }
                _ => parsed.ignored += 1,
            },
            // It may have been a note; nobody can tell.
            None => parsed.unreadable += 1,
        }
        Ok(parsed)
    }

    async fn read(&self, body: &[u8]) -> Result<Parsed, NotRead> {
        let callback = Callback::read(body).ok_or(Refused::Malformed)?;
        if callback.to == self.gateway_id {
            self.learn_key(&callback.from).await?;
        }
        Ok(self.parse(body)?)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let (Place::File(blob), Some(key)) = (&media.place, &media.key) else {
            return Err(FetchError::NotFound.into());
        };
        let key =
            unhex(key.expose()).and_then(|key| <[u8; 32]>::try_from(key).ok()).ok_or(MediaError::Undecryptable)?;
        let sealed = self.web.get(self.address("blobs", blob)?, None).await.map_err(MediaError::refused)?;
        let opened = XSalsa20Poly1305::new(&key.into()).decrypt(&FILE_NONCE.into(), &*sealed);
        opened.map_err(|_| MediaError::Undecryptable)
    }
}

/// A callback's fields, as they came.
struct Callback {
    from: String,
    to: String,
    message_id: String,
    date: String,
    nonce: String,
    sealed: String,
}

impl Callback {
    fn read(body: &[u8]) -> Option<Self> {
        let field = |wanted: &str| {
            // The last one, as for the MAC.
            let fields = form_urlencoded::parse(body);
            fields.filter(|(name, _)| name == wanted).last().map(|(_, value)| value.into_owned())
        };
        let callback = Self {
            from: field("from")?,
            to: field("to")?,
            message_id: field("messageId")?,
            date: field("date")?,
            nonce: field("nonce")?,
            sealed: field("box")?,
        };
        // Both become parts of an address.
        let is_id = |id: &str| id.len() == 8 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'*');
        (is_id(&callback.from) && is_id(&callback.to)).then_some(callback)
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "b")]
    blob: String,
    #[serde(rename = "k")]
    key: Private,
    #[serde(rename = "s")]
    bytes: Option<u64>,
}

fn incoming(callback: &Callback, file: &serde_json::Value) -> Option<Incoming> {
    let file = File::deserialize(file).ok()?;
    let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex(&file.blob, 32) || !is_hex(file.key.expose(), 64) || !is_hex(&callback.message_id, 16) {
        return None;
    }
    let remote = Remote { key: Some(file.key), bytes: file.bytes, ..Remote::file(file.blob) };
    // The sender chooses the message's number: it is unique for that sender only, who is not to be named here.
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}:{}", callback.from, callback.message_id).as_bytes());
    Some(Incoming {
        conversation: Some(Private::new(callback.from.clone())),
        sender: Some(Private::new(callback.from.clone())),
        sent_at: callback.date.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()),
        ..Incoming::new(id.to_string(), Media::Remote(remote))
    })
}
