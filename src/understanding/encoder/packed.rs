//! Owns trained weights as they stay in memory: four bits each, as in the model's file, but in the order in which a
//! multiplication wants them. A panel is unpacked when it is needed and then serves all rows: that costs less than
//! fetching eight times as many bytes from memory.
//!
//! x86-64 multiplies them as whole numbers ([`super::bytes`]); everywhere else they become numbers of single precision.

#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
use pulp::{Arch, Simd, WithSimd, bytemuck};

#[cfg(target_arch = "x86_64")]
use super::bytes::{Multiply, Rounded, Vnni};
use super::{
    file::{BLOCK_WEIGHTS, MIDDLE, Packed},
    low_rank::LowRank,
    matrix::{REGISTERS, Rows, panel_width},
};

/// Weights of one output that lie in one word: the first four in the lower halves of its bytes, the others in the upper.
pub const WORD_WEIGHTS: usize = 8;

/// Where in a word one of its weights begins.
const fn bits_before(weight: usize) -> u32 {
    let (byte, upper) = (weight % (WORD_WEIGHTS / 2), weight / (WORD_WEIGHTS / 2));
    8 * byte as u32 + 4 * upper as u32
}

/// With four bits in the lowest places of this number's, it is more by what they are, exactly.
const LARGE: f32 = 8_388_608.0;

/// Trained weights, one bias an output, and what was learnt beside them.
#[derive(Debug)]
pub struct Linear {
    arch: Arch,
    pub(super) width: usize,
    inputs: usize,
    /// Panel after panel of `width` outputs; within one, block after block of inputs: a scale an output.
    pub(super) scales: Vec<f32>,
    /// In the same order, and within a block word after word: one word an output.
    pub(super) words: Vec<u32>,
    pub(super) bias: Vec<f32>,
    low_rank: Option<LowRank>,
}

/// Rows of numbers, also as this processor multiplies them, for any number of matrices.
#[derive(Debug)]
pub struct Input<'a> {
    rows: &'a [f32],
    as_multiplied: AsMultiplied,
}

#[derive(Debug)]
enum AsMultiplied {
    Single,
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni, Rounded),
    #[cfg(target_arch = "x86_64")]
    V4(V4, Rounded),
    #[cfg(target_arch = "x86_64")]
    V3(V3, Rounded),
}

impl<'a> Input<'a> {
    /// `inputs` numbers a row.
    pub fn new(arch: Arch, rows: &'a [f32], inputs: usize) -> Self {
        let as_multiplied = match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(simd) => match Vnni::try_new() {
                Some(simd) => AsMultiplied::Vnni(simd, Rounded::vnni(simd, rows, inputs)),
                None => AsMultiplied::V4(simd, Rounded::v4(simd, rows, inputs)),
            },
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => AsMultiplied::V3(simd, Rounded::v3(simd, rows, inputs)),
            _ => AsMultiplied::Single,
        };
        Self { rows, as_multiplied }
    }
}

impl Linear {
    pub fn new(arch: Arch, packed: &Packed, bias: Vec<f32>, inputs: usize, low_rank: Option<LowRank>) -> Self {
        let width = panel_width(arch);
        let (outputs, blocks) = (bias.len().next_multiple_of(width), inputs / BLOCK_WEIGHTS);
        let words_a_block = BLOCK_WEIGHTS / WORD_WEIGHTS;
        let mut scales = vec![0.0; outputs * blocks];
        let mut words = vec![0; outputs * blocks * words_a_block];
        for output in 0..bias.len() {
            for (block, (scale, weights)) in packed.blocks(output, inputs).enumerate() {
                let at = output / width * blocks + block;
                scales[at * width + output % width] = scale;
                for (word, weights) in weights.chunks_exact(WORD_WEIGHTS).enumerate() {
                    let weights = weights.iter().enumerate();
                    let all = weights.fold(0, |all, (at, &weight)| all | u32::from(weight) << bits_before(at));
                    words[(at * words_a_block + word) * width + output % width] = all;
                }
            }
        }
        Self { arch, width, inputs, scales, words, bias, low_rank }
    }

