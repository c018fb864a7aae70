//! Owns the settings of spikes, and shows on simulated weeks what they are worth.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When many notes are too many. The defaults are measured on simulated weeks, see the tests of this file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether notes are counted at all.
    pub enabled: bool,
    /// As many notes, or more, have to be less probable than this. Smaller: fewer false alarms, later ones.
    pub probability_max: f64,
    /// Fewer notes are never a spike.
    pub notes_min: u32,
    /// Nor are fewer than so many times the expected ones.
    pub times_min: f64,
    /// Nothing is told before so many days were seen of a tenant. At least 7.
    pub learning_days: u32,
    /// Weeks that are learnt from.
    pub history_weeks: u32,
    /// Where days and hours are those of the customers.
    pub time_zone: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            probability_max: 1e-6,
            notes_min: 5,
            times_min: 2.0,
            learning_days: 14,
            history_weeks: 8,
            time_zone: "Europe/Berlin".to_owned(),
        }
    }
}

impl Config {
    /// What keeps it from working, in words for people.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if TimeZone::get(&self.time_zone).is_err() {
            return Some("watch.spikes.time_zone is no time zone; name it like \"Europe/Berlin\"");
        }
        if self.learning_days < 7 || !(1..=52).contains(&self.history_weeks) {
            return Some("watch.spikes: learning_days must be at least 7, history_weeks 1 to 52");
        }
        let bounded = self.probability_max > 0.0 && self.probability_max < 0.01 && self.times_min >= 1.0;
        if !bounded {
            return Some("watch.spikes: probability_max must be above 0 and below 0.01, times_min at least 1");
        }
        None
    }
}

#[cfg(test)]
#[path = "simulation.rs"]
mod tests;
