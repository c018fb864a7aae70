//! Owns the format of the model's file, magic `E5S1`: header, pieces, normalisation, directory, tensors; all numbers
//! little-endian. Nothing in it is believed: every length is checked against the file before memory is taken for it.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use half::f16;
use sha2::{Digest as _, Sha256};

use super::{
    linear::INPUTS_MAX,
    pieces::Pieces,
    tokenizer::{Special, Tokenizer},
    tuning::Tuning,
};

const MAGIC: &[u8; 4] = b"E5S1";
const VERSION: u32 = 1;
/// No file is larger.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Four-bit weights come in blocks of so many, each with a scale of its own before it.
const BLOCK_WEIGHTS: usize = 32;
const BLOCK_BYTES: usize = 2 + BLOCK_WEIGHTS / 2;
/// What four bits stand for is so much less than they are, times the scale.
const MIDDLE: f32 = 8.0;
/// Kinds of tensor in the directory.
const KIND_F32: u8 = 0;
const KIND_Q4: u8 = 1;

#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error("the sentence encoder cannot be read from {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no sentence encoder of the format E5S1, version 1: {what}", path.display())]
    Format { path: PathBuf, what: Fault },
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it begins with other bytes")]
    Magic,
    #[error("it has more than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("it ends too early")]
    Truncated,
    #[error("its {0} makes no sense")]
    Value(&'static str),
    #[error("its tensor `{0}` is missing or has another size")]
    Tensor(String),
}

/// The sizes of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Numbers a token.
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Numbers a token between the two halves of a layer.
    pub inner: usize,
    /// Tokens that have an embedding.
    pub vocabulary: usize,
    /// Tokens that a text can have.
    pub positions: usize,
    /// What is added to a variance.
    pub epsilon: f32,
}

/// The tensors, by name, where they lie in the file.
#[derive(Debug)]
pub struct Weights {
    pub shape: Shape,
    bytes: Vec<u8>,
    directory: HashMap<String, (u8, Range<usize>)>,
    tuning: Tuning,
}

/// A matrix of four-bit weights, one row an output, as it lies in the file.
#[derive(Debug, Clone)]
pub struct Packed(Vec<u8>);

