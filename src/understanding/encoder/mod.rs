//! Owns the sentence encoder: a text becomes a vector that lies close to those of texts that mean much the same, in
//! whichever of some hundred languages.
//!
//! * `file.rs` reads the model's file, within limits; `tuning.rs`, what the program adds to it.
//! * `tokenizer.rs` cuts a text into the pieces that the model knows, which `pieces.rs` finds.
//! * `stretches.rs` cuts what is too long for the model to be read at once.
//! * `matrix.rs` multiplies, with the widest instructions that the processor has; `linear.rs`, by trained weights, which
//!   `products.rs` does on x86-64, in `tiles.rs` where the processor has them.
//! * `curves.rs` is what lies between the multiplications.
//! * `memory.rs` keeps what it said of examples.
//! * `transformer.rs` is the model itself, multilingual-e5-small.
//!
//! Pure computation after loading: the same text has the same vector every time on one machine. Knows nothing of
//! intents.

mod curves;
mod file;
mod linear;
pub(super) mod matrix;
mod memory;
mod pieces;
#[cfg(target_arch = "x86_64")]
mod products;
mod stretches;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod tokenizer;
mod transformer;
mod tuning;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use pulp::Arch;

pub use self::file::EncoderError;
use self::{
    memory::Memory,
    tokenizer::{Token, Tokenizer},
    transformer::Transformer,
};
use super::processors;

/// The model was trained with this before every text that is to be compared with others of its kind.
const PREFIX: &str = "query: ";
/// Tokens of a stretch that are none of the text: marks, the prefix, and what is cut otherwise beside it.
const TOKENS_BESIDE: usize = 12;
/// A text is read up to this many stretches, some twenty minutes of speech: a slot is held for as long as it takes. What
/// comes behind counts by its letters and words alone, and [`Encoder::encode`] says in the log that there was more.
const STRETCHES_MAX: usize = 8;
/// Tokens that go through the model together: enough for each weight that is fetched from memory to be used often, few
/// enough for what is computed from them to stay small beside the weights.
const TOKENS_TOGETHER: usize = 512;
/// Examples that are read together.
const TEXTS_TOGETHER: usize = 32;

/// A direction in the space of meanings: [`Encoder::size`] numbers, of length 1.
pub type Embedding = Vec<f32>;

/// A loaded model. Shared between threads; a call computes on the thread that makes it.
#[derive(Debug)]
pub struct Encoder {
    tokenizer: Tokenizer,
    transformer: Transformer,
    memory: Memory,
}

/// A text as the model sees it: as a whole, and in those of its parts that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    pub whole: Embedding,
    /// One a part, in the order asked for; each is read in the light of the whole text.
    pub parts: Vec<Embedding>,
}

impl Encoder {
    /// Reads the model's file, about 70 MB, and takes about 100 MB of memory.
    ///
    /// # Errors
    /// [`EncoderError`] if it cannot be read, or is not such a file from beginning to end.
    pub fn load(path: &Path) -> Result<Self, EncoderError> {
        Self::load_for(Arch::new(), path, tuning::TUNING)
    }

    fn load_for(arch: Arch, path: &Path, tuning: &[u8]) -> Result<Self, EncoderError> {
        let (tokenizer, mut weights) = file::read(path)?;
        let hash = weights.tune(tuning);
        let transformer =
            Transformer::new(arch, &weights).map_err(|what| EncoderError::Format { path: path.to_owned(), what })?;
        let memory = Memory::new(hash, transformer.width());
        Ok(Self { tokenizer, transformer, memory })
    }

    /// Knows of examples what `bytes` say, unless another model said it.
    #[must_use]
    pub fn knowing(mut self, bytes: &[u8]) -> Self {
        self.memory.add_shipped(bytes);
        self
    }

    /// Keeps the embeddings of further examples in `file`, for the next start.
    #[must_use]
    pub fn remembering(mut self, file: PathBuf) -> Self {
        self.memory.keep_in(file);
        self
    }

