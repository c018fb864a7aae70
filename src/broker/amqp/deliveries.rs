//! Owns consuming notes from RabbitMQ, and telling it what became of them.
//!
//! Two queues come through one stream: the work queue, and the one in which RabbitMQ puts notes that used up their
//! deliveries. A note leaves its queue in one way only: what follows from it is confirmed, then it is acknowledged.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use lapin::{
    Acker, Channel, Connection,
    options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions},
    types::FieldTable,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    declare::declare,
    errors::{failed, within},
    link::Link,
    properties::{Internal, from_wire, to_wire},
    publisher::{Parcel, Publisher},
};
use crate::{
    broker::{
        BrokerError, Config, Deliveries, Delivery, Message,
        topology::{self, header},
    },
    outcome::{Disposition, Settlement},
};

/// Pauses between attempts to move a note while the broker takes nothing.
const MOVE_PAUSE_MIN: Duration = Duration::from_millis(500);
const MOVE_PAUSE_MAX: Duration = Duration::from_secs(10);

pub(super) struct Consumer {
    work: lapin::Consumer,
    crashed: lapin::Consumer,
    channel: Channel,
    connection: Arc<Connection>,
    link: Arc<Link>,
    publisher: Arc<Publisher>,
    config: Arc<Config>,
    slots: Arc<Semaphore>,
    gone: bool,
}

impl Consumer {
    /// Starts to consume. Declares everything first: the reason to open a consumer anew may be a deleted queue.
    pub(super) async fn open(
        link: Arc<Link>,
        publisher: Arc<Publisher>,
        config: Arc<Config>,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        let prefetch = prefetch.max(1);
        let connection = link.connection(config.connect_limit()).await?;
        declare(&connection, &config).await?;
        within("a request to consume", config.declare_limit(), async {
            let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
            // The limit holds for consumers opened after it.
            qos(&channel, prefetch).await?;
            let work = consume(&channel, topology::WORK_QUEUE).await?;
            qos(&channel, 1).await?;
            let crashed = consume(&channel, topology::CRASHED_QUEUE).await?;
            let slots = Arc::new(Semaphore::new(prefetch.into()));
            let connection = connection.clone();
            Ok(Self { work, crashed, channel, connection, link, publisher, config: config.clone(), slots, gone: false })
        })
        .await
    }

    fn received(&self, delivery: lapin::message::Delivery, crashed: bool, slot: OwnedSemaphorePermit) -> NoteDelivery {
        let acker = delivery.acker.clone();
        let wire = from_wire(delivery);
        let so_far = wire.internal.number(header::ATTEMPT).unwrap_or(1).max(1);
        let answered_before = wire.internal.is_set(header::EXHAUSTED);
        let attempt = match (crashed, answered_before) {
            (_, true) => so_far,
            (true, false) => so_far.saturating_add(topology::delivery_limit(&self.config)),
            (false, false) => so_far.saturating_add(wire.internal.delivery_count),
        };
        NoteDelivery {
            message: wire.message,
            internal: wire.internal,
            attempt,
            exhausted: crashed || answered_before,
            received_at: Timestamp::now(),
            acker: Some(acker),
            publisher: self.publisher.clone(),
            config: self.config.clone(),
            channel: self.channel.clone(),
            _slot: slot,
        }
    }
}

async fn qos(channel: &Channel, prefetch: u16) -> Result<(), BrokerError> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(failed("limit its deliveries"))
}

async fn consume(channel: &Channel, queue: &str) -> Result<lapin::Consumer, BrokerError> {
    channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .map_err(failed("deliver notes"))
}

#[async_trait]
impl Deliveries for Consumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        if self.gone {
            return Err(BrokerError::Lost("this consumer ended before".into()));
        }
        let closed = |_| BrokerError::Lost("the consumer was closed".into());
        let slot = self.slots.clone().acquire_owned().await.map_err(closed)?;
        let (arrived, crashed) = tokio::select! {
            biased;
            arrived = self.crashed.next() => (arrived, true),
            arrived = self.work.next() => (arrived, false),
            () = self.link.lost(&self.connection) => (None, false),
        };
        match arrived {
            Some(Ok(delivery)) => Ok(Box::new(self.received(delivery, crashed, slot))),
            Some(Err(error)) => {
                self.gone = true;
                Err(BrokerError::Lost(Box::new(error)))
            }
            None => {
                self.gone = true;
                Err(BrokerError::Lost("the connection is gone, or the broker cancelled the consumer".into()))
            }
        }
    }
}

/// What was delivered here and not asked for any more goes back at once; what workers still hold stays theirs.
impl Drop for Consumer {
    fn drop(&mut self) {
        let mut unasked = Vec::new();
        for consumer in [&mut self.crashed, &mut self.work] {
            while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
                unasked.push(delivery.acker);
            }
        }
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            for acker in unasked {
                // An error means that the connection is gone, and with it the broker's patience: they go back too.
                let _ = acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await;
            }
        });
    }
}

struct NoteDelivery {
    message: Message,
    internal: Internal,
    attempt: u32,
    exhausted: bool,
    received_at: Timestamp,
    /// Taken when the note is settled.
    acker: Option<Acker>,
    publisher: Arc<Publisher>,
    config: Arc<Config>,
    /// Open as long as one of its deliveries can be settled.
    channel: Channel,
    _slot: OwnedSemaphorePermit,
}

