//! Owns what the model does to numbers between its multiplications: one by one, and row by row. All of it is written so
//! that the compiler takes as many of them at a time as the processor can.

use pulp::{Arch, Simd, WithSimd, bytemuck};

use crate::exponential::exponential;

/// So many sums at a time are independent of each other; the compiler may not change an order by itself.
pub const LANES: usize = 16;

/// x · Φ(x), the model's curve between its two linear maps, in the place of each x.
pub fn gelu(arch: Arch, numbers: &mut [f32]) {
    arch.dispatch(Gelu(numbers));
}

/// Each row's shares of its whole, in proportion to e to the power of its numbers. `count` numbers a row; fastest with a
/// multiple of [`LANES`].
pub fn softmax(arch: Arch, rows: &mut [f32], count: usize) {
    arch.dispatch(Softmax { rows, count });
}

/// Brings each row's numbers to mean 0 and variance 1, then to a trained scale, which has one factor and one shift for
/// each number of a row.
pub fn normalise(arch: Arch, rows: &mut [f32], factors: &[f32], shifts: &[f32], epsilon: f32) {
    arch.dispatch(Normalise { rows, factors, shifts, epsilon });
}

struct Gelu<'a>(&'a mut [f32]);

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (whole, rest) = S::as_mut_simd_f32s(self.0);
        for x in whole {
            *x = weighed(simd, *x);
        }
        for x in rest {
            *x = bytemuck::cast_slice(&[weighed(simd, simd.splat_f32s(*x))])[0];
        }
    }
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    count: usize,
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.count) {
            let highest = highest_of(row);
            for x in &mut *row {
                *x = exponential(*x - highest);
            }
            let factor = 1.0 / sum_of(row, |x| x);
            for x in row {
                *x *= factor;
            }
        }
    }
}

struct Normalise<'a> {
    rows: &'a mut [f32],
    factors: &'a [f32],
    shifts: &'a [f32],
    epsilon: f32,
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.factors.len();
        for row in self.rows.chunks_exact_mut(width) {
            let mean = sum_of(row, |x| x) / width as f32;
            let variance = sum_of(row, |x| (x - mean) * (x - mean)) / width as f32;
            let factor = 1.0 / (variance + self.epsilon).sqrt();
            for ((x, scale), shift) in row.iter_mut().zip(self.factors).zip(self.shifts) {
                *x = (*x - mean) * factor * scale + shift;
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn sum_of(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (parts, rest) = row.as_chunks::<LANES>();
    for part in parts {
        for (sum, &x) in sums.iter_mut().zip(part) {
            *sum += of(x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| of(x)).sum::<f32>()
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn highest_of(row: &[f32]) -> f32 {
    let higher = |a: f32, b: f32| if b > a { b } else { a };
    let mut highest = [f32::NEG_INFINITY; LANES];
    let (parts, rest) = row.as_chunks::<LANES>();
    for part in parts {
        for (highest, &x) in highest.iter_mut().zip(part) {
            *highest = higher(*highest, x);
        }
    }
    highest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| higher(a, b))
}

/// From here on all of a normal distribution lies below, to within 0.000 006.
const FAR: f32 = 4.4;
/// (Φ(x) - 1/2) / x as a polynomial of x², from the highest power down, for x up to [`FAR`]: fitted so that the largest
/// error of x · Φ(x) is smallest, which is 0.000 05. That is less than what rounding to 14 bits takes from rows whose
/// largest number is 1 or more.
const FACTORS: [f32; 9] = [
    3.572_621_5e-11,
    -3.756_624e-9,
    1.741_706_4e-7,
    -4.726_399_9e-6,
    8.430_875e-5,
    -0.001_055_085_9,
    0.009_643_331,
    -0.066_076_901,
    0.398_761_86,
];

/// x · Φ(x) = x / 2 + |x| · |Φ(x) - 1/2|
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
#[inline(always)]
fn weighed<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let half = simd.splat_f32s(0.5);
    let size = simd.abs_f32s(x);
    let square = simd.mul_f32s(x, x);
    let mut sum = simd.splat_f32s(0.0);
    for factor in FACTORS {
        sum = simd.mul_add_e_f32s(sum, square, simd.splat_f32s(factor));
    }
    let is_near = simd.less_than_f32s(size, simd.splat_f32s(FAR));
    let beside_half = simd.select_f32s(is_near, simd.mul_f32s(size, sum), half);
    simd.mul_add_e_f32s(size, beside_half, simd.mul_f32s(x, half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_what_the_distribution_says() {
        let known = [(0.0, 0.0), (1.0, 0.841_345), (-1.0, -0.158_655), (2.5, 2.484_476), (-0.3, -0.114_627)];
        // More than a register takes at once, so that what is left over is computed as well.
        let known: Vec<(f32, f32)> = known.into_iter().cycle().take(19).collect();
        let mut found: Vec<f32> = known.iter().map(|(x, _)| *x).collect();
        gelu(Arch::new(), &mut found);
        for ((x, wanted), found) in known.into_iter().zip(found) {
            assert!((found - wanted).abs() < 5e-5, "{x}: {found}");
        }
        let mut far = [1e9, -1e9, f32::NAN];
        gelu(Arch::new(), &mut far);
        assert!(far[0] >= 1e9 && far[1].abs() < 1e-6 && far[2].is_nan(), "{far:?}");
    }

    #[test]
    fn shares_are_one_together_and_rows_of_mean_nothing_and_variance_one() {
        for count in [1, 7, 16, 50] {
            let numbers: Vec<f32> = (0..3 * count).map(|at| (at * 37 % 101) as f32 / 10.0 - 5.0).collect();
            let mut shares = numbers.clone();
            softmax(Arch::new(), &mut shares, count);
            for (shares, numbers) in shares.chunks(count).zip(numbers.chunks(count)) {
                assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                let ratio = (numbers[count - 1] - numbers[0]).exp();
                assert!((shares[count - 1] / shares[0] / ratio - 1.0).abs() < 1e-4);
            }
        }
        for width in [7, 32, 50] {
            let mut rows: Vec<f32> = (0..2 * width).map(|at| (at * 37 % 101) as f32 / 10.0).collect();
            normalise(Arch::new(), &mut rows, &vec![2.0; width], &vec![3.0; width], 1e-12);
            for row in rows.chunks(width) {
                let mean = row.iter().sum::<f32>() / width as f32;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / width as f32;
                assert!((mean - 3.0).abs() < 1e-4 && (variance - 4.0).abs() < 1e-3, "{mean}, {variance}");
            }
        }
    }
}
