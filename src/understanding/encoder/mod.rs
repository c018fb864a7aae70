//! Owns the sentence encoder: a text becomes a vector that lies close to those of texts that mean much the same, in
//! whichever of some hundred languages.
//!
//! * `file.rs` reads the model's file, within limits.
//! * `tokenizer.rs` cuts a text into the pieces that the model knows.
//! * `matrix.rs` multiplies, with the widest instructions that the processor has.
//! * `memory.rs` keeps what it said of a playbook's examples.
//! * `transformer.rs` is the model itself, multilingual-e5-small.
//!
//! Pure computation after loading: the same text has the same vector every time on one machine. Knows nothing of
//! intents.

mod file;
pub(super) mod matrix;
mod memory;
mod tokenizer;
mod transformer;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

pub use self::file::EncoderError;
use self::{memory::Memory, tokenizer::Tokenizer, transformer::Transformer};

/// The model was trained with this before every text that is to be compared with others of its kind.
const PREFIX: &str = "query: ";

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
    /// Reads the model's file, about 70 MB, and unpacks it to about 150 MB.
    ///
    /// # Errors
    /// [`EncoderError`] if it cannot be read, or is not such a file from beginning to end.
    pub fn load(path: &Path) -> Result<Self, EncoderError> {
        let (tokenizer, weights) = file::read(path)?;
        let transformer =
            Transformer::new(&weights).map_err(|what| EncoderError::Format { path: path.to_owned(), what })?;
        Ok(Self { tokenizer, transformer, memory: Memory::default() })
    }

    /// Keeps the embeddings of examples in `file`, for the next start.
    #[must_use]
    pub fn remembering(mut self, file: PathBuf) -> Self {
        self.memory = Memory::open(file, self.size());
        self
    }

    /// How many numbers an embedding has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.transformer.width()
    }

    /// What the examples of a playbook mean: computed on all processors, once for each.
    #[must_use]
    pub fn embed_examples(&self, texts: &[&str]) -> Vec<Embedding> {
        self.memory.recall(texts, |texts| {
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let share = texts.len().div_ceil(threads).max(1);
            std::thread::scope(|scope| {
                let work = |part: &'_ [&str]| part.iter().map(|text| self.embed(text)).collect::<Vec<_>>();
                let others: Vec<_> = texts.chunks(share).map(|part| (part, scope.spawn(move || work(part)))).collect();
                // A thread that died is no reason to die: its share is computed here.
                others.into_iter().flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| work(part))).collect()
            })
        })
    }

    /// What a text means.
    #[must_use]
    pub fn embed(&self, text: &str) -> Embedding {
        self.encode(text, &[]).whole
    }

    /// What a text means, and what each of its `parts` does, given as bytes of it. The work is that of one text.
    ///
    /// A text that is longer than the model reads is cut at its end; a part that lies behind it has the whole text's
    /// meaning.
    #[must_use]
    pub fn encode(&self, text: &str, parts: &[Range<usize>]) -> Encoded {
        let tokens = self.tokenizer.encode(PREFIX, text);
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let states = self.transformer.run(&ids);
        let width = self.size();
        let mean = |wanted: &dyn Fn(usize) -> bool| {
            let rows = states.chunks_exact(width).enumerate().filter(|(row, _)| wanted(*row));
            let mut sum = vec![0.0; width];
            rows.for_each(|(_, state)| sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += value));
            normalised(sum)
        };
        let whole = mean(&|_| true).unwrap_or_else(|| vec![0.0; width]);
        let part = |part: &Range<usize>| {
            let within =
                |row: usize| tokens[row].at.as_ref().is_some_and(|at| at.start < part.end && part.start < at.end);
            mean(&within).unwrap_or_else(|| whole.clone())
        };
        Encoded { parts: parts.iter().map(part).collect(), whole }
    }
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
