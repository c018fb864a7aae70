//! Owns the end of the process: one signal asks for it, a second one forces it.

use tokio_util::sync::CancellationToken;

/// Exit code of a process that was forced to end, as shells know it from Ctrl-C.
const FORCED: i32 = 130;

/// A wish to end, shared by everything that runs.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A wish that SIGTERM or Ctrl-C express; the second of them ends the process at once.
    ///
    /// # Errors
    /// If the operating system refuses signal handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::default();
        let wish = shutdown.clone();
        tokio::spawn(async move {
            let mut next = async || tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () };
            next().await;
            tracing::info!("stopping: finishing what was begun; a second signal stops at once");
            wish.request();
            next().await;
            tracing::warn!("stopped at once; notes that were being worked on go back to the queue");
            // Without the exit handlers: they take down what a transcription still runs on, in C++, and the
            // process would die of a signal instead of saying how it ended.
            signal_hook::low_level::exit(FORCED);
        });
        Ok(shutdown)
    }

    pub fn request(&self) {
        self.0.cancel();
    }

    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}
