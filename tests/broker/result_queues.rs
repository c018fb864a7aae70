//! What both queues do alike with results that somebody must not miss.

use std::time::Instant;

use jiff::Timestamp;
use sprachpost::{
    broker::{Broker, BrokerError, Config, Consumers, Depth, Group, Lane, Message, ResultQueue},
    event::Reason,
    outcome::{DeadLetterCause, Settlement, Stage},
};

use super::{Arc, Deliveries, Duration, Exchange, Place, assert_nothing_comes, next, result, soon};

on_both! {
    results_wait_from_the_declaration_on_while_nobody_consumes
    every_queue_has_a_copy_and_a_retry_comes_back_to_its_own_alone
    what_is_given_up_on_lies_with_the_queues_own_dead_letters_and_is_replayed_into_it
    a_result_that_is_never_settled_is_exhausted
    a_result_handed_back_or_put_off_comes_back_with_nothing_counted
    closing_brings_back_results_that_were_not_settled
    two_consumers_share_a_queue_of_results_and_hold_no_more_than_they_may
    a_queue_of_one_process_passes_to_the_next_when_nothing_is_held_any_more
    a_full_queue_of_results_refuses_them_all_until_there_is_room
    queues_that_nobody_declared_have_no_dead_letters_to_look_at
    a_name_that_belongs_to_other_queues_is_refused
}

const TOPIC: &str = "processed.acme.mail.completed.de.outage.high";

fn tickets(name: &str) -> ResultQueue {
    ResultQueue {
        name: format!("tickets.{name}"),
        patterns: vec!["processed.acme.#".to_owned()],
        consumers: Consumers::Many,
    }
}

fn group(queue: &ResultQueue) -> Group {
    Group::Named(queue.group().unwrap())
}

async fn publish(broker: &Arc<dyn Broker>, id: &str, topic: &str) -> Message {
    let message = result(id, topic);
    broker.publish(Exchange::Results, &message).await.unwrap();
    message
}

