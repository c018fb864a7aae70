//! Owns publishing: a message counts as published when RabbitMQ has confirmed it and did not return it.
//!
//! Every message on its way has a channel to itself, taken from a pool. RabbitMQ says that a message cannot be routed
//! in one frame and confirms it in another, without a number that joins them; with one message to a channel there is
//! nothing to mix up. It also keeps trouble where it belongs: a message that is too large closes its own channel, and
//! a channel whose confirm is late is dropped with everything that still hangs on it.

use std::sync::{Arc, Mutex, PoisonError};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    declare::declare,
    errors::{failed, is_not_found, size_limit},
    link::Link,
};
use crate::broker::{BrokerError, Config};

pub(super) struct Publisher {
    link: Link,
    config: Arc<Config>,
    idle: Mutex<Vec<Channel>>,
    on_their_way: Semaphore,
}

/// One message and where it goes.
pub(super) struct Parcel<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub properties: BasicProperties,
    pub body: &'a [u8],
}

enum Failure {
    /// There is no exchange, or no queue for it.
    NoRoute,
    Other(BrokerError),
}

impl Publisher {
    pub(super) fn new(link: Link, config: Arc<Config>) -> Self {
        let on_their_way = Semaphore::new(config.publishes_max.into());
        Self { link, config, idle: Mutex::default(), on_their_way }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.link.is_ready()
    }

    pub(super) async fn close(&self) {
        self.on_their_way.close();
        self.link.close(self.config.connect_limit()).await;
    }

    /// Returns once the broker has the message safe, or after `confirm_s_max`. Cancelled or late, it may have it
    /// nevertheless.
    pub(super) async fn publish(&self, parcel: &Parcel<'_>) -> Result<(), BrokerError> {
        self.config.check_size(parcel.body)?;
        match self.try_publish(parcel).await {
            Err(Failure::NoRoute) => {
                // Somebody deleted a queue or an exchange: put it back, then it has to work.
                let connection = self.link.connection(self.config.connect_limit()).await?;
                declare(&connection, &self.config).await?;
                self.try_publish(parcel).await
            }
            outcome => outcome,
        }
        .map_err(|failure| match failure {
            Failure::NoRoute => refused("no queue takes its routing key"),
            Failure::Other(error) => error,
        })
    }

    async fn try_publish(&self, parcel: &Parcel<'_>) -> Result<(), Failure> {
        let limit = self.config.confirm_limit();
        let deadline = Instant::now() + limit;
        // Also with idle channels at hand: on a blocked connection they would only pile up what they cannot send.
        let connection = self.link.unblocked(limit).await.map_err(Failure::Other)?;
        tokio::time::timeout_at(deadline, self.confirmed(&connection, parcel))
            .await
            .unwrap_or(Err(Failure::Other(BrokerError::TimedOut { what: "a message", limit })))
    }

    #[expect(clippy::disallowed_methods, reason = "the one confirmed publish that everybody else uses")]
    async fn confirmed(&self, connection: &Connection, parcel: &Parcel<'_>) -> Result<(), Failure> {
        let _permit = self.on_their_way.acquire().await.map_err(|_| Failure::Other(closed()))?;
        let channel = self.channel(connection).await.map_err(Failure::Other)?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, routing_key) = (short(parcel.exchange)?, short(parcel.routing_key)?);
        let confirm = channel
            .basic_publish(exchange, routing_key, options, parcel.body, parcel.properties.clone())
            .await
            .map_err(|error| failure(parcel, error))?;
        let confirmation = confirm.await.map_err(|error| failure(parcel, error))?;
        self.put_back(channel);
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Err(Failure::NoRoute),
            Confirmation::Nack(None) => Err(Failure::Other(refused("its queue is full, or could not store it"))),
            Confirmation::NotRequested => Err(Failure::Other(refused("the channel does not confirm"))),
        }
    }

    /// An idle channel that still lives, or a new one.
    async fn channel(&self, connection: &Connection) -> Result<Channel, BrokerError> {
        while let Some(channel) = self.take_idle() {
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed("confirm messages"))?;
        Ok(channel)
    }

    fn take_idle(&self) -> Option<Channel> {
        self.idle().pop()
    }

    fn put_back(&self, channel: Channel) {
        if channel.status().connected() {
            self.idle().push(channel);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        // A list of channels is whole after every statement.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(parcel: &Parcel<'_>, error: lapin::Error) -> Failure {
    if is_not_found(&error) {
        return Failure::NoRoute;
    }
    Failure::Other(match size_limit(&error) {
        Some(bytes_max) => BrokerError::TooLarge { bytes: parcel.body.len(), bytes_max },
        None => failed("take a message")(error),
    })
}

fn short(name: &str) -> Result<ShortString, Failure> {
    ShortString::try_new(name).map_err(|_| Failure::Other(refused("its routing key is longer than 255 bytes")))
}

fn refused(why: &str) -> BrokerError {
    BrokerError::NotConfirmed { why: why.to_owned() }
}

fn closed() -> BrokerError {
    BrokerError::Lost("the broker was closed by this program".into())
}
