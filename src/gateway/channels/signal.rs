//! Owns Signal, by way of signal-cli's REST wrapper: a server of one's own that holds an account and has to be asked.
//!
//! In its mode `json-rpc` it hands out messages over a web socket, in its other modes to whoever polls. Either way Signal's
//! servers forget a message as soon as the wrapper has it, and the wrapper forgets it as soon as it was handed out. So a
//! message with a recording is written to the disk the moment it is here, and only removed there once its note is on the
//! queue. A shutdown waits for what is being handed out; lost can be what the wrapper had handed out, and this process had
//! not written yet, when one of them died.

mod kept;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::HeaderMap;
use futures_util::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{fs, time::timeout};
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{self, Message as Frame, protocol::WebSocketConfig},
};
use url::Url;
use uuid::Uuid;

use self::kept::Kept;
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

/// Largest message, in bytes: attachments are not in it.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Seconds that the wrapper waits for messages when it is polled.
const POLL_S: u32 = 5;
const POLL_PAUSE: Duration = Duration::from_millis(500);
/// How often a web socket has to show that it lives, and how long that may take.
const HEARTBEAT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a shutdown waits for messages that are on their way over the web socket.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An account at a signal-cli-rest-api.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the wrapper is.
    pub url: Url,
    /// The account's number, for example `+4930123456`.
    pub number: String,
    /// How the wrapper hands out messages.
    #[serde(default)]
    pub receive: Receive,
    /// Where messages lie until their notes are queued.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
}

/// How the wrapper hands out messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// Its `MODE` is `json-rpc`.
    #[default]
    Websocket,
    /// Its `MODE` is `normal` or `native`.
    Poll,
}

fn state_dir() -> PathBuf {
    "data/channels".into()
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![]
    }
}

/// One account, ready.
#[derive(Debug)]
pub struct Signal {
    url: Url,
    number: String,
    receive: Receive,
    state_dir: PathBuf,
    web: Web,
}

impl Signal {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        let limits = fetch::Config { read_s_max: limits.read_s_max.max(2 * POLL_S), ..limits.clone() };
        Ok(Self {
            url: super::folder("url", &config.url)?,
            number: config.number.clone(),
            receive: config.receive,
            state_dir: config.state_dir.clone(),
            web: Web::new(&limits, &Sites { servers: vec![config.url.clone()], media_hosts: vec![] })?,
        })
    }

    fn address(&self, kind: &str, name: &str) -> Result<Url, FetchError> {
        let mut url = self.url.clone();
        let mut path = url.path_segments_mut().map_err(|()| FetchError::NotFound)?;
        path.pop_if_empty().extend(["v1", kind, name]);
        drop(path);
        Ok(url)
    }

    /// Writes messages to the disk as they come, until shutdown is requested.
    async fn receive(&self, own: &OpenChannel, kept: &Kept, shutdown: &Shutdown) {
        let mut pause = Pause::default();
        while !shutdown.is_requested() {
            let result = match self.receive {
                Receive::Websocket => self.listen_to_socket(own, kept, &mut pause, shutdown).await,
                Receive::Poll => self.poll(own, kept, shutdown).await,
            };
            match result {
                Ok(()) => pause = Pause::default(),
                Err(error) => {
                    if !pause.after(own, &error, shutdown).await {
                        return;
                    }
                }
            }
        }
    }

    /// Until the socket breaks, or shutdown is requested.
    async fn listen_to_socket(
        &self,
        own: &OpenChannel,
        kept: &Kept,
        pause: &mut Pause,
        shutdown: &Shutdown,
    ) -> Result<(), ReceiveError> {
        let mut url = self.address("receive", &self.number)?;
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        url.set_scheme(scheme).map_err(|()| ReceiveError::Broken)?;
        let config =
            WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
        let connecting = timeout(CONNECT_LIMIT, connect_async_with_config(url.as_str(), Some(config), true));
        let (mut socket, _) = tokio::select! {
            connected = connecting => connected.map_err(|_| ReceiveError::Silent)??,
            () = shutdown.requested() => return Ok(()),
        };
        *pause = Pause::default();
        tracing::info!(channel = %own.name, "listening to the platform");
        let mut asked = false;
        loop {
            let next = tokio::select! {
                next = timeout(HEARTBEAT, socket.next()) => next,
                () = shutdown.requested() => break,
            };
            match next {
                Ok(Some(Ok(Frame::Text(text)))) => keep(own, kept, text.as_bytes(), shutdown).await,
                Ok(Some(Ok(Frame::Close(_))) | None) => return Err(ReceiveError::Broken),
                // Pings are answered by the library.
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(error.into()),
                Err(_) if asked => return Err(ReceiveError::Silent),
                Err(_) => {
                    timeout(CONNECT_LIMIT, socket.send(Frame::Ping(Vec::new().into())))
                        .await
                        .map_err(|_| ReceiveError::Silent)??;
                    asked = true;
                    continue;
                }
            }
            asked = false;
        }
        // What was sent before the wrapper hears of the end still comes.
        let rest = async {
            socket.close(None).await?;
            while let Some(frame) = socket.next().await {
                if let Frame::Text(text) = frame? {
                    keep(own, kept, text.as_bytes(), shutdown).await;
                }
            }
            Ok(())
        };
        timeout(CLOSE_LIMIT, rest).await.unwrap_or(Ok(()))
    }

    /// Not to be given up while it waits for its answer: what is in that, the wrapper has forgotten.
    async fn poll(&self, own: &OpenChannel, kept: &Kept, shutdown: &Shutdown) -> Result<(), ReceiveError> {
        let mut url = self.address("receive", &self.number)?;
        url.query_pairs_mut().append_pair("timeout", &POLL_S.to_string());
        let answer = self.web.get(url, None).await?;
        keep(own, kept, &answer, shutdown).await;
        // A wrapper that does not wait for messages is not to be asked all the time.
        tokio::select! {
            () = tokio::time::sleep(POLL_PAUSE) => {}
            () = shutdown.requested() => {}
        }
        Ok(())
    }

    /// Takes in what lies on the disk, until shutdown is requested.
    async fn take(&self, own: &Arc<OpenChannel>, intake: &Intake, kept: &Kept, shutdown: &Shutdown) {
        let mut pause = Pause::default();
        while !shutdown.is_requested() {
            let next = match kept.oldest().await {
                Ok(next) => next,
                Err(error) if pause.after(own, &error, shutdown).await => continue,
                Err(_) => return,
            };
            let Some((path, message)) = next else {
                tokio::select! {
                    () = kept.news() => {}
                    () = shutdown.requested() => {}
                }
                continue;
            };
            let parsed = self.parse(&message).unwrap_or_default();
            if !pull::take_all(own, intake, parsed, shutdown).await {
                return;
            }
            if let Err(error) = fs::remove_file(&path).await
                && !pause.after(own, &error, shutdown).await
            {
                return;
            }
        }
    }
}

