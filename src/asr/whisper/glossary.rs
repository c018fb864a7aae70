//! Owns a tenant's own words, products and places, as whisper is told of them: as if they stood in the text before.
//!
//! whisper then prefers them where a sound is in doubt. It may also repeat them where nobody said them; what stands in a
//! transcript in the order in which it was told is taken for such a leak.

use whisper_rs::{WhisperContext, WhisperTokenId};

use super::{AsrError, engine_error};

/// More tokens than this are not told: each makes a note slower, and what is far from the end hardly counts.
const TOKENS_MAX: usize = 64;
/// Room for one term; a longer one is none.
const TERM_TOKENS_MAX: usize = 24;

/// What the decoder is told before it listens.
#[derive(Debug, Default)]
pub struct Glossary {
    prompt: Vec<WhisperTokenId>,
    /// The words of each term in it.
    terms: Vec<Vec<String>>,
}

impl Glossary {
    /// As many of these terms as fit, the first ones first.
    pub fn of(context: &WhisperContext, terms: &[String]) -> Result<Self, AsrError> {
        let mut glossary = Self::default();
        if terms.is_empty() || !context.is_multilingual() {
            return Ok(glossary);
        }
        let comma = context.tokenize(",", 4).map_err(engine_error)?;
        let end = context.tokenize(".", 4).map_err(engine_error)?;
        for term in terms {
            // Control characters and words of other alphabets are tokens like all others: nothing here is a command.
            let Ok(tokens) = context.tokenize(&format!(" {}", term.trim()), TERM_TOKENS_MAX) else { continue };
            if glossary.prompt.len() + tokens.len() + 1 > TOKENS_MAX {
                break;
            }
            if !glossary.prompt.is_empty() {
                glossary.prompt.extend(&comma);
            }
            glossary.prompt.extend(tokens);
            glossary.terms.push(words(term));
        }
        if !glossary.prompt.is_empty() {
            glossary.prompt.extend(end);
            glossary.prompt.insert(0, context.token_prev());
        }
        Ok(glossary)
    }

    /// The tokens that stand before the start; none where nothing is to be told.
    pub fn prompt(&self) -> &[WhisperTokenId] {
        &self.prompt
    }

    /// Has this text been copied from the prompt? So it seems where two terms follow each other as they do there, or where
    /// there is nothing else in it than terms.
    pub fn leaked_into(&self, text: &str) -> bool {
        let heard = words(text);
        let follows = |pair: &[Vec<String>]| {
            let pair = pair.concat();
            !pair.is_empty() && heard.windows(pair.len()).any(|part| part == pair)
        };
        let is_term = |word: &String| self.terms.iter().any(|term| term.contains(word));
        self.terms.windows(2).any(follows) || (!self.terms.is_empty() && heard.iter().all(is_term))
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glossary() -> Glossary {
        let terms = ["Musterstrom", "Fritz Box", "Oberpfaffenhofen"].map(words).to_vec();
        Glossary { prompt: vec![1], terms }
    }

    #[test]
    fn terms_in_the_order_in_which_they_were_told_are_a_leak() {
        assert!(glossary().leaked_into("Musterstrom, Fritz-Box. Mein Internet geht nicht."));
        assert!(glossary().leaked_into("Oberpfaffenhofen!"), "and so is nothing but terms");
        assert!(glossary().leaked_into(""), "or nothing at all");
    }

    #[test]
    fn terms_that_somebody_says_are_none() {
        assert!(!glossary().leaked_into("Die Fritz Box von Musterstrom in Oberpfaffenhofen ist kaputt."));
        assert!(!Glossary::default().leaked_into("Hallo"));
        assert!(!Glossary::default().leaked_into(""));
    }
}
