//! Owns cross-validation: what models say about examples that they were not trained on. By it the ways of looking at
//! texts are chosen between, and confidence gets its meaning (`calibration.rs`).

use super::{judging::Judgement, regression::Gram, samples::Samples};
use crate::understanding::processors;

/// In how many parts the examples are cut; each is judged by a model that was trained without it.
const FOLDS: usize = 5;
/// What was thought impossible costs no more than what was thought as unlikely as this.
const PROBABILITY_LEAST: f32 = 1e-5;

/// What is known of all samples.
#[derive(Debug, Default)]
pub struct CrossValidation {
    /// One a sample that people say, in the order of the samples.
    pub seen: Vec<CrossValidated>,
    /// One an example.
    pub unknown: Vec<Unknown>,
    /// How improbable the truth about an example was held to be: the mean negative logarithm of its probability.
    pub loss: f32,
}

/// What a model said about an example that it was not trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossValidated {
    pub text: String,
    /// Index of the intent; None: background.
    pub truth: Option<usize>,
    /// The most likely intent.
    pub predicted: usize,
    pub confidence: f32,
    pub similarity: f32,
    /// Of the most likely intent, before calibration.
    pub probability: f32,
}

impl CrossValidated {
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.truth == Some(self.predicted)
    }
}

/// What a model said about an example whose intent it was not to name: as if the playbook did not have it.
#[derive(Debug, Clone, Copy)]
pub struct Unknown {
    pub probability: f32,
    pub similarity: f32,
}

impl CrossValidation {
    pub fn of(samples: &Samples, products: &Gram) -> Self {
        if samples.classes < 2 {
            return Self::default();
        }
        let folds = folds(&samples.labels, samples.classes);
        let held_out: Vec<usize> = (0..FOLDS).collect();
        let mut judged = processors::spread(&held_out, |held_out| {
            held_out.iter().flat_map(|&fold| judged_without(samples, products, &folds, fold)).collect()
        });
        judged.sort_by_key(|&(index, _)| index);

        let mut validation = Self::default();
        let mut examples = 0_usize;
        for (index, judgement) in &judged {
            let label = samples.labels[*index];
            if label + 1 < samples.classes {
                examples += 1;
                validation.loss -= judgement.probabilities[label].max(PROBABILITY_LEAST).ln();
                validation.unknown.extend(without(judgement, label));
            }
            validation.seen.push(seen(samples, *index, judgement));
        }
        validation.loss /= examples.max(1) as f32;
        validation
    }
}

/// The samples of a fold that people say, with their judgement by a model that was trained on the other folds.
fn judged_without(samples: &Samples, products: &Gram, folds: &[usize], fold: usize) -> Vec<(usize, Judgement)> {
    let (held_out, members): (Vec<usize>, Vec<usize>) = (0..folds.len()).partition(|&index| folds[index] == fold);
    let model = samples.fit(products, &members);
    let judge = |index| (index, samples.judge_sample(&model, index, |other| folds[other] != fold));
    held_out.into_iter().filter(|&index| samples.said[index]).map(judge).collect()
}

fn seen(samples: &Samples, index: usize, judgement: &Judgement) -> CrossValidated {
    let intents = samples.classes - 1;
    let predicted = likeliest(judgement, 0..intents).unwrap_or(0);
    CrossValidated {
        text: samples.texts[index].clone(),
        truth: (samples.labels[index] < intents).then_some(samples.labels[index]),
        predicted,
        confidence: 0.0,
        similarity: judgement.similarities[predicted],
        probability: judgement.probabilities[predicted],
    }
}

/// The judgement if the playbook did not have that intent; None if there is no other.
fn without(judgement: &Judgement, label: usize) -> Option<Unknown> {
    let intents = judgement.similarities.len();
    let other = likeliest(judgement, (0..intents).filter(|&intent| intent != label))?;
    let rest = (1.0 - judgement.probabilities[label]).max(f32::EPSILON);
    let probability = (judgement.probabilities[other] / rest).min(1.0);
    Some(Unknown { probability, similarity: judgement.similarities[other] })
}

/// Of several that are equally likely, the first.
fn likeliest(judgement: &Judgement, mut intents: impl Iterator<Item = usize>) -> Option<usize> {
    let first = intents.next()?;
    let more = |best: usize, next: usize| {
        if judgement.probabilities[next] > judgement.probabilities[best] { next } else { best }
    };
    Some(intents.fold(first, more))
}

/// Every class is spread over the folds in the order of the file.
fn folds(labels: &[usize], classes: usize) -> Vec<usize> {
    let mut next = vec![0; classes];
    labels
        .iter()
        .map(|&label| {
            let fold = next[label] % FOLDS;
            next[label] += 1;
            fold
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_spread_every_class() {
        assert_eq!(folds(&[0, 0, 1, 1, 0, 1], 2), [0, 1, 0, 1, 2, 2]);
    }

    #[test]
    fn an_intent_that_was_never_there_has_its_probability_shared_by_the_others() {
        let judgement =
            Judgement { probabilities: vec![0.6, 0.3, 0.1], similarities: vec![0.9, 0.4], sentences: Vec::new() };
        let unknown = without(&judgement, 0).unwrap();
        assert!((unknown.probability - 0.75).abs() < 1e-5 && (unknown.similarity - 0.4).abs() < 1e-6);
        let only = Judgement { probabilities: vec![0.6, 0.4], similarities: vec![0.9], sentences: Vec::new() };
        assert!(without(&only, 0).is_none(), "the background is no intent");
    }
}
