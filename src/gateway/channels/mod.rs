//! Owns channels: messenger platforms that hand voice notes to the gateway, each in a file of its own.
//!
//! ```text
//! POST /v1/channels/<name> ─► verify the raw body ─► parse ─► intake: store or queue, confirmed ─► 200
//!                              Platform::verify       Platform::parse        (anything less: 503)
//! the intake's queue ─► fetch the audio ─► keep it ─► received event ─► workers
//!                        Platform::fetch, again and again
//! ```
//!
//! * [`incoming`]: what a platform says about a voice note, before its audio is there.
//! * [`intake`]: the one way in for all channels, whether they are told or have to ask.
//! * [`collector`]: fetches what was announced, off the intake's durable queue.
//! * [`webhook`]: the HTTP side.
//! * [`signature`]: secrets, compared in constant time.
//! * [`whatsapp`], [`messenger`], [`telegram`]: the platforms; [`meta`] is what the first two share.
//! * [`waha`], [`threema`]: platforms that have to be asked before a webhook can be read; [`known`] is what they learnt.
//! * [`chatwoot`], [`zammad`]: ticketing systems in which a note arrived.
//! * [`signal`], [`matrix`]: platforms that tell nobody anything unless they are asked; [`pull`] is what they share.
//! * [`evolution`], [`unoapi`]: those that publish to RabbitMQ themselves, over [`producer`]; [`scrub`] and [`jid`] are
//!   what they share.
//!
//! To add one: a file with its `Config` and its [`Platform`], a variant of [`Kind`], its documented payloads as fixtures
//! in `tests/fixtures/channels`.

pub mod chatwoot;
pub mod collector;
pub mod evolution;
pub mod incoming;
pub mod intake;
pub mod jid;
mod known;
pub mod matrix;
pub mod messenger;
mod meta;
pub mod producer;
mod pull;
pub mod scrub;
pub mod signal;
pub mod signature;
pub mod telegram;
pub mod threema;
pub mod unoapi;
pub mod waha;
pub mod webhook;
pub mod whatsapp;
pub mod zammad;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use axum::http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::incoming::{Incoming, Media, Parsed, Place, Remote};
use self::{intake::Intake, producer::Producer};
use crate::{
    audio::fetch::{self, FetchError},
    config::{Secret, SecretError},
    event::Reason,
    note::{Channel, Tenant},
    outcome::Disposition,
    shutdown::Shutdown,
};

/// One channel: `[[channels]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelConfig {
    /// Names the channel, in figures and logs and in its address: `/v1/channels/<name>`. 1 to 64 of `a-z`, `0-9`, `_`
    /// and `-`.
    pub name: ChannelName,
    /// Whose customers write there.
    pub tenant: Tenant,
    /// The platform, and what belongs to it.
    #[serde(flatten)]
    pub kind: Kind,
}

/// A word like a channel's on the wire.
pub type ChannelName = Channel;

/// The platforms, with their own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Kind {
    /// WhatsApp Business, Meta's Cloud API.
    Whatsapp(whatsapp::Config),
    /// Facebook Messenger.
    Messenger(messenger::Config),
    /// Telegram's Bot API.
    Telegram(telegram::Config),
    /// WAHA, a server of one's own that speaks WhatsApp's web protocol.
    Waha(waha::Config),
    /// A note that arrived in Chatwoot.
    Chatwoot(chatwoot::Config),
    /// A note that arrived in Zammad.
    Zammad(zammad::Config),
    /// Signal, by signal-cli-rest-api.
    Signal(signal::Config),
    /// Matrix, by the account of a bot.
    Matrix(matrix::Config),
    /// Threema Gateway, end-to-end mode.
    Threema(threema::Config),
    /// Evolution API, over RabbitMQ.
    Evolution(evolution::Config),
    /// UnoAPI, over RabbitMQ.
    Unoapi(unoapi::Config),
}

