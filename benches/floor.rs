//! How near does recognition come to what one core could do at best? `cargo bench --bench floor -- [RECORDING]`
//!
//! At best, the encoder's products take as long as so many multiplications in single precision, and each token of the
//! decoder as long as its weights of eight bits, and the keys and values of the audio, take to be read from memory. How
//! fast this core does either is measured here; then `fast` hears the recording on one thread, ten times. More than
//! 100 % is no mistake: products of 16 bits are faster, and half of the vocabulary is hardly ever read.
//!
//! Wants an idle machine. Without a recording it takes one of the repository's.

use std::{
    hint::black_box,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use pulp::{Arch, Simd, WithSimd};
use sprachpost::{
    asr::{Effort, Hints, Limit, Profile, Transcriber, whisper::WhisperModel},
    audio::{Pcm, decode},
    config::Config,
    models::Store,
};
use whisper_rs::{WhisperContext, WhisperContextParameters};

const TRIES: usize = 10;

fn main() {
    let named = std::env::args().skip(1).find(|argument| argument != "--bench").map(PathBuf::from);
    let recording = named
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips/notes/de-invoice-question.ogg"));
    let config = Config::default();
    let store = Store::open(&config.models).unwrap_or_else(|e| panic!("{e}"));
    let file = store.path(&config.asr.model).unwrap_or_else(|e| panic!("{e}"));
    let bytes = std::fs::read(&recording).unwrap_or_else(|e| panic!("{}: {e}", recording.display()));
    let pcm = decode::decode(&bytes, &decode::Config::default()).unwrap_or_else(|e| panic!("{e}")).pcm;

    let (flops, bytes_a_s) = (products_a_s(), bytes_read_a_s());
    println!("one core: {:.0} GFLOP/s in single precision, {:.1} GB/s from memory", flops / 1e9, bytes_a_s / 1e9);
    let (took_s, tokens) = heard(&file, &config.asr.model, &pcm);
    let shape = Shape::read(&file);
    let positions = positions(&pcm);
    let (encoder, decoder) = (shape.encoder_flops(positions), shape.decoder_bytes(positions) * tokens as f64);
    let best_s = encoder / flops + decoder / bytes_a_s;
    println!(
        "{:.1} s of audio, {positions} positions, {tokens} passes of the decoder: {:.1} GFLOP and {:.2} GB, at best {:.0} ms",
        pcm.duration_s(),
        encoder / 1e9,
        decoder / 1e9,
        best_s * 1e3
    );
    println!("heard in {:.0} ms, the best of {TRIES} times: {:.0} %", took_s * 1e3, 100.0 * best_s / took_s);
}

/// How long `fast` takes on one thread, and how often the decoder has to be run for what it heard.
fn heard(file: &Path, name: &str, pcm: &Pcm) -> (f64, usize) {
    let mut engine = WhisperModel::load(file, name, 1, false)
        .and_then(|model| model.transcriber())
        .unwrap_or_else(|e| panic!("{e}"));
    let hints = Hints {
        language: None,
        languages_accepted: vec![],
        profile: Profile::Fast,
        effort: Effort::Usual,
        glossary: vec![],
        limit: Limit::after(Duration::from_mins(5), Arc::new(AtomicBool::new(false))),
    };
    let mut best_s = f64::INFINITY;
    let mut segments = Vec::new();
    for _ in 0..TRIES {
        let started = Instant::now();
        let recognised = engine.transcribe(pcm, &hints).unwrap_or_else(|e| panic!("{e}"));
        best_s = best_s.min(started.elapsed().as_secs_f64());
        segments = recognised.transcript.segments;
    }
    let context =
        WhisperContext::new_with_params(file, WhisperContextParameters::default()).expect("it was loaded before");
    let tokens = |text: &str| context.tokenize(text, 1024).map_or(0, |tokens| tokens.len());
    // The language, then the rest of the start; a segment's tokens lie between two times.
    (best_s, 2 + segments.iter().map(|segment| tokens(segment.text.expose()) + 2).sum::<usize>())
}

/// As many as recognition takes for a note of up to 28 s.
fn positions(pcm: &Pcm) -> usize {
    ((pcm.duration_s() * 50.0).ceil() as usize + 64).next_multiple_of(64).clamp(256, 1500)
}

/// What the model's file says of its size.
struct Shape {
    vocabulary: f64,
    audio_width: f64,
    audio_layers: f64,
    text_width: f64,
    text_layers: f64,
    bands: f64,
}

impl Shape {
    fn read(file: &Path) -> Self {
        let mut header = [0; 44];
        std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut header)).expect("it was loaded before");
        let number = |i: usize| f64::from(i32::from_le_bytes(std::array::from_fn(|byte| header[4 * i + byte])));
        // Behind the mark: tokens, positions of the audio, width, heads, layers, the same four of the text, bands.
        Self {
            vocabulary: number(1),
            audio_width: number(3),
            audio_layers: number(5),
            text_width: number(7),
            text_layers: number(9),
            bands: number(10),
        }
    }

    /// Two convolutions; for each layer four square matrices, two that are four times as large, and attention; then the
    /// keys and values that the decoder's layers look at.
    fn encoder_flops(&self, positions: usize) -> f64 {
        let (n, width) = (positions as f64, self.audio_width);
        let convolutions = 2.0 * n * 3.0 * self.bands * width + n * 3.0 * width * width;
        let layers = self.audio_layers * (n * 12.0 * width * width + 2.0 * n * n * width);
        let seen = self.text_layers * n * 2.0 * width * self.text_width;
        2.0 * (convolutions + layers + seen)
    }

    /// For each pass: of each layer six square matrices and two that are four times as large, and the vocabulary, in
    /// blocks of 32 weights and a scale; keys and values of all positions in half precision.
    fn decoder_bytes(&self, positions: usize) -> f64 {
        let width = self.text_width;
        let weights = self.text_layers * 14.0 * width * width + self.vocabulary * width;
        weights * 34.0 / 32.0 + self.text_layers * positions as f64 * 2.0 * width * 2.0
    }
}

/// Operations a second, two for each multiplication and addition, where nothing is waited for.
fn products_a_s() -> f64 {
    const ROUNDS: usize = 2_000_000;
    const CHAINS: usize = 12;
    struct Products;
    impl WithSimd for Products {
        type Output = f64;

        #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f64 {
            let (a, b) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(1.0)));
            let mut sums = [simd.splat_f32s(0.0); CHAINS];
            let started = Instant::now();
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = simd.mul_add_f32s(a, *sum, b);
                }
            }
            let took_s = started.elapsed().as_secs_f64();
            black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
            (ROUNDS * CHAINS * S::F32_LANES * 2) as f64 / took_s
        }
    }
    let arch = Arch::new();
    (0..TRIES).map(|_| arch.dispatch(Products)).fold(0.0, f64::max)
}

/// Of more than any cache holds, once through.
fn bytes_read_a_s() -> f64 {
    const BYTES: usize = 256 << 20;
    let numbers = vec![1_u64; BYTES / size_of::<u64>()];
    let read = || {
        let started = Instant::now();
        black_box(numbers.iter().fold(0_u64, |sum, number| sum.wrapping_add(*number)));
        BYTES as f64 / started.elapsed().as_secs_f64()
    };
    (0..TRIES).map(|_| read()).fold(0.0, f64::max)
}
