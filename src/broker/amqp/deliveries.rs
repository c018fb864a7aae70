//! Owns consuming queues of RabbitMQ, and telling it what became of what they held: notes, or results.
//!
//! Several queues come through one stream: those of the lanes, and the one in which RabbitMQ puts messages that used up
//! their deliveries. One leaves its queue in one way only: what follows from it is confirmed, then it is acknowledged.

use std::{sync::Arc, task::Poll, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use lapin::{
    Acker, Channel, Connection,
    options::{BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions},
    types::FieldTable,
};
use tokio::{runtime::Handle, time::Instant};

use super::{
    acks::Acks,
    count::{Counted, Origin, Said, count},
    errors::{failed, within},
    link::Link,
    properties::{Internal, from_wire, to_wire},
    publisher::{Parcel, Publisher},
};
use crate::{
    broker::{
        BrokerError, Config, Deliveries, Delivery, Group, Lane, Message, Prefetch,
        topology::{self, header},
    },
    outcome::{Disposition, Settlement},
};

/// Pauses between attempts to move a note while the broker takes nothing.
const MOVE_PAUSE_MIN: Duration = Duration::from_millis(500);
const MOVE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// What is consumed, and over what.
pub(super) struct Source {
    pub group: Group,
    pub connection: Arc<Connection>,
    pub link: Arc<Link>,
    pub publisher: Arc<Publisher>,
    pub config: Arc<Config>,
    /// Blanks what may not be kept of a body.
    pub scrub: Option<fn(&mut [u8])>,
}

pub(super) struct Consumer {
    /// In the order in which they are asked, each with a limit that the broker keeps.
    queues: Vec<(Origin, lapin::Consumer)>,
    acks: Acks,
    source: Arc<Source>,
    gone: bool,
}

impl Consumer {
    /// Starts to consume queues that were declared.
    pub(super) async fn open(source: Source, prefetch: Prefetch) -> Result<Self, BrokerError> {
        let source = Arc::new(source);
        let opened = within("a request to consume", source.config.declare_limit(), async {
            let channel = source.connection.create_channel().await.map_err(failed("open a channel"))?;
            let mut queues = Vec::new();
            for lane in source.group.lanes() {
                let consumer = consume(&channel, &source.group.queue(*lane), prefetch.of(*lane)).await?;
                queues.push((Origin::Lane(*lane), consumer));
            }
            queues.insert(0, (Origin::Crashed, consume(&channel, &source.group.crashed(), 1).await?));
            Ok(Self { queues, acks: Acks::of(channel), source: source.clone(), gone: false })
        })
        .await;
        if matches!(opened, Err(BrokerError::TimedOut { .. })) {
            // A broker short of nodes grants it once they are back, to a consumer that nobody reads and that keeps
            // what it is given. Only the end of the connection takes that back.
            let closing = source.connection.close(200, "a request to consume was not answered".into());
            let _ = tokio::time::timeout(source.config.connect_limit(), closing).await;
        }
        opened
    }

    /// What comes next; the end of one queue is the end of all.
    async fn arrived(&mut self) -> (Option<lapin::Result<lapin::message::Delivery>>, Origin) {
        std::future::poll_fn(|context| {
            for (origin, consumer) in &mut self.queues {
                if let Poll::Ready(arrived) = consumer.poll_next_unpin(context) {
                    return Poll::Ready((arrived, *origin));
                }
            }
            Poll::Pending
        })
        .await
    }

    fn received(&self, mut delivery: lapin::message::Delivery, origin: Origin) -> QueueDelivery {
        if let Some(scrub) = self.source.scrub {
            scrub(&mut delivery.data);
        }
        let (acker, tag) = (delivery.acker.clone(), delivery.delivery_tag);
        tracing::debug!(channel = self.acks.channel, tag, ?origin, redelivered = delivery.redelivered, "delivered");
        let wire = from_wire(delivery);
        let said = Said {
            attempt: wire.internal.number(header::ATTEMPT).unwrap_or(1).max(1),
            returns: wire.internal.number(header::RETURNS).unwrap_or(0),
            delivery_count: wire.internal.delivery_count,
            exhausted: wire.internal.is_set(header::EXHAUSTED),
        };
        QueueDelivery {
            message: wire.message,
            internal: wire.internal,
            counted: count(origin, said, &self.source.config),
            received_at: Timestamp::now(),
            acker: Some(acker),
            tag,
            source: self.source.clone(),
            acks: self.acks.clone(),
        }
    }
}

/// The limit holds for consumers opened after it.
async fn consume(channel: &Channel, queue: &str, prefetch: u16) -> Result<lapin::Consumer, BrokerError> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(failed("limit its deliveries"))?;
    channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .map_err(failed("deliver messages"))
}

