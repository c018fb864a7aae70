//! Owns what is learnt from.
//!
//! A text is looked at in up to three ways: by its letters and words (`features.rs`), with a sentence encoder by its
//! meaning (`meaning.rs`), and by what the built-in playbook would make of it (`experience.rs`). One regression learns
//! from all: letters forgive what recognisers and dialects do to words, the encoder knows words that no example has, and
//! experience knows how else customers say such things. How much letters and meaning count is decided note by note: the
//! stranger a note's spelling is to the encoder, the more its letters do. Experience can be set aside, where an operator's
//! intents are nothing like it.

use std::sync::Arc;

use super::{
    experience::Experience,
    features::{Index, Sparse, Vocabulary},
    meaning::{Draft, Meaning},
    regression::{self, Gram, Linear},
};
use crate::understanding::{
    encoder::Encoder,
    playbook::{Intent, Playbook},
};

/// How much the examples are trusted over the penalty, see [`Linear::train`]: by words alone, and with meaning.
const PENALTY_C: [f64; 2] = [40.0, 10.0];
/// How much words count beside meaning, where a note is no stranger to the encoder than the examples.
const WORDS_SHARE: f32 = 0.45;
/// So much stranger is nothing unusual; from there on, the share of words grows in proportion, up to a limit.
const STRANGENESS_USUAL: f32 = 0.1;
const WORDS_SHARE_GROWTH: f32 = 2.0;
const WORDS_SHARE_MAX: f32 = 0.8;
/// Fewer letters of a strange note are those of an example, so that all its scores are fainter than its likeness is; what
/// they are made louder by at that limit.
const LOUDER_MAX: f32 = 1.0;
/// How much experience counts beside words and meaning, which are 1 together.
const EXPERIENCE_SHARE: f32 = 0.25;
/// A background line this close to an example is what the playbook is about, and no background: by words, by meaning.
const BACKGROUND_TOO_CLOSE: [f32; 2] = [0.45, 0.75];
/// Examples of different intents that are this close contradict each other.
const CONTRADICTION: f32 = 0.75;

/// The descriptions and examples of all intents, then the background, whose label is the number of intents.
#[derive(Debug)]
pub struct Samples {
    pub texts: Vec<String>,
    pub labels: Vec<usize>,
    /// False for descriptions: nobody says them.
    pub said: Vec<bool>,
    /// Intents, and the background, which may be without samples.
    pub classes: usize,
    pub(super) vocabulary: Vocabulary,
    pub(super) meaning: Option<Meaning>,
    pub(super) experience: Option<Box<Experience>>,
    /// By words; by meaning where there is an encoder; by experience where there is any.
    pub(super) views: Vec<View>,
    /// One a sample, see [`Meaning::strangeness`].
    pub(super) strangeness: Vec<f32>,
}

/// All samples, looked at in one way.
#[derive(Debug)]
pub struct View {
    pub vectors: Vec<Sparse>,
    pub index: Index,
    features: usize,
}

impl Samples {
    /// What the playbook says, against the background, in the light of experience.
    pub fn gather(playbook: &Playbook, encoder: Option<Arc<Encoder>>) -> Self {
        let experience = Experience::beside(playbook, encoder.clone());
        Self::of(&playbook.intents, include_str!("background.txt").lines(), encoder, experience)
    }

