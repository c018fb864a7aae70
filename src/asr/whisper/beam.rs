//! Owns the careful way to hear: several hypotheses followed at once, token by token, on one look at the audio.
//!
//! whisper's decoder is bound by reading its weights, and reads them once for all hypotheses: its largest product takes
//! 2.8 ms for five of them and 1.5 ms for one. Of those that came to their end, the one with the highest mean
//! log-probability is the answer.
//!
//! Tried and left: keeping of several times for one word only the likeliest, which changes one word in 376.

use whisper_rs::WhisperContext;

use super::{
    AsrError, engine_error,
    greedy::{self, Sequence},
    hearing::Token,
    prompt::Prompt,
    raw::Engine,
    repetition,
    rules::{Choice, Rules, Vocabulary},
};
use crate::asr::Limit;

/// Hypotheses followed at a time, and how many have to come to their end.
pub const WIDTH: usize = 5;

/// What may have been said, up to some token.
#[derive(Debug, Clone)]
struct Hypothesis {
    rules: Rules,
    choices: Vec<Choice>,
    /// The text of `choices`, without times.
    text: Vec<usize>,
    log_probability: f32,
    /// Where the decoder remembers it.
    sequence: usize,
}

impl Hypothesis {
    fn and(&self, choice: Choice, vocabulary: &Vocabulary) -> Self {
        let mut next = self.clone();
        next.log_probability += choice.log_probability;
        next.rules.follow(choice.token);
        next.choices.push(choice);
        if choice.token < vocabulary.end_of_text {
            next.text.push(choice.token);
        }
        next
    }

    /// Longer ones are not at a disadvantage.
    fn mean_log_probability(&self) -> f32 {
        self.log_probability / self.choices.len().max(1) as f32
    }

    /// Its sequence, and the token that is to be decoded next.
    fn last(&self) -> Option<(usize, i32)> {
        Some((self.sequence, i32::try_from(self.choices.last()?.token).ok()?))
    }

    fn is_loop(&self) -> bool {
        let ids: Vec<i32> = self.text.iter().map(|&token| i32::try_from(token).unwrap_or(i32::MAX)).collect();
        repetition::is_loop(&ids)
    }
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
    let mut position = prompt.decode(engine, past)?;
    let start = Hypothesis {
        rules: Rules::new(vocabulary, duration_s),
        choices: vec![],
        text: vec![],
        log_probability: 0.0,
        sequence: 0,
    };
    let (mut live, mut ended) = (vec![start], Vec::<Hypothesis>::new());
    let mut is_prompt = true;
    for _ in 0..greedy::tokens_max(duration_s) {
        if limit.is_over() {
            return Err(limit.error());
        }
        let mut next = vec![];
        for (row, hypothesis) in live.iter().enumerate() {
            let scores = if is_prompt { engine.last_scores() } else { engine.scores(row) }.map_err(engine_error)?;
            next.extend(hypothesis.rules.candidates(scores, WIDTH).into_iter().map(|choice| (row, choice)));
        }
        let sum = |(row, choice): &(usize, Choice)| live[*row].log_probability + choice.log_probability;
        next.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
        let mut chosen: Vec<Hypothesis> = vec![];
        for (row, choice) in next {
            if chosen.len() == WIDTH || ended.len() >= WIDTH {
                break;
            }
            let grown = live[row].and(choice, &vocabulary);
            if choice.token == vocabulary.end_of_text || grown.rules.is_behind_the_end() {
                ended.push(grown);
            } else if !grown.is_loop() {
                chosen.push(grown);
            }
        }
        if chosen.is_empty() || ended.len() >= WIDTH {
            break;
        }
        live = chosen;
        remember(&mut live, engine);
        let tokens: Vec<(usize, i32)> = live.iter().filter_map(Hypothesis::last).collect();
        engine.decode_each(&tokens, position).map_err(engine_error)?;
        (is_prompt, position) = (false, position + 1);
    }
    let looped = ended.is_empty();
    let best = ended.into_iter().chain(live.into_iter().filter(|_| looped));
    let best = best.max_by(|a, b| a.mean_log_probability().total_cmp(&b.mean_log_probability()));
    let choices = best.map(|best| best.choices).unwrap_or_default();
    let tokens = choices.into_iter().filter(|choice| choice.token != vocabulary.end_of_text);
    let tokens = tokens.map(|choice| Token::read(context, &vocabulary, choice)).collect::<Result<_, _>>()?;
    Ok(Sequence { tokens, looped })
}

/// Gives each hypothesis a sequence of its own.
fn remember(live: &mut [Hypothesis], engine: &mut Engine) {
    let sequences: Vec<usize> = live.iter().map(|hypothesis| hypothesis.sequence).collect();
    for (index, free) in copies(&sequences) {
        engine.fork(live[index].sequence, free);
        live[index].sequence = free;
    }
}

/// Which of these need another sequence, and which: the first that goes on from one keeps it.
fn copies(sequences: &[usize]) -> Vec<(usize, usize)> {
    let is_first = |index: usize| !sequences[..index].contains(&sequences[index]);
    let mut free = (0..WIDTH).filter(|sequence| !sequences.contains(sequence));
    (0..sequences.len()).filter(|&index| !is_first(index)).filter_map(|index| Some((index, free.next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypotheses_from_one_origin_get_sequences_of_their_own() {
        assert_eq!(copies(&[0]), []);
        assert_eq!(copies(&[0, 0, 0, 0, 0]), [(1, 1), (2, 2), (3, 3), (4, 4)]);
        assert_eq!(copies(&[3, 1, 3, 1, 4]), [(2, 0), (3, 2)]);
        assert_eq!(copies(&[4, 3, 2, 1, 0]), []);
    }
}
