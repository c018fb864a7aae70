//! Owns customers who send a note and wait for its result before they send the next one: as many notes are on their
//! way at any time as there are customers. So the time that passes is the sum of all waits, divided by their number,
//! and each profile's share of it is known although the profiles take turns.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::{sync::oneshot, task::JoinHandle};

use super::super::BenchError;
use crate::{
    broker::{Broker, BrokerError, Exchange, Subscription},
    event::{
        Processed,
        envelope::{self, PROCESSED_V1, Received, received_message},
    },
    note::VoiceNote,
};

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Processed>>>>;

/// A queue with a worker behind it, as customers see it.
pub(super) struct Counter {
    broker: Arc<dyn Broker>,
    waiting: Waiting,
    arrivals: JoinHandle<BrokerError>,
    patience: Duration,
}

/// One note's result, and how long it took to come.
pub(super) struct Answered {
    pub processed: Processed,
    pub took: Duration,
}

impl Counter {
    /// Subscribes. `patience`: how long anybody waits for a result.
    pub(super) async fn open(broker: &Arc<dyn Broker>, patience: Duration) -> Result<Self, BenchError> {
        let results = broker.subscribe("processed.#").await?;
        let waiting = Waiting::default();
        let arrivals = tokio::spawn(arrive(results, Arc::clone(&waiting)));
        Ok(Self { broker: Arc::clone(broker), waiting, arrivals, patience })
    }

    /// Has so many customers send these notes in order; the results, in that order.
    pub(super) async fn serve(
        &self,
        notes: impl IntoIterator<Item = VoiceNote>,
        customers: usize,
    ) -> Result<Vec<Answered>, BenchError> {
        // Started in order, and as soon as somebody is free; a slow note keeps none of the others from being sent.
        let sent = stream::iter(notes.into_iter().enumerate())
            .map(|(index, note)| async move { (index, self.ask(note).await) })
            .buffer_unordered(customers.max(1));
        let mut answers: Vec<(usize, Result<Answered, BenchError>)> = sent.collect().await;
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn ask(&self, note: VoiceNote) -> Result<Answered, BenchError> {
        let event_id = note.id().event_id(PROCESSED_V1).to_string();
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(event_id, answer);
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        let sent = Instant::now();
        self.broker.publish(Exchange::Notes, &message).await?;
        match tokio::time::timeout(self.patience, answered).await {
            Ok(Ok(processed)) => Ok(Answered { processed, took: sent.elapsed() }),
            _ => Err(BenchError::Lost { unanswered: 1, refused: 0 }),
        }
    }

    /// Ends the subscription.
    pub(super) async fn close(self) {
        self.arrivals.abort();
        // It was told to end.
        let _ = self.arrivals.await;
    }
}

async fn arrive(mut results: Box<dyn Subscription>, waiting: Waiting) -> BrokerError {
    loop {
        let message = match results.next().await {
            Ok(message) => message,
            Err(error) => return error,
        };
        let id = message.id.as_deref().unwrap_or_default();
        let answer = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let (Some(answer), Ok(processed)) = (answer, envelope::parse_processed(&message)) {
            // Whoever stopped waiting counts as unanswered already.
            let _ = answer.send(processed);
        }
    }
}
