//! Owns the threads that block: one engine a thread, as many as configured, and nothing else may block.
//!
//! The number of slots bounds memory and processor time, and the broker's prefetch is derived from it. What waits for
//! a slot waits in an order of its own: urgent work first, and a piece of long work lets others go before it for a
//! while. A slot survives whatever its work does: a panic is caught, the engine replaced.

use std::{
    collections::BinaryHeap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{AsrError, Transcriber};

type Engine = Box<dyn Transcriber>;
type Job = Box<dyn FnOnce(&mut Engine) + Send>;
type EngineFactory = dyn Fn() -> Result<Engine, AsrError> + Send + Sync;

/// A bounded number of engines, each on a thread of its own.
#[derive(Debug, Clone)]
pub struct Pool {
    queue: Arc<ClosesOnDrop>,
    slots: usize,
}

/// Who goes first when there are more pieces of work than slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// Before everything that is not urgent.
    Urgent,
    /// In the order of arrival.
    Normal,
    /// As if it had arrived so much later. What arrives within this time goes first, so it waits, but not for ever.
    Patient(Duration),
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
        let queue = Arc::new(Queue::default());
        let pool = Self { queue: Arc::new(ClosesOnDrop(Arc::clone(&queue))), slots };
        for index in 0..slots {
            let (first, engine, queue) = (engine()?, Arc::clone(&engine), Arc::clone(&queue));
            queue.lock().slots += 1;
            thread::Builder::new()
                .name(format!("asr-{index}"))
                .spawn(move || run_slot(first, &queue, engine.as_ref()))
                .map_err(|e| AsrError::Engine(e.to_string()))?;
        }
        Ok(pool)
    }

    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Runs `work` on a free slot, in its turn, and waits for its result. If the caller stops waiting before it
    /// begins, it never does; later, it still runs to its end or to the limit it was given.
    ///
    /// # Errors
    /// [`AsrError::Panicked`] if the work panicked.
    pub async fn run<R: Send + 'static>(
        &self,
        precedence: Precedence,
        work: impl FnOnce(&mut dyn Transcriber) -> R + Send + 'static,
    ) -> Result<R, AsrError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |engine| {
            if !answer.is_closed() {
                // Nobody waiting for the answer any more is not this thread's business.
                let _ = answer.send(work(engine.as_mut()));
            }
        });
        self.queue.0.push(precedence, job);
        // The other end closes without an answer when the job panicked, or when all slots are gone.
        result.await.map_err(|_| AsrError::Panicked)
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: BinaryHeap<Queued>,
    /// How many have ever been queued.
    count: u64,
    /// How many threads take from it.
    slots: usize,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, precedence: Precedence, job: Job) {
        let mut waiting = self.lock();
        if waiting.slots == 0 {
            return;
        }
        waiting.count += 1;
        let number = waiting.count;
        waiting.jobs.push(Queued { turn: Turn::of(precedence, Instant::now(), number), job });
        drop(waiting);
        self.changed.notify_one();
    }

    /// The job whose turn it is, waiting for one. None once nobody can queue any more.
    fn pop(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some(next) = waiting.jobs.pop() {
                return Some(next.job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One thread fewer. The last one leaves nobody waiting.
    fn leave(&self) {
        let mut waiting = self.lock();
        waiting.slots -= 1;
        if waiting.slots == 0 {
            waiting.jobs.clear();
        }
    }
}

/// Ends the threads when the last handle on the pool is gone.
#[derive(Debug)]
struct ClosesOnDrop(Arc<Queue>);

impl Drop for ClosesOnDrop {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

struct Queued {
    turn: Turn,
    job: Job,
}

/// When it is a job's turn; the smallest goes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    not_urgent: bool,
    due: Instant,
    number: u64,
}

impl Turn {
    fn of(precedence: Precedence, now: Instant, number: u64) -> Self {
        let (not_urgent, due) = match precedence {
            Precedence::Urgent => (false, now),
            Precedence::Normal => (true, now),
            Precedence::Patient(patience) => (true, now + patience),
        };
        Self { not_urgent, due, number }
    }
}

/// The heap's greatest is the one that goes first.
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.turn.cmp(&self.turn)
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.turn == other.turn
    }
}

impl Eq for Queued {}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.turn.fmt(f)
    }
}

