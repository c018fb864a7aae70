//! Owns what is learnt from, and how a text is judged in its light.
//!
//! A text is looked at in one or two ways: by its letters and words (`features.rs`), and, with a sentence encoder, by
//! its meaning (`meaning.rs`). Each has a regression of its own, and their probabilities are averaged: letters forgive
//! what recognisers and dialects do to words, the encoder knows words that no example has. How much either counts is
//! decided note by note: the stranger a note's spelling is to the encoder, the more its letters do.

use std::{ops::Range, sync::Arc};

use super::{
    features::{Index, Sparse, Vocabulary},
    meaning::Meaning,
    regression::{Gram, Linear},
};
use crate::understanding::{encoder::Encoder, playbook::Playbook, text};

/// How much the examples are trusted over the penalty, see [`Linear::train`]: by their words, by their meaning.
const PENALTY_C: [f64; 2] = [40.0, 10.0];
/// How much words count beside meaning, where a note is no stranger to the encoder than the examples.
const WORDS_SHARE: f32 = 0.5;
/// It grows in proportion with how much stranger a note is, up to a limit.
const WORDS_SHARE_GROWTH: f32 = 2.0;
const WORDS_SHARE_MAX: f32 = 0.8;
/// A background line this close to an example is what the playbook is about, and no background: by words, by meaning.
const BACKGROUND_TOO_CLOSE: [f32; 2] = [0.45, 0.75];
/// Examples of different intents that are this close contradict each other.
const CONTRADICTION: f32 = 0.75;
/// The share of the whole note in the score; the rest is its best sentence's.
const WHOLE_SHARE: f32 = 0.5;

/// The descriptions and examples of all intents, then the background, whose label is the number of intents.
#[derive(Debug)]
pub struct Samples {
    pub texts: Vec<String>,
    pub labels: Vec<usize>,
    /// False for descriptions: nobody says them.
    pub said: Vec<bool>,
    pub classes: usize,
    vocabulary: Vocabulary,
    meaning: Option<Meaning>,
    /// By words, and by meaning where there is an encoder.
    views: Vec<View>,
    /// One a sample, see [`Meaning::strangeness`].
    strangeness: Vec<f32>,
}

/// All samples, looked at in one way.
#[derive(Debug)]
struct View {
    vectors: Vec<Sparse>,
    index: Index,
    features: usize,
}

/// Inner products of all samples, one matrix a view. Needed for training only.
pub struct Products(Vec<Gram>);

/// One regression a view.
#[derive(Debug)]
pub struct Models(Vec<Linear>);

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
    whole: Sparse,
    /// One a sentence.
    parts: Vec<Sparse>,
}

impl Samples {
    pub fn gather(playbook: &Playbook, encoder: Option<Arc<Encoder>>) -> Self {
        let mut texts: Vec<&str> = Vec::new();
        let mut labels = Vec::new();
        let mut said = Vec::new();
        for (label, intent) in playbook.intents.iter().enumerate() {
            texts.extend(intent.description.iter().chain(&intent.examples).map(String::as_str));
            said.extend(intent.description.iter().map(|_| false).chain(intent.examples.iter().map(|_| true)));
            labels.resize(texts.len(), label);
        }
        let (examples, background) = (texts.len(), playbook.intents.len());
        texts.extend(include_str!("background.txt").lines());
        said.resize(texts.len(), true);
        labels.resize(texts.len(), background);

        let vocabulary = Vocabulary::learn(&texts);
        let mut views = vec![View::of(texts.iter().map(|text| vocabulary.vector(text)).collect(), vocabulary.len())];
        let meaning = encoder.map(|encoder| {
            let (meaning, vectors) = Meaning::learn(encoder, &texts, examples);
            views.push(View::of(vectors, meaning.size()));
            meaning
        });
        let far = |sample: usize| {
            sample < examples
                || views.iter().zip(BACKGROUND_TOO_CLOSE).all(|(view, most)| {
                    view.index.cosines(&view.vectors[sample]).iter().take(examples).all(|&cosine| cosine < most)
                })
        };
        let kept: Vec<usize> = (0..texts.len()).filter(|&sample| far(sample)).collect();
        let strangeness = |i: usize| meaning.as_ref().map_or(0.0, |meaning| meaning.strangeness(texts[i]));
        Self {
            strangeness: kept.iter().map(|&i| strangeness(i)).collect(),
            texts: kept.iter().map(|&i| texts[i].to_owned()).collect(),
            labels: kept.iter().map(|&i| labels[i]).collect(),
            said: kept.iter().map(|&i| said[i]).collect(),
            classes: background + 1,
            vocabulary,
            meaning,
            views: views
                .iter()
                .map(|view| View::of(kept.iter().map(|&i| view.vectors[i].clone()).collect(), view.features))
                .collect(),
        }
    }

    pub fn products(&self) -> Products {
        Products(self.views.iter().map(|view| Gram::of(&view.vectors, &view.index)).collect())
    }

    /// Learns from the samples that `members` names.
    pub fn fit(&self, products: &Products, members: &[usize]) -> Models {
        let views = self.views.iter().zip(&products.0).zip(PENALTY_C);
        let train = |((view, gram), c): ((&View, &Gram), f64)| {
            Linear::train(gram, &view.vectors, &self.labels, members, self.classes, view.features, c)
        };
        Models(views.map(train).collect())
    }

