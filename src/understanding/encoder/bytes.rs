//! Owns the multiplication of four-bit weights on x86-64: by numbers of eight bits, whose products come four times as
//! many at a time as those of single precision. Of each block of a row the largest number becomes 127; what that takes
//! away is little beside what four bits a weight have taken.
//!
//! With AVX-512 VNNI four products become one sum of 32 bits. AVX-512 BW and AVX2 have sums of 16 bits instead: there is
//! room in one for eight pairs of products of a weight from 0 to 15 and a number from -127 to 127, which is what a block
//! adds to it. The results are the same.

use std::arch::x86_64::{__m256, __m256i, __m512, __m512i};

use pulp::{
    NullaryFnOnce,
    bytemuck::{self, Pod},
    x86::{V3, V4},
};

use super::{
    file::{BLOCK_WEIGHTS, MIDDLE},
    matrix::REGISTERS,
    packed::{Linear, WORD_WEIGHTS},
};
use crate::exponential::SIZE;

/// Rows that are multiplied at a time: with 4 × 2 sums of either kind, the registers of new processors suffice.
const ROWS: usize = 4;
/// A word has eight weights of one output: four in the lower halves of its bytes and four in the upper ones.
const HALVES: usize = 2 * BLOCK_WEIGHTS / WORD_WEIGHTS;
const LARGEST: f32 = 127.0;

/// Rows of numbers, rounded to eight bits block by block.
#[derive(Debug)]
pub struct Rounded {
    blocks: Vec<Block>,
    blocks_a_row: usize,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    /// Four numbers each, in the order in which the words of the weights have them.
    words: [i32; HALVES],
    /// What a number was divided by.
    scale: f32,
    /// What the products with weights are more by because those have no sign, taken away.
    correction: i32,
}

impl Rounded {
    /// `inputs` numbers a row, a multiple of `BLOCK_WEIGHTS`.
    pub fn vnni(simd: Vnni, numbers: &[f32], inputs: usize) -> Self {
        Self { blocks: simd.vectorize(Round(numbers)), blocks_a_row: inputs / BLOCK_WEIGHTS }
    }

    pub fn v4(simd: V4, numbers: &[f32], inputs: usize) -> Self {
        Self { blocks: simd.vectorize(Round(numbers)), blocks_a_row: inputs / BLOCK_WEIGHTS }
    }

    pub fn v3(simd: V3, numbers: &[f32], inputs: usize) -> Self {
        Self { blocks: simd.vectorize(Round(numbers)), blocks_a_row: inputs / BLOCK_WEIGHTS }
    }
}

struct Round<'a>(&'a [f32]);

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl NullaryFnOnce for Round<'_> {
    type Output = Vec<Block>;

    #[inline(always)]
    fn call(self) -> Vec<Block> {
        let (blocks, _) = self.0.as_chunks::<BLOCK_WEIGHTS>();
        let mut rounded = Vec::with_capacity(blocks.len());
        for block in blocks {
            rounded.push(Block::of(block));
        }
        rounded
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl Block {
    #[inline(always)]
    fn of(numbers: &[f32; BLOCK_WEIGHTS]) -> Self {
        // Without their signs, numbers are in the order of their bits. The largest of whole numbers, and their sum, the
        // compiler finds with whole registers; of others it may not change the order.
        let mut largest = 0;
        for number in numbers {
            largest = largest.max(number.abs().to_bits());
        }
        let largest = f32::from_bits(largest);
        // Of nothing, and of next to nothing, nothing is left.
        let factor = Some(LARGEST / largest).filter(|factor| factor.is_finite()).unwrap_or(0.0);
        let (mut bytes, mut sum) = ([0_i8; BLOCK_WEIGHTS], 0);
        for (number, byte) in numbers.iter().zip(&mut bytes) {
            // The bits of a number of this size end in what is nearest.
            *byte = (*number * factor + SIZE).to_bits() as i8;
            sum += i32::from(*byte);
        }
        Self { words: bytemuck::cast(bytes), scale: largest / LARGEST, correction: -(MIDDLE as i32) * sum }
    }
}

/// Adds the product of rows and weights to `out`.
pub struct Multiply<'a, R> {
    pub simd: R,
    pub linear: &'a Linear,
    pub rows: &'a Rounded,
    pub out: &'a mut [f32],
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl<R: Registers> NullaryFnOnce for Multiply<'_, R> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, linear, rows, out } = self;
        let outputs = linear.bias.len();
        let mut factors = Vec::with_capacity(rows.blocks_a_row);
        let mut halves = Vec::with_capacity(rows.blocks_a_row * HALVES);
        let scales = linear.scales.chunks_exact(rows.blocks_a_row * linear.width);
        let words = linear.words.chunks_exact(rows.blocks_a_row * HALVES / 2 * linear.width);
        for (number, (scales, words)) in scales.zip(words).enumerate() {
            factors.clear();
            for pair in registers::<R::Single>(bytemuck::cast_slice(scales)) {
                factors.push(pair);
            }
            halves.clear();
            for [left, right] in registers::<R::Whole>(bytemuck::cast_slice(words)) {
                let ([left, left_upper], [right, right_upper]) = (simd.halves(left), simd.halves(right));
                halves.extend([[left, right], [left_upper, right_upper]]);
            }
            let (halves, _) = halves.as_chunks::<HALVES>();
            let first = number * linear.width;
            let filled = linear.width.min(outputs - first);
            for (rows, out) in rows.blocks.chunks(ROWS * rows.blocks_a_row).zip(out.chunks_mut(ROWS * outputs)) {
                let blocks_a_row = factors.len();
                let last = rows.len() / blocks_a_row - 1;
                // Where fewer rows are left, the last is multiplied again in the place of those that are not there.
                let row = |at: usize| &rows[at.min(last) * blocks_a_row..][..blocks_a_row];
                let sums = multiply_block(simd, [row(0), row(1), row(2), row(3)], halves, &factors);
                for (out, sums) in out.chunks_exact_mut(outputs).zip(&sums) {
                    let sums: &[f32] = bytemuck::cast_slice(sums);
                    for (out, sum) in out[first..first + filled].iter_mut().zip(sums) {
                        *out += sum;
                    }
                }
            }
        }
    }
}

