//! Numbers that look random and are the same for the same seed, so that a run can be repeated.

use std::{ops::Range, time::Duration};

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of this run: from `SPRACHPOST_CHAOS_SEED`, or always the same. Printed, so that it can be used again.
    pub fn of_this_run(what: &str) -> Self {
        let given = std::env::var("SPRACHPOST_CHAOS_SEED").ok();
        let seed = given.map_or(20_261_122, |text| text.parse().expect("SPRACHPOST_CHAOS_SEED is a whole number"));
        eprintln!("{what}: SPRACHPOST_CHAOS_SEED={seed}");
        Self::seeded(seed)
    }

    /// Another sequence that depends on this one, for somebody who draws at times of their own.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn between(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub fn duration(&mut self, milliseconds: Range<u64>) -> Duration {
        Duration::from_millis(self.between(milliseconds))
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
