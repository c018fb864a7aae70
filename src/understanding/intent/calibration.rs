//! Owns what a score is worth: turns probability and similarity into a confidence that means what it says, and finds
//! from when on an intent is sure enough. Both come from cross-validation on the playbook's own examples.

use super::validation::{CrossValidated, CrossValidation, Unknown};
use crate::understanding::playbook::Thresholds;

/// Of the notes that are answered, at least this share shall be right, among them those that are none of the intents.
const PRECISION_WANTED: f32 = 0.9;
/// The share that is wrong may be so many times as large if, beside every example, there were a note whose wish the
/// playbook does not have: some centres' examples are far from all that customers want, and cross-validation on them sees
/// none of the rest.
const MORE_WRONG_AMONG_UNKNOWN: f32 = 2.2;
/// Held-out examples are clearer than what customers really say: probabilities are made sharper by so much at most.
const SHARPER_MAX: f32 = 1.5;
/// The threshold where the examples do not tell.
const CONFIDENCE_DEFAULT: f32 = 0.6;
/// Where nothing is ever sure, at least this is.
const CONFIDENCE_MOST: f32 = 0.95;
/// Held-out examples are clearer than what customers really say: never be less careful than this.
const CONFIDENCE_LEAST: f32 = 0.5;

/// How much similarity counts before the examples say otherwise, times the root of the number of intents: among many, one is
/// always a little like the note, so that a large share of the probability says less of whether it is any of them. A few
/// wrong answers among a few hundred examples do not tell, and examples with wishes that the playbook does not have, there
/// are none.
const SIMILARITY_WEIGHT: f64 = 0.5;
/// How firmly the weights of offset, probability and similarity are held to what they are before; 1 is as firmly as a few
/// examples would.
const FIRMNESS: [f64; 3] = [1.0, 1.0, 2.0];

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

impl Calibration {
    /// `intents`: how many there are.
    pub(super) fn find(validation: CrossValidation, intents: usize, wanted: Thresholds) -> Self {
        let CrossValidation { mut seen, unknown, .. } = validation;
        let mut calibration = Self {
            offset: 0.0,
            probability_weight: 1.0,
            similarity_weight: 0.0,
            confidence_min: CONFIDENCE_DEFAULT,
            similarity_min: 0.0,
            seen: Vec::new(),
        };
        calibration.fit(&seen, intents);
        for one in &mut seen {
            one.confidence = calibration.of(one.probability, one.similarity);
        }
        calibration.seen = seen;
        calibration.similarity_min = wanted.similarity.unwrap_or_else(|| calibration.usual_similarity());
        calibration.confidence_min = wanted.confidence.unwrap_or_else(|| {
            let precision = wanted.precision.unwrap_or(PRECISION_WANTED);
            let among_unknown = 1.0 - MORE_WRONG_AMONG_UNKNOWN * (1.0 - precision);
            let least = calibration
                .careful_confidence(precision)
                .max(calibration.confidence_among_unknown(&unknown, among_unknown));
            least.clamp(CONFIDENCE_LEAST, CONFIDENCE_MOST)
        });
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
        sigmoid(score)
    }

    /// Fits "the most likely intent is right".
    fn fit(&mut self, seen: &[CrossValidated], intents: usize) {
        // Measured from their mean, so that to count similarity more does not by itself make anything surer.
        let usual = seen.iter().map(|one| one.similarity).sum::<f32>() / seen.len().max(1) as f32;
        let one = |one: &CrossValidated| (logit(one.probability), one.similarity - usual, one.is_right());
        let before = [0.0, 1.0, SIMILARITY_WEIGHT * (intents as f64).sqrt()];
        let [offset, probability_weight, similarity_weight] =
            logistic(&seen.iter().map(one).collect::<Vec<_>>(), before);
        let similarity_weight = similarity_weight.max(0.0);
        self.offset = offset - similarity_weight * usual;
        // More probable or more similar never means less sure.
        self.probability_weight = probability_weight.clamp(0.05, SHARPER_MAX);
        self.similarity_weight = similarity_weight;
    }

    /// What nearly all right answers reach.
    fn usual_similarity(&self) -> f32 {
        let mut right: Vec<f32> = self.seen.iter().filter(|one| one.is_right()).map(|one| one.similarity).collect();
        right.sort_by(f32::total_cmp);
        right.get(right.len() / 50).copied().unwrap_or(0.0)
    }

    /// The least confidence from which on enough of the answers can be expected to be right. Expected, not counted: a
    /// count at the end of a few hundred examples is luck.
    fn careful_confidence(&self, precision: f32) -> f32 {
        let seen = self.seen.iter().filter(|one| one.similarity >= self.similarity_min);
        least_confidence(seen.map(|one| (one.confidence, one.confidence)).collect(), precision)
    }

    /// The same if there were as many notes with unknown wishes as there are examples. The confidence itself promises
    /// nothing about such notes, so what it is worth among them is fitted anew.
    fn confidence_among_unknown(&self, unknown: &[Unknown], precision: f32) -> f32 {
        let seen = self.seen.iter().filter(|one| one.similarity >= self.similarity_min);
        let unknown = unknown.iter().filter(|one| one.similarity >= self.similarity_min);
        let mut all: Vec<(f32, bool)> = seen.map(|one| (one.confidence, one.is_right())).collect();
        all.extend(unknown.map(|one| (self.of(one.probability, one.similarity), false)));
        let points: Vec<_> = all.iter().map(|&(confidence, right)| (logit(confidence), 0.0, right)).collect();
        let [offset, weight, _] = logistic(&points, [0.0, 1.0, 0.0]);
        let expected = |confidence: f32| sigmoid(offset + weight.max(0.05) * logit(confidence));
        let all = all.into_iter().map(|(confidence, _)| (confidence, expected(confidence))).collect();
        least_confidence(all, precision)
    }
}

