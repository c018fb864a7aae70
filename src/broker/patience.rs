//! Owns the patience with which a role opens its consumer: for as long as it takes, said once.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::{BrokerError, Deliveries};
use crate::shutdown::Shutdown;

/// Pauses between attempts: the first, and the longest.
const REOPEN_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// How a role opens its consumer, again and again.
#[derive(Debug)]
pub struct Patience {
    /// What is logged while it cannot be opened.
    what: &'static str,
    pause: Duration,
    said: String,
    opened: Option<Instant>,
}

impl Patience {
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, pause: REOPEN_PAUSE.0, said: String::new(), opened: None }
    }

    /// Opens a consumer, for as long as it takes. None if shutdown is requested meanwhile.
    ///
    /// One that did not last is opened anew after a pause as well: a file on a full disk can be read, and nothing taken
    /// from it.
    pub async fn open<F>(&mut self, consume: impl Fn() -> F, shutdown: &Shutdown) -> Option<Box<dyn Deliveries>>
    where
        F: Future<Output = Result<Box<dyn Deliveries>, BrokerError>>,
    {
        match self.opened.take() {
            Some(opened) if opened.elapsed() < REOPEN_PAUSE.1 => self.wait(shutdown).await,
            _ => self.pause = REOPEN_PAUSE.0,
        }
        while !shutdown.is_requested() {
            match consume().await {
                Ok(deliveries) => {
                    self.opened = Some(Instant::now());
                    self.said.clear();
                    return Some(deliveries);
                }
                Err(error) => {
                    // However long it lasts, it is said once.
                    if self.said != error.to_string() {
                        tracing::warn!(error = &error as &dyn std::error::Error, "{}", self.what);
                        self.said = error.to_string();
                    }
                }
            }
            self.wait(shutdown).await;
        }
        None
    }

    async fn wait(&mut self, shutdown: &Shutdown) {
        let pause = self.pause;
        self.pause = (pause * 2).min(REOPEN_PAUSE.1);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => {}
        }
    }
}
