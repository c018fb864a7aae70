//! Owns the threads that block: one engine a thread, as many as configured, and nothing else may block.
//!
//! A note takes one slot for all its blocking work (decoding, recognition, understanding), so that the number of
//! slots bounds memory and processor time, and the broker's prefetch can be derived from it. A slot survives
//! whatever its work does: a panic is caught, the engine replaced.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::sync::oneshot;

use super::{AsrError, Transcriber};

type Engine = Box<dyn Transcriber>;
type Job = Box<dyn FnOnce(&mut Engine) + Send>;
type EngineFactory = dyn Fn() -> Result<Engine, AsrError> + Send + Sync;

/// A bounded number of engines, each on a thread of its own.
#[derive(Debug, Clone)]
pub struct Pool {
    jobs: mpsc::Sender<Job>,
    slots: usize,
}

impl Pool {
    /// Starts `slots` threads, each with an engine from `engine`, which is asked again after a panic.
    ///
    /// # Errors
    /// The first error of `engine`, or of the operating system when it refuses a thread.
    pub fn start(
        slots: usize,
        engine: impl Fn() -> Result<Engine, AsrError> + Send + Sync + 'static,
    ) -> Result<Self, AsrError> {
        let engine: Arc<EngineFactory> = Arc::new(engine);
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for index in 0..slots {
            let (first, queue, engine) = (engine()?, Arc::clone(&queue), Arc::clone(&engine));
            thread::Builder::new()
                .name(format!("asr-{index}"))
                .spawn(move || run_slot(first, &queue, engine.as_ref()))
                .map_err(|e| AsrError::Engine(e.to_string()))?;
        }
        Ok(Self { jobs, slots })
    }

    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Runs `work` on the next free slot and waits for its result. If the caller stops waiting, the work still runs
    /// to its end or to the limit it was given.
    ///
    /// # Errors
    /// [`AsrError::Panicked`] if the work panicked.
    pub async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Transcriber) -> R + Send + 'static,
    ) -> Result<R, AsrError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |engine| {
            // Nobody waiting for the answer is not this thread's business.
            let _ = answer.send(work(engine.as_mut()));
        });
        // Both ends close only when a slot's job panicked (the answer) or all slots are gone (the queue).
        self.jobs.send(job).map_err(|_| AsrError::Panicked)?;
        result.await.map_err(|_| AsrError::Panicked)
    }
}

fn run_slot(mut engine: Engine, queue: &Mutex<mpsc::Receiver<Job>>, factory: &EngineFactory) {
    loop {
        // The lock is held while waiting, so exactly one idle slot waits at the queue and the rest wait at the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The engine is replaced after a panic, so no broken state of it is ever seen again.
        if catch_unwind(AssertUnwindSafe(|| job(&mut engine))).is_err() {
            metrics::counter!("sprachpost_slot_panics_total").increment(1);
            match factory() {
                Ok(fresh) => engine = fresh,
                Err(error) => {
                    tracing::error!(%error, "a recogniser could not be replaced after a panic; its slot is lost");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asr::scripted::ScriptedTranscriber;

    fn pool(slots: usize) -> Pool {
        Pool::start(slots, || Ok(Box::new(ScriptedTranscriber::default()))).unwrap()
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_work_only() {
        let pool = pool(1);
        let broken: Result<(), _> = pool.run(|_| panic!("on purpose")).await;
        assert!(matches!(broken, Err(AsrError::Panicked)));
        assert_eq!(pool.run(|_| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn never_more_work_at_once_than_slots() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let (pool, running, most) = (pool(2), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = (0..8).map(|_| {
            let (pool, running, most) = (pool.clone(), Arc::clone(&running), Arc::clone(&most));
            async move {
                pool.run(move |_| {
                    most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, SeqCst);
                })
                .await
                .unwrap();
            }
        });
        futures_util::future::join_all(work).await;
        assert!(most.load(SeqCst) <= 2);
    }

    #[tokio::test]
    async fn an_engine_that_cannot_start_is_an_error_at_start() {
        let started = Pool::start(1, || Err(AsrError::Engine("no model".to_owned())));
        assert!(started.is_err());
    }
}
