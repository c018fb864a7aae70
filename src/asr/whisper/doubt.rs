//! Owns the question whether a cheap answer may stand, or is worth hearing again at several times the price.

use super::{Impression, hearing::Heard, repetition};
use crate::asr::Profile;

/// Below this mean log-probability the window's trimming or the noise is likely to have cost words.
const LOG_PROBABILITY_MIN: f32 = -0.45;

/// May this stand as the answer of `profile`?
pub fn may_stand(heard: &Heard, _impression: &Impression, _duration_s: f64, profile: Profile) -> bool {
    let broken = heard.looped || repetition::is_said_twice(&heard.text());
    match profile {
        Profile::Fast => !broken,
        Profile::Balanced => !broken && heard.mean_log_probability() >= LOG_PROBABILITY_MIN,
        Profile::Accurate => false,
    }
}