impl Kind {
    /// The `type` in the configuration, and the channel of its notes.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Whatsapp(_) => "whatsapp",
            Self::Messenger(_) => "messenger",
            Self::Telegram(_) => "telegram",
            Self::Waha(_) => "waha",
            Self::Chatwoot(_) => "chatwoot",
            Self::Zammad(_) => "zammad",
            Self::Signal(_) => "signal",
            Self::Matrix(_) => "matrix",
            Self::Threema(_) => "threema",
            Self::Evolution(_) => "evolution",
            Self::Unoapi(_) => "unoapi",
        }
    }

    /// Every secret that it needs.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Whatsapp(config) => config.secrets(),
            Self::Messenger(config) => config.secrets(),
            Self::Telegram(config) => config.secrets(),
            Self::Waha(config) => config.secrets(),
            Self::Chatwoot(config) => config.secrets(),
            Self::Zammad(config) => config.secrets(),
            Self::Signal(config) => config.secrets(),
            Self::Matrix(config) => config.secrets(),
            Self::Threema(config) => config.secrets(),
            Self::Evolution(config) => config.secrets(),
            Self::Unoapi(config) => config.secrets(),
        }
    }

    /// How it publishes, where it publishes to RabbitMQ itself.
    #[must_use]
    pub fn producer(&self) -> Option<Producer> {
        match self {
            Self::Evolution(config) => Some(config.producer()),
            Self::Unoapi(config) => Some(config.producer()),
            Self::Whatsapp(_)
            | Self::Messenger(_)
            | Self::Telegram(_)
            | Self::Waha(_)
            | Self::Chatwoot(_)
            | Self::Zammad(_)
            | Self::Signal(_)
            | Self::Matrix(_)
            | Self::Threema(_) => None,
        }
    }

    /// Reads its secrets; connects to nothing. `limits` bound what it fetches.
    fn open(&self, limits: &fetch::Config) -> Result<Box<dyn Platform>, SetupError> {
        Ok(match self {
            Self::Whatsapp(config) => Box::new(whatsapp::WhatsApp::open(config, limits)?),
            Self::Messenger(config) => Box::new(messenger::Messenger::open(config, limits)?),
            Self::Telegram(config) => Box::new(telegram::Telegram::open(config, limits)?),
            Self::Waha(config) => Box::new(waha::Waha::open(config, limits)?),
            Self::Chatwoot(config) => Box::new(chatwoot::Chatwoot::open(config, limits)?),
            Self::Zammad(config) => Box::new(zammad::Zammad::open(config, limits)?),
            Self::Signal(config) => Box::new(signal::Signal::open(config, limits)?),
            Self::Matrix(config) => Box::new(matrix::Matrix::open(config, limits)?),
            Self::Threema(config) => Box::new(threema::Threema::open(config, limits)?),
            Self::Evolution(config) => Box::new(evolution::Evolution::open(config, limits)?),
            Self::Unoapi(config) => Box::new(unoapi::UnoApi::open(config, limits)?),
        })
    }
}

/// A messenger platform, as far as it differs from the others.
#[async_trait]
pub trait Platform: Send + Sync + fmt::Debug {
    /// Whether the platform, and nobody else, sent this body just as it is. Asked before anything is parsed.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused>;

    /// Every voice note in a body that was verified, and how much else it held. A part that cannot be read is no
    /// reason to refuse the others.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused>;

    /// The same, for platforms of which something has to be asked before a body says all it holds. It is given the time
    /// that a webhook has.
    async fn read(&self, body: &[u8]) -> Result<Parsed, NotRead> {
        Ok(self.parse(body)?)
    }

    /// The audio behind a reference that [`Platform::parse`] returned, however long ago that was.
    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError>;

    /// The answer to a `GET` with which a platform checks that the address is ours; none where it has no right to one.
    fn challenge(&self, _query: &BTreeMap<String, String>) -> Option<String> {
        None
    }

    /// For platforms that have to be asked: hands what it finds to `intake` until shutdown is requested. What
    /// [`Intake::accept`] returned well for may be acknowledged to the platform.
    async fn listen(&self, _own: &Arc<OpenChannel>, _intake: &Intake, _shutdown: &Shutdown) {}
}

/// A channel that is ready to be used.
#[derive(Debug)]
pub struct OpenChannel {
    pub name: ChannelName,
    pub tenant: Tenant,
    /// What its notes say where they came from, unless they say otherwise themselves.
    pub channel: Channel,
    pub platform: Box<dyn Platform>,
}

/// All channels, by name.
#[derive(Debug, Clone, Default)]
pub struct Channels(Arc<BTreeMap<String, Arc<OpenChannel>>>);

