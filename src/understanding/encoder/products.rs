//! Owns the multiplication of eight-bit weights on x86-64, as whole numbers. Of each row the largest number becomes 8191:
//! 14 bits take away next to nothing, where eight would let a few large numbers of a row spoil the others.
//!
//! AVX-512 VNNI adds up four products of bytes at once, so a number is two digits of seven bits, and tiles
//! ([`super::tiles`]) take the same two. AVX2 adds up two products of 16 bits. The results are the same everywhere, bit
//! for bit.

use std::arch::x86_64::{__m128i, __m256i, __m512i};

use pulp::{NullaryFnOnce, bytemuck, x86::V3};

use super::linear::{BLOCK, Linear, PANEL, Panel, WORD, factor_and_scale};
use crate::exponential::SIZE;

/// No multiplier takes more rows at a time.
pub const ROWS_MAX: usize = 16;
const LARGEST: f32 = 8191.0;
/// What is added to a number before it is cut into digits, which have no sign.
const MIDDLE: i32 = 1 << 13;
const DIGIT_BITS: u32 = 7;
const DIGIT: i32 = (1 << DIGIT_BITS) - 1;

/// What the numbers of [`BLOCK`] inputs have as one of their digits: a byte each, four in a word.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Block(pub [i32; BLOCK / WORD]);

/// Rows of numbers of 14 bits, in two digits.
#[derive(Debug)]
pub struct Digits {
    /// Group after group of rows, and within one [`BLOCK`] after `BLOCK` of inputs: the upper digits of all its rows, then
    /// the lower ones.
    blocks: Vec<Block>,
    blocks_a_row: usize,
    rows_a_group: usize,
    scales: Vec<f32>,
}

impl Digits {
    /// Of rows of so many numbers, a multiple of [`LANES`], in groups of as many rows as are multiplied at a time.
    pub fn of(simd: Vnni, numbers: &[f32], inputs: usize, rows_a_group: usize) -> Self {
        simd.vectorize(IntoDigits { simd, numbers, inputs, rows_a_group })
    }

    /// Those of one group, of which the last may have fewer rows than room for them.
    pub fn of_group(&self, number: usize) -> &[Block] {
        let blocks = 2 * self.rows_a_group * self.blocks_a_row;
        &self.blocks[number * blocks..][..blocks]
    }
}

/// Rows of numbers of 14 bits, each in 16.
#[derive(Debug)]
pub struct Wide {
    /// Row after row: four numbers of [`WORD`] inputs each. A multiple of [`ROWS`] rows.
    words: Vec<i64>,
    words_a_row: usize,
    scales: Vec<f32>,
}

impl Wide {
    /// Of rows of so many numbers.
    pub fn of(simd: V3, numbers: &[f32], inputs: usize) -> Self {
        simd.vectorize(IntoWide { numbers, inputs })
    }
}

struct IntoDigits<'a> {
    simd: Vnni,
    numbers: &'a [f32],
    inputs: usize,
    rows_a_group: usize,
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl NullaryFnOnce for IntoDigits<'_> {
    type Output = Digits;

    #[inline(always)]
    fn call(self) -> Digits {
        let Self { simd, numbers, inputs, rows_a_group } = self;
        let rows = numbers.len() / inputs;
        let blocks_a_row = inputs.div_ceil(BLOCK);
        let mut blocks = vec![Block([0; BLOCK / WORD]); 2 * rows.next_multiple_of(rows_a_group) * blocks_a_row];
        let mut scales = Vec::with_capacity(rows);
        let groups =
            numbers.chunks(rows_a_group * inputs).zip(blocks.chunks_exact_mut(2 * rows_a_group * blocks_a_row));
        for (group, blocks) in groups {
            for (number, row) in group.chunks_exact(inputs).enumerate() {
                let (factor, scale) = factor_and_scale(row, LARGEST);
                scales.push(scale);
                for (numbers, blocks) in row.chunks(BLOCK).zip(blocks.chunks_exact_mut(2 * rows_a_group)) {
                    let (upper, lower) = blocks.split_at_mut(rows_a_group);
                    let (upper, lower) = (upper[number].0.as_chunks_mut().0, lower[number].0.as_chunks_mut().0);
                    for ((numbers, upper), lower) in numbers.as_chunks().0.iter().zip(upper).zip(lower) {
                        [*upper, *lower] = simd.digits(numbers, factor);
                    }
                }
            }
        }
        Digits { blocks, blocks_a_row, rows_a_group, scales }
    }
}

