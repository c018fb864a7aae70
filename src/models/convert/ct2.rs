//! Owns the reading of CTranslate2's `model.bin`: an index of named variables first, their values on demand.
//!
//! The file is a stranger's: every size in it is compared with the bytes that are there before it is used.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use half::f16;

use super::ConvertError;

const VERSION_MIN: u32 = 4;
const SPECIFICATION: &str = "WhisperSpec";
const DIMENSIONS_MAX: u8 = 4;
/// The largest Whisper has 32.
const LAYERS_MAX: u32 = 256;

/// One variable's place and shape.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Slowest-varying first.
    pub shape: Vec<u32>,
    kind: ElementType,
    offset: u64,
}

impl Variable {
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&d| u64::from(d)).product()
    }

    /// The `index`-th of `count` equal parts along the slowest dimension.
    pub fn part(&self, index: u32, count: u32) -> Result<Self, ConvertError> {
        let rows = *self.shape.first().filter(|&&rows| rows % count == 0).ok_or(ConvertError::Shape)?;
        let mut part = self.clone();
        part.shape[0] = rows / count;
        part.offset += u64::from(index) * part.elements() * self.kind.bytes();
        Ok(part)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElementType {
    F32,
    I8,
    I16,
    I32,
    F16,
}

impl ElementType {
    fn from_number(number: u8) -> Option<Self> {
        [Self::F32, Self::I8, Self::I16, Self::I32, Self::F16].get(usize::from(number)).copied()
    }

    fn bytes(self) -> u64 {
        match self {
            Self::I8 => 1,
            Self::I16 | Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
        }
    }
}

/// An open `model.bin`.
#[derive(Debug)]
pub struct Model<R> {
    file: BufReader<R>,
    length: u64,
    variables: HashMap<String, Variable>,
}

impl<R: Read + Seek> Model<R> {
    /// Reads the index.
    pub fn open(mut file: R) -> Result<Self, ConvertError> {
        let length = file.seek(SeekFrom::End(0)).map_err(ConvertError::Weights)?;
        file.rewind().map_err(ConvertError::Weights)?;
        let mut model = Self { file: BufReader::new(file), length, variables: HashMap::new() };
        if model.u32()? < VERSION_MIN || model.string()? != SPECIFICATION {
            return Err(ConvertError::NotWhisper);
        }
        let _revision = model.u32()?;
        for _ in 0..model.u32()? {
            let (name, variable) = model.variable()?;
            model.variables.insert(name, variable);
        }
        for _ in 0..model.u32()? {
            let (alias, name) = (model.string()?, model.string()?);
            let variable = model.get(&name)?.clone();
            model.variables.insert(alias, variable);
        }
        Ok(model)
    }

    pub fn get(&self, name: &str) -> Result<&Variable, ConvertError> {
        self.variables.get(name).ok_or_else(|| ConvertError::Missing(name.to_owned()))
    }

    /// Number of consecutive layers whose variables begin with `prefix` and a number: `encoder/layer_`.
    #[must_use]
    pub fn layers(&self, prefix: &str) -> u32 {
        (0..LAYERS_MAX)
            .take_while(|i| {
                let start = format!("{prefix}{i}/");
                self.variables.keys().any(|name| name.starts_with(&start))
            })
            .count() as u32
    }

    /// A variable of one whole number.
    pub fn scalar(&mut self, name: &str) -> Result<u32, ConvertError> {
        let variable = self.get(name)?.clone();
        if variable.elements() != 1 {
            return Err(ConvertError::Shape);
        }
        let mut bytes = [0; 4];
        let width = variable.kind.bytes() as usize;
        self.read_at(variable.offset, &mut bytes[..width])?;
        match variable.kind {
            ElementType::I8 | ElementType::I16 | ElementType::I32 => Ok(u32::from_le_bytes(bytes)),
            ElementType::F32 | ElementType::F16 => Err(ConvertError::Shape),
        }
    }

    /// Elements `first..first + count` of a variable of real numbers.
    pub fn values(&mut self, variable: &Variable, first: u64, count: usize) -> Result<Vec<f32>, ConvertError> {
        let width = variable.kind.bytes();
        let mut bytes = vec![0; count * width as usize];
        self.read_at(variable.offset + first * width, &mut bytes)?;
        match variable.kind {
            ElementType::F32 => {
                Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            }
            ElementType::F16 => Ok(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
            ElementType::I8 | ElementType::I16 | ElementType::I32 => Err(ConvertError::Quantised),
        }
    }

    fn variable(&mut self) -> Result<(String, Variable), ConvertError> {
        let name = self.string()?;
        let rank = self.u8()?;
        if rank > DIMENSIONS_MAX {
            return Err(ConvertError::Shape);
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(self.u32()?);
        }
        let kind = ElementType::from_number(self.u8()?).ok_or(ConvertError::Quantised)?;
        let bytes = u64::from(self.u32()?);
        let offset = self.file.stream_position().map_err(ConvertError::Weights)?;
        let expected = shape.iter().try_fold(kind.bytes(), |all, &d| all.checked_mul(u64::from(d)));
        if expected != Some(bytes) || bytes > self.length.saturating_sub(offset) {
            return Err(ConvertError::Shape);
        }
        self.file.seek_relative(bytes.cast_signed()).map_err(ConvertError::Weights)?;
        Ok((name, Variable { shape, kind, offset }))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ConvertError> {
        let position = self.file.stream_position().map_err(ConvertError::Weights)?;
        let distance = offset.cast_signed() - position.cast_signed();
        self.file.seek_relative(distance).map_err(ConvertError::Weights)?;
        self.file.read_exact(buffer).map_err(ConvertError::Weights)
    }

    fn u8(&mut self) -> Result<u8, ConvertError> {
        self.array::<1>().map(|[b]| b)
    }

    fn u32(&mut self) -> Result<u32, ConvertError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A length, which counts the closing NUL, then the bytes.
    fn string(&mut self) -> Result<String, ConvertError> {
        let length = u16::from_le_bytes(self.array()?);
        let mut bytes = vec![0; usize::from(length)];
        self.file.read_exact(&mut bytes).map_err(ConvertError::Weights)?;
        if bytes.pop() != Some(0) {
            return Err(ConvertError::NotWhisper);
        }
        String::from_utf8(bytes).map_err(|_| ConvertError::NotWhisper)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ConvertError> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(ConvertError::Weights)?;
        Ok(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use super::*;

    /// Builds a `model.bin` of f16 variables and i8 scalars.
    #[derive(Default)]
    pub struct Builder {
        count: u32,
        body: Vec<u8>,
    }

    impl Builder {
        pub fn matrix(mut self, name: &str, shape: &[u32], value: impl Fn(u32) -> f32) -> Self {
            let elements: u32 = shape.iter().product();
            let data: Vec<u8> = (0..elements).flat_map(|i| f16::from_f32(value(i)).to_le_bytes()).collect();
            self.variable(name, shape, 4, &data);
            self
        }

        pub fn scalar(mut self, name: &str, value: u8) -> Self {
            self.variable(name, &[], 1, &[value]);
            self
        }

        fn variable(&mut self, name: &str, shape: &[u32], kind: u8, data: &[u8]) {
            self.count += 1;
            push_string(&mut self.body, name);
            self.body.push(shape.len() as u8);
            self.body.extend(shape.iter().flat_map(|d| d.to_le_bytes()));
            self.body.push(kind);
            self.body.extend((data.len() as u32).to_le_bytes());
            self.body.extend(data);
        }

        pub fn bytes(&self, aliases: &[(&str, &str)]) -> Vec<u8> {
            let mut bytes = 6_u32.to_le_bytes().to_vec();
            push_string(&mut bytes, SPECIFICATION);
            bytes.extend(3_u32.to_le_bytes());
            bytes.extend(self.count.to_le_bytes());
            bytes.extend(&self.body);
            bytes.extend((aliases.len() as u32).to_le_bytes());
            for (alias, name) in aliases {
                push_string(&mut bytes, alias);
                push_string(&mut bytes, name);
            }
            bytes
        }
    }

    fn push_string(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u16 + 1).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }

    fn small() -> Vec<u8> {
        Builder::default()
            .matrix("encoder/layer_0/w", &[6, 2], |i| i as f32)
            .matrix("encoder/layer_1/w", &[1], |_| 0.0)
            .scalar("encoder/num_heads", 8)
            .bytes(&[("alias", "encoder/layer_0/w")])
    }

    #[test]
    fn variables_parts_aliases_and_scalars_are_read() {
        let mut model = Model::open(Cursor::new(small())).unwrap();
        assert_eq!(model.layers("encoder/layer_"), 2);
        assert_eq!(model.scalar("encoder/num_heads").unwrap(), 8);
        let middle = model.get("alias").unwrap().part(1, 3).unwrap();
        assert_eq!(middle.shape, [2, 2]);
        assert_eq!(model.values(&middle, 1, 3).unwrap(), [5.0, 6.0, 7.0]);
        assert!(matches!(model.get("none"), Err(ConvertError::Missing(name)) if name == "none"));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let whole = small();
        for end in 0..whole.len() {
            assert!(Model::open(Cursor::new(&whole[..end])).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn an_absurd_shape_is_refused() {
        let mut bytes = small();
        let at = bytes.windows(8).position(|w| w == [6, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        bytes[at..at + 8].fill(0xff);
        assert!(matches!(Model::open(Cursor::new(bytes)), Err(ConvertError::Shape)));
    }
}
