//! What both queues do alike.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use jiff::Timestamp;
use sprachpost::{
    broker::{Broker, BrokerError, Config, DeadLetters, Depth, HeldLetter, Lane, Message},
    event::Reason,
    outcome::{DeadLetterCause, Settlement, Stage},
};

use super::{
    A_MOMENT, Arc, Deliveries, Delivery, Duration, Exchange, Place, assert_nothing_comes, next, note, result, soon,
    submit, waiting,
};

on_both! {
    a_note_arrives_as_it_was_sent_and_is_gone_once_acknowledged
    a_waiting_worker_gets_a_note_at_once
    a_dropped_delivery_comes_back_and_counts
    a_note_handed_back_again_and_again_comes_back_and_is_not_exhausted
    closing_brings_back_what_was_not_settled
    a_retry_comes_back_after_its_delay_and_counts
    a_dead_letter_keeps_the_note_and_says_why
    a_note_that_is_never_settled_is_exhausted_and_ends_with_the_dead_letters
    a_retry_of_an_exhausted_note_stays_exhausted
    looking_at_dead_letters_changes_nothing
    a_replayed_letter_comes_as_a_new_note_that_says_it_is_a_replay
    a_replay_stays_one_when_it_is_handed_back_and_when_it_takes_workers_down
    a_full_queue_refuses_a_replay_and_the_letter_stays
    discarding_takes_one_letter_and_no_other
    results_reach_whoever_bound_their_topic_and_nobody_else
    results_that_nobody_bound_are_no_error
    a_result_given_up_waiting_for_is_not_lost
    prefetch_is_honoured
    a_note_given_up_waiting_for_is_neither_lost_nor_counted
    two_workers_share_the_notes
    a_message_over_the_limit_is_refused_and_others_go_on
    a_note_with_a_foreign_routing_key_is_refused
    a_full_queue_refuses_notes
    many_publish_at_the_same_time
    a_closed_queue_is_an_error_and_not_ready
    an_urgent_note_overtakes_and_stays_urgent_when_it_is_tried_again
    a_note_that_changes_its_lane_is_not_counted
    a_note_put_off_comes_back_with_nothing_counted
    suspects_are_handed_out_one_at_a_time
    a_suspect_that_keeps_coming_back_is_exhausted_as_early_as_any_other
}

fn dead_letter(reason: Reason, stage: Stage) -> Settlement {
    Settlement::DeadLetter(DeadLetterCause { reason, stage })
}

fn retry_after(after: Duration) -> Settlement {
    Settlement::Retry { after, reason: Reason::AudioUnreachable }
}

async fn exhausted_note(broker: &Arc<dyn Broker>) -> (Box<dyn Deliveries>, Box<dyn Delivery>) {
    submit(broker, "poison").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    for attempt in [1, 2] {
        let delivery = next(&mut deliveries).await;
        assert_eq!((delivery.attempt(), delivery.exhausted()), (attempt, false));
    }
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.exhausted()), (2, true));
    (deliveries, delivery)
}

async fn a_note_arrives_as_it_was_sent_and_is_gone_once_acknowledged(place: Place) {
    let broker = place.open().await;
    assert!(broker.is_ready());
    let before = Timestamp::now();
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(2.into()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!(*delivery.message(), note("a"));
    assert_eq!((delivery.attempt(), delivery.exhausted()), (1, false));
    let queued_at = delivery.queued_at().unwrap();
    // The file keeps milliseconds.
    assert!(queued_at.as_millisecond() >= before.as_millisecond() && queued_at <= Timestamp::now());
    delivery.settle(&Settlement::Ack).await.unwrap();
    assert_nothing_comes(&mut deliveries).await;
    broker.close().await;
    let broker = place.open().await;
    assert_eq!(broker.depth().await.unwrap(), Depth::default());
}

async fn a_waiting_worker_gets_a_note_at_once(place: Place) {
    let broker = place.open().await;
    let other = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let waiting = tokio::spawn(async move {
        let delivery = deliveries.next().await.unwrap();
        delivery.settle(&Settlement::Ack).await.unwrap();
    });
    let start = Instant::now();
    submit(&other, "from another connection").await;
    soon(waiting).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

async fn a_dropped_delivery_comes_back_and_counts(place: Place) {
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    drop(next(&mut deliveries).await);
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.message()), (2, &note("a")));
    delivery.settle(&Settlement::Ack).await.unwrap();
}

