//! Owns the reading of the two assets that a ggml file carries beside the weights: mel filters out of NumPy's `.npz`,
//! and the vocabulary out of a `.tiktoken` list.

use std::io::{Read, Seek};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ConvertError;
use crate::models::ggml::MelFilters;

/// Real filters have 128 × 201 values at most.
const FILTER_BYTES_MAX: u64 = 1 << 20;

/// The filter bank for so many mel bands: the array `mel_80` or `mel_128`.
pub fn mel_filters(npz: impl Read + Seek, bands: u32) -> Result<MelFilters, ConvertError> {
    let mut archive = zip::ZipArchive::new(npz).map_err(|_| ConvertError::MelFilters("it is no npz archive"))?;
    let member = archive
        .by_name(&format!("mel_{bands}.npy"))
        .map_err(|_| ConvertError::MelFilters("it has no filters for this number of bands"))?;
    let mut bytes = Vec::new();
    member
        .take(FILTER_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|_| ConvertError::MelFilters("its data is damaged"))?;
    let mut filters = array_of_f32(&bytes)?;
    if filters.rows != bands {
        return Err(ConvertError::MelFilters("its shape does not fit its name"));
    }
    // The published ggml files have +0.0 where the archive has -0.0.
    if let Some(first) = filters.values.first_mut().filter(|v| **v == 0.0) {
        *first = 0.0;
    }
    Ok(filters)
}

/// Reads NumPy's `.npy`: a magic, a version, the length of a Python literal, the literal, the data.
fn array_of_f32(bytes: &[u8]) -> Result<MelFilters, ConvertError> {
    let broken = || ConvertError::MelFilters("it is no array of f32 with two dimensions");
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(broken)?;
    let (header_length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(broken()),
    };
    let (header, data) = rest.split_at_checked(header_length).ok_or_else(broken)?;
    let header = std::str::from_utf8(header).map_err(|_| broken())?.replace(' ', "");
    if !header.contains("'descr':'<f4'") || !header.contains("'fortran_order':False") {
        return Err(broken());
    }
    let shape = header.split_once("'shape':(").and_then(|(_, s)| s.split_once(')')).ok_or_else(broken)?.0;
    let (rows, columns) = shape.split_once(',').ok_or_else(broken)?;
    let (rows, columns): (u32, u32) = (rows.parse().map_err(|_| broken())?, columns.parse().map_err(|_| broken())?);
    let bytes = u64::from(rows).checked_mul(u64::from(columns)).and_then(|values| values.checked_mul(4));
    if bytes != Some(data.len() as u64) {
        return Err(broken());
    }
    let values = data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok(MelFilters { rows, columns, values })
}

/// Token bytes by rank, out of lines `base64 rank`.
pub fn tokens(tiktoken: &str) -> Result<Vec<Vec<u8>>, ConvertError> {
    /// GPT-2's list leaves its end-of-text token to the program; the published `.en` files carry it.
    const GPT2_TOKENS: usize = 50_256;

    let mut tokens = Vec::new();
    for (rank, line) in tiktoken.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        let mut words = line.split_ascii_whitespace();
        let (Some(token), Some(number), None) = (words.next(), words.next(), words.next()) else {
            return Err(ConvertError::Tokenizer { line: rank + 1 });
        };
        // One token of the multilingual list is empty, and written as padding alone.
        let token = if token == "=" { Ok(Vec::new()) } else { STANDARD.decode(token) };
        match (token, number.parse::<usize>()) {
            (Ok(token), Ok(number)) if number == rank => tokens.push(token),
            _ => return Err(ConvertError::Tokenizer { line: rank + 1 }),
        }
    }
    if tokens.len() == GPT2_TOKENS {
        tokens.push(b"<|endoftext|>".to_vec());
    }
    Ok(tokens)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    pub fn npz(name: &str, npy: &[u8]) -> Cursor<Vec<u8>> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(npy).unwrap();
        let mut cursor = zip.finish().unwrap();
        cursor.set_position(0);
        cursor
    }

    pub fn npy(header: &str, values: &[f32]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bytes
    }

    const HEADER: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }  \n";

    #[test]
    fn filters_are_read_and_their_first_zero_is_positive() {
        let filters = mel_filters(npz("mel_2.npy", &npy(HEADER, &[-0.0, 1.0, 2.0, -0.0])), 2).unwrap();
        assert_eq!((filters.rows, filters.columns), (2, 2));
        let signs: Vec<bool> = filters.values.iter().map(|v| v.is_sign_negative()).collect();
        assert_eq!(signs, [false, false, false, true]);
    }

    #[test]
    fn an_array_of_another_size_type_or_order_is_refused() {
        assert!(array_of_f32(&npy(HEADER, &[1.0; 3])).is_err());
        assert!(array_of_f32(&npy(&HEADER.replace("<f4", "<f8"), &[1.0; 4])).is_err());
        assert!(array_of_f32(&npy(&HEADER.replace("False", "True"), &[1.0; 4])).is_err());
        assert!(array_of_f32(&npy(&HEADER.replace("(2, 2)", "(4294967295, 4294967295)"), &[1.0; 4])).is_err());
        let whole = npy(HEADER, &[1.0; 4]);
        for end in 0..whole.len() {
            assert!(array_of_f32(&whole[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn tokens_are_decoded_in_rank_order_and_the_empty_one_is_kept() {
        assert_eq!(tokens("IQ== 0\n= 1\nYWI= 2\n").unwrap(), [b"!".to_vec(), Vec::new(), b"ab".to_vec()]);
        assert!(matches!(tokens("IQ== 0\nIg== 2\n"), Err(ConvertError::Tokenizer { line: 2 })));
        assert!(matches!(tokens("IQ=="), Err(ConvertError::Tokenizer { line: 1 })));
    }
}
