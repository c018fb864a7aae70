//! Owns what a score is worth: turns probability and similarity into a confidence that means what it says, and finds
//! from when on an intent is sure enough. Both come from cross-validation on the playbook's own examples.

use super::samples::{Judgement, Products, Samples};
use crate::understanding::playbook::Thresholds;

/// In how many parts the examples are cut; each is judged by a model that was trained without it.
const FOLDS: usize = 5;
/// Of the notes that are answered, at least this share shall be right, among them those that are none of the intents.
const PRECISION_WANTED: f32 = 0.9;
/// The threshold where the examples do not tell.
const CONFIDENCE_DEFAULT: f32 = 0.6;
/// Held-out examples are clearer than what customers really say: never be less careful than this.
const CONFIDENCE_LEAST: f32 = 0.5;

/// Confidence = logistic(offset + probability_weight · logit(p) + similarity_weight · similarity).
#[derive(Debug, Clone)]
pub struct Calibration {
    offset: f32,
    probability_weight: f32,
    similarity_weight: f32,
    /// Least confidence of an intent that counts.
    pub confidence_min: f32,
    /// Least similarity to one of its examples.
    pub similarity_min: f32,
    /// What the cross-validation saw, one a sample.
    pub seen: Vec<CrossValidated>,
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
    probability: f32,
}

impl CrossValidated {
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.truth == Some(self.predicted)
    }
}

impl Calibration {
    pub(super) fn find(samples: &Samples, products: &Products, wanted: Thresholds) -> Self {
        let mut calibration = Self {
            offset: 0.0,
            probability_weight: 1.0,
            similarity_weight: 0.0,
            confidence_min: CONFIDENCE_DEFAULT,
            similarity_min: 0.0,
            seen: if samples.classes > 1 { cross_validate(samples, products) } else { Vec::new() },
        };
        calibration.fit();
        let mut seen = std::mem::take(&mut calibration.seen);
        for one in &mut seen {
            one.confidence = calibration.of(one.probability, one.similarity);
        }
        calibration.seen = seen;
        calibration.similarity_min = wanted.similarity.unwrap_or_else(|| calibration.usual_similarity());
        calibration.confidence_min = wanted.confidence.unwrap_or_else(|| calibration.careful_confidence());
        calibration
    }

    /// The calibrated confidence of an intent, given the probabilities of all classes.
    #[must_use]
    pub fn confidence(&self, probabilities: &[f32], intent: usize, similarity: f32) -> f32 {
        self.of(probabilities[intent], similarity)
    }

    #[must_use]
    pub fn accepts(&self, confidence: f32, similarity: f32) -> bool {
        confidence >= self.confidence_min && similarity >= self.similarity_min
    }

    fn of(&self, probability: f32, similarity: f32) -> f32 {
        let score = self.offset + self.probability_weight * logit(probability) + self.similarity_weight * similarity;
        1.0 / (1.0 + (-score).exp())
    }

    /// Newton's method on the logistic loss of "the most likely intent is right", with a weak pull towards leaving the
    /// probability as it is.
    fn fit(&mut self) {
        const PULL: f64 = 1.0;
        let prior = [0.0, 1.0, 0.0];
        let mut weights = prior;
        for _ in 0..25 {
            let mut gradient: [f64; 3] = std::array::from_fn(|i| PULL * (weights[i] - prior[i]));
            let mut hessian = [[0.0; 3]; 3];
            for (i, row) in hessian.iter_mut().enumerate() {
                row[i] = PULL;
            }
            for one in &self.seen {
                let x = [1.0, f64::from(logit(one.probability)), f64::from(one.similarity)];
                let score: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
                let p = 1.0 / (1.0 + (-score).exp());
                let truth = if one.is_right() { 1.0 } else { 0.0 };
                for i in 0..3 {
                    gradient[i] += (p - truth) * x[i];
                    for j in 0..3 {
                        hessian[i][j] += p * (1.0 - p) * x[i] * x[j];
                    }
                }
            }
            let step = solve(hessian, gradient);
            weights.iter_mut().zip(step).for_each(|(weight, step)| *weight -= step);
            if step.iter().map(|step| step * step).sum::<f64>() < 1e-12 {
                break;
            }
        }
        let [offset, probability_weight, similarity_weight] = weights;
        self.offset = offset as f32;
        // More probable or more similar never means less sure.
        self.probability_weight = probability_weight.max(0.05) as f32;
        self.similarity_weight = similarity_weight.max(0.0) as f32;
    }

