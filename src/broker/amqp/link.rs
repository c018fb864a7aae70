//! Owns a connection that is kept up: lost, it is said once, opened anew with growing pauses, topology included, and
//! said once more.
//!
//! lapin's own recovery is not used. It replays what was declared and leaves open which deliveries are still ours;
//! here a lost connection is an error to everybody who used it, and whoever goes on takes the new one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use lapin::{Connection, ConnectionProperties, Event};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{address::Address, declare::Topology, errors::within};
use crate::broker::{BrokerError, Config};

/// The first pause before another attempt to connect.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// How often the connection's state is looked at, should no event tell of its end.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(super) struct Link {
    address: Address,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

#[derive(Clone)]
enum State {
    Up { connection: Arc<Connection>, blocked: bool },
    Down { why: String },
    Closed,
}

impl State {
    fn up(connection: &Arc<Connection>) -> Self {
        Self::Up { connection: connection.clone(), blocked: connection.status().blocked() }
    }

    /// Asks the connection, too: for a moment after its end, nobody has looked at it yet.
    fn is_up(&self) -> bool {
        matches!(self, Self::Up { connection, .. } if connection.status().connected())
    }

    fn takes_messages(&self) -> bool {
        self.is_up() && matches!(self, Self::Up { blocked: false, .. })
    }
}

impl Link {
    /// Connects and declares the topology, then keeps both up.
    pub(super) async fn open(
        purpose: &'static str,
        address: Address,
        config: Arc<Config>,
        topology: Arc<Topology>,
    ) -> Result<Self, BrokerError> {
        let supervisor = Supervisor {
            purpose,
            address: address.clone(),
            config,
            topology,
            // Workers spread over the nodes of a cluster.
            host: AtomicUsize::new(uuid::Uuid::new_v4().as_u128() as u16 as usize),
            stop: CancellationToken::new(),
        };
        let stop = supervisor.stop.clone();
        let connection = Arc::new(supervisor.connect().await?);
        let (states, state) = watch::channel(State::up(&connection));
        tokio::spawn(supervisor.keep_up(connection, states));
        Ok(Self { address, state, _stop_on_drop: stop.clone().drop_guard(), stop })
    }

    /// The connection, waiting for it where it is being opened anew, and no longer than `limit`.
    pub(super) async fn connection(&self, limit: Duration) -> Result<Arc<Connection>, BrokerError> {
        self.wait(limit, |state| state.is_up() || matches!(state, State::Closed)).await
    }

    /// The same for publishing, waiting also while the broker takes no messages (an alarm of memory or disk).
    pub(super) async fn unblocked(&self, limit: Duration) -> Result<Arc<Connection>, BrokerError> {
        self.wait(limit, |state| state.takes_messages() || matches!(state, State::Closed)).await
    }

    async fn wait(&self, limit: Duration, good: impl FnMut(&State) -> bool) -> Result<Arc<Connection>, BrokerError> {
        let mut state = self.state.clone();
        let arrived = tokio::time::timeout(limit, state.wait_for(good)).await;
        match arrived.map(|state| state.map(|state| state.clone())) {
            Ok(Ok(State::Up { connection, .. })) => Ok(connection),
            Ok(_) => Err(BrokerError::Lost("the broker was closed by this program".into())),
            Err(_) => match &*self.state.borrow() {
                State::Down { why } => Err(self.address.unreachable(why.clone())),
                _ => Err(BrokerError::TimedOut { what: "a request to publish", limit }),
            },
        }
    }

    /// Connected, and the broker takes messages.
    pub(super) fn is_ready(&self) -> bool {
        self.state.borrow().takes_messages()
    }

    /// Resolves once `connection` is not the one that is up.
    pub(super) async fn lost(&self, connection: &Arc<Connection>) {
        let mut state = self.state.clone();
        let gone = |state: &State| !matches!(state, State::Up { connection: up, .. } if Arc::ptr_eq(up, connection));
        // An error here means that nobody keeps the connection up any more.
        let _ = state.wait_for(gone).await;
    }

    /// Closes in order: what the broker was told so far, it has taken in.
    pub(super) async fn close(&self, limit: Duration) {
        let connection = match &*self.state.borrow() {
            State::Up { connection, .. } => Some(connection.clone()),
            State::Down { .. } | State::Closed => None,
        };
        self.stop.cancel();
        if let Some(connection) = connection {
            // Whatever goes wrong here, the broker hands out unsettled notes again once the socket is gone.
            let _ = tokio::time::timeout(limit, connection.close(200, "closing".into())).await;
        }
    }
}

