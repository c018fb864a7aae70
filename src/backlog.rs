//! Owns the decision to do less for each note while too many of them wait.

use std::{sync::Mutex, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::asr::Effort;

/// What to do when notes wait too long. Off unless `after_s` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Notes that waited this many seconds for their first attempt mean that there is a backlog. It is over when
    /// notes wait for less than half as long.
    pub after_s: Option<u64>,
    /// What is left out meanwhile.
    pub relief: Relief,
    /// The speech model to use for `smaller_model`, from `sprachpost models list`; it is loaded beside the usual one.
    pub model: Option<String>,
}

/// How a note gets less than usual. The event says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relief {
    /// Only the cheap pass of recognition: as with `asr.profile = "fast"`.
    #[default]
    FastProfile,
    /// A smaller speech model.
    SmallerModel,
    /// The note is not heard. Its sender has the acknowledgement, where those are on; the event says `failed` for the
    /// reason `backlog`, and the note lies with the dead letters, from where it can be replayed.
    SetAside,
}

impl Relief {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FastProfile => "fast_profile",
            Self::SmallerModel => "smaller_model",
            Self::SetAside => "set_aside",
        }
    }

    /// How much work goes into recognition.
    #[must_use]
    pub fn effort(self) -> Effort {
        match self {
            Self::FastProfile => Effort::Reduced,
            Self::SmallerModel => Effort::SmallerModel,
            Self::SetAside => Effort::Usual,
        }
    }
}

/// Watches how long notes wait.
#[derive(Debug)]
pub struct Backlog {
    after: Option<Duration>,
    relief: Relief,
    there_is_one: Mutex<bool>,
}

impl Backlog {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { after: config.after_s.map(Duration::from_secs), relief: config.relief, there_is_one: Mutex::default() }
    }

    /// What to leave out for a note that is now at its attempt `number` and was queued then. Only first attempts tell
    /// how long the backlog is: retries wait on purpose.
    pub fn relief(&self, number: u32, queued_at: Option<Timestamp>, now: Timestamp) -> Option<Relief> {
        let after = self.after?;
        let mut there_is_one = self.there_is_one.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (1, Some(queued_at)) = (number, queued_at) {
            let waited = Duration::try_from(now.duration_since(queued_at)).unwrap_or_default();
            let before = *there_is_one;
            *there_is_one = if before { waited >= after / 2 } else { waited >= after };
            if *there_is_one != before {
                log_change(*there_is_one, waited, self.relief);
            }
            metrics::gauge!("sprachpost_backlog_age_seconds").set(waited.as_secs_f64());
        }
        there_is_one.then_some(self.relief)
    }
}

fn log_change(begins: bool, waited: Duration, relief: Relief) {
    let (waited_s, relief) = (waited.as_secs(), relief.as_str());
    if begins {
        tracing::warn!(waited_s, relief, "notes wait too long; less is done for each of them");
    } else {
        tracing::info!(waited_s, "the backlog is over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(after_s: Option<u64>) -> Backlog {
        Backlog::new(&Config { after_s, ..Config::default() })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn relief_begins_with_the_backlog_and_ends_well_below_it() {
        let backlog = backlog(Some(100));
        let relief = |waited_s| backlog.relief(1, Some(at(0)), at(waited_s));
        assert_eq!(relief(99), None);
        assert_eq!(relief(100), Some(Relief::FastProfile));
        assert_eq!(relief(60), Some(Relief::FastProfile), "not yet over");
        assert_eq!(relief(49), None);
        assert_eq!(relief(60), None, "not there again");
    }

    #[test]
    fn retries_and_notes_of_unknown_age_tell_nothing_and_get_the_same() {
        let backlog = backlog(Some(100));
        assert_eq!(backlog.relief(2, Some(at(0)), at(5000)), None);
        assert_eq!(backlog.relief(1, None, at(5000)), None);
        assert!(backlog.relief(1, Some(at(0)), at(5000)).is_some());
        assert!(backlog.relief(2, Some(at(0)), at(0)).is_some());
        assert!(backlog.relief(1, None, at(0)).is_some());
    }

    #[test]
    fn without_a_limit_there_is_no_relief() {
        assert_eq!(backlog(None).relief(1, Some(at(0)), at(1_000_000)), None);
    }
}
