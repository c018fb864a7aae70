//! Owns the bytes of whisper.cpp's model file: header, mel filters, vocabulary, then tensors one after the other.
//!
//! It reads and writes piece by piece and never holds more than one small piece; sizes found in a file are compared
//! with the bytes that are left before anything is allocated. What the pieces mean is for `convert` and `quantize`.

use std::io::{self, Read, Write};

/// "ggml", as the format's readers see it.
const MAGIC: u32 = 0x6767_6d6c;
/// Number of integers in the header.
pub const HYPERPARAMETERS: usize = 11;
/// Index of the file type among the hyperparameters.
pub const FTYPE: usize = 10;

/// Far above every real model; what is larger is not one.
const COUNT_MAX: usize = 1 << 20;
const TOKEN_BYTES_MAX: usize = 1 << 10;
const NAME_BYTES_MAX: usize = 1 << 10;
const DIMENSIONS_MAX: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum GgmlError {
    #[error("it is not a ggml file")]
    NotGgml,
    #[error("it ends too early, or cannot be read")]
    Read(#[source] io::Error),
    #[error("the result cannot be written")]
    Write(#[source] io::Error),
    #[error("a {0} in it cannot be true")]
    Absurd(&'static str),
}

/// How a tensor's elements are stored; the numbers are ggml's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorType {
    F32,
    F16,
    /// Blocks of 32: an f16 scale and 32 signed bytes.
    Q8_0,
}

impl TensorType {
    fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        [Self::F32, Self::F16, Self::Q8_0].into_iter().find(|t| t.number() == number)
    }

    /// Bytes of so many elements.
    #[must_use]
    pub fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::F32 => elements * 4,
            Self::F16 => elements * 2,
            Self::Q8_0 => elements / 32 * 34,
        }
    }
}

/// What stands before a tensor's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorHead {
    pub name: String,
    /// Fastest-varying first, as ggml counts.
    pub dimensions: Vec<u32>,
    pub kind: TensorType,
}

impl TensorHead {
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.dimensions.iter().map(|&d| u64::from(d)).product()
    }
}

/// Everything before the first tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Preamble {
    pub hyperparameters: [u32; HYPERPARAMETERS],
    pub mel_filters: MelFilters,
    /// Token bytes by rank.
    pub tokens: Vec<Vec<u8>>,
}

/// The matrix that turns a spectrum into mel bands, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct MelFilters {
    pub rows: u32,
    pub columns: u32,
    pub values: Vec<f32>,
}

/// Reads a ggml file from its beginning.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
}

impl<R: Read> Reader<R> {
    pub fn new(inner: R) -> Self {
        Self { inner }
    }

    pub fn preamble(&mut self) -> Result<Preamble, GgmlError> {
        if self.u32()? != MAGIC {
            return Err(GgmlError::NotGgml);
        }
        let mut hyperparameters = [0; HYPERPARAMETERS];
        for value in &mut hyperparameters {
            *value = self.u32()?;
        }
        let (rows, columns) = (self.u32()?, self.u32()?);
        let count = self.bounded("size of the mel filters", rows.checked_mul(columns), COUNT_MAX)?;
        let values =
            self.bytes(count * 4)?.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let token_count = self.u32()?;
        let token_count = self.bounded("number of tokens", Some(token_count), COUNT_MAX)?;
        let mut tokens = Vec::new();
        for _ in 0..token_count {
            let length = self.u32()?;
            let length = self.bounded("length of a token", Some(length), TOKEN_BYTES_MAX)?;
            tokens.push(self.bytes(length)?);
        }
        Ok(Preamble { hyperparameters, mel_filters: MelFilters { rows, columns, values }, tokens })
    }

