//! Owns the recognition of intents: learnt at start from the playbook's examples, in milliseconds, on one core.
//!
//! A note is scored as a whole and sentence by sentence, because people wrap what they want into stories. An intent
//! counts only if the regression is sure of it **and** the note resembles its examples; how sure is sure, is found
//! by cross-validation on the same examples (`calibration.rs`). Everyday talk that is nobody's business
//! (`background.txt`) is learnt as a class of its own, so that there is something else a note can be.
//!
//! Knows texts and names, nothing of transcripts, urgency or replies. Training is deterministic.

mod calibration;
mod concepts;
mod features;
mod regression;

use std::ops::Range;

pub use calibration::{Calibration, CrossValidated};
use features::{Index, Sparse, Vocabulary};
use regression::{Gram, Linear};

use super::{playbook::Playbook, text};

/// How much the examples are trusted over the penalty, see [`Linear::train`].
const PENALTY_C: f64 = 40.0;
/// A background line this close to an example is what the playbook is about, and no background.
const BACKGROUND_TOO_CLOSE: f32 = 0.45;
/// Examples of different intents that are this close contradict each other.
const CONTRADICTION: f32 = 0.75;
/// A shorter sentence shows nothing by itself: "Woher kommt das denn?"
const SENTENCE_WORDS_MIN: usize = 5;
/// A sentence shows a second request only if the note as a whole makes it likelier right than wrong.
const SECOND_CONFIDENCE_MIN: f32 = 0.5;
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
    index: Index,
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
    /// The note as a whole passes the thresholds.
    pub sure: bool,
    /// A sentence of its own passes them, and the note does not speak against it: a second request.
    pub sure_in_sentence: bool,
}

/// The uncalibrated judgement of one text.
#[derive(Debug, Clone)]
struct Judgement {
    /// One a class, the background last; sums to 1.
    probabilities: Vec<f32>,
    /// One an intent.
    similarities: Vec<f32>,
    sentences: Vec<Sentence>,
}

/// A sentence judged by itself.
#[derive(Debug, Clone)]
struct Sentence {
    at: Range<usize>,
    words: usize,
    probabilities: Vec<f32>,
    similarities: Vec<f32>,
}

impl IntentClassifier {
    /// Learns from the playbook's examples; a playbook without intents makes a classifier that never finds one.
    #[must_use]
    pub fn train(playbook: &Playbook) -> Self {
        let names = playbook.intents.iter().map(|intent| intent.name.clone()).collect();
        let samples = Samples::gather(playbook);
        let gram = Gram::of(&samples.vectors, &samples.index);
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
        let examples = || (0..samples.texts.len()).filter(|&i| samples.said[i] && samples.labels[i] < self.names.len());
        let close = |i: usize| {
            let cosines = samples.index.cosines(&samples.vectors[i]);
            let others = examples().filter(move |&j| j > i && samples.labels[i] != samples.labels[j]);
            others.filter(move |&j| cosines[j] >= CONTRADICTION).map(move |j| [i, j])
        };
        let pairs = examples().flat_map(close);
        pairs.map(|pair| pair.map(|i| (samples.labels[i], samples.texts[i].as_str()))).collect()
    }

    fn candidate(&self, judgement: &Judgement, intent: usize) -> Candidate {
        let similarity = judgement.similarities[intent];
        let confidence = self.calibration.confidence(&judgement.probabilities, intent, similarity);
        let best =
            judgement.sentences.iter().max_by(|a, b| a.probabilities[intent].total_cmp(&b.probabilities[intent]));
        let evidence = best.map_or(0..0, |sentence| sentence.at.clone());
        let shown = best.is_some_and(|sentence| self.is_sure_alone(sentence, intent));
        let sure = self.calibration.accepts(confidence, similarity);
        let sure_in_sentence = shown && confidence >= SECOND_CONFIDENCE_MIN;
        Candidate { intent, confidence, similarity, evidence, sure, sure_in_sentence }
    }

    /// Would the sentence have this intent if it were the whole note?
    fn is_sure_alone(&self, sentence: &Sentence, intent: usize) -> bool {
        let similarity = sentence.similarities[intent];
        let confidence = self.calibration.confidence(&sentence.probabilities, intent, similarity);
        let leads = sentence.probabilities[..self.names.len()].iter().all(|&p| p <= sentence.probabilities[intent]);
        leads && sentence.words >= SENTENCE_WORDS_MIN && self.calibration.accepts(confidence, similarity)
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
        let index = Index::of(&vectors[..examples], vocabulary.len());
        let apart = |vector: &Sparse| index.cosines(vector).iter().all(|&cosine| cosine < BACKGROUND_TOO_CLOSE);
        let kept: Vec<bool> = vectors.iter().enumerate().map(|(i, vector)| i < examples || apart(vector)).collect();
        let keep = |i: &usize| kept[*i];
        let vectors: Vec<Sparse> = (0..texts.len()).filter(keep).map(|i| vectors[i].clone()).collect();
        Self {
            labels: (0..texts.len()).filter(keep).map(|i| labels[i]).collect(),
            index: Index::of(&vectors, vocabulary.len()),
            vectors,
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
                Sentence { words: text::words(&note[at.clone()]).len(), at, probabilities, similarities }
            })
            .collect();
        for sentence in &sentences {
            similarities.iter_mut().zip(&sentence.similarities).for_each(|(all, one)| *all = all.max(*one));
        }
        let probabilities = combine(&whole, sentences.iter().map(|sentence| sentence.probabilities.as_slice()));
        Judgement { probabilities, similarities, sentences }
    }

    fn similarities(&self, vector: &Sparse, known: &impl Fn(usize) -> bool) -> Vec<f32> {
        let mut best = vec![0.0_f32; self.classes - 1];
        for (number, (cosine, &label)) in self.index.cosines(vector).into_iter().zip(&self.labels).enumerate() {
            if label < best.len() && known(number) {
                best[label] = best[label].max(cosine);
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
