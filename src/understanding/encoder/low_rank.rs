//! Owns what was learnt beside the weights of four bits: to some linear maps, a second one that goes through a few numbers
//! only and is added to it (LoRA: Hu et al., 2021). Single precision: it is small enough.

use pulp::Arch;

use super::matrix::Panels;

#[derive(Debug)]
pub struct LowRank {
    rank: usize,
    down: Panels,
    up: Panels,
}

impl LowRank {
    /// `down` has one row of `inputs` numbers for each of the few, `up` one row of as many as these are an output. None if
    /// the sizes do not fit.
    pub fn new(arch: Arch, down: &[f32], up: &[f32], inputs: usize, outputs: usize) -> Option<Self> {
        let rank = down.len() / inputs;
        if rank == 0 || down.len() != rank * inputs || up.len() != rank * outputs {
            return None;
        }
        let panels = |numbers: &[f32], inputs: usize, outputs: usize| {
            let mut panels = Panels::zero(arch, inputs, outputs);
            for (output, row) in numbers.chunks_exact(inputs).enumerate() {
                panels.set_output(output, row.iter().copied());
            }
            panels
        };
        Some(Self { rank, down: panels(down, inputs, rank), up: panels(up, rank, outputs) })
    }

    /// Adds what it makes of `rows`, `count` of them, to `out`.
    pub fn add(&self, rows: &[f32], count: usize, out: &mut [f32]) {
        let mut few = vec![0.0; count * self.rank];
        self.down.multiply(rows, &mut few);
        self.up.multiply(&few, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_adds_the_product_of_both_maps() {
        let (down, up) = ([1.0, 2.0, 0.0, 0.0, -1.0, 3.0], [1.0, 0.0, 0.5, 2.0, 0.0, 1.0, -1.0, 1.0]);
        let low_rank = LowRank::new(Arch::new(), &down, &up, 3, 4).unwrap();
        let mut out = [10.0; 8];
        low_rank.add(&[1.0, 1.0, 1.0, 2.0, 0.0, -1.0], 2, &mut out);
        // The few are 3 and 2, then 2 and -3.
        assert_eq!(out.map(f32::to_bits), [13.0_f32, 15.5, 12.0, 9.0, 12.0, 5.0, 7.0, 5.0].map(f32::to_bits));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        for (down, up) in [(0, 0), (4, 4), (3, 3), (3, 8)] {
            assert!(LowRank::new(Arch::new(), &vec![0.0; down], &vec![0.0; up], 3, 4).is_none(), "{down} {up}");
        }
    }
}