    pub fn of<'a>(
        intents: &'a [Intent],
        background: impl Iterator<Item = &'a str>,
        encoder: Option<Arc<Encoder>>,
        experience: Option<Experience>,
    ) -> Self {
        let mut texts: Vec<&str> = Vec::new();
        let mut labels = Vec::new();
        let mut said = Vec::new();
        for (label, intent) in intents.iter().enumerate() {
            texts.extend(intent.description.iter().chain(&intent.examples).map(String::as_str));
            said.extend(intent.description.iter().map(|_| false).chain(intent.examples.iter().map(|_| true)));
            labels.resize(texts.len(), label);
        }
        let examples = texts.len();
        texts.extend(background);
        said.resize(texts.len(), true);
        labels.resize(texts.len(), intents.len());
        let classes = intents.len() + 1;

        let vocabulary = Vocabulary::learn(&texts);
        let words: Vec<Sparse> = texts.iter().map(|text| vocabulary.vector(text)).collect();
        let embeddings = encoder.as_ref().map(|encoder| encoder.embed_examples(&texts));
        let draft = encoder.zip(embeddings.as_deref()).map(|(encoder, embeddings)| Draft::of(encoder, embeddings));

        let mut views = vec![View::of(words, vocabulary.len())];
        views.extend(draft.as_ref().map(|draft| View::of(draft.vectors(), draft.size())));
        let kept = without_background_like_examples(&views, examples);
        let labels: Vec<usize> = kept.iter().map(|&i| labels[i]).collect();
        let texts: Vec<String> = kept.iter().map(|&i| texts[i].to_owned()).collect();

        let words = kept.iter().map(|&i| views[0].vectors[i].clone()).collect();
        let mut views = vec![View::of(words, vocabulary.len())];
        let meaning = draft.map(|draft| {
            let size = draft.size();
            let (meaning, vectors) = draft.learn(&texts, &kept, &labels, classes, examples);
            views.push(View::of(vectors, size));
            meaning
        });
        if let Some(experience) = &experience {
            let embedding = |i: usize| embeddings.as_ref().map(|embeddings| &embeddings[i]);
            let vectors = kept.iter().zip(&texts).map(|(&i, text)| experience.of_example(text, embedding(i)));
            views.push(View::of(vectors.collect(), experience.size()));
        }
        Self {
            labels,
            said: kept.iter().map(|&i| said[i]).collect(),
            strangeness: texts.iter().map(|text| meaning.as_ref().map_or(0.0, |m| m.strangeness(text))).collect(),
            texts,
            classes,
            vocabulary,
            meaning,
            experience: experience.map(Box::new),
            views,
        }
    }

    /// Inner products of all samples, needed for training only.
    pub fn products(&self) -> Gram {
        Gram::of(&self.shared_views())
    }

    /// Learns from the samples that `members` names.
    pub fn fit(&self, products: &Gram, members: &[usize]) -> Linear {
        let penalty_c = PENALTY_C[usize::from(self.meaning.is_some())];
        Linear::train(products, &self.shared_views(), &self.labels, members, self.classes, penalty_c)
    }

    fn shared_views(&self) -> Vec<regression::View<'_>> {
        let views = self.views.iter().zip(self.shares(0.0));
        views.map(|(view, share)| view.for_regression(share)).collect()
    }

    /// Looks at texts no longer in the light of experience; None if it did not before.
    pub fn set_experience_aside(&mut self) -> Option<(Box<Experience>, View)> {
        let experience = self.experience.take()?;
        // It is the last view: the others do not change their places.
        Some((experience, self.views.pop()?))
    }

    pub fn take_experience_up(&mut self, (experience, view): (Box<Experience>, View)) {
        self.experience = Some(experience);
        self.views.push(view);
    }

    /// How much each view counts for a text of such strangeness.
    pub(super) fn shares(&self, strangeness: f32) -> Vec<f32> {
        let more = WORDS_SHARE_GROWTH * (strangeness - STRANGENESS_USUAL).max(0.0);
        let words = (WORDS_SHARE + more).min(WORDS_SHARE_MAX);
        let shares = if self.meaning.is_some() { vec![words, 1.0 - words] } else { vec![1.0] };
        let shares = shares.into_iter().chain(self.experience.iter().map(|_| EXPERIENCE_SHARE));
        let louder = 1.0 + LOUDER_MAX * (words - WORDS_SHARE) / (WORDS_SHARE_MAX - WORDS_SHARE);
        shares.map(|share| share * louder).collect()
    }

    /// The number of the view by which it is told how much a text resembles others: by meaning, and by words only where
    /// there is no encoder. Customers say the same in other words, and something else in much the same.
    pub(super) fn view_of_likeness(&self) -> usize {
        usize::from(self.meaning.is_some())
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
}

impl View {
    fn of(vectors: Vec<Sparse>, features: usize) -> Self {
        Self { index: Index::of(&vectors, features), vectors, features }
    }

    fn for_regression(&self, share: f32) -> regression::View<'_> {
        regression::View { examples: &self.vectors, index: &self.index, features: self.features, share }
    }
}

/// All examples, and the background that resembles none of them.
fn without_background_like_examples(views: &[View], examples: usize) -> Vec<usize> {
    let resembles = |sample: usize| {
        views.iter().zip(BACKGROUND_TOO_CLOSE).any(|(view, most)| {
            view.index.cosines(&view.vectors[sample]).iter().take(examples).any(|&cosine| cosine >= most)
        })
    };
    let samples = views.first().map_or(0, |view| view.vectors.len());
    (0..examples).chain((examples..samples).filter(|&sample| !resembles(sample))).collect()
}
