//! Owns the book of what went in and what came out: every note that was taken in has to have one answer, the right one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use sprachpost::{
    broker::{Broker, Exchange, Message, Subscription, topology},
    event::{
        Processed,
        envelope::{PROCESSED_V1, Received, parse_processed, received_message},
    },
};

use futures_util::StreamExt;
use jiff::Timestamp;

/// The queue in which results are collected; no fault reaches what is in it.
pub const COLLECTOR: &str = "collector";

#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    /// By the id of the event that each note must have.
    expected: BTreeMap<String, Expected>,
    answers: BTreeMap<String, Answer>,
    conflicting: BTreeSet<String>,
    last_news: Option<Instant>,
    longest_silence: Duration,
}

/// What is known of a note beforehand.
#[derive(Debug, Clone)]
pub struct Expected {
    pub outcome: &'static str,
    /// None where nothing can be said about it.
    pub text: Option<String>,
}

#[derive(Debug, PartialEq)]
struct Answer {
    note_id: String,
    outcome: &'static str,
    text: Option<String>,
    intent: Option<String>,
    times: u32,
}

impl Ledger {
    pub fn expect(&self, received: &Received, expected: Expected) {
        self.book().expected.insert(received.note.id().event_id(PROCESSED_V1).to_string(), expected);
    }

    pub fn record(&self, message: &Message) {
        let processed = parse_processed(message).unwrap();
        let id = message.id.clone().expect("an event has an id");
        let answer = Answer::of(&processed);
        let mut book = self.book();
        if let Some(last) = book.last_news.replace(Instant::now()) {
            book.longest_silence = book.longest_silence.max(last.elapsed());
        }
        match book.answers.get_mut(&id) {
            Some(known) => {
                known.times += 1;
                if (Answer { times: known.times, ..answer }) != *known {
                    book.conflicting.insert(id);
                }
            }
            None => drop(book.answers.insert(id, answer)),
        }
    }

    /// Records results of a queue that knows no other way to collect them.
    pub async fn follow(&self, mut results: Box<dyn Subscription>) {
        while let Ok(message) = results.next().await {
            self.record(&message);
        }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn answered(&self) -> usize {
        self.book().answers.len()
    }

    /// Notes without an answer.
    pub fn lost(&self) -> usize {
        let book = self.book();
        book.expected.keys().filter(|id| !book.answers.contains_key(*id)).count()
    }

    /// Answers beyond the first, all under the id of the first.
    pub fn duplicates(&self) -> u32 {
        self.book().answers.values().map(|answer| answer.times - 1).sum()
    }

    /// Notes with answers that differ from each other or from what was to be said.
    pub fn conflicting(&self) -> usize {
        self.book().conflicting.len()
    }

    /// The longest time from one answer to the next, since the last time this was asked for.
    pub fn longest_silence(&self) -> Duration {
        std::mem::take(&mut self.book().longest_silence)
    }

    /// Waits until every note has its answer.
    pub fn wait(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.lost() > 0 {
            assert!(Instant::now() < deadline, "{} notes have no answer after {limit:?}", self.lost());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every note has its one answer, the expected one, and there is no other.
    pub fn check(&self) {
        let book = self.book();
        assert!(book.conflicting.is_empty(), "{} notes have conflicting answers", book.conflicting.len());
        for (id, expected) in &book.expected {
            let answer = book.answers.get(id).unwrap_or_else(|| panic!("a note has no answer under its id {id}"));
            assert_eq!(answer.outcome, expected.outcome);
            if expected.text.is_some() {
                assert_eq!(answer.text, expected.text);
            }
        }
        let others = book.answers.keys().filter(|id| !book.expected.contains_key(*id)).count();
        assert_eq!(others, 0, "answers that belong to no note");
    }
}

impl Answer {
    fn of(processed: &Processed) -> Self {
        let intent = processed.understanding.as_ref().and_then(|u| u.intent.as_ref()).map(|i| i.name.clone());
        Self {
            note_id: processed.note_id.to_string(),
            outcome: processed.outcome.as_str(),
            text: processed.transcript.as_ref().map(|t| t.text.expose().to_owned()),
            intent,
            times: 1,
        }
    }
}

/// Hands a note in as a careful producer does: until it is confirmed.
pub async fn submit(broker: &Arc<dyn Broker>, received: &Received) {
    while broker.publish(Exchange::Notes, &received_message(received, Timestamp::now())).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A cluster that has just come up, or lost a node, takes its time.
const BIND_LIMIT: Duration = Duration::from_mins(1);

async fn bind_within(url: &str, limit: Duration) {
    let deadline = Instant::now() + limit;
    while let Err(error) = bind(url).await {
        assert!(Instant::now() < deadline, "the queue that collects results cannot be had: {error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Collects results in a queue that survives the broker, from `url`.
pub struct Collector {
    url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Collector {
    pub async fn start(url: String, ledger: Ledger) -> Self {
        bind_within(&url, BIND_LIMIT).await;
        let reading_from = url.clone();
        let task = tokio::spawn(async move {
            loop {
                // Whatever ends it, the broker keeps what was not acknowledged.
                let _ = collect(&reading_from, &ledger).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { url, task }
    }

    /// Declares and binds its queue again, where somebody took it away.
    pub async fn bind(&self) {
        bind_within(&self.url, BIND_LIMIT).await;
    }

    /// Messages in a queue that nobody has been handed; none where there is no such queue.
    pub async fn waiting_in(&self, queue: &str) -> u32 {
        self.look_into(queue).await.0
    }

    /// Who consumes a queue, in number.
    pub async fn consumers_of(&self, queue: &str) -> u32 {
        self.look_into(queue).await.1
    }

    async fn look_into(&self, queue: &str) -> (u32, u32) {
        let (_connection, channel) = connect(&self.url).await.unwrap();
        let passive = QueueDeclareOptions::durable().passive();
        match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
            Ok(declared) => (declared.message_count(), declared.consumer_count()),
            Err(error) => {
                assert!(error.to_string().contains("NOT_FOUND"), "{error}");
                (0, 0)
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

async fn bind(url: &str) -> lapin::Result<()> {
    let (_connection, channel) = connect(url).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(i32::MAX.into()));
    channel.queue_declare(COLLECTOR.into(), QueueDeclareOptions::durable(), arguments).await?;
    let (exchange, bind) = (topology::RESULTS_EXCHANGE.into(), QueueBindOptions::default());
    channel.queue_bind(COLLECTOR.into(), exchange, "#".into(), bind, FieldTable::default()).await
}

async fn collect(url: &str, ledger: &Ledger) -> lapin::Result<()> {
    let (_connection, channel) = connect(url).await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut results = channel.basic_consume(COLLECTOR.into(), "".into(), options, none).await?;
    while let Some(delivery) = results.next().await {
        let delivery = delivery?;
        let message = Message {
            id: delivery.properties.message_id().as_ref().map(ToString::to_string),
            correlation_id: None,
            routing_key: delivery.routing_key.to_string(),
            content_type: delivery.properties.content_type().as_ref().map(ToString::to_string),
            headers: BTreeMap::new(),
            body: delivery.data.clone(),
        };
        ledger.record(&message);
        delivery.acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
