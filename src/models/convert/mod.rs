//! Owns the conversion of a CTranslate2 Whisper model to whisper.cpp's ggml file.
//!
//! The result is meant to be the published file byte for byte, so that its checksum proves the conversion; the order
//! of tensors, which of them are f32 and what becomes of fused layers all follow from that.

mod assets;
mod ct2;

use std::io::{self, Read, Seek, Write};

use half::f16;

use super::ggml::{self, GgmlError, Preamble, TensorHead, TensorType};
use ct2::{Model, Variable};

/// Elements in one step: what is held in memory.
const STEP: u64 = 1 << 16;
/// ggml's file type "mostly f16".
const FTYPE_F16: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    #[error("the weights are no CTranslate2 Whisper model")]
    NotWhisper,
    #[error("the weights end too early, or cannot be read")]
    Weights(#[source] io::Error),
    #[error("the weights lack the variable `{0}`")]
    Missing(String),
    #[error("a variable of the weights has an impossible shape")]
    Shape,
    #[error("the weights are quantised; only f16 and f32 can be converted")]
    Quantised,
    #[error("a key bias is not zero, which ggml has no place for")]
    KeyBias,
    #[error("the mel filters cannot be used: {0}")]
    MelFilters(&'static str),
    #[error("line {line} of the tokenizer is not a token and its rank")]
    Tokenizer { line: usize },
    #[error(transparent)]
    Ggml(#[from] GgmlError),
}

/// What a conversion is made from.
#[derive(Debug)]
pub struct Sources<W, M> {
    /// CTranslate2's `model.bin`.
    pub weights: W,
    /// `mel_filters.npz`.
    pub mel_filters: M,
    /// The text of a `.tiktoken` list.
    pub tokenizer: String,
}

/// Writes the ggml model to `out`.
pub fn whisper_to_ggml<W: Read + Seek, M: Read + Seek>(
    sources: Sources<W, M>,
    out: &mut impl Write,
) -> Result<(), ConvertError> {
    let mut model = Model::open(sources.weights)?;
    let encoder_layers = model.layers("encoder/layer_");
    let decoder_layers = model.layers("decoder/layer_");
    let [vocabulary, width] = shape(&model, "decoder/embeddings/weight")?;
    let [audio_context, _] = shape(&model, "encoder/position_encodings/encodings")?;
    let [text_context, _] = shape(&model, "decoder/position_encodings/encodings")?;
    let [_, bands, _] = shape(&model, "encoder/conv1/weight")?;
    let encoder_heads = model.scalar("encoder/num_heads")?;
    let decoder_heads = model.scalar("decoder/num_heads")?;
    let preamble = Preamble {
        hyperparameters: [
            vocabulary,
            audio_context,
            width,
            encoder_heads,
            encoder_layers,
            text_context,
            width,
            decoder_heads,
            decoder_layers,
            bands,
            FTYPE_F16,
        ],
        mel_filters: assets::mel_filters(sources.mel_filters, bands)?,
        tokens: assets::tokens(&sources.tokenizer)?,
    };
    ggml::write_preamble(out, &preamble)?;
    let mut writer = TensorWriter { model, out };
    writer.model_tensors(encoder_layers, decoder_layers)?;
    Ok(())
}

fn shape<R: Read + Seek, const N: usize>(model: &Model<R>, name: &str) -> Result<[u32; N], ConvertError> {
    model.get(name)?.shape.as_slice().try_into().map_err(|_| ConvertError::Shape)
}

/// Copies tensors in the order of the original checkpoints.
struct TensorWriter<'a, R, O> {
    model: Model<R>,
    out: &'a mut O,
}

impl<R: Read + Seek, O: Write> TensorWriter<'_, R, O> {
    fn model_tensors(&mut self, encoder_layers: u32, decoder_layers: u32) -> Result<(), ConvertError> {
        self.copy("decoder.positional_embedding", "decoder/position_encodings/encodings", TensorType::F32)?;
        self.copy("encoder.positional_embedding", "encoder/position_encodings/encodings", TensorType::F32)?;
        self.copy("decoder.token_embedding.weight", "decoder/embeddings/weight", TensorType::F16)?;
        for i in 0..decoder_layers {
            self.block(&format!("decoder.blocks.{i}"), &format!("decoder/layer_{i}"), true)?;
        }
        self.norm("decoder.ln", "decoder/layer_norm")?;
        for conv in ["conv1", "conv2"] {
            self.copy(&format!("encoder.{conv}.weight"), &format!("encoder/{conv}/weight"), TensorType::F16)?;
            // whisper.cpp adds it to a matrix, so it is stored as a column.
            let mut bias = self.model.get(&format!("encoder/{conv}/bias"))?.clone();
            bias.shape.push(1);
            self.write(&format!("encoder.{conv}.bias"), &bias, TensorType::F32)?;
        }
        for i in 0..encoder_layers {
            self.block(&format!("encoder.blocks.{i}"), &format!("encoder/layer_{i}"), false)?;
        }
        self.norm("encoder.ln_post", "encoder/layer_norm")
    }

    fn block(&mut self, name: &str, source: &str, is_decoder: bool) -> Result<(), ConvertError> {
        self.norm(&format!("{name}.mlp_ln"), &format!("{source}/ffn/layer_norm"))?;
        self.linear(&format!("{name}.mlp.0"), &format!("{source}/ffn/linear_0"))?;
        self.linear(&format!("{name}.mlp.2"), &format!("{source}/ffn/linear_1"))?;
        self.norm(&format!("{name}.attn_ln"), &format!("{source}/self_attention/layer_norm"))?;
        self.self_attention(&format!("{name}.attn"), &format!("{source}/self_attention"))?;
        if is_decoder {
            self.norm(&format!("{name}.cross_attn_ln"), &format!("{source}/attention/layer_norm"))?;
            self.cross_attention(&format!("{name}.cross_attn"), &format!("{source}/attention"))?;
        }
        Ok(())
    }

    /// CTranslate2 fuses query, key and value into one layer.
    fn self_attention(&mut self, name: &str, source: &str) -> Result<(), ConvertError> {
        let weight = self.model.get(&format!("{source}/linear_0/weight"))?.clone();
        let bias = self.model.get(&format!("{source}/linear_0/bias"))?.clone();
        self.write(&format!("{name}.query.weight"), &weight.part(0, 3)?, TensorType::F16)?;
        self.write(&format!("{name}.query.bias"), &bias.part(0, 3)?, TensorType::F32)?;
        self.refuse_key_bias(&bias.part(1, 3)?)?;
        self.write(&format!("{name}.key.weight"), &weight.part(1, 3)?, TensorType::F16)?;
        self.write(&format!("{name}.value.weight"), &weight.part(2, 3)?, TensorType::F16)?;
        self.write(&format!("{name}.value.bias"), &bias.part(2, 3)?, TensorType::F32)?;
        self.linear(&format!("{name}.out"), &format!("{source}/linear_1"))
    }

    /// Here only key and value are fused.
    fn cross_attention(&mut self, name: &str, source: &str) -> Result<(), ConvertError> {
        let weight = self.model.get(&format!("{source}/linear_1/weight"))?.clone();
        let bias = self.model.get(&format!("{source}/linear_1/bias"))?.clone();
        self.linear(&format!("{name}.query"), &format!("{source}/linear_0"))?;
        self.refuse_key_bias(&bias.part(0, 2)?)?;
        self.write(&format!("{name}.key.weight"), &weight.part(0, 2)?, TensorType::F16)?;
        self.write(&format!("{name}.value.weight"), &weight.part(1, 2)?, TensorType::F16)?;
        self.write(&format!("{name}.value.bias"), &bias.part(1, 2)?, TensorType::F32)?;
        self.linear(&format!("{name}.out"), &format!("{source}/linear_2"))
    }

    fn linear(&mut self, name: &str, source: &str) -> Result<(), ConvertError> {
        self.copy(&format!("{name}.weight"), &format!("{source}/weight"), TensorType::F16)?;
        self.copy(&format!("{name}.bias"), &format!("{source}/bias"), TensorType::F32)
    }

    fn norm(&mut self, name: &str, source: &str) -> Result<(), ConvertError> {
        self.copy(&format!("{name}.weight"), &format!("{source}/gamma"), TensorType::F32)?;
        self.copy(&format!("{name}.bias"), &format!("{source}/beta"), TensorType::F32)
    }

    fn copy(&mut self, name: &str, source: &str, kind: TensorType) -> Result<(), ConvertError> {
        let variable = self.model.get(source)?.clone();
        self.write(name, &variable, kind)
    }

    fn write(&mut self, name: &str, variable: &Variable, kind: TensorType) -> Result<(), ConvertError> {
        let dimensions = variable.shape.iter().rev().copied().collect();
        ggml::write_tensor_head(self.out, &TensorHead { name: name.to_owned(), dimensions, kind })?;
        let mut first = 0;
        while first < variable.elements() {
            let count = STEP.min(variable.elements() - first);
            let values = self.model.values(variable, first, count as usize)?;
            let bytes: Vec<u8> = if kind == TensorType::F32 {
                values.iter().flat_map(|v| v.to_le_bytes()).collect()
            } else {
                values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()
            };
            self.out.write_all(&bytes).map_err(GgmlError::Write)?;
            first += count;
        }
        Ok(())
    }

    fn refuse_key_bias(&mut self, bias: &Variable) -> Result<(), ConvertError> {
        let values = self.model.values(bias, 0, bias.elements() as usize)?;
        if values.iter().all(|v| *v == 0.0) { Ok(()) } else { Err(ConvertError::KeyBias) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::models::ggml::Reader;
    use assets::tests::{npy, npz};
    use ct2::tests::Builder;

    /// One encoder and one decoder layer, two wide.
    fn tiny(key_bias: f32) -> Builder {
        let linear = |b: Builder, name: &str, rows: u32, bias: &dyn Fn(u32) -> f32| {
            b.matrix(&format!("{name}/weight"), &[rows, 2], |i| i as f32).matrix(&format!("{name}/bias"), &[rows], bias)
        };
        let norm = |b: Builder, name: &str| {
            b.matrix(&format!("{name}/gamma"), &[2], |_| 1.0).matrix(&format!("{name}/beta"), &[2], |_| 0.5)
        };
        let fused = move |i: u32| if (2..4).contains(&i) { key_bias } else { 9.0 };
        let mut b = Builder::default().scalar("encoder/num_heads", 1).scalar("decoder/num_heads", 1);
        for side in ["encoder", "decoder"] {
            let layer = format!("{side}/layer_0");
            b = b.matrix(&format!("{side}/position_encodings/encodings"), &[4, 2], |i| i as f32);
            b = norm(b, &format!("{side}/layer_norm"));
            b = norm(b, &format!("{layer}/ffn/layer_norm"));
            b = linear(b, &format!("{layer}/ffn/linear_0"), 2, &|_| 1.0);
            b = linear(b, &format!("{layer}/ffn/linear_1"), 2, &|_| 1.0);
            b = norm(b, &format!("{layer}/self_attention/layer_norm"));
            b = linear(b, &format!("{layer}/self_attention/linear_0"), 6, &fused);
            b = linear(b, &format!("{layer}/self_attention/linear_1"), 2, &|_| 1.0);
        }
        b = norm(b, "decoder/layer_0/attention/layer_norm");
        b = linear(b, "decoder/layer_0/attention/linear_0", 2, &|_| 1.0);
        b = linear(b, "decoder/layer_0/attention/linear_1", 4, &|i| if i < 2 { 0.0 } else { 3.0 });
        b = linear(b, "decoder/layer_0/attention/linear_2", 2, &|_| 1.0);
        for conv in ["conv1", "conv2"] {
            b = b.matrix(&format!("encoder/{conv}/weight"), &[2, 2, 3], |i| i as f32);
            b = b.matrix(&format!("encoder/{conv}/bias"), &[2], |_| 1.0);
        }
        b.matrix("decoder/embeddings/weight", &[3, 2], |i| i as f32)
    }

    fn convert(weights: Vec<u8>) -> Result<Vec<u8>, ConvertError> {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
        let mut out = Vec::new();
        let sources = Sources {
            weights: Cursor::new(weights),
            mel_filters: npz("mel_2.npy", &npy(header, &[1.0; 4])),
            tokenizer: "IQ== 0\nIg== 1\n".to_owned(),
        };
        whisper_to_ggml(sources, &mut out)?;
        Ok(out)
    }

    #[test]
    fn a_model_is_converted_with_its_fused_layers_taken_apart() {
        let bytes = convert(tiny(0.0).bytes(&[])).unwrap();
        let mut reader = Reader::new(&bytes[..]);
        assert_eq!(reader.preamble().unwrap().hyperparameters, [3, 4, 2, 1, 1, 4, 2, 1, 1, 2, 1]);
        let mut tensors = std::collections::HashMap::new();
        let mut order = Vec::new();
        while let Some(head) = reader.tensor().unwrap() {
            let mut data = vec![0; head.kind.bytes(head.elements()) as usize];
            reader.data(&mut data).unwrap();
            order.push(head.name.clone());
            tensors.insert(head.name.clone(), (head, data));
        }
        assert_eq!(order.first().unwrap(), "decoder.positional_embedding");
        assert_eq!(order.last().unwrap(), "encoder.ln_post.bias");
        assert!(!order.iter().any(|name| name.ends_with("key.bias")));
        let (key, data) = &tensors["encoder.blocks.0.attn.key.weight"];
        assert_eq!((key.kind, key.dimensions.as_slice()), (TensorType::F16, &[2, 2][..]));
        let expected: Vec<u8> = [4.0, 5.0, 6.0, 7.0].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        assert_eq!(*data, expected);
        assert_eq!(tensors["encoder.conv2.bias"].0.dimensions, [1, 2]);
        assert_eq!(tensors["encoder.conv2.bias"].0.kind, TensorType::F32);
    }

    #[test]
    fn a_key_bias_that_would_be_lost_is_refused() {
        assert!(matches!(convert(tiny(0.25).bytes(&[])), Err(ConvertError::KeyBias)));
    }

    #[test]
    fn a_lacking_variable_is_named() {
        let weights = Builder::default().scalar("encoder/num_heads", 1).bytes(&[]);
        assert!(matches!(convert(weights), Err(ConvertError::Missing(name)) if name == "decoder/embeddings/weight"));
    }
}
