//! Owns the HTTP listener: health, figures, and the ways in which notes come from outside.
//!
//! * [`health`]: `/livez`, `/readyz`, `/metrics`.
//! * [`upload`]: `POST /v1/notes`.
//! * [`uploads`]: `/v1/uploads`, for long notes in pieces.
//! * [`auth`]: who may upload for whom.
//! * `server`: connections, and how long each may take.
//! * [`channels`]: `/v1/channels/<name>`, and platforms that have to be asked.

pub mod auth;
pub mod channels;
pub mod health;
mod server;
pub mod upload;
pub mod uploads;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, patch, post},
};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::Semaphore};

use self::{
    auth::{TokenConfig, Tokens},
    channels::{Channels, collector::Collector, intake::Intake, webhook},
    uploads::Uploads,
};
use crate::{
    broker::Broker, config::SecretError, recordings::Recordings, retry::RetryPolicy, shutdown::Shutdown,
    tickets::bridge::gate::Gates,
};

/// The HTTP listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port; port 0 takes any free one and logs it.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Who may upload notes; without one, nobody may.
    pub tokens: Vec<TokenConfig>,
    /// Largest upload, in bytes.
    pub upload_bytes_max: usize,
    /// Long notes in pieces.
    pub uploads: uploads::Config,
    /// Largest webhook of a channel, in bytes. Meta sends up to 3 MB at a time.
    pub webhook_bytes_max: usize,
    /// Milliseconds within which a webhook's notes have to be safe; otherwise the platform is asked to send it again.
    pub webhook_ms_max: u32,
    /// How often and when the audio of a note that came through a channel is fetched again.
    pub media_retry: RetryPolicy,
    /// Connections at a time; others wait.
    pub connections_max: u16,
    /// Seconds for the head of a request to come, or for the next request on an open connection.
    pub header_s_max: u32,
    /// Seconds that a request's body may pause.
    pub body_pause_s_max: u32,
    /// Seconds for a request's body to come.
    pub body_s_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8480).into(),
            tokens: vec![],
            upload_bytes_max: 25 * 1024 * 1024,
            uploads: uploads::Config::default(),
            webhook_bytes_max: 4 * 1024 * 1024,
            webhook_ms_max: 900,
            // Six hours: platforms have outages, and keep what they announced for days.
            media_retry: RetryPolicy { attempts_max: 20, first_delay_s: 2.0, factor: 3.0, delay_s_max: 1800.0 },
            connections_max: 1024,
            header_s_max: 10,
            body_pause_s_max: 10,
            body_s_max: 300,
        }
    }
}

/// What handlers share.
#[derive(Clone)]
pub struct Gateway {
    broker: Arc<dyn Broker>,
    tokens: Arc<Tokens>,
    figures: Option<PrometheusHandle>,
    config: Arc<Config>,
    recordings: Arc<Recordings>,
    uploads: Arc<Uploads>,
    channels: Channels,
    intake: Intake,
    bridges: Gates,
    /// One for each body of a webhook that is being read: nobody knows yet who sends it.
    bodies: Arc<Semaphore>,
    duties: Duties,
}

/// What the process is there for, as far as it can be asked for that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Duties {
    /// It takes notes from customers and platforms.
    pub accepts_notes: bool,
    /// Writing into ticketing systems is all that it is for.
    pub only_bridges: bool,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("listen", &self.config.listen).finish_non_exhaustive()
    }
}

impl Gateway {
    /// # Errors
    /// If a token's secret cannot be read.
    pub fn new(
        config: &Config,
        recordings: Arc<Recordings>,
        channels: Channels,
        broker: Arc<dyn Broker>,
        figures: Option<PrometheusHandle>,
    ) -> Result<Self, SecretError> {
        let tokens = Arc::new(Tokens::read(&config.tokens)?);
        let intake = Intake::new(Arc::clone(&broker), Arc::clone(&recordings));
        let uploads = Arc::new(Uploads::new(&config.uploads));
        let (config, bridges) = (Arc::new(config.clone()), Gates::default());
        // The rest of the connections is left to those who ask how the process is, and to those with a token.
        let bodies = Arc::new(Semaphore::new((config.connections_max - config.connections_max / 4).into()));
        Ok(Self {
            broker,
            tokens,
            figures,
            config,
            recordings,
            uploads,
            channels,
            intake,
            bridges,
            bodies,
            duties: Duties::default(),
        })
    }

    /// Answers as a process that is there for this; `bridges` are the gates of its ticketing systems.
    #[must_use]
    pub fn with_duties(self, duties: Duties, bridges: Gates) -> Self {
        Self { bridges, duties, ..self }
    }

    /// What the role of a gateway does besides answering requests, until shutdown is requested: fetches announced
    /// audio, asks the platforms that have to be asked, removes old recordings, and looks after unfinished uploads.
    pub async fn run(self, collector: Option<Collector>, shutdown: Shutdown) {
        let listening = self.channels.iter().map(|own| own.platform.listen(own, &self.intake, &shutdown));
        let collecting = async {
            if let Some(collector) = collector {
                collector.run(&shutdown).await;
            }
        };
        let (recordings, uploads) = (self.recordings.keep_swept(&shutdown), Uploads::keep(&self, &shutdown));
        tokio::join!(collecting, join_all(listening), recordings, uploads);
    }

    fn router(self) -> Router {
        let mut router = Router::new()
            .route("/livez", get(health::live))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(health::figures));
        if self.duties.accepts_notes {
            let limit = DefaultBodyLimit::max(self.config.upload_bytes_max);
            router = router.route("/v1/notes", post(upload::post_note).layer(limit));
            let upload = patch(uploads::append).head(uploads::status).delete(uploads::remove).post(uploads::overridden);
            router = router.route("/v1/uploads", post(uploads::create).options(uploads::about));
            router = router.route("/v1/uploads/{id}", upload);
            let webhooks = get(webhook::challenge).post(webhook::receive);
            router = router.route("/v1/channels/{name}", webhooks);
        }
        router.with_state(self)
    }

    /// Serves until shutdown is requested, then lets requests that began come to their end.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) {
        let config = Arc::clone(&self.config);
        server::serve(listener, self.router(), &config, shutdown).await;
    }
}
