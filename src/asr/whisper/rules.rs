//! Owns the rules by which the next token is chosen: whisper's own for text with times.
//!
//! A time opens the text; every stretch of text closes with one, and the next opens with one; times never run back;
//! and where all times together are likelier than any single word, a time is due. Ours alone: no time lies behind the
//! end of the audio, and what opens there is not followed. In a trimmed window that is where whisper says its last
//! sentence once more.

use std::ops::Range;

use pulp::Arch;
use whisper_rs::{WhisperContext, WhisperTokenId};

use super::{AsrError, engine_error};
use crate::exponential::sum_of_exponentials;

/// The first stretch begins at most this long after the start of the audio: 1 s, in steps of 20 ms.
const FIRST_TIME_MAX: usize = 50;
/// A stretch lasts at least this long: 0.2 s.
const STRETCH_MIN: usize = 10;
/// Times a second that the model can tell apart.
pub const TIMES_PER_S: f64 = 50.0;
/// Scores this far below the best add nothing to a sum of probabilities in single precision.
const NEGLIGIBLE: f32 = -17.0;
/// Tokens that are passed over together where none of them is likely enough to count.
const BLOCK: usize = 256;

/// Where the kinds of tokens lie: text first, then the end of the text, control tokens, and times to the last.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary {
    pub end_of_text: usize,
    pub first_time: usize,
    /// A space alone, which opens no text.
    pub blank: usize,
}

impl Vocabulary {
    pub fn of(context: &WhisperContext) -> Result<Self, AsrError> {
        let index = |token: WhisperTokenId| {
            usize::try_from(token).map_err(|_| AsrError::Engine("the model lacks a control token".to_owned()))
        };
        let blank = context.tokenize(" ", 4).map_err(engine_error)?;
        Ok(Self {
            end_of_text: index(context.token_eot())?,
            first_time: index(context.token_beg())?,
            blank: index(blank.first().copied().unwrap_or(-1))?,
        })
    }

    pub fn is_time(&self, token: usize) -> bool {
        token >= self.first_time
    }
}

/// One token, and the natural logarithm of its probability among those that were allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    pub token: usize,
    pub log_probability: f32,
}

/// What may come next depends on what came last.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Position {
    Start,
    /// After the time that opens a stretch.
    Opened {
        first: bool,
    },
    /// In the text of a stretch.
    Text,
    /// After the time that closes a stretch.
    Closed,
}

/// Follows one sequence of tokens from its beginning.
#[derive(Debug, Clone)]
pub struct Rules {
    vocabulary: Vocabulary,
    position: Position,
    /// The earliest time that may come, and the last.
    earliest: usize,
    latest: usize,
}

impl Rules {
    /// For audio of this length.
    pub fn new(vocabulary: Vocabulary, duration_s: f64) -> Self {
        let latest = vocabulary.first_time + (duration_s * TIMES_PER_S).ceil() as usize;
        Self { vocabulary, position: Position::Start, earliest: vocabulary.first_time, latest }
    }

    /// True if the token chosen last opens a stretch where there is no audio left.
    pub fn is_behind_the_end(&self) -> bool {
        self.position == Position::Opened { first: false } && self.earliest + STRETCH_MIN > self.latest
    }

    /// The likeliest token of those that may come next, by the model's `scores` for all tokens, which then came next.
    pub fn choose(&mut self, scores: &[f32]) -> Choice {
        let allowed = self.allowed(scores.len());
        let weights = Weights::of(scores, &allowed);
        let (token, score) = if weights.a_time_is_due() { weights.time } else { weights.word };
        self.follow(token);
        Choice { token, log_probability: weights.log_probability(score) }
    }

    /// The `count` likeliest of those that may come next, the likeliest first.
    pub fn candidates(&self, scores: &[f32], count: usize) -> Vec<Choice> {
        let allowed = self.allowed(scores.len());
        let weights = Weights::of(scores, &allowed);
        let words = if weights.a_time_is_due() { 0..0 } else { allowed.words };
        let mut best: Vec<Choice> = Vec::with_capacity(count + 1);
        let least = |best: &[Choice]| best.get(count - 1).map_or(f32::NEG_INFINITY, |last| last.log_probability);
        for (first, highest, block) in [words, allowed.times].into_iter().flat_map(|range| blocks(scores, range)) {
            if highest <= least(&best) {
                continue;
            }
            for (token, &score) in (first..).zip(block) {
                if score > least(&best) && Some(token) != allowed.no_blank {
                    let place = best.partition_point(|better| better.log_probability >= score);
                    best.insert(place, Choice { token, log_probability: score });
                    best.truncate(count);
                }
            }
        }
        for choice in &mut best {
            choice.log_probability = weights.log_probability(choice.log_probability);
        }
        best
    }

