//! Owns whisper.cpp: nothing else in this program knows of whisper-rs.
//!
//! * [`WhisperModel`]: the weights, shared by all engines; loading is the expensive part.
//! * [`WhisperTranscriber`]: one decoding state on those weights, the engine of one slot.
//! * [`spectrogram`]: what the encoder sees of the audio.
//! * [`window`]: what is heard at once, and how far the encoder is trimmed to it.
//! * [`greedy`]: the cheap way to hear, one encoder pass for language, text and times; [`rules`] chooses its tokens.
//! * [`beam`]: the careful way, several hypotheses at once.
//! * [`doubt`]: may a cheap answer stand? [`rest`]: was all of it heard?
//! * [`prompt`], [`glossary`]: what the decoder is told before it listens.
//! * [`language`], [`hearing`], [`confidence`], [`repetition`]: what the decoder's scores and tokens mean.
//! * [`alignment`]: when each word is spoken.
//!
//! A voice note is short and the encoder's window is 30 s, so the window is trimmed to the note: most of the work on a
//! note of 5 s would otherwise be spent on silence. That costs words where it is noisy, and whisper repeats sentences
//! where it is trimmed too tightly; so what is in doubt is heard again with the whole window and several hypotheses.
//!
//! Where the time goes, with the kernels of native/, by a sampling profiler on 73 clips, trimmed and greedy, AVX-512
//! without AMX: in the encoder 35 % in products and 9 % in attention; in the decoder 10 % in the products of its layers, 12 %
//! in the scores of tokens, and 5 % in attention; 2 % in choosing tokens, and less than 1 % in the spectrogram. The decoder
//! reads 38 MB of weights a token, which is what bounds it.

mod alignment;
mod beam;
mod confidence;
mod doubt;
mod glossary;
mod greedy;
mod hearing;
pub(crate) mod language;
mod prompt;
mod raw;
mod repetition;
mod rest;
mod rules;
mod spectrogram;
mod window;

use std::{path::Path, sync::Arc};

use whisper_rs::{
    DtwMode, DtwModelPreset, DtwParameters, FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters,
    WhisperError, install_logging_hooks,
};

use self::{
    glossary::Glossary, hearing::Heard, language::Language, prompt::Prompt, raw::Engine, spectrogram::Spectrograph,
};
use super::{
    AsrError, Hints, Profile, Recognised, Transcriber,
    stretches::{self, Joined},
};
use crate::{
    audio::Pcm,
    event::processed::{Segment, Transcript},
    private::Private,
};

/// Randomness added at every further try, up to 1.
const TEMPERATURE_STEP: f32 = 0.4;
/// Whether this is a build for a graphics card.
const GPU: bool = cfg!(any(feature = "cuda", feature = "vulkan", feature = "metal"));
/// Lower than any text has.
const LOG_PROBABILITY_OF_NOTHING: f32 = -100.0;

/// The weights, loaded once and shared by every engine.
#[derive(Debug, Clone)]
pub struct WhisperModel {
    context: Arc<WhisperContext>,
    spectrograph: Arc<Spectrograph>,
    name: Arc<str>,
    threads: usize,
    word_times: bool,
}

impl WhisperModel {
    /// Loads a ggml file. `name` goes into every transcript; `threads` work within one note. `word_times`: find out
    /// when each word is spoken, instead of dividing each segment's time.
    ///
    /// # Errors
    /// [`AsrError::Engine`] if the file is no whisper model.
    pub fn load(file: &Path, name: &str, threads: usize, word_times: bool) -> Result<Self, AsrError> {
        // whisper.cpp and ggml write to stderr otherwise, and say little that an operator can use.
        install_logging_hooks();
        let mut parameters = WhisperContextParameters::default();
        // Slower on processors, by measurement. A build for a graphics card uses it.
        parameters.flash_attn(false).use_gpu(GPU);
        if word_times {
            parameters.dtw_parameters(DtwParameters { mode: looking_heads(name), ..DtwParameters::default() });
        }
        let context = WhisperContext::new_with_params(file, parameters)
            .map_err(|e| AsrError::Engine(format!("the file {} is no whisper model: {e}", file.display())))?;
        let bands = usize::try_from(context.model_n_mels()).unwrap_or_default();
        let spectrograph = Arc::new(Spectrograph::new(bands));
        Ok(Self { context: Arc::new(context), spectrograph, name: name.into(), threads: threads.max(1), word_times })
    }

    /// One more engine on these weights.
    ///
    /// # Errors
    /// [`AsrError::Engine`] if there is no memory for its state.
    pub fn transcriber(&self) -> Result<WhisperTranscriber, AsrError> {
        let engine = Engine::new(&self.context, parameters(self.threads), self.threads).map_err(engine_error)?;
        Ok(WhisperTranscriber { model: self.clone(), engine })
    }
}

