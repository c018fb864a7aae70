//! Owns connections: how many there are, and how long each may take to say what it wants.
//!
//! A sender that is slow, by weakness or by intent, holds its own connection for a while and nothing else.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    middleware::map_request,
};
use futures_util::{StreamExt as _, stream};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::Config;
use crate::shutdown::Shutdown;

/// After an error of the operating system, for example that too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves until shutdown is requested, then lets requests that began come to their end.
pub(super) async fn serve(listener: TcpListener, router: Router, config: &Config, shutdown: Shutdown) {
    let (between, in_all) = (seconds(config.body_pause_s_max), seconds(config.body_s_max));
    let router = router.layer(map_request(move |request: Request| async move {
        request.map(|body| with_limits(body, between, in_all))
    }));
    let server = Server {
        router,
        header_limit: seconds(config.header_s_max),
        connections: Arc::new(Semaphore::new(config.connections_max.into())),
        graceful: GracefulShutdown::new(),
    };
    loop {
        // Who comes when all are taken waits with the operating system.
        let accepted = tokio::select! {
            accepted = server.accept(&listener) => accepted,
            () = shutdown.requested() => break,
        };
        match accepted {
            Ok((stream, place)) => server.begin(stream, place),
            Err(error) if is_the_senders(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted at the moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // No longer than a body may take.
    let _ = tokio::time::timeout(in_all, server.graceful.shutdown()).await;
}

struct Server {
    router: Router,
    header_limit: Duration,
    connections: Arc<Semaphore>,
    graceful: GracefulShutdown,
}

impl Server {
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.connections).acquire_owned().await.map_err(io::Error::other)?;
        Ok((listener.accept().await?.0, place))
    }

    fn begin(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        tokio::spawn(converse(stream, self.router.clone(), self.header_limit, self.graceful.watcher(), place));
    }
}

async fn converse(
    stream: TcpStream,
    router: Router,
    header_limit: Duration,
    watcher: Watcher,
    place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_limit)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // What goes wrong on a connection is the other side's business.
    let _ = watcher.watch(connection).await;
    drop(place);
}

fn is_the_senders(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset)
}

fn seconds(s: u32) -> Duration {
    Duration::from_secs(s.into())
}

/// The same body, which ends with an error when nothing comes for too long, or too little in all.
fn with_limits(body: Body, between: Duration, in_all: Duration) -> Body {
    let end = Instant::now() + in_all;
    let chunks = stream::unfold(Some(body.into_data_stream()), move |chunks| async move {
        let mut chunks = chunks?;
        let next = timeout_at(end.min(Instant::now() + between), chunks.next()).await;
        match next {
            Ok(chunk) => Some((chunk?.map_err(Into::into), Some(chunks))),
            Err(_) => Some((Err::<Bytes, BoxError>("the body did not come in time".into()), None)),
        }
    });
    Body::from_stream(chunks)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
