//! Owns WAHA, a server of one's own that speaks WhatsApp's web protocol: its webhook and its files.
//!
//! WhatsApp shows the same person under a telephone number (`@c.us`) in one message and under a hidden id (`@lid`) in the
//! next. WAHA knows which belong together, so it is asked, and both are one conversation and one sender.

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    Incoming, Media, MediaError, NotRead, Parsed, Place, Platform, Refused, Remote, SetupError,
    known::Known,
    signature::{Algorithm, check_hmac},
};
use crate::{
    audio::fetch::{self, Credential, FetchError, Sites, Web},
    config::Secret,
    private::Private,
};

const SIGNATURE: &str = "x-webhook-hmac";
const ALGORITHM: &str = "x-webhook-hmac-algorithm";
const API_KEY: &str = "x-api-key";
const NUMBER: &str = "@c.us";
const HIDDEN: &str = "@lid";
const GROUP: &str = "@g.us";

/// A WAHA server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The key that its webhooks are signed with (`hmac.key`).
    pub hmac_key: Secret,
    /// Its own key (`WAHA_API_KEY`), for files and for the numbers behind hidden ids.
    pub api_key: Secret,
    /// Where it is.
    pub url: Url,
    /// The sessions whose notes are taken; empty: all.
    #[serde(default)]
    pub sessions: Vec<String>,
    /// Hosts of an object store that it keeps files in, where it does. They are not shown its key.
    #[serde(default)]
    pub media_hosts: Vec<String>,
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.hmac_key, &self.api_key]
    }
}

/// One server, ready.
#[derive(Debug)]
pub struct Waha {
    hmac_key: SecretString,
    api_key: SecretString,
    url: Url,
    sessions: Vec<String>,
    media_hosts: Vec<String>,
    web: Web,
    /// Numbers by the hidden ids that they are the same as.
    numbers: Known<Private>,
}

impl Waha {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let sites = Sites { servers: vec![config.url.clone()], media_hosts: config.media_hosts.clone() };
        Ok(Self {
            hmac_key: config.hmac_key.read()?,
            api_key: config.api_key.read()?,
            url: super::folder("url", &config.url)?,
            sessions: config.sessions.clone(),
            media_hosts: config.media_hosts.clone(),
            web: Web::new(limits, &sites)?,
            numbers: Known::default(),
        })
    }

    /// The notes of a webhook, and the session that it is about.
    fn event(&self, body: &[u8]) -> Result<(Parsed, String), Refused> {
        let event: Webhook = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let mut parsed = Parsed::default();
        let ours = self.sessions.is_empty() || self.sessions.contains(&event.session);
        if ours && matches!(event.event.as_str(), "message" | "message.any") {
            parsed.take(&event.payload, is_voice, |payload| self.incoming(payload));
        } else {
            parsed.ignored += 1;
        }
        Ok((parsed, event.session))
    }

    fn incoming(&self, payload: &Value) -> Option<Incoming> {
        let message = Message::deserialize(payload).ok()?;
        let id = message_id(&message.id)?;
        let chat = alias(payload).filter(|_| message.from.ends_with(HIDDEN)).unwrap_or(message.from);
        let chat = normal(&chat);
        let person = message.participant.or(message.author).filter(|_| chat.ends_with(GROUP));
        let sender = person.map_or_else(|| chat.clone(), |person| normal(&person));
        let media = Remote::url(self.file(&message.media.url)?);
        Some(Incoming {
            conversation: Some(chat.into()),
            sender: Some(sender.into()),
            sent_at: Timestamp::from_second(message.timestamp).ok(),
            ..Incoming::new(id.to_owned(), Media::Remote(media))
        })
    }

    /// WAHA writes its own address as it sees it, which may be `localhost`: its files are where the operator says that
    /// it is.
    fn file(&self, url: &Url) -> Option<Url> {
        let host = url.host_str()?;
        if self.media_hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Some(url.clone());
        }
        let mut file = self.url.join(url.path().trim_start_matches('/')).ok()?;
        file.set_query(url.query());
        (file.origin() == self.url.origin()).then_some(file)
    }

    /// The number that a hidden id belongs to, where WAHA knows it.
    async fn number_of(&self, session: &str, hidden: &Private) -> Result<Option<Private>, MediaError> {
        if let Some(number) = self.numbers.get(hidden.expose()) {
            return Ok(Some(number));
        }
        let mut url = self.url.clone();
        let mut path = url.path_segments_mut().map_err(|()| FetchError::NotFound)?;
        path.pop_if_empty().extend(["api", session, "lids", hidden.expose()]);
        drop(path);
        let answer = match self.web.get_with(url, Credential::Header(API_KEY, &self.api_key)).await {
            Err(FetchError::NotFound) => return Ok(None),
            answer => answer.map_err(MediaError::refused)?,
        };
        let answer = serde_json::from_slice::<Lid>(&answer);
        let number = answer.ok().and_then(|answer| answer.pn).map(|number| Private::new(normal(&number)));
        if let Some(number) = &number {
            self.numbers.add(hidden.expose(), number.clone());
        }
        Ok(number)
    }
}