struct Supervisor {
    purpose: &'static str,
    address: Address,
    config: Arc<Config>,
    topology: Arc<Topology>,
    /// Which of the address' hosts is tried next.
    host: AtomicUsize,
    stop: CancellationToken,
}

impl Supervisor {
    /// To whichever host takes it first, each asked once.
    async fn connect(&self) -> Result<Connection, BrokerError> {
        let mut result = self.connect_to(self.host.load(Ordering::Relaxed)).await;
        for _ in 1..self.address.hosts() {
            if result.is_ok() {
                break;
            }
            result = self.connect_to(self.next_host()).await;
        }
        result
    }

    fn next_host(&self) -> usize {
        self.host.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    async fn connect_to(&self, host: usize) -> Result<Connection, BrokerError> {
        let connection = within("a connection", self.config.connect_limit(), async {
            let name = format!("sprachpost {}", self.purpose);
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            lapin::DefaultConnectionBuilder::new()
                .map_err(|error| self.address.unreachable(error))?
                .with_uri(self.address.uri(host).clone())
                .with_properties(properties)
                .connect()
                .await
                .map_err(|error| self.address.unreachable(error))
        })
        .await?;
        self.topology.declare(&connection).await?;
        Ok(connection)
    }

    async fn keep_up(self, first: Arc<Connection>, states: watch::Sender<State>) {
        let mut connection = Some(first);
        while let Some(up) = connection.take() {
            let why = tokio::select! {
                () = self.stop.cancelled() => break,
                why = self.watch(up, &states) => why,
            };
            tracing::warn!(broker = self.address.shown(), purpose = self.purpose, why, "the connection was lost");
            states.send_replace(State::Down { why });
            let lost_at = Instant::now();
            connection = tokio::select! {
                () = self.stop.cancelled() => break,
                connection = self.reconnect(&states) => Some(Arc::new(connection)),
            };
            let down_s = lost_at.elapsed().as_secs_f64();
            tracing::info!(broker = self.address.shown(), purpose = self.purpose, down_s, "the connection is back");
        }
        states.send_replace(State::Closed);
    }

    /// Publishes the connection's state until it is lost, and says why.
    async fn watch(&self, connection: Arc<Connection>, states: &watch::Sender<State>) -> String {
        let mut events = Box::pin(connection.events_listener());
        states.send_replace(State::up(&connection));
        let mut why = "the broker closed it".to_owned();
        while connection.status().connected() {
            match next_event(&mut events).await {
                Some(Event::Error(error)) => why = error.to_string(),
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(broker = self.address.shown(), reason, "the broker takes no messages for now");
                    states.send_replace(State::Up { connection: connection.clone(), blocked: true });
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!(broker = self.address.shown(), "the broker takes messages again");
                    states.send_replace(State::Up { connection: connection.clone(), blocked: false });
                }
                Some(_) | None => {}
            }
        }
        why
    }

    async fn reconnect(&self, states: &watch::Sender<State>) -> Connection {
        let pause_max = Duration::from_secs(self.config.reconnect_s_max.into());
        let mut pause = PAUSE_MIN;
        let mut said = String::new();
        loop {
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(pause_max);
            let host = self.next_host();
            if !self.address.answers(host, self.config.connect_limit()).await {
                continue;
            }
            match self.connect_to(host).await {
                Ok(connection) => return connection,
                Err(error) => {
                    let why = error.to_string();
                    // A broker that answers and yet cannot be used is news, once.
                    if why != said {
                        tracing::warn!(broker = self.address.shown(), why, "the broker answers but cannot be used");
                        said.clone_from(&why);
                    }
                    states.send_replace(State::Down { why });
                }
            }
        }
    }
}

/// The next event, or `None` when it is time to look at the state again.
async fn next_event(events: &mut (impl Stream<Item = Event> + Unpin)) -> Option<Event> {
    match tokio::time::timeout(LOOK_INTERVAL, events.next()).await {
        Ok(Some(event)) => Some(event),
        Ok(None) => {
            tokio::time::sleep(LOOK_INTERVAL).await;
            None
        }
        Err(_) => None,
    }
}

/// Between half and all of the pause, so that many workers do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}
