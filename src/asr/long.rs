//! Owns the hearing of a note that is longer than an engine hears at once, without keeping others from being heard.
//!
//! Every stretch waits for a slot of its own, so a note of twenty minutes takes all slots that are idle, and none
//! that a short note needs for longer than one stretch takes.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::{StreamExt, stream};

use super::{
    AsrError, Config, Hints, Limit, Recognised,
    pool::{Pool, Precedence},
    stretches::{self, Joined},
};
use crate::audio::Pcm;

/// A long note on its way through the pool.
#[derive(Debug)]
pub struct LongNote {
    pub pcm: Arc<Pcm>,
    pub hints: Hints,
    /// Of every stretch.
    pub precedence: Precedence,
    /// Set when nobody waits for the note any more.
    pub abandoned: Arc<AtomicBool>,
}

impl LongNote {
    /// Hears all of it, in at most `asr.time_limit_s_max`; waiting for slots counts.
    ///
    /// # Errors
    /// The first error of a stretch, or [`AsrError::TimedOut`].
    pub async fn transcribe(&self, pool: &Pool, config: &Config) -> Result<Recognised, AsrError> {
        let limit = Duration::from_secs_f64(config.time_limit_s_max);
        let timed_out = AsrError::TimedOut { limit_s: config.time_limit_s_max };
        tokio::time::timeout(limit, self.hear_all(pool, config)).await.unwrap_or(Err(timed_out))
    }

    async fn hear_all(&self, pool: &Pool, config: &Config) -> Result<Recognised, AsrError> {
        let mut stretches = stretches::cut(&self.pcm.0).into_iter();
        let (mut note, mut language) = (Joined::default(), self.hints.language.clone());
        // In turn until the language is known, which takes one stretch mostly; then at the same time.
        while language.is_none() {
            let Some(stretch) = stretches.next() else { return note.into_recognised() };
            note.append(self.hear(pool, config, stretch.clone(), None).await?, stretch.start);
            language = note.language();
        }
        let mut rest = stream::iter(stretches)
            .map(|stretch| {
                let language = language.clone();
                async move { (stretch.start, self.hear(pool, config, stretch, language).await) }
            })
            .buffered(pool.slots().max(1));
        while let Some((start, recognised)) = rest.next().await {
            note.append(recognised?, start);
        }
        drop(rest);
        note.into_recognised()
    }

    async fn hear(
        &self,
        pool: &Pool,
        config: &Config,
        stretch: Range<usize>,
        language: Option<String>,
    ) -> Result<Recognised, AsrError> {
        let pcm = Arc::clone(&self.pcm);
        let (mut hints, limit_s) = (self.hints.clone(), config.time_limit(stretch.len() as f64 / RATE));
        hints.language = language;
        let abandoned = Arc::clone(&self.abandoned);
        pool.run(self.precedence, move |engine| {
            // From when it begins: waiting for a slot is not this stretch's fault.
            hints.limit = Limit::after(limit_s, abandoned);
            engine.transcribe(&stretches::part(&pcm, &stretch), &hints)
        })
        .await?
    }
}

const RATE: f64 = crate::audio::SAMPLE_RATE_HZ as f64;