async fn a_note_handed_back_again_and_again_comes_back_and_is_not_exhausted(mut place: Place) {
    place.config.deliveries_max = 3;
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    for _ in 0..10 {
        let delivery = next(&mut deliveries).await;
        assert_eq!((delivery.exhausted(), delivery.message()), (false, &note("a")));
        delivery.hand_back().await.unwrap();
    }
    next(&mut deliveries).await.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn closing_brings_back_what_was_not_settled(place: Place) {
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let held = next(&mut deliveries).await;
    broker.close().await;
    let broker = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.message()), (2, &note("a")));
    let error = held.settle(&Settlement::Ack).await.unwrap_err();
    assert!(matches!(error, BrokerError::Lost(_)), "{error:?}");
    delivery.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn a_retry_comes_back_after_its_delay_and_counts(place: Place) {
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let delivery = next(&mut deliveries).await;
    let queued_at = delivery.queued_at();
    let start = Instant::now();
    delivery.settle(&retry_after(Duration::from_secs(1))).await.unwrap();
    let delivery = next(&mut deliveries).await;
    // The clocks of broker and test may differ by their grain.
    assert!(start.elapsed() > Duration::from_millis(950), "{:?}", start.elapsed());
    assert_eq!((delivery.attempt(), delivery.exhausted(), delivery.message()), (2, false, &note("a")));
    assert_eq!(delivery.queued_at(), queued_at);
    delivery.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn a_dead_letter_keeps_the_note_and_says_why(place: Place) {
    let broker = place.open().await;
    let before = Timestamp::now();
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    next(&mut deliveries).await.settle(&retry_after(Duration::from_secs(1))).await.unwrap();
    let delivery = next(&mut deliveries).await;
    delivery.settle(&dead_letter(Reason::AudioUnreachable, Stage::Fetch)).await.unwrap();
    assert_nothing_comes(&mut deliveries).await;
    let letters = broker.dead_letters(10).await.unwrap();
    let [letter] = letters.as_slice() else { panic!("one dead letter, not {}", letters.len()) };
    assert_eq!(letter.message, note("a"));
    assert_eq!((letter.reason.as_str(), letter.stage.as_str(), letter.attempts), ("audio_unreachable", "fetch", 2));
    let (first_at, last_at) = (letter.first_at.unwrap(), letter.last_at.unwrap());
    assert!(before.as_millisecond() <= first_at.as_millisecond() && last_at <= Timestamp::now());
    assert!(last_at.as_millisecond() - first_at.as_millisecond() >= 950, "{first_at} {last_at}");
    // What was looked at takes a moment to be back.
    let counted = async { while broker.depth().await.unwrap() != (Depth { waiting: 0, dead_letters: 1 }) {} };
    soon(counted).await;
}

async fn a_note_that_is_never_settled_is_exhausted_and_ends_with_the_dead_letters(mut place: Place) {
    place.config = Config { deliveries_max: 2, ..place.config };
    let broker = place.open().await;
    let (mut deliveries, delivery) = exhausted_note(&broker).await;
    assert_eq!(*delivery.message(), note("poison"));
    assert!(delivery.queued_at().is_some());
    delivery.settle(&dead_letter(Reason::WorkerCrashed, Stage::Receive)).await.unwrap();
    assert_nothing_comes(&mut deliveries).await;
    let letters = broker.dead_letters(10).await.unwrap();
    assert_eq!((letters[0].reason.as_str(), letters[0].attempts), ("worker_crashed", 2));
    assert_eq!(letters[0].message, note("poison"));
}

async fn a_retry_of_an_exhausted_note_stays_exhausted(mut place: Place) {
    place.config = Config { deliveries_max: 2, ..place.config };
    let broker = place.open().await;
    let (mut deliveries, delivery) = exhausted_note(&broker).await;
    delivery.settle(&retry_after(Duration::from_secs(1))).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.exhausted()), (2, true));
    assert_eq!(*delivery.message(), note("poison"));
    // Not even a worker that dies while it answers makes it an ordinary note again.
    drop(delivery);
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.exhausted()), (2, true));
    delivery.settle(&Settlement::Ack).await.unwrap();
}