fn run_slot(mut engine: Engine, queue: &Queue, factory: &EngineFactory) {
    while let Some(job) = queue.pop() {
        // The engine is replaced after a panic, so no broken state of it is ever seen again.
        if catch_unwind(AssertUnwindSafe(|| job(&mut engine))).is_err() {
            metrics::counter!("sprachpost_slot_panics_total").increment(1);
            match factory() {
                Ok(fresh) => engine = fresh,
                Err(error) => {
                    tracing::error!(%error, "a recogniser could not be replaced after a panic; its slot is lost");
                    break;
                }
            }
        }
    }
    queue.leave();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::asr::scripted::ScriptedTranscriber;

    const NORMAL: Precedence = Precedence::Normal;

    fn pool(slots: usize) -> Pool {
        Pool::start(slots, || Ok(Box::new(ScriptedTranscriber::default()))).unwrap()
    }

    /// Occupies a slot until the sender is used or dropped.
    async fn occupy(pool: &Pool) -> std::sync::mpsc::Sender<()> {
        let (release, released) = std::sync::mpsc::channel();
        let (began, beginning) = oneshot::channel();
        let pool = pool.clone();
        tokio::spawn(async move {
            let held = pool.run(NORMAL, move |_| {
                let _ = began.send(());
                let _ = released.recv();
            });
            held.await.unwrap();
        });
        beginning.await.unwrap();
        release
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_work_only() {
        let pool = pool(1);
        let broken: Result<(), _> = pool.run(NORMAL, |_| panic!("on purpose")).await;
        assert!(matches!(broken, Err(AsrError::Panicked)));
        assert_eq!(pool.run(NORMAL, |_| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn never_more_work_at_once_than_slots() {
        let (pool, running, most) = (pool(2), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = (0..8).map(|_| {
            let (pool, running, most) = (pool.clone(), Arc::clone(&running), Arc::clone(&most));
            async move {
                pool.run(NORMAL, move |_| {
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
    async fn urgent_work_goes_first_and_patient_work_waits_its_time_and_no_longer() {
        let pool = pool(1);
        let release = occupy(&pool).await;
        let order = Arc::new(Mutex::new(vec![]));
        let patient = |ms| Precedence::Patient(Duration::from_millis(ms));
        let queued = [
            ("long", patient(3_600_000)),
            ("a little patient", patient(0)),
            ("first", NORMAL),
            ("urgent", Precedence::Urgent),
        ];
        let mut work = vec![];
        for (name, precedence) in queued {
            let (pool, order) = (pool.clone(), Arc::clone(&order));
            let mut run =
                Box::pin(async move { pool.run(precedence, move |_| order.lock().unwrap().push(name)).await });
            // Polled once, it is queued.
            assert!(futures_util::poll!(&mut run).is_pending());
            work.push(run);
        }
        release.send(()).unwrap();
        futures_util::future::join_all(work).await;
        assert_eq!(*order.lock().unwrap(), ["urgent", "a little patient", "first", "long"]);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_never_begun() {
        let pool = pool(1);
        let release = occupy(&pool).await;
        let begun = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&begun);
        let mut run = Box::pin(pool.run(NORMAL, move |_| flag.store(true, SeqCst)));
        assert!(futures_util::poll!(&mut run).is_pending());
        drop(run);
        release.send(()).unwrap();
        pool.run(NORMAL, |_| ()).await.unwrap();
        assert!(!begun.load(SeqCst));
    }

    #[tokio::test]
    async fn when_no_engine_is_left_work_fails_instead_of_waiting() {
        let made = AtomicUsize::new(0);
        let pool = Pool::start(1, move || match made.fetch_add(1, SeqCst) {
            0 => Ok(Box::new(ScriptedTranscriber::default())),
            _ => Err(AsrError::Engine("no memory".to_owned())),
        })
        .unwrap();
        let broken: Result<(), _> = pool.run(NORMAL, |_| panic!("on purpose")).await;
        assert!(broken.is_err());
        assert!(matches!(pool.run(NORMAL, |_| ()).await, Err(AsrError::Panicked)));
    }

    #[tokio::test]
    async fn an_engine_that_cannot_start_is_an_error_at_start() {
        let started = Pool::start(1, || Err(AsrError::Engine("no model".to_owned())));
        assert!(started.is_err());
    }
}