    /// How many numbers an embedding has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.transformer.width()
    }

    /// What examples mean, in 16 bits a number: computed on all processors, once for each.
    #[must_use]
    pub fn embed_examples(&self, texts: &[&str]) -> Vec<Embedding> {
        self.memory.recall(texts, |texts| processors::spread(texts, |share| self.embed_all(share)))
    }

    /// What it was asked for and did not know from the program: how many examples, and their file.
    #[cfg(test)]
    pub(super) fn newly_read(&self) -> (usize, Vec<u8>) {
        self.memory.not_shipped()
    }

    /// How many examples it knows from the program.
    #[cfg(test)]
    pub(super) fn shipped(&self) -> usize {
        self.memory.shipped()
    }

    /// What a text means.
    #[must_use]
    pub fn embed(&self, text: &str) -> Embedding {
        self.encode(text, &[]).whole
    }

    /// What a text means, and what each of its `parts` does, given as bytes of it. The work is that of one text.
    ///
    /// A text that is longer than the model reads at once is read in stretches that end between its parts, and means
    /// what all of them do together. A part that lies behind the last of them, see [`STRETCHES_MAX`], or that has no
    /// words, has the whole text's meaning.
    #[must_use]
    pub fn encode(&self, text: &str, parts: &[Range<usize>]) -> Encoded {
        let stretches = self.stretches(text, parts);
        let unread = unread(text, &stretches);
        if unread > 0 {
            let characters = text.chars().count();
            tracing::warn!(
                characters,
                unread,
                "a note is too long for the sentence encoder, which left its end unread"
            );
        }
        let states = self.states(&stretches);
        let width = self.size();
        let mean = |wanted: &dyn Fn(&Token) -> bool| {
            let rows = states.chunks_exact(width).zip(stretches.iter().flatten()).filter(|(_, token)| wanted(token));
            let mut sum = vec![0.0; width];
            rows.for_each(|(state, _)| add(&mut sum, state));
            normalised(sum)
        };
        let whole = mean(&|_| true).unwrap_or_else(|| vec![0.0; width]);
        let part = |part: &Range<usize>| {
            let within = |token: &Token| token.at.as_ref().is_some_and(|at| at.start < part.end && part.start < at.end);
            mean(&within).unwrap_or_else(|| whole.clone())
        };
        Encoded { parts: parts.iter().map(part).collect(), whole }
    }

    /// Into how many pieces the model cuts the text, without the marks; it does not look behind what it reads at once.
    ///
    /// The fewer letters a piece has, the less of such a language the model has seen.
    #[must_use]
    pub fn pieces(&self, text: &str) -> usize {
        let tokens = self.tokenizer.encode("", text, self.tokenizer.tokens_max());
        tokens.iter().filter(|token| token.at.is_some()).count()
    }

    /// What many texts mean, one by one.
    fn embed_all(&self, texts: &[&str]) -> Vec<Embedding> {
        let mut embeddings = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_TOGETHER) {
            let read: Vec<Vec<Vec<Token>>> = texts.iter().map(|text| self.stretches(text, &[])).collect();
            let lengths: Vec<usize> = read.iter().map(|stretches| stretches.iter().map(Vec::len).sum()).collect();
            let states = self.states(&read.into_iter().flatten().collect::<Vec<_>>());
            let mut rows = states.chunks_exact(self.size());
            for length in lengths {
                let mut sum = vec![0.0; self.size()];
                rows.by_ref().take(length).for_each(|state| add(&mut sum, state));
                embeddings.push(normalised(sum).unwrap_or_else(|| vec![0.0; self.size()]));
            }
        }
        embeddings
    }

    /// The tokens of a text: one stretch, or as many as it takes.
    fn stretches(&self, text: &str, parts: &[Range<usize>]) -> Vec<Vec<Token>> {
        let at_once = self.tokenizer.tokens_max();
        let tokens = self.tokenizer.encode(PREFIX, text, at_once * STRETCHES_MAX);
        if tokens.len() <= at_once {
            return vec![tokens];
        }
        let borders: Vec<usize> = parts.iter().map(|part| part.start).collect();
        let cut = stretches::cut(text, &tokens, &borders, at_once.saturating_sub(TOKENS_BESIDE));
        let tokens_of = |at: Range<usize>| {
            let mut tokens = self.tokenizer.encode(PREFIX, &text[at.clone()], at_once);
            for place in tokens.iter_mut().filter_map(|token| token.at.as_mut()) {
                *place = place.start + at.start..place.end + at.start;
            }
            tokens
        };
        cut.into_iter().take(STRETCHES_MAX).map(tokens_of).collect()
    }

    /// The states of all tokens, row by row.
    fn states(&self, stretches: &[Vec<Token>]) -> Vec<f32> {
        let mut states = Vec::new();
        let mut together: Vec<&[Token]> = Vec::new();
        for stretch in stretches {
            if together.iter().map(|tokens| tokens.len()).sum::<usize>() + stretch.len() > TOKENS_TOGETHER {
                states.extend(self.transformer.run(&std::mem::take(&mut together)));
            }
            together.push(stretch);
        }
        states.extend(self.transformer.run(&together));
        states
    }
}

/// How many characters lie behind the last stretch.
fn unread(text: &str, stretches: &[Vec<Token>]) -> usize {
    // With fewer of them all of it was read; what no token stands for at its end is nothing that could be.
    if stretches.len() < STRETCHES_MAX {
        return 0;
    }
    let read = stretches.iter().flatten().filter_map(|token| token.at.as_ref()).map(|at| at.end).max();
    text[read.unwrap_or(0)..].trim_end().chars().count()
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// None if there is no direction in it.
fn normalised(mut vector: Vec<f32>) -> Option<Embedding> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_normal() {
        return None;
    }
    for value in &mut vector {
        *value /= length;
    }
    Some(vector)
}

#[cfg(test)]
mod tests;