async fn looking_at_dead_letters_changes_nothing(place: Place) {
    let broker = place.open().await;
    let mut deliveries = broker.consume(3.into()).await.unwrap();
    for id in ["a", "b", "c"] {
        submit(&broker, id).await;
        next(&mut deliveries).await.settle(&dead_letter(Reason::CorruptAudio, Stage::Decode)).await.unwrap();
    }
    for _ in 0..3 {
        let letters = soon(async {
            loop {
                // What was looked at takes a moment to be back.
                let letters = broker.dead_letters(10).await.unwrap();
                if letters.len() == 3 {
                    break letters;
                }
            }
        })
        .await;
        let ids: Vec<_> = letters.iter().filter_map(|letter| letter.message.id.as_deref()).collect();
        assert_eq!(ids, ["a", "b", "c"], "oldest first");
        assert!(letters.iter().all(|letter| letter.attempts == 1));
    }
    assert_eq!(broker.dead_letters(2).await.unwrap().len(), 2);
}

/// Submits a note and gives up on it.
async fn bury(broker: &Arc<dyn Broker>, deliveries: &mut Box<dyn Deliveries>, id: &str) {
    submit(broker, id).await;
    next(deliveries).await.settle(&dead_letter(Reason::TranscriberFailed, Stage::Transcribe)).await.unwrap();
}

/// The first letter with this message id, in a pass of its own.
async fn held(broker: &Arc<dyn Broker>, id: &str) -> (Box<dyn DeadLetters>, Box<dyn HeldLetter>) {
    soon(async {
        loop {
            let mut pass = broker.open_dead_letters().await.unwrap();
            while let Some(held) = pass.next().await.unwrap() {
                if held.letter().message.id.as_deref() == Some(id) {
                    return (pass, held);
                }
            }
            // What another pass has met takes a moment to be back.
            pass.close().await.unwrap();
        }
    })
    .await
}

async fn dead_letters_become(broker: &Arc<dyn Broker>, dead_letters: u64) {
    soon(async { while broker.depth().await.unwrap().dead_letters != dead_letters {} }).await;
}

async fn a_replayed_letter_comes_as_a_new_note_that_says_it_is_a_replay(place: Place) {
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    next(&mut deliveries).await.settle(&retry_after(Duration::from_secs(1))).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.replay()), (2, 0));
    delivery.settle(&dead_letter(Reason::AudioUnreachable, Stage::Fetch)).await.unwrap();

    let before = Timestamp::now();
    let (pass, letter) = held(&broker, "a").await;
    assert_eq!(letter.letter().replays, 0);
    assert!(letter.replay(1).await.unwrap());
    pass.close().await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!(*delivery.message(), note("a"));
    assert_eq!((delivery.attempt(), delivery.exhausted(), delivery.replay()), (1, false, 1));
    assert!(delivery.queued_at().unwrap().as_millisecond() >= before.as_millisecond(), "it waits since now");
    dead_letters_become(&broker, 0).await;

    delivery.settle(&retry_after(Duration::from_secs(1))).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!((delivery.attempt(), delivery.replay()), (2, 1), "a retry of a replay");
    delivery.settle(&dead_letter(Reason::CorruptAudio, Stage::Decode)).await.unwrap();
    let (pass, letter) = held(&broker, "a").await;
    let seen = letter.letter();
    assert_eq!((seen.replays, seen.attempts, seen.reason.as_str()), (1, 2, "corrupt_audio"));
    assert!(seen.first_at.unwrap().as_millisecond() >= before.as_millisecond(), "the history is the replay's own");
    drop(letter);
    pass.close().await.unwrap();
}

