//! Owns when a changed playbook is taken over without a restart: SIGHUP asks for it.
//!
//! One reload happens at a time, on a thread of its own; however often it is asked for meanwhile, one more follows. It
//! succeeds or is refused as a whole, and either way the worker goes on; see [`crate::learning`].

use std::{io, sync::Arc, thread, time::Instant};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot},
};

use crate::{
    learning::{LearnError, Learnt},
    pipeline::Stages,
    shutdown::Shutdown,
    telemetry::with_causes,
};

/// A wish for the playbook to be read again. Expressed any number of times before it is granted, it is one.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// A wish that SIGHUP expresses; from now on that signal does not end the process.
    ///
    /// # Errors
    /// If the operating system refuses signal handlers.
    pub fn on_signal() -> io::Result<Self> {
        let mut hangup = signal(SignalKind::hangup())?;
        let reload = Self::default();
        let wish = reload.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                wish.request();
            }
        });
        Ok(reload)
    }

    pub fn request(&self) {
        self.0.notify_one();
    }

    async fn requested(&self) {
        self.0.notified().await;
    }
}

/// Takes over the playbook whenever that is asked for, until shutdown is requested. A process that reads no notes has no
/// stages, and only says so.
pub async fn run(reload: Reload, stages: Option<Arc<Stages>>, shutdown: Shutdown) {
    let granting = whenever(&reload, || async {
        if let Some(stages) = &stages {
            take_over(stages).await;
        } else {
            tracing::info!("asked to read the playbook again, which is for workers; this process is none");
        }
    });
    tokio::select! {
        () = granting => {}
        () = shutdown.requested() => {}
    }
}

async fn whenever<Act: Future<Output = ()>>(reload: &Reload, act: impl Fn() -> Act) {
    loop {
        reload.requested().await;
        act().await;
    }
}

async fn take_over(stages: &Arc<Stages>) {
    let began = Instant::now();
    let result = match renewed(stages).await {
        Ok(learnt) => {
            let (intents, elapsed_ms) = (learnt.playbook.intents.len(), began.elapsed().as_millis() as u64);
            tracing::info!(intents, elapsed_ms, "the playbook was read again and is in force");
            "taken_over"
        }
        Err(kept) => {
            let error = with_causes(&kept);
            tracing::error!(error, "the playbook was read again and refused; the one before stays in force");
            "refused"
        }
    };
    metrics::counter!("sprachpost_playbook_reloads_total", "result" => result).increment(1);
}

/// On a thread that nobody waits for when the process is to end.
async fn renewed(stages: &Arc<Stages>) -> Result<Arc<Learnt>, Kept> {
    let (done, learnt) = oneshot::channel();
    let stages = Arc::clone(stages);
    let renew = move || drop(done.send(stages.learning.renew()));
    thread::Builder::new().name("playbook".to_owned()).spawn(renew)?;
    Ok(learnt.await??)
}

/// Why the playbook stays that was in force.
#[derive(Debug, thiserror::Error)]
enum Kept {
    #[error(transparent)]
    Refused(#[from] LearnError),
    #[error("no thread can be had to learn it")]
    NoThread(#[from] io::Error),
    #[error("learning it ended in a panic")]
    Panicked(#[from] oneshot::error::RecvError),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::Semaphore, time::timeout};

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn however_often_it_is_asked_for_during_a_reload_one_more_follows() {
        let (reload, begun, go) = (Reload::default(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let granting = tokio::spawn({
            let (reload, begun, go) = (reload.clone(), Arc::clone(&begun), Arc::clone(&go));
            let act = move || {
                let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
                async move {
                    begun.add_permits(1);
                    go.acquire().await.unwrap().forget();
                }
            };
            async move { whenever(&reload, act).await }
        });
        let next = async || timeout(LONG, begun.acquire()).await.expect("it begins").unwrap().forget();
        reload.request();
        next().await;
        for _ in 0..3 {
            reload.request();
        }
        assert_eq!(begun.available_permits(), 0, "one at a time");
        go.add_permits(1);
        next().await;
        go.add_permits(1);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.available_permits(), 0, "nothing is left of the three");
        reload.request();
        next().await;
        granting.abort();
    }

    #[tokio::test]
    async fn what_is_asked_for_before_anybody_can_grant_it_is_granted_then() {
        let (reload, begun) = (Reload::default(), Semaphore::new(0));
        reload.request();
        let granting = whenever(&reload, || async { begun.add_permits(1) });
        tokio::select! {
            () = granting => {}
            granted = timeout(LONG, begun.acquire()) => drop(granted.expect("it is granted")),
        }
    }
}
