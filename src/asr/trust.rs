//! Owns the judgement whether a transcript is believable: better silent than invented text.
//!
//! whisper writes fluent sentences about silence and music. Each rule here is one way in which that shows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Recognised, phantom};
use crate::{
    audio::{Pcm, speech::whisper},
    event::Reason,
};

/// When is a transcript believed? Log-probabilities are natural, per token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Nobody spoke, if the engine says so with at least this probability …
    pub no_speech_probability_min: f32,
    /// … and is not surer of its text than this, or repeats itself.
    pub no_speech_log_probability_max: f32,
    /// Below this mean log-probability the text is guesswork.
    pub log_probability_min: f32,
    /// The language must be at least this probable among all that the engine knows.
    pub language_confidence_min: f32,
    /// Nobody speaks more characters a second than this.
    pub characters_per_s_max: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            no_speech_probability_min: 0.7,
            no_speech_log_probability_max: -0.6,
            log_probability_min: -1.0,
            language_confidence_min: 0.1,
            characters_per_s_max: 35.0,
        }
    }
}

/// What a transcript is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Believable,
    /// Nobody speaks; there is no transcript.
    NoSpeech(Reason),
    /// Somebody speaks; the transcript must not be acted on.
    Unintelligible(Reason),
}

/// Judges what was recognised in `pcm`. `restricted`: the tenant accepts some languages only.
#[must_use]
pub fn judge(recognised: &Recognised, pcm: &Pcm, restricted: bool, config: &Config) -> Verdict {
    match judge_text(recognised, pcm.duration_s(), restricted, config) {
        // No words, but somebody may have said some: people can read a whisper where the model cannot.
        Verdict::NoSpeech(_) if whisper::is_likely(pcm) => Verdict::Unintelligible(Reason::LowConfidence),
        verdict => verdict,
    }
}

fn judge_text(recognised: &Recognised, speech_s: f64, restricted: bool, config: &Config) -> Verdict {
    let transcript = &recognised.transcript;
    let text = spoken_part(transcript.text.expose());
    let sure = recognised.mean_log_probability;
    if !text.chars().any(char::is_alphanumeric) {
        return Verdict::NoSpeech(Reason::NoSpeechDetected);
    }
    let nobody_seems_to_speak = recognised.no_speech_probability >= config.no_speech_probability_min;
    if nobody_seems_to_speak && (sure <= config.no_speech_log_probability_max || recognised.repetition) {
        return Verdict::NoSpeech(Reason::NoSpeechDetected);
    }
    if phantom::is_likely(&text, recognised.no_speech_probability, speech_s) {
        return Verdict::NoSpeech(Reason::NoSpeechDetected);
    }
    if recognised.repetition {
        return Verdict::Unintelligible(Reason::Repetition);
    }
    if transcript.language_confidence < config.language_confidence_min {
        // Some language that was not asked for, or any in too much noise.
        let reason = if restricted { Reason::LanguageNotAccepted } else { Reason::LowConfidence };
        return Verdict::Unintelligible(reason);
    }
    let too_much = text.chars().count() as f64 > config.characters_per_s_max * speech_s.max(1.0);
    if sure < config.log_probability_min || too_much {
        return Verdict::Unintelligible(Reason::LowConfidence);
    }
    Verdict::Believable
}

/// The text without annotations such as `[Musik]`, `(lacht)`, `*Stille*` and `♪`, in lower case.
#[must_use]
pub fn spoken_part(text: &str) -> String {
    let mut spoken = String::with_capacity(text.len());
    let mut closing: Option<char> = None;
    for c in text.chars() {
        match (closing, c) {
            (Some(end), _) if c == end => closing = None,
            (Some(_), _) | (None, '♪' | '♫') => {}
            (None, '[') => closing = Some(']'),
            (None, '(') => closing = Some(')'),
            (None, '*') => closing = Some('*'),
            (None, _) => spoken.extend(c.to_lowercase()),
        }
    }
    spoken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::processed::Transcript, private::Private};

    fn recognised(text: &str) -> Recognised {
        Recognised {
            transcript: Transcript {
                text: Private::new(text),
                language: "de".to_owned(),
                language_confidence: 0.9,
                confidence: 0.9,
                segments: vec![],
                model: "m".to_owned(),
            },
            no_speech_probability: 0.1,
            mean_log_probability: -0.2,
            repetition: false,
        }
    }

    fn verdict(recognised: &Recognised) -> Verdict {
        judge_text(recognised, 5.0, true, &Config::default())
    }

    #[test]
    fn a_sure_sentence_is_believed() {
        assert_eq!(verdict(&recognised("Mein Paket ist nicht da.")), Verdict::Believable);
    }

    #[test]
    fn annotations_and_subtitle_credits_are_no_speech() {
        for text in
            ["[Musik]", " (Stille) ", "♪ ♪", "*Telefonklingeln*", "", "...", "Untertitel der Amara.org-Community"]
        {
            assert_eq!(verdict(&recognised(text)), Verdict::NoSpeech(Reason::NoSpeechDetected), "{text}");
        }
        assert_eq!(verdict(&recognised("Danke.")), Verdict::Believable, "customers say that");
        let customer = "Bei der Serie fehlen seit gestern die deutschen Untertitel, könnt ihr das bitte prüfen?";
        assert_eq!(verdict(&recognised(customer)), Verdict::Believable);
    }

    #[test]
    fn an_unsure_text_where_nobody_seems_to_speak_is_no_speech() {
        let mut unsure = recognised("Und dann.");
        unsure.no_speech_probability = 0.8;
        unsure.mean_log_probability = -0.9;
        assert_eq!(verdict(&unsure), Verdict::NoSpeech(Reason::NoSpeechDetected));
        unsure.mean_log_probability = -0.2;
        assert_eq!(verdict(&unsure), Verdict::Believable, "sure text outweighs it");
    }

    #[test]
    fn loops_guesses_and_foreign_languages_are_unintelligible() {
        let mut looped = recognised("ja ja ja ja");
        looped.repetition = true;
        assert_eq!(verdict(&looped), Verdict::Unintelligible(Reason::Repetition));

        let mut guess = recognised("Krumpel wasser.");
        guess.mean_log_probability = -1.4;
        assert_eq!(verdict(&guess), Verdict::Unintelligible(Reason::LowConfidence));

        let mut foreign = recognised("Merhaba nasilsin.");
        foreign.transcript.language_confidence = 0.02;
        assert_eq!(verdict(&foreign), Verdict::Unintelligible(Reason::LanguageNotAccepted));
        assert_eq!(
            judge_text(&foreign, 5.0, false, &Config::default()),
            Verdict::Unintelligible(Reason::LowConfidence),
            "abstain where the language is anyone's guess"
        );
    }

    #[test]
    fn more_text_than_anybody_can_speak_is_not_believed() {
        let text = "Das ist ein sehr langer Satz, den niemand in so kurzer Zeit sagen kann. ".repeat(3);
        assert_eq!(
            judge_text(&recognised(&text), 1.0, false, &Config::default()),
            Verdict::Unintelligible(Reason::LowConfidence)
        );
    }
}
