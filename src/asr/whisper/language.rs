//! Owns language detection on an encoded note: one decoder step after the start token.
//!
//! whisper's own detection inside `whisper_full` encodes a second time, and on a reused state with the window of the
//! note before.

use whisper_rs::{WhisperContext, WhisperTokenId, get_lang_str};

use super::AsrError;

/// The first multilingual models know this many languages; Cantonese came with the large ones.
const LANGUAGES: i32 = 99;

/// What is spoken most, and the natural logarithm of how much likelier another language has to be: 4.5 times. In noise
/// whisper takes German for English far more often than English for German: on 104 clips at 5 to 10 dB, a quarter of
/// them English, it mistakes 12 for the other of the two without this, and 6 with it.
const FIRST: (&str, f32) = ("de", 1.5);
/// What customers of contact centres in German-speaking countries speak besides; Swiss German is heard as German.
const EXPECTED: [&str; 22] = [
    "en", "tr", "pl", "ru", "ar", "uk", "fr", "es", "it", "pt", "nl", "ro", "hr", "sr", "bs", "hu", "cs", "bg", "fa",
    "sq", "vi", "zh",
];
/// By how much any other language has to be likelier: 20 times. Noise sounds Welsh, Nynorsk or Shona to whisper.
const UNEXPECTED_HANDICAP: f32 = 3.0;

/// A language and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Language {
    /// ISO 639-1, as whisper names it.
    pub code: &'static str,
    /// Among all languages; 1 where it was given.
    pub confidence: f32,
    id: i32,
}

impl Language {
    /// What models without other languages hear.
    pub const ENGLISH: Self = Self { code: "en", confidence: 1.0, id: 0 };

    /// None if whisper has no such language. `DE` is meant as `de` is.
    pub fn given(code: &str) -> Option<Self> {
        // whisper.cpp's own look-up logs every code that it does not know, and the code is customer input.
        let id = (0..LANGUAGES).find(|&id| is_called(id, code))?;
        Some(Self { code: get_lang_str(id)?, confidence: 1.0, id })
    }

    /// Tells the decoder that this language is spoken.
    pub fn token(&self, context: &WhisperContext) -> WhisperTokenId {
        context.token_lang(self.id)
    }
}

/// What is wrong with a language's code that people wrote; none if there is nothing.
pub(crate) fn fault_of(code: &str) -> Option<String> {
    Language::given(code).is_none().then(|| {
        format!(
            "{code:?} is no language that can be recognised; write its code by ISO 639-1, for example de for German"
        )
    })
}

fn is_called(id: i32, code: &str) -> bool {
    get_lang_str(id).is_some_and(|known| known.eq_ignore_ascii_case(code))
}

/// Reads the language off the scores after the start token, among `accepted`, or any if that is empty; what few
/// customers speak has to be much likelier to be believed. The confidence is the bare probability among all languages,
/// so that a note in none of the accepted ones shows, and so does one in which noise makes the language hard to tell.
pub fn detect(context: &WhisperContext, scores: &[f32], accepted: &[String]) -> Result<Language, AsrError> {
    let score = |id: i32| score_of(scores, context.token_lang(id));
    let weighed = |id: i32| score(id) + benefit_of_doubt(get_lang_str(id).unwrap_or_default(), accepted.is_empty());
    let best = (0..LANGUAGES)
        .filter(|&id| accepted.is_empty() || accepted.iter().any(|code| is_called(id, code)))
        .max_by(|&a, &b| weighed(a).total_cmp(&weighed(b)));
    let id = best.ok_or_else(|| AsrError::Engine("none of the accepted languages is one of whisper's".to_owned()))?;
    let code = get_lang_str(id).ok_or_else(|| AsrError::Engine("whisper lost a language".to_owned()))?;
    Ok(Language { code, confidence: probability(score(id), (0..LANGUAGES).map(score)), id })
}

/// `any`: nothing says which languages are to be expected.
fn benefit_of_doubt(code: &str, any: bool) -> f32 {
    match code {
        _ if code == FIRST.0 => FIRST.1,
        _ if any && !EXPECTED.contains(&code) => -UNEXPECTED_HANDICAP,
        _ => 0.0,
    }
}

/// The engine's probability that nobody speaks, from the scores after the start token.
pub fn no_speech_probability(context: &WhisperContext, scores: &[f32]) -> f32 {
    probability(score_of(scores, context.token_nosp()), scores.iter().copied())
}

fn score_of(scores: &[f32], token: WhisperTokenId) -> f32 {
    usize::try_from(token).ok().and_then(|t| scores.get(t)).copied().unwrap_or(f32::MIN)
}

/// Softmax of one score among all.
fn probability(score: f32, all: impl Iterator<Item = f32> + Clone) -> f32 {
    let highest = all.clone().fold(f32::MIN, f32::max);
    let sum: f32 = all.map(|s| (s - highest).exp()).sum();
    (score - highest).exp() / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_however_large_the_scores() {
        let scores = [1000.0_f32, 999.0, -1000.0];
        let sum: f32 = scores.iter().map(|&s| probability(s, scores.iter().copied())).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn german_has_the_benefit_of_the_doubt_and_welsh_must_be_accepted_by_name() {
        assert!(benefit_of_doubt("de", true) > benefit_of_doubt("en", true));
        assert!(benefit_of_doubt("en", true) > benefit_of_doubt("cy", true));
        assert!(benefit_of_doubt("cy", false) >= benefit_of_doubt("en", false));
    }

    #[test]
    fn a_language_that_whisper_lacks_is_none() {
        assert!(Language::given("xx").is_none());
        assert_eq!(Language::given("de").unwrap().code, "de");
        assert_eq!(Language::given("DE").unwrap().code, "de");
        for wrong in ["deutsch", "ger", "de-AT", ""] {
            assert!(fault_of(wrong).unwrap().contains("ISO 639-1"), "{wrong}");
        }
        assert_eq!(fault_of("de"), None);
    }
}
