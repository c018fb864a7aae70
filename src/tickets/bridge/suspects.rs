//! Owns the question whether a system fails or a single note makes it fail: one that times out, or answers with an
//! error of its own, may do so for what this note asks of it. What happens to the others tells.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{note::NoteId, tickets::TicketError};

/// After so many failures in a row a note lets others go first.
const FAILURES_IN_A_ROW_MAX: u32 = 3;
/// Notes that are remembered; with more that fail, it is not about any of them.
const REMEMBERED_MAX: usize = 1000;
/// A note that fails alone is tried again after this part of its age, …
const AGE_SHARE: u32 = 4;
/// … but no later than after this time, …
const PAUSE_MAX: Duration = Duration::from_mins(10);
/// … and given up on when it is this old.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);

/// Notes that the system failed on.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<HashMap<NoteId, Suspicion>>);

#[derive(Debug)]
struct Suspicion {
    first: Instant,
    /// Since it last let others go first.
    failures: u32,
}

/// What a failure is about, as far as can be known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing speaks against the system having failed.
    System,
    /// The same, but others should be tried before this one is again.
    OthersFirst,
    /// Others were written since this one failed first.
    Note,
}

impl Suspects {
    /// The system failed on this note now. `worked` is when it last did what it was asked.
    pub(super) fn failed(&self, note: NoteId, error: &TicketError, worked: Option<Instant>, now: Instant) -> Verdict {
        // Credentials, rights, limits and the network are nobody's own.
        if !matches!(error, TicketError::TimedOut | TicketError::Unavailable { .. }) {
            return Verdict::System;
        }
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= REMEMBERED_MAX && !notes.contains_key(&note) {
            return Verdict::System;
        }
        let suspicion = notes.entry(note).or_insert(Suspicion { first: now, failures: 0 });
        if worked.is_some_and(|worked| worked > suspicion.first) {
            return Verdict::Note;
        }
        suspicion.failures += 1;
        if suspicion.failures < FAILURES_IN_A_ROW_MAX {
            return Verdict::System;
        }
        suspicion.failures = 0;
        Verdict::OthersFirst
    }

    /// Nothing is held against it any more.
    pub(super) fn cleared(&self, note: NoteId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&note);
    }
}

/// When a note that fails alone is tried again, by its age; none: it is given up on.
pub(super) fn again_after(queued_at: Option<Timestamp>, now: Timestamp, pause_min: Duration) -> Option<Duration> {
    let age = queued_at.map_or(Duration::ZERO, |at| now.duration_since(at).unsigned_abs());
    (age < GIVEN_UP_AFTER).then(|| (age / AGE_SHARE).min(PAUSE_MAX).max(pause_min))
}

#[cfg(test)]
mod tests {
    use super::{
        Verdict::{OthersFirst, System},
        *,
    };

    const ERROR: TicketError = TicketError::TimedOut;

    fn note(n: u128) -> NoteId {
        NoteId::of(&"acme".parse().unwrap(), &"whatsapp".parse().unwrap(), &n.to_string())
    }

    #[test]
    fn a_note_is_at_fault_once_others_are_written_after_it_failed() {
        let (suspects, start) = (Suspects::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(suspects.failed(note(1), &ERROR, Some(start), at(1)), System);
        assert_eq!(suspects.failed(note(2), &ERROR, Some(start), at(2)), System);
        assert_eq!(suspects.failed(note(1), &ERROR, Some(at(3)), at(4)), Verdict::Note);
        suspects.cleared(note(1));
        assert_eq!(suspects.failed(note(1), &ERROR, Some(at(3)), at(5)), System);
    }

    #[test]
    fn a_note_that_fails_in_a_row_lets_others_go_first() {
        let (suspects, now) = (Suspects::default(), Instant::now());
        let verdicts: Vec<_> = (0..6).map(|_| suspects.failed(note(1), &ERROR, None, now)).collect();
        assert_eq!(verdicts, [System, System, OthersFirst, System, System, OthersFirst]);
    }

    #[test]
    fn what_no_note_can_cause_is_no_notes_fault() {
        let (suspects, start) = (Suspects::default(), Instant::now());
        for error in [TicketError::Unauthorized, TicketError::Unreachable, TicketError::Limited { after: None }] {
            for s in 1..10 {
                let now = start + Duration::from_secs(s);
                assert_eq!(suspects.failed(note(1), &error, Some(now), now), System);
            }
        }
    }

    #[test]
    fn pauses_grow_with_age_until_it_is_given_up_on() {
        let now = Timestamp::now();
        let after = |age: Duration| again_after(Some(now - age), now, Duration::from_secs(30));
        assert_eq!(after(Duration::from_secs(10)), Some(Duration::from_secs(30)));
        assert_eq!(after(Duration::from_mins(8)), Some(Duration::from_mins(2)));
        assert_eq!(after(Duration::from_hours(23)), Some(PAUSE_MAX));
        assert_eq!(after(Duration::from_hours(24)), None);
        assert_eq!(again_after(None, now, Duration::from_secs(30)), Some(Duration::from_secs(30)));
    }
}