#[async_trait]
impl Deliveries for Consumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        if self.gone {
            return Err(BrokerError::Lost("this consumer ended before".into()));
        }
        let source = self.source.clone();
        let (arrived, origin) = tokio::select! {
            biased;
            arrived = self.arrived() => arrived,
            () = source.link.lost(&source.connection) => (None, Origin::Crashed),
        };
        match arrived {
            Some(Ok(delivery)) => Ok(Box::new(self.received(delivery, origin))),
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
        for (_, consumer) in &mut self.queues {
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

struct QueueDelivery {
    message: Message,
    internal: Internal,
    counted: Counted,
    received_at: Timestamp,
    /// Taken when the note is settled.
    acker: Option<Acker>,
    tag: u64,
    source: Arc<Source>,
    /// Keeps the channel open as long as one of its deliveries can be settled.
    acks: Acks,
}

#[async_trait]
impl Delivery for QueueDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    fn lane(&self) -> Lane {
        self.source.group.lane(self.counted.lane)
    }

    fn attempt(&self) -> u32 {
        self.counted.attempt
    }

    fn returned(&self) -> bool {
        self.counted.returns > 0
    }

    fn exhausted(&self) -> bool {
        self.counted.exhausted
    }

    fn queued_at(&self) -> Option<Timestamp> {
        self.internal.queued_at()
    }

    fn replay(&self) -> u32 {
        self.internal.replay()
    }

    async fn settle(mut self: Box<Self>, settlement: &Settlement) -> Result<(), BrokerError> {
        match settlement {
            Settlement::Ack => {}
            Settlement::Retry { after, reason } => {
                let more = u32::from(!self.counted.exhausted);
                let mut headers = self.history(self.counted.attempt.saturating_add(more));
                headers.push((header::REASON, reason.as_str().to_owned()));
                headers.extend(self.stays_exhausted());
                self.move_to(&self.retry_queue(*after), &headers).await?;
            }
            Settlement::Later { after } => {
                let mut headers = self.history(self.counted.attempt);
                headers.push((header::RETURNS, self.counted.returns.to_string()));
                headers.extend(self.stays_exhausted());
                self.move_to(&self.retry_queue(*after), &headers).await?;
            }
            Settlement::Move(lane) => {
                let mut headers = self.history(self.counted.attempt);
                headers.push((header::RETURNS, self.counted.returns.to_string()));
                self.move_to(&self.source.group.queue(*lane), &headers).await?;
            }
            Settlement::DeadLetter(cause) => {
                let mut headers = self.history(self.counted.attempt);
                headers.push((header::REASON, cause.reason.as_str().to_owned()));
                headers.push((header::STAGE, cause.stage.as_str().to_owned()));
                headers.push((header::LAST_AT, Timestamp::now().to_string()));
                let queue = self.source.group.dead_letters();
                if let Err(error) = self.move_to(&queue, &headers).await {
                    // Its beginning is worth more than its coming back for ever.
                    let BrokerError::TooLarge { bytes_max, .. } = error else { return Err(error) };
                    self.message.body.truncate(bytes_max);
                    self.move_to(&queue, &headers).await?;
                }
            }
        }
        self.ack().await
    }

    async fn hand_back(mut self: Box<Self>) -> Result<(), BrokerError> {
        if self.is_at_its_last_delivery() && self.publish_copy().await.is_ok() {
            return self.ack().await;
        }
        let Some(acker) = self.acker.take() else { return Err(not_ours()) };
        // Not a reject: since 4.3 that counts as a delivery and this does not.
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        told(within("a message handed back", self.source.config.confirm_limit(), async {
            acker.nack(options).await.map_err(failed("take a message back"))
        }))
        .await?;
        self.acks.settled_otherwise(self.tag);
        Ok(())
    }
}

impl QueueDelivery {
    /// Before 4.3 RabbitMQ counts a note handed back as it counts a crash. It keeps its place in the queue, so that is
    /// borne, except where the count would run out over it: then a copy at the queue's end starts a new count.
    fn is_at_its_last_delivery(&self) -> bool {
        !self.counted.exhausted && self.counted.returns >= topology::delivery_limit(&self.source.config)
    }

    fn stays_exhausted(&self) -> Option<(&'static str, String)> {
        self.counted.exhausted.then(|| (header::EXHAUSTED, true.to_string()))
    }

    fn retry_queue(&self, after: Duration) -> String {
        let group = &self.source.group;
        let delay_s = retry_delay_s(&self.source.config.retry_delays_s, after);
        group.retry_queue(group.lane_of_retry(&self.message.routing_key), delay_s)
    }

    /// At the end of the same queue, with nothing counted.
    async fn publish_copy(&self) -> Result<(), BrokerError> {
        let properties = to_wire(&self.message, &self.history(self.counted.attempt));
        let queue = self.source.group.queue(self.counted.lane);
        let parcel = Parcel { exchange: "", routing_key: &queue, properties, body: &self.message.body };
        self.source.publisher.publish(&parcel).await
    }

    fn history(&self, attempt: u32) -> Vec<(&'static str, String)> {
        let first_at = self.internal.time(header::FIRST_AT).unwrap_or(self.received_at);
        let mut headers = vec![
            (header::ATTEMPT, attempt.to_string()),
            (header::FIRST_AT, first_at.to_string()),
            (header::ROUTING_KEY, self.message.routing_key.clone()),
        ];
        headers.extend(self.queued_at().map(|at| (header::QUEUED_AT, at.to_string())));
        headers.extend(self.internal.text(header::REPLAY).map(|number| (header::REPLAY, number)));
        headers
    }

    /// Publishes a copy and has it confirmed, however long that takes within `settle_s_max`: work that was done would
    /// be done again otherwise. Ends early when the note is not ours any more.
    async fn move_to(&self, queue: &str, headers: &[(&'static str, String)]) -> Result<(), BrokerError> {
        let properties = to_wire(&self.message, headers);
        let parcel = Parcel { exchange: "", routing_key: queue, properties, body: &self.message.body };
        let deadline = Instant::now() + Duration::from_secs(self.source.config.settle_s_max.into());
        let mut pause = MOVE_PAUSE_MIN;
        loop {
            if !self.acker.as_ref().is_some_and(Acker::usable) {
                return Err(not_ours());
            }
            match self.source.publisher.publish(&parcel).await {
                Err(error) if error.disposition() == Disposition::Retry && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MOVE_PAUSE_MAX);
                }
                outcome => return outcome,
            }
        }
    }

    async fn ack(&mut self) -> Result<(), BrokerError> {
        if !self.acker.take().is_some_and(|acker| acker.usable()) {
            return Err(not_ours());
        }
        within("an acknowledgement", self.source.config.confirm_limit(), self.acks.ack(self.tag)).await
    }
}

/// Dropped without settlement: something went wrong with it, and that counts, so a reject.
impl Drop for QueueDelivery {
    fn drop(&mut self) {
        let Some(acker) = self.acker.take().filter(Acker::usable) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let (acks, tag) = (self.acks.clone(), self.tag);
        runtime.spawn(async move {
            if let Ok(true) = acker.reject(BasicRejectOptions { requeue: true }).await {
                acks.settled_otherwise(tag);
            }
        });
    }
}

/// lapin answers `false` where the channel that the note came on is gone.
async fn told(telling: impl Future<Output = Result<bool, BrokerError>>) -> Result<(), BrokerError> {
    if telling.await? { Ok(()) } else { Err(not_ours()) }
}

fn not_ours() -> BrokerError {
    BrokerError::Lost("the message went back to the broker when its channel closed".into())
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
