//! What only RabbitMQ does: it can be restarted, cut off, and changed by others.

use std::{collections::BTreeSet, time::Instant};

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldArray, FieldTable},
};
use sprachpost::{
    broker::{self, BrokerError, Consumers, Lane, ResultQueue, topology},
    event::Reason,
    outcome::{DeadLetterCause, Settlement, Stage},
};

use super::{
    Arc, Broker, Config, Deliveries, Duration, Exchange, Place, next, note, result, result_queues, soon, submit,
    waiting,
};
use crate::support::rabbitmq::{MESSAGE_BYTES_MAX, Node, shared};

fn config() -> Config {
    Config { retry_delays_s: vec![1], ..Config::default() }
}

async fn until_ready(broker: &Arc<dyn Broker>, ready: bool) {
    soon(async {
        while broker.is_ready() != ready {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// As a worker does: opened anew until it works.
async fn reopened(broker: &Arc<dyn Broker>) -> Box<dyn Deliveries> {
    soon(async {
        loop {
            match broker.consume(5.into()).await {
                Ok(deliveries) => break deliveries,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_producer_may_send_what_it_likes() {
    let place = Place::rabbitmq();
    let broker = place.open().await;
    let url = secrecy::ExposeSecret::expose_secret(&place.url).to_owned();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert("ce-type".into(), AMQPValue::LongString("de.sprachpost.voice-note.received.v1".into()));
    headers.insert("priority".into(), AMQPValue::ShortInt(3));
    headers.insert("list".into(), AMQPValue::FieldArray(FieldArray::default()));
    headers.insert(topology::header::ATTEMPT.into(), AMQPValue::LongString("many".into()));
    let properties = BasicProperties::default().with_headers(headers).with_timestamp(1_700_000_000);
    #[expect(clippy::disallowed_methods, reason = "this is the foreign producer")]
    let published = channel
        .basic_publish(
            topology::NOTES_EXCHANGE.into(),
            "received.acme.mail".into(),
            BasicPublishOptions::default(),
            b"{}",
            properties,
        )
        .await
        .unwrap();
    assert!(published.await.unwrap().is_ack());
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    let message = delivery.message();
    assert_eq!((message.id.as_ref(), message.content_type.as_ref()), (None, None));
    assert_eq!((message.body.as_slice(), message.routing_key.as_str()), (b"{}".as_slice(), "received.acme.mail"));
    let headers: Vec<_> = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("ce-type", "de.sprachpost.voice-note.received.v1"), ("priority", "3")]);
    assert_eq!((delivery.attempt(), delivery.queued_at().unwrap().as_second()), (1, 1_700_000_000));
    delivery.settle(&Settlement::Ack).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_restarted_loses_nothing() {
    let mut node = Node::start();
    let url = node.new_vhost().url().into();
    let config = Config { confirm_s_max: 2, connect_s_max: 3, ..config() };
    let broker = broker::open(Some(&url), &config).await.unwrap();
    for id in 0..20 {
        submit(&broker, &id.to_string()).await;
    }
    let mut deliveries = broker.consume(5.into()).await.unwrap();
    let mut done = BTreeSet::new();
    for _ in 0..5 {
        let delivery = next(&mut deliveries).await;
        done.extend(delivery.message().id.clone());
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    waiting(&broker, 10).await;
    let held = next(&mut deliveries).await;

    node.kill();
    until_ready(&broker, false).await;
    let start = Instant::now();
    let error = broker.publish(Exchange::Notes, &note("meanwhile")).await.unwrap_err();
    // Lost: the connection that consumes was the first to notice.
    assert!(
        matches!(error, BrokerError::Unreachable { .. } | BrokerError::TimedOut { .. } | BrokerError::Lost(_)),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("guest"), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // What was delivered before may still come; then the loss is an error, again and again.
    while let Ok(delivery) = soon(deliveries.next()).await {
        assert!(delivery.settle(&Settlement::Ack).await.is_err());
    }
    assert!(soon(deliveries.next()).await.is_err());
    assert!(matches!(held.settle(&Settlement::Ack).await, Err(BrokerError::Lost(_))));

    node.restart();
    let mut deliveries = reopened(&broker).await;
    until_ready(&broker, true).await;
    submit(&broker, "afterwards").await;
    while done.len() < 21 {
        let delivery = next(&mut deliveries).await;
        done.extend(delivery.message().id.clone());
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    waiting(&broker, 0).await;
}

fn tickets() -> ResultQueue {
    ResultQueue {
        name: "tickets.main".to_owned(),
        patterns: vec!["processed.#".to_owned()],
        consumers: Consumers::Many,
    }
}

async fn publish(broker: &Arc<dyn Broker>, id: &str) {
    soon(async { while broker.publish(Exchange::Results, &result(id, "processed.acme")).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_results_outlives_lost_connections_and_is_declared_anew_when_it_was_deleted() {
    let vhost = shared().new_vhost();
    let broker = broker::open(Some(&vhost.url().into()), &config()).await.unwrap();
    let mut results = broker.consume_results(&tickets(), 5).await.unwrap();
    publish(&broker, "a").await;
    let held = next(&mut results).await;
    vhost.close_connections();
    assert!(soon(results.next()).await.is_err());
    assert!(matches!(held.settle(&Settlement::Ack).await, Err(BrokerError::Lost(_))));
    let mut results = result_queues::reopened(&broker, &tickets()).await;
    let again = next(&mut results).await;
    assert_eq!((again.message().id.as_deref(), again.attempt()), (Some("a"), 2));

    // A retry finds its queue declared anew, with all others.
    vhost.delete_queue("sprachpost.tickets.main.retry.1s");
    again.settle(&Settlement::Retry { after: Duration::from_secs(1), reason: Reason::InternalError }).await.unwrap();
    let again = next(&mut results).await;
    assert_eq!(again.attempt(), 3);
    again.settle(&Settlement::Ack).await.unwrap();

    vhost.delete_queue("sprachpost.tickets.main");
    assert!(soon(results.next()).await.is_err());
    let mut results = result_queues::reopened(&broker, &tickets()).await;
    publish(&broker, "b").await;
    assert_eq!(next(&mut results).await.message().id.as_deref(), Some("b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_results_outlives_a_killed_broker() {
    let mut node = Node::start();
    let url = node.new_vhost().url().into();
    let config = Config { confirm_s_max: 2, connect_s_max: 3, ..config() };
    let broker = broker::open(Some(&url), &config).await.unwrap();
    let mut results = broker.consume_results(&tickets(), 5).await.unwrap();
    publish(&broker, "held").await;
    let held = next(&mut results).await;
    publish(&broker, "waits").await;
    node.kill();
    soon(async { while results.next().await.is_ok() {} }).await;
    assert!(held.settle(&Settlement::Ack).await.is_err());
    node.restart();
    let mut results = result_queues::reopened(&broker, &tickets()).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let delivery = next(&mut results).await;
        seen.extend(delivery.message().id.clone());
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    assert_eq!(seen, ["held", "waits"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_still_takes_acknowledgements() {
    let node = Node::start();
    let url = node.new_vhost().url().into();
    let config = Config { confirm_s_max: 1, ..config() };
    let broker = broker::open(Some(&url), &config).await.unwrap();
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(5.into()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    node.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    soon(async { while broker.publish(Exchange::Notes, &note("b")).await.is_ok() {} }).await;
    until_ready(&broker, false).await;
    let error = broker.publish(Exchange::Notes, &note("c")).await.unwrap_err();
    assert!(matches!(error, BrokerError::TimedOut { .. }), "{error:?}");
    delivery.settle(&Settlement::Ack).await.unwrap();
    node.control(&["set_vm_memory_high_watermark", "absolute", "1GB"]);
    until_ready(&broker, true).await;
    submit(&broker, "d").await;
    soon(async {
        loop {
            let delivery = deliveries.next().await.unwrap();
            let id = delivery.message().id.clone();
            assert_ne!(id.as_deref(), Some("a"), "it was acknowledged");
            delivery.settle(&Settlement::Ack).await.unwrap();
            if id.as_deref() == Some("d") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_connection_is_replaced_and_its_notes_come_back() {
    let vhost = shared().new_vhost();
    let broker = broker::open(Some(&vhost.url().into()), &config()).await.unwrap();
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let held = next(&mut deliveries).await;
    vhost.close_connections();
    let error = held.settle(&Settlement::Ack).await.unwrap_err();
    assert!(matches!(error, BrokerError::Lost(_)), "{error:?}");
    assert!(soon(deliveries.next()).await.is_err());
    let mut deliveries = reopened(&broker).await;
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.message()), (2, &note("a")));
    delivery.settle(&Settlement::Ack).await.unwrap();
    until_ready(&broker, true).await;
    submit(&broker, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_an_error_to_its_consumer_and_declared_anew() {
    let vhost = shared().new_vhost();
    let broker = broker::open(Some(&vhost.url().into()), &config()).await.unwrap();
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    vhost.delete_queue(topology::WORK_QUEUE);
    let error = soon(deliveries.next()).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, BrokerError::Lost(_)), "{error:?}");
    assert!(broker.is_ready(), "the connection is as good as before");
    // Without anybody having consumed again.
    submit(&broker, "a").await;
    let mut deliveries = reopened(&broker).await;
    next(&mut deliveries).await.settle(&Settlement::Ack).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_finds_its_queue_declared_anew() {
    let vhost = shared().new_vhost();
    let broker = broker::open(Some(&vhost.url().into()), &config()).await.unwrap();
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    vhost.delete_queue(&topology::retry_queue(Lane::Regular, 1));
    let retry = Settlement::Retry { after: Duration::from_secs(1), reason: Reason::InternalError };
    delivery.settle(&retry).await.unwrap();
    assert_eq!(next(&mut deliveries).await.attempt(), 2);
}

fn given_up() -> Settlement {
    Settlement::DeadLetter(DeadLetterCause { reason: Reason::CorruptAudio, stage: Stage::Decode })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_between_publish_and_acknowledgement_leaves_the_letter_and_the_same_order_is_the_same_replay() {
    let place = Place::rabbitmq();
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    next(&mut deliveries).await.settle(&given_up()).await.unwrap();

    let mut pass = broker.open_dead_letters().await.unwrap();
    let letter = pass.next().await.unwrap().unwrap();
    // The pass's channel goes, and with it the right to acknowledge; publishing has another and works.
    pass.close().await.unwrap();
    let error = letter.replay(1).await.unwrap_err();
    assert!(matches!(error, BrokerError::Lost(_)), "{error:?}");
    let first = next(&mut deliveries).await;
    assert_eq!((first.replay(), first.message()), (1, &note("a")));
    first.settle(&Settlement::Ack).await.unwrap();

    let mut pass = broker.open_dead_letters().await.unwrap();
    let letter = pass.next().await.unwrap().expect("the letter is where it was");
    assert_eq!(letter.letter().replays, 0);
    assert!(letter.replay(1).await.unwrap());
    pass.close().await.unwrap();
    let second = next(&mut deliveries).await;
    assert_eq!((second.replay(), second.message()), (1, &note("a")));
    second.settle(&Settlement::Ack).await.unwrap();
    soon(async { while broker.depth().await.unwrap().dead_letters != 0 {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_holds_back_no_more_letters_than_it_may_and_says_so() {
    let mut place = Place::rabbitmq();
    place.config.letters_held_max = 2;
    let broker = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    for id in ["a", "b", "c"] {
        submit(&broker, id).await;
        next(&mut deliveries).await.settle(&given_up()).await.unwrap();
    }
    let mut pass = broker.open_dead_letters().await.unwrap();
    let first = pass.next().await.unwrap().unwrap();
    assert_eq!(first.letter().message.id.as_deref(), Some("a"));
    assert!(first.discard().await.unwrap(), "one that was taken is held back no more");
    assert!(pass.next().await.unwrap().is_some());
    assert!(pass.next().await.unwrap().is_some());
    assert!(pass.next().await.unwrap().is_none() && !pass.is_cut_short());
    pass.close().await.unwrap();
    submit(&broker, "d").await;
    next(&mut deliveries).await.settle(&given_up()).await.unwrap();
    let cut_short = async {
        loop {
            let mut pass = broker.open_dead_letters().await.unwrap();
            let mut met = 0;
            while pass.next().await.unwrap().is_some() {
                met += 1;
            }
            assert!(met <= 2, "{met}");
            let cut_short = pass.is_cut_short();
            pass.close().await.unwrap();
            if cut_short {
                break;
            }
        }
    };
    // What was met before takes a moment to be back.
    soon(cut_short).await;
    soon(async { while broker.depth().await.unwrap().dead_letters != 3 {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_brokers_own_limit_closes_nothing_that_others_use() {
    let place = Place::rabbitmq();
    let broker = place.open().await;
    let mut large = note("large");
    large.body = vec![b'x'; MESSAGE_BYTES_MAX + 1];
    let publishing: Vec<_> = (0..20)
        .map(|id| {
            let broker = broker.clone();
            tokio::spawn(async move { broker.publish(Exchange::Notes, &note(&id.to_string())).await })
        })
        .collect();
    let error = broker.publish(Exchange::Notes, &large).await.unwrap_err();
    assert!(matches!(error, BrokerError::TooLarge { bytes_max: MESSAGE_BYTES_MAX, .. }), "{error:?}");
    for published in publishing {
        published.await.unwrap().unwrap();
    }
    assert!(broker.is_ready());
    waiting(&broker, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_declared_with_other_settings_are_named() {
    let mut place = Place::rabbitmq();
    place.open().await.close().await;
    place.config.deliveries_max += 1;
    let error = broker::open(Some(&place.url), &place.config).await.map(drop).unwrap_err();
    let BrokerError::TopologyConflict { name, .. } = error else { panic!("{error:?}") };
    assert!(Lane::ALL.iter().any(|lane| lane.queue() == name), "{name}");
}

/// Queues behave the same on 3.10 and on 4 by their arguments; which of them the suite has shown that on, it says.
#[test]
fn the_suite_says_which_rabbitmq_it_ran_on() {
    let version = shared().version();
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    assert!(major >= 3, "{version}");
    eprintln!("this is RabbitMQ {version}");
    if major < 4 {
        eprintln!(
            "SKIPPED here: RabbitMQ 4. `make test-rabbitmq-4` runs these tests on it; SPRACHPOST_RABBITMQ names the folder of \
             any installation's programs (rabbitmq-server, rabbitmqctl)"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_of_a_cluster_will_do() {
    let vhost = shared().new_vhost();
    // Two nodes that are down beside the one that is up; where an attempt begins is chance.
    let down = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = vhost.url().replacen("@127", &format!("@{},{},127", down(), down()), 1);
    let broker = broker::open(Some(&url.into()), &config()).await.unwrap();
    submit(&broker, "a").await;
    vhost.close_connections();
    until_ready(&broker, true).await;
    next(&mut reopened(&broker).await).await.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
    broker.close().await;
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_an_error_without_its_password() {
    let unused = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let url = format!("amqp://nutzer:geheim@{unused}/v");
    let error = broker::open(Some(&url.into()), &config()).await.map(drop).unwrap_err();
    let BrokerError::Unreachable { address, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*address, unused.to_string());
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}

#[tokio::test]
async fn a_broker_that_accepts_and_says_nothing_is_a_time_out() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("amqp://{}", silent.local_addr().unwrap());
    let config = Config { connect_s_max: 1, ..config() };
    let error = soon(broker::open(Some(&url.into()), &config)).await.map(drop).unwrap_err();
    assert!(matches!(error, BrokerError::TimedOut { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let url = shared().new_vhost().url().replace("guest:guest", "guest:geheim");
    let error = soon(broker::open(Some(&url.into()), &config())).await.map(drop).unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}
