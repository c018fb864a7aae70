//! Owns measuring the program: how well and how fast it hears, how many notes it carries, and whether it can do so for
//! ever.
//!
//! * [`asr`]: recognition on recordings of which one knows what is said; [`wer`]: how words are counted.
//! * [`plumbing`]: notes a second, and the time that everything but recognition adds to a note.
//! * [`soak`]: memory, file descriptors and threads over many notes, with failures mixed in.
//! * `rig`: a worker on a queue that is nobody else's; `traffic`, `flight`: the notes on their way through it.
//! * `script`: the notes, and what is heard in them without a model.
//! * `proc`: what the kernel says about this process.
//!
//! Everything here goes the way that notes go in production, worker loop, broker and contract included, and counts a
//! note only when its event has arrived at a subscriber. It knows nothing of the insides of what it measures.

pub mod asr;
mod flight;
pub mod plumbing;
mod proc;
mod rig;
mod script;
pub mod soak;
mod traffic;
pub mod wer;

use std::path::PathBuf;

pub use self::{flight::Figures, proc::Holdings};
use crate::{app::StartError, asr::AsrError, broker::BrokerError, config::SecretError};

/// Why nothing was measured. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(
        "the virtual host {name:?} is not for benches, whose notes would be answered as if customers had sent them: \
         name one in broker.url that has `bench` or `test` in its name"
    )]
    NotForBenches { name: String },
    #[error("the queue is in use ({waiting} notes wait, {workers} workers consume it): use a virtual host of its own")]
    InUse { waiting: u64, workers: u32 },
    #[error("no folder for the queue of the bench could be made beside the configured one")]
    Folder(#[source] std::io::Error),
    #[error("{answered} notes were answered, and only from {wanted} on it can be said what stays: soak for longer")]
    TooShort { answered: u64, wanted: u64 },
    #[error("the results stopped coming in")]
    Subscription(#[source] BrokerError),
    #[error("what this process uses cannot be read from /proc/self")]
    Proc(#[source] std::io::Error),
    #[error("notes went missing: {unanswered} were not answered in time, {refused} were refused by the queue")]
    Lost { unanswered: u64, refused: u64 },
    #[error("the recordings at {} cannot be read; name a folder or a manifest", path.display())]
    Clips {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the recording {} cannot be read", path.display())]
    Clip {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("there are no recordings at {}", path.display())]
    NoClips { path: PathBuf },
    #[error("{}:{line}: each line has to be a JSON object with `file`, and `text` and `language` where known", path.display())]
    Manifest { path: PathBuf, line: usize },
    #[error("what several threads a slot use can be told only for one note at a time: add --in-flight 1")]
    ThreadsAndNotes,
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the scripted recogniser could not start")]
    Engine(#[from] AsrError),
    #[error(transparent)]
    Secret(#[from] SecretError),
}
