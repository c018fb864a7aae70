//! Owns multinomial logistic regression with an L2 penalty, trained by L-BFGS.
//!
//! There are a few hundred examples and tens of thousands of features, so the weights are sought as combinations of
//! the examples (`W = Xᵀ A`): everything then happens in the matrix of the examples' inner products, and a fold of a
//! cross-validation is a part of that matrix.

use pulp::Arch;

use super::features::{Index, Sparse};
use crate::understanding::encoder::matrix::Panels;

/// Inner products of all pairs of examples, summed over the ways to look at them; what is added to each is the bias.
#[derive(Debug)]
pub struct Gram {
    size: usize,
    products: Vec<f32>,
}

/// All examples, looked at in one way.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub examples: &'a [Sparse],
    pub index: &'a Index,
    pub features: usize,
    /// How much its inner products count.
    pub share: f32,
}

const BIAS: f32 = 0.1;

impl Gram {
    #[must_use]
    pub fn of(views: &[View]) -> Self {
        let size = views.first().map_or(0, |view| view.examples.len());
        let mut products = vec![BIAS; size * size];
        for view in views {
            for (row, example) in products.chunks_exact_mut(size.max(1)).zip(view.examples) {
                let cosines = view.index.cosines(example);
                row.iter_mut().zip(cosines).for_each(|(sum, cosine)| *sum += view.share * cosine);
            }
        }
        Self { size, products }
    }

    fn part(&self, members: &[usize]) -> Self {
        let products = members.iter().flat_map(|&i| members.iter().map(move |&j| self.products[i * self.size + j]));
        Self { size: members.len(), products: products.collect() }
    }

    /// `self × other`, where `other` has one row an example. This is nearly all of the training's work, and single
    /// precision is enough for it.
    fn times(&self, other: &[f64], columns: usize) -> Vec<f64> {
        let mut panels = Panels::zero(Arch::new(), self.size, columns);
        let mut row = vec![0.0; columns];
        for (input, values) in other.chunks_exact(columns).enumerate() {
            row.iter_mut().zip(values).for_each(|(to, value)| *to = *value as f32);
            panels.set_input(input, &row);
        }
        let mut result = vec![0.0; self.size * columns];
        panels.multiply(&self.products, &mut result);
        result.into_iter().map(f64::from).collect()
    }
}

/// A trained model: from a text's vectors, one a view, to one score a class.
#[derive(Debug)]
pub struct Linear {
    classes: usize,
    /// One matrix a view, one row a feature.
    weights: Vec<Vec<f32>>,
    bias: Vec<f32>,
}

impl Linear {
    /// Trains on the examples that `members` names. `penalty_c` is the inverse strength of the penalty: larger trusts
    /// the examples more.
    #[must_use]
    pub fn train(
        gram: &Gram,
        views: &[View],
        labels: &[usize],
        members: &[usize],
        classes: usize,
        penalty_c: f64,
    ) -> Self {
        let part = gram.part(members);
        let labels: Vec<usize> = members.iter().map(|&member| labels[member]).collect();
        let lambda = 1.0 / (penalty_c * members.len().max(1) as f64);
        let solution = Solver { gram: &part, labels: &labels, classes, lambda }.solve();
        let weights = |view: &View| {
            let mut weights = vec![0.0; view.features * classes];
            for (&member, shares) in members.iter().zip(solution.chunks_exact(classes)) {
                for &(feature, value) in &view.examples[member] {
                    let row = &mut weights[feature as usize * classes..][..classes];
                    row.iter_mut().zip(shares).for_each(|(weight, share)| *weight += value * *share as f32);
                }
            }
            weights
        };
        let mut bias = vec![0.0; classes];
        for shares in solution.chunks_exact(classes) {
            bias.iter_mut().zip(shares).for_each(|(bias, share)| *bias += BIAS * *share as f32);
        }
        Self { classes, weights: views.iter().map(weights).collect(), bias }
    }