struct IntoWide<'a> {
    numbers: &'a [f32],
    inputs: usize,
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl NullaryFnOnce for IntoWide<'_> {
    type Output = Wide;

    #[inline(always)]
    fn call(self) -> Wide {
        let rows = self.numbers.len() / self.inputs;
        let words_a_row = self.inputs.next_multiple_of(BLOCK) / WORD;
        let mut words = vec![0; rows.next_multiple_of(ROWS) * words_a_row];
        let mut scales = Vec::with_capacity(rows);
        let rows = self.numbers.chunks_exact(self.inputs);
        for (row, words) in rows.zip(words.chunks_exact_mut(words_a_row)) {
            let (factor, scale) = factor_and_scale(row, LARGEST);
            scales.push(scale);
            for (numbers, word) in row.chunks(WORD).zip(words) {
                let mut four = [0_i16; WORD];
                for (number, into) in numbers.iter().zip(&mut four) {
                    // The bits of a number of this size end in what is nearest.
                    *into = (number * factor + SIZE).to_bits() as i16;
                }
                *word = bytemuck::cast(four);
            }
        }
        Wide { words, words_a_row, scales }
    }
}

/// Multiplies rows by one panel's weights.
pub trait Multiplier {
    type Rows: Rounded;

    /// The sums of the products of a group's rows, from the first on; others are of no meaning.
    fn multiply(&self, rows: &Self::Rows, group: usize, panel: Panel, sums: &mut [[i32; PANEL]; ROWS_MAX]);
}

/// Rows of rounded numbers.
pub trait Rounded {
    /// How many are multiplied at a time, at most [`ROWS_MAX`].
    fn rows_a_group(&self) -> usize;
    /// What each row's sums are multiplied by.
    fn scales(&self) -> &[f32];
}

impl Rounded for Digits {
    fn rows_a_group(&self) -> usize {
        self.rows_a_group
    }

    fn scales(&self) -> &[f32] {
        &self.scales
    }
}

impl Rounded for Wide {
    fn rows_a_group(&self) -> usize {
        ROWS
    }

    fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// Adds the product of rows and a map's weights to `out`.
pub struct Multiply<'a, M: Multiplier> {
    pub multiplier: &'a M,
    pub linear: &'a Linear,
    pub rows: &'a M::Rows,
    pub out: &'a mut [f32],
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl<M: Multiplier> NullaryFnOnce for Multiply<'_, M> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { multiplier, linear, rows, out } = self;
        let (outputs, at_a_time) = (linear.outputs(), rows.rows_a_group());
        let mut sums = [[0; PANEL]; ROWS_MAX];
        for (number, panel) in linear.panels().enumerate() {
            let first = number * PANEL;
            let end = outputs.min(first + PANEL);
            let groups = out.chunks_mut(at_a_time * outputs).zip(rows.scales().chunks(at_a_time));
            for (group, (out, scales)) in groups.enumerate() {
                multiplier.multiply(rows, group, panel, &mut sums);
                for ((out, sums), scale) in out.chunks_exact_mut(outputs).zip(&sums).zip(scales) {
                    for ((out, &sum), of_output) in out[first..end].iter_mut().zip(sums).zip(panel.scales) {
                        *out += sum as f32 * (of_output * scale);
                    }
                }
            }
        }
    }
}

/// The sums of products of numbers from those of their digits, which have to be in `sums` for the upper ones.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
pub fn join(sums: &mut [i32; PANEL], lower: &[i32; PANEL], totals: &[i32; PANEL]) {
    for ((sum, lower), total) in sums.iter_mut().zip(lower).zip(totals) {
        // What overflows on the way comes back: what is left has room, see `INPUTS_MAX`.
        *sum = (*sum << DIGIT_BITS).wrapping_add(*lower).wrapping_sub(total.wrapping_mul(MIDDLE));
    }
}

pulp::simd_type! {
    /// Registers of 512 bits, and an instruction for bytes that adds up four products at once.
    pub struct Vnni {
        pub avx512f: "avx512f",
        pub avx512bw: "avx512bw",
        pub avx512vnni: "avx512vnni",
    }
}

