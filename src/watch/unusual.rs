//! Owns the arithmetic of "unusual": how probable so many notes are where so many are expected.
//!
//! Counts are taken as negative binomial with a given mean and variance: a Poisson count whose rate is itself not known
//! exactly, which is how calls come in. The threshold on its upper tail is the method of Noufaily, Enki, Farrington,
//! Garthwaite, Andrews and Charlett, "An improved algorithm for outbreak detection in multiple surveillance systems",
//! Statistics in Medicine 32 (2013).

/// The probability of `count` or more.
#[must_use]
pub(super) fn tail(count: u32, mean: f64, variance: f64) -> f64 {
    if count == 0 {
        return 1.0;
    }
    let mean = mean.max(1e-9);
    let k = f64::from(count);
    // Terms are summed from `count` upwards, each from the one before; below the mean the sum is over what is missing.
    let excess = variance - mean;
    let (first, ratio): (f64, Box<dyn Fn(f64) -> f64>) = if excess <= 1e-6 * mean {
        (k * mean.ln() - mean - ln_gamma(k + 1.0), Box::new(move |n| mean / (n + 1.0)))
    } else {
        let size = mean * mean / excess;
        let p = mean / (mean + size);
        let log = ln_gamma(k + size) - ln_gamma(size) - ln_gamma(k + 1.0) - size * (mean / size).ln_1p() + k * p.ln();
        (log, Box::new(move |n| p * (n + size) / (n + 1.0)))
    };
    let (mut term, mut sum, mut n) = (first.exp(), 0.0, k);
    // Beyond the mean terms fall at least geometrically; before it there are as many as it takes to get there.
    for _ in 0..TERMS_MAX {
        sum += term;
        let ratio = ratio(n);
        if ratio < 1.0 && term * ratio / (1.0 - ratio) < 1e-4 * sum {
            break;
        }
        term *= ratio;
        n += 1.0;
    }
    sum.min(1.0)
}

/// Bounds the work for counts far below a very large mean, which are not unusual anyway.
const TERMS_MAX: usize = 100_000;

/// Stirling's series, shifted to where it is accurate.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let series = inverse / 12.0 - inverse.powi(3) / 360.0 + inverse.powi(5) / 1260.0;
    shift + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, wanted: f64) {
        assert!((value / wanted - 1.0).abs() < 1e-3, "{value} is not {wanted}");
    }

    #[test]
    fn the_tail_of_a_poisson_count_is_that_of_the_tables() {
        close(tail(1, 1.0, 1.0), 1.0 - (-1.0_f64).exp());
        close(tail(5, 2.0, 2.0), 0.052_653);
        close(tail(20, 4.0, 4.0), 1.0201e-8);
    }

    #[test]
    fn a_wider_count_has_a_fatter_tail() {
        // With size 1 it is geometric: P(X ≥ k) = (m / (m + 1))^k.
        close(tail(7, 3.0, 12.0), 0.75_f64.powi(7));
        assert!(tail(20, 4.0, 8.0) > 100.0 * tail(20, 4.0, 4.0));
        assert!((tail(0, 4.0, 8.0) - 1.0).abs() < 1e-12);
        assert!(tail(3, 1000.0, 2000.0) <= 1.0);
    }

    #[test]
    fn factorials_have_their_logarithms() {
        close(ln_gamma(6.0), 120.0_f64.ln());
        close(ln_gamma(0.5), 0.5 * std::f64::consts::PI.ln());
    }
}
