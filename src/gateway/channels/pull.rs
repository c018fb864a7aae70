//! Owns what platforms have in common that do not tell us but have to be asked: patience, and when it ends.
//!
//! A webhook that fails comes again by itself; here it is for us to try again, for as long as it takes.

use std::{path::Path, time::Duration};

use tokio::{fs, io::AsyncWriteExt as _};

use super::{OpenChannel, Parsed, intake::Intake};
use crate::shutdown::Shutdown;

/// The first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// Pauses that grow until something works again.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    /// What was logged last: it is said once, however long it lasts.
    said: String,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: PAUSE.0, said: String::new() }
    }
}

impl Pause {
    /// Logs `error`, unless it did just that already, and waits. False if shutdown was requested meanwhile.
    pub(super) async fn after(
        &mut self,
        own: &OpenChannel,
        error: &(dyn std::error::Error + Send + Sync + 'static),
        shutdown: &Shutdown,
    ) -> bool {
        if self.said != error.to_string() {
            let error = error as &(dyn std::error::Error + 'static);
            tracing::warn!(channel = %own.name, error, "the platform's notes cannot be taken; trying again");
            self.said = error.to_string();
        }
        let next = self.next;
        self.next = (next * 2).min(PAUSE.1);
        tokio::select! {
            () = tokio::time::sleep(next) => true,
            () = shutdown.requested() => false,
        }
    }
}

/// Takes in what was found. True once all of it is safe; false if shutdown was requested before that.
pub(super) async fn take_all(own: &OpenChannel, intake: &Intake, parsed: Parsed, shutdown: &Shutdown) -> bool {
    let Parsed { notes, ignored, unreadable } = parsed;
    let mut pause = Pause::default();
    // Counted once, however often it is tried.
    let mut next = Parsed { notes: notes.clone(), ignored, unreadable };
    while let Err(error) = intake.accept(own, next).await {
        if !pause.after(own, &error, shutdown).await {
            return false;
        }
        next = Parsed { notes: notes.clone(), ..Parsed::default() };
    }
    true
}

/// Writes a file of one's own, beside and renamed, so that it is whole whenever it is read.
pub(super) async fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).await?;
    }
    let partial = path.with_extension(format!("{}.partial", uuid::Uuid::new_v4().simple()));
    let mut file = fs::File::create(&partial).await?;
    file.write_all(content).await?;
    file.sync_all().await?;
    fs::rename(&partial, path).await
}