    /// Judges a note, given its sentences as bytes of it.
    pub fn judge(&self, models: &Models, note: &str, sentences: Vec<Range<usize>>) -> Judgement {
        let mut readings = vec![self.words(note, &sentences)];
        if let Some(meaning) = &self.meaning {
            let (whole, parts) = meaning.vectors(note, &sentences);
            // The only sentence is the note.
            let parts = if sentences.len() == 1 { vec![whole.clone()] } else { parts };
            readings.push(Reading { whole, parts });
        }
        let strangeness = self.meaning.as_ref().map_or(0.0, |meaning| meaning.strangeness(note));
        self.judge_reading(models, note, sentences, &readings, strangeness, |_| true)
    }

    /// Judges a sample as if it were a note; `known` says which samples it may be compared with.
    pub fn judge_sample(&self, models: &Models, sample: usize, known: impl Fn(usize) -> bool) -> Judgement {
        let note = &self.texts[sample];
        let sentences = text::sentences(note);
        let mut readings = vec![self.words(note, &sentences)];
        // Examples are short: that their sentences have the meaning of the whole saves the encoder's work.
        readings.extend(self.views.iter().skip(1).map(|view| {
            let whole = view.vectors[sample].clone();
            Reading { parts: vec![whole.clone(); sentences.len()], whole }
        }));
        self.judge_reading(models, note, sentences, &readings, self.strangeness[sample], known)
    }

    /// Pairs of samples that people say, with nearly the same words, for different intents.
    pub fn contradictions(&self) -> Vec<[usize; 2]> {
        let view = &self.views[0];
        let examples = || (0..self.texts.len()).filter(|&i| self.said[i] && self.labels[i] + 1 < self.classes);
        let close = |i: usize| {
            let cosines = view.index.cosines(&view.vectors[i]);
            let others = examples().filter(move |&j| j > i && self.labels[i] != self.labels[j]);
            others.filter(move |&j| cosines[j] >= CONTRADICTION).map(move |j| [i, j])
        };
        examples().flat_map(close).collect()
    }

    fn words(&self, note: &str, sentences: &[Range<usize>]) -> Reading {
        let parts = sentences.iter().map(|at| self.vocabulary.vector(&note[at.clone()])).collect();
        Reading { whole: self.vocabulary.vector(note), parts }
    }

    fn judge_reading(
        &self,
        models: &Models,
        note: &str,
        sentences: Vec<Range<usize>>,
        readings: &[Reading],
        strangeness: f32,
        known: impl Fn(usize) -> bool,
    ) -> Judgement {
        let shares = self.shares(strangeness);
        let mut probabilities = vec![0.0; self.classes];
        let mut similarities = vec![0.0; self.classes - 1];
        let sentence = |at: Range<usize>| Sentence {
            words: text::words(&note[at.clone()]).len(),
            at,
            probabilities: vec![0.0; self.classes],
            similarities: vec![0.0; self.classes - 1],
        };
        let mut sentences: Vec<Sentence> = sentences.into_iter().map(sentence).collect();
        for (((model, view), reading), share) in models.0.iter().zip(&self.views).zip(readings).zip(shares) {
            let mut nearest = self.similarities(view, &reading.whole, &known);
            let mut by_sentence = Vec::with_capacity(sentences.len());
            for (sentence, part) in sentences.iter_mut().zip(&reading.parts) {
                let (likely, near) = (model.probabilities(part), self.similarities(view, part, &known));
                add_share(&mut sentence.probabilities, &likely, share);
                add_share(&mut sentence.similarities, &near, share);
                nearest.iter_mut().zip(near).for_each(|(all, one)| *all = all.max(one));
                by_sentence.push(likely);
            }
            add_share(&mut probabilities, &combine(&model.probabilities(&reading.whole), &by_sentence), share);
            add_share(&mut similarities, &nearest, share);
        }
        Judgement { probabilities, similarities, sentences }
    }

    /// How much words and meaning count for a text of such strangeness.
    fn shares(&self, strangeness: f32) -> [f32; 2] {
        if self.meaning.is_none() {
            return [1.0, 0.0];
        }
        let words = (WORDS_SHARE + WORDS_SHARE_GROWTH * strangeness).min(WORDS_SHARE_MAX);
        [words, 1.0 - words]
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

impl View {
    fn of(vectors: Vec<Sparse>, features: usize) -> Self {
        Self { index: Index::of(&vectors, features), vectors, features }
    }
}

fn add_share(sums: &mut [f32], values: &[f32], share: f32) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
}

/// The mean of the whole note's probabilities and its sentences' best: an intent is as likely as in the sentence that
/// shows it most, the background only as likely as in the sentence that is least of it.
fn combine(whole: &[f32], sentences: &[Vec<f32>]) -> Vec<f32> {
    let Some((first, others)) = sentences.split_first() else { return whole.to_vec() };
    let background = whole.len() - 1;
    let mut best = first.clone();
    for sentence in others {
        for class in 0..background {
            best[class] = best[class].max(sentence[class]);
        }
        best[background] = best[background].min(sentence[background]);
    }
    let sum: f32 = best.iter().sum();
    whole.iter().zip(best).map(|(w, b)| WHOLE_SHARE * w + (1.0 - WHOLE_SHARE) * b / sum).collect()
}