async fn a_replay_stays_one_when_it_is_handed_back_and_when_it_takes_workers_down(mut place: Place) {
    place.config = Config { deliveries_max: 2, ..place.config };
    let broker = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    bury(&broker, &mut deliveries, "a").await;
    let (pass, letter) = held(&broker, "a").await;
    assert!(letter.replay(7).await.unwrap());
    pass.close().await.unwrap();
    for _ in 0..5 {
        let delivery = next(&mut deliveries).await;
        assert_eq!((delivery.exhausted(), delivery.replay()), (false, 7));
        delivery.hand_back().await.unwrap();
    }
    let exhausted = soon(async {
        loop {
            let delivery = next(&mut deliveries).await;
            assert_eq!(delivery.replay(), 7);
            if delivery.exhausted() {
                break delivery;
            }
        }
    })
    .await;
    exhausted.settle(&dead_letter(Reason::WorkerCrashed, Stage::Receive)).await.unwrap();
    assert_eq!(broker.dead_letters(2).await.unwrap()[0].replays, 7);
}

async fn a_full_queue_refuses_a_replay_and_the_letter_stays(mut place: Place) {
    place.config.waiting_max = 1;
    let broker = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    bury(&broker, &mut deliveries, "a").await;
    drop(deliveries);
    // RabbitMQ takes a few more than it should before it notices.
    soon(async {
        let mut number = 0;
        while broker.publish(Exchange::Notes, &note(&format!("filler {number}"))).await.is_ok() {
            number += 1;
        }
    })
    .await;
    let (pass, letter) = held(&broker, "a").await;
    let error = letter.replay(1).await.unwrap_err();
    assert!(matches!(error, BrokerError::NotConfirmed { .. }), "{error:?}");
    pass.close().await.unwrap();
    dead_letters_become(&broker, 1).await;
}

async fn discarding_takes_one_letter_and_no_other(place: Place) {
    let broker = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    for id in ["a", "b", "c"] {
        bury(&broker, &mut deliveries, id).await;
    }
    let (pass, letter) = held(&broker, "b").await;
    assert!(letter.discard().await.unwrap());
    pass.close().await.unwrap();
    dead_letters_become(&broker, 2).await;
    let ids: Vec<_> = broker.dead_letters(10).await.unwrap().into_iter().filter_map(|l| l.message.id).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_nothing_comes(&mut deliveries).await;
}

async fn results_reach_whoever_bound_their_topic_and_nobody_else(place: Place) {
    let broker = place.open().await;
    let earlier = result("earlier", "processed.acme.mail.completed.de.complaint.high");
    broker.publish(Exchange::Results, &earlier).await.unwrap();
    let mut complaints = broker.subscribe("processed.*.*.completed.de.complaint.#").await.unwrap();
    let mut all = broker.subscribe("#").await.unwrap();
    let topics = ["processed.acme.mail.completed.de.outage.low", "processed.acme.mail.completed.de.complaint.high"];
    for (id, topic) in topics.iter().enumerate() {
        broker.publish(Exchange::Results, &result(&id.to_string(), topic)).await.unwrap();
    }
    broker.publish(Exchange::Results, &result("last", "processed.a.b.completed.de.complaint.low")).await.unwrap();
    for expected in [&result("1", topics[1]), &result("last", "processed.a.b.completed.de.complaint.low")] {
        assert_eq!(soon(complaints.next()).await.unwrap(), *expected);
    }
    for expected in ["0", "1", "last"] {
        assert_eq!(soon(all.next()).await.unwrap().id.as_deref(), Some(expected));
    }
}