/// What lies in memory, wherever that is, as it is taken into the registers of a panel's width.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn registers<T: Pod>(bytes: &[u8]) -> impl Iterator<Item = [T; REGISTERS]> {
    bytes.chunks_exact(size_of::<[T; REGISTERS]>()).map(bytemuck::pod_read_unaligned)
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn multiply_block<R: Registers>(
    simd: R,
    rows: [&[Block]; ROWS],
    halves: &[[[R::Whole; REGISTERS]; HALVES]],
    scales: &[[R::Single; REGISTERS]],
) -> [[R::Single; REGISTERS]; ROWS] {
    let mut sums = [[simd.splat(0.0); REGISTERS]; ROWS];
    // All slices have one length, and the compiler is told so: then no access has to be checked.
    let blocks = scales.len();
    let halves = &halves[..blocks];
    let [first, second, third, fourth] = rows.map(|row| &row[..blocks]);
    for i in 0..blocks {
        let rows = [&first[i], &second[i], &third[i], &fourth[i]];
        let mut products = rows.map(|row| [simd.begin(row.correction); REGISTERS]);
        for (at, [left, right]) in halves[i].iter().enumerate() {
            for (products, row) in products.iter_mut().zip(rows) {
                let numbers = simd.splat_word(row.words[at]);
                products[0] = simd.add_products(products[0], *left, numbers);
                products[1] = simd.add_products(products[1], *right, numbers);
            }
        }
        for ((sums, products), row) in sums.iter_mut().zip(products).zip(rows) {
            let scale = simd.splat(row.scale);
            for register in 0..REGISTERS {
                let product = simd.total(products[register], row.correction);
                sums[register] = simd.multiply_add(product, simd.multiply(scale, scales[i][register]), sums[register]);
            }
        }
    }
    sums
}

/// What a processor does with its registers.
pub trait Registers: Copy {
    /// Whole numbers of some size: bytes, 16 bits, or words of 32.
    type Whole: Pod;
    /// As many numbers of single precision as `Whole` has words.
    type Single: Pod;

    fn splat_word(self, word: i32) -> Self::Whole;
    /// The lower half of each byte, and the upper half.
    fn halves(self, bytes: Self::Whole) -> [Self::Whole; 2];
    /// Adds the products of bytes without a sign and with one to sums: two by two of 16 bits, or four by four of 32.
    fn add_products(self, sums: Self::Whole, weights: Self::Whole, numbers: Self::Whole) -> Self::Whole;
    /// Sums without products, to which their correction was added if there is room for it.
    fn begin(self, correction: i32) -> Self::Whole;
    /// What the sums of every four bytes' products come to, corrected.
    fn total(self, sums: Self::Whole, correction: i32) -> Self::Single;
    fn splat(self, number: f32) -> Self::Single;
    fn multiply(self, a: Self::Single, b: Self::Single) -> Self::Single;
    /// `a · b + c`
    fn multiply_add(self, a: Self::Single, b: Self::Single, c: Self::Single) -> Self::Single;
}

/// In every 16 bits 1, and in every byte its lower half.
const ONES: i32 = 0x0001_0001;
const LOWER_HALVES: i32 = 0x0f0f_0f0f;

