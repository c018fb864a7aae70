//! Owns subscribing to result topics on RabbitMQ: an exclusive queue that is gone with its subscriber.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::{
    Acker, Connection,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};

use super::{declare::too_long, errors::failed, link::Link, properties::from_wire};
use crate::broker::{BrokerError, Message, Subscription, topology};

/// Messages on their way to a subscriber that has not asked for them yet. Bounds the memory of a slow one; the rest
/// waits in its queue.
const PREFETCH: u16 = 256;
/// So many are acknowledged together.
const ACKNOWLEDGED_TOGETHER: u16 = PREFETCH / 4;

pub(super) struct Subscribed {
    messages: lapin::Consumer,
    connection: Arc<Connection>,
    link: Arc<Link>,
    /// Taken and not acknowledged yet.
    taken: u16,
    /// The last one taken.
    last: Option<Acker>,
    gone: bool,
}

impl Subscribed {
    pub(super) async fn open(link: Arc<Link>, connection: Arc<Connection>, pattern: &str) -> Result<Self, BrokerError> {
        let pattern = ShortString::try_new(pattern).map_err(|_| too_long())?;
        let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(failed("limit its deliveries"))?;
        let options = QueueDeclareOptions::exclusive().auto_delete();
        let queue = channel
            .queue_declare("".into(), options, FieldTable::default())
            .await
            .map_err(failed("declare a queue"))?;
        channel
            .queue_bind(
                queue.name().clone(),
                topology::RESULTS_EXCHANGE.into(),
                pattern,
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(failed("bind a queue"))?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let messages = channel
            .basic_consume(queue.name().clone(), "".into(), options, FieldTable::default())
            .await
            .map_err(failed("deliver results"))?;
        Ok(Self { messages, connection, link, taken: 0, last: None, gone: false })
    }
}

#[async_trait]
impl Subscription for Subscribed {
    async fn next(&mut self) -> Result<Message, BrokerError> {
        if self.gone {
            return Err(BrokerError::Lost("this subscription ended before".into()));
        }
        // Before anything is taken: whoever stops waiting meanwhile has nothing in hand that could be lost.
        if self.taken >= ACKNOWLEDGED_TOGETHER
            && let Some(acker) = &self.last
        {
            // Only makes room for the next ones; if it fails, what follows says why.
            let _ = acker.ack(BasicAckOptions { multiple: true }).await;
            self.taken = 0;
        }
        let arrived = tokio::select! {
            arrived = self.messages.next() => arrived,
            () = self.link.lost(&self.connection) => None,
        };
        self.gone = !matches!(arrived, Some(Ok(_)));
        let lost = || BrokerError::Lost("the connection is gone, or the broker cancelled the subscription".into());
        let delivery = arrived.ok_or_else(lost)?.map_err(|error| BrokerError::Lost(Box::new(error)))?;
        self.taken += 1;
        self.last = Some(delivery.acker.clone());
        Ok(from_wire(delivery).message)
    }
}
