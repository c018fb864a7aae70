//! Owns the HTTP listener: health, figures, and the ways in which notes come over HTTP. Later ways in (messenger
//! webhooks) and the console share it.
//!
//! * [`health`]: `/livez`, `/readyz`, `/metrics`.
//! * [`upload`]: `POST /v1/notes`.
//! * [`auth`]: who may upload for whom.

pub mod auth;
pub mod health;
pub mod upload;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use self::auth::{TokenConfig, Tokens};
use crate::{broker::Broker, config::SecretError, shutdown::Shutdown};

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
    /// Where uploads lie that are too large to travel inside a message; workers have to see the same folder.
    pub spool_dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8480).into(),
            tokens: vec![],
            upload_bytes_max: 25 * 1024 * 1024,
            spool_dir: "data/spool".into(),
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
    /// Largest note that travels inside its message, in bytes.
    inline_bytes_max: u64,
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
        inline_bytes_max: u64,
        broker: Arc<dyn Broker>,
        figures: Option<PrometheusHandle>,
    ) -> Result<Self, SecretError> {
        let tokens = Arc::new(Tokens::read(&config.tokens)?);
        Ok(Self { broker, tokens, figures, config: Arc::new(config.clone()), inline_bytes_max })
    }

    fn router(self, accept_notes: bool) -> Router {
        let mut router = Router::new()
            .route("/livez", get(health::live))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(health::figures));
        if accept_notes {
            let limit = DefaultBodyLimit::max(self.config.upload_bytes_max);
            router = router.route("/v1/notes", post(upload::post_note).layer(limit));
        }
        router.with_state(self)
    }

    /// Serves until shutdown is requested, then lets requests that began come to their end.
    ///
    /// # Errors
    /// If the operating system takes the listener away.
    pub async fn serve(self, listener: TcpListener, accept_notes: bool, shutdown: Shutdown) -> std::io::Result<()> {
        let stopped = async move { shutdown.requested().await };
        axum::serve(listener, self.router(accept_notes)).with_graceful_shutdown(stopped).await
    }
}
