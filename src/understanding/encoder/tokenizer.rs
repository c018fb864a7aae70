//! Owns the way from a text to the model's pieces: normalisation, then the cut whose pieces are likeliest together
//! (a unigram model, searched with Viterbi's algorithm).

use std::{collections::HashMap, ops::Range};

use super::pieces::Pieces;

/// What stands for a space in the pieces.
const SPACE: char = '\u{2581}';
/// How much less likely than the least likely piece a character is that no piece has.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Pieces with a task of their own.
#[derive(Debug, Clone, Copy)]
pub struct Special {
    pub begin: u32,
    pub end: u32,
    pub unknown: u32,
}

/// One piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: u32,
    /// The bytes of the text that it stands for; None for the marks at both ends and for the prefix.
    pub at: Option<Range<usize>>,
}

#[derive(Debug)]
pub struct Tokenizer {
    pieces: Pieces,
    normalised: HashMap<char, String>,
    special: Special,
    tokens_max: usize,
    unknown_score: f32,
}

impl Tokenizer {
    pub fn new(pieces: Pieces, normalised: HashMap<char, String>, special: Special, tokens_max: usize) -> Self {
        let unknown_score = pieces.least_score() - UNKNOWN_PENALTY;
        Self { pieces, normalised, special, tokens_max, unknown_score }
    }

    /// How many tokens the model reads at once.
    pub fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// The pieces of `prefix` and `text` together, between the marks of beginning and end; at most `tokens_max`.
    pub fn encode(&self, prefix: &str, text: &str, tokens_max: usize) -> Vec<Token> {
        let characters = self.normalise(prefix, text, tokens_max);
        let mut tokens = vec![Token { id: self.special.begin, at: None }];
        tokens.extend(self.cut(&characters));
        tokens.truncate(tokens_max - 1);
        tokens.push(Token { id: self.special.end, at: None });
        tokens
    }

    /// The characters as the pieces spell them, each with the bytes of the text that it came from.
    fn normalise(&self, prefix: &str, text: &str, tokens_max: usize) -> Vec<(char, Option<Range<usize>>)> {
        // What lies far behind the last token that is wanted need not be looked at.
        let characters_max = tokens_max * self.pieces.bytes_max();
        let before = prefix.chars().map(|c| (c, None));
        let within = text.char_indices().map(|(at, c)| (c, Some(at..at + c.len_utf8())));
        let mut out = vec![(SPACE, None)];
        for (c, at) in before.chain(within).take(characters_max) {
            let mut push = |c: char| {
                let c = if c == ' ' { SPACE } else { c };
                if c != SPACE || out.last().is_none_or(|(last, _)| *last != SPACE) {
                    out.push((c, at.clone()));
                }
            };
            match self.normalised.get(&c) {
                Some(replacement) => replacement.chars().for_each(&mut push),
                None => push(c),
            }
        }
        out
    }

    /// The cut with the highest sum of scores.
    fn cut(&self, characters: &[(char, Option<Range<usize>>)]) -> Vec<Token> {
        /// The best way to a place: its score, the last piece on it, and where that begins.
        type Way = (f32, u32, usize);

        let mut best: Vec<Way> = vec![(f32::NEG_INFINITY, self.special.unknown, 0); characters.len() + 1];
        best[0].0 = 0.0;
        for from in 0..characters.len() {
            let so_far = best[from].0;
            let mut beginning = self.pieces.beginning(characters[from].0);
            let mut to = from + 1;
            while let Some(known) = beginning {
                let piece = self.pieces.ending(&known).filter(|&(id, _)| id != self.special.unknown);
                if let Some((id, score)) = piece
                    && so_far + score > best[to].0
                {
                    best[to] = (so_far + score, id, from);
                }
                beginning = characters.get(to).and_then(|&(next, _)| self.pieces.narrowed(&known, next));
                to += 1;
            }
            let score = so_far + self.unknown_score;
            if score > best[from + 1].0 {
                best[from + 1] = (score, self.special.unknown, from);
            }
        }

        let mut tokens = Vec::new();
        let mut to = characters.len();
        while to > 0 {
            let (_, id, from) = best[to];
            let mut places = characters[from..to].iter().filter_map(|(_, at)| at.clone());
            let first = places.next();
            let last = places.next_back().or_else(|| first.clone());
            tokens.push(Token { id, at: first.zip(last).map(|(first, last)| first.start..last.end) });
            to = from;
        }
        tokens.reverse();
        tokens
    }
}
