//! Owns a session that is kept up: lost, it is said once, opened anew with growing pauses, and said once more.
//! Whoever keeps it up also removes old entries, and marks what could not be marked when it was done.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{Mark, address::Database, session::Session};
use crate::ledger::{Config, LedgerError};

/// The first pause before another attempt to connect.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// What is not marked yet; beyond it the oldest is left to the end of the window.
const UNMARKED_MAX: usize = 10_000;

type Unmarked = Arc<Mutex<VecDeque<(Uuid, Mark)>>>;

#[derive(Debug)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    shown: String,
    /// How long a request waits for a session that was lost just now.
    patience: Duration,
    unmarked: Unmarked,
    _stop_on_drop: DropGuard,
}

#[derive(Debug, Clone)]
enum State {
    Up(Arc<Session>),
    Down { since: Instant },
}

impl State {
    fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Up(session) if !session.is_lost() => Some(session),
            Self::Up(_) | Self::Down { .. } => None,
        }
    }
}

impl Link {
    /// Connects, then keeps that up.
    pub(super) async fn open(database: Database, config: Config) -> Result<Self, LedgerError> {
        let session = Session::open(&database, &config).await?;
        let (states, state) = watch::channel(State::Up(Arc::clone(&session)));
        let (stop, unmarked) = (CancellationToken::new(), Unmarked::default());
        let (shown, patience) = (database.shown().to_owned(), config.query_limit());
        let keeper = Keeper { database, config, unmarked: Arc::clone(&unmarked), stop: stop.clone() };
        tokio::spawn(keeper.keep_up(session, states));
        Ok(Self { state, shown, patience, unmarked, _stop_on_drop: stop.drop_guard() })
    }

    /// The session. A short interruption is waited for, a long one is not: it would hold up every note.
    pub(super) async fn session(&self) -> Result<Arc<Session>, LedgerError> {
        let mut state = self.state.clone();
        let since = match &*state.borrow() {
            State::Down { since } => *since,
            State::Up(_) => Instant::now(),
        };
        let up = timeout_at(since + self.patience, state.wait_for(|state| state.session().is_some())).await;
        let session = up.ok().and_then(|up| up.ok()?.session().cloned());
        session.ok_or_else(|| LedgerError::Unreachable {
            address: self.shown.clone(),
            source: "it is being tried again".into(),
        })
    }

    /// Leaves a mark to the keeper.
    pub(super) fn mark_later(&self, id: Uuid, mark: Mark) {
        let mut unmarked = self.unmarked.lock().unwrap_or_else(PoisonError::into_inner);
        if unmarked.len() >= UNMARKED_MAX {
            unmarked.pop_front();
        }
        unmarked.push_back((id, mark));
    }
}

struct Keeper {
    database: Database,
    config: Config,
    unmarked: Unmarked,
    stop: CancellationToken,
}

impl Keeper {
    async fn keep_up(self, mut session: Arc<Session>, states: watch::Sender<State>) {
        let shown = self.database.shown();
        let mut pause = PAUSE_MIN;
        loop {
            let up_since = Instant::now();
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.look_after(&session) => {}
            }
            let policy = self.config.when_unreachable;
            tracing::warn!(ledger = shown, why = session.why_lost(), ?policy, "the ledger was lost");
            let since = Instant::now();
            // A session that fails as soon as it is used is not opened again at once, however well that goes.
            if since - up_since > self.config.reconnect_pause_max() {
                pause = PAUSE_MIN;
            }
            states.send_replace(State::Down { since });
            session = tokio::select! {
                () = self.stop.cancelled() => return,
                session = self.reconnect(&mut pause) => session,
            };
            tracing::info!(ledger = shown, down_s = since.elapsed().as_secs_f64(), "the ledger is back");
            states.send_replace(State::Up(Arc::clone(&session)));
        }
    }

    /// Returns once the session is lost.
    async fn look_after(&self, session: &Session) {
        loop {
            // An error ends the session.
            let _ = self.mark_what_was_left(session).await;
            let _ = session.purge(self.config.window()).await;
            tokio::select! {
                () = session.lost() => return,
                () = tokio::time::sleep(self.config.upkeep_interval()) => {}
            }
        }
    }

    async fn mark_what_was_left(&self, session: &Session) -> Result<(), LedgerError> {
        let left: Vec<_> = self.unmarked.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for mark in [Mark::Published, Mark::Settled] {
            let ids: Vec<Uuid> = left.iter().filter(|(_, what)| *what == mark).map(|(id, _)| *id).collect();
            if ids.is_empty() {
                continue;
            }
            if let Err(error) = session.mark(&ids, mark).await {
                self.unmarked.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn reconnect(&self, pause: &mut Duration) -> Arc<Session> {
        loop {
            tokio::time::sleep(jittered(*pause)).await;
            *pause = (*pause * 2).min(self.config.reconnect_pause_max());
            match Session::open(&self.database, &self.config).await {
                Ok(session) => return session,
                Err(error) => tracing::debug!(
                    ledger = self.database.shown(),
                    error = &error as &dyn std::error::Error,
                    "another attempt to reach the ledger failed"
                ),
            }
        }
    }
}

/// Between half and all of the pause, so that many workers do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = Uuid::new_v4().as_u128() as u32;
    pause.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}
