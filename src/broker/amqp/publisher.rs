//! Owns publishing: a message counts as published when RabbitMQ has confirmed it and did not return it.
//!
//! Every message on its way has a channel to itself, taken from a pool. RabbitMQ says that a message cannot be routed
//! in one frame and confirms it in another, without a number that joins them; with one message to a channel there is
//! nothing to mix up. It also keeps trouble where it belongs: a message that is too large closes its own channel, and
//! a channel whose confirm is late or negative is dropped with everything that still hangs on it.
//!
//! A cluster that has lost most of its nodes stays connected, takes messages and says nothing about them. So a confirm
//! that is late counts as a broker that is not ready, and one that is asked for now and then tells when it is again.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    declare::Topology,
    errors::{failed, is_not_found, size_limit},
    link::Link,
};
use crate::broker::{BrokerError, Config, topology};

/// Until a broker that did not confirm is asked again.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Publisher {
    link: Link,
    config: Arc<Config>,
    topology: Arc<Topology>,
    idle: Mutex<Vec<Channel>>,
    on_their_way: Semaphore,
    /// Whether the latest message was confirmed in time.
    confirms: watch::Sender<bool>,
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
    pub(super) fn start(link: Link, config: Arc<Config>, topology: Arc<Topology>) -> Arc<Self> {
        let on_their_way = Semaphore::new(config.publishes_max.into());
        let confirms = watch::Sender::new(true);
        let confirming = confirms.subscribe();
        let publisher = Arc::new(Self { link, config, topology, idle: Mutex::default(), on_their_way, confirms });
        tokio::spawn(probe(Arc::downgrade(&publisher), confirming));
        publisher
    }

    /// Connected, the broker takes messages, and confirms them.
    pub(super) fn is_ready(&self) -> bool {
        self.link.is_ready() && *self.confirms.borrow()
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
                self.topology.declare(&connection).await?;
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
        let connection = match self.link.unblocked(limit).await {
            Ok(connection) => connection,
            Err(error) => {
                if matches!(error, BrokerError::Unreachable { .. }) {
                    // Not ready for want of a connection; the next one begins anew.
                    self.confirms.send_replace(true);
                }
                return Err(Failure::Other(error));
            }
        };
        let answer = tokio::time::timeout_at(deadline, self.confirmed(&connection, parcel)).await;
        match answer {
            // A refusal is an answer, too.
            Ok(Ok(()) | Err(Failure::NoRoute | Failure::Other(BrokerError::NotConfirmed { .. }))) => {
                self.note_confirming(true);
            }
            // A new connection begins anew.
            Ok(Err(Failure::Other(BrokerError::Lost(_)))) => {
                self.confirms.send_replace(true);
            }
            Ok(Err(_)) => {}
            Err(_) => self.note_confirming(false),
        }
        answer.unwrap_or(Err(Failure::Other(BrokerError::TimedOut { what: "a message", limit })))
    }

    fn note_confirming(&self, confirms: bool) {
        let changed = self.confirms.send_if_modified(|known| std::mem::replace(known, confirms) != confirms);
        match (changed, confirms) {
            (true, true) => tracing::info!("the broker confirms messages again"),
            (true, false) => tracing::warn!("the broker does not confirm messages in time"),
            (false, _) => {}
        }
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
        // RabbitMQ remembers by channel where a queue's leader is. One that was asked just after the leader's node died
        // refuses messages for that queue until the node is back, while any other takes them: so it is not used again.
        if let Confirmation::Ack(_) = confirmation {
            self.put_back(channel);
        }
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

/// Asks a broker that did not confirm until it does. Ends with the publisher.
async fn probe(publisher: Weak<Publisher>, mut confirming: watch::Receiver<bool>) {
    while confirming.wait_for(|confirms| !confirms).await.is_ok() {
        tokio::time::sleep(PROBE_PAUSE).await;
        let Some(publisher) = publisher.upgrade() else { return };
        // It is gone as soon as it has arrived.
        let properties = BasicProperties::default().with_expiration("0".into());
        let parcel = Parcel { exchange: "", routing_key: topology::UNROUTED_RESULTS, properties, body: &[] };
        // What it finds out, it notes.
        let _ = publisher.try_publish(&parcel).await;
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
