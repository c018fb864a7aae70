//! The queue, embedded and on RabbitMQ: one suite for both, and what is particular to each.

/// The same test on both queues.
macro_rules! on_both {
    ($($(#[$meta:meta])* $test:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Place::embedded()).await;
            })*
        }
        mod rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Place::rabbitmq()).await;
            })*
        }
    };
}

mod embedded;
mod rabbitmq;
mod result_queues;
mod suite;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use sprachpost::broker::{self, Broker, Config, Deliveries, Delivery, Exchange, Message};

use crate::support::rabbitmq::{Vhost, shared};

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for something that must not happen to show.
const A_MOMENT: Duration = Duration::from_millis(400);

/// A queue of a test's own.
struct Place {
    url: SecretString,
    config: Config,
    _what: What,
}

#[expect(dead_code, reason = "held for as long as the place is used")]
enum What {
    File(tempfile::TempDir),
    Vhost(Vhost<'static>),
}

impl Place {
    fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
        Self { url: url.into(), config: Config::default(), _what: What::File(folder) }
    }

    fn rabbitmq() -> Self {
        let vhost = shared().new_vhost();
        // One delay only: each is a queue, and queues take their time to be declared.
        let config = Config { retry_delays_s: vec![1], ..Config::default() };
        Self { url: vhost.url().into(), config, _what: What::Vhost(vhost) }
    }

    async fn open(&self) -> Arc<dyn Broker> {
        broker::open(Some(&self.url), &self.config).await.unwrap()
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes far less time than this")
}

async fn next(deliveries: &mut Box<dyn Deliveries>) -> Box<dyn Delivery> {
    soon(deliveries.next()).await.unwrap()
}

async fn assert_nothing_comes(deliveries: &mut Box<dyn Deliveries>) {
    let arrived = tokio::time::timeout(A_MOMENT, deliveries.next()).await;
    assert!(arrived.is_err(), "nothing was to be delivered");
}

fn note(id: &str) -> Message {
    Message {
        id: Some(id.to_owned()),
        correlation_id: Some(format!("note-{id}")),
        routing_key: "received.musterstrom.whatsapp".to_owned(),
        content_type: Some("application/json".to_owned()),
        headers: BTreeMap::from([("traceparent".to_owned(), "00-4bf92f35-00f067aa-01".to_owned())]),
        body: format!("{{\"note\": \"{id}\"}}").into_bytes(),
    }
}

fn result(id: &str, routing_key: &str) -> Message {
    Message { routing_key: routing_key.to_owned(), ..note(id) }
}

async fn submit(broker: &Arc<dyn Broker>, id: &str) {
    broker.publish(Exchange::Notes, &note(id)).await.unwrap();
}

async fn waiting(broker: &Arc<dyn Broker>, notes: u64) {
    let reached = async {
        while broker.depth().await.unwrap().waiting != notes {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{notes} notes come to wait"));
}
