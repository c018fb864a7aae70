//! Owns how far texts that mean the same lie apart, by direction: learnt from the examples of all classes together.
//!
//! Where the examples of each class differ among themselves, a difference says little. Seen through this, such
//! directions are short and the others long. Knows vectors, not where they come from.

/// How much of the spread is taken for the same in every direction; a few hundred examples know only the rest.
const EVEN_SHARE: f32 = 0.8;

/// The lower triangle `L` of a matrix of spreads `L·Lᵀ`, row by row.
#[derive(Debug)]
pub struct Spread {
    rows: Vec<Vec<f32>>,
}

impl Spread {
    /// Learns from vectors of `size` numbers and their classes; a vector of another length is passed over.
    #[must_use]
    pub fn learn(vectors: &[Vec<f32>], labels: &[usize], classes: usize, size: usize) -> Self {
        let samples = || vectors.iter().zip(labels).filter(|(vector, _)| vector.len() == size);
        let mut means = vec![vec![0.0; size]; classes];
        let mut counts = vec![0_usize; classes];
        for (vector, &label) in samples() {
            means[label].iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            counts[label] += 1;
        }
        for (mean, &count) in means.iter_mut().zip(&counts) {
            for sum in mean {
                *sum /= count.max(1) as f32;
            }
        }
        let mut rows: Vec<Vec<f32>> = (1..=size).map(|length| vec![0.0; length]).collect();
        for (vector, &label) in samples() {
            let apart: Vec<f32> = vector.iter().zip(&means[label]).map(|(value, mean)| value - mean).collect();
            for (row, &factor) in rows.iter_mut().zip(&apart) {
                row.iter_mut().zip(&apart).for_each(|(sum, value)| *sum += factor * value);
            }
        }
        let trace: f32 = rows.iter().filter_map(|row| row.last()).sum();
        let even = trace / size.max(1) as f32;
        if !even.is_normal() {
            return Self::none(size);
        }
        for row in &mut rows {
            for sum in row.iter_mut() {
                *sum *= (1.0 - EVEN_SHARE) / even;
            }
            if let Some(own) = row.last_mut() {
                *own += EVEN_SHARE;
            }
        }
        factorise(&mut rows);
        Self { rows }
    }

    /// The same in every direction.
    fn none(size: usize) -> Self {
        let row = |at: usize| (0..=at).map(|column| if column == at { 1.0 } else { 0.0 }).collect();
        Self { rows: (0..size).map(row).collect() }
    }

    /// The vector in units of the spread, `L⁻¹·vector`: inner products of two such are those of the vectors, less where
    /// the spread is large.
    #[must_use]
    pub fn levelled(&self, vector: &[f32]) -> Vec<f32> {
        let mut levelled: Vec<f32> = Vec::with_capacity(vector.len());
        for (row, value) in self.rows.iter().zip(vector) {
            let known: f32 = row.iter().zip(&levelled).map(|(factor, value)| factor * value).sum();
            levelled.push((value - known) / row[levelled.len()]);
        }
        levelled
    }
}

/// Cholesky's factorisation, in place. The even share keeps the matrix far from singular.
fn factorise(rows: &mut [Vec<f32>]) {
    for at in 0..rows.len() {
        let (above, rest) = rows.split_at_mut(at);
        let Some(row) = rest.first_mut() else { break };
        for (column, other) in above.iter().enumerate() {
            let known: f32 = row[..column].iter().zip(other).map(|(a, b)| a * b).sum();
            row[column] = (row[column] - known) / other[column];
        }
        let squares: f32 = row[..at].iter().map(|value| value * value).sum();
        row[at] = (row[at] - squares).max(f32::EPSILON).sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(vector: &[f32]) -> f32 {
        vector.iter().map(|value| value * value).sum::<f32>().sqrt()
    }

    #[test]
    fn what_differs_within_a_class_counts_less() {
        // Both classes spread along the first direction; the second tells them apart.
        let vectors = [[-1.0, 0.0], [1.0, 0.1], [-1.0, 1.0], [1.0, 0.9]].map(Vec::from);
        let spread = Spread::learn(&vectors, &[0, 0, 1, 1], 2, 2);
        let (noise, signal) = (length(&spread.levelled(&[1.0, 0.0])), length(&spread.levelled(&[0.0, 1.0])));
        assert!(noise < 0.95 && signal > 1.05, "{noise} {signal}");
    }

    #[test]
    fn the_triangle_times_itself_is_the_matrix() {
        let mut rows = vec![vec![4.0], vec![2.0, 5.0], vec![1.0, 3.0, 6.0]];
        let wanted = rows.clone();
        factorise(&mut rows);
        for (i, row) in wanted.iter().enumerate() {
            for (j, &wanted) in row.iter().enumerate() {
                let found: f32 = rows[i].iter().zip(&rows[j]).map(|(a, b)| a * b).sum();
                assert!((found - wanted).abs() < 1e-5, "{i} {j}: {found}");
            }
        }
    }

    #[test]
    fn one_example_a_class_or_none_shows_no_spread() {
        for vectors in [vec![vec![0.6, 0.8]], Vec::new()] {
            let spread = Spread::learn(&vectors, &[0], 1, 2);
            assert_eq!(spread.levelled(&[0.6, 0.8]), [0.6, 0.8]);
        }
    }
}
