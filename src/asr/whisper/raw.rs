//! Owns the only unsafe code of this program: what whisper.cpp, and native/ beside it, offer to C alone.
//!
//! [`Engine`] is a decoding state with what whisper-rs 0.16 does not reach: scores behind the first row, an encoder
//! window set without decoding, several sequences at once, and callbacks. (Its own setter for the abort callback
//! reinterprets the closure as another type and leaks it.)
#![expect(unsafe_code, reason = "what C offers has no safe form; this module keeps it together")]

use std::{
    ffi::{c_int, c_void},
    ptr::NonNull,
    slice,
    sync::{Mutex, PoisonError},
};

use whisper_rs::{FullParams, WhisperContext, WhisperError, WhisperState, WhisperTokenId, whisper_rs_sys as sys};

use crate::asr::Limit;

// native/sequences.cpp says what they do.
unsafe extern "C" {
    fn sprachpost_prepare(context: *mut sys::whisper_context);
    fn sprachpost_begin(state: *mut sys::whisper_state, positions: c_int);
    fn sprachpost_reserve(context: *mut sys::whisper_context, state: *mut sys::whisper_state, count: c_int) -> bool;
    fn sprachpost_fork(state: *mut sys::whisper_state, from: c_int, to: c_int);
    fn sprachpost_decode(
        context: *mut sys::whisper_context,
        state: *mut sys::whisper_state,
        tokens: *const WhisperTokenId,
        sequences: *const i32,
        count: c_int,
        position: c_int,
        threads: c_int,
    ) -> bool;
    fn sprachpost_attend(
        context: *mut sys::whisper_context,
        state: *mut sys::whisper_state,
        tokens: *const WhisperTokenId,
        count: c_int,
        positions: c_int,
        threads: c_int,
    ) -> c_int;
    fn sprachpost_attention(state: *mut sys::whisper_state, weights: *mut f32);
}

/// More sequences than this whisper.cpp has no place for.
pub const SEQUENCES_MAX: usize = 8;
/// More positions than this the decoder does not have.
const POSITIONS_MAX: usize = 448;

static PREPARING: Mutex<()> = Mutex::new(());

/// Twice what whisper.cpp takes at least.
const MOMENT_SAMPLES: usize = 3200;

/// A decoding state and its model.
#[derive(Debug)]
pub struct Engine {
    /// Owns what `raw` points to.
    state: WhisperState,
    raw: Pointers,
    threads: usize,
    /// The encoder's window.
    positions: usize,
    /// Rows of scores that the last decoding left, …
    rows: usize,
    /// … and which of them is the first that holds any.
    first_row: usize,
}

/// What a state and its model are to C.
#[derive(Debug, Clone, Copy)]
struct Pointers {
    context: NonNull<sys::whisper_context>,
    state: NonNull<sys::whisper_state>,
}

// SAFETY: they are used only through the `Engine` that owns the state, which may itself go to another thread.
unsafe impl Send for Pointers {}

impl Engine {
    /// A state on `context`. `parameters` for what is decoded by [`Engine::full_within`], with that many threads.
    pub fn new(context: &WhisperContext, parameters: FullParams<'_, '_>, threads: usize) -> Result<Self, WhisperError> {
        let engine = Self::unprepared(context, parameters, threads)?;
        // One engine at a time: the first on a model rewrites weights, and none decodes before that.
        let preparing = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: nothing is decoded on this context yet, or it was prepared before.
        unsafe { sprachpost_prepare(engine.raw.context.as_ptr()) };
        drop(preparing);
        Ok(engine)
    }

    /// With weights as they were loaded.
    fn unprepared(
        context: &WhisperContext,
        mut parameters: FullParams<'_, '_>,
        threads: usize,
    ) -> Result<Self, WhisperError> {
        let mut state = context.create_state()?;
        let mut seen: Option<Pointers> = None;
        // whisper-rs keeps the pointers private, and whisper.cpp passes them to callbacks: a moment of silence does.
        // SAFETY: `remember` takes its user data for the option that it is, and is called only during `full`.
        unsafe {
            parameters.set_start_encoder_callback(Some(remember));
            parameters.set_start_encoder_callback_user_data((&raw mut seen).cast());
        }
        state.full(parameters, &[0.0; MOMENT_SAMPLES])?;
        let raw = seen.ok_or(WhisperError::NullPointer)?;
        Ok(Self { state, raw, threads, positions: 0, rows: 0, first_row: 0 })
    }

