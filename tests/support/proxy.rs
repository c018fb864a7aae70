//! Owns a TCP proxy between clients and a broker that cuts and stalls connections exactly where a message, its
//! confirm or its acknowledgement passes: by a seeded plan, or once where a test says so.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};

use super::{
    frames::{Edge, Frame, Frames, Mark, Seen, Sender},
    random::Random,
    runtime,
};

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Cut with a reset: whoever sent the frame learns nothing but that.
    Reset,
    /// Cut in order, as a process does that ends.
    Close,
    /// Nothing passes for so long, in either direction.
    Stall(Duration),
    /// The frame passes twice: an acknowledgement of what is settled already makes the broker close the channel.
    Repeat,
    /// The client is told that its consumer is cancelled.
    CancelConsumer,
}

/// Faults by chance: one in so many marks.
pub struct Plan {
    pub random: Random,
    /// Marks from one fault to the next.
    pub gap: std::ops::Range<u64>,
    /// Milliseconds of a stall.
    pub stall_ms: std::ops::Range<u64>,
}

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listening: AbortHandle,
}

struct Shared {
    /// Ports of the brokers behind it, tried in turn until one answers.
    upstreams: Vec<u16>,
    next_upstream: AtomicUsize,
    faults: Mutex<Faults>,
    /// True while nothing at all passes.
    frozen: watch::Sender<bool>,
}

#[derive(Default)]
struct Faults {
    plan: Option<Plan>,
    countdown: u64,
    once: Vec<(Mark, Fault)>,
    counts: BTreeMap<String, u64>,
    cuts: u64,
    stalls: u64,
}

impl Proxy {
    pub fn start(upstreams: Vec<u16>, plan: Option<Plan>) -> Self {
        let _context = runtime().enter();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = TcpListener::from_std(listener).unwrap();
        let shared = Arc::new(Shared {
            upstreams,
            next_upstream: AtomicUsize::new(0),
            faults: Mutex::new(Faults { plan, countdown: 200, ..Faults::default() }),
            frozen: watch::Sender::new(false),
        });
        let listening = runtime().spawn(listen(listener, Arc::clone(&shared))).abort_handle();
        Self { port, shared, listening }
    }

    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.port)
    }

    /// The next time that `mark` passes, this happens to it, once.
    pub fn once(&self, mark: Mark, fault: Fault) {
        self.shared.faults().once.push((mark, fault));
    }

    /// Whether everything asked for by [`Proxy::once`] has happened.
    pub fn all_happened(&self) -> bool {
        self.shared.faults().once.is_empty()
    }

    /// No more faults from now on.
    pub fn calm(&self) {
        self.shared.faults().plan = None;
    }

    /// Nothing passes, and nobody is told, until it is thawed: a cable that was pulled.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Cuts and stalls so far.
    pub fn cuts_and_stalls(&self) -> (u64, u64) {
        let faults = self.shared.faults();
        (faults.cuts, faults.stalls)
    }

    /// How often what was done, in words.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.shared.faults().counts.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        connections.spawn(connect(client, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(mut client: TcpStream, shared: Arc<Shared>) {
    shared.thawed().await;
    let Some(mut broker) = shared.upstream().await else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let line = Line { shared, stalled_until: Mutex::new(Instant::now()) };
    let end = {
        let ((from_client, to_client), (from_broker, to_broker)) = (client.split(), broker.split());
        tokio::select! {
            end = line.pump(from_client, to_broker, Sender::Client) => end,
            end = line.pump(from_broker, to_client, Sender::Broker) => end,
        }
    };
    // The other side is closed in order: what passed before the cut, it has.
    let _ = match end {
        End::ResetBy(Sender::Client) => client.set_zero_linger(),
        End::ResetBy(Sender::Broker) => broker.set_zero_linger(),
        End::Closed => Ok(()),
    };
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn upstream(&self) -> Option<TcpStream> {
        let first = self.next_upstream.fetch_add(1, Ordering::Relaxed);
        for offset in 0..self.upstreams.len() {
            let port = self.upstreams[(first + offset) % self.upstreams.len()];
            if let Ok(Ok(stream)) = timeout(Duration::from_secs(1), TcpStream::connect(("127.0.0.1", port))).await {
                return Some(stream);
            }
        }
        None
    }

    async fn thawed(&self) {
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }
}

