//! Owns an engine that returns what it was told to: for tests and benches of everything around
//! recognition.
//!
//! No configuration can select it; a worker never runs on it by accident.

use std::collections::VecDeque;

use super::{AsrError, Hints, Recognised, Transcriber};
use crate::{
    audio::Pcm,
    event::processed::{Segment, Transcript},
    private::Private,
};

type Answer = Box<dyn FnOnce(&Pcm, &Hints) -> Result<Recognised, AsrError> + Send>;
type Always = Box<dyn FnMut(&Pcm) -> Result<Recognised, AsrError> + Send>;

/// Gives its answers in order, then the one that it always gives, and fails where there is none.
#[derive(Default)]
pub struct ScriptedTranscriber {
    answers: VecDeque<Answer>,
    always: Option<Always>,
}

impl std::fmt::Debug for ScriptedTranscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScriptedTranscriber({} answers left)", self.answers.len())
    }
}

impl ScriptedTranscriber {
    /// Never runs out of answers.
    #[must_use]
    pub fn always(answer: impl FnMut(&Pcm) -> Result<Recognised, AsrError> + Send + 'static) -> Self {
        Self { answers: VecDeque::new(), always: Some(Box::new(answer)) }
    }

    /// Answers the next note with what `answer` returns.
    #[must_use]
    pub fn then(mut self, answer: impl FnOnce(&Pcm, &Hints) -> Result<Recognised, AsrError> + Send + 'static) -> Self {
        self.answers.push_back(Box::new(answer));
        self
    }

    /// Answers the next note with this text, recognised beyond doubt.
    #[must_use]
    pub fn then_say(self, language: &str, text: &str) -> Self {
        let (language, text) = (language.to_owned(), Private::new(text));
        self.then(move |pcm, _| Ok(Self::confident(pcm, &language, text)))
    }

    /// This text, recognised beyond doubt.
    #[must_use]
    pub fn confident(pcm: &Pcm, language: &str, text: Private) -> Recognised {
        let segment =
            Segment { start_s: 0.0, end_s: pcm.duration_s(), text: text.clone(), confidence: 0.95, words: vec![] };
        Recognised {
            transcript: Transcript {
                text,
                language: language.to_owned(),
                language_confidence: 0.99,
                confidence: 0.95,
                segments: vec![segment],
                model: "scripted".to_owned(),
            },
            no_speech_probability: 0.01,
            mean_log_probability: -0.05,
            repetition: false,
        }
    }
}

impl Transcriber for ScriptedTranscriber {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        match (self.answers.pop_front(), &mut self.always) {
            (Some(answer), _) => answer(pcm, hints),
            (None, Some(always)) => always(pcm),
            (None, None) => Err(AsrError::Engine("the script is at its end".to_owned())),
        }
    }
}
