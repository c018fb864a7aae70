//! Owns the decision when a note is tried again, and when no more.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::note::NoteId;

/// How often and when a note is tried again after a failure that may pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all; after the last the note goes to the dead letters.
    pub attempts_max: u32,
    /// Seconds from the first failure to the second attempt.
    pub first_delay_s: f64,
    /// Each further delay is this many times the one before, …
    pub factor: f64,
    /// … up to this many seconds.
    pub delay_s_max: f64,
}

/// A delay is up to this part longer, so that notes that failed together do not come back together.
const JITTER: f64 = 0.25;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 5, first_delay_s: 2.0, factor: 5.0, delay_s_max: 600.0 }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt `number` (from 1) failed; none if it was the last.
    #[must_use]
    pub fn delay_after(&self, number: u32, note: NoteId) -> Option<Duration> {
        // The id is as good as random, and the same note waits the same time in every test.
        let share = f64::from(note.as_uuid().as_bytes()[15]) / 255.0;
        (number < self.attempts_max).then(|| self.pause_after(number).mul_f64(1.0 + JITTER * share))
    }

    /// How long to wait after attempt `number` failed for a reason outside the note: it has no last attempt.
    #[must_use]
    pub fn pause_after(&self, number: u32) -> Duration {
        let exponent = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
        let delay_s = (self.first_delay_s * self.factor.powi(exponent)).min(self.delay_s_max);
        Duration::try_from_secs_f64(delay_s).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> NoteId {
        NoteId::of(&"t".parse().unwrap(), &"c".parse().unwrap(), "m")
    }

    #[test]
    fn delays_grow_to_their_limit_and_end_with_the_attempts() {
        let policy = RetryPolicy { attempts_max: 4, first_delay_s: 1.0, factor: 10.0, delay_s_max: 30.0 };
        let delays: Vec<f64> = (1..4).map(|n| policy.delay_after(n, note()).unwrap().as_secs_f64()).collect();
        assert!((1.0..=1.25).contains(&delays[0]) && (10.0..=12.5).contains(&delays[1]), "{delays:?}");
        assert!((30.0..=37.5).contains(&delays[2]), "{delays:?}");
        assert_eq!(policy.delay_after(4, note()), None);
        assert_eq!(policy.delay_after(u32::MAX, note()), None);
    }
}
