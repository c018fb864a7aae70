//! Owns how a text is judged in the light of the samples: as a whole, and sentence by sentence.

use std::ops::Range;

use super::{
    features::{self, Sparse},
    regression::Linear,
    samples::{Samples, View},
};
use crate::understanding::{encoder::Encoded, text};

/// The share of the whole note in the score; the rest is its best sentence's.
const WHOLE_SHARE: f32 = 0.5;

/// The uncalibrated judgement of one text.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// One a class, the background last; sums to 1.
    pub probabilities: Vec<f32>,
    /// One an intent.
    pub similarities: Vec<f32>,
    pub sentences: Vec<Sentence>,
}

/// A sentence judged by itself.
#[derive(Debug, Clone)]
pub struct Sentence {
    pub at: Range<usize>,
    pub words: usize,
    pub probabilities: Vec<f32>,
    pub similarities: Vec<f32>,
}

/// A note in one view.
struct Reading {
    whole: Seen,
    /// One a sentence.
    parts: Vec<Seen>,
}

/// A text in one view.
#[derive(Clone)]
struct Seen {
    vector: Sparse,
    /// How much it counts in the regression.
    share: f32,
}

impl Samples {
    /// Judges a note, given its sentences as bytes of it.
    pub fn judge(&self, model: &Linear, note: &str, sentences: Vec<Range<usize>>) -> Judgement {
        let encoded = self.meaning.as_ref().map(|meaning| meaning.encode(note, &sentences));
        self.judge_encoded(model, note, sentences, encoded.as_ref())
    }

    /// The same where the encoder has read the note and those sentences already.
    pub fn judge_encoded(
        &self,
        model: &Linear,
        note: &str,
        sentences: Vec<Range<usize>>,
        encoded: Option<&Encoded>,
    ) -> Judgement {
        let shares = self.shares(self.meaning.as_ref().map_or(0.0, |meaning| meaning.strangeness(note)));
        let mut readings = vec![self.words(note, &sentences, shares[0], features::familiar)];
        let others = [
            self.meaning.as_ref().zip(encoded).map(|(meaning, encoded)| meaning.vectors(encoded)),
            self.experience.as_ref().map(|experience| experience.of_note(note, &sentences, encoded)),
        ];
        readings.extend(others.into_iter().flatten().zip(&shares[1..]).map(|((whole, parts), &share)| {
            let seen = |vector| Seen { vector, share };
            // The only sentence is the note.
            let parts = if parts.len() == 1 { vec![whole.clone()] } else { parts };
            Reading { whole: seen(whole), parts: parts.into_iter().map(seen).collect() }
        }));
        self.judge_reading(model, note, sentences, &readings, |_| true)
    }

    /// Judges a sample as if it were a note; `known` says which samples it may be compared with.
    pub fn judge_sample(&self, model: &Linear, sample: usize, known: impl Fn(usize) -> bool) -> Judgement {
        let note = &self.texts[sample];
        let sentences = text::sentences(note);
        let shares = self.shares(self.strangeness[sample]);
        let mut readings =
            vec![self.words(note, &sentences, shares[0], |vector| self.vocabulary.familiar_to_others(vector))];
        // Examples are short: that their sentences have the meaning of the whole saves the encoder's work.
        readings.extend(self.views.iter().zip(&shares).skip(1).map(|(view, &share)| {
            let whole = Seen { vector: view.vectors[sample].clone(), share };
            Reading { parts: vec![whole.clone(); sentences.len()], whole }
        }));
        self.judge_reading(model, note, sentences, &readings, known)
    }

    /// The words of a note, where `clearer` says how much what is familiar in them counts.
    fn words(&self, note: &str, sentences: &[Range<usize>], share: f32, clearer: impl Fn(&Sparse) -> f32) -> Reading {
        let seen = |text: &str| {
            let vector = self.vocabulary.vector(text);
            Seen { share: share * clearer(&vector), vector }
        };
        Reading { whole: seen(note), parts: sentences.iter().map(|at| seen(&note[at.clone()])).collect() }
    }

    fn judge_reading(
        &self,
        model: &Linear,
        note: &str,
        sentences: Vec<Range<usize>>,
        readings: &[Reading],
        known: impl Fn(usize) -> bool,
    ) -> Judgement {
        let probabilities = |of: &dyn Fn(&Reading) -> &Seen| {
            let seen: Vec<(&Sparse, f32)> = readings.iter().map(|r| (&of(r).vector, of(r).share)).collect();
            model.probabilities(&seen)
        };
        let likeness = self.view_of_likeness();
        let similarities = |of: &dyn Fn(&Reading) -> &Seen| {
            let (view, reading) = (&self.views[likeness], &readings[likeness]);
            self.similarities(view, &of(reading).vector, &known)
        };
        let mut nearest = similarities(&|reading| &reading.whole);
        let judged = |(number, at): (usize, Range<usize>)| {
            let near = similarities(&|reading| &reading.parts[number]);
            nearest.iter_mut().zip(&near).for_each(|(all, &one)| *all = all.max(one));
            Sentence {
                words: text::words(&note[at.clone()]).len(),
                at,
                probabilities: probabilities(&|reading| &reading.parts[number]),
                similarities: near,
            }
        };
        let sentences: Vec<Sentence> = sentences.into_iter().enumerate().map(judged).collect();
        let by_sentence: Vec<&[f32]> = sentences.iter().map(|sentence| &sentence.probabilities[..]).collect();
        Judgement {
            probabilities: combine(&probabilities(&|reading| &reading.whole), &by_sentence),
            similarities: nearest,
            sentences,
        }
    }

    /// For each intent, the largest cosine with one of its samples.
    fn similarities(&self, view: &View, vector: &Sparse, known: &impl Fn(usize) -> bool) -> Vec<f32> {
        let mut best = vec![0.0_f32; self.classes - 1];
        for (number, (cosine, &label)) in view.index.cosines(vector).into_iter().zip(&self.labels).enumerate() {
            if label < best.len() && known(number) {
                best[label] = best[label].max(cosine);
            }
        }
        best
    }
}

/// The mean of the whole note's probabilities and its sentences' best: an intent is as likely as in the sentence that
/// shows it most, the background only as likely as in the sentence that is least of it.
fn combine(whole: &[f32], sentences: &[&[f32]]) -> Vec<f32> {
    let Some((first, others)) = sentences.split_first() else { return whole.to_vec() };
    let background = whole.len() - 1;
    let mut best = first.to_vec();
    for sentence in others {
        for class in 0..background {
            best[class] = best[class].max(sentence[class]);
        }
        best[background] = best[background].min(sentence[background]);
    }
    let sum: f32 = best.iter().sum();
    whole.iter().zip(best).map(|(w, b)| WHOLE_SHARE * w + (1.0 - WHOLE_SHARE) * b / sum).collect()
}
