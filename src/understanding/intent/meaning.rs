//! Owns what a text looks like to the classifier through the sentence encoder: a direction, measured from the middle of
//! all examples.
//!
//! All sentences of one trade lie in one corner of the encoder's space, where everything resembles everything; seen
//! from the middle of that corner they differ. A sentence of a note is read in the light of the whole note, at no cost.

use std::{ops::Range, sync::Arc};

use super::features::Sparse;
use crate::understanding::encoder::Encoder;

#[derive(Debug)]
pub struct Meaning {
    encoder: Arc<Encoder>,
    centre: Vec<f32>,
}

impl Meaning {
    /// Finds the middle of the texts; returns each of them as seen from there, too.
    #[must_use]
    pub fn learn(encoder: Arc<Encoder>, texts: &[&str]) -> (Self, Vec<Sparse>) {
        let embeddings = encoder.embed_examples(texts);
        let mut centre = vec![0.0; encoder.size()];
        for embedding in &embeddings {
            centre.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += value / embeddings.len() as f32);
        }
        let meaning = Self { encoder, centre };
        let vectors = embeddings.iter().map(|embedding| meaning.direction(embedding)).collect();
        (meaning, vectors)
    }

    /// Features of a vector.
    #[must_use]
    pub fn size(&self) -> usize {
        self.centre.len()
    }

    /// A note and its parts, given as bytes of it.
    #[must_use]
    pub fn vectors(&self, note: &str, parts: &[Range<usize>]) -> (Sparse, Vec<Sparse>) {
        let encoded = self.encoder.encode(note, parts);
        let parts = encoded.parts.iter().map(|part| self.direction(part)).collect();
        (self.direction(&encoded.whole), parts)
    }

    fn direction(&self, embedding: &[f32]) -> Sparse {
        let moved: Vec<f32> = embedding.iter().zip(&self.centre).map(|(value, middle)| value - middle).collect();
        let length = moved.iter().map(|value| value * value).sum::<f32>().sqrt();
        if !length.is_normal() {
            return Sparse::new();
        }
        (0..).zip(moved).map(|(feature, value)| (feature, value / length)).collect()
    }
}
