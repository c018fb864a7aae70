//! Owns the cheap way to hear: one look at the audio by the encoder, then word by word the likeliest next token.
//!
//! `whisper_full` would encode once more for the language and copy all scores several times a token; here language,
//! text and times come out of one encoder pass. It gives up on what whisper does not come out of by itself.

use whisper_rs::{WhisperContext, WhisperState};

use super::{
    AsrError, engine_error,
    hearing::Token,
    language::Language,
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

/// Decodes what `state` has encoded and of which the start token is decoded already.
pub fn decode(
    context: &WhisperContext,
    state: &mut WhisperState,
    threads: usize,
    language: &Language,
    duration_s: f64,
    limit: &Limit,
) -> Result<Sequence, AsrError> {
    let vocabulary = Vocabulary::of(context)?;
    let mut rules = Rules::new(vocabulary, duration_s);
    let mut past = 1;
    // One at a time, because whisper-rs shows the scores after the first token of a batch only.
    let mut step = |state: &mut WhisperState, token: i32| -> Result<(), AsrError> {
        state.decode(&[token], past, threads).map_err(engine_error)?;
        past += 1;
        Ok(())
    };
    if context.is_multilingual() {
        step(state, language.token(context))?;
        step(state, context.token_transcribe())?;
    }
    let tokens_max = ((duration_s * TOKENS_PER_S_MAX) as usize + TOKENS_MORE).min(TOKENS_MAX);
    let mut sequence = Sequence { tokens: vec![], looped: false };
    let mut text_ids: Vec<i32> = vec![];
    loop {
        if limit.is_over() {
            return Err(limit.error());
        }
        let choice = rules.choose(state.get_logits().map_err(engine_error)?);
        if choice.token == vocabulary.end_of_text || rules.is_behind_the_end() {
            return Ok(sequence);
        }
        let token = Token::read(context, &vocabulary, choice)?;
        let id = token.id;
        if !vocabulary.is_time(choice.token) {
            text_ids.push(id);
        }
        sequence.tokens.push(token);
        if sequence.tokens.len() >= tokens_max || repetition::is_loop(&text_ids) {
            sequence.looped = true;
            return Ok(sequence);
        }
        step(state, id)?;
    }
}
