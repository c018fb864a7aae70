//! Owns whisper.cpp: nothing else in this program knows of whisper-rs.
//!
//! * [`WhisperModel`]: the weights, shared by all engines; loading is the expensive part.
//! * [`WhisperTranscriber`]: one decoding state on those weights, the engine of one slot.
//! * [`language`]: which language is spoken, from one look at the encoder's output.
//! * [`hearing`]: segments, words and confidences out of a finished state.
//! * [`repetition`]: does a token sequence go round in circles?
//!
//! A voice note is short and the encoder's window is 30 s, so the window is trimmed to the note (`audio_ctx`): most
//! of the work on a note of 5 s would otherwise be spent on silence. Trimmed too tightly, whisper repeats whole
//! sentences; the margin below avoids most of that, and what still repeats itself, or is unsure, is heard again with
//! the full window and whisper's own fallback.

mod hearing;
mod language;
mod raw;
mod repetition;

use std::{path::Path, sync::Arc};

use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperError, WhisperState,
    install_logging_hooks,
};

use self::{hearing::Heard, language::Language};
use super::{AsrError, Hints, Recognised, Transcriber};
use crate::audio::{Pcm, SAMPLE_RATE_HZ};

/// Encoder positions a second of audio.
const POSITIONS_PER_S: f64 = 50.0;
/// Positions beyond the end of the audio; fewer make whisper repeat sentences.
const MARGIN_POSITIONS: usize = 64;
const POSITIONS_MIN: usize = 256;
/// The window whisper was trained on: 30 s.
const POSITIONS_MAX: usize = 1500;
/// whisper.cpp ignores input under 100 ms and is unreliable under a second: shorter notes are padded with silence.
const SAMPLES_MIN: usize = SAMPLE_RATE_HZ as usize * 11 / 10;
/// Below this mean log-probability the trimmed window may be to blame, and the note is heard again.
const HEAR_AGAIN_BELOW: f32 = -0.8;

/// The weights, loaded once and shared by every engine.
#[derive(Debug, Clone)]
pub struct WhisperModel {
    context: Arc<WhisperContext>,
    name: Arc<str>,
    threads: usize,
}

impl WhisperModel {
    /// Loads a ggml file. `name` goes into every transcript; `threads` work within one note.
    ///
    /// # Errors
    /// [`AsrError::Engine`] if the file is no whisper model.
    pub fn load(file: &Path, name: &str, threads: usize) -> Result<Self, AsrError> {
        // whisper.cpp and ggml write to stderr otherwise, and say little that an operator can use.
        install_logging_hooks();
        let mut parameters = WhisperContextParameters::default();
        // Slower on processors, by measurement.
        parameters.flash_attn(false).use_gpu(false);
        let context = WhisperContext::new_with_params(file, parameters)
            .map_err(|e| AsrError::Engine(format!("the file {} is no whisper model: {e}", file.display())))?;
        Ok(Self { context: Arc::new(context), name: name.into(), threads: threads.max(1) })
    }

    /// One more engine on these weights.
    ///
    /// # Errors
    /// [`AsrError::Engine`] if there is no memory for its state.
    pub fn transcriber(&self) -> Result<WhisperTranscriber, AsrError> {
        let state = self.context.create_state().map_err(engine_error)?;
        Ok(WhisperTranscriber { model: self.clone(), state })
    }
}

/// One decoding state: works on one note at a time and keeps nothing from one note to the next.
#[derive(Debug)]
pub struct WhisperTranscriber {
    model: WhisperModel,
    state: WhisperState,
}

impl Transcriber for WhisperTranscriber {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        let padded;
        let samples = if pcm.0.len() < SAMPLES_MIN {
            let mut longer = pcm.0.clone();
            longer.resize(SAMPLES_MIN, 0.0);
            padded = longer;
            &padded
        } else {
            &pcm.0
        };
        let language = self.language(samples, hints)?;
        let window = trimmed_window(samples.len());
        let mut heard = self.hear(samples, &language, window, hints)?;
        let suspicious = heard.repetition || heard.mean_log_probability < HEAR_AGAIN_BELOW;
        if suspicious && window < POSITIONS_MAX {
            heard = self.hear(samples, &language, POSITIONS_MAX, hints)?;
        }
        Ok(heard.into_recognised(language, &self.model.name, pcm.duration_s()))
    }
}

impl WhisperTranscriber {
    fn language(&mut self, samples: &[f32], hints: &Hints) -> Result<Language, AsrError> {
        if !self.model.context.is_multilingual() {
            return Ok(Language::ENGLISH);
        }
        // A hint that whisper does not know is a producer's mistake; the note itself can still be heard.
        if let Some(given) = hints.language.as_deref().and_then(Language::given) {
            return Ok(given);
        }
        let beginning = &samples[..samples.len().min(30 * SAMPLE_RATE_HZ as usize)];
        let parameters = self.parameters(trimmed_window(beginning.len()));
        raw::mel_only(&mut self.state, parameters, beginning).map_err(engine_error)?;
        self.state.encode(0, self.model.threads).map_err(engine_error)?;
        language::detect(&self.model.context, &mut self.state, self.model.threads, &hints.languages_accepted)
    }

    /// One pass over the whole note with an encoder window of `positions`.
    fn hear(
        &mut self,
        samples: &[f32],
        language: &Language,
        positions: usize,
        hints: &Hints,
    ) -> Result<Heard, AsrError> {
        let mut parameters = self.parameters(positions);
        // whisper-rs leaks this string's few bytes at every call; it has no other way to set it.
        parameters.set_language(Some(language.code));
        if positions < POSITIONS_MAX {
            // Fallback at another temperature is for the full window; here it would only cost time.
            parameters.set_temperature_inc(0.0);
        }
        let result = raw::full_within(&mut self.state, parameters, samples, &hints.limit);
        if hints.limit.is_over() {
            return Err(hints.limit.error());
        }
        result.map_err(engine_error)?;
        Ok(Heard::read(&self.state, self.model.context.token_eot()))
    }

    fn parameters(&self, positions: usize) -> FullParams<'static, 'static> {
        let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 5 });
        parameters.set_n_threads(self.model.threads.try_into().unwrap_or(i32::MAX));
        parameters.set_audio_ctx(positions.try_into().unwrap_or(0));
        // One note never conditions the next, and one window of a long note not the following one either: a
        // repetition would otherwise carry itself on.
        parameters.set_no_context(true);
        parameters.set_n_max_text_ctx(0);
        parameters.set_token_timestamps(true);
        parameters.set_print_special(false);
        parameters.set_print_progress(false);
        parameters.set_print_realtime(false);
        parameters.set_print_timestamps(false);
        parameters
    }
}

/// Encoder positions for this many samples: the note, a margin, in steps that keep buffers aligned.
fn trimmed_window(samples: usize) -> usize {
    let seconds = samples as f64 / f64::from(SAMPLE_RATE_HZ);
    let needed = (seconds * POSITIONS_PER_S).ceil() as usize + MARGIN_POSITIONS;
    needed.next_multiple_of(64).clamp(POSITIONS_MIN, POSITIONS_MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn engine_error(error: WhisperError) -> AsrError {
    AsrError::Engine(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_fits_the_note_and_never_exceeds_what_whisper_was_trained_on() {
        let seconds = |s: usize| trimmed_window(s * SAMPLE_RATE_HZ as usize);
        assert_eq!(seconds(1), POSITIONS_MIN);
        assert_eq!(seconds(7), 448);
        assert_eq!(seconds(30), POSITIONS_MAX);
        assert_eq!(seconds(1200), POSITIONS_MAX);
    }
}