async fn results_that_nobody_bound_are_no_error(place: Place) {
    let broker = place.open().await;
    drop(broker.subscribe("processed.#").await.unwrap());
    broker.publish(Exchange::Results, &result("a", "spike.acme.outage")).await.unwrap();
    broker.publish(Exchange::Results, &result("b", "processed.acme.mail.failed")).await.unwrap();
}

async fn a_result_given_up_waiting_for_is_not_lost(place: Place) {
    const RESULTS: usize = 300;
    let broker = place.open().await;
    let mut results = broker.subscribe("processed.#").await.unwrap();
    let publishing = {
        let broker = broker.clone();
        tokio::spawn(async move {
            for id in 0..RESULTS {
                broker.publish(Exchange::Results, &result(&id.to_string(), "processed.acme")).await.unwrap();
            }
        })
    };
    let mut seen = BTreeSet::new();
    soon(async {
        for round in 0_u64.. {
            // Long enough for something to arrive, often too short for the rest.
            let limit = Duration::from_micros(round % 50 * 20);
            if let Ok(result) = tokio::time::timeout(limit, results.next()).await {
                seen.insert(result.unwrap().id.unwrap());
            }
            if seen.len() == RESULTS {
                break;
            }
        }
    })
    .await;
    publishing.await.unwrap();
}

