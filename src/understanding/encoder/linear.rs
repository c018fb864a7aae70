//! Owns the model's linear maps: weights of eight bits with one scale an output, in the order in which a multiplication
//! wants them. The file has four bits, and what was learnt beside them is added before they are rounded; a weight that is
//! a byte need not be unpacked, which on a new processor costs more than its multiplication.
//!
//! x86-64 multiplies whole numbers ([`super::products`]); everywhere else weights become numbers of single precision.

#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;
use pulp::{Arch, Simd, WithSimd, bytemuck};

use super::matrix::{REGISTERS, Rows};
#[cfg(target_arch = "x86_64")]
use super::{
    products::{self, Digits, Multiply, Rounded as _, Vnni, Wide},
    tiles::Tiles,
};
use crate::exponential::SIZE;

/// Outputs of a panel.
pub const PANEL: usize = 32;
/// Inputs whose weights lie together in one word.
pub const WORD: usize = 4;
/// Inputs are filled up to a multiple of this with weights of 0.
pub const BLOCK: usize = 64;
/// With more inputs, a sum of products might not fit into 32 bits.
pub const INPUTS_MAX: usize = 2048;
const LARGEST: f32 = 127.0;

/// A panel's weights of [`WORD`] inputs: one word of signed bytes an output.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Line(pub [i32; PANEL]);

/// Trained weights, and one bias an output.
#[derive(Debug)]
pub struct Linear {
    arch: Arch,
    inputs: usize,
    /// Panel after panel of outputs; within one, word after word of inputs.
    lines: Vec<Line>,
    /// What a weight is multiplied by; 0 for outputs that fill the last panel up.
    scales: Vec<f32>,
    /// Sums of each output's weights, as whole numbers.
    totals: Vec<i32>,
    bias: Vec<f32>,
}

/// Rows of numbers, also as this processor multiplies them, for any number of maps.
#[derive(Debug)]
pub struct Input<'a> {
    rows: &'a [f32],
    as_multiplied: AsMultiplied,
}

#[derive(Debug)]
enum AsMultiplied {
    Single,
    #[cfg(target_arch = "x86_64")]
    Tiles(Vnni, Tiles, Digits),
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni, Digits),
    #[cfg(target_arch = "x86_64")]
    V3(V3, Wide),
}

#[cfg(target_arch = "x86_64")]
impl AsMultiplied {
    fn tiles(simd: Vnni, tiles: Tiles, rows: &[f32], inputs: usize) -> Self {
        Self::Tiles(simd, tiles, Digits::of(simd, rows, inputs, Tiles::rows_of(rows.len() / inputs)))
    }

    fn vnni(simd: Vnni, rows: &[f32], inputs: usize) -> Self {
        Self::Vnni(simd, Digits::of(simd, rows, inputs, products::ROWS))
    }
}

impl<'a> Input<'a> {
    /// `inputs` numbers a row.
    pub fn new(arch: Arch, rows: &'a [f32], inputs: usize) -> Self {
        let as_multiplied = match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => match (Vnni::try_new(), Tiles::try_new(), V3::try_new()) {
                (Some(simd), Some(tiles), _) => AsMultiplied::tiles(simd, tiles, rows, inputs),
                (Some(simd), None, _) => AsMultiplied::vnni(simd, rows, inputs),
                (None, _, Some(simd)) => AsMultiplied::V3(simd, Wide::of(simd, rows, inputs)),
                (None, _, None) => AsMultiplied::Single,
            },
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => AsMultiplied::V3(simd, Wide::of(simd, rows, inputs)),
            _ => AsMultiplied::Single,
        };
        Self { rows, as_multiplied }
    }
}

impl Linear {
    /// `weights` has one row an output, of at most [`INPUTS_MAX`] numbers.
    pub fn new(arch: Arch, weights: &[f32], bias: Vec<f32>) -> Self {
        let inputs = weights.len() / bias.len();
        let panels = bias.len().div_ceil(PANEL);
        let lines_a_panel = inputs.next_multiple_of(BLOCK) / WORD;
        let mut lines = vec![Line([0; PANEL]); panels * lines_a_panel];
        let (mut scales, mut totals) = (vec![0.0; panels * PANEL], vec![0; panels * PANEL]);
        for (output, weights) in weights.chunks_exact(inputs).enumerate() {
            let (factor, scale) = factor_and_scale(weights, LARGEST);
            scales[output] = scale;
            let panel = &mut lines[output / PANEL * lines_a_panel..];
            for (line, weights) in panel.iter_mut().zip(weights.chunks(WORD)) {
                let mut word = [0_i8; WORD];
                for (byte, weight) in word.iter_mut().zip(weights) {
                    // The bits of a number of this size end in what is nearest.
                    *byte = (weight * factor + SIZE).to_bits() as i8;
                    totals[output] += i32::from(*byte);
                }
                line.0[output % PANEL] = bytemuck::cast(word);
            }
        }
        Self { arch, inputs, lines, scales, totals, bias }
    }