impl Channels {
    /// Reads all secrets; connects to nothing.
    ///
    /// # Errors
    /// [`SetupError`] says which channel cannot be used and why.
    pub fn open(configs: &[ChannelConfig], limits: &fetch::Config) -> Result<Self, SetupError> {
        let mut channels = BTreeMap::new();
        for config in configs {
            let name = config.name.as_str();
            let in_channel = |source| SetupError::Channel { name: name.to_owned(), source: Box::new(source) };
            let open = OpenChannel {
                name: config.name.clone(),
                tenant: config.tenant.clone(),
                channel: config.kind.as_str().parse().map_err(|_| SetupError::Twice { name: name.to_owned() })?,
                platform: config.kind.open(limits).map_err(in_channel)?,
            };
            if channels.insert(name.to_owned(), Arc::new(open)).is_some() {
                return Err(SetupError::Twice { name: name.to_owned() });
            }
        }
        Ok(Self(Arc::new(channels)))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<OpenChannel>> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<OpenChannel>> {
        self.0.values()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An address below which others lie, with the slash at its end that makes it so.
fn folder(field: &'static str, url: &Url) -> Result<Url, SetupError> {
    let mut url = url.clone();
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let mut path = url.path_segments_mut().ok().filter(|_| plain);
    let what = "it has to be an http or https address without a query or credentials";
    path.as_mut().ok_or(SetupError::Setting { field, what })?.pop_if_empty().push("");
    drop(path);
    Ok(url)
}

/// Why a channel cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the channel {name} cannot be used")]
    Channel {
        name: String,
        #[source]
        source: Box<SetupError>,
    },
    #[error("two channels are called {name}: each needs a name, and with it an address, of its own")]
    Twice { name: String },
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Fetch(#[from] fetch::SetupError),
    #[error("{field}: {what}")]
    Setting { field: &'static str, what: &'static str },
}

/// Why a request to a channel is refused. No text repeats any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the signature or secret token is missing")]
    Unsigned,
    #[error("the signature or secret token is not the one of this channel")]
    WrongSignature,
    #[error("the request was signed too long ago, or in the future")]
    Stale,
    #[error("the body is not what this platform sends")]
    Malformed,
}

impl Refused {
    /// The word for figures.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::WrongSignature => "wrong_signature",
            Self::Stale => "stale",
            Self::Malformed => "malformed",
        }
    }
}

/// Why a body that was verified could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The platform did not say what had to be known; it is to send the body again.
    #[error("the platform could not be asked about a note")]
    Asked(#[from] MediaError),
}

impl From<FetchError> for NotRead {
    fn from(error: FetchError) -> Self {
        Self::Asked(error.into())
    }
}

/// Why a note's audio is not there yet, or never will be. No text names an address, an id or a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the platform does not accept the channel's credentials")]
    Unauthorized,
    #[error("the audio is not what the platform announced: its sha256 differs")]
    Altered,
    #[error("the audio is not what the platform announced: it cannot be decrypted")]
    Undecryptable,
    #[error("the platform's answer is not as documented: {what}")]
    Unexpected { what: &'static str },
}

impl MediaError {
    /// Of a request that showed the channel's credentials: that they expired or were withdrawn concerns the channel, not
    /// the note.
    fn refused(error: FetchError) -> Self {
        match error {
            FetchError::Refused { status: 401 | 403 } => Self::Unauthorized,
            error => error.into(),
        }
    }

    /// The same of a question for a file by its id. Platforms answer that the request is bad also where they just cannot
    /// tell: Telegram says so in as many words, Meta by a code in the body.
    fn not_told(error: FetchError) -> Self {
        match error {
            FetchError::Refused { status: 400 } => Self::Unexpected { what: "it does not say where the file is" },
            error => Self::refused(error),
        }
    }

    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Fetch(error) => error.disposition(),
            Self::Unauthorized | Self::Altered | Self::Unexpected { .. } => Disposition::Retry,
            Self::Undecryptable => Disposition::Fail,
        }
    }

    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Fetch(error) => error.reason(),
            Self::Unauthorized | Self::Unexpected { .. } => Reason::AudioUnreachable,
            Self::Altered | Self::Undecryptable => Reason::CorruptAudio,
        }
    }
}

#[cfg(test)]
mod tests;
