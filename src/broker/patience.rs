//! Owns the patience with what does not work yet: pauses that grow, and a reason that is said once.

use std::time::Duration;

use crate::shutdown::Shutdown;

/// The first pause, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// What lasted so long did work: the next pause is a first one again.
pub const LASTED: Duration = PAUSE.1;

/// Pauses between attempts at one thing.
#[derive(Debug)]
pub struct Patience {
    next: Duration,
    said: String,
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: PAUSE.0, said: String::new() }
    }
}

impl Patience {
    /// Waits until it is time for the next attempt, or shutdown is requested; `say` says why, unless the reason is still
    /// the one that was said.
    pub async fn because(&mut self, why: &str, say: impl FnOnce(), shutdown: &Shutdown) {
        if self.said != why {
            say();
            why.clone_into(&mut self.said);
        }
        self.wait(shutdown).await;
    }

    /// The same with an error for a reason.
    pub async fn after(&mut self, error: &(impl std::error::Error + 'static), what: &str, shutdown: &Shutdown) {
        let say = || tracing::warn!(error = error as &dyn std::error::Error, "{what}");
        self.because(&error.to_string(), say, shutdown).await;
    }

    /// Waits without saying anything.
    pub async fn wait(&mut self, shutdown: &Shutdown) {
        tokio::select! {
            () = tokio::time::sleep(self.pause()) => {}
            () = shutdown.requested() => {}
        }
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE.1);
        pause
    }

    /// It works: should it ever not, the reason is said, the same or another.
    pub fn works(&mut self) {
        self.said.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Instant};

    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let mut patience = Patience::default();
        let pauses: Vec<u128> = (0..8).map(|_| patience.pause().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }

    #[tokio::test]
    async fn a_reason_is_said_once_until_there_is_another_or_it_worked_meanwhile() {
        let (mut patience, shutdown, said) = (Patience::default(), Shutdown::default(), Cell::new(0));
        // So that nothing waits here.
        shutdown.request();
        for why in ["disk full", "disk full", "no network", "no network"] {
            patience.because(why, || said.set(said.get() + 1), &shutdown).await;
        }
        patience.works();
        patience.because("no network", || said.set(said.get() + 1), &shutdown).await;
        assert_eq!(said.get(), 3);
    }

    #[tokio::test]
    async fn shutdown_ends_a_pause() {
        let (mut patience, shutdown) = (Patience { next: PAUSE.1, said: String::new() }, Shutdown::default());
        shutdown.request();
        let before = Instant::now();
        patience.wait(&shutdown).await;
        assert!(before.elapsed() < PAUSE.1 / 2);
    }
}
