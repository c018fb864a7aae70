//! Owns the recognition of intents: learnt at start from the playbook's examples, in milliseconds, on one core.
//!
//! A note is scored as a whole and sentence by sentence, because people wrap what they want into stories. An intent
//! counts only if the regression is sure of it **and** the note resembles its examples; how sure is sure, is found
//! by cross-validation on the same examples ([`calibration`]). Everyday talk that is nobody's business
//! (`background.txt`) is learnt as a class of its own, so that there is something else a note can be.
//!
//! Knows texts and names, nothing of transcripts, urgency or replies. Training is deterministic.

mod calibration;
mod features;
mod regression;

use std::ops::Range;

pub use calibration::{Calibration, CrossValidated};
use features::{Sparse, Vocabulary, dot};
use regression::{Gram, Linear};

use super::{playbook::Playbook, text};

/// How much the examples are trusted over the penalty, see [`Linear::train`].
const PENALTY_C: f64 = 40.0;
/// A background line this close to an example is what the playbook is about, and no background.
const BACKGROUND_TOO_CLOSE: f32 = 0.45;
/// Examples of different intents that are this close contradict each other.
const CONTRADICTION: f32 = 0.75;
/// The share of the whole note in the score; the rest is its best sentence's.
const WHOLE_SHARE: f32 = 0.5;

/// Recognises the intents of one playbook.
#[derive(Debug)]
pub struct IntentClassifier {
    names: Vec<String>,
    samples: Samples,
    model: Linear,
    calibration: Calibration,
}

/// What is learnt from: the descriptions and examples of all intents, then the background, whose label is the number of intents.
#[derive(Debug)]
struct Samples {
    texts: Vec<String>,
    labels: Vec<usize>,
    /// False for descriptions: nobody says them.
    said: Vec<bool>,
    vocabulary: Vocabulary,
    vectors: Vec<Sparse>,
    classes: usize,
}

/// One intent that a note may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Index of the intent in the playbook.
    pub intent: usize,
    /// Calibrated, 0 to 1.
    pub confidence: f32,
    /// The largest cosine to one of the intent's examples, 0 to 1.
    pub similarity: f32,
    /// The sentence that shows it, in bytes of the text.
    pub evidence: Range<usize>,
    /// Passes the thresholds, as a whole or in its sentence alone.
    pub sure: bool,
}

/// The uncalibrated judgement of one text.
#[derive(Debug, Clone)]
struct Judgement {
    /// One a class, the background last; sums to 1.
    probabilities: Vec<f32>,
    /// One an intent.
    similarities: Vec<f32>,
    /// By sentence: place, probabilities, similarities.
    sentences: Vec<(Range<usize>, Vec<f32>, Vec<f32>)>,
}

impl IntentClassifier {
    /// Learns from the playbook's examples; a playbook without intents makes a classifier that never finds one.
    #[must_use]
    pub fn train(playbook: &Playbook) -> Self {
        let names = playbook.intents.iter().map(|intent| intent.name.clone()).collect();
        let samples = Samples::gather(playbook);
        let gram = Gram::of(&samples.vectors);
        let calibration = Calibration::find(&samples, &gram, playbook.thresholds);
        let everything: Vec<usize> = (0..samples.texts.len()).collect();
        let model = samples.fit(&gram, &everything);
        Self { names, samples, model, calibration }
    }

    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// What the note may want, most likely first.
    #[must_use]
    pub fn classify(&self, note: &str) -> Vec<Candidate> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let judgement = self.samples.judge(&self.model, note, |_| true);
        let mut candidates: Vec<Candidate> =
            (0..self.names.len()).map(|intent| self.candidate(&judgement, intent)).collect();
        candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.intent.cmp(&b.intent)));
        candidates
    }

    /// Pairs of examples that say nearly the same for different intents.
    #[must_use]
    pub fn contradictions(&self) -> Vec<[(usize, &str); 2]> {
        let samples = &self.samples;
        let examples = || (0..samples.texts.len()).filter(|&i| samples.labels[i] < self.names.len());
        let pairs = examples().flat_map(|i| examples().filter(move |&j| j > i).map(move |j| (i, j)));
        pairs
            .filter(|&(i, j)| samples.labels[i] != samples.labels[j])
            .filter(|&(i, j)| dot(&samples.vectors[i], &samples.vectors[j]) >= CONTRADICTION)
            .map(|pair| <[usize; 2]>::from(pair).map(|i| (samples.labels[i], samples.texts[i].as_str())))
            .collect()
    }

    fn candidate(&self, judgement: &Judgement, intent: usize) -> Candidate {
        let similarity = judgement.similarities[intent];
        let confidence = self.calibration.confidence(&judgement.probabilities, intent, similarity);
        let best = judgement.sentences.iter().max_by(|a, b| a.1[intent].total_cmp(&b.1[intent]));
        let (evidence, sentence_sure) = best.map_or((0..0, false), |(at, probabilities, similarities)| {
            let leads = (0..self.names.len()).all(|other| probabilities[other] <= probabilities[intent]);
            let alone = self.calibration.confidence(probabilities, intent, similarities[intent]);
            (at.clone(), leads && self.calibration.accepts(alone, similarities[intent]))
        });
        let sure = self.calibration.accepts(confidence, similarity) || sentence_sure;
        Candidate { intent, confidence, similarity, evidence, sure }
    }
}