    /// Takes a spectrogram of `bands`, one behind the other, as what is encoded from now on.
    pub fn listen(&mut self, spectrogram: &[f32], bands: usize) -> Result<(), WhisperError> {
        let frames = spectrogram.len() / bands.max(1);
        let Pointers { context, state } = self.raw;
        // whisper-rs' own knows of 80 bands only.
        // SAFETY: as in `reserve`; whisper.cpp copies `frames` times `bands` values, and there are no fewer.
        let done = unsafe {
            let (spectrogram, frames, bands) = (spectrogram.as_ptr(), int(frames), int(bands));
            sys::whisper_set_mel_with_state(context.as_ptr(), state.as_ptr(), spectrogram, frames, bands)
        };
        if done == 0 { Ok(()) } else { Err(WhisperError::InvalidMelBands) }
    }

    /// Encodes in a window of so many positions of 20 ms, and forgets what was decoded.
    pub fn encode(&mut self, positions: usize) -> Result<(), WhisperError> {
        (self.rows, self.positions) = (0, positions);
        // SAFETY: the state lives as long as `self`, and nobody else uses it meanwhile.
        unsafe { sprachpost_begin(self.raw.state.as_ptr(), int(positions)) };
        self.state.encode(0, self.threads)
    }

    /// Decodes tokens one after the other as sequence 0, behind `past` others; the last of them has scores.
    pub fn decode(&mut self, tokens: &[WhisperTokenId], past: usize) -> Result<(), WhisperError> {
        self.rows = 0;
        self.state.decode(tokens, past, self.threads)?;
        (self.rows, self.first_row) = (tokens.len(), tokens.len().saturating_sub(1));
        Ok(())
    }

    /// What may come after the token decoded last: [`Engine::scores`] of the last row.
    pub fn last_scores(&self) -> Result<&[f32], WhisperError> {
        self.scores(self.rows.saturating_sub(1))
    }

    /// Makes room for sequences from 0 to `count`, which forgets what was decoded if there was none yet.
    pub fn reserve(&mut self, count: usize) -> Result<(), WhisperError> {
        let Pointers { context, state } = self.raw;
        // SAFETY: as in `encode`; the context is kept alive by the state.
        let done = unsafe { sprachpost_reserve(context.as_ptr(), state.as_ptr(), int(count.min(SEQUENCES_MAX))) };
        if done { Ok(()) } else { Err(WhisperError::InitError) }
    }

    /// Sequence `to` is from now on what sequence `from` is.
    pub fn fork(&mut self, from: usize, to: usize) {
        // SAFETY: as in `encode`; a sequence is no more than a mark, whatever its number.
        unsafe { sprachpost_fork(self.raw.state.as_ptr(), int(from), int(to)) };
    }

    /// Decodes one token of each of these sequences at `position`; row i of the scores is that of `next[i]`.
    pub fn decode_each(&mut self, next: &[(usize, WhisperTokenId)], position: usize) -> Result<(), WhisperError> {
        (self.rows, self.first_row) = (0, 0);
        if next.is_empty() || next.len() > SEQUENCES_MAX || position >= POSITIONS_MAX {
            return Err(WhisperError::FailedToDecode);
        }
        let (sequences, tokens): (Vec<i32>, Vec<WhisperTokenId>) = next.iter().map(|&(s, t)| (int(s), t)).unzip();
        let Pointers { context, state } = self.raw;
        let (count, position, threads) = (int(next.len()), int(position), int(self.threads));
        // SAFETY: as in `reserve`; both lists have `count` items and whisper.cpp copies them.
        let done = unsafe {
            let (tokens, sequences) = (tokens.as_ptr(), sequences.as_ptr());
            sprachpost_decode(context.as_ptr(), state.as_ptr(), tokens, sequences, count, position, threads)
        };
        if !done {
            return Err(WhisperError::FailedToDecode);
        }
        self.rows = next.len();
        Ok(())
    }

