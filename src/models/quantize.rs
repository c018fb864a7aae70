//! Owns the quantisation of a ggml model to q8_0, byte for byte as whisper.cpp's own tool does it.
//!
//! Matrices become blocks of 32 weights with one scale; biases, norms, convolutions and positional embeddings stay.

use std::io::{Read, Write};

use half::f16;

use super::ggml::{self, FTYPE, GgmlError, Reader, TensorHead, TensorType};

/// Weights in one block.
const BLOCK: usize = 32;
/// Bytes of one block: the scale as f16, then 32 signed bytes.
const BLOCK_BYTES: usize = 2 + BLOCK;
/// ggml's file type "mostly q8_0", with the version of the quantisation format in the thousands.
const FTYPE_Q8_0: u32 = 7 + 2 * 1000;
/// Weights in one step: what is held in memory.
const STEP: u64 = 1 << 16;

/// Two-dimensional tensors that must not be quantised, as they are looked up or added rather than multiplied.
const KEPT: [&str; 4] =
    ["encoder.conv1.bias", "encoder.conv2.bias", "encoder.positional_embedding", "decoder.positional_embedding"];

/// Copies a ggml model from `source` to `out` with its matrices in q8_0.
pub fn to_q8_0(source: impl Read, out: &mut impl Write) -> Result<(), GgmlError> {
    let mut reader = Reader::new(source);
    let mut preamble = reader.preamble()?;
    preamble.hyperparameters[FTYPE] = FTYPE_Q8_0;
    ggml::write_preamble(out, &preamble)?;
    while let Some(head) = reader.tensor()? {
        let target = target_type(&head)?;
        ggml::write_tensor_head(out, &TensorHead { kind: target, ..head.clone() })?;
        let mut left = head.elements();
        while left > 0 {
            let step = left.min(STEP);
            let mut bytes = vec![0; head.kind.bytes(step) as usize];
            reader.data(&mut bytes)?;
            if target == head.kind {
                out.write_all(&bytes).map_err(GgmlError::Write)?;
            } else {
                out.write_all(&quantised(&weights(&bytes, head.kind))).map_err(GgmlError::Write)?;
            }
            left -= step;
        }
    }
    Ok(())
}

fn target_type(head: &TensorHead) -> Result<TensorType, GgmlError> {
    match head.kind {
        TensorType::Q8_0 => Err(GgmlError::Absurd("tensor that is quantised already")),
        TensorType::F32 | TensorType::F16 if head.dimensions.len() == 2 && !KEPT.contains(&head.name.as_str()) => {
            if (head.dimensions[0] as usize).is_multiple_of(BLOCK) {
                Ok(TensorType::Q8_0)
            } else {
                Err(GgmlError::Absurd("row length"))
            }
        }
        TensorType::F32 | TensorType::F16 => Ok(head.kind),
    }
}

fn weights(bytes: &[u8], kind: TensorType) -> Vec<f32> {
    match kind {
        TensorType::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        TensorType::F32 | TensorType::Q8_0 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
    }
}

fn quantised(weights: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(weights.len() / BLOCK * BLOCK_BYTES);
    for block in weights.chunks_exact(BLOCK) {
        let largest = block.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        bytes.extend(f16::from_f32(scale).to_le_bytes());
        // `round` takes halves away from zero, as C's roundf does.
        bytes.extend(block.iter().map(|w| (w * inverse).round() as i8 as u8));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::TensorType::{F16, F32, Q8_0};
    use super::*;
    use crate::models::ggml::{HYPERPARAMETERS, MelFilters, Preamble, write_preamble, write_tensor_head};

    #[test]
    fn a_block_has_its_largest_weight_at_127_and_halves_go_away_from_zero() {
        let mut block = [0.0_f32; BLOCK];
        block[0] = -127.0;
        block[1] = 63.5;
        block[2] = -0.5;
        block[3] = 0.49;
        let bytes = quantised(&block);
        assert_eq!(bytes.len(), BLOCK_BYTES);
        assert_eq!(bytes[..2], f16::from_f32(1.0).to_le_bytes());
        assert_eq!(bytes[2..6].iter().map(|&b| b.cast_signed()).collect::<Vec<_>>(), [-127, 64, -1, 0]);
        assert!(bytes[6..].iter().all(|&b| b == 0));
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        assert_eq!(quantised(&[0.0; BLOCK]), vec![0; BLOCK_BYTES]);
    }

    fn model(tensors: &[(&str, &[u32], TensorType)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let preamble = Preamble {
            hyperparameters: [1; HYPERPARAMETERS],
            mel_filters: MelFilters { rows: 1, columns: 1, values: vec![0.0] },
            tokens: vec![b"x".to_vec()],
        };
        write_preamble(&mut bytes, &preamble).unwrap();
        for (name, dimensions, kind) in tensors {
            let head = TensorHead { name: (*name).to_owned(), dimensions: dimensions.to_vec(), kind: *kind };
            write_tensor_head(&mut bytes, &head).unwrap();
            bytes.resize(bytes.len() + kind.bytes(head.elements()) as usize, 0);
        }
        bytes
    }

    #[test]
    fn only_matrices_are_quantised() {
        let source = model(&[
            ("decoder.positional_embedding", &[32, 2], F32),
            ("encoder.conv1.weight", &[3, 32, 2], F16),
            ("encoder.conv1.bias", &[1, 32], F32),
            ("decoder.ln.weight", &[32], F32),
            ("decoder.token_embedding.weight", &[64, 3], F16),
        ]);
        let mut out = Vec::new();
        to_q8_0(&source[..], &mut out).unwrap();

        let mut reader = Reader::new(&out[..]);
        assert_eq!(reader.preamble().unwrap().hyperparameters[FTYPE], 2007);
        let mut kinds = Vec::new();
        while let Some(head) = reader.tensor().unwrap() {
            reader.data(&mut vec![0; head.kind.bytes(head.elements()) as usize]).unwrap();
            kinds.push(head.kind);
        }
        assert_eq!(kinds, [F32, F16, F32, F32, Q8_0]);
    }

    #[test]
    fn a_row_that_is_no_whole_number_of_blocks_is_refused() {
        let source = model(&[("decoder.token_embedding.weight", &[33, 2], F16)]);
        assert!(matches!(to_q8_0(&source[..], &mut Vec::new()), Err(GgmlError::Absurd("row length"))));
    }

    #[test]
    fn a_truncated_model_is_an_error() {
        let source = model(&[("decoder.token_embedding.weight", &[64, 3], F16)]);
        assert!(matches!(to_q8_0(&source[..source.len() - 1], &mut Vec::new()), Err(GgmlError::Read(_))));
    }
}