#[async_trait]
impl Platform for Signal {
    /// Nobody tells us anything of Signal without being asked.
    fn verify(&self, _headers: &HeaderMap, _body: &[u8]) -> Result<(), Refused> {
        Err(Refused::Unsigned)
    }

    /// One message, or a list of them.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let mut parsed = Parsed::default();
        for message in messages(body).ok_or(Refused::Malformed)? {
            let recordings = recordings(&message);
            if recordings.is_empty() {
                parsed.ignored += 1;
            }
            for (index, recording) in recordings {
                match incoming(&message["envelope"], index, recording) {
                    Some(note) => parsed.notes.push(note),
                    None => parsed.unreadable += 1,
                }
            }
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::File(id) = &media.place else { return Err(FetchError::NotFound.into()) };
        Ok(self.web.get(self.address("attachments", id)?, None).await?)
    }

    async fn listen(&self, own: &Arc<OpenChannel>, intake: &Intake, shutdown: &Shutdown) {
        let kept = Kept::new(self.state_dir.join(own.name.as_str()));
        tokio::join!(self.receive(own, &kept, shutdown), self.take(own, intake, &kept, shutdown));
    }
}

/// Keeps the messages that have a recording.
async fn keep(own: &OpenChannel, kept: &Kept, body: &[u8], shutdown: &Shutdown) {
    let Some(messages) = messages(body) else {
        tracing::warn!(channel = %own.name, "the platform sent something that is no message");
        return;
    };
    let (mut ignored, mut pause) = (0, Pause::default());
    for message in messages {
        if recordings(&message).is_empty() {
            ignored += 1;
        } else {
            kept.keep(own, &message.to_string(), &mut pause, shutdown).await;
        }
    }
    count(own.name.as_str(), "ignored", ignored);
}

fn messages(body: &[u8]) -> Option<Vec<Value>> {
    match serde_json::from_slice(body).ok()? {
        Value::Array(messages) => Some(messages),
        message @ Value::Object(_) => Some(vec![message]),
        _ => None,
    }
}

/// The recordings of a message, with their places among its attachments.
fn recordings(message: &Value) -> Vec<(usize, &Value)> {
    let attachments = message["envelope"]["dataMessage"]["attachments"].as_array();
    let is_audio = |file: &Value| file["contentType"].as_str().is_some_and(|kind| kind.starts_with("audio/"));
    attachments.into_iter().flatten().enumerate().filter(|(_, file)| is_audio(file)).collect()
}

fn incoming(envelope: &Value, index: usize, recording: &Value) -> Option<Incoming> {
    let (file, envelope) = (File::deserialize(recording).ok()?, Envelope::deserialize(envelope).ok()?);
    let is_id = |id: &str| {
        (1..=200).contains(&id.len())
            && !id.starts_with('.')
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if !is_id(&file.id) {
        return None;
    }
    let sender = envelope.source_uuid.or(envelope.source)?;
    // A message is named by its sender and the millisecond; the sender is not to be named here.
    let name = format!("{sender}:{}", envelope.timestamp);
    let id = format!("{}:{index}", Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).simple());
    let group = envelope.data.group.and_then(|group| group.id);
    Some(Incoming {
        conversation: Some(group.unwrap_or_else(|| sender.clone()).into()),
        sender: Some(Private::new(sender)),
        sent_at: Timestamp::from_millisecond(envelope.timestamp).ok(),
        ..Incoming::new(id, Media::Remote(Remote { bytes: file.size, ..Remote::file(file.id) }))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    source: Option<String>,
    source_uuid: Option<String>,
    timestamp: i64,
    #[serde(rename = "dataMessage")]
    data: DataMessage,
}

#[derive(Deserialize)]
struct DataMessage {
    #[serde(rename = "groupInfo")]
    group: Option<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "groupId")]
    id: Option<String>,
}

#[derive(Deserialize)]
struct File {
    id: String,
    size: Option<u64>,
}

/// Why no messages come. No text names the account.
#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error("the wrapper cannot be asked")]
    Asked(#[from] FetchError),
    #[error("the web socket broke")]
    Socket(#[source] Box<tungstenite::Error>),
    #[error("the wrapper closed the web socket")]
    Broken,
    #[error("the wrapper shows no sign of life")]
    Silent,
}

impl From<tungstenite::Error> for ReceiveError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}