    /// What nearly all right answers reach.
    fn usual_similarity(&self) -> f32 {
        let mut right: Vec<f32> = self.seen.iter().filter(|one| one.is_right()).map(|one| one.similarity).collect();
        right.sort_by(f32::total_cmp);
        right.get(right.len() / 50).copied().unwrap_or(0.0)
    }

    /// The least confidence from which on enough of the answers can be expected to be right. Expected, not counted: a
    /// count at the end of a few hundred examples is luck.
    fn careful_confidence(&self) -> f32 {
        let mut seen: Vec<&CrossValidated> =
            self.seen.iter().filter(|one| one.similarity >= self.similarity_min).collect();
        seen.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let (mut expected, mut least) = (0.0, None);
        for (answered, one) in (1_usize..).zip(&seen) {
            expected += one.confidence;
            if expected >= PRECISION_WANTED * answered as f32 {
                least = Some(one.confidence);
            }
        }
        least.unwrap_or(CONFIDENCE_DEFAULT).clamp(CONFIDENCE_LEAST, 0.95)
    }
}

fn cross_validate(samples: &Samples, products: &Products) -> Vec<CrossValidated> {
    let folds = folds(&samples.labels, samples.classes);
    let mut seen = Vec::with_capacity(folds.len());
    for fold in 0..FOLDS {
        let members: Vec<usize> = (0..folds.len()).filter(|&i| folds[i] != fold).collect();
        let models = samples.fit(products, &members);
        for index in (0..folds.len()).filter(|&i| folds[i] == fold && samples.said[i]) {
            let judgement = samples.judge_sample(&models, index, |other| folds[other] != fold);
            seen.push((index, judged(samples, index, &judgement)));
        }
    }
    seen.sort_by_key(|&(index, _)| index);
    seen.into_iter().map(|(_, one)| one).collect()
}

fn judged(samples: &Samples, index: usize, judgement: &Judgement) -> CrossValidated {
    let intents = samples.classes - 1;
    let predicted = (0..intents)
        .max_by(|&a, &b| judgement.probabilities[a].total_cmp(&judgement.probabilities[b]).then(b.cmp(&a)))
        .unwrap_or(0);
    CrossValidated {
        text: samples.texts[index].clone(),
        truth: (samples.labels[index] < intents).then_some(samples.labels[index]),
        predicted,
        confidence: 0.0,
        similarity: judgement.similarities[predicted],
        probability: judgement.probabilities[predicted],
    }
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

fn logit(p: f32) -> f32 {
    let p = p.clamp(1e-5, 1.0 - 1e-5);
    (p / (1.0 - p)).ln()
}

/// Solves a symmetric positive definite system of three equations by elimination.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> [f64; 3] {
    for i in 0..3 {
        for j in i + 1..3 {
            let factor = matrix[j][i] / matrix[i][i];
            let pivot = matrix[i];
            matrix[j].iter_mut().zip(pivot).for_each(|(cell, above)| *cell -= factor * above);
            right[j] -= factor * right[i];
        }
    }
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|j| matrix[i][j] * right[j]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_equations_are_solved() {
        let x = solve([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]], [6.0, 10.0, 8.0]);
        for (found, wanted) in x.into_iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - wanted).abs() < 1e-9, "{x:?}");
        }
    }

    #[test]
    fn folds_spread_every_class() {
        assert_eq!(folds(&[0, 0, 1, 1, 0, 1], 2), [0, 1, 0, 1, 2, 2]);
    }
}