    /// Rows of as many numbers as there are inputs become rows of as many as there are outputs.
    pub fn apply(&self, input: &Input) -> Vec<f32> {
        let count = input.rows.len() / self.inputs;
        let mut out = self.bias.repeat(count);
        match input.as_multiplied {
            AsMultiplied::Single => self.arch.dispatch(Apply { linear: self, rows: input.rows, out: &mut out }),
            #[cfg(target_arch = "x86_64")]
            AsMultiplied::Vnni(simd, ref rows) => simd.vectorize(Multiply { simd, linear: self, rows, out: &mut out }),
            #[cfg(target_arch = "x86_64")]
            AsMultiplied::V4(simd, ref rows) => simd.vectorize(Multiply { simd, linear: self, rows, out: &mut out }),
            #[cfg(target_arch = "x86_64")]
            AsMultiplied::V3(simd, ref rows) => simd.vectorize(Multiply { simd, linear: self, rows, out: &mut out }),
        }
        if let Some(low_rank) = &self.low_rank {
            low_rank.add(input.rows, count, &mut out);
        }
        out
    }

    /// The same of one matrix only.
    pub fn apply_to(&self, rows: &[f32]) -> Vec<f32> {
        self.apply(&Input::new(self.arch, rows, self.inputs))
    }
}

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
        let &Linear { width, inputs, ref scales, ref words, ref bias, .. } = self.linear;
        let mut panel = vec![0.0; inputs * width];
        let scales = scales.chunks_exact(inputs / BLOCK_WEIGHTS * width);
        let words = words.chunks_exact(inputs / WORD_WEIGHTS * width);
        for (number, (scales, words)) in scales.zip(words).enumerate() {
            unpack(simd, scales, words, &mut panel);
            Rows { numbers: self.rows, inputs, outputs: bias.len() }.multiply(simd, &panel, number * width, self.out);
        }
    }
}

