//! Owns the model: embeddings of tokens and places, then layers of attention and of two linear maps, each added to
//! what came before and brought to one scale.

use pulp::Arch;

use super::{
    file::{Fault, Packed, Shape, Weights},
    matrix::Panels,
    packed::{Input, Linear},
    tokenizer::Token,
};

#[derive(Debug)]
pub struct Transformer {
    shape: Shape,
    arch: Arch,
    words: Packed,
    /// One row a place; what the model adds for its one kind of text is in it.
    places: Vec<f32>,
    scale: Scale,
    layers: Vec<Layer>,
    gelu: Gelu,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_scale: Scale,
    inner: Linear,
    outer: Linear,
    outer_scale: Scale,
}

impl Transformer {
    pub fn new(arch: Arch, weights: &Weights) -> Result<Self, Fault> {
        let shape = weights.shape;
        let width = shape.width;
        let mut places = weights.numbers("emb.pos", shape.positions * width)?;
        let kind = weights.numbers("emb.type", width)?;
        for place in places.chunks_exact_mut(width) {
            add(place, &kind);
        }
        let layers = (0..shape.layers).map(|number| Layer::new(weights, arch, number)).collect::<Result<_, _>>()?;
        Ok(Self {
            shape,
            arch,
            words: weights.packed("emb.word", shape.vocabulary, width)?,
            places,
            scale: Scale::new(weights, "emb.ln")?,
            layers,
            gelu: Gelu::new(),
        })
    }

    /// Numbers a token.
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// The last layer's states of the tokens of all texts, row by row. Texts know nothing of each other; the more there
    /// are, the less often the weights are fetched from memory. A text has at most as many tokens as the model has places.
    pub fn run(&self, texts: &[&[Token]]) -> Vec<f32> {
        let width = self.shape.width;
        let lengths: Vec<usize> = texts.iter().map(|tokens| tokens.len().min(self.shape.positions)).collect();
        let mut states = vec![0.0; lengths.iter().sum::<usize>() * width];
        let tokens = texts.iter().zip(&lengths).flat_map(|(tokens, &length)| tokens[..length].iter().enumerate());
        for (state, (number, token)) in states.chunks_exact_mut(width).zip(tokens) {
            self.words.unpack_row((token.id as usize).min(self.shape.vocabulary - 1), state);
            add(state, &self.places[number * width..][..width]);
        }
        self.scale.apply(&mut states);
        for layer in &self.layers {
            self.pass(layer, &mut states, &lengths);
        }
        states
    }

    fn pass(&self, layer: &Layer, states: &mut [f32], lengths: &[usize]) {
        let input = Input::new(self.arch, states, self.shape.width);
        let [query, key, value] = [&layer.query, &layer.key, &layer.value].map(|linear| linear.apply(&input));
        let mut attended = vec![0.0; states.len()];
        let mut start = 0;
        for length in lengths {
            let at = start..start + length * self.shape.width;
            self.attend(&query[at.clone()], &key[at.clone()], &value[at.clone()], &mut attended[at.clone()]);
            start = at.end;
        }
        add(states, &layer.attended.apply_to(&attended));
        layer.attended_scale.apply(states);
        let mut inner = layer.inner.apply_to(states);
        for x in &mut inner {
            *x = self.gelu.of(*x);
        }
        add(states, &layer.outer.apply_to(&inner));
        layer.outer_scale.apply(states);
    }

    /// Every token takes of the others' values in proportion to how well its query fits their keys, head by head.
    fn attend(&self, query: &[f32], key: &[f32], value: &[f32], attended: &mut [f32]) {
        let width = self.shape.width;
        let (count, part) = (query.len() / width, width / self.shape.heads);
        let sharpness = 1.0 / (part as f32).sqrt();
        for head in 0..self.shape.heads {
            let of = |rows: &[f32]| -> Vec<f32> {
                rows.chunks_exact(width).flat_map(|row| row[head * part..][..part].iter().copied()).collect()
            };
            let (query, key, value) = (of(query), of(key), of(value));
            let mut keys = Panels::zero(self.arch, part, count);
            let mut values = Panels::zero(self.arch, count, part);
            for (token, (key, value)) in key.chunks_exact(part).zip(value.chunks_exact(part)).enumerate() {
                keys.set_output(token, key.iter().map(|x| x * sharpness));
                values.set_input(token, value);
            }
            let mut fit = vec![0.0; count * count];
            keys.multiply(&query, &mut fit);
            fit.chunks_exact_mut(count).for_each(softmax);
            let mut taken = vec![0.0; count * part];
            values.multiply(&fit, &mut taken);
            for (row, taken) in attended.chunks_exact_mut(width).zip(taken.chunks_exact(part)) {
                row[head * part..][..part].copy_from_slice(taken);
            }
        }
    }
}