/// One decoding state: works on one note at a time and keeps nothing from one note to the next.
#[derive(Debug)]
pub struct WhisperTranscriber {
    model: WhisperModel,
    engine: Engine,
}

/// What one look at a stretch of audio tells before any word of it.
#[derive(Debug, Clone, Copy)]
struct Impression {
    language: Language,
    no_speech_probability: f32,
}

impl Transcriber for WhisperTranscriber {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        let heard = self.listen(pcm, hints)?;
        let Some(start) = rest::start(pcm, &heard) else { return Ok(heard) };
        let hints = Hints { language: Some(heard.transcript.language.clone()), ..hints.clone() };
        // Shorter by a second at least each time.
        let rest = self.transcribe(&stretches::part(pcm, &(start..pcm.0.len())), &hints)?;
        let mut note = Joined::default();
        note.append(heard, 0);
        if rest::counts(&rest) {
            note.append(rest, start);
        }
        note.into_recognised()
    }
}

impl WhisperTranscriber {
    /// Hears a stretch in one go.
    fn listen(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        let samples = window::long_enough(&pcm.0);
        let duration_s = pcm.duration_s();
        let spectrograph = &self.model.spectrograph;
        self.engine.listen(&spectrograph.of(&samples), spectrograph.bands()).map_err(engine_error)?;
        let glossary = Glossary::of(&self.model.context, &hints.glossary)?;
        let (impression, heard) = self.hear(&samples, duration_s, &glossary, hints)?;
        if glossary.leaked_into(&heard.text()) {
            // What whisper says it was told is no proof that somebody said it.
            let (impression, heard) = self.hear(&samples, duration_s, &Glossary::default(), hints)?;
            return Ok(self.recognised(&heard, impression));
        }
        Ok(self.recognised(&heard, impression))
    }

    /// Hears what it listens to with as much work as the profile asks for.
    fn hear(
        &mut self,
        samples: &[f32],
        duration_s: f64,
        glossary: &Glossary,
        hints: &Hints,
    ) -> Result<(Impression, Heard), AsrError> {
        let profile = hints.effort.profile(hints.profile);
        let prompt =
            |context: &WhisperContext, impression: Impression| Prompt::new(context, glossary, impression.language);
        let (impression, prompt, mut heard) = match profile {
            Profile::Accurate => {
                self.engine.reserve(beam::WIDTH).map_err(engine_error)?;
                let impression = self.look(window::POSITIONS_MAX, hints)?;
                let prompt = prompt(&self.model.context, impression);
                let heard = self.carefully(1, duration_s, &prompt, hints)?;
                (impression, prompt, heard)
            }
            Profile::Fast | Profile::Balanced => {
                let impression = self.look(window::trimmed_positions(samples.len()), hints)?;
                let prompt = prompt(&self.model.context, impression);
                let mut heard = self.cheaply(duration_s, &prompt, hints)?;
                if !doubt::may_stand(&heard, profile) {
                    self.engine.reserve(beam::WIDTH).map_err(engine_error)?;
                    self.engine.encode(window::POSITIONS_MAX).map_err(engine_error)?;
                    heard = self.carefully(0, duration_s, &prompt, hints)?;
                }
                (impression, prompt, heard)
            }
        };
        if heard.looped {
            // A sentence that stands twice in a careful answer was said twice; a circle is none of the speaker's.
            return Ok((impression, self.once_more(samples, duration_s, impression.language, hints)?));
        }
        if self.model.word_times {
            self.align(&mut heard, &prompt, duration_s)?;
        }
        Ok((impression, heard))
    }

    /// Finds out when each token is spoken, on what was encoded last.
    fn align(&mut self, heard: &mut Heard, prompt: &Prompt, duration_s: f64) -> Result<(), AsrError> {
        let mut tokens = prompt.tokens().to_vec();
        tokens.push(self.model.context.token_not());
        let first = tokens.len() - 1;
        tokens.extend(heard.tokens().map(|token| token.id));
        if tokens.len() > first + 1 {
            let attention = self.engine.attention(&tokens).map_err(engine_error)?;
            heard.set_times(&alignment::times(&attention, first..tokens.len(), duration_s));
        }
        Ok(())
    }

