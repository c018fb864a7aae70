//! Owns Matrix: the account of a bot that is a member of rooms, asked over the client-server interface.
//!
//! `/sync` answers with a token for what comes next. It is written down only once every note that came with it is safe,
//! so whatever happens in between is told again. With no token yet, the first answer gives one and nothing else is taken
//! from it. Encrypted rooms cannot be read here: their messages are counted, as `encrypted`.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::fs;
use url::Url;

use super::{
    Incoming, Media, MediaError, OpenChannel, Parsed, Place, Platform, Refused, Remote, SetupError,
    intake::{Intake, count},
    pull::{self, Pause},
};
use crate::{
    audio::fetch::{self, FetchError, Sites, Web},
    config::Secret,
    private::Private,
    shutdown::Shutdown,
};

/// Seconds that the server holds back its answer while there is nothing to tell.
const SYNC_S: u32 = 25;
/// Largest answer to one question, in bytes.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Messages of a room in one answer; what was before them is asked for in pages of as many.
const PAGE: usize = 100;
/// A million messages, of which no more is kept than the recordings.
const PAGES_MAX: usize = 10_000;

/// The account of a bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The homeserver.
    pub homeserver: Url,
    /// The bot, for example `@stimme:example.org`; what it says itself is left out.
    pub user_id: String,
    /// The bot's access token.
    pub access_token: Secret,
    /// The rooms, by their ids, whose notes are taken; empty: all that the bot is in.
    #[serde(default)]
    pub rooms: Vec<String>,
    /// Hosts that the homeserver redirects to for media, where it does. They are not shown the token.
    #[serde(default)]
    pub media_hosts: Vec<String>,
    /// Where it is written down how far the bot has read.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
}

fn state_dir() -> PathBuf {
    "data/channels".into()
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.access_token]
    }
}

/// One bot, ready.
#[derive(Debug)]
pub struct Matrix {
    homeserver: Url,
    user_id: String,
    access_token: SecretString,
    rooms: Vec<String>,
    state_dir: PathBuf,
    /// For questions that the server may hold back.
    patient: Web,
    web: Web,
}

impl Matrix {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let sites = Sites { servers: vec![config.homeserver.clone()], media_hosts: config.media_hosts.clone() };
        let patient = fetch::Config {
            read_s_max: limits.read_s_max.saturating_add(SYNC_S),
            total_s_max: limits.total_s_max.saturating_add(SYNC_S),
            bytes_max: ANSWER_BYTES_MAX,
            ..limits.clone()
        };
        Ok(Self {
            homeserver: super::folder("homeserver", &config.homeserver)?,
            user_id: config.user_id.clone(),
            access_token: config.access_token.read()?,
            rooms: config.rooms.clone(),
            state_dir: config.state_dir.clone(),
            patient: Web::new(&patient, &sites)?,
            web: Web::new(limits, &sites)?,
        })
    }

    fn address<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Result<Url, FetchError> {
        let mut url = self.homeserver.clone();
        let mut segments = url.path_segments_mut().map_err(|()| FetchError::NotFound)?;
        segments.pop_if_empty().extend(["_matrix", "client"]).extend(path);
        drop(segments);
        Ok(url)
    }

    async fn ask(&self, url: Url) -> Result<Value, MediaError> {
        let answer = self.patient.get_json(url, Some(&self.access_token)).await.map_err(MediaError::refused)?;
        answer.filter(Value::is_object).ok_or(MediaError::Unexpected { what: "an answer that is no object" })
    }

    async fn sync(&self, since: Option<&str>) -> Result<Value, MediaError> {
        let mut url = self.address(["v3", "sync"])?;
        let nothing = json!({"types": []});
        let filter = json!({
            "presence": nothing, "account_data": nothing,
            "room": {
                "account_data": nothing, "ephemeral": nothing, "state": {"types": [], "lazy_load_members": true},
                "timeline": {"limit": PAGE, "types": ["m.room.message", "m.room.encrypted"]}
            }
        });
        url.query_pairs_mut().append_pair("filter", &filter.to_string());
        if let Some(since) = since {
            url.query_pairs_mut().append_pair("since", since).append_pair("timeout", &(SYNC_S * 1000).to_string());
        }
        self.ask(url).await
    }

    /// All messages that an answer tells of, and those before them that were too many for it.
    async fn complete(&self, answer: &Value, since: &str) -> Result<Vec<(String, Value)>, MediaError> {
        let mut messages = vec![];
        for (room, joined) in self.rooms_of(answer) {
            let timeline = &joined["timeline"];
            let gap = timeline["prev_batch"].as_str().filter(|_| timeline["limited"] == true);
            if let Some(before) = gap {
                messages
                    .extend(self.page_back(room, before, since).await?.into_iter().map(|event| (room.clone(), event)));
            }
            let events = timeline["events"].as_array().cloned().unwrap_or_default();
            messages.extend(events.into_iter().map(|event| (room.clone(), event)));
        }
        Ok(messages)
    }

    /// The recordings, and what cannot be read, of a room between two tokens, the oldest first.
    async fn page_back(&self, room: &str, before: &str, since: &str) -> Result<Vec<Value>, MediaError> {
        let (mut events, mut from) = (vec![], before.to_owned());
        for _ in 0..PAGES_MAX {
            let mut url = self.address(["v3", "rooms", room, "messages"])?;
            let filter = json!({"types": ["m.room.message", "m.room.encrypted"]}).to_string();
            url.query_pairs_mut()
                .append_pair("dir", "b")
                .append_pair("from", &from)
                .append_pair("to", since)
                .append_pair("limit", &PAGE.to_string())
                .append_pair("filter", &filter);
            let mut page = self.ask(url).await?;
            if let Value::Array(chunk) = page["chunk"].take() {
                events.extend(chunk.into_iter().filter(|event| is_voice(event) || is_encrypted(event)));
            }
            match page["end"].as_str() {
                Some(end) if end != from && end != since => end.clone_into(&mut from),
                _ => {
                    events.reverse();
                    return Ok(events);
                }
            }
        }
        Err(MediaError::Unexpected { what: "a room with more news than can be paged through" })
    }

    fn rooms_of<'a>(&'a self, answer: &'a Value) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let joined = answer["rooms"]["join"].as_object();
        joined.into_iter().flatten().filter(|(room, _)| self.rooms.is_empty() || self.rooms.contains(room))
    }

    /// The notes among messages, and how many could not be read because they are encrypted.
    fn notes(&self, messages: &[(String, Value)]) -> (Parsed, usize) {
        let (mut parsed, mut encrypted) = (Parsed::default(), 0);
        for (room, event) in messages {
            if event["sender"] == self.user_id.as_str() {
                continue;
            }
            if is_encrypted(event) {
                encrypted += 1;
            } else {
                parsed.take(event, is_voice, |event| incoming(room, event));
            }
        }
        (parsed, encrypted)
    }

    async fn take(
        &self,
        own: &Arc<OpenChannel>,
        intake: &Intake,
        since: Option<&str>,
        shutdown: &Shutdown,
    ) -> Result<Option<String>, MediaError> {
        let answer = self.sync(since).await?;
        let next = answer["next_batch"].as_str().ok_or(MediaError::Unexpected { what: "an answer without a token" })?;
        if let Some(since) = since {
            let (parsed, encrypted) = self.notes(&self.complete(&answer, since).await?);
            count(own.name.as_str(), "encrypted", encrypted);
            if !pull::take_all(own, intake, parsed, shutdown).await {
                return Ok(None);
            }
        }
        Ok(Some(next.to_owned()))
    }
}