#[async_trait]
impl Delivery for NoteDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn exhausted(&self) -> bool {
        self.exhausted
    }

    fn queued_at(&self) -> Option<Timestamp> {
        self.internal.queued_at()
    }

    async fn settle(mut self: Box<Self>, settlement: &Settlement) -> Result<(), BrokerError> {
        match settlement {
            Settlement::Ack => {}
            Settlement::Retry { after, reason } => {
                let queue = topology::retry_queue(retry_delay_s(&self.config.retry_delays_s, *after));
                let attempt = if self.exhausted { self.attempt } else { self.attempt.saturating_add(1) };
                let mut headers = self.history(attempt);
                headers.push((header::REASON, reason.as_str().to_owned()));
                if self.exhausted {
                    headers.push((header::EXHAUSTED, "true".to_owned()));
                }
                self.move_to(&queue, &headers).await?;
            }
            Settlement::DeadLetter(cause) => {
                let mut headers = self.history(self.attempt);
                headers.push((header::REASON, cause.reason.as_str().to_owned()));
                headers.push((header::STAGE, cause.stage.as_str().to_owned()));
                headers.push((header::LAST_AT, Timestamp::now().to_string()));
                self.move_to(topology::DEAD_LETTER_QUEUE, &headers).await?;
            }
        }
        self.ack().await
    }

    async fn hand_back(mut self: Box<Self>) -> Result<(), BrokerError> {
        if self.is_at_its_last_delivery() && self.publish_copy(topology::WORK_QUEUE, self.attempt).await.is_ok() {
            return self.ack().await;
        }
        let Some(acker) = self.acker.take() else { return Err(not_ours()) };
        // Not a reject: since 4.3 that counts as a delivery and this does not.
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        told(within("a note handed back", self.config.confirm_limit(), async {
            acker.nack(options).await.map_err(failed("take a note back"))
        }))
        .await
    }
}

impl NoteDelivery {
    /// Before 4.3 RabbitMQ counts a note handed back as it counts a crash. It keeps its place in the queue, so that is
    /// borne, except where the count would run out over it: then a copy at the queue's end starts a new count.
    fn is_at_its_last_delivery(&self) -> bool {
        !self.exhausted && self.internal.delivery_count >= topology::delivery_limit(&self.config)
    }

    async fn publish_copy(&self, queue: &str, attempt: u32) -> Result<(), BrokerError> {
        let properties = to_wire(&self.message, &self.history(attempt));
        self.publisher.publish(&Parcel { exchange: "", routing_key: queue, properties, body: &self.message.body }).await
    }

    fn history(&self, attempt: u32) -> Vec<(&'static str, String)> {
        let first_at = self.internal.time(header::FIRST_AT).unwrap_or(self.received_at);
        let mut headers = vec![
            (header::ATTEMPT, attempt.to_string()),
            (header::FIRST_AT, first_at.to_string()),
            (header::ROUTING_KEY, self.message.routing_key.clone()),
        ];
        headers.extend(self.queued_at().map(|at| (header::QUEUED_AT, at.to_string())));
        headers
    }

    /// Publishes a copy and has it confirmed, however long that takes within `settle_s_max`: work that was done would
    /// be done again otherwise. Ends early when the note is not ours any more.
    async fn move_to(&self, queue: &str, headers: &[(&'static str, String)]) -> Result<(), BrokerError> {
        let properties = to_wire(&self.message, headers);
        let parcel = Parcel { exchange: "", routing_key: queue, properties, body: &self.message.body };
        let deadline = Instant::now() + Duration::from_secs(self.config.settle_s_max.into());
        let mut pause = MOVE_PAUSE_MIN;
        loop {
            if !self.acker.as_ref().is_some_and(Acker::usable) {
                return Err(not_ours());
            }
            match self.publisher.publish(&parcel).await {
                Err(error) if error.disposition() == Disposition::Retry && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MOVE_PAUSE_MAX);
                }
                outcome => return outcome,
            }
        }
    }

    async fn ack(&mut self) -> Result<(), BrokerError> {
        let Some(acker) = self.acker.take() else { return Err(not_ours()) };
        told(within("an acknowledgement", self.config.confirm_limit(), async {
            acker.ack(BasicAckOptions::default()).await.map_err(failed("take an acknowledgement"))
        }))
        .await
    }
}

/// Dropped without settlement: something went wrong with it, and that counts, so a reject.
impl Drop for NoteDelivery {
    fn drop(&mut self) {
        let Some(acker) = self.acker.take().filter(Acker::usable) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let channel = self.channel.clone();
        runtime.spawn(async move {
            let _ = acker.reject(BasicRejectOptions { requeue: true }).await;
            drop(channel);
        });
    }
}

/// lapin answers `false` where the channel that the note came on is gone.
async fn told(telling: impl Future<Output = Result<bool, BrokerError>>) -> Result<(), BrokerError> {
    if telling.await? { Ok(()) } else { Err(not_ours()) }
}

fn not_ours() -> BrokerError {
    BrokerError::Lost("the note went back to the broker when its channel closed".into())
}

/// The shortest delay that is not shorter than asked for, or the longest there is.
fn retry_delay_s(delays_s: &[u32], after: Duration) -> u32 {
    let long_enough = delays_s.iter().copied().filter(|delay_s| Duration::from_secs((*delay_s).into()) >= after);
    long_enough.min().or_else(|| delays_s.iter().copied().max()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_waits_at_least_as_long_as_asked_where_a_delay_allows_it() {
        let delays_s = [30, 1, 5];
        for (after_ms, expected_s) in [(0, 1), (1000, 1), (1001, 5), (5000, 5), (6000, 30), (90_000, 30)] {
            assert_eq!(retry_delay_s(&delays_s, Duration::from_millis(after_ms)), expected_s, "{after_ms} ms");
        }
    }
}