    /// Probabilities of the classes before calibration, given a vector a view and how much it counts.
    #[must_use]
    pub fn probabilities(&self, vectors: &[(&Sparse, f32)]) -> Vec<f32> {
        let mut scores = self.bias.clone();
        for (weights, (vector, share)) in self.weights.iter().zip(vectors) {
            for &(feature, value) in *vector {
                let row = &weights[feature as usize * self.classes..][..self.classes];
                scores.iter_mut().zip(row).for_each(|(score, weight)| *score += share * value * weight);
            }
        }
        softmax(&mut scores);
        scores
    }
}

fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in &mut *scores {
        *score = (*score - highest).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

struct Solver<'a> {
    gram: &'a Gram,
    labels: &'a [usize],
    classes: usize,
    lambda: f64,
}

/// A direction in the space of the weights: its coordinates and its products with every example.
#[derive(Clone)]
struct Direction {
    shares: Vec<f64>,
    images: Vec<f64>,
}

impl Direction {
    fn inner(&self, other: &Self) -> f64 {
        self.shares.iter().zip(&other.images).map(|(a, b)| a * b).sum()
    }

    fn add(&mut self, factor: f64, other: &Self) {
        self.shares.iter_mut().zip(&other.shares).for_each(|(a, b)| *a += factor * b);
        self.images.iter_mut().zip(&other.images).for_each(|(a, b)| *a += factor * b);
    }

    fn scale(&mut self, factor: f64) {
        self.shares.iter_mut().chain(&mut self.images).for_each(|a| *a *= factor);
    }
}

const ITERATIONS_MAX: usize = 60;
const MEMORY: usize = 8;
const GRADIENT_SMALL: f64 = 1e-9;

impl Solver<'_> {
    fn solve(&self) -> Vec<f64> {
        let size = self.labels.len() * self.classes;
        let mut point = Direction { shares: vec![0.0; size], images: vec![0.0; size] };
        let (mut loss, mut gradient) = self.loss_and_gradient(&point);
        let mut steps: Vec<(Direction, Direction)> = Vec::new();
        for _ in 0..ITERATIONS_MAX {
            if gradient.inner(&gradient) < GRADIENT_SMALL {
                break;
            }
            let direction = descent(&gradient, &steps);
            let slope = direction.inner(&gradient);
            let Some((next, next_loss)) = self.step_along(&point, loss, &direction, slope) else { break };
            let (_, next_gradient) = self.loss_and_gradient(&next);
            let mut moved = next.clone();
            moved.add(-1.0, &point);
            let mut turned = next_gradient.clone();
            turned.add(-1.0, &gradient);
            if moved.inner(&turned) > 0.0 {
                if steps.len() == MEMORY {
                    steps.remove(0);
                }
                steps.push((moved, turned));
            }
            (point, loss, gradient) = (next, next_loss, next_gradient);
        }
        point.shares
    }

    /// Halves the step until the loss falls enough; None if it never does, which is the end of the search.
    fn step_along(&self, from: &Direction, loss: f64, to: &Direction, slope: f64) -> Option<(Direction, f64)> {
        let mut step = 1.0;
        for _ in 0..20 {
            let mut next = from.clone();
            next.add(step, to);
            let next_loss = self.loss(&next, |_, _| {});
            if next_loss <= loss + 1e-4 * step * slope {
                return Some((next, next_loss));
            }
            step *= 0.5;
        }
        None
    }

    fn loss_and_gradient(&self, point: &Direction) -> (f64, Direction) {
        let scale = 1.0 / self.labels.len().max(1) as f64;
        let mut shares: Vec<f64> = point.shares.iter().map(|share| share * self.lambda).collect();
        let loss = self.loss(point, |index, residual| shares[index] += residual * scale);
        let images = self.gram.times(&shares, self.classes);
        (loss, Direction { shares, images })
    }

    /// Mean cross-entropy and penalty; hands every residual (probability minus truth) to `residual`.
    fn loss(&self, point: &Direction, mut residual: impl FnMut(usize, f64)) -> f64 {
        let mut entropy = 0.0;
        for (row, (scores, &label)) in point.images.chunks_exact(self.classes).zip(self.labels).enumerate() {
            let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
            entropy -= scores[label] - highest - sum.ln();
            for (class, score) in scores.iter().enumerate() {
                let truth = if class == label { 1.0 } else { 0.0 };
                residual(row * self.classes + class, (score - highest).exp() / sum - truth);
            }
        }
        entropy / self.labels.len().max(1) as f64 + 0.5 * self.lambda * point.inner(point)
    }
}

