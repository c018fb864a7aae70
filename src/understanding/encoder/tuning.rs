//! Owns what the program adds to the model's file: the encoder was trained to find documents, and is tuned to tell apart
//! what customers want. Its biases and the scales behind its layers are other numbers than in the file, and a map that
//! goes through a few numbers only is added to each of its matrices.
//!
//! The methods are BitFit (Ben Zaken, Ravfogel and Goldberg, 2022) and LoRA (Hu et al., 2021) with a supervised contrastive
//! loss (Khosla et al., 2020) on public sets of labelled requests, none of which the benchmark measures;
//! `models/tune-encoder` is the command, and names the sets and their licences.
//!
//! `tuning.bin` says which file it belongs to. Another model is left as it is.

use std::collections::HashMap;

use half::f16;
use sha2::{Digest as _, Sha256};

/// What comes with the program.
pub const TUNING: &[u8] = include_bytes!("tuning.bin");
/// Then the SHA-256 of the model's file; then tensors: length of the name (one byte), name, how many numbers (four
/// bytes), and the numbers (16 bits each): by how much those of the file's tensor of that name are larger, or, where a
/// linear map's name is followed by `.down` or `.up`, the two halves of what is added to it, output by output. All
/// little-endian.
const MAGIC: &[u8; 4] = b"E5T1";

/// Numbers by name.
#[derive(Debug, Default)]
pub struct Tuning {
    learnt: HashMap<String, Vec<f32>>,
    /// Of these bytes and the model's file.
    hash: Option<[u8; 32]>,
}

impl Tuning {
    /// What `bytes` say of the model whose file has the hash `model`: nothing if they speak of another, or are damaged.
    pub fn of(bytes: &[u8], model: [u8; 32]) -> Self {
        let learnt = bytes.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&model)).and_then(parse);
        let hash = learnt.is_some().then(|| Sha256::new().chain_update(model).chain_update(bytes).finalize().into());
        Self { learnt: learnt.unwrap_or_default(), hash }
    }

    /// Of the tuned model; None where nothing is tuned.
    pub fn hash(&self) -> Option<[u8; 32]> {
        self.hash
    }

    /// Tunes the numbers of one tensor. False if it has another size than was tuned.
    #[must_use]
    pub fn apply(&self, name: &str, numbers: &mut [f32]) -> bool {
        let Some(differences) = self.learnt.get(name) else { return true };
        numbers.iter_mut().zip(differences).for_each(|(number, difference)| *number += difference);
        numbers.len() == differences.len()
    }

    /// Adds to the weights of a linear map, one row of `inputs` an output, those of the map that was learnt beside it. False
    /// if that one has other sizes.
    #[must_use]
    pub fn add_map(&self, name: &str, weights: &mut [f32], inputs: usize) -> bool {
        let part = |part: &str| self.learnt.get(&format!("{name}.{part}")).map(Vec::as_slice);
        let (down, up) = match (part("down"), part("up")) {
            (Some(down), Some(up)) => (down, up),
            (down, up) => return down.is_none() && up.is_none(),
        };
        let (outputs, rank) = (weights.len() / inputs, down.len() / inputs);
        if rank == 0 || down.len() != rank * inputs || up.len() != rank * outputs {
            return false;
        }
        for (weights, up) in weights.chunks_exact_mut(inputs).zip(up.chunks_exact(rank)) {
            for (down, up) in down.chunks_exact(inputs).zip(up) {
                weights.iter_mut().zip(down).for_each(|(weight, down)| *weight += up * down);
            }
        }
        true
    }
}

fn parse(mut bytes: &[u8]) -> Option<HashMap<String, Vec<f32>>> {
    let mut learnt = HashMap::new();
    while !bytes.is_empty() {
        let (&length, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(length.into())?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(2)?;
        let (numbers, rest) = rest.split_at_checked(size)?;
        let numbers = numbers.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect();
        learnt.insert(std::str::from_utf8(name).ok()?.to_owned(), numbers);
        bytes = rest;
    }
    Some(learnt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: [u8; 32] = [7; 32];

    fn tuning(numbers: &[f32]) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &MODEL, &[3], b"l.b"].concat();
        bytes.extend((numbers.len() as u32).to_le_bytes());
        bytes.extend(numbers.iter().flat_map(|&number| f16::from_f32(number).to_le_bytes()));
        bytes
    }

    #[test]
    fn numbers_become_larger_by_what_was_learnt() {
        let tuning = Tuning::of(&tuning(&[0.5, -1.0]), MODEL);
        let mut numbers = [1.0, 1.0];
        assert!(tuning.apply("l.b", &mut numbers) && tuning.apply("other", &mut [0.0]));
        assert_eq!(numbers.map(f32::to_bits), [1.5_f32, 0.0].map(f32::to_bits));
        assert!(!tuning.apply("l.b", &mut [1.0]));
    }

    fn with_map(down: &[f32], up: &[f32]) -> Tuning {
        let learnt = [("l.down".to_owned(), down.to_vec()), ("l.up".to_owned(), up.to_vec())];
        Tuning { learnt: learnt.into(), hash: None }
    }

    #[test]
    fn weights_become_larger_by_the_product_of_both_halves() {
        let tuning = with_map(&[1.0, 2.0, 0.0, 0.0, -1.0, 3.0], &[1.0, 0.0, 0.5, 2.0]);
        let mut weights = [10.0; 6];
        assert!(tuning.add_map("l", &mut weights, 3) && tuning.add_map("other", &mut [], 3));
        assert_eq!(weights.map(f32::to_bits), [11.0_f32, 12.0, 10.0, 10.5, 9.0, 16.0].map(f32::to_bits));
    }

    #[test]
    fn a_map_of_another_size_is_refused() {
        for (down, up) in [(0, 0), (4, 4), (3, 3), (3, 8)] {
            let tuning = with_map(&vec![0.0; down], &vec![0.0; up]);
            assert!(!tuning.add_map("l", &mut [0.0; 12], 3), "{down} {up}");
        }
    }

    #[test]
    fn a_tuned_model_is_another_model() {
        let [one, other] = [0.5, 0.25].map(|number| Tuning::of(&tuning(&[number]), MODEL).hash());
        assert!(one.is_some() && one != other && one != Some(MODEL));
    }

    #[test]
    fn what_belongs_to_another_model_or_is_damaged_changes_nothing() {
        let whole = tuning(&[0.5]);
        for (bytes, model) in
            [(&whole[..], [8; 32]), (&whole[..whole.len() - 1], MODEL), (&whole[..40], MODEL), (b"", MODEL)]
        {
            let tuning = Tuning::of(bytes, model);
            let mut numbers = [1.0];
            assert!(tuning.apply("l.b", &mut numbers) && tuning.hash().is_none());
            assert_eq!(numbers[0].to_bits(), 1.0_f32.to_bits(), "{} bytes", bytes.len());
        }
    }
}
