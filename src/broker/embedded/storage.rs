//! Owns the one thread that touches the queue file.
//!
//! Everybody else sends it jobs: functions over a connection. Writing jobs that wait at the same time share one
//! transaction, so that a flood of notes costs few flushes of the disk; each has a savepoint of its own, and all are
//! answered only after the commit. The thread also does the upkeep: between jobs, and in time even under load.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::schema::storage as unusable;
use crate::broker::BrokerError;

/// Jobs that are taken at a time, the writing ones into one transaction, at most. Bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// A handle to the thread. Cheap to clone; the thread ends on [`Storage::stop`] or with the last handle.
#[derive(Clone)]
pub(super) struct Storage {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    answer_limit: Duration,
    healthy: AtomicBool,
    stopped: AtomicBool,
    /// What nobody waits for and could not be done yet.
    left_over: Mutex<Vec<Repeatable>>,
}

type Repeatable = Arc<dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync>;
type Failure = Arc<rusqlite::Error>;
/// Called after the commit, with what kept the job from being done.
type Reply = Box<dyn FnOnce(Option<Failure>) + Send>;
/// Does a job on the connection, or passes on why there is none. Says whether to keep what it did.
type Work = Box<dyn FnOnce(Result<&Connection, Failure>) -> (Keep, Reply) + Send>;

type Upkeep = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;

enum Keep {
    Yes,
    No,
}

enum Request {
    Read(Work),
    Write(Work),
    Stop,
}

impl Storage {
    /// Takes the connection to a thread of its own. `upkeep` is called there about every `interval`.
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        answer_limit: Duration,
        interval: Duration,
        upkeep: impl FnMut(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let (requests, inbox) = mpsc::channel();
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            answer_limit,
            healthy: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
            left_over: Mutex::default(),
        });
        let mut thread = Thread { connection, inbox, shared: shared.clone(), upkeep: Box::new(upkeep), interval };
        std::thread::Builder::new()
            .name("queue-file".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| unusable(path, error))?;
        Ok(Self { requests, shared })
    }

    /// A job that changes nothing.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        self.request(Request::Read, job).await
    }

    /// A job that is done, entirely and on the disk, when this returns `Ok`.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        self.request(Request::Write, job).await
    }

    /// A writing job that nobody waits for. If the file does not take it, it is done with the next upkeep.
    pub(super) fn write_later(&self, job: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static) {
        let (job, shared): (Repeatable, _) = (Arc::new(job), self.shared.clone());
        let again = job.clone();
        let request = work(
            move |connection| job(connection),
            move |outcome| {
                if outcome.is_err() {
                    shared.left_over().push(again);
                }
            },
        );
        // Once the thread has stopped there is nothing left to do: leases run out by themselves.
        let _ = self.requests.send(Request::Write(request));
    }

    /// Ends the thread after everything that was asked for before.
    pub(super) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let _ = self.requests.send(Request::Stop);
    }

    /// False after the file could not be used, until it can be again, and after [`Storage::stop`].
    pub(super) fn is_healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed) && !self.shared.stopped.load(Ordering::Relaxed)
    }

    async fn request<T: Send + 'static>(
        &self,
        kind: fn(Work) -> Request,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let (answer, answered) = oneshot::channel();
        // Whoever stopped waiting gets no answer; what the answer holds is dropped, and leases undo themselves so.
        let request = kind(work(job, |outcome| drop(answer.send(outcome))));
        self.requests.send(request).map_err(|_| closed())?;
        match tokio::time::timeout(self.shared.answer_limit, answered).await {
            Ok(Ok(outcome)) => outcome.map_err(|error| unusable(&self.shared.path, error)),
            Ok(Err(_)) => Err(closed()),
            Err(_) => {
                Err(BrokerError::TimedOut { what: "a change of the queue file", limit: self.shared.answer_limit })
            }
        }
    }
}

impl Shared {
    fn left_over(&self) -> MutexGuard<'_, Vec<Repeatable>> {
        // A list of jobs is whole after every statement.
        self.left_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> BrokerError {
    BrokerError::Lost("the queue file was closed".into())
}

fn work<T: Send + 'static>(
    job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    answer: impl FnOnce(Result<T, Failure>) + Send + 'static,
) -> Work {
    Box::new(move |connection| match connection.and_then(|connection| job(connection).map_err(Arc::new)) {
        Ok(value) => (Keep::Yes, Box::new(move |failure| answer(failure.map_or(Ok(value), Err)))),
        Err(error) => (Keep::No, Box::new(move |_| answer(Err(error)))),
    })
}

struct Thread {
    connection: Connection,
    inbox: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    upkeep: Upkeep,
    interval: Duration,
}

impl Thread {
    fn run(&mut self) {
        let mut upkeep_due = Instant::now();
        loop {
            if Instant::now() >= upkeep_due {
                self.do_upkeep();
                upkeep_due = Instant::now() + self.interval;
            }
            let mut next = match self.inbox.recv_timeout(upkeep_due.saturating_duration_since(Instant::now())) {
                Ok(request) => Some(request),
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            // Reads come after the writes that wait with them: whoever reads has no answer to later writes yet, and a
            // read in between would cost a commit of its own.
            let (mut writes, mut reads, mut stop) = (Vec::new(), Vec::new(), false);
            while let Some(request) = next.take() {
                match request {
                    Request::Write(work) => writes.push(work),
                    Request::Read(work) => reads.push(work),
                    Request::Stop => stop = true,
                }
                if !stop && writes.len() + reads.len() < BATCH_MAX {
                    next = self.inbox.try_recv().ok();
                }
            }
            self.commit(writes);
            for work in reads {
                let (_, reply) = work(Ok(&self.connection));
                reply(None);
            }
            if stop {
                return;
            }
        }
    }

    fn do_upkeep(&mut self) {
        // First: upkeep renews what was to be given back, too.
        let done = self.do_left_over().and_then(|()| (self.upkeep)(&self.connection));
        if let Err(error) = &done {
            tracing::warn!(%error, "upkeep of the queue file failed, it is tried again");
        }
        self.shared.healthy.store(done.is_ok(), Ordering::Relaxed);
    }

    fn do_left_over(&self) -> rusqlite::Result<()> {
        let mut left_over = self.shared.left_over();
        while let Some(job) = left_over.last() {
            job(&self.connection)?;
            left_over.pop();
        }
        Ok(())
    }

    fn commit(&mut self, writes: Vec<Work>) {
        if writes.is_empty() {
            return;
        }
        let mut replies = Vec::with_capacity(writes.len());
        let failure = transact(&mut self.connection, writes, &mut replies).err();
        self.shared.healthy.store(failure.is_none(), Ordering::Relaxed);
        for reply in replies {
            reply(failure.clone());
        }
    }
}

/// Does all the work in one transaction; what one job leaves half done is undone alone. Every job gets its reply.
fn transact(connection: &mut Connection, writes: Vec<Work>, replies: &mut Vec<Reply>) -> Result<(), Failure> {
    let mut writes = writes.into_iter();
    let outcome = (|| {
        let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // What an error leaves over is answered below.
        while writes.len() > 0 {
            let mut savepoint = transaction.savepoint()?;
            let Some(work) = writes.next() else { break };
            let (keep, reply) = work(Ok(&savepoint));
            replies.push(reply);
            match keep {
                Keep::Yes => savepoint.commit()?,
                Keep::No => savepoint.rollback()?,
            }
        }
        transaction.commit()
    })()
    .map_err(Arc::new);
    if let Err(failure) = &outcome {
        replies.extend(writes.map(|work| work(Err(Arc::clone(failure))).1));
    }
    outcome
}