    /// Rows of as many numbers as there are inputs become rows of as many as there are outputs.
    pub fn apply(&self, input: &Input) -> Vec<f32> {
        let mut out = self.bias.repeat(input.rows.len() / self.inputs);
        match input.as_multiplied {
            AsMultiplied::Single => self.arch.dispatch(Apply { linear: self, rows: input.rows, out: &mut out }),
            #[cfg(target_arch = "x86_64")]
            AsMultiplied::Tiles(simd, tiles, ref rows) => {
                let tiles = tiles.set_up(rows.rows_a_group());
                simd.vectorize(Multiply { multiplier: &tiles, linear: self, rows, out: &mut out });
            }
            #[cfg(target_arch = "x86_64")]
            AsMultiplied::Vnni(simd, ref rows) => {
                simd.vectorize(Multiply { multiplier: &simd, linear: self, rows, out: &mut out });
            }
            #[cfg(target_arch = "x86_64")]
            AsMultiplied::V3(simd, ref rows) => {
                simd.vectorize(Multiply { multiplier: &simd, linear: self, rows, out: &mut out });
            }
        }
        out
    }

    /// The same of one map only.
    pub fn apply_to(&self, rows: &[f32]) -> Vec<f32> {
        self.apply(&Input::new(self.arch, rows, self.inputs))
    }

    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Panel by panel.
    pub fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let lines_a_panel = self.inputs.next_multiple_of(BLOCK) / WORD;
        let (scales, _) = self.scales.as_chunks();
        let (totals, _) = self.totals.as_chunks();
        let panels = self.lines.chunks_exact(lines_a_panel).zip(scales).zip(totals);
        panels.map(|((lines, scales), totals)| Panel { lines, scales, totals })
    }
}

/// What a row's numbers are multiplied by to be at most `largest` wide on either side, and what brings them back.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
pub fn factor_and_scale(row: &[f32], largest: f32) -> (f32, f32) {
    // Without their signs, numbers are in the order of their bits. The largest of whole numbers the compiler finds with
    // whole registers; of others it may not change the order.
    let mut found = 0;
    for number in row {
        found = found.max(number.abs().to_bits());
    }
    let found = f32::from_bits(found);
    // Of nothing, and of next to nothing, nothing is left.
    let factor = Some(largest / found).filter(|factor| factor.is_finite()).unwrap_or(0.0);
    (factor, found / largest)
}

/// [`PANEL`] outputs of a map.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    /// A multiple of [`BLOCK`] / [`WORD`] of them.
    pub lines: &'a [Line],
    pub scales: &'a [f32; PANEL],
    pub totals: &'a [i32; PANEL],
}

/// Multiplies in single precision.
struct Apply<'a> {
    linear: &'a Linear,
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let inputs = self.linear.inputs;
        let width = REGISTERS * S::F32_LANES;
        let rows = Rows { numbers: self.rows, inputs, outputs: self.linear.outputs() };
        let mut unpacked = vec![0.0; inputs.next_multiple_of(WORD) * width];
        for (number, panel) in self.linear.panels().enumerate() {
            // A panel of this processor is a part of one.
            for first in (0..PANEL).step_by(width).filter(|first| number * PANEL + first < rows.outputs) {
                unpack(simd, panel, first, &mut unpacked);
                rows.multiply(simd, &unpacked[..inputs * width], number * PANEL + first, self.out);
            }
        }
    }
}

/// A weight is so much less than its byte, taken without a sign and with the first bit turned.
const MIDDLE: f32 = 128.0;
const FIRST_BITS: u32 = 0x8080_8080;
/// With a byte in the lowest places of this number's bits, it is more by what the byte is, exactly.
const LARGE: f32 = 8_388_608.0;