    /// A row of scores that the last decoding left, one score a token of the vocabulary.
    pub fn scores(&self, row: usize) -> Result<&[f32], WhisperError> {
        if row < self.first_row || row >= self.rows {
            return Err(WhisperError::NullPointer);
        }
        let tokens = usize::try_from(self.state.n_vocab()).unwrap_or_default();
        // SAFETY: whisper.cpp keeps `rows` rows of `tokens` scores until something else is decoded, which takes
        // `&mut self`.
        unsafe {
            let scores = sys::whisper_get_logits_from_state(self.raw.state.as_ptr());
            Ok(slice::from_raw_parts(scores.add(row * tokens), tokens))
        }
    }

    /// Decodes these tokens from the start, and tells where the decoder looked for each. Forgets what was decoded. Only
    /// with weights that were loaded for it.
    pub fn attention(&mut self, tokens: &[WhisperTokenId]) -> Result<Attention, WhisperError> {
        self.rows = 0;
        if tokens.is_empty() || tokens.len() >= POSITIONS_MAX {
            return Err(WhisperError::FailedToDecode);
        }
        let Pointers { context, state } = self.raw;
        let (count, positions, threads) = (int(tokens.len()), int(self.positions), int(self.threads));
        // SAFETY: as in `reserve`; the list has `count` items and whisper.cpp copies them.
        let heads =
            unsafe { sprachpost_attend(context.as_ptr(), state.as_ptr(), tokens.as_ptr(), count, positions, threads) };
        let heads = usize::try_from(heads).unwrap_or_default();
        if heads == 0 {
            return Err(WhisperError::FailedToDecode);
        }
        let mut weights = vec![0.0; heads * self.positions * tokens.len()];
        // SAFETY: there are so many weights: the call before has checked tokens and positions, and told the heads.
        unsafe { sprachpost_attention(state.as_ptr(), weights.as_mut_ptr()) };
        Ok(Attention { weights, positions: self.positions, tokens: tokens.len() })
    }

    /// Runs `whisper_full`, giving up when `limit` is over.
    pub fn full_within(
        &mut self,
        mut params: FullParams<'_, '_>,
        samples: &[f32],
        limit: &Limit,
    ) -> Result<&WhisperState, WhisperError> {
        self.rows = 0;
        let user_data = std::ptr::from_ref(limit).cast_mut().cast::<c_void>();
        // SAFETY: `is_over` reads `user_data` as the `Limit` that it is. whisper.cpp calls it only during `full` below,
        // during which `limit` is borrowed; from several threads at once, which a shared `Limit` allows.
        unsafe {
            params.set_abort_callback(Some(is_over));
            params.set_abort_callback_user_data(user_data);
        }
        self.state.full(params, samples)?;
        Ok(&self.state)
    }
}

/// Where in the audio a decoder looked for each token.
#[derive(Debug)]
pub struct Attention {
    /// For each head, for each position, one weight for each token.
    pub weights: Vec<f32>,
    /// In the window, of 20 ms each.
    pub positions: usize,
    pub tokens: usize,
}

fn int(number: usize) -> c_int {
    c_int::try_from(number).unwrap_or(c_int::MAX)
}

/// Notes what whisper.cpp calls it with, and stops it.
unsafe extern "C" fn remember(
    context: *mut sys::whisper_context,
    state: *mut sys::whisper_state,
    seen: *mut c_void,
) -> bool {
    // SAFETY: see `Engine::new`, the only one who registers this function.
    let seen = unsafe { &mut *seen.cast::<Option<Pointers>>() };
    *seen = NonNull::new(context).zip(NonNull::new(state)).map(|(context, state)| Pointers { context, state });
    false
}