/// The two-loop recursion of L-BFGS.
fn descent(gradient: &Direction, steps: &[(Direction, Direction)]) -> Direction {
    let mut direction = gradient.clone();
    let mut factors = Vec::with_capacity(steps.len());
    for (moved, turned) in steps.iter().rev() {
        let factor = moved.inner(&direction) / moved.inner(turned);
        direction.add(-factor, turned);
        factors.push(factor);
    }
    if let Some((moved, turned)) = steps.last() {
        direction.scale(moved.inner(turned) / turned.inner(turned));
    }
    for ((moved, turned), factor) in steps.iter().zip(factors.into_iter().rev()) {
        let correction = turned.inner(&direction) / moved.inner(turned);
        direction.add(factor - correction, moved);
    }
    direction.scale(-1.0);
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(examples: &[Sparse], labels: &[usize], c: f64) -> Linear {
        let members: Vec<usize> = (0..examples.len()).collect();
        let index = Index::of(examples, 4);
        let views = [View { examples, index: &index, features: 4, share: 1.0 }];
        Linear::train(&Gram::of(&views), &views, labels, &members, 3, c)
    }

    #[test]
    fn it_separates_what_can_be_separated() {
        let examples: Vec<Sparse> = (0..3).map(|feature| vec![(feature, 1.0)]).collect();
        let model = train(&examples, &[0, 1, 2], 100.0);
        for (label, example) in examples.iter().enumerate() {
            assert!(model.probabilities(&[(example, 1.0)])[label] > 0.9);
        }
    }

    #[test]
    fn the_penalty_keeps_it_modest_and_the_optimum_is_found() {
        let examples: Vec<Sparse> = (0..3).map(|feature| vec![(feature, 1.0)]).collect();
        let weak = train(&examples, &[0, 1, 2], 0.1).probabilities(&[(&examples[0], 1.0)])[0];
        assert!(weak < 0.5, "{weak}");
        // At the optimum the residuals equal the penalised shares.
        let index = Index::of(&examples, 4);
        let gram = Gram::of(&[View { examples: &examples, index: &index, features: 4, share: 1.0 }]);
        let solver = Solver { gram: &gram, labels: &[0, 1, 2], classes: 3, lambda: 0.3 };
        let shares = solver.solve();
        let images = gram.times(&shares, 3);
        let (_, gradient) = solver.loss_and_gradient(&Direction { shares, images });
        assert!(gradient.inner(&gradient) < 1e-8);
    }

    #[test]
    fn an_unknown_text_is_given_the_classes_shares() {
        let examples: Vec<Sparse> = (0..3).map(|feature| vec![(feature, 1.0)]).collect();
        let probabilities = train(&examples, &[0, 1, 2], 10.0).probabilities(&[(&Vec::new(), 1.0)]);
        assert!(probabilities.iter().all(|p| (p - 1.0 / 3.0).abs() < 0.05), "{probabilities:?}");
    }

    #[test]
    fn what_one_view_does_not_show_another_may() {
        let (blind, seeing) = (vec![vec![(0, 1.0)]; 3], (0..3).map(|f| vec![(f, 1.0)]).collect::<Vec<Sparse>>());
        let (first, second) = (Index::of(&blind, 4), Index::of(&seeing, 4));
        let view = |examples, index| View { examples, index, features: 4, share: 0.5 };
        let views = [view(&blind, &first), view(&seeing, &second)];
        let model = Linear::train(&Gram::of(&views), &views, &[0, 1, 2], &[0, 1, 2], 3, 100.0);
        assert!(model.probabilities(&[(&blind[1], 0.5), (&seeing[1], 0.5)])[1] > 0.8);
        let unseen = model.probabilities(&[(&blind[1], 1.0), (&seeing[1], 0.0)]);
        assert!(unseen.iter().all(|p| (p - 1.0 / 3.0).abs() < 0.05), "{unseen:?}");
    }
}
