//! Owns language detection on an encoded note: one decoder step after the start token.
//!
//! whisper's own detection inside `whisper_full` encodes a second time, and on a reused state with the window of the
//! note before.

use whisper_rs::{WhisperContext, WhisperTokenId, get_lang_str};

use super::AsrError;

/// The first multilingual models know this many languages; Cantonese came with the large ones.
const LANGUAGES: i32 = 99;

/// What customers of contact centres in German-speaking countries speak; Swiss German is heard as German.
const EXPECTED: [&str; 23] = [
    "de", "en", "tr", "pl", "ru", "ar", "uk", "fr", "es", "it", "pt", "nl", "ro", "hr", "sr", "bs", "hu", "cs", "bg",
    "fa", "sq", "vi", "zh",
];
/// Natural logarithm of how much likelier any other language has to be: 20 times. In noise whisper takes German for
/// Welsh, Nynorsk, Shona or Hebrew.
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

    /// None if whisper has no such language.
    pub fn given(code: &str) -> Option<Self> {
        // whisper.cpp's own look-up logs every code that it does not know, and the code is customer input.
        let id = (0..LANGUAGES).find(|&id| get_lang_str(id) == Some(code))?;
        Some(Self { code: get_lang_str(id)?, confidence: 1.0, id })
    }

    /// Tells the decoder that this language is spoken.
    pub fn token(&self, context: &WhisperContext) -> WhisperTokenId {
        context.token_lang(self.id)
    }
}

/// Reads the language off the scores after the start token, among `accepted`. Where any is accepted, one that few
/// customers speak has to be far likelier than all that many do. The confidence is the probability among all languages,
/// so that a note in none of the accepted ones shows, and so does one that noise makes hard to tell.
pub fn detect(context: &WhisperContext, scores: &[f32], accepted: &[String]) -> Result<Language, AsrError> {
    let score = |id: i32| score_of(scores, context.token_lang(id));
    let weighed = |id: i32| {
        let code = get_lang_str(id).unwrap_or_default();
        let unexpected = accepted.is_empty() && !EXPECTED.contains(&code);
        score(id) - if unexpected { UNEXPECTED_HANDICAP } else { 0.0 }
    };
    let best = (0..LANGUAGES)
        .filter(|&id| accepted.is_empty() || accepted.iter().any(|code| get_lang_str(id) == Some(code)))
        .max_by(|&a, &b| weighed(a).total_cmp(&weighed(b)));
    let id = best.ok_or_else(|| AsrError::Engine("none of the accepted languages is one of whisper's".to_owned()))?;
    let code = get_lang_str(id).ok_or_else(|| AsrError::Engine("whisper lost a language".to_owned()))?;
    Ok(Language { code, confidence: probability(score(id), (0..LANGUAGES).map(score)), id })
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
    fn a_language_that_whisper_lacks_is_none() {
        assert!(Language::given("xx").is_none());
        assert_eq!(Language::given("de").unwrap().code, "de");
    }
}