impl Layer {
    fn new(weights: &Weights, arch: Arch, number: usize) -> Result<Self, Fault> {
        let Shape { width, inner, .. } = weights.shape;
        let linear = |name: &str, outputs: usize, inputs: usize| {
            let packed = weights.packed(&format!("l{number}.{name}.w"), outputs, inputs)?;
            let bias = weights.numbers(&format!("l{number}.{name}.b"), outputs)?;
            Ok::<_, Fault>(Linear::new(arch, &packed, bias, inputs))
        };
        Ok(Self {
            query: linear("q", width, width)?,
            key: linear("k", width, width)?,
            value: linear("v", width, width)?,
            attended: linear("ao", width, width)?,
            attended_scale: Scale::new(weights, &format!("l{number}.aln"))?,
            inner: linear("fi", inner, width)?,
            outer: linear("fo", width, inner)?,
            outer_scale: Scale::new(weights, &format!("l{number}.oln"))?,
        })
    }
}

/// Brings a token's numbers to mean 0 and variance 1, then to a trained scale.
#[derive(Debug)]
struct Scale {
    factors: Vec<f32>,
    shifts: Vec<f32>,
    epsilon: f32,
}

impl Scale {
    fn new(weights: &Weights, name: &str) -> Result<Self, Fault> {
        let Shape { width, epsilon, .. } = weights.shape;
        let numbers = |part: &str| weights.numbers(&format!("{name}.{part}"), width);
        Ok(Self { factors: numbers("w")?, shifts: numbers("b")?, epsilon })
    }

    fn apply(&self, states: &mut [f32]) {
        let width = self.factors.len();
        for state in states.chunks_exact_mut(width) {
            let mean = state.iter().sum::<f32>() / width as f32;
            let variance = state.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width as f32;
            let factor = 1.0 / (variance + self.epsilon).sqrt();
            for ((x, scale), shift) in state.iter_mut().zip(&self.factors).zip(&self.shifts) {
                *x = (*x - mean) * factor * scale + shift;
            }
        }
    }
}

/// The model's curve between its two linear maps, x · Φ(x), as a table: it is needed a million times a note, and Φ is
/// slow. Off by less than a hundred-thousandth.
#[derive(Debug)]
struct Gelu {
    /// One value a step from `-GELU_REACH` to `GELU_REACH`, and one more.
    table: Vec<f32>,
}

/// Further out, the curve is 0 or x.
const GELU_REACH: f32 = 6.0;
const GELU_STEPS_PER_UNIT: f32 = 256.0;

impl Gelu {
    fn new() -> Self {
        let steps = (2.0 * GELU_REACH * GELU_STEPS_PER_UNIT) as usize;
        let value = |step: usize| {
            let x = step as f64 / f64::from(GELU_STEPS_PER_UNIT) - f64::from(GELU_REACH);
            (x * normal_share(x)) as f32
        };
        Self { table: (0..=steps + 1).map(value).collect() }
    }

    fn of(&self, x: f32) -> f32 {
        let place = (x + GELU_REACH) * GELU_STEPS_PER_UNIT;
        if place <= 0.0 {
            return 0.0;
        }
        let step = place as usize;
        match self.table.get(step..step + 2) {
            Some(&[left, right]) => left + (place - step as f32) * (right - left),
            _ => x,
        }
    }
}

/// The share of a normal distribution below x: the series of the error function, which converges everywhere.
fn normal_share(x: f64) -> f64 {
    let z = x * std::f64::consts::FRAC_1_SQRT_2;
    let (mut term, mut sum) = (z, z);
    for n in 1..200 {
        term *= 2.0 * z * z / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-z * z).exp() / std::f64::consts::PI.sqrt()
}

fn softmax(row: &mut [f32]) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in &mut *row {
        *x = (*x - highest).exp();
        sum += *x;
    }
    for x in row {
        *x /= sum;
    }
}

fn add(to: &mut [f32], what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_curve() {
        let gelu = Gelu::new();
        for (x, wanted) in [(0.0, 0.0), (1.0, 0.841_345), (-1.0, -0.158_655), (2.5, 2.484_476), (-0.3, -0.114_627)] {
            assert!((gelu.of(x) - wanted).abs() < 1e-5, "{x}: {}", gelu.of(x));
        }
        assert!(gelu.of(1e9) >= 1e9 && gelu.of(-1e9).abs() < 1e-6 && gelu.of(f32::NAN).is_nan());
    }
}