async fn holds(broker: &Arc<dyn Broker>, queue: &ResultQueue, waiting: u64, dead_letters: u64) {
    let expected = Depth { waiting, dead_letters };
    soon(async {
        while broker.depth_of(&group(queue)).await.unwrap() != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn retry() -> Settlement {
    Settlement::Retry { after: Duration::from_secs(1), reason: Reason::InternalError }
}

fn given_up() -> Settlement {
    Settlement::DeadLetter(DeadLetterCause { reason: Reason::InternalError, stage: Stage::Receive })
}

async fn results_wait_from_the_declaration_on_while_nobody_consumes(place: Place) {
    let broker = place.open().await;
    let mut queue = tickets("main");
    publish(&broker, "before", TOPIC).await;
    broker.declare_results(&queue).await.unwrap();
    // Saying so again changes nothing.
    broker.declare_results(&queue).await.unwrap();
    let first = publish(&broker, "first", TOPIC).await;
    publish(&broker, "not asked for", "processed.other.mail.completed.de.outage.high").await;
    queue.patterns = vec!["acknowledged.#".to_owned(), "acknowledged.acme.*".to_owned()];
    broker.declare_results(&queue).await.unwrap();
    let second = publish(&broker, "second", "acknowledged.acme.mail").await;
    holds(&broker, &queue, 2, 0).await;
    broker.close().await;

    let broker = place.open().await;
    let mut results = broker.consume_results(&queue, 5).await.unwrap();
    for expected in [first, second] {
        let delivery = next(&mut results).await;
        assert_eq!(*delivery.message(), expected);
        assert_eq!((delivery.attempt(), delivery.exhausted(), delivery.returned()), (1, false, false));
        assert_eq!((delivery.lane(), delivery.replay()), (Lane::Regular, 0));
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    assert_nothing_comes(&mut results).await;
    holds(&broker, &queue, 0, 0).await;
    assert_eq!(broker.depth().await.unwrap(), Depth::default(), "no note was made of them");
}

async fn every_queue_has_a_copy_and_a_retry_comes_back_to_its_own_alone(place: Place) {
    let (broker, other) = (place.open().await, place.open().await);
    let mut mine = broker.consume_results(&tickets("mine"), 5).await.unwrap();
    let mut others = other.consume_results(&tickets("others"), 5).await.unwrap();
    let mut listening = broker.subscribe("#").await.unwrap();
    let published = publish(&broker, "a", TOPIC).await;
    let delivery = next(&mut mine).await;
    let start = Instant::now();
    delivery.settle(&retry()).await.unwrap();
    next(&mut others).await.settle(&Settlement::Ack).await.unwrap();
    soon(listening.next()).await.unwrap();

    let again = next(&mut mine).await;
    // The clocks of broker and test may differ by their grain.
    assert!(start.elapsed() > Duration::from_millis(950), "{:?}", start.elapsed());
    assert_eq!((again.attempt(), again.exhausted(), again.message()), (2, false, &published));
    again.settle(&Settlement::Ack).await.unwrap();
    assert_nothing_comes(&mut others).await;
    let last = publish(&broker, "last", TOPIC).await;
    assert_eq!(soon(listening.next()).await.unwrap(), last, "the retry went by nobody else");
    for results in [&mut mine, &mut others] {
        let delivery = next(results).await;
        assert_eq!((delivery.message(), delivery.attempt()), (&last, 1));
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
}

async fn what_is_given_up_on_lies_with_the_queues_own_dead_letters_and_is_replayed_into_it(place: Place) {
    let broker = place.open().await;
    let (queue, other) = (tickets("main"), tickets("other"));
    let mut results = broker.consume_results(&queue, 1).await.unwrap();
    broker.declare_results(&other).await.unwrap();
    let before = Timestamp::now();
    let published = publish(&broker, "a", TOPIC).await;
    next(&mut results).await.settle(&retry()).await.unwrap();
    next(&mut results).await.settle(&given_up()).await.unwrap();
    holds(&broker, &queue, 0, 1).await;
    assert_eq!(broker.depth().await.unwrap(), Depth::default(), "it is no note");
    assert!(broker.dead_letters(1).await.unwrap().is_empty());

    let mut pass = broker.open_dead_letters_of(&group(&queue)).await.unwrap();
    let held = soon(pass.next()).await.unwrap().expect("one letter");
    let letter = held.letter();
    assert_eq!(letter.message, published);
    assert_eq!((letter.reason.as_str(), letter.stage.as_str()), ("internal_error", "receive"));
    assert_eq!((letter.attempts, letter.replays), (2, 0));
    let (first_at, last_at) = (letter.first_at.unwrap(), letter.last_at.unwrap());
    assert!(before.as_millisecond() <= first_at.as_millisecond() && last_at <= Timestamp::now());
    assert!(last_at.as_millisecond() - first_at.as_millisecond() >= 950, "{first_at} {last_at}");
    assert!(held.replay(1).await.unwrap());
    pass.close().await.unwrap();

    let delivery = next(&mut results).await;
    assert_eq!((delivery.message(), delivery.attempt(), delivery.replay()), (&published, 1, 1));
    delivery.settle(&given_up()).await.unwrap();
    holds(&broker, &queue, 0, 1).await;
    holds(&broker, &other, 1, 0).await;
    let mut pass = broker.open_dead_letters_of(&group(&queue)).await.unwrap();
    let held = soon(pass.next()).await.unwrap().expect("the letter is back");
    assert_eq!((held.letter().attempts, held.letter().replays), (1, 1));
    assert!(held.discard().await.unwrap());
    pass.close().await.unwrap();
    holds(&broker, &queue, 0, 0).await;
}

async fn a_result_that_is_never_settled_is_exhausted(mut place: Place) {
    place.config = Config { deliveries_max: 2, ..place.config };
    let broker = place.open().await;
    let queue = tickets("main");
    let mut results = broker.consume_results(&queue, 1).await.unwrap();
    let published = publish(&broker, "poison", TOPIC).await;
    for attempt in [1, 2] {
        let delivery = next(&mut results).await;
        assert_eq!((delivery.attempt(), delivery.exhausted(), delivery.returned()), (attempt, false, attempt > 1));
    }
    let delivery = next(&mut results).await;
    assert_eq!((delivery.attempt(), delivery.exhausted(), delivery.lane()), (2, true, Lane::Regular));
    assert_eq!(*delivery.message(), published);
    delivery.settle(&retry()).await.unwrap();
    let delivery = next(&mut results).await;
    assert_eq!((delivery.attempt(), delivery.exhausted()), (2, true), "a retry does not make it an ordinary one");
    delivery.settle(&given_up()).await.unwrap();
    assert_nothing_comes(&mut results).await;
    holds(&broker, &queue, 0, 1).await;
}

async fn a_result_handed_back_or_put_off_comes_back_with_nothing_counted(mut place: Place) {
    place.config.deliveries_max = 3;
    let broker = place.open().await;
    let queue = tickets("main");
    let mut results = broker.consume_results(&queue, 1).await.unwrap();
    let published = publish(&broker, "a", TOPIC).await;
    for _ in 0..8 {
        let delivery = next(&mut results).await;
        assert_eq!((delivery.exhausted(), delivery.message()), (false, &published));
        delivery.hand_back().await.unwrap();
    }
    next(&mut results).await.settle(&Settlement::Ack).await.unwrap();
    publish(&broker, "b", TOPIC).await;
    let elsewhere = [
        Settlement::Later { after: Duration::from_millis(1) },
        Settlement::Move(Lane::Long),
        Settlement::Move(Lane::Suspect),
        Settlement::Move(Lane::Urgent),
    ];
    for settlement in elsewhere {
        let delivery = next(&mut results).await;
        assert_eq!((delivery.attempt(), delivery.lane(), delivery.returned()), (1, Lane::Regular, false));
        delivery.settle(&settlement).await.unwrap();
    }
    next(&mut results).await.settle(&Settlement::Ack).await.unwrap();
    holds(&broker, &queue, 0, 0).await;
}

async fn closing_brings_back_results_that_were_not_settled(place: Place) {
    let broker = place.open().await;
    let queue = tickets("main");
    let mut results = broker.consume_results(&queue, 2).await.unwrap();
    let published = publish(&broker, "a", TOPIC).await;
    let held = next(&mut results).await;
    broker.close().await;
    let broker = place.open().await;
    let mut results = broker.consume_results(&queue, 2).await.unwrap();
    let delivery = next(&mut results).await;
    assert_eq!((delivery.attempt(), delivery.message()), (2, &published));
    let error = held.settle(&Settlement::Ack).await.unwrap_err();
    assert!(matches!(error, BrokerError::Lost(_)), "{error:?}");
    delivery.settle(&Settlement::Ack).await.unwrap();
    holds(&broker, &queue, 0, 0).await;
}

async fn two_consumers_share_a_queue_of_results_and_hold_no_more_than_they_may(place: Place) {
    let (broker, other) = (place.open().await, place.open().await);
    let queue = tickets("main");
    let mut results = broker.consume_results(&queue, 2).await.unwrap();
    for id in ["a", "b", "c"] {
        publish(&broker, id, TOPIC).await;
    }
    let held = [next(&mut results).await, next(&mut results).await];
    assert_nothing_comes(&mut results).await;
    let mut others = other.consume_results(&queue, 1).await.unwrap();
    let third = next(&mut others).await;
    assert_eq!(third.message().id.as_deref(), Some("c"));
    for delivery in held.into_iter().chain([third]) {
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    holds(&broker, &queue, 0, 0).await;
}

async fn a_queue_of_one_process_passes_to_the_next_when_nothing_is_held_any_more(place: Place) {
    let (broker, other) = (place.open().await, place.open().await);
    let queue = ResultQueue { consumers: Consumers::One, ..tickets("main") };
    let mut results = broker.consume_results(&queue, 1).await.unwrap();
    for id in ["a", "b"] {
        publish(&broker, id, TOPIC).await;
    }
    let held = next(&mut results).await;
    let mut others = other.consume_results(&queue, 1).await.unwrap();
    assert_nothing_comes(&mut others).await;
    held.settle(&Settlement::Ack).await.unwrap();
    let held = next(&mut results).await;
    assert_nothing_comes(&mut others).await;
    // Gone without a word.
    broker.close().await;
    let again = next(&mut others).await;
    assert_eq!((again.message().id.as_deref(), again.returned()), (Some("b"), true));
    drop(held);
    again.settle(&Settlement::Ack).await.unwrap();
    holds(&other, &queue, 0, 0).await;
}

async fn a_full_queue_of_results_refuses_them_all_until_there_is_room(mut place: Place) {
    place.config.waiting_max = 3;
    let broker = place.open().await;
    let queue = tickets("main");
    broker.declare_results(&queue).await.unwrap();
    let mut accepted = 0;
    let error = loop {
        match broker.publish(Exchange::Results, &result(&accepted.to_string(), TOPIC)).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 50, "the limit is 3");
    };
    assert!(matches!(error, BrokerError::NotConfirmed { .. }), "{error:?}");
    publish(&broker, "others go on", "processed.other.mail").await;
    let mut results = broker.consume_results(&queue, 1).await.unwrap();
    for _ in 0..accepted {
        next(&mut results).await.settle(&Settlement::Ack).await.unwrap();
    }
    let room = async {
        while broker.publish(Exchange::Results, &result("late", TOPIC)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(room).await;
}

async fn queues_that_nobody_declared_have_no_dead_letters_to_look_at(place: Place) {
    let broker = place.open().await;
    let unknown: Group = "tickets.unknown".parse().unwrap();
    let looked = async { broker.open_dead_letters_of(&unknown).await?.next().await.map(drop) };
    let error = looked.await.unwrap_err();
    assert!(error.to_string().contains("tickets.unknown"), "{error:?}");
    assert!(broker.is_ready());
}

async fn a_name_that_belongs_to_other_queues_is_refused(place: Place) {
    let broker = place.open().await;
    for (name, patterns) in [("notes.work", vec!["#".to_owned()]), ("tickets.main", vec![])] {
        let queue = ResultQueue { name: name.to_owned(), patterns, consumers: Consumers::Many };
        let error = broker.consume_results(&queue, 1).await.map(drop).unwrap_err();
        assert!(matches!(error, BrokerError::InvalidSetting { .. }), "{error:?}");
    }
}

/// What a role does: opened anew until it works.
pub async fn reopened(broker: &Arc<dyn Broker>, queue: &ResultQueue) -> Box<dyn Deliveries> {
    soon(async {
        loop {
            match broker.consume_results(queue, 5).await {
                Ok(results) => break results,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    })
    .await
}
