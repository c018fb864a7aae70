//! Owns how a role of the process consumes: its consumer is opened for as long as it takes, anew whenever it is gone, and
//! while it is not there, whoever asks whether the process works is told.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    Broker, BrokerError, Deliveries, Delivery,
    patience::{LASTED, Patience},
};
use crate::{shutdown::Shutdown, telemetry::with_causes};

/// One consumer of the process, of which there may be many, whether it is open or not.
#[derive(Debug)]
pub struct Consuming {
    name: String,
    missing: Missing,
    patience: Patience,
    opened: Option<Instant>,
}

impl Consuming {
    /// `name` says what is consumed, in a way that goes on with "cannot be consumed": it stands in the log and in
    /// `/readyz`.
    #[must_use]
    pub fn new(broker: &dyn Broker, name: impl Into<String>) -> Self {
        let missing = broker.missing().clone();
        Self { name: name.into(), missing, patience: Patience::default(), opened: None }
    }

    /// Gives every delivery to `take` until shutdown is requested. The broker bounds how many `take` holds: it sends no
    /// more than the prefetch before one is settled.
    pub async fn run<F>(&mut self, open: impl Fn() -> F, take: impl Fn(Box<dyn Delivery>), shutdown: &Shutdown)
    where
        F: Future<Output = Result<Box<dyn Deliveries>, BrokerError>>,
    {
        while let Some(mut deliveries) = self.open(&open, shutdown).await {
            loop {
                let next = tokio::select! {
                    next = deliveries.next() => next,
                    () = shutdown.requested() => return,
                };
                match next {
                    Ok(delivery) => take(delivery),
                    Err(error) => {
                        self.is_gone(&error);
                        break;
                    }
                }
            }
        }
    }

    /// Opens the consumer, for as long as it takes. None if shutdown is requested meanwhile.
    ///
    /// One that did not last is opened anew after a pause as well: a file on a full disk can be read, and nothing taken
    /// from it.
    pub async fn open<F>(&mut self, open: impl Fn() -> F, shutdown: &Shutdown) -> Option<Box<dyn Deliveries>>
    where
        F: Future<Output = Result<Box<dyn Deliveries>, BrokerError>>,
    {
        match self.opened.take() {
            Some(opened) if opened.elapsed() < LASTED => self.patience.wait(shutdown).await,
            _ => self.patience = Patience::default(),
        }
        while !shutdown.is_requested() {
            match open().await {
                Ok(deliveries) => {
                    self.opened = Some(Instant::now());
                    self.patience.works();
                    self.works();
                    return Some(deliveries);
                }
                Err(error) => {
                    self.is_hindered(&error);
                    self.patience.after(&error, &format!("{} cannot be consumed yet", self.name), shutdown).await;
                }
            }
        }
        None
    }

    /// Has `/readyz` tell what hinders it; for who opens the consumer by himself, as having more to do meanwhile.
    pub fn is_hindered(&self, error: &dyn std::error::Error) {
        self.missing.is_not_there(&self.name, error);
    }

    /// Nothing hinders it, or no longer.
    pub fn works(&self) {
        self.missing.is_there(&self.name);
    }

    /// Says why deliveries have ended.
    pub fn is_gone(&self, error: &BrokerError) {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, "the consumer is gone; opening it again, for {}", self.name);
    }
}

impl Drop for Consuming {
    /// Nobody waits for it any longer.
    fn drop(&mut self) {
        self.works();
    }
}

/// The consumers of this process that cannot be opened, and why: shared by all that ask.
#[derive(Debug, Clone, Default)]
pub struct Missing(Arc<Mutex<BTreeMap<String, String>>>);

impl Missing {
    /// What cannot be consumed, and why, in words.
    #[must_use]
    pub fn list(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(name, why)| (name.clone(), why.clone())).collect()
    }

    fn is_there(&self, name: &str) {
        self.lock().remove(name);
    }

    fn is_not_there(&self, name: &str, error: &dyn std::error::Error) {
        self.lock().insert(name.to_owned(), with_causes(error));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // A map is whole whatever died while it was held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        time::Duration,
    };

    use super::*;
    use crate::broker::{Config, embedded::Embedded};

    struct Ended;

    #[async_trait::async_trait]
    impl Deliveries for Ended {
        async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
            Err(BrokerError::Lost("it is gone".into()))
        }
    }

    async fn broker() -> (tempfile::TempDir, Embedded) {
        let folder = tempfile::tempdir().unwrap();
        let broker = Embedded::open(&folder.path().join("queue.sqlite"), &Config::default()).await.unwrap();
        (folder, broker)
    }

    #[tokio::test]
    async fn what_cannot_be_consumed_is_missed_until_it_can() {
        let (_folder, broker) = broker().await;
        let (mut consuming, shutdown) = (Consuming::new(&broker, "the queue"), Shutdown::default());
        let (tried, missed) = (Cell::new(0), RefCell::new(Vec::new()));
        let open = async || {
            missed.borrow_mut().push(broker.missing().list());
            tried.set(tried.get() + 1);
            if tried.get() < 3 { Err(BrokerError::Lost("no right to".into())) } else { Ok(Box::new(Ended) as _) }
        };
        assert!(consuming.open(open, &shutdown).await.is_some());
        let once = vec![("the queue".to_owned(), "the connection to the broker was lost: no right to".to_owned())];
        assert_eq!(*missed.borrow(), [vec![], once.clone(), once]);
        assert!(broker.missing().list().is_empty());
    }

    #[tokio::test]
    async fn a_consumer_that_is_gone_is_opened_again_after_a_pause_and_not_missed_after_the_end() {
        let (_folder, broker) = broker().await;
        let (shutdown, opened) = (Shutdown::default(), RefCell::new(Vec::new()));
        let open = async || {
            opened.borrow_mut().push(Instant::now());
            if opened.borrow().len() < 3 {
                return Ok(Box::new(Ended) as Box<dyn Deliveries>);
            }
            shutdown.request();
            Err(BrokerError::Lost("no right to".into()))
        };
        Consuming::new(&broker, "the queue").run(open, |_| panic!("nothing is delivered"), &shutdown).await;
        let opened = opened.into_inner();
        let pauses = opened.windows(2).map(|two| two[1] - two[0]);
        assert!(pauses.clone().all(|pause| pause >= Duration::from_millis(250)), "{:?}", pauses.collect::<Vec<_>>());
        assert!(broker.missing().list().is_empty(), "nobody waits for it any longer");
    }
}
