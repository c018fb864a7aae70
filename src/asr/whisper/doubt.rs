//! Owns the question whether a cheap answer may stand, or is worth hearing again at about three times the price.
//!
//! The mean log-probability follows the word error rate closely. Measured with whisper-base-q8_0 on 40 labelled clips,
//! most of them in noise at 5 to 10 dB: all cheap 30.9 % of words wrong, all careful 26.0 %; with the threshold below
//! 27.6 % for 16 clips heard again (-0.35: 27.0 % for 20, -0.5: 28.2 % for 12). Of 104 clips without added noise it
//! hears one in ten again.

use super::{hearing::Heard, repetition};
use crate::asr::{Profile, trust};

/// Below this mean log-probability the trimmed window or the noise is likely to have cost words.
const LOG_PROBABILITY_MIN: f32 = -0.4;

/// May this stand as the answer of `profile`?
pub fn may_stand(heard: &Heard, profile: Profile) -> bool {
    let text = heard.text();
    // Probabilities do not show a repetition: a loop scores better than speech.
    let repeats = heard.looped || repetition::is_said_twice(&text);
    match profile {
        Profile::Fast => !repeats,
        // Where whisper names a sound instead of words, it would do so again.
        Profile::Balanced => !repeats && (is_sure(heard) || !trust::spoken_part(&text).contains(char::is_alphanumeric)),
        Profile::Accurate => false,
    }
}

fn is_sure(heard: &Heard) -> bool {
    heard.mean_log_probability() >= LOG_PROBABILITY_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asr::whisper::hearing::{HeardSegment, Token};

    fn heard(text: &str, log_probability: f32) -> Heard {
        let tokens = text.split_inclusive(' ').enumerate().map(|(index, word)| Token {
            id: i32::try_from(index).unwrap(),
            bytes: word.as_bytes().to_vec(),
            log_probability,
            time_s: None,
            spoken_s: None,
        });
        let segments = vec![HeardSegment { start_s: 0.0, end_s: 4.0, tokens: tokens.collect() }];
        Heard { segments, looped: false }
    }

    #[test]
    fn an_unsure_answer_stands_only_where_speed_counts_most() {
        let unsure = heard("Wo ist mein Paket?", -0.7);
        assert!(may_stand(&unsure, Profile::Fast));
        assert!(!may_stand(&unsure, Profile::Balanced));
        assert!(may_stand(&heard("Wo ist mein Paket?", -0.2), Profile::Balanced));
    }

    #[test]
    fn a_sentence_said_twice_stands_in_no_profile() {
        let twice = heard("wo bleibt denn nur mein wo bleibt denn nur mein", -0.05);
        assert!(!may_stand(&twice, Profile::Fast) && !may_stand(&twice, Profile::Balanced));
    }

    #[test]
    fn the_name_of_a_sound_is_not_heard_again() {
        assert!(may_stand(&heard("[Musik]", -1.5), Profile::Balanced));
    }
}