    /// Which tokens may come next, of so many.
    fn allowed(&self, tokens: usize) -> Allowed {
        let Vocabulary { end_of_text, first_time, blank } = self.vocabulary;
        let end_of_times = tokens.min(self.latest + 1);
        let (words, times) = match self.position {
            Position::Start => (0..0, first_time..end_of_times.min(first_time + FIRST_TIME_MAX + 1)),
            Position::Opened { first: true } => (0..end_of_text, 0..0),
            Position::Opened { first: false } => (0..end_of_text + 1, 0..0),
            Position::Text => (0..end_of_text + 1, self.earliest..end_of_times),
            Position::Closed => (end_of_text..end_of_text + 1, self.earliest..end_of_times),
        };
        let no_blank = (self.position == Position::Opened { first: true }).then_some(blank);
        Allowed { words, times, no_blank }
    }

    /// Takes note of what came next.
    pub fn follow(&mut self, token: usize) {
        let is_time = self.vocabulary.is_time(token);
        self.position = match (self.position, is_time) {
            (Position::Start, _) => Position::Opened { first: true },
            (Position::Closed, true) => Position::Opened { first: false },
            (Position::Text, true) => Position::Closed,
            _ => Position::Text,
        };
        if is_time {
            self.earliest = token;
        }
    }
}

struct Allowed {
    words: Range<usize>,
    times: Range<usize>,
    no_blank: Option<usize>,
}

/// What the scores of the allowed tokens come to.
struct Weights {
    /// The likeliest word and its score.
    word: (usize, f32),
    /// The likeliest time and its score.
    time: (usize, f32),
    highest: f32,
    /// Sums of probabilities, in units of that of `highest`.
    words: f32,
    times: f32,
}

impl Weights {
    fn of(scores: &[f32], allowed: &Allowed) -> Self {
        let word = best(scores, allowed.words.clone(), allowed.no_blank);
        let time = best(scores, allowed.times.clone(), None);
        let highest = word.1.max(time.1);
        let (words, times) = (&allowed.words, &allowed.times);
        let [words, times] = [words, times].map(|range| sum(scores, range.clone(), highest));
        Self { word, time, highest, words, times }
    }

    fn a_time_is_due(&self) -> bool {
        self.times > (self.word.1 - self.highest).exp()
    }

    fn log_probability(&self, score: f32) -> f32 {
        score - self.highest - (self.words + self.times).ln()
    }
}

/// The token with the highest score in `range`; a score of minus infinity if there is none.
fn best(scores: &[f32], range: Range<usize>, except: Option<usize>) -> (usize, f32) {
    let mut best = (range.start, f32::NEG_INFINITY);
    for (first, highest, block) in blocks(scores, range) {
        if highest > best.1 {
            for (token, &score) in (first..).zip(block) {
                if score > best.1 && Some(token) != except {
                    best = (token, score);
                }
            }
        }
    }
    best
}

/// Sum of the probabilities in `range`, in units of that of a score of `highest`.
fn sum(scores: &[f32], range: Range<usize>, highest: f32) -> f32 {
    let arch = Arch::new();
    let likely = blocks(scores, range).filter(|&(_, best, _)| best - highest > NEGLIGIBLE);
    likely.map(|(_, _, block)| sum_of_exponentials(arch, block, highest)).sum()
}

/// The scores in `range` by blocks: the first token of each, its highest score, all its scores. There are fifty thousand
/// tokens at every step, and few blocks with one that counts.
fn blocks(scores: &[f32], range: Range<usize>) -> impl Iterator<Item = (usize, f32, &[f32])> {
    let first = (range.start..).step_by(BLOCK);
    let blocks = scores.get(range).unwrap_or_default().chunks(BLOCK);
    first.zip(blocks).map(|(first, block)| (first, highest(block), block))
}

