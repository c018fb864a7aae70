//! Owns the patience with which a role opens its consumer: for as long as it takes, said once.

use std::{future::Future, time::Duration};

use super::{BrokerError, Deliveries};
use crate::shutdown::Shutdown;

/// Pauses between attempts: the first, and the longest.
const REOPEN_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Opens a consumer, for as long as it takes. None if shutdown is requested meanwhile. `what` is logged while it fails.
pub async fn open<F>(consume: impl Fn() -> F, what: &str, shutdown: &Shutdown) -> Option<Box<dyn Deliveries>>
where
    F: Future<Output = Result<Box<dyn Deliveries>, BrokerError>>,
{
    let mut pause = REOPEN_PAUSE.0;
    let mut said = String::new();
    while !shutdown.is_requested() {
        match consume().await {
            Ok(deliveries) => return Some(deliveries),
            Err(error) => {
                // However long it lasts, it is said once.
                if said != error.to_string() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "{what}");
                    said = error.to_string();
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(REOPEN_PAUSE.1),
            () = shutdown.requested() => {}
        }
    }
    None
}
