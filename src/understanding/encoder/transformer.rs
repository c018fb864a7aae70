//! Owns the model: embeddings of tokens and places, then layers of attention and of two linear maps, each added to
//! what came before and brought to one scale.

use pulp::Arch;

use super::{
    curves,
    file::{Fault, Packed, Shape, Weights},
    linear::{Input, Linear},
    matrix::Panels,
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
        self.scale.apply(self.arch, &mut states);
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
        layer.attended_scale.apply(self.arch, states);
        let mut inner = layer.inner.apply_to(states);
        curves::gelu(self.arch, &mut inner);
        add(states, &layer.outer.apply_to(&inner));
        layer.outer_scale.apply(self.arch, states);
    }

    /// Every token takes of the others' values in proportion to how well its query fits their keys, head by head.
    fn attend(&self, query: &[f32], key: &[f32], value: &[f32], attended: &mut [f32]) {
        let width = self.shape.width;
        let (count, part) = (query.len() / width, width / self.shape.heads);
        let sharpness = 1.0 / (part as f32).sqrt();
        let filled = count.next_multiple_of(curves::LANES);
        let mut keys = Panels::zero(self.arch, part, filled);
        let mut values = Panels::zero(self.arch, filled, part);
        let mut fit = vec![0.0; count * filled];
        let mut taken = vec![0.0; count * part];
        let mut asked = Vec::with_capacity(count * part);
        for head in 0..self.shape.heads {
            asked.clear();
            for token in 0..count {
                let at = token * width + head * part..token * width + (head + 1) * part;
                asked.extend_from_slice(&query[at.clone()]);
                keys.set_output(token, key[at.clone()].iter().map(|x| x * sharpness));
                values.set_input(token, &value[at]);
            }
            fit.fill(0.0);
            keys.multiply(&asked, &mut fit);
            // What fills a row up takes no share.
            fit.chunks_exact_mut(filled).for_each(|row| row[count..].fill(f32::NEG_INFINITY));
            curves::softmax(self.arch, &mut fit, filled);
            taken.fill(0.0);
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
            let name = format!("l{number}.{name}");
            let bias = weights.numbers(&format!("{name}.b"), outputs)?;
            Ok::<_, Fault>(Linear::new(arch, &weights.matrix(&name, outputs, inputs)?, bias))
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

    fn apply(&self, arch: Arch, states: &mut [f32]) {
        curves::normalise(arch, states, &self.factors, &self.shifts, self.epsilon);
    }
}

fn add(to: &mut [f32], what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += what);
}