    /// The next tensor's head, or `None` at the end of the file.
    pub fn tensor(&mut self) -> Result<Option<TensorHead>, GgmlError> {
        let mut first = [0; 1];
        loop {
            match self.inner.read(&mut first) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(GgmlError::Read(e)),
            }
        }
        let rest = self.bytes(3)?;
        let rank = u32::from_le_bytes([first[0], rest[0], rest[1], rest[2]]);
        let name_bytes = self.u32()?;
        let kind = TensorType::from_number(self.u32()?).ok_or(GgmlError::Absurd("tensor type"))?;
        let rank = self.bounded("number of dimensions", Some(rank), DIMENSIONS_MAX)?;
        let mut dimensions = Vec::new();
        for _ in 0..rank {
            dimensions.push(self.u32()?);
        }
        let elements = dimensions.iter().try_fold(1_u64, |all, &d| all.checked_mul(u64::from(d)));
        if elements.is_none_or(|n| n > u64::from(u32::MAX)) {
            return Err(GgmlError::Absurd("tensor size"));
        }
        let name_bytes = self.bounded("length of a name", Some(name_bytes), NAME_BYTES_MAX)?;
        let name = String::from_utf8(self.bytes(name_bytes)?).map_err(|_| GgmlError::Absurd("tensor name"))?;
        Ok(Some(TensorHead { name, dimensions, kind }))
    }

    /// Fills `buffer` with the next bytes of the current tensor's data.
    pub fn data(&mut self, buffer: &mut [u8]) -> Result<(), GgmlError> {
        self.inner.read_exact(buffer).map_err(GgmlError::Read)
    }

    fn u32(&mut self) -> Result<u32, GgmlError> {
        let mut bytes = [0; 4];
        self.data(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Only after `bounded`.
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, GgmlError> {
        let mut bytes = vec![0; count];
        self.data(&mut bytes)?;
        Ok(bytes)
    }

    #[expect(clippy::unused_self, reason = "reads as a step of reading")]
    fn bounded(&self, what: &'static str, value: Option<u32>, max: usize) -> Result<usize, GgmlError> {
        value.map(|v| v as usize).filter(|&v| v <= max).ok_or(GgmlError::Absurd(what))
    }
}

pub fn write_preamble(out: &mut impl Write, preamble: &Preamble) -> Result<(), GgmlError> {
    let mut bytes = Vec::new();
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend(preamble.hyperparameters.iter().flat_map(|v| v.to_le_bytes()));
    let mel = &preamble.mel_filters;
    bytes.extend(mel.rows.to_le_bytes());
    bytes.extend(mel.columns.to_le_bytes());
    bytes.extend(mel.values.iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend((preamble.tokens.len() as u32).to_le_bytes());
    for token in &preamble.tokens {
        bytes.extend((token.len() as u32).to_le_bytes());
        bytes.extend(token);
    }
    out.write_all(&bytes).map_err(GgmlError::Write)
}

/// Writes what stands before a tensor's data; the data itself follows, from the caller.
pub fn write_tensor_head(out: &mut impl Write, head: &TensorHead) -> Result<(), GgmlError> {
    let mut bytes = Vec::new();
    bytes.extend((head.dimensions.len() as u32).to_le_bytes());
    bytes.extend((head.name.len() as u32).to_le_bytes());
    bytes.extend(head.kind.number().to_le_bytes());
    bytes.extend(head.dimensions.iter().flat_map(|d| d.to_le_bytes()));
    bytes.extend(head.name.as_bytes());
    out.write_all(&bytes).map_err(GgmlError::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let preamble = Preamble {
            hyperparameters: [7; HYPERPARAMETERS],
            mel_filters: MelFilters { rows: 1, columns: 2, values: vec![0.5, -1.0] },
            tokens: vec![b"a".to_vec(), Vec::new(), b"bc".to_vec()],
        };
        let mut bytes = Vec::new();
        write_preamble(&mut bytes, &preamble).unwrap();
        let head = TensorHead { name: "t".to_owned(), dimensions: vec![2, 1], kind: TensorType::F16 };
        write_tensor_head(&mut bytes, &head).unwrap();
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<TensorHead>, GgmlError> {
        let mut reader = Reader::new(bytes);
        reader.preamble()?;
        let mut heads = Vec::new();
        while let Some(head) = reader.tensor()? {
            let mut data = vec![0; head.kind.bytes(head.elements()) as usize];
            reader.data(&mut data)?;
            heads.push(head);
        }
        Ok(heads)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let heads = read_all(&sample()).unwrap();
        assert_eq!(heads, [TensorHead { name: "t".to_owned(), dimensions: vec![2, 1], kind: TensorType::F16 }]);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_lacks_whole_tensors_but_never_panics() {
        let whole = sample();
        let first_tensor = whole.len() - (12 + 8 + 1 + 4);
        for end in 0..whole.len() {
            let outcome = read_all(&whole[..end]);
            assert_eq!(outcome.is_ok(), end == first_tensor, "cut at {end}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_allocated() {
        let mut token_count = sample();
        let at = 4 + 44 + 8 + 8;
        token_count[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(read_all(&token_count), Err(GgmlError::Absurd("number of tokens"))));

        let mut mel = sample();
        mel[48..56].copy_from_slice(&[0xff; 8]);
        assert!(matches!(read_all(&mel), Err(GgmlError::Absurd("size of the mel filters"))));
    }
}
