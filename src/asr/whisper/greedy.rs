//! Owns the cheap way to hear: word by word the likeliest next token; and what all ways to hear begin with.
//!
//! `whisper_full` would encode once more for the language and copy all scores several times a token; here language,
//! text and times come out of one encoder pass. It gives up on what whisper does not come out of by itself.

use whisper_rs::WhisperContext;

use super::{
    AsrError, engine_error,
    hearing::Token,
    prompt::Prompt,
    raw::Engine,
    repetition,
    rules::{Rules, Vocabulary},
};
use crate::asr::Limit;

/// More tokens than this a second nobody speaks, in whatever alphabet, …
const TOKENS_PER_S_MAX: f64 = 12.0;
/// … with as many more for times and a fast beginning, …
const TOKENS_MORE: usize = 24;
/// … and never more than the decoder holds beside a prompt.
const TOKENS_MAX: usize = 220;

/// A decoded sequence.
#[derive(Debug)]
pub struct Sequence {
    /// Text and times, without control tokens and the end.
    pub tokens: Vec<Token>,
    /// True if it went round in circles or did not end; the tokens are those up to there.
    pub looped: bool,
}

/// More tokens than anybody says in this time.
pub fn tokens_max(duration_s: f64) -> usize {
    ((duration_s * TOKENS_PER_S_MAX) as usize + TOKENS_MORE).min(TOKENS_MAX)
}

/// Decodes what `engine` has encoded and of which `past` tokens of the prompt are decoded already.
pub fn decode(
    context: &WhisperContext,
    engine: &mut Engine,
    prompt: &Prompt,
    past: usize,
    duration_s: f64,
    limit: &Limit,
) -> Result<Sequence, AsrError> {
    let vocabulary = Vocabulary::of(context)?;
    let mut rules = Rules::new(vocabulary, duration_s);
    let mut position = prompt.decode(engine, past)?;
    let mut sequence = Sequence { tokens: vec![], looped: false };
    let mut text_ids: Vec<i32> = vec![];
    loop {
        if limit.is_over() {
            return Err(limit.error());
        }
        let choice = rules.choose(engine.last_scores().map_err(engine_error)?);
        if choice.token == vocabulary.end_of_text || rules.is_behind_the_end() {
            return Ok(sequence);
        }
        let token = Token::read(context, &vocabulary, choice)?;
        let id = token.id;
        if !vocabulary.is_time(choice.token) {
            text_ids.push(id);
        }
        sequence.tokens.push(token);
        if sequence.tokens.len() >= tokens_max(duration_s) || repetition::is_loop(&text_ids) {
            sequence.looped = true;
            return Ok(sequence);
        }
        engine.decode(&[id], position).map_err(engine_error)?;
        position += 1;
    }
}