#[async_trait]
impl Platform for Matrix {
    /// Nobody tells us anything of Matrix without being asked.
    fn verify(&self, _headers: &HeaderMap, _body: &[u8]) -> Result<(), Refused> {
        Err(Refused::Unsigned)
    }

    /// An answer to `/sync`.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let answer: Value = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let events = |(room, joined): (&String, &Value)| {
            let events = joined["timeline"]["events"].as_array().cloned().unwrap_or_default();
            events.into_iter().map(|event| (room.clone(), event)).collect::<Vec<_>>()
        };
        let messages: Vec<(String, Value)> = self.rooms_of(&answer).flat_map(events).collect();
        Ok(self.notes(&messages).0)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::File(file) = &media.place else { return Err(FetchError::NotFound.into()) };
        let (server, id) = file.split_once('/').ok_or(FetchError::NotFound)?;
        let url = self.address(["v1", "media", "download", server, id])?;
        self.web.get(url, Some(&self.access_token)).await.map_err(MediaError::refused)
    }

    async fn listen(&self, own: &Arc<OpenChannel>, intake: &Intake, shutdown: &Shutdown) {
        let file = self.state_dir.join(format!("{}.since", own.name));
        let mut pause = Pause::default();
        let mut since = loop {
            match fs::read_to_string(&file).await {
                Ok(token) => break Some(token).filter(|token| !token.is_empty()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break None,
                // As if this were the first start, all that was said since would be passed over.
                Err(error) => {
                    if !pause.after(own, &error, shutdown).await {
                        return;
                    }
                }
            }
        };
        while !shutdown.is_requested() {
            let taken = tokio::select! {
                taken = self.take(own, intake, since.as_deref(), shutdown) => taken,
                () = shutdown.requested() => return,
            };
            match taken {
                Ok(Some(next)) => {
                    // Not written down it is told again, which is harmless.
                    if let Err(error) = pull::write_whole(&file, next.as_bytes()).await
                        && !pause.after(own, &error, shutdown).await
                    {
                        return;
                    }
                    (since, pause) = (Some(next), Pause::default());
                }
                Ok(None) => return,
                Err(error) => {
                    if !pause.after(own, &error, shutdown).await {
                        return;
                    }
                }
            }
        }
    }
}

fn is_voice(event: &Value) -> bool {
    event["content"]["msgtype"] == "m.audio"
}

fn is_encrypted(event: &Value) -> bool {
    event["type"] == "m.room.encrypted"
}

fn incoming(room: &str, event: &Value) -> Option<Incoming> {
    let event = Said::deserialize(event).ok()?;
    let file = event.content.url.strip_prefix("mxc://")?;
    let (server, id) = file.split_once('/')?;
    let plain = |text: &str, also: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b) || also.contains(&b))
    };
    if !plain(server, b".:[]") || server.starts_with('.') || !plain(id, b"") || event.event_id.is_empty() {
        return None;
    }
    let remote = Remote { bytes: event.content.info.and_then(|info| info.size), ..Remote::file(file) };
    Some(Incoming {
        conversation: Some(Private::new(room)),
        sender: Some(event.sender),
        sent_at: event.origin_server_ts.and_then(|at| Timestamp::from_millisecond(at).ok()),
        ..Incoming::new(event.event_id, Media::Remote(remote))
    })
}

#[derive(Deserialize)]
struct Said {
    event_id: String,
    sender: Private,
    origin_server_ts: Option<i64>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    /// Absent where the file itself is encrypted.
    url: String,
    info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    size: Option<u64>,
}
