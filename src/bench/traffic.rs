//! Owns sending notes into a rig and taking their events out of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};

use super::{BenchError, flight::Flight, script::Sent};
use crate::broker::{Broker, BrokerError, Exchange, Subscription};

/// Producers and one subscriber.
pub(super) struct Traffic {
    pub flight: Flight,
    broker: Arc<dyn Broker>,
    arrivals: JoinHandle<BrokerError>,
}

impl Traffic {
    /// Subscribes; what is published from now on arrives.
    pub(super) async fn open(broker: &Arc<dyn Broker>) -> Result<Self, BenchError> {
        let flight = Flight::default();
        let results = broker.subscribe("processed.#").await?;
        let arrivals = tokio::spawn(arrive(results, flight.clone()));
        Ok(Self { flight, broker: Arc::clone(broker), arrivals })
    }

    /// Sends a note and does not wait for it. Its seat, where it has one, is free when it is answered.
    pub(super) fn send(&self, note: Sent, due: Instant, seat: Option<OwnedSemaphorePermit>) {
        let (flight, broker) = (self.flight.clone(), Arc::clone(&self.broker));
        flight.departs(note.event_id.clone(), due, seat);
        tokio::spawn(async move {
            if let Err(error) = broker.publish(Exchange::Notes, &note.message).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "a note was not queued");
                flight.is_refused(&note.event_id);
            }
        });
    }

    /// Until every note is answered, but no longer than `limit`.
    pub(super) async fn wait_for_the_rest(&self, limit: Duration) {
        const LOOK: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + limit;
        while self.flight.pending() > 0 && Instant::now() < deadline && !self.arrivals.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the subscription.
    ///
    /// # Errors
    /// If it had ended before by itself: then events may be missing that were published.
    pub(super) async fn close(self) -> Result<(), BenchError> {
        self.arrivals.abort();
        match self.arrivals.await {
            Ok(error) => Err(BenchError::Subscription(error)),
            Err(_) => Ok(()),
        }
    }
}

/// Takes events until there are no more, and says why.
async fn arrive(mut results: Box<dyn Subscription>, flight: Flight) -> BrokerError {
    loop {
        match results.next().await {
            Ok(message) => flight.arrives(message.id.as_deref().unwrap_or_default(), &message.routing_key),
            Err(error) => return error,
        }
    }
}