/// Given confidences, each with the probability that it is right: the least from which on so large a share is.
fn least_confidence(mut answers: Vec<(f32, f32)>, precision: f32) -> f32 {
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut expected, mut least) = (0.0, None);
    for (answered, (confidence, right)) in (1_usize..).zip(answers) {
        expected += right;
        if expected >= precision * answered as f32 {
            least = Some(confidence);
        }
    }
    least.unwrap_or(CONFIDENCE_DEFAULT)
}

/// Newton's method on the logistic loss of `offset + a · first + b · second`, whose weights are `before` as long as
/// nothing was seen.
fn logistic(seen: &[(f32, f32, bool)], before: [f64; 3]) -> [f32; 3] {
    let mut weights = before;
    let mut loss = logistic_loss(seen, weights, before);
    for _ in 0..50 {
        let mut gradient: [f64; 3] = std::array::from_fn(|i| FIRMNESS[i] * (weights[i] - before[i]));
        let mut hessian = [[0.0; 3]; 3];
        for (i, row) in hessian.iter_mut().enumerate() {
            row[i] = FIRMNESS[i];
        }
        for &(first, second, right) in seen {
            let x = [1.0, f64::from(first), f64::from(second)];
            let p = 1.0 / (1.0 + (-inner(x, weights)).exp());
            let truth = if right { 1.0 } else { 0.0 };
            for i in 0..3 {
                gradient[i] += (p - truth) * x[i];
                for j in 0..3 {
                    hessian[i][j] += p * (1.0 - p) * x[i] * x[j];
                }
            }
        }
        let step = solve(hessian, gradient);
        // Far from the goal a whole step can lead farther away.
        let shorter = |halved: i32| step.map(|step| step * 0.5_f64.powi(halved));
        let next = (0..20).map(|halved| std::array::from_fn(|i| weights[i] - shorter(halved)[i]));
        let next = next.map(|next| (next, logistic_loss(seen, next, before))).find(|&(_, next)| next < loss);
        let Some((next, next_loss)) = next else { break };
        (weights, loss) = (next, next_loss);
        if step.iter().map(|step| step * step).sum::<f64>() < 1e-12 {
            break;
        }
    }
    weights.map(|weight| weight as f32)
}

fn logistic_loss(seen: &[(f32, f32, bool)], weights: [f64; 3], before: [f64; 3]) -> f64 {
    let pull: f64 = (0..3).map(|i| FIRMNESS[i] * (weights[i] - before[i]).powi(2) / 2.0).sum();
    let loss = |&(first, second, right): &(f32, f32, bool)| {
        let score = inner([1.0, f64::from(first), f64::from(second)], weights);
        let wrong_way = if right { -score } else { score };
        // The logarithm of 1 + e^x, without overflow.
        wrong_way.max(0.0) + (-wrong_way.abs()).exp().ln_1p()
    };
    pull + seen.iter().map(loss).sum::<f64>()
}

fn inner(x: [f64; 3], weights: [f64; 3]) -> f64 {
    x.iter().zip(weights).map(|(x, weight)| x * weight).sum()
}

fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
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
    fn the_threshold_lies_where_the_answers_above_it_are_right_often_enough() {
        let answers = vec![(0.2, 0.2), (0.9, 0.9), (0.8, 0.8), (0.7, 0.7)];
        assert!((least_confidence(answers.clone(), 0.85) - 0.8).abs() < 1e-6);
        assert!((least_confidence(answers, 0.99) - CONFIDENCE_DEFAULT).abs() < 1e-6);
    }

    #[test]
    fn a_logistic_fit_follows_what_was_seen() {
        let seen: Vec<(f32, f32, bool)> = (0..200).map(|i| (0.0, (i % 2) as f32, i % 2 == 1)).collect();
        let [offset, _, second] = logistic(&seen, [0.0, 1.0, 0.0]);
        assert!(offset < -1.5 && offset + second > 1.5, "{offset} {second}");
    }

    #[test]
    fn among_many_intents_it_counts_more_how_much_a_note_resembles_the_examples() {
        let seen = |right: bool| CrossValidated {
            text: String::new(),
            truth: right.then_some(0),
            predicted: 0,
            confidence: 0.0,
            similarity: 0.6,
            probability: 0.7,
        };
        let seen: Vec<CrossValidated> = (0..100).map(|i| seen(i % 4 > 0)).collect();
        let weight = |intents| {
            let validation = CrossValidation { seen: seen.clone(), ..CrossValidation::default() };
            let calibration = Calibration::find(validation, intents, Thresholds::default());
            let right = calibration.of(0.7, 0.6);
            assert!((right - 0.75).abs() < 0.02, "of {intents}: {right}");
            calibration.similarity_weight
        };
        assert!(weight(150) > weight(15) + 1.0);
    }

    #[test]
    fn a_logistic_fit_starts_far_from_its_goal_and_arrives() {
        // From here whole steps of Newton's lead away for ever.
        let seen: Vec<(f32, f32, bool)> = (0..600).map(|i| (4.0 + (i % 7) as f32, 0.6, i % 5 == 0)).collect();
        let [offset, first, second] = logistic(&seen, [0.0, 1.0, 6.0]);
        let p = sigmoid(offset + 7.0 * first + 0.6 * second);
        assert!((p - 0.2).abs() < 0.05, "{offset} {first} {second}: {p}");
    }
}