impl Samples {
    fn gather(playbook: &Playbook) -> Self {
        let mut texts = Vec::new();
        let mut labels = Vec::new();
        let mut said = Vec::new();
        for (label, intent) in playbook.intents.iter().enumerate() {
            texts.extend(intent.description.iter().chain(&intent.examples).cloned());
            said.extend(intent.description.iter().map(|_| false).chain(intent.examples.iter().map(|_| true)));
            labels.resize(texts.len(), label);
        }
        let examples = texts.len();
        let background = playbook.intents.len();
        for line in include_str!("background.txt").lines() {
            texts.push(line.to_owned());
            said.push(true);
            labels.push(background);
        }
        let vocabulary = Vocabulary::learn(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let vectors: Vec<Sparse> = texts.iter().map(|text| vocabulary.vector(text)).collect();
        let kept: Vec<bool> = (0..texts.len())
            .map(|i| i < examples || vectors[..examples].iter().all(|v| dot(v, &vectors[i]) < BACKGROUND_TOO_CLOSE))
            .collect();
        let keep = |i: &usize| kept[*i];
        Self {
            labels: (0..texts.len()).filter(keep).map(|i| labels[i]).collect(),
            vectors: (0..texts.len()).filter(keep).map(|i| vectors[i].clone()).collect(),
            said: (0..texts.len()).filter(keep).map(|i| said[i]).collect(),
            texts: (0..texts.len()).filter(keep).map(|i| texts[i].clone()).collect(),
            vocabulary,
            classes: background + 1,
        }
    }

    fn fit(&self, gram: &Gram, members: &[usize]) -> Linear {
        let features = self.vocabulary.len();
        Linear::train(gram, &self.vectors, &self.labels, members, self.classes, features, PENALTY_C)
    }

    /// `known` says which samples may be compared with: in a cross-validation not those that are held out.
    fn judge(&self, model: &Linear, note: &str, known: impl Fn(usize) -> bool) -> Judgement {
        let of = |text: &str| {
            let vector = self.vocabulary.vector(text);
            (model.probabilities(&vector), self.similarities(&vector, &known))
        };
        let (whole, mut similarities) = of(note);
        let sentences: Vec<_> = text::sentences(note)
            .into_iter()
            .map(|at| {
                let (probabilities, similarities) = of(&note[at.clone()]);
                (at, probabilities, similarities)
            })
            .collect();
        for (_, _, of_sentence) in &sentences {
            similarities.iter_mut().zip(of_sentence).for_each(|(all, one)| *all = all.max(*one));
        }
        let probabilities = combine(&whole, sentences.iter().map(|(_, probabilities, _)| probabilities.as_slice()));
        Judgement { probabilities, similarities, sentences }
    }

    fn similarities(&self, vector: &Sparse, known: &impl Fn(usize) -> bool) -> Vec<f32> {
        let mut best = vec![0.0_f32; self.classes - 1];
        for (index, (sample, &label)) in self.vectors.iter().zip(&self.labels).enumerate() {
            if label < best.len() && known(index) {
                best[label] = best[label].max(dot(vector, sample));
            }
        }
        best
    }
}

/// The mean of the whole note's probabilities and its sentences' best: an intent is as likely as in the sentence that
/// shows it most, the background only as likely as in the sentence that is least of it.
fn combine<'a>(whole: &[f32], sentences: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let background = whole.len() - 1;
    let mut best: Option<Vec<f32>> = None;
    for sentence in sentences {
        match &mut best {
            None => best = Some(sentence.to_vec()),
            Some(best) => {
                for class in 0..background {
                    best[class] = best[class].max(sentence[class]);
                }
                best[background] = best[background].min(sentence[background]);
            }
        }
    }
    let Some(best) = best else { return whole.to_vec() };
    let sum: f32 = best.iter().sum();
    whole.iter().zip(best).map(|(w, b)| WHOLE_SHARE * w + (1.0 - WHOLE_SHARE) * b / sum).collect()
}
