//! A worker and a broker without a network between them: whatever fails and whenever the worker dies, a note ends
//! once, answered.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    broker::{
        Config, Lane,
        amqp::count::{Counted, Origin, Said, count},
    },
    event::processed::OutcomeKind,
    note::{AudioSource, Channel, NoteId, VoiceNote},
    pipeline,
    report::{Attempt, Report},
    understanding::redaction,
    worker::better_lane,
};

/// What happens to one delivery, from the outside.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fate {
    work: Work,
    publish: Publish,
    settle: Settle,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    Succeeds,
    /// A failure that may pass.
    FailsForNow,
    FailsForGood,
    /// Waits on another lane.
    Moves(Lane),
    NotYet,
    KillsTheWorker,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Publish {
    Confirmed,
    /// Returned as unroutable, negatively confirmed, or never sent.
    Refused,
    /// Stored, but the confirm is late or lost.
    StoredUnconfirmed,
    /// Larger than the broker takes, unless it is the short one.
    TooLarge,
    /// Stored, and then the worker dies.
    StoredAndWorkerDies,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Settle {
    Done,
    /// The connection is lost before the broker learns anything.
    Lost,
    /// A copy is where it belongs, and the original comes back.
    LostBetweenCopyAndAck,
}

const FINE: Fate = Fate { work: Work::Succeeds, publish: Publish::Confirmed, settle: Settle::Done };

fn any_fate() -> impl Strategy<Value = Fate> {
    let work = select(vec![
        Work::Succeeds,
        Work::FailsForNow,
        Work::FailsForGood,
        Work::Moves(Lane::Long),
        Work::NotYet,
        Work::KillsTheWorker,
    ]);
    let publish = select(vec![
        Publish::Confirmed,
        Publish::Refused,
        Publish::StoredUnconfirmed,
        Publish::TooLarge,
        Publish::StoredAndWorkerDies,
    ]);
    let settle = select(vec![Settle::Done, Settle::Lost, Settle::LostBetweenCopyAndAck]);
    (work, publish, settle).prop_map(|(work, publish, settle)| Fate { work, publish, settle })
}

/// One copy of the note in one of the broker's queues. Two exist while a note changes its queue.
#[derive(Debug, Clone, Copy)]
struct Copy {
    origin: Origin,
    said: Said,
}

/// The broker as far as one note is concerned.
struct World {
    config: Config,
    retry: RetryPolicy,
    note: NoteId,
    queued: Vec<Copy>,
    dead_letters: usize,
    /// Acknowledged without a copy anywhere.
    done: usize,
    events: Vec<(uuid::Uuid, OutcomeKind)>,
    /// How often in a row work on it killed a worker.
    kills: u32,
    kills_most: u32,
}

impl World {
    fn new(deliveries_max: u32, attempts_max: u32) -> Self {
        let said = Said { attempt: 1, returns: 0, delivery_count: 0, exhausted: false };
        Self {
            config: Config { deliveries_max, ..Config::default() },
            retry: RetryPolicy { attempts_max, ..RetryPolicy::default() },
            note: voice_note().id(),
            queued: vec![Copy { origin: Origin::Lane(Lane::Regular), said }],
            dead_letters: 0,
            done: 0,
            events: vec![],
            kills: 0,
            kills_most: 0,
        }
    }

    /// Delivers one copy and lets it meet its fate. False once there is none left.
    fn step(&mut self, fate: Fate) -> bool {
        if self.queued.is_empty() {
            return false;
        }
        let copy = self.queued.remove(0);
        let counted = count(copy.origin, copy.said, &self.config);
        let outcome = if let Some(lane) = better_lane(counted.lane, counted.returns > 0, counted.exhausted) {
            Outcome::settled(Settlement::Move(lane))
        } else if counted.exhausted {
            pipeline::crashed(&received(), attempt(counted), "worker")
        } else {
            let Some(outcome) = self.work(fate.work, counted) else {
                self.kills += 1;
                self.kills_most = self.kills_most.max(self.kills);
                self.comes_back(copy);
                return true;
            };
            outcome
        };
        self.perform(outcome, copy, counted, fate);
        true
    }

    fn work(&mut self, work: Work, counted: Counted) -> Option<Outcome> {
        let mut report = Report::begin(&voice_note(), attempt(counted), "worker");
        report.data.transcript = Some(crate::event::processed::Transcript {
            text: "Guten Tag".into(),
            language: "de".to_owned(),
            language_confidence: 1.0,
            confidence: 1.0,
            segments: vec![],
            model: "m".to_owned(),
        });
        let reason = Reason::AudioUnreachable;
        let settlement = match work {
            Work::KillsTheWorker => return None,
            Work::Moves(lane) if counted.lane == Lane::Regular => {
                return Some(Outcome::settled(Settlement::Move(lane)));
            }
            Work::Succeeds | Work::Moves(_) => Settlement::Ack,
            Work::FailsForGood => {
                report.conclude(OutcomeKind::Rejected, Reason::CorruptAudio, "");
                Settlement::Ack
            }
            Work::NotYet => return Some(Outcome::settled(Settlement::Later { after: Duration::ZERO })),
            Work::FailsForNow => {
                if let Some(after) = self.retry.delay_after(counted.attempt, self.note) {
                    return Some(Outcome::retry(after, reason));
                }
                report.conclude(OutcomeKind::Failed, reason, "");
                Settlement::DeadLetter(DeadLetterCause { reason, stage: Stage::Fetch })
            }
        };
        Some(Outcome { effects: vec![Event::processed(report.finish(), None)], settlement })
    }

    /// What the worker does, word for word, with a broker that fails as told.
    fn perform(&mut self, outcome: Outcome, copy: Copy, counted: Counted, fate: Fate) {
        let mut settling = Settling::new(outcome, counted.attempt);
        for _ in 0..10 {
            match settling.next() {
                Next::Publish(event) => {
                    let Some(data) = event.as_processed() else { panic!("nothing else is published here") };
                    let stored = (data.event_id(), data.outcome);
                    let is_short = data.transcript.is_none();
                    match fate.publish {
                        Publish::Refused => settling.not_published(Disposition::Retry, &self.retry),
                        Publish::TooLarge if !is_short => settling.not_published(Disposition::Fail, &self.retry),
                        Publish::Confirmed | Publish::TooLarge => {
                            self.events.push(stored);
                            settling.published();
                        }
                        Publish::StoredUnconfirmed => {
                            self.events.push(stored);
                            settling.not_published(Disposition::Retry, &self.retry);
                        }
                        Publish::StoredAndWorkerDies => {
                            self.events.push(stored);
                            return self.comes_back(copy);
                        }
                    }
                }
                Next::Settle(settlement) => {
                    let settlement = settlement.clone();
                    return self.settle(&settlement, copy, counted, fate.settle);
                }
            }
        }
        panic!("it never comes to settle");
    }

    fn settle(&mut self, settlement: &Settlement, copy: Copy, counted: Counted, fate: Settle) {
        if fate == Settle::Lost {
            return self.comes_back(copy);
        }
        let put = |lane, attempt, returns| {
            let said = Said { attempt, returns, delivery_count: 0, exhausted: counted.exhausted };
            Copy { origin: Origin::Lane(lane), said }
        };
        let moved = match settlement {
            Settlement::Ack | Settlement::DeadLetter(_) => None,
            Settlement::Retry { .. } => {
                let next = if counted.exhausted { counted.attempt } else { counted.attempt + 1 };
                Some(put(Lane::Regular, next, 0))
            }
            Settlement::Later { .. } => Some(put(Lane::Regular, counted.attempt, counted.returns)),
            Settlement::Move(lane) => Some(put(*lane, counted.attempt, counted.returns)),
        };
        if matches!(settlement, Settlement::Retry { .. }) {
            self.kills = 0;
        }
        self.queued.extend(moved);
        let is_dead = matches!(settlement, Settlement::DeadLetter(_));
        self.dead_letters += usize::from(is_dead);
        if fate == Settle::LostBetweenCopyAndAck {
            return self.comes_back(copy);
        }
        if moved.is_none() {
            self.done += 1;
            assert!(!self.events.is_empty(), "forgotten without an event: {settlement:?}");
        }
    }

    /// Its consumer is gone. The broker counts, and gives up on it when the queue's limit is passed.
    fn comes_back(&mut self, mut copy: Copy) {
        copy.said.delivery_count += 1;
        let limit = crate::broker::topology::delivery_limit(&self.config);
        if matches!(copy.origin, Origin::Lane(_)) && copy.said.delivery_count > limit {
            copy.origin = Origin::Crashed;
            copy.said.delivery_count = 0;
        }
        // Back at the head of its queue.
        self.queued.insert(0, copy);
    }
}

fn voice_note() -> VoiceNote {
    let audio = AudioSource::Inline { data: String::new() };
    VoiceNote::new("musterstrom".parse().unwrap(), Channel::upload(), "1".to_owned(), audio)
}

fn received() -> crate::event::envelope::Received {
    crate::event::envelope::Received { note: voice_note(), traceparent: None }
}

fn attempt(counted: Counted) -> Attempt {
    Attempt { number: counted.attempt, lane: counted.lane, ..Attempt::only() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_note_ends_once_answered(
        fates in vec(any_fate(), 0..30),
        deliveries_max in 1_u32..7,
        attempts_max in 1_u32..6,
    ) {
        let mut world = World::new(deliveries_max, attempts_max);
        for fate in &fates {
            world.step(*fate);
            prop_assert!(world.queued.len() + world.done > 0, "the note is nowhere");
        }
        // The storm is over; what is still queued comes to its end.
        let mut steps = 0;
        while world.step(FINE) {
            steps += 1;
            prop_assert!(steps < 200, "it goes on and on: {:?}", world.queued);
        }
        prop_assert!(!world.events.is_empty());
        let id = world.events[0].0;
        prop_assert!(world.events.iter().all(|(other, _)| *other == id), "two answers: {:?}", world.events);
    }

    /// However it gets from lane to lane meanwhile, a note that kills whoever works on it is worked on no more often
    /// than configured.
    #[test]
    fn a_note_that_kills_is_worked_on_as_often_as_configured(deliveries_max in 1_u32..7) {
        let mut world = World::new(deliveries_max, 5);
        let poison = Fate { work: Work::KillsTheWorker, ..FINE };
        while world.step(poison) {}
        prop_assert_eq!(world.kills_most, deliveries_max);
        prop_assert_eq!((world.dead_letters, world.done), (1, 1));
        prop_assert_eq!(&world.events, &[(world.events[0].0, OutcomeKind::Failed)]);
    }
}

#[test]
fn a_result_that_no_broker_takes_is_replaced_by_a_short_one() {
    let mut world = World::new(3, 3);
    world.step(Fate { publish: Publish::TooLarge, ..FINE });
    assert_eq!((world.dead_letters, world.done), (1, 1));
    assert_eq!(world.events.len(), 1);
    assert_eq!(world.events[0].1, OutcomeKind::Failed);
}

#[test]
fn a_refused_result_is_a_retry_and_never_a_success() {
    for publish in [Publish::Refused, Publish::StoredUnconfirmed] {
        let mut world = World::new(3, 3);
        world.step(Fate { publish, ..FINE });
        assert_eq!((world.done, world.queued.len(), world.queued[0].said.attempt), (0, 1, 2));
    }
}

#[test]
fn what_is_told_to_others_is_left_out_where_no_broker_takes_it_or_the_result() {
    let transcript = crate::event::processed::Transcript {
        text: "lang".into(),
        language: "de".to_owned(),
        language_confidence: 1.0,
        confidence: 1.0,
        segments: vec![],
        model: "m".to_owned(),
    };
    let outcome = || {
        let mut report = Report::begin(&voice_note(), Attempt::only(), "worker");
        report.data.transcript = Some(transcript.clone());
        let processed = report.finish();
        let redacted = redaction::redact(&processed, &std::collections::BTreeMap::new());
        let mut settling =
            Settling::new(Outcome { effects: vec![Event::processed(processed, None)], settlement: Settlement::Ack }, 1);
        settling.tell_as_well(Event::redacted(redacted, None));
        settling
    };
    let retry = RetryPolicy::default();
    // The result is too large: it is shortened, and nothing else is published.
    let mut settling = outcome();
    settling.not_published(Disposition::Fail, &retry);
    assert!(matches!(settling.next(), Next::Publish(Event::Processed { data, .. }) if data.transcript.is_none()));
    settling.published();
    assert!(matches!(settling.next(), Next::Settle(Settlement::DeadLetter(_))));
    // Only the other one is too large: the result stands.
    let mut settling = outcome();
    settling.published();
    assert!(matches!(settling.next(), Next::Publish(Event::Redacted { .. })));
    settling.not_published(Disposition::Fail, &retry);
    assert_eq!(settling.next(), Next::Settle(&Settlement::Ack));
    assert_eq!(settling.outcome().effects.len(), 1);
    // It could not be published for now: the note comes back, and all of it is told again.
    let mut settling = outcome();
    settling.published();
    settling.not_published(Disposition::Retry, &retry);
    assert!(matches!(settling.next(), Next::Settle(Settlement::Retry { .. })));
}

#[test]
fn a_refusal_that_is_too_large_is_shortened_once_and_keeps_its_reason() {
    let mut report = Report::begin(&voice_note(), Attempt::only(), "worker");
    report.conclude(OutcomeKind::Rejected, Reason::AudioNotFound, "there is no such file");
    let mut processed = report.finish();
    processed.conversation = Some("x".repeat(1 << 20).into());
    processed.message_id = Some("x".repeat(1 << 20));
    let outcome = Outcome { effects: vec![Event::processed(processed, None)], settlement: Settlement::Ack };
    let (mut settling, retry) = (Settling::new(outcome, 1), RetryPolicy::default());
    settling.not_published(Disposition::Fail, &retry);
    let Next::Publish(Event::Processed { data, .. }) = settling.next() else { panic!("it has an event") };
    assert_eq!((data.outcome, data.reason), (OutcomeKind::Rejected, Some(Reason::AudioNotFound)));
    assert!(serde_json::to_vec(data).unwrap().len() < 2000);
    // Not even that is taken: nothing is left to be said.
    settling.not_published(Disposition::Fail, &retry);
    assert!(matches!(settling.next(), Next::Settle(Settlement::DeadLetter(_))));
}