pub fn read(path: &Path) -> Result<(Tokenizer, Weights), EncoderError> {
    let unreadable = |source| EncoderError::Unreadable { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    let checked = if size > FILE_BYTES_MAX { Err(Fault::TooLarge) } else { Ok(()) };
    let format = |what| EncoderError::Format { path: path.to_owned(), what };
    checked.map_err(format)?;
    parse(std::fs::read(path).map_err(unreadable)?).map_err(format)
}

pub fn parse(bytes: Vec<u8>) -> Result<(Tokenizer, Weights), Fault> {
    let mut cursor = Cursor { bytes: &bytes, at: 0 };
    if cursor.take(4)? != MAGIC || cursor.u32()? != VERSION {
        return Err(Fault::Magic);
    }
    let shape = read_shape(&mut cursor)?;
    let tokenizer = read_tokenizer(&mut cursor, shape.positions)?;
    let directory = read_directory(&mut cursor)?;
    Ok((tokenizer, Weights { shape, bytes, directory, tuning: Tuning::default() }))
}

fn read_shape(cursor: &mut Cursor) -> Result<Shape, Fault> {
    let width = cursor.count("width", INPUTS_MAX)?;
    let layers = cursor.count("number of layers", 256)?;
    let heads = cursor.count("number of heads", 256)?;
    let inner = cursor.count("inner width", INPUTS_MAX)?;
    let vocabulary = cursor.count("vocabulary", 1 << 22)?;
    let positions = cursor.count("number of positions", 1 << 16)?;
    let _token_types = cursor.u32()?;
    let epsilon = cursor.f32()?;
    let block = cursor.count("size of a block", 1 << 10)?;
    let whole = |size: usize, of: usize| size > 0 && size.is_multiple_of(of);
    if !whole(width, BLOCK_WEIGHTS) || !whole(inner, BLOCK_WEIGHTS) || heads == 0 || !whole(width, heads) {
        return Err(Fault::Value("width"));
    }
    if block != BLOCK_WEIGHTS {
        return Err(Fault::Value("size of a block"));
    }
    // Room for the marks at both ends, the prefix and a word.
    if layers == 0 || vocabulary == 0 || positions < 8 || !(0.0..1.0).contains(&epsilon) {
        return Err(Fault::Value("shape"));
    }
    Ok(Shape { width, layers, heads, inner, vocabulary, positions, epsilon })
}

fn read_tokenizer(cursor: &mut Cursor, positions: usize) -> Result<Tokenizer, Fault> {
    let count = cursor.count("number of pieces", 1 << 22)?;
    let mut id = |what| cursor.count(what, count.saturating_sub(1));
    let (begin, end) = (id("mark of the beginning")?, id("mark of the end")?);
    let (_padding, unknown) = (id("padding")?, id("unknown piece")?);
    let special = Special { begin: begin as u32, end: end as u32, unknown: unknown as u32 };
    let text_bytes = usize::try_from(cursor.u64()?).map_err(|_| Fault::Truncated)?;
    let offsets = cursor.u32s(count + 1)?;
    let scores: Vec<f32> = cursor.u32s(count)?.into_iter().map(f32::from_bits).collect();
    let text = cursor.take(text_bytes)?.to_vec();
    let pieces = Pieces::new(text, offsets, scores).ok_or(Fault::Value("list of pieces"))?;
    let characters = cursor.u32()?;
    let _replacements = cursor.u32()?;
    let mut normalised = HashMap::new();
    for _ in 0..characters {
        let from = cursor.u32()?;
        let length = cursor.take(1)?[0];
        let to = cursor.u32s(length.into())?.into_iter().map(char::from_u32).collect::<Option<String>>();
        let (from, to) = char::from_u32(from).zip(to).ok_or(Fault::Value("normalisation"))?;
        normalised.insert(from, to);
    }
    Ok(Tokenizer::new(pieces, normalised, special, positions))
}

fn read_directory(cursor: &mut Cursor) -> Result<HashMap<String, (u8, Range<usize>)>, Fault> {
    let count = cursor.count("number of tensors", 1 << 12)?;
    let mut directory = HashMap::new();
    for _ in 0..count {
        let length = cursor.u16()?;
        let name = std::str::from_utf8(cursor.take(length.into())?).map_err(|_| Fault::Value("directory"))?.to_owned();
        let kind = cursor.take(1)?[0];
        let _numbers = cursor.u32()?;
        let (start, bytes) = (cursor.u64()?, cursor.u64()?);
        let end = start.checked_add(bytes).filter(|&end| end <= cursor.bytes.len() as u64).ok_or(Fault::Truncated)?;
        directory.insert(name, (kind, start as usize..end as usize));
    }
    Ok(directory)
}

impl Weights {
    /// From now on, plain numbers are what `tuning` makes of those in the file, and matrices have added to them what it
    /// says, if it is this file that it speaks of.
    /// Returns the hash of file and tuning together: what another model says is something else.
    pub fn tune(&mut self, tuning: &[u8]) -> [u8; 32] {
        let file = Sha256::digest(&self.bytes).into();
        self.tuning = Tuning::of(tuning, file);
        self.tuning.hash().unwrap_or(file)
    }

    /// A tensor of `count` plain numbers, or the first so many of a larger one.
    pub fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, Fault> {
        let bytes = self.tensor(name, KIND_F32, count.checked_mul(4))?;
        let mut numbers: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().take(count).map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let fits = self.tuning.apply(name, &mut numbers);
        if fits && numbers.iter().all(|number| number.is_finite()) { Ok(numbers) } else { Err(wrong(name)) }
    }

    /// The weights of a linear map, one row an output, with what was learnt beside them.
    pub fn matrix(&self, name: &str, outputs: usize, inputs: usize) -> Result<Vec<f32>, Fault> {
        let packed = self.packed(&format!("{name}.w"), outputs, inputs)?;
        let mut weights = vec![0.0; outputs * inputs];
        for (row, weights) in weights.chunks_exact_mut(inputs).enumerate() {
            packed.unpack_row(row, weights);
        }
        let fits = self.tuning.add_map(name, &mut weights, inputs);
        if fits && weights.iter().all(|weight| weight.is_finite()) { Ok(weights) } else { Err(wrong(name)) }
    }

    /// A matrix of four-bit weights with so many outputs (rows) and inputs.
    pub fn packed(&self, name: &str, outputs: usize, inputs: usize) -> Result<Packed, Fault> {
        let bytes = outputs.checked_mul(inputs / BLOCK_WEIGHTS * BLOCK_BYTES);
        self.tensor(name, KIND_Q4, bytes).map(|bytes| Packed(bytes.to_vec()))
    }

    fn tensor(&self, name: &str, wanted: u8, bytes: Option<usize>) -> Result<&[u8], Fault> {
        let found = self.directory.get(name).filter(|(kind, _)| *kind == wanted);
        let (_, range) = found.ok_or_else(|| wrong(name))?;
        bytes.and_then(|bytes| self.bytes[range.clone()].get(..bytes)).ok_or_else(|| wrong(name))
    }
}

fn wrong(name: &str) -> Fault {
    Fault::Tensor(name.to_owned())
}

impl Packed {
    /// The weights of one row, which has `into.len()` of them.
    pub fn unpack_row(&self, row: usize, into: &mut [f32]) {
        for ((scale, bits), weights) in self.blocks(row, into.len()).zip(into.as_chunks_mut::<BLOCK_WEIGHTS>().0) {
            for (weight, bits) in weights.iter_mut().zip(bits) {
                *weight = scale * (f32::from(bits) - MIDDLE);
            }
        }
    }

    /// The blocks of a row of so many weights: their scale, and the four bits of each.
    fn blocks(&self, row: usize, weights: usize) -> impl Iterator<Item = (f32, [u8; BLOCK_WEIGHTS])> {
        let row_bytes = weights / BLOCK_WEIGHTS * BLOCK_BYTES;
        let blocks = self.0[row * row_bytes..][..row_bytes].as_chunks::<BLOCK_BYTES>().0;
        blocks.iter().map(|block| {
            let mut bits = [0; BLOCK_WEIGHTS];
            let (low, high) = bits.split_at_mut(BLOCK_WEIGHTS / 2);
            for ((byte, low), high) in block[2..].iter().zip(low).zip(high) {
                (*low, *high) = (byte & 15, byte >> 4);
            }
            (f16::from_le_bytes([block[0], block[1]]).to_f32(), bits)
        })
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.first_chunk().copied().ok_or(Fault::Truncated)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn f32(&mut self) -> Result<f32, Fault> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    fn u32s(&mut self, count: usize) -> Result<Vec<u32>, Fault> {
        let bytes = self.take(count.checked_mul(4).ok_or(Fault::Truncated)?)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    /// A number from 0 to `max`.
    fn count(&mut self, what: &'static str, max: usize) -> Result<usize, Fault> {
        usize::try_from(self.u32()?).ok().filter(|&count| count <= max).ok_or(Fault::Value(what))
    }
}