/// Written so that the compiler makes vectors of it.
fn highest(scores: &[f32]) -> f32 {
    let higher = |a: f32, b: f32| if b > a { b } else { a };
    let (rows, rest) = scores.as_chunks::<16>();
    let mut highest = [f32::NEG_INFINITY; 16];
    for row in rows {
        highest.iter_mut().zip(row).for_each(|(highest, &score)| *highest = higher(*highest, score));
    }
    highest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, higher)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens 0..10 are text, 3 the blank, 10 the end, 11 to 19 control, from 20 on times.
    const VOCABULARY: Vocabulary = Vocabulary { end_of_text: 10, first_time: 20, blank: 3 };
    const TOKENS: usize = 120;

    fn scores(likely: &[(usize, f32)]) -> Vec<f32> {
        let mut scores = vec![-10.0; TOKENS];
        for &(token, score) in likely {
            scores[token] = score;
        }
        scores
    }

    /// What is chosen, step by step, if the model wants these tokens most, the first above all.
    fn follow(wishes: &[&[usize]]) -> Vec<usize> {
        let mut rules = Rules::new(VOCABULARY, 1.9);
        let choose = |wish: &&[usize]| {
            let likely: Vec<_> = wish.iter().enumerate().map(|(i, &token)| (token, 9.0 - 3.0 * i as f32)).collect();
            rules.choose(&scores(&likely)).token
        };
        wishes.iter().map(choose).collect()
    }

    #[test]
    fn a_time_comes_first_and_an_early_one() {
        assert_eq!(follow(&[&[5, 100, 25]]), [25]);
    }

    #[test]
    fn text_neither_begins_with_a_blank_nor_ends_before_it_began() {
        assert_eq!(follow(&[&[20], &[10, 3, 7]]), [20, 7]);
    }

    #[test]
    fn times_come_in_pairs_that_never_run_back() {
        // After the closing time 60 neither text nor an earlier time, then text again.
        assert_eq!(follow(&[&[20], &[7], &[60], &[8, 40, 60], &[70, 8], &[10]]), [20, 7, 60, 60, 8, 10]);
    }

    #[test]
    fn no_time_lies_behind_the_end_and_nothing_opens_there() {
        let mut rules = Rules::new(VOCABULARY, 1.0);
        let tokens = [[20, 7], [7, 20], [110, 66], [110, 69]].map(|[first, second]| {
            let token = rules.choose(&scores(&[(first, 9.0), (second, 5.0)])).token;
            (token, rules.is_behind_the_end())
        });
        assert_eq!(tokens, [(20, false), (7, false), (66, false), (69, true)]);
    }

    #[test]
    fn control_tokens_are_never_chosen() {
        assert_eq!(follow(&[&[15, 20], &[15, 7], &[15, 8]]), [20, 7, 8]);
    }

    #[test]
    fn many_unlikely_times_outweigh_one_word() {
        let mut rules = Rules::new(VOCABULARY, 1.9);
        rules.choose(&scores(&[(20, 5.0)]));
        rules.choose(&scores(&[(7, 5.0)]));
        let mut split = scores(&[(8, 1.0)]);
        split[40..50].fill(0.0);
        assert!(VOCABULARY.is_time(rules.choose(&split).token));
    }

    #[test]
    fn the_first_candidate_is_the_choice_and_the_others_follow_by_likelihood() {
        let mut rules = Rules::new(VOCABULARY, 1.9);
        let opening = rules.candidates(&scores(&[(5, 50.0), (25, 5.0), (26, 4.0)]), 2);
        assert_eq!(opening.iter().map(|c| c.token).collect::<Vec<_>>(), [25, 26]);
        rules.follow(25);
        let words = scores(&[(3, 9.0), (7, 6.0), (8, 7.0), (15, 9.0)]);
        let candidates = rules.candidates(&words, 3);
        assert_eq!(candidates.iter().take(2).map(|c| c.token).collect::<Vec<_>>(), [8, 7]);
        assert_eq!(candidates[0], rules.choose(&words));
        let mut due = scores(&[(8, 1.0)]);
        due[40..50].fill(0.0);
        assert!(rules.candidates(&due, 4).iter().all(|c| VOCABULARY.is_time(c.token)));
    }

    #[test]
    fn in_whatever_block_a_token_lies_it_is_found() {
        let mut scores: Vec<f32> = (0..1000_u16).map(|i| f32::from(i * 37 % 101) / 10.0).collect();
        scores[2 * BLOCK - 1] = 20.0;
        scores[700] = 19.0;
        scores[999] = 21.0;
        assert_eq!(best(&scores, 3..999, None), (2 * BLOCK - 1, 20.0));
        assert_eq!(best(&scores, 3..999, Some(2 * BLOCK - 1)), (700, 19.0));
        assert_eq!(best(&scores, 3..1000, None), (999, 21.0));
        assert!(best(&scores, 999..1001, None).1.is_infinite(), "no such tokens");
        let plainly: f32 = scores[3..].iter().map(|score| (score - 21.0).exp()).sum();
        assert!((sum(&scores, 3..1000, 21.0) - plainly).abs() < 1e-3 * plainly);
    }

    #[test]
    fn probabilities_are_among_what_was_allowed() {
        let mut rules = Rules::new(VOCABULARY, 1.9);
        let choice = rules.choose(&scores(&[(5, 50.0), (25, 5.0), (26, 5.0)]));
        assert!((choice.log_probability - 0.5_f32.ln()).abs() < 1e-3, "{choice:?}");
    }
}
