//! Owns what a text looks like to the classifier through the sentence encoder: a direction, measured from the middle of
//! all examples, in units of how far texts that mean the same lie apart; and how far the encoder is to be trusted.
//!
//! All sentences of one trade lie in one corner of the encoder's space, where everything resembles everything; seen
//! from the middle of that corner they differ. A sentence of a note is read in the light of the whole note, at no cost.
//!
//! What is written as the encoder has rarely read it, dialect or a recogniser's mistakes, falls into more pieces than
//! the examples do, and its meaning is a guess: then letters count for more.

use std::{ops::Range, sync::Arc};

use super::{features::Sparse, spread::Spread};
use crate::understanding::{
    encoder::{Embedding, Encoded, Encoder},
    text,
};

/// More of a text is not looked at to tell how familiar it is.
const WORDS_MAX: usize = 100;
const WORD_CHARS_MAX: usize = 48;
/// A short text tells little: it is taken to have so many more letters, and pieces as usual.
const USUAL_LETTERS: f32 = 10.0;
/// Pieces a letter where there are no examples, as in common text of a language that the encoder knows well.
const USUAL_PIECES: f32 = 0.24;

#[derive(Debug)]
pub struct Meaning {
    encoder: Arc<Encoder>,
    centre: Vec<f32>,
    spread: Spread,
    /// Pieces a letter of the examples, their mean.
    usual_pieces: f32,
}

/// What the examples mean, before it is known which of them are learnt from.
#[derive(Debug)]
pub struct Draft {
    encoder: Arc<Encoder>,
    centre: Vec<f32>,
    directions: Vec<Vec<f32>>,
}

impl Draft {
    /// Finds the middle of what the encoder said of the texts.
    #[must_use]
    pub fn of(encoder: Arc<Encoder>, embeddings: &[Embedding]) -> Self {
        let mut centre = vec![0.0; encoder.size()];
        for embedding in embeddings {
            centre.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += value / embeddings.len() as f32);
        }
        let directions = embeddings.iter().map(|embedding| from_centre(embedding, &centre)).collect();
        Self { encoder, centre, directions }
    }

    /// Features of a vector.
    #[must_use]
    pub fn size(&self) -> usize {
        self.centre.len()
    }

    /// The texts as seen from their middle.
    #[must_use]
    pub fn vectors(&self) -> Vec<Sparse> {
        self.directions.iter().map(|direction| sparse(direction)).collect()
    }

    /// Learns from the texts that `kept` names, `examples` among them; returns those kept as they are seen now.
    #[must_use]
    pub fn learn(
        self,
        texts: &[String],
        kept: &[usize],
        labels: &[usize],
        classes: usize,
        examples: usize,
    ) -> (Meaning, Vec<Sparse>) {
        let directions: Vec<Vec<f32>> = kept.iter().map(|&sample| self.directions[sample].clone()).collect();
        let spread = Spread::learn(&directions, labels, classes, self.size());
        let pieces: Vec<f32> =
            texts.iter().take(examples).map(|text| pieces_a_letter(&self.encoder, text, USUAL_PIECES)).collect();
        let usual_pieces =
            if pieces.is_empty() { USUAL_PIECES } else { pieces.iter().sum::<f32>() / pieces.len() as f32 };
        let vectors = directions.iter().map(|direction| levelled(&spread, direction)).collect();
        (Meaning { encoder: self.encoder, centre: self.centre, spread, usual_pieces }, vectors)
    }
}

impl Meaning {
    /// Reads a note and its parts, given as bytes of it.
    #[must_use]
    pub fn encode(&self, note: &str, parts: &[Range<usize>]) -> Encoded {
        self.encoder.encode(note, parts)
    }

    #[must_use]
    pub fn vectors(&self, encoded: &Encoded) -> (Sparse, Vec<Sparse>) {
        let parts = encoded.parts.iter().map(|part| self.vector(part)).collect();
        (self.vector(&encoded.whole), parts)
    }

    /// Into how many more pieces than usual the text falls, as a share: 0 if it is no stranger than the examples.
    #[must_use]
    pub fn strangeness(&self, text: &str) -> f32 {
        (pieces_a_letter(&self.encoder, text, self.usual_pieces) / self.usual_pieces - 1.0).max(0.0)
    }

    fn vector(&self, embedding: &[f32]) -> Sparse {
        levelled(&self.spread, &from_centre(embedding, &self.centre))
    }
}

fn pieces_a_letter(encoder: &Encoder, text: &str, usual: f32) -> f32 {
    let mut plain = String::new();
    for word in text::words(text).into_iter().take(WORDS_MAX) {
        plain.extend(text[word.at].chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase));
        plain.push(' ');
    }
    let letters = plain.chars().count() as f32;
    (encoder.pieces(plain.trim_end()) as f32 + usual * USUAL_LETTERS) / (letters + USUAL_LETTERS)
}

/// Empty if the embedding is the centre itself.
fn from_centre(embedding: &[f32], centre: &[f32]) -> Vec<f32> {
    of_length_one(embedding.iter().zip(centre).map(|(value, middle)| value - middle).collect())
}

fn levelled(spread: &Spread, direction: &[f32]) -> Sparse {
    sparse(&of_length_one(spread.levelled(direction)))
}

fn of_length_one(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_normal() {
        return Vec::new();
    }
    for value in &mut vector {
        *value /= length;
    }
    vector
}

fn sparse(vector: &[f32]) -> Sparse {
    (0..).zip(vector.iter().copied()).collect()
}
