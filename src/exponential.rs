//! Owns e to the power of many numbers: written so that the compiler takes as many of them at a time as the processor
//! can, which the standard library's, one call a number, does not allow.

use pulp::{Arch, Simd, WithSimd};

/// Further below, e to the power of a number is next to nothing.
const EXPONENT_MIN: f32 = -87.0;
/// So large that neighbouring numbers are 1 apart, on either side: a sum with it ends, in its bits, in what is nearest.
pub const SIZE: f32 = 12_582_912.0;
/// Bits of a number of single precision before those of its power of 2.
const FRACTION_BITS: u32 = 23;
/// So many sums at a time are independent of each other; the compiler may not change an order by itself.
const LANES: usize = 16;

/// e to the power of a number that is not positive, to within five digits: a power of 2, whose whole part is put where a
/// number has it and whose rest is a series.
#[inline(always)]
pub fn exponential(x: f32) -> f32 {
    /// The powers of ln 2, each divided by its factorial.
    const SERIES: [f32; 7] =
        [1.540_353e-4, 1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, std::f32::consts::LN_2, 1.0];
    let x = if x > EXPONENT_MIN { x } else { EXPONENT_MIN };
    let power = x * std::f32::consts::LOG2_E;
    let whole = power + SIZE;
    let rest = power - (whole - SIZE);
    let mut sum = 0.0;
    for term in SERIES {
        sum = sum * rest + term;
    }
    f32::from_bits(sum.to_bits().wrapping_add(whole.to_bits() << FRACTION_BITS))
}

/// Sum of e to the power of each number's distance below `highest`, which none of them exceeds; to within five digits.
pub fn sum_of_exponentials(arch: Arch, numbers: &[f32], highest: f32) -> f32 {
    arch.dispatch(SumOfExponentials { numbers, highest })
}

struct SumOfExponentials<'a> {
    numbers: &'a [f32],
    highest: f32,
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl WithSimd for SumOfExponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let (rows, rest) = self.numbers.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for row in rows {
            for (sum, number) in sums.iter_mut().zip(row) {
                *sum += exponential(number - self.highest);
            }
        }
        sums.iter().sum::<f32>() + rest.iter().map(|number| exponential(number - self.highest)).sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_right_to_five_digits() {
        for step in 0..8600 {
            let x = -0.01 * step as f32;
            let (found, wanted) = (exponential(x), f64::from(x).exp());
            assert!((f64::from(found) / wanted - 1.0).abs() < 1e-5, "{x}: {found} is not {wanted}");
        }
        assert!(exponential(-1e30) < 1e-37 && exponential(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn a_sum_is_that_of_all_powers_however_many_there_are() {
        for count in [0, 1, 15, 16, 100, 999] {
            let numbers: Vec<f32> = (0..count).map(|at| 3.0 - 0.01 * (at * 37 % 1000) as f32).collect();
            let wanted: f64 = numbers.iter().map(|&number| f64::from(number - 3.0).exp()).sum();
            let found = sum_of_exponentials(Arch::new(), &numbers, 3.0);
            assert!((f64::from(found) - wanted).abs() <= 1e-5 * wanted, "{count}: {found} is not {wanted}");
        }
    }
}
