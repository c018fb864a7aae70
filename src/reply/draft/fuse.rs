//! Owns when an endpoint is left alone: while others are at it, and for a while after it failed again and again. Nobody
//! ever waits here. It knows nothing of what is asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::event::DraftRefused;

#[derive(Debug)]
pub struct Fuse {
    places: Arc<Semaphore>,
    failures_max: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    paused_until: Option<Instant>,
}

/// A place at the endpoint. Dropped without a word, as when nobody wants the note any more, it counts for nothing.
#[derive(Debug)]
pub struct Place<'a> {
    fuse: &'a Fuse,
    _permit: OwnedSemaphorePermit,
}

impl Fuse {
    pub fn new(at_once_max: usize, failures_max: u32, pause: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(at_once_max)), failures_max, pause, state: Mutex::default() }
    }

    /// A place, or why there is none now. After a pause one goes first; if it fails, the pause begins anew.
    pub fn enter(&self, now: Instant) -> Result<Place<'_>, DraftRefused> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| DraftRefused::Busy)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.paused_until {
            Some(until) if now < until => return Err(DraftRefused::Paused),
            Some(_) => state.paused_until = Some(now + self.pause),
            None => {}
        }
        Ok(Place { fuse: self, _permit: permit })
    }
}

impl Place<'_> {
    /// Says how it went. True if the endpoint is left alone from now on.
    pub fn leave(self, well: bool, now: Instant) -> bool {
        let mut state = self.fuse.state.lock().unwrap_or_else(PoisonError::into_inner);
        if well {
            *state = State::default();
            return false;
        }
        state.failures = state.failures.saturating_add(1);
        let blown = state.failures >= self.fuse.failures_max;
        let begins = blown && state.failures == self.fuse.failures_max;
        if blown {
            state.paused_until = Some(now + self.fuse.pause);
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_mins(1);

    #[test]
    fn a_full_house_turns_others_away_at_once() {
        let fuse = Fuse::new(1, 3, PAUSE);
        let now = Instant::now();
        let place = fuse.enter(now).unwrap();
        assert_eq!(fuse.enter(now).unwrap_err(), DraftRefused::Busy);
        drop(place);
        assert!(fuse.enter(now).is_ok());
    }

    #[test]
    fn after_some_failures_nobody_asks_until_the_pause_is_over_and_then_one_does() {
        let fuse = Fuse::new(8, 3, PAUSE);
        let start = Instant::now();
        let fails = |now| fuse.enter(now).unwrap().leave(false, now);
        assert_eq!([fails(start), fails(start), fails(start)], [false, false, true]);
        assert_eq!(fuse.enter(start + PAUSE / 2).unwrap_err(), DraftRefused::Paused);

        let first = fuse.enter(start + PAUSE).unwrap();
        assert_eq!(fuse.enter(start + PAUSE).unwrap_err(), DraftRefused::Paused, "one goes first");
        first.leave(false, start + PAUSE);
        assert_eq!(fuse.enter(start + PAUSE + PAUSE / 2).unwrap_err(), DraftRefused::Paused);

        fuse.enter(start + 3 * PAUSE).unwrap().leave(true, start + 3 * PAUSE);
        assert!(fuse.enter(start + 3 * PAUSE).is_ok());
    }

    #[test]
    fn a_success_in_between_forgets_the_failures() {
        let fuse = Fuse::new(8, 2, PAUSE);
        let now = Instant::now();
        for well in [false, true, false, true, false] {
            fuse.enter(now).unwrap().leave(well, now);
        }
        assert!(fuse.enter(now).is_ok());
    }
}