async fn prefetch_is_honoured(place: Place) {
    let broker = place.open().await;
    for id in ["a", "b", "c"] {
        submit(&broker, id).await;
    }
    let mut deliveries = broker.consume(2.into()).await.unwrap();
    let first = next(&mut deliveries).await;
    let second = next(&mut deliveries).await;
    assert_nothing_comes(&mut deliveries).await;
    // The third was not taken from the queue either: another worker can have it.
    let mut others = broker.consume(1.into()).await.unwrap();
    let third = next(&mut others).await;
    assert_eq!(third.message().id.as_deref(), Some("c"));
    first.settle(&Settlement::Ack).await.unwrap();
    submit(&broker, "d").await;
    let fourth = next(&mut deliveries).await;
    for delivery in [second, third, fourth] {
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    waiting(&broker, 0).await;
}

async fn a_note_given_up_waiting_for_is_neither_lost_nor_counted(place: Place) {
    let broker = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    submit(&broker, "a").await;
    let mut given_up = 0_u32;
    let delivery = soon(async {
        loop {
            // Now and then this is given up on in the middle.
            let limit = Duration::from_micros(u64::from(given_up) * 50);
            match tokio::time::timeout(limit, deliveries.next()).await {
                Ok(delivery) => break delivery.unwrap(),
                Err(_) => given_up += 1,
            }
        }
    })
    .await;
    assert_eq!((delivery.attempt(), delivery.message()), (1, &note("a")));
    delivery.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn two_workers_share_the_notes(place: Place) {
    let (broker, other) = (place.open().await, place.open().await);
    let mut deliveries = [broker.consume(1.into()).await.unwrap(), other.consume(1.into()).await.unwrap()];
    submit(&broker, "a").await;
    submit(&other, "b").await;
    let mut seen = BTreeSet::new();
    let [one, two] = &mut deliveries;
    for delivery in [next(one).await, next(two).await] {
        seen.extend(delivery.message().id.clone());
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    assert_eq!(seen, ["a", "b"].map(str::to_owned).into());
}

async fn a_message_over_the_limit_is_refused_and_others_go_on(mut place: Place) {
    place.config.message_bytes_max = 1000;
    let broker = place.open().await;
    let mut large = note("large");
    large.body = vec![b'x'; 1001];
    let error = broker.publish(Exchange::Notes, &large).await.unwrap_err();
    assert!(matches!(error, BrokerError::TooLarge { bytes: 1001, bytes_max: 1000 }), "{error:?}");
    submit(&broker, "small").await;
    waiting(&broker, 1).await;
}

async fn a_note_with_a_foreign_routing_key_is_refused(place: Place) {
    let broker = place.open().await;
    let error = broker.publish(Exchange::Notes, &result("a", "processed.acme")).await.unwrap_err();
    assert!(matches!(error, BrokerError::NotConfirmed { .. }), "{error:?}");
    submit(&broker, "b").await;
}

async fn a_full_queue_refuses_notes(mut place: Place) {
    place.config.waiting_max = 3;
    let broker = place.open().await;
    let mut accepted = 0;
    let error = loop {
        match broker.publish(Exchange::Notes, &note(&accepted.to_string())).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 50, "the limit is 3");
    };
    assert!(matches!(error, BrokerError::NotConfirmed { .. }), "{error:?}");
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    for _ in 0..accepted {
        next(&mut deliveries).await.settle(&Settlement::Ack).await.unwrap();
    }
    let room = async {
        while broker.publish(Exchange::Notes, &note("late")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(room).await;
}

async fn many_publish_at_the_same_time(place: Place) {
    const NOTES: usize = 300;
    let broker = place.open().await;
    let publishing: Vec<_> = (0..NOTES)
        .map(|id| {
            let broker = broker.clone();
            tokio::spawn(async move { submit(&broker, &id.to_string()).await })
        })
        .collect();
    let mut deliveries = broker.consume(8.into()).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..NOTES {
        let delivery = next(&mut deliveries).await;
        assert!(seen.insert(delivery.message().id.clone()), "delivered twice");
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    for published in publishing {
        published.await.unwrap();
    }
    waiting(&broker, 0).await;
}

async fn a_closed_queue_is_an_error_and_not_ready(place: Place) {
    let broker = place.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let mut results = broker.subscribe("#").await.unwrap();
    let waiting = tokio::spawn(async move { (deliveries.next().await.is_err(), results.next().await.is_err()) });
    // Let it wait: closing has to wake it.
    tokio::time::sleep(A_MOMENT).await;
    broker.close().await;
    assert_eq!(soon(waiting).await.unwrap(), (true, true));
    assert!(!broker.is_ready());
    assert!(soon(broker.publish(Exchange::Notes, &note("a"))).await.is_err());
    assert!(soon(broker.consume(1.into())).await.is_err());
}

async fn an_urgent_note_overtakes_and_stays_urgent_when_it_is_tried_again(place: Place) {
    let broker = place.open().await;
    submit(&broker, "first").await;
    submit(&broker, "second").await;
    let urgent = Message { routing_key: "urgent.musterstrom.whatsapp".to_owned(), ..note("urgent") };
    broker.publish(Exchange::Notes, &urgent).await.unwrap();
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let mut held = BTreeMap::new();
    for _ in 0..2 {
        let delivery = next(&mut deliveries).await;
        held.insert(delivery.message().id.clone().unwrap(), delivery);
    }
    assert_eq!(held.keys().collect::<Vec<_>>(), ["first", "urgent"], "beside the first, before the second");
    let delivery = held.remove("urgent").unwrap();
    assert_eq!((delivery.lane(), delivery.message()), (Lane::Urgent, &urgent));
    delivery.settle(&retry_after(A_MOMENT)).await.unwrap();
    let again = next(&mut deliveries).await;
    assert_eq!((again.lane(), again.attempt(), again.message()), (Lane::Urgent, 2, &urgent));
    again.settle(&Settlement::Ack).await.unwrap();
    held.remove("first").unwrap().settle(&Settlement::Ack).await.unwrap();
    next(&mut deliveries).await.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn a_note_that_changes_its_lane_is_not_counted(place: Place) {
    let broker = place.open().await;
    for id in ["long", "longer", "short"] {
        submit(&broker, id).await;
    }
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let queued_at = {
        let delivery = next(&mut deliveries).await;
        assert_eq!((delivery.lane(), delivery.returned()), (Lane::Regular, false));
        let queued_at = delivery.queued_at();
        delivery.settle(&Settlement::Move(Lane::Long)).await.unwrap();
        queued_at
    };
    // The lane of long notes hands out one; it does not matter whether before the next regular one or after it.
    let mut lanes = BTreeMap::new();
    for _ in 0..2 {
        let delivery = next(&mut deliveries).await;
        lanes.insert(delivery.message().id.clone().unwrap(), delivery);
    }
    let long = lanes.remove("long").unwrap();
    assert_eq!((long.lane(), long.attempt(), long.message()), (Lane::Long, 1, &note("long")));
    assert_eq!((long.queued_at(), long.returned()), (queued_at, false));
    lanes.remove("longer").unwrap().settle(&Settlement::Move(Lane::Long)).await.unwrap();
    // With one long note in hand, only the short one comes.
    let short = next(&mut deliveries).await;
    assert_eq!((short.lane(), short.message()), (Lane::Regular, &note("short")));
    assert_nothing_comes(&mut deliveries).await;
    for delivery in [long, short] {
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    let longer = next(&mut deliveries).await;
    assert_eq!((longer.lane(), longer.message()), (Lane::Long, &note("longer")));
    longer.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn a_note_put_off_comes_back_with_nothing_counted(mut place: Place) {
    place.config.deliveries_max = 2;
    let broker = place.open().await;
    submit(&broker, "a").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    for _ in 0..4 {
        let delivery = next(&mut deliveries).await;
        assert_eq!((delivery.attempt(), delivery.returned(), delivery.exhausted()), (1, false, false));
        delivery.settle(&Settlement::Later { after: Duration::from_millis(1) }).await.unwrap();
    }
    let delivery = next(&mut deliveries).await;
    assert_eq!(delivery.message(), &note("a"));
    delivery.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn suspects_are_handed_out_one_at_a_time(place: Place) {
    let broker = place.open().await;
    submit(&broker, "a").await;
    submit(&broker, "b").await;
    let mut deliveries = broker.consume(5.into()).await.unwrap();
    for delivery in [next(&mut deliveries).await, next(&mut deliveries).await] {
        delivery.settle(&Settlement::Move(Lane::Suspect)).await.unwrap();
    }
    let first = next(&mut deliveries).await;
    assert_eq!((first.lane(), first.attempt()), (Lane::Suspect, 1));
    assert_nothing_comes(&mut deliveries).await;
    first.settle(&Settlement::Ack).await.unwrap();
    next(&mut deliveries).await.settle(&Settlement::Ack).await.unwrap();
    waiting(&broker, 0).await;
}

async fn a_suspect_that_keeps_coming_back_is_exhausted_as_early_as_any_other(mut place: Place) {
    place.config.deliveries_max = 3;
    let broker = place.open().await;
    submit(&broker, "poison").await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    drop(next(&mut deliveries).await);
    let returned = next(&mut deliveries).await;
    assert!(returned.returned() && !returned.exhausted());
    assert_eq!((returned.lane(), returned.attempt()), (Lane::Regular, 2));
    returned.settle(&Settlement::Move(Lane::Suspect)).await.unwrap();
    for attempt in [2, 3] {
        let suspect = next(&mut deliveries).await;
        assert_eq!((suspect.lane(), suspect.attempt(), suspect.exhausted()), (Lane::Suspect, attempt, false));
        drop(suspect);
    }
    let exhausted = next(&mut deliveries).await;
    assert_eq!((exhausted.exhausted(), exhausted.attempt()), (true, 3));
    exhausted.settle(&dead_letter(Reason::WorkerCrashed, Stage::Receive)).await.unwrap();
    assert_eq!(broker.dead_letters(10).await.unwrap()[0].attempts, 3);
}