/// With sums of two digits in two registers each, so many rows fill the registers.
pub const ROWS: usize = 4;

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl Multiplier for Vnni {
    type Rows = Digits;

    #[inline(always)]
    fn multiply(&self, rows: &Digits, group: usize, panel: Panel, sums: &mut [[i32; PANEL]; ROWS_MAX]) {
        let zero = [[self.avx512f._mm512_set1_epi32(0); 2]; ROWS];
        let (mut upper, mut lower) = (zero, zero);
        let (lines, _) = panel.lines.as_chunks::<{ BLOCK / WORD }>();
        let (digits, _) = rows.of_group(group).as_chunks::<ROWS>();
        let (digits, _) = digits.as_chunks::<2>();
        for (lines, [upper_digits, lower_digits]) in lines.iter().zip(digits) {
            for (at, line) in lines.iter().enumerate() {
                let weights: [__m512i; 2] = bytemuck::cast(line.0);
                for row in 0..ROWS {
                    let [of_upper, of_lower] =
                        [upper_digits, lower_digits].map(|digits| self.avx512f._mm512_set1_epi32(digits[row].0[at]));
                    for register in 0..2 {
                        upper[row][register] = self.add_products(upper[row][register], of_upper, weights[register]);
                        lower[row][register] = self.add_products(lower[row][register], of_lower, weights[register]);
                    }
                }
            }
        }
        for ((sums, upper), lower) in sums.iter_mut().zip(upper).zip(lower) {
            *sums = bytemuck::cast(upper);
            join(sums, &bytemuck::cast(lower), panel.totals);
        }
    }
}

/// Numbers that a register holds.
const LANES: usize = 16;

impl Vnni {
    /// The upper and the lower digits of numbers, times a factor.
    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
    #[inline(always)]
    fn digits(self, numbers: &[f32; LANES], factor: f32) -> [[i32; LANES / WORD]; 2] {
        let simd = self.avx512f;
        let numbers = simd._mm512_mul_ps(bytemuck::cast(*numbers), simd._mm512_set1_ps(factor));
        let whole = simd._mm512_add_epi32(simd._mm512_cvtps_epi32(numbers), simd._mm512_set1_epi32(MIDDLE));
        let digit = simd._mm512_set1_epi32(DIGIT);
        [simd._mm512_srli_epi32::<DIGIT_BITS>(whole), whole]
            .map(|digits| bytemuck::cast(simd._mm512_cvtepi32_epi8(simd._mm512_and_si512(digits, digit))))
    }

    #[expect(unsafe_code, reason = "pulp has the processor's feature, but not yet this instruction of it")]
    #[expect(clippy::unused_self, reason = "it is the proof that the processor has the instruction")]
    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
    #[inline(always)]
    fn add_products(self, sums: __m512i, digits: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: it needs the feature of `self.avx512vnni`, of which there is no value on a processor without it.
        unsafe { std::arch::x86_64::_mm512_dpbusd_epi32(sums, digits, weights) }
    }
}

/// Registers of a panel's weights that are multiplied at a time, and the outputs of one.
const REGISTERS: usize = 2;
const OUTPUTS: usize = 4;

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl Multiplier for V3 {
    type Rows = Wide;

    #[inline(always)]
    fn multiply(&self, rows: &Wide, group: usize, panel: Panel, sums: &mut [[i32; PANEL]; ROWS_MAX]) {
        let words = panel.lines.len();
        let numbers: [&[i64]; ROWS] =
            std::array::from_fn(|row| &rows.words[(group * ROWS + row) * rows.words_a_row..][..words]);
        for part in 0..PANEL / (REGISTERS * OUTPUTS) {
            // An output has two sums, side by side.
            let mut products = [[self.avx._mm256_set1_epi32(0); REGISTERS]; ROWS];
            for (at, line) in panel.lines.iter().enumerate() {
                let weights: &[[__m128i; REGISTERS]; PANEL / (REGISTERS * OUTPUTS)] = bytemuck::cast_ref(&line.0);
                let weights = weights[part].map(|bytes| self.avx2._mm256_cvtepi8_epi16(bytes));
                for row in 0..ROWS {
                    let numbers = self.avx._mm256_set1_epi64x(numbers[row][at]);
                    for register in 0..REGISTERS {
                        let product = self.avx2._mm256_madd_epi16(weights[register], numbers);
                        products[row][register] = self.avx2._mm256_add_epi32(products[row][register], product);
                    }
                }
            }
            for (sums, products) in sums.iter_mut().zip(products) {
                let pairs: [[i32; 2]; REGISTERS * OUTPUTS] = bytemuck::cast::<[__m256i; REGISTERS], _>(products);
                let sums = &mut sums[part * REGISTERS * OUTPUTS..][..REGISTERS * OUTPUTS];
                sums.iter_mut().zip(pairs).for_each(|(sum, [one, other])| *sum = one.wrapping_add(other));
            }
        }
    }
}