unsafe extern "C" fn is_over(user_data: *mut c_void) -> bool {
    // SAFETY: see `Engine::full_within`, the only one who registers this function.
    unsafe { &*user_data.cast::<Limit>() }.is_over()
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use whisper_rs::{SamplingStrategy, WhisperContextParameters, install_logging_hooks};

    use super::*;
    use crate::asr::whisper::{spectrogram::Spectrograph, window};

    fn context(flash_attention: bool) -> WhisperContext {
        install_logging_hooks();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/ggml-base-q8_0.bin");
        let mut parameters = WhisperContextParameters::default();
        parameters.flash_attn(flash_attention).use_gpu(false);
        WhisperContext::new_with_params(file, parameters)
            .expect("the speech model is missing: run `make setup`, or `sprachpost models pull`")
    }

    fn parameters() -> FullParams<'static, 'static> {
        FullParams::new(SamplingStrategy::Greedy { best_of: 1 })
    }

    /// Two seconds of something like vowels.
    fn sound() -> Vec<f32> {
        let tone = |hz: f32, i: usize| (TAU * hz * i as f32 / 16_000.0).sin();
        (0..32_000).map(|i| 0.1 * (tone(120.0, i) + tone(730.0, i) * tone(3.0, i) + tone(1090.0, i))).collect()
    }

    /// What comes after the start, for one token and for several rows.
    fn scores(engine: &mut Engine, context: &WhisperContext, positions: usize) -> Vec<Vec<f32>> {
        let start = context.token_sot();
        engine.encode(positions).unwrap();
        engine.decode(&[start], 0).unwrap();
        let one = engine.last_scores().unwrap().to_vec();
        engine.reserve(3).unwrap();
        engine.encode(positions).unwrap();
        engine.decode(&[start, start + 3, context.token_transcribe()], 0).unwrap();
        for sequence in 1..3 {
            engine.fork(0, sequence);
        }
        engine.decode_each(&[(0, context.token_beg()), (1, 400), (2, 500)], 3).unwrap();
        let several = (0..3).map(|row| engine.scores(row).unwrap().to_vec());
        std::iter::once(one).chain(several).collect()
    }

    fn engine(context: &WhisperContext, prepared: bool) -> Engine {
        let new = if prepared { Engine::new } else { Engine::unprepared };
        let mut engine = new(context, parameters(), 1).unwrap();
        engine.listen(&Spectrograph::new(80).of(&sound()), 80).unwrap();
        engine
    }

    /// The largest difference of two rows where `expected` is at most `reach` below its highest.
    fn difference(row: &[f32], expected: &[f32], reach: f32) -> f32 {
        let highest = expected.iter().copied().fold(f32::MIN, f32::max);
        let near = row.iter().zip(expected).filter(|(_, expected)| **expected >= highest - reach);
        near.map(|(score, expected)| (score - expected).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn the_encoder_attends_as_whisper_cpp_does_by_itself() {
        // Its flash attention, which is not ours. Both round, whence the tolerance, each processor in its way; it is right
        // in windows of 256 and their multiples, and nearly so in the whole one.
        let (ours, theirs) = (context(false), context(true));
        let (mut engine, mut reference) = (engine(&ours, false), engine(&theirs, false));
        for (positions, rows, tolerance) in [(512, 4, 1.0), (768, 4, 1.0), (window::POSITIONS_MAX, 1, 1.5)] {
            let expected = scores(&mut reference, &theirs, positions);
            for (row, expected) in scores(&mut engine, &ours, positions).iter().zip(&expected).take(rows) {
                let difference = difference(row, expected, f32::INFINITY);
                assert!(difference < tolerance, "{positions} positions: {difference}");
            }
        }
    }

    /// Products come out the same but for their last bits, and one of those may change a number of eight bits that the next
    /// layer reads: what several tokens at once may differ by. Scores by halves alone differ by 2 and more.
    const LAST_BITS: f32 = 0.5;

    #[test]
    fn weights_laid_out_anew_give_the_same_scores_for_many_tokens_at_once() {
        // So many that the decoder's products are those of many rows.
        let score = |prepared: bool| {
            let context = context(false);
            let mut engine = engine(&context, prepared);
            let mut tokens = vec![context.token_sot(), context.token_sot() + 3, context.token_transcribe()];
            tokens.extend(400..420);
            engine.encode(300).unwrap();
            engine.decode(&tokens, 0).unwrap();
            engine.last_scores().unwrap().to_vec()
        };
        assert!(difference(&score(true), &score(false), 4.0) < LAST_BITS);
    }

    #[test]
    fn scores_in_halves_are_exact_where_they_count() {
        let (split, whole) = (context(false), context(false));
        let (mut engine, mut reference) = (engine(&split, true), engine(&whole, false));
        let rows = scores(&mut engine, &split, 300);
        let times = usize::try_from(split.token_beg()).unwrap();
        let tolerances = [1e-3, LAST_BITS, LAST_BITS, LAST_BITS];
        for ((row, expected), tolerance) in rows.iter().zip(&scores(&mut reference, &whole, 300)).zip(tolerances) {
            assert!(difference(row, expected, 4.0) < tolerance);
            assert!(difference(row, expected, f32::INFINITY) < 4.0);
            assert!(difference(&row[times..], &expected[times..], f32::INFINITY) < tolerance);
        }
    }
}