/// The weights of a panel, input after input.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn unpack<S: Simd>(simd: S, scales: &[f32], words: &[u32], panel: &mut [f32]) {
    let (scales, _) = pulp::as_arrays::<REGISTERS, _>(S::as_simd_f32s(scales).0);
    let (words, _) = pulp::as_arrays::<REGISTERS, _>(S::as_simd_u32s(words).0);
    let (panel, _) = pulp::as_arrays_mut::<REGISTERS, _>(S::as_mut_simd_f32s(panel).0);
    let (low, large) = (simd.splat_u32s(15), simd.splat_u32s(bytemuck::cast(LARGE)));
    let beyond = simd.splat_f32s(LARGE + MIDDLE);
    let words = words.chunks_exact(BLOCK_WEIGHTS / WORD_WEIGHTS);
    for ((scales, words), inputs) in scales.iter().zip(words).zip(panel.chunks_exact_mut(BLOCK_WEIGHTS)) {
        for (words, inputs) in words.iter().zip(inputs.chunks_exact_mut(WORD_WEIGHTS)) {
            for (register, &scale) in scales.iter().enumerate() {
                for (number, input) in inputs.iter_mut().enumerate() {
                    let shifted = simd.wrapping_dyn_shr_u32s(words[register], simd.splat_u32s(bits_before(number)));
                    let bits = simd.or_u32s(simd.and_u32s(shifted, low), large);
                    input[register] = simd.mul_f32s(simd.sub_f32s(simd.transmute_f32s_u32s(bits), beyond), scale);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights, rows and biases of small whole numbers, whose products and sums are exact; the largest of each block of a
    /// row is what eight bits hold.
    fn example(count: usize, inputs: usize, outputs: usize) -> (Packed, Vec<f32>, Vec<f32>) {
        let mut bytes = Vec::new();
        for block in 0..outputs * inputs / BLOCK_WEIGHTS {
            bytes.extend(half::f16::from_f32([0.5, 1.0, 2.0][block % 3]).to_le_bytes());
            bytes.extend((0..BLOCK_WEIGHTS / 2).map(|at| (block * 31 + at * 17) as u8));
        }
        let number = |at: usize| if at.is_multiple_of(BLOCK_WEIGHTS) { 127.0 } else { (at * 7 % 255) as f32 - 127.0 };
        let bias = (0..outputs).map(|output| output as f32).collect();
        (Packed::of_bytes(bytes), (0..count * inputs).map(number).collect(), bias)
    }

    fn check(inputs: usize, packed: &Packed, rows: &[f32], out: &[f32], outputs: usize) {
        let mut weights = vec![0.0; inputs];
        for output in 0..outputs {
            packed.unpack_row(output, &mut weights);
            for (row, found) in rows.chunks(inputs).zip(out.chunks(outputs)) {
                let wanted = output as f32 + row.iter().zip(&weights).map(|(x, weight)| x * weight).sum::<f32>();
                assert!((found[output] - wanted).abs() < 0.1, "{inputs}×{outputs}, output {output}: {wanted}");
            }
        }
    }

    const SIZES: [(usize, usize, usize); 4] = [(1, 32, 1), (4, 64, 16), (5, 64, 33), (13, 96, 100)];

    #[test]
    fn weights_are_what_the_file_says_whatever_the_sizes() {
        for (count, inputs, outputs) in SIZES {
            let (packed, rows, bias) = example(count, inputs, outputs);
            let linear = Linear::new(Arch::new(), &packed, bias, inputs, None);
            check(inputs, &packed, &rows, &linear.apply_to(&rows), outputs);
            check(
                inputs,
                &packed,
                &rows,
                &linear.apply(&Input { rows: &rows, as_multiplied: AsMultiplied::Single }),
                outputs,
            );
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn an_older_processor_multiplies_as_a_new_one_does() {
        let Some(simd) = V3::try_new() else {
            eprintln!("SKIPPED: this processor has no AVX2");
            return;
        };
        for (count, inputs, outputs) in SIZES {
            let (packed, rows, bias) = example(count, inputs, outputs);
            let linear = Linear::new(Arch::V3(simd), &packed, bias, inputs, None);
            check(inputs, &packed, &rows, &linear.apply_to(&rows), outputs);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_newest_instruction_comes_to_the_same() {
        let (Some(simd), Some(newest)) = (V4::try_new(), Vnni::try_new()) else {
            eprintln!("SKIPPED: this processor has no AVX-512 VNNI");
            return;
        };
        for (count, inputs, outputs) in SIZES {
            let (packed, rows, bias) = example(count, inputs, outputs);
            let linear = Linear::new(Arch::V4(simd), &packed, bias, inputs, None);
            let apply = |as_multiplied| linear.apply(&Input { rows: &rows, as_multiplied });
            let without = apply(AsMultiplied::V4(simd, Rounded::v4(simd, &rows, inputs)));
            check(inputs, &packed, &rows, &without, outputs);
            assert_eq!(without, apply(AsMultiplied::Vnni(newest, Rounded::vnni(newest, &rows, inputs))));
        }
    }

    #[test]
    fn the_largest_weights_and_numbers_fit_into_the_sums() {
        let packed = Packed::of_bytes([&[0, 60][..], &[0xff; BLOCK_WEIGHTS / 2]].concat());
        let linear = Linear::new(Arch::new(), &packed, vec![0.0], BLOCK_WEIGHTS, None);
        for number in [-127.0, 127.0, 1e30] {
            let out = linear.apply_to(&[number; BLOCK_WEIGHTS]);
            let wanted = 7.0 * 32.0 * number;
            assert!((out[0] / wanted - 1.0).abs() < 1e-5, "{} is not {wanted}", out[0]);
        }
        for number in [0.0, 1e-40, f32::NAN, f32::INFINITY] {
            let out = linear.apply_to(&[number; BLOCK_WEIGHTS]);
            assert!(out[0].abs() < 1e-30 || !number.is_finite(), "{number} has become {}", out[0]);
        }
    }
}