pulp::simd_type! {
    /// What [`V4`] has of it, and an instruction for bytes that adds up four products at once.
    pub struct Vnni {
        pub avx512f: "avx512f",
        pub avx512bw: "avx512bw",
        pub avx512vnni: "avx512vnni",
    }
}

/// All but the multiplication of bytes, which newer processors with registers of 512 bits do in one step.
macro_rules! registers_of_512_bits {
    () => {
        type Whole = __m512i;
        type Single = __m512;

        #[inline(always)]
        fn splat_word(self, word: i32) -> __m512i {
            self.avx512f._mm512_set1_epi32(word)
        }

        #[inline(always)]
        fn halves(self, bytes: __m512i) -> [__m512i; 2] {
            let lower = self.splat_word(LOWER_HALVES);
            let shifted = self.avx512bw._mm512_srli_epi16::<4>(bytes);
            [self.avx512f._mm512_and_si512(bytes, lower), self.avx512f._mm512_and_si512(shifted, lower)]
        }

        #[inline(always)]
        fn splat(self, number: f32) -> __m512 {
            self.avx512f._mm512_set1_ps(number)
        }

        #[inline(always)]
        fn multiply(self, a: __m512, b: __m512) -> __m512 {
            self.avx512f._mm512_mul_ps(a, b)
        }

        #[inline(always)]
        fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            self.avx512f._mm512_fmadd_ps(a, b, c)
        }
    };
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl Registers for Vnni {
    registers_of_512_bits!();

    #[expect(unsafe_code, reason = "pulp has the processor's feature, but not yet this instruction of it")]
    #[inline(always)]
    fn add_products(self, sums: __m512i, weights: __m512i, numbers: __m512i) -> __m512i {
        // SAFETY: it needs the feature of `self.avx512vnni`, of which there is no value on a processor without it.
        unsafe { std::arch::x86_64::_mm512_dpbusd_epi32(sums, weights, numbers) }
    }

    #[inline(always)]
    fn begin(self, correction: i32) -> __m512i {
        self.splat_word(correction)
    }

    #[inline(always)]
    fn total(self, sums: __m512i, _: i32) -> __m512 {
        self.avx512f._mm512_cvtepi32_ps(sums)
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl Registers for V4 {
    registers_of_512_bits!();

    #[inline(always)]
    fn add_products(self, sums: __m512i, weights: __m512i, numbers: __m512i) -> __m512i {
        self.avx512bw._mm512_add_epi16(sums, self.avx512bw._mm512_maddubs_epi16(weights, numbers))
    }

    #[inline(always)]
    fn begin(self, _: i32) -> __m512i {
        self.splat_word(0)
    }

    #[inline(always)]
    fn total(self, sums: __m512i, correction: i32) -> __m512 {
        let words = self.avx512bw._mm512_madd_epi16(sums, self.splat_word(ONES));
        self.avx512f._mm512_cvtepi32_ps(self.avx512f._mm512_add_epi32(words, self.splat_word(correction)))
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl Registers for V3 {
    type Whole = __m256i;
    type Single = __m256;

    #[inline(always)]
    fn splat_word(self, word: i32) -> __m256i {
        self.avx._mm256_set1_epi32(word)
    }

    #[inline(always)]
    fn halves(self, bytes: __m256i) -> [__m256i; 2] {
        let lower = self.splat_word(LOWER_HALVES);
        let shifted = self.avx2._mm256_srli_epi16::<4>(bytes);
        [self.avx2._mm256_and_si256(bytes, lower), self.avx2._mm256_and_si256(shifted, lower)]
    }

    #[inline(always)]
    fn add_products(self, sums: __m256i, weights: __m256i, numbers: __m256i) -> __m256i {
        self.avx2._mm256_add_epi16(sums, self.avx2._mm256_maddubs_epi16(weights, numbers))
    }

    #[inline(always)]
    fn begin(self, _: i32) -> __m256i {
        self.splat_word(0)
    }

    #[inline(always)]
    fn total(self, sums: __m256i, correction: i32) -> __m256 {
        let words = self.avx2._mm256_madd_epi16(sums, self.splat_word(ONES));
        self.avx._mm256_cvtepi32_ps(self.avx2._mm256_add_epi32(words, self.splat_word(correction)))
    }

    #[inline(always)]
    fn splat(self, number: f32) -> __m256 {
        self.avx._mm256_set1_ps(number)
    }

    #[inline(always)]
    fn multiply(self, a: __m256, b: __m256) -> __m256 {
        self.avx._mm256_mul_ps(a, b)
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.fma._mm256_fmadd_ps(a, b, c)
    }
}
