//! Owns what the decoder is given before its first token: a glossary, where there is one, and what it is to do.

use whisper_rs::{WhisperContext, WhisperTokenId};

use super::{AsrError, engine_error, glossary::Glossary, language::Language, raw::Engine};

/// The tokens before the first one that is chosen.
#[derive(Debug, Clone)]
pub struct Prompt {
    tokens: Vec<WhisperTokenId>,
    /// How many of them were decoded by a look at the language; with a glossary they come too late for that.
    shared: usize,
}

impl Prompt {
    pub fn new(context: &WhisperContext, glossary: &Glossary, language: Language) -> Self {
        let mut tokens = glossary.prompt().to_vec();
        let shared = usize::from(tokens.is_empty());
        tokens.push(context.token_sot());
        if context.is_multilingual() {
            tokens.extend([language.token(context), context.token_transcribe()]);
        }
        Self { tokens, shared }
    }

    pub fn tokens(&self) -> &[WhisperTokenId] {
        &self.tokens
    }

    /// Decodes the rest of the prompt, whose first `past` tokens are decoded already if there is no glossary, and returns
    /// how many tokens it has.
    pub fn decode(&self, engine: &mut Engine, past: usize) -> Result<usize, AsrError> {
        // A model of one language has no more than the start; its scores are asked for again.
        let past = past.min(self.shared).min(self.tokens.len() - 1);
        engine.decode(&self.tokens[past..], past).map_err(engine_error)?;
        Ok(self.tokens.len())
    }
}
