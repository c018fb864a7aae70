//! Owns subscribing to result topics on RabbitMQ: an exclusive queue that is gone with its subscriber.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::{
    Connection,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};

use super::{errors::failed, link::Link, properties::from_wire};
use crate::broker::{BrokerError, Message, Subscription, topology};

/// Messages on their way to a subscriber that has not asked for them yet. Bounds the memory of a slow one; the rest
/// waits in its queue.
const PREFETCH: u16 = 64;

pub(super) struct Subscribed {
    messages: lapin::Consumer,
    connection: Arc<Connection>,
    link: Arc<Link>,
    /// Arrived, and not yet acknowledged: whoever stops waiting for that finds it here the next time.
    arrived: Option<Delivery>,
    gone: bool,
}

impl Subscribed {
    pub(super) async fn open(link: Arc<Link>, connection: Arc<Connection>, pattern: &str) -> Result<Self, BrokerError> {
        let pattern = ShortString::try_new(pattern)
            .map_err(|_| BrokerError::InvalidSetting { why: "the pattern is longer than 255 bytes".to_owned() })?;
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
        Ok(Self { messages, connection, link, arrived: None, gone: false })
    }
}

#[async_trait]
impl Subscription for Subscribed {
    async fn next(&mut self) -> Result<Message, BrokerError> {
        if self.gone {
            return Err(BrokerError::Lost("this subscription ended before".into()));
        }
        if self.arrived.is_none() {
            let arrived = tokio::select! {
                arrived = self.messages.next() => arrived,
                () = self.link.lost(&self.connection) => None,
            };
            self.gone = !matches!(arrived, Some(Ok(_)));
            self.arrived = arrived.transpose().map_err(|error| BrokerError::Lost(Box::new(error)))?;
        }
        if let Some(delivery) = &self.arrived {
            // Only makes room for the next one; if it fails, the next call says why.
            let _ = delivery.acker.ack(BasicAckOptions::default()).await;
        }
        let gone = || BrokerError::Lost("the connection is gone, or the broker cancelled the subscription".into());
        self.arrived.take().map(|delivery| from_wire(delivery).message).ok_or_else(gone)
    }
}