/// The weights of two registers' outputs from the `first` on, input after input.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn unpack<S: Simd>(simd: S, panel: Panel, first: usize, into: &mut [f32]) {
    let (into, _) = pulp::as_arrays_mut::<REGISTERS, _>(S::as_mut_simd_f32s(into).0);
    let (byte, large) = (simd.splat_u32s(255), simd.splat_u32s(bytemuck::cast(LARGE)));
    let (first_bits, beyond) = (simd.splat_u32s(FIRST_BITS), simd.splat_f32s(LARGE + MIDDLE));
    let scales = S::as_simd_f32s(&panel.scales[first..]).0;
    for (line, inputs) in panel.lines.iter().zip(into.chunks_exact_mut(WORD)) {
        let words = S::as_simd_i32s(&line.0[first..]).0;
        for register in 0..REGISTERS {
            let word = simd.xor_u32s(simd.transmute_u32s_i32s(words[register]), first_bits);
            for (at, input) in inputs.iter_mut().enumerate() {
                let shifted = simd.wrapping_dyn_shr_u32s(word, simd.splat_u32s(8 * at as u32));
                let bits = simd.or_u32s(simd.and_u32s(shifted, byte), large);
                let weight = simd.sub_f32s(simd.transmute_f32s_u32s(bits), beyond);
                input[register] = simd.mul_f32s(weight, scales[register]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights and rows of whole numbers that are rounded to themselves, and biases.
    fn example(count: usize, inputs: usize, outputs: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let number = |at: usize, largest: usize, step: usize| {
            // The first of each row is the largest.
            if at.is_multiple_of(inputs) {
                largest as f32
            } else {
                (at * step % (2 * largest + 1)) as f32 - largest as f32
            }
        };
        let weights = (0..outputs * inputs).map(|at| number(at, 127, 31)).collect();
        let rows = (0..count * inputs).map(|at| number(at, 8191, 577)).collect();
        (weights, rows, (0..outputs).map(|output| output as f32).collect())
    }

    /// With every way that this processor has, by name.
    fn ways(rows: &[f32], inputs: usize) -> Vec<(&'static str, Input<'_>)> {
        let input = |as_multiplied| Input { rows, as_multiplied };
        let mut ways = vec![("single precision", input(AsMultiplied::Single))];
        #[cfg(target_arch = "x86_64")]
        {
            let vnni = Vnni::try_new();
            ways.extend(
                V3::try_new().map(|simd| ("AVX2", input(AsMultiplied::V3(simd, Wide::of(simd, rows, inputs))))),
            );
            ways.extend(vnni.map(|simd| ("VNNI", input(AsMultiplied::vnni(simd, rows, inputs)))));
            let with_tiles = |(simd, tiles)| ("tiles", input(AsMultiplied::tiles(simd, tiles, rows, inputs)));
            ways.extend(vnni.zip(Tiles::try_new()).map(with_tiles));
        }
        for way in ["AVX2", "VNNI", "tiles"].iter().filter(|way| ways.iter().all(|(name, _)| name != *way)) {
            eprintln!("SKIPPED: this processor has no {way}");
        }
        ways
    }

    #[test]
    fn a_product_is_exact_whatever_the_sizes_and_the_processor() {
        for (count, inputs, outputs) in [(1, 32, 1), (4, 64, 32), (5, 96, 33), (16, 64, 16), (37, 160, 100)] {
            let (weights, rows, bias) = example(count, inputs, outputs);
            let linear = Linear::new(Arch::new(), &weights, bias.clone());
            for (way, input) in ways(&rows, inputs) {
                let out = linear.apply(&input);
                assert_eq!(out.len(), count * outputs);
                for (row, found) in rows.chunks(inputs).zip(out.chunks(outputs)) {
                    for ((weights, bias), found) in weights.chunks(inputs).zip(&bias).zip(found) {
                        let sum: f64 = row.iter().zip(weights).map(|(x, weight)| f64::from(x * weight)).sum();
                        let (wanted, allowed) = (f64::from(*bias) + sum, 1e-6 * sum.abs().max(8191.0 * 127.0));
                        assert!((f64::from(*found) - wanted).abs() < allowed, "{way}: {found} is not {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn whole_numbers_come_to_the_same_on_all_processors() {
        let (weights, rows, bias) = example(21, 384, 70);
        // Now neither weights nor rows are rounded to themselves.
        let [weights, rows] =
            [weights, rows].map(|numbers| numbers.iter().map(|x| (x / 300.0).sin()).collect::<Vec<f32>>());
        let linear = Linear::new(Arch::new(), &weights, bias);
        let found: Vec<(&str, Vec<f32>)> =
            ways(&rows, 384).iter().map(|(way, input)| (*way, linear.apply(input))).collect();
        let exact = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        for pair in found[1..].windows(2) {
            assert_eq!(exact(&pair[0].1), exact(&pair[1].1), "{} and {}", pair[0].0, pair[1].0);
        }
        for (way, numbers) in &found[1..] {
            let difference = numbers.iter().zip(&found[0].1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 0.01, "{way} differs from single precision by {difference}");
        }
    }

    #[test]
    fn the_largest_weights_and_numbers_fit_into_the_sums() {
        for weight in [-127.0, 127.0] {
            let linear = Linear::new(Arch::new(), &[weight; INPUTS_MAX], vec![0.0]);
            for number in [-8191.0_f32, 8191.0, 1e30] {
                for (way, input) in ways(&[number; INPUTS_MAX], INPUTS_MAX) {
                    let (found, wanted) = (linear.apply(&input)[0], weight * number * INPUTS_MAX as f32);
                    assert!((found / wanted - 1.0).abs() < 1e-4, "{way}: {found} is not {wanted}");
                }
            }
        }
    }

    #[test]
    fn of_next_to_nothing_nothing_is_left_and_what_is_no_number_stays_none() {
        let linear = Linear::new(Arch::new(), &[1.0; 32], vec![0.0]);
        for number in [0.0, 1e-40, f32::NAN, f32::INFINITY] {
            for (way, input) in ways(&[number; 32], 32) {
                let found = linear.apply(&input)[0];
                assert!(found.abs() < 1e-30 || !number.is_finite(), "{way}: {number} has become {found}");
            }
        }
        let nothing = Linear::new(Arch::new(), &[0.0; 32], vec![3.0]);
        assert_eq!(nothing.apply_to(&[1.0; 32])[0].to_bits(), 3.0_f32.to_bits());
    }
}
