//! Owns multiplication of matrices. One of them lies in panels as wide as two of the processor's registers, so that
//! a panel that has been fetched from memory serves all rows of the other; how wide that is, is found out at start.
//!
//! The inner loop spells out its registers, because our own crate is built with few optimisations while it is tested.

use pulp::{Arch, Simd, WithSimd, as_arrays, bytemuck};

/// Rows that are multiplied at a time: with 6 × 2 sums, the registers of every processor suffice.
const ROWS: usize = 6;
/// Registers that a panel is wide.
pub const REGISTERS: usize = 2;

/// A matrix that others are multiplied by.
#[derive(Debug)]
pub struct Panels {
    arch: Arch,
    width: usize,
    inputs: usize,
    outputs: usize,
    /// Panel after panel of `width` outputs; within one, input after input. What fills the last one up is 0.
    numbers: Vec<f32>,
}

impl Panels {
    pub fn zero(arch: Arch, inputs: usize, outputs: usize) -> Self {
        let width = panel_width(arch);
        Self { arch, width, inputs, outputs, numbers: vec![0.0; outputs.next_multiple_of(width) * inputs] }
    }

    /// What an output takes of each input.
    pub fn set_output(&mut self, output: usize, numbers: impl Iterator<Item = f32>) {
        let panel = &mut self.numbers[output / self.width * self.width * self.inputs..];
        let column = panel.iter_mut().skip(output % self.width).step_by(self.width);
        column.take(self.inputs).zip(numbers).for_each(|(to, number)| *to = number);
    }

    /// What an input gives to each output.
    pub fn set_input(&mut self, input: usize, numbers: &[f32]) {
        let panels = self.numbers.chunks_exact_mut(self.width * self.inputs);
        for (panel, numbers) in panels.zip(numbers.chunks(self.width)) {
            panel[input * self.width..][..numbers.len()].copy_from_slice(numbers);
        }
    }

    /// Adds the product of `rows` and this matrix to `out`.
    pub fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        self.arch.dispatch(Multiply { panels: self, rows, out });
    }
}

/// How many outputs a panel has on this processor.
fn panel_width(arch: Arch) -> usize {
    arch.dispatch(Width)
}

struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        REGISTERS * S::F32_LANES
    }
}

struct Multiply<'a> {
    panels: &'a Panels,
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Panels { width, inputs, outputs, ref numbers, .. } = self.panels;
        let rows = Rows { numbers: self.rows, inputs, outputs };
        for (number, panel) in numbers.chunks_exact(inputs * width).enumerate() {
            rows.multiply(simd, panel, number * width, self.out);
        }
    }
}

/// What is multiplied by a panel: rows of so many inputs, which become rows of so many outputs.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub numbers: &'a [f32],
    pub inputs: usize,
    pub outputs: usize,
}

impl Rows<'_> {
    /// Adds the product with a panel, whose outputs begin with `first`, to `out`.
    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
    #[inline(always)]
    pub fn multiply<S: Simd>(self, simd: S, panel: &[f32], first: usize, out: &mut [f32]) {
        let Self { numbers, inputs, outputs } = self;
        let filled = (panel.len() / inputs).min(outputs - first);
        let (panel, _) = as_arrays::<REGISTERS, _>(S::as_simd_f32s(panel).0);
        for (rows, out) in numbers.chunks(ROWS * inputs).zip(out.chunks_mut(ROWS * outputs)) {
            let last = rows.len() / inputs - 1;
            // Where fewer rows are left, the last is multiplied again in the place of those that are not there.
            let mut block: [&[f32]; ROWS] = [&[]; ROWS];
            for (at, row) in block.iter_mut().enumerate() {
                *row = &rows[at.min(last) * inputs..][..inputs];
            }
            let sums = multiply_block(simd, block, panel);
            for (out, sums) in out.chunks_exact_mut(outputs).zip(&sums) {
                let sums: &[f32] = bytemuck::cast_slice(sums);
                for (out, sum) in out[first..first + filled].iter_mut().zip(sums) {
                    *out += sum;
                }
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn multiply_block<S: Simd>(
    simd: S,
    rows: [&[f32]; ROWS],
    panel: &[[S::f32s; REGISTERS]],
) -> [[S::f32s; REGISTERS]; ROWS] {
    let zero = [simd.splat_f32s(0.0); REGISTERS];
    let mut sums = [zero; ROWS];
    // All slices have one length, and the compiler is told so: then no access has to be checked.
    let inputs = panel.len();
    let [first, second, third, fourth, fifth, sixth] = rows.map(|row| &row[..inputs]);
    for i in 0..inputs {
        let [left, right] = panel[i];
        add(simd, &mut sums[0], first[i], left, right);
        add(simd, &mut sums[1], second[i], left, right);
        add(simd, &mut sums[2], third[i], left, right);
        add(simd, &mut sums[3], fourth[i], left, right);
        add(simd, &mut sums[4], fifth[i], left, right);
        add(simd, &mut sums[5], sixth[i], left, right);
    }
    sums
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn add<S: Simd>(simd: S, sums: &mut [S::f32s; REGISTERS], number: f32, left: S::f32s, right: S::f32s) {
    let number = simd.splat_f32s(number);
    sums[0] = simd.mul_add_e_f32s(number, left, sums[0]);
    sums[1] = simd.mul_add_e_f32s(number, right, sums[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, whose products and sums are exact.
    fn number(row: usize, column: usize) -> f32 {
        ((row * 7 + column * 3) % 11) as f32 - 5.0
    }

    #[test]
    fn a_product_is_exact_whatever_the_sizes() {
        for (count, inputs, outputs) in [(1, 1, 1), (5, 32, 33), (6, 3, 32), (13, 40, 100)] {
            let mut by_output = Panels::zero(Arch::new(), inputs, outputs);
            let mut by_input = Panels::zero(Arch::new(), inputs, outputs);
            (0..outputs).for_each(|output| by_output.set_output(output, (0..inputs).map(|i| number(i, output))));
            for input in 0..inputs {
                by_input.set_input(input, &(0..outputs).map(|o| number(input, o)).collect::<Vec<_>>());
            }
            let rows: Vec<f32> = (0..count * inputs).map(|i| number(i, 2)).collect();
            for panels in [by_output, by_input] {
                let mut out = vec![1.0; count * outputs];
                panels.multiply(&rows, &mut out);
                for (row, found) in rows.chunks(inputs).zip(out.chunks(outputs)) {
                    for (output, found) in found.iter().enumerate() {
                        let wanted: f32 = 1.0 + row.iter().enumerate().map(|(i, x)| x * number(i, output)).sum::<f32>();
                        assert!((found - wanted).abs() < 1e-3, "{count}×{inputs}×{outputs}: {found} is not {wanted}");
                    }
                }
            }
        }
    }
}