#[async_trait]
impl Platform for Waha {
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let given = header(SIGNATURE).ok_or(Refused::Unsigned)?;
        if !header(ALGORITHM).ok_or(Refused::Unsigned)?.eq_ignore_ascii_case("sha512") {
            return Err(Refused::WrongSignature);
        }
        check_hmac(Algorithm::Sha512, &self.hmac_key, &[body], given)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        Ok(self.event(body)?.0)
    }

    async fn read(&self, body: &[u8]) -> Result<Parsed, NotRead> {
        let (mut parsed, session) = self.event(body)?;
        for note in &mut parsed.notes {
            for person in [&mut note.conversation, &mut note.sender] {
                if let Some(hidden) = person.as_ref().filter(|person| person.expose().ends_with(HIDDEN))
                    && let Some(number) = self.number_of(&session, hidden).await?
                {
                    *person = Some(number);
                }
            }
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::Url(url) = &media.place else { return Err(FetchError::NotFound.into()) };
        if url.origin() == self.url.origin() {
            return self
                .web
                .get_with(url.clone(), Credential::Header(API_KEY, &self.api_key))
                .await
                .map_err(MediaError::refused);
        }
        Ok(self.web.get(url.clone(), None).await?)
    }
}

fn is_voice(payload: &Value) -> bool {
    let is_audio = payload["media"]["mimetype"].as_str().is_some_and(|kind| kind.starts_with("audio/"));
    is_audio && payload["fromMe"] != true
}

/// `false_49170…@c.us_3EB0…`: whose chat, and behind it what WhatsApp itself calls the message. Only that is the same
/// under both names of a chat.
fn message_id(id: &str) -> Option<&str> {
    let mut parts = id.split('_');
    let is_whole =
        matches!(parts.next(), Some("true" | "false")) && parts.next().is_some_and(|chat| chat.contains('@'));
    let id = if is_whole { parts.next()? } else { id };
    (!id.is_empty() && id.len() <= 128).then_some(id)
}

/// The number behind a hidden id, where the engine tells it along.
fn alias(payload: &Value) -> Option<String> {
    let data = &payload["_data"];
    let places = [&data["key"]["remoteJidAlt"], &data["key"]["senderPn"], &data["Info"]["SenderAlt"]];
    let number = |place: &&&Value| place.as_str().is_some_and(|jid| !jid.ends_with(HIDDEN) && jid.contains('@'));
    places.iter().find(number).and_then(|place| place.as_str()).map(str::to_owned)
}

/// One way to write an address: engines differ in the host's name, and some add a device.
fn normal(jid: &str) -> String {
    let (user, host) = jid.split_once('@').unwrap_or((jid, "c.us"));
    let user = user.split(':').next().unwrap_or(user);
    if host == "s.whatsapp.net" { format!("{user}{NUMBER}") } else { format!("{user}@{host}") }
}

#[derive(Deserialize)]
struct Webhook {
    event: String,
    #[serde(default)]
    session: String,
    #[serde(default)]
    payload: Value,
}

#[derive(Deserialize)]
struct Message {
    id: String,
    timestamp: i64,
    from: String,
    participant: Option<String>,
    author: Option<String>,
    media: File,
}

#[derive(Deserialize)]
struct File {
    url: Url,
}

#[derive(Deserialize)]
struct Lid {
    pn: Option<String>,
}