enum End {
    Closed,
    /// Cut while this side was sending.
    ResetBy(Sender),
}

/// One client's connection, both directions of it.
struct Line {
    shared: Arc<Shared>,
    stalled_until: Mutex<Instant>,
}

impl Line {
    async fn pump(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, sender: Sender) -> End {
        let mut frames = Frames::of(sender);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match from.read(&mut chunk).await {
                Ok(0) | Err(_) => return End::Closed,
                Ok(count) => frames.push(&chunk[..count]),
            }
            while let Some(frame) = frames.next() {
                match self.pass(&frame, &frames, &mut to, sender).await {
                    Ok(None) => {}
                    Ok(Some(end)) => return end,
                    Err(_) => return End::Closed,
                }
            }
        }
    }

    async fn pass(
        &self,
        frame: &Frame,
        frames: &Frames,
        to: &mut WriteHalf<'_>,
        sender: Sender,
    ) -> io::Result<Option<End>> {
        self.ready().await;
        let before = frame.before.and_then(|mark| self.shared.faults().at(mark));
        if let Some(end) = self.suffer(before, sender).await {
            return Ok(Some(end));
        }
        to.write_all(&frame.bytes).await?;
        let after = frame.after.and_then(|mark| self.shared.faults().at(mark));
        match after {
            Some(Fault::Repeat) => to.write_all(&frame.bytes).await?,
            Some(Fault::CancelConsumer) => {
                to.write_all(&frames.cancellation().expect("a consumer had a delivery")).await?;
            }
            _ => return Ok(self.suffer(after, sender).await),
        }
        Ok(None)
    }

    async fn suffer(&self, fault: Option<Fault>, sender: Sender) -> Option<End> {
        match fault? {
            Fault::Reset => return Some(End::ResetBy(sender)),
            Fault::Close => return Some(End::Closed),
            Fault::Stall(duration) => {
                *self.stalled_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + duration;
                self.ready().await;
            }
            Fault::Repeat | Fault::CancelConsumer => panic!("these follow a frame"),
        }
        None
    }

    /// Until nothing keeps bytes from passing.
    async fn ready(&self) {
        let until = *self.stalled_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until > Instant::now() {
            tokio::time::sleep_until(until).await;
        }
        self.shared.thawed().await;
    }
}

impl Faults {
    fn at(&mut self, mark: Mark) -> Option<Fault> {
        let asked_for = self.once.iter().position(|(at, _)| *at == mark).map(|index| self.once.remove(index).1);
        let fault = asked_for.or_else(|| self.by_chance())?;
        let (seen, edge) = mark;
        let name = match fault {
            Fault::Reset => "reset",
            Fault::Close => "close",
            Fault::Stall(_) => "stall",
            Fault::Repeat => "repeat",
            Fault::CancelConsumer => "cancel",
        };
        *self.counts.entry(format!("{name} {edge:?} {seen:?}").to_lowercase()).or_default() += 1;
        match fault {
            Fault::Stall(_) => self.stalls += 1,
            _ => self.cuts += 1,
        }
        Some(fault)
    }

    fn by_chance(&mut self) -> Option<Fault> {
        let plan = self.plan.as_mut()?;
        self.countdown = self.countdown.saturating_sub(1);
        if self.countdown > 0 {
            return None;
        }
        self.countdown = plan.random.between(plan.gap.clone());
        let stall = Fault::Stall(plan.random.duration(plan.stall_ms.clone()));
        Some(plan.random.of(&[Fault::Reset, Fault::Close, stall]))
    }
}

/// All places around a message that faults are put at.
pub const AROUND_MESSAGES: [Mark; 10] = [
    (Seen::Publish, Edge::Before),
    (Seen::Publish, Edge::Within),
    (Seen::Publish, Edge::After),
    (Seen::Confirm, Edge::Before),
    (Seen::Confirm, Edge::After),
    (Seen::Deliver, Edge::Before),
    (Seen::Deliver, Edge::Within),
    (Seen::Deliver, Edge::After),
    (Seen::Ack, Edge::Before),
    (Seen::Ack, Edge::After),
];
