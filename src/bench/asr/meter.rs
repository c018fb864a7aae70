//! Owns the counting of the processor time that recognition takes, apart from everything around it.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::super::proc;
use crate::{
    asr::{AsrError, Hints, Profile, Recognised, Transcriber},
    audio::Pcm,
};

/// Sums by profile.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    scope: Scope,
    used: Arc<Mutex<BTreeMap<Profile, Duration>>>,
}

/// Whose processor time is recognition's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    /// Its thread's alone.
    Thread,
    /// All of the process's, because recognition starts threads of its own: right where one note is heard at a time.
    Process,
}

impl Meter {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, used: Arc::default() }
    }

    /// The same engine, with what it uses counted.
    pub(super) fn on(&self, engine: Box<dyn Transcriber>) -> Box<dyn Transcriber> {
        Box::new(Metered { engine, meter: self.clone() })
    }

    /// What was used since it was asked last.
    pub(super) fn take(&self) -> BTreeMap<Profile, Duration> {
        std::mem::take(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> io::Result<Duration> {
        match self.scope {
            Scope::Thread => proc::processor_time_of_thread(),
            Scope::Process => proc::processor_time(),
        }
    }

    fn add(&self, profile: Profile, used: Duration) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner).entry(profile).or_default() += used;
    }
}

struct Metered {
    engine: Box<dyn Transcriber>,
    meter: Meter,
}

impl Transcriber for Metered {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        let unreadable = |e: io::Error| AsrError::Engine(format!("/proc/thread-self/stat: {e}"));
        let before = self.meter.now().map_err(unreadable)?;
        let recognised = self.engine.transcribe(pcm, hints);
        let used = self.meter.now().map_err(unreadable)?.saturating_sub(before);
        self.meter.add(hints.profile, used);
        recognised
    }
}