    /// Encodes and reads off what the start token tells.
    fn look(&mut self, positions: usize, hints: &Hints) -> Result<Impression, AsrError> {
        let context = &self.model.context;
        self.engine.encode(positions).map_err(engine_error)?;
        self.engine.decode(&[context.token_sot()], 0).map_err(engine_error)?;
        let scores = self.engine.last_scores().map_err(engine_error)?;
        // A hint that whisper does not know is a producer's mistake; the note itself can still be heard.
        let given = || hints.language.as_deref().and_then(Language::given);
        let language = match given() {
            _ if !context.is_multilingual() => Language::ENGLISH,
            Some(language) => language,
            None => language::detect(context, scores, &hints.languages_accepted)?,
        };
        Ok(Impression { language, no_speech_probability: language::no_speech_probability(context, scores) })
    }

    /// Follows the likeliest token, after a look.
    fn cheaply(&mut self, duration_s: f64, prompt: &Prompt, hints: &Hints) -> Result<Heard, AsrError> {
        let context = &self.model.context;
        let sequence = greedy::decode(context, &mut self.engine, prompt, 1, duration_s, &hints.limit)?;
        Ok(Heard::from_sequence(sequence, duration_s))
    }

    /// Follows several hypotheses. `past`: tokens of the prompt that are decoded already.
    fn carefully(&mut self, past: usize, duration_s: f64, prompt: &Prompt, hints: &Hints) -> Result<Heard, AsrError> {
        let context = &self.model.context;
        let sequence = beam::decode(context, &mut self.engine, prompt, past, duration_s, &hints.limit)?;
        Ok(Heard::from_sequence(sequence, duration_s))
    }

    /// The way out of a circle: whisper's own search, with ever more random choices. It encodes once more.
    fn once_more(
        &mut self,
        samples: &[f32],
        duration_s: f64,
        language: Language,
        hints: &Hints,
    ) -> Result<Heard, AsrError> {
        let mut parameters = parameters(self.model.threads);
        // whisper-rs leaks this string's few bytes at every call; it has no other way to set it.
        parameters.set_language(Some(language.code));
        // Another try with random choices is for what goes round in circles; what is merely unsure gains nothing by it.
        parameters.set_logprob_thold(LOG_PROBABILITY_OF_NOTHING);
        parameters.set_temperature_inc(TEMPERATURE_STEP);
        let result = self.engine.full_within(parameters, samples, &hints.limit);
        if hints.limit.is_over() {
            return Err(hints.limit.error());
        }
        let state = result.map_err(engine_error)?;
        Ok(Heard::from_state(state, self.model.context.token_eot(), duration_s))
    }

    fn recognised(&self, note: &Heard, impression: Impression) -> Recognised {
        let sure = note.mean_log_probability();
        let segments: Vec<Segment> = note.segments.iter().filter_map(|segment| segment.to_wire(sure)).collect();
        let text = segments.iter().map(|s| s.text.expose()).collect::<Vec<_>>().join(" ");
        let words = segments.iter().flat_map(|s| &s.words).map(|w| w.confidence);
        Recognised {
            transcript: Transcript {
                text: Private::new(text),
                language: impression.language.code.to_owned(),
                language_confidence: impression.language.confidence,
                confidence: hearing::mean(words).unwrap_or(0.0),
                segments,
                model: self.model.name.as_ref().to_owned(),
            },
            no_speech_probability: impression.no_speech_probability,
            mean_log_probability: sure,
            repetition: note.looped,
        }
    }
}

/// The decoder's heads that look at the sound whose word comes next: known of OpenAI's models, else all of its upper half.
fn looking_heads(name: &str) -> DtwMode<'static> {
    let known = [
        ("whisper-tiny.en", DtwModelPreset::TinyEn),
        ("whisper-tiny", DtwModelPreset::Tiny),
        ("whisper-base.en", DtwModelPreset::BaseEn),
        ("whisper-base", DtwModelPreset::Base),
    ];
    match known.into_iter().find(|(prefix, _)| name.starts_with(prefix)) {
        Some((_, model_preset)) => DtwMode::ModelPreset { model_preset },
        None => DtwMode::TopMost { n_top: 2 },
    }
}

/// For whisper's own search.
fn parameters(threads: usize) -> FullParams<'static, 'static> {
    let width = i32::try_from(beam::WIDTH).unwrap_or(1);
    let mut parameters = FullParams::new(SamplingStrategy::BeamSearch { beam_size: width, patience: -1.0 });
    parameters.set_n_threads(threads.try_into().unwrap_or(i32::MAX));
    // One note never conditions the next, and one window of a long note not the following one either: a repetition
    // would otherwise carry itself on.
    parameters.set_no_context(true);
    parameters.set_n_max_text_ctx(0);
    parameters.set_print_special(false);
    parameters.set_print_progress(false);
    parameters.set_print_realtime(false);
    parameters.set_print_timestamps(false);
    parameters
}

fn engine_error(error: WhisperError) -> AsrError {
    AsrError::Engine(error.to_string())
}
