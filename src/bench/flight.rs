//! Owns the notes that were sent and not answered yet, and how long the others took.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

/// `processed.<tenant>.<channel>.<outcome>…`
const OUTCOME_IN_KEY: usize = 3;

/// The notes of one phase of a bench, by the id of the event that answers them.
#[derive(Debug, Clone, Default)]
pub(super) struct Flight(Arc<Mutex<Board>>);

#[derive(Debug, Default)]
struct Board {
    pending: HashMap<String, Departure>,
    answers: Vec<Answer>,
    /// Sum over all departures of the number of notes in flight then, for their mean.
    in_flight_sum: u64,
    in_flight_max: usize,
    departures: u64,
    outcomes: BTreeMap<String, u64>,
    refused: u64,
    duplicates: u64,
}

#[derive(Debug)]
struct Departure {
    due: Instant,
    /// Free again when the note is not pending any more.
    _seat: Option<OwnedSemaphorePermit>,
}

/// One answered note.
#[derive(Debug, Clone, Copy)]
struct Answer {
    arrived: Instant,
    took: Duration,
}

/// What became of the notes of one phase.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Notes that were answered in the time that counts.
    pub notes: u64,
    /// How long that was.
    pub seconds: f64,
    pub notes_per_s: f64,
    /// From the moment a note was due to be sent to the arrival of its event.
    pub latency_ms: Percentiles,
    pub in_flight: InFlight,
    /// All answered notes, those that do not count for the times included, by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Notes that the queue did not take.
    pub refused: u64,
    /// Notes without an answer.
    pub unanswered: u64,
    /// Events that came more than once, under the same id.
    pub duplicates: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Notes that were sent and not answered, counted whenever another one was sent.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct InFlight {
    pub mean: f64,
    pub max: usize,
}

impl Flight {
    /// A note leaves now; `due` is when it should have left.
    pub(super) fn departs(&self, event_id: String, due: Instant, seat: Option<OwnedSemaphorePermit>) {
        let mut board = self.board();
        board.pending.insert(event_id, Departure { due, _seat: seat });
        board.departures += 1;
        board.in_flight_sum += board.pending.len() as u64;
        board.in_flight_max = board.in_flight_max.max(board.pending.len());
    }

    /// The queue did not take the note.
    pub(super) fn is_refused(&self, event_id: &str) {
        let mut board = self.board();
        board.pending.remove(event_id);
        board.refused += 1;
    }

    /// An event arrived, under a routing key that names its outcome.
    pub(super) fn arrives(&self, event_id: &str, routing_key: &str) {
        let arrived = Instant::now();
        let mut board = self.board();
        match board.pending.remove(event_id) {
            Some(departure) => {
                board.answers.push(Answer { arrived, took: arrived.duration_since(departure.due) });
                let outcome = routing_key.split('.').nth(OUTCOME_IN_KEY).unwrap_or_default();
                match board.outcomes.get_mut(outcome) {
                    Some(count) => *count += 1,
                    None => drop(board.outcomes.insert(outcome.to_owned(), 1)),
                }
            }
            None => board.duplicates += 1,
        }
    }

    /// All notes that were answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.board().outcomes.values().sum()
    }

    pub(super) fn pending(&self) -> usize {
        self.board().pending.len()
    }

    /// The figures of everything that arrived from `since` on.
    pub(super) fn figures(&self, since: Instant) -> Figures {
        let board = self.board();
        let counted: Vec<Answer> = board.answers.iter().copied().filter(|answer| answer.arrived >= since).collect();
        let last = counted.iter().map(|answer| answer.arrived).max().unwrap_or(since);
        let seconds = last.duration_since(since).as_secs_f64();
        Figures {
            notes: counted.len() as u64,
            seconds,
            notes_per_s: if seconds > 0.0 { counted.len() as f64 / seconds } else { 0.0 },
            latency_ms: Percentiles::of(counted.iter().map(|answer| answer.took).collect()),
            in_flight: InFlight {
                mean: board.in_flight_sum as f64 / board.departures.max(1) as f64,
                max: board.in_flight_max,
            },
            outcomes: board.outcomes.clone(),
            refused: board.refused,
            unanswered: board.pending.len() as u64,
            duplicates: board.duplicates,
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Counts are whole after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Percentiles {
    /// Zeros of nothing.
    fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let at = |share: f64| percentile_ms(&durations, share);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

/// The smallest of these, in order, that this share does not exceed; 0 of nothing.
pub(super) fn percentile_ms(sorted: &[Duration], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(index).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_smallest_value_that_enough_others_do_not_exceed() {
        let hundred = Percentiles::of((1..=100).map(Duration::from_millis).collect());
        assert_eq!((hundred.p50, hundred.p90, hundred.p99, hundred.max), (50.0, 90.0, 99.0, 100.0));
        let one = Percentiles::of(vec![Duration::from_millis(7)]);
        assert_eq!((one.p50, one.p99), (7.0, 7.0));
        assert!(Percentiles::of(vec![]).max < f64::EPSILON);
    }

    #[test]
    fn a_note_is_answered_once_and_measured_from_when_it_was_due() {
        let flight = Flight::default();
        let due = Instant::now().checked_sub(Duration::from_millis(40)).unwrap();
        flight.departs("a".to_owned(), due, None);
        flight.departs("b".to_owned(), due, None);
        flight.departs("c".to_owned(), due, None);
        flight.arrives("a", "processed.t.c.completed.de.none.low");
        flight.arrives("a", "processed.t.c.completed.de.none.low");
        flight.is_refused("b");
        let figures = flight.figures(due);
        assert_eq!((figures.notes, figures.duplicates, figures.refused, figures.unanswered), (1, 1, 1, 1));
        assert!(figures.latency_ms.p50 >= 40.0);
        assert_eq!(figures.in_flight.max, 3);
        assert_eq!(figures.outcomes, BTreeMap::from([("completed".to_owned(), 1)]));
    }
}
