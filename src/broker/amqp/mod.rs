//! Owns the queue that is RabbitMQ, and is the only user of lapin.
//!
//! * `address`: the broker's address, shown without its password.
//! * `link`: a connection that is kept up.
//! * `declare`: exchanges and queues.
//! * `publisher`: confirmed publishing.
//! * `count`: attempts, over several queues.
//! * `deliveries`, `results`: consuming queues, subscribing to results.
//! * `acks`: acknowledgements, many with one frame.
//! * `letters`: going through the dead letters.
//! * `inspect`: how much is in the queues.
//! * `properties`: messages as AMQP carries them.
//! * `errors`: errors and limits.
//!
//! There are two connections: RabbitMQ stops reading from one that publishes when it runs short of memory or disk, and
//! acknowledgements must get through even then.

mod acks;
mod address;
pub(crate) mod count;
mod declare;
mod deliveries;
mod errors;
mod inspect;
mod letters;
mod link;
mod properties;
mod publisher;
mod results;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use lapin::Connection;
use secrecy::SecretString;

use self::{
    address::Address,
    declare::Topology,
    errors::within,
    link::Link,
    properties::to_wire,
    publisher::{Parcel, Publisher},
};
use super::{
    Broker, BrokerError, Config, DeadLetters, Deliveries, Depth, Exchange, ForeignQueue, Group, Message, Prefetch,
    ResultQueue, Subscription,
    consuming::Missing,
    topology::{self, header},
};

/// The virtual host that an address names.
pub fn virtual_host(url: &SecretString, config: &Config) -> Result<String, BrokerError> {
    Ok(Address::parse(url, config)?.uri(0).vhost.clone())
}

/// The queue on RabbitMQ.
pub struct Amqp {
    consuming: Arc<Link>,
    publisher: Arc<Publisher>,
    topology: Arc<Topology>,
    config: Arc<Config>,
    address: Address,
    missing: Missing,
}

impl std::fmt::Debug for Amqp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Amqp").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Amqp {
    /// Connects and declares everything, or fails within `connect_s_max` and `declare_s_max`.
    pub async fn open(url: &SecretString, config: &Config) -> Result<Self, BrokerError> {
        let config = Arc::new(config.clone());
        let address = Address::parse(url, &config)?;
        let topology = Arc::new(Topology::new(config.clone()));
        let publishing = Link::open("publishes", address.clone(), config.clone(), topology.clone()).await?;
        let consuming = Link::open("consumes", address.clone(), config.clone(), topology.clone()).await?;
        Ok(Self {
            consuming: Arc::new(consuming),
            publisher: Publisher::start(publishing, config.clone(), topology.clone()),
            topology,
            config,
            address,
            missing: Missing::default(),
        })
    }

    async fn consume_group(
        &self,
        connection: Arc<Connection>,
        group: Group,
        prefetch: Prefetch,
        scrub: Option<fn(&mut [u8])>,
    ) -> Result<Box<dyn Deliveries>, BrokerError> {
        let (link, publisher) = (self.consuming.clone(), self.publisher.clone());
        let source = deliveries::Source { group, connection, link, publisher, config: self.config.clone(), scrub };
        Ok(Box::new(deliveries::Consumer::open(source, prefetch).await?))
    }

    /// How many workers consume the work queue, all processes counted.
    pub async fn workers(&self) -> Result<u32, BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        within("a count of its consumers", self.config.declare_limit(), inspect::workers(&connection)).await
    }
}

#[async_trait]
impl Broker for Amqp {
    async fn publish(&self, exchange: Exchange, message: &Message) -> Result<(), BrokerError> {
        let (exchange, internal) = match exchange {
            Exchange::Notes => {
                let now = Timestamp::now().to_string();
                let queued_at = message.headers.get(header::QUEUED_AT).cloned().unwrap_or(now);
                (topology::NOTES_EXCHANGE, vec![(header::QUEUED_AT, queued_at)])
            }
            Exchange::Results => (topology::RESULTS_EXCHANGE, Vec::new()),
        };
        let properties = to_wire(message, &internal);
        let parcel = Parcel { exchange, routing_key: &message.routing_key, properties, body: &message.body };
        self.publisher.publish(&parcel).await
    }

    async fn consume(&self, prefetch: Prefetch) -> Result<Box<dyn Deliveries>, BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        // The reason to open a consumer anew may be a deleted queue.
        self.topology.declare(&connection).await?;
        self.consume_group(connection, Group::Notes, prefetch, None).await
    }

    async fn declare_results(&self, queue: &ResultQueue) -> Result<(), BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        self.topology.declare_results(&connection, queue).await
    }

    async fn consume_results(&self, queue: &ResultQueue, prefetch: u16) -> Result<Box<dyn Deliveries>, BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        self.topology.declare_results(&connection, queue).await?;
        self.consume_group(connection, Group::Named(queue.group()?), prefetch.into(), None).await
    }

    async fn consume_foreign(&self, queue: &ForeignQueue, prefetch: u16) -> Result<Box<dyn Deliveries>, BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        self.topology.declare_foreign(&connection, queue).await?;
        let group = Group::Named(queue.group()?);
        self.consume_group(connection, group, prefetch.into(), Some(queue.scrub)).await
    }

    async fn subscribe(&self, pattern: &str) -> Result<Box<dyn Subscription>, BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        let opening = results::Subscribed::open(self.consuming.clone(), connection, pattern);
        Ok(Box::new(within("a subscription", self.config.declare_limit(), opening).await?))
    }

    async fn depth_of(&self, group: &Group) -> Result<Depth, BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        let counting = inspect::depth(&connection, group, &self.config);
        within("a count of its queues", self.config.declare_limit(), counting).await
    }

    async fn open_dead_letters_of(&self, group: &Group) -> Result<Box<dyn DeadLetters>, BrokerError> {
        let connection = self.consuming.connection(self.config.connect_limit()).await?;
        let (publisher, config) = (self.publisher.clone(), self.config.clone());
        Ok(Box::new(letters::Pass::open(&connection, publisher, config, group.clone()).await?))
    }

    fn is_ready(&self) -> bool {
        self.consuming.is_ready() && self.publisher.is_ready()
    }

    fn missing(&self) -> &Missing {
        &self.missing
    }

    async fn close(&self) {
        self.publisher.close().await;
        self.consuming.close(self.config.connect_limit()).await;
    }
}
