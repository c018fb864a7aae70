//! Owns the times of words: where the decoder looked in the audio for each token, brought into one order in time.
//!
//! Some of the decoder's heads look at the very sound whose word comes next. Their weights, normalised and smoothed, make
//! a map of tokens over time, through which the cheapest way leads from the first token to the last (dynamic time
//! warping). It takes one more decoder pass over all tokens at once.

use std::ops::Range;

use super::{raw::Attention, rules::TIMES_PER_S};

/// Weights are smoothed over so many positions.
const SMOOTHED: usize = 7;

/// When each token is spoken, in seconds from the start of the window: from one start to the next.
///
/// `rows`: those of the attention that lead to the tokens, and one more that leads to what follows the last; a token's
/// row is that of the token before it. No time lies behind `duration_s`.
pub fn times(attention: &Attention, rows: Range<usize>, duration_s: f64) -> Vec<(f64, f64)> {
    let positions = attention.positions.min((duration_s * TIMES_PER_S).ceil() as usize);
    if rows.is_empty() || positions == 0 || rows.end > attention.tokens {
        return vec![];
    }
    let map = map(attention, &rows, positions);
    let starts: Vec<f64> =
        starts(&map, rows.len(), positions).into_iter().map(|at| (at as f64 / TIMES_PER_S).min(duration_s)).collect();
    starts.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// How little each row has to do with each position: the lower the nearer. Row by row.
fn map(attention: &Attention, rows: &Range<usize>, positions: usize) -> Vec<f32> {
    let Attention { weights, positions: window, tokens } = attention;
    let mut map = vec![0.0; rows.len() * positions];
    let mut normal = vec![0.0_f32; tokens * positions];
    let mut sorted = [0.0_f32; SMOOTHED];
    for head in weights.chunks_exact(window * tokens) {
        for (position, weights) in head.chunks_exact(*tokens).take(positions).enumerate() {
            let mean = weights.iter().sum::<f32>() / weights.len() as f32;
            let variance = weights.iter().map(|w| (w - mean).powi(2)).sum::<f32>() / weights.len() as f32;
            let scale = 1.0 / (variance + 1e-9).sqrt();
            for (token, weight) in weights.iter().enumerate() {
                normal[token * positions + position] = (weight - mean) * scale;
            }
        }
        for (row, token) in rows.clone().enumerate() {
            let line = &normal[token * positions..(token + 1) * positions];
            for position in 0..positions {
                for (offset, value) in sorted.iter_mut().enumerate() {
                    // At the edges the line is reflected.
                    let at = (position + offset).abs_diff(SMOOTHED / 2);
                    *value = line[if at < positions { at } else { (2 * positions - 2).saturating_sub(at) }];
                }
                sorted.sort_by(f32::total_cmp);
                map[row * positions + position] -= sorted[SMOOTHED / 2];
            }
        }
    }
    map
}

/// The position at which each row begins on the cheapest way from the first row and position to the last of both, in
/// steps to the next row, the next position, or both.
fn starts(map: &[f32], rows: usize, positions: usize) -> Vec<usize> {
    let at = |row: usize, position: usize| row * positions + position;
    let mut costs = vec![f32::INFINITY; rows * positions];
    for row in 0..rows {
        for position in 0..positions {
            let before = |row: Option<usize>, position: Option<usize>| {
                row.zip(position).map_or(f32::INFINITY, |(row, position)| costs[at(row, position)])
            };
            let (last_row, last) = (row.checked_sub(1), position.checked_sub(1));
            let cheapest = before(last_row, last).min(before(last_row, Some(position))).min(before(Some(row), last));
            let cheapest = if row + position == 0 { 0.0 } else { cheapest };
            costs[at(row, position)] = cheapest + map[at(row, position)];
        }
    }
    let mut starts = vec![0; rows];
    let (mut row, mut position) = (rows - 1, positions - 1);
    while row + position > 0 {
        starts[row] = position;
        let cost = |r: usize, p: usize| costs[at(r, p)];
        (row, position) = match (row, position) {
            (0, p) => (0, p - 1),
            (r, 0) => (r - 1, 0),
            (r, p) => {
                let (both, up, left) = (cost(r - 1, p - 1), cost(r - 1, p), cost(r, p - 1));
                if both <= up && both <= left {
                    (r - 1, p - 1)
                } else if up <= left {
                    (r - 1, p)
                } else {
                    (r, p - 1)
                }
            }
        };
    }
    starts[0] = 0;
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One head that looks at `spans`, a token each, of a window of so many positions.
    fn looking_at(spans: &[Range<usize>], positions: usize) -> Attention {
        let mut weights = vec![0.01; positions * spans.len()];
        for (token, span) in spans.iter().enumerate() {
            for position in span.clone() {
                weights[position * spans.len() + token] = 1.0;
            }
        }
        Attention { weights, positions, tokens: spans.len() }
    }

    #[test]
    fn words_begin_where_the_decoder_begins_to_look_at_them() {
        // A prompt of one token, two words, and what follows them.
        let attention = looking_at(&[0..1, 0..50, 50..80, 80..100], 120);
        let found = times(&attention, 1..4, 2.0);
        let expected = [(0.0, 1.0), (1.0, 1.6)];
        assert_eq!(found.len(), 2);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.0 - expected.0).abs() < 0.1 && (found.1 - expected.1).abs() < 0.1, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn times_run_forward_and_none_lies_behind_the_end() {
        let attention = looking_at(&[0..1, 90..100, 10..20, 0..10], 100);
        let found = times(&attention, 0..4, 1.0);
        assert!(found.iter().all(|(start_s, end_s)| start_s <= end_s && *end_s <= 1.0), "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{found:?}");
    }

    #[test]
    fn of_nothing_there_are_no_times() {
        let nothing = || Attention { weights: vec![1.0; 10], positions: 10, tokens: 1 };
        assert_eq!(times(&nothing(), 0..0, 1.0), []);
        assert_eq!(times(&nothing(), 0..1, 0.0), []);
        assert_eq!(times(&nothing(), 0..3, 1.0), []);
    }
}
