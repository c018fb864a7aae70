//! Owns what a text looks like to the classifier through the sentence encoder: a direction, measured from the middle of
//! all examples.
//!
//! All sentences of one trade lie in one corner of the encoder's space, where everything resembles everything; seen
//! from the middle of that corner they differ. A sentence of a note is read in the light of the whole note, at no cost.
//!
//! What is written as the encoder has rarely read it, dialect or a recogniser's mistakes, falls into more pieces than the
//! examples do, and what it means is a guess: then letters count for more.

use std::{ops::Range, sync::Arc};

use super::features::Sparse;
use crate::understanding::{encoder::Encoder, text};

/// More of a text is not looked at to tell how familiar it is.
const WORDS_MAX: usize = 100;
const WORD_CHARS_MAX: usize = 48;
/// A short text tells little: it is taken to have so many more letters, and pieces as usual.
const USUAL_LETTERS: f32 = 10.0;
/// Pieces a letter in common text of a language that the encoder knows well.
const USUAL_PIECES: f32 = 0.24;

#[derive(Debug)]
pub struct Meaning {
    encoder: Arc<Encoder>,
    centre: Vec<f32>,
    /// Pieces a letter, of the examples: the mean, and what one in ten exceeds.
    usual_pieces: f32,
    many_pieces: f32,
}

impl Meaning {
    /// Finds the middle of the texts, of which the first are `examples`; returns each as seen from there, too.
    #[must_use]
    pub fn learn(encoder: Arc<Encoder>, texts: &[&str], examples: usize) -> (Self, Vec<Sparse>) {
        let embeddings = encoder.embed_examples(texts);
        let mut centre = vec![0.0; encoder.size()];
        for embedding in &embeddings {
            centre.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += value / embeddings.len() as f32);
        }
        let pieces = texts.iter().take(examples).map(|text| pieces_a_letter(&encoder, text, USUAL_PIECES));
        let mut pieces: Vec<f32> = pieces.collect();
        pieces.sort_by(f32::total_cmp);
        let usual_pieces =
            if pieces.is_empty() { USUAL_PIECES } else { pieces.iter().sum::<f32>() / pieces.len() as f32 };
        let many_pieces = pieces.get(pieces.len() * 9 / 10).copied().unwrap_or(f32::INFINITY);
        let meaning = Self { encoder, centre, usual_pieces, many_pieces };
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

    /// Into how many more pieces the text falls than examples do, as a share of what is usual: 0 if one in ten of them
    /// is as strange.
    #[must_use]
    pub fn strangeness(&self, text: &str) -> f32 {
        let pieces = pieces_a_letter(&self.encoder, text, self.usual_pieces);
        ((pieces - self.many_pieces) / self.usual_pieces).max(0.0)
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

fn pieces_a_letter(encoder: &Encoder, text: &str, usual: f32) -> f32 {
    let mut plain = String::new();
    for word in text::words(text).into_iter().take(WORDS_MAX) {
        plain.extend(text[word.at].chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase));
        plain.push(' ');
    }
    let letters = plain.chars().count() as f32;
    (encoder.pieces(plain.trim_end()) as f32 + usual * USUAL_LETTERS) / (letters + USUAL_LETTERS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn meaning(examples: &[&str]) -> Meaning {
        let loaded = Encoder::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/e5-small-q4.bin"));
        let encoder = loaded.unwrap_or_else(|e| panic!("{e}; `make test` fetches the models first"));
        Meaning::learn(Arc::new(encoder), examples, examples.len()).0
    }

    #[test]
    fn dialect_is_strange_and_what_is_spelt_like_the_examples_is_not() {
        let meaning = meaning(&[
            "Wo bleibt mein Paket, es sollte gestern kommen?",
            "Ich möchte meinen Vertrag zum Jahresende kündigen.",
            "Die Rechnung vom März stimmt nicht, da ist zu viel berechnet.",
        ]);
        assert!(meaning.strangeness("Können Sie mich bitte morgen zurückrufen?") < 0.05);
        assert!(meaning.strangeness("I han mis Päckli immer nonig übercho, chönd Si mer säge wo das isch?") > 0.1);
    }

    #[test]
    fn without_examples_nothing_is_strange() {
        assert!(meaning(&[]).strangeness("Grüezi mitenand") <= 0.0);
    }
}
