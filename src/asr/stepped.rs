//! Owns the engine that has a smaller one beside it, for when too many notes wait.

use super::{AsrError, Effort, Hints, Recognised, Transcriber};
use crate::audio::Pcm;

/// Hears with the usual engine, or with the smaller one where the hints say so.
#[derive(Debug)]
pub struct Stepped<U, S> {
    pub usual: U,
    pub smaller: S,
}

impl<U: Transcriber, S: Transcriber> Transcriber for Stepped<U, S> {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        match hints.effort {
            Effort::Usual | Effort::Reduced => self.usual.transcribe(pcm, hints),
            Effort::SmallerModel => self.smaller.transcribe(pcm, hints),
        }
    }
}
