//! Owns going through the dead letters on RabbitMQ.
//!
//! A queue cannot be read in its middle. A pass takes letter after letter without acknowledging them, on a channel of
//! its own; the broker keeps them for it, so that none is met twice, and has them all back when the channel closes,
//! however it does. The client holds one body at a time, the broker at most `letters_held_max` letters.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use lapin::{
    Acker, Channel, Connection,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
};

use super::{
    errors::{failed, is_not_found, within},
    properties::{FromWire, from_wire, to_wire},
    publisher::{Parcel, Publisher},
};
use crate::{
    broker::{
        BrokerError, Config, DeadLetter, DeadLetters, Group, HeldLetter, Lane,
        topology::{self, header},
    },
    event::Reason,
};

pub(super) struct Pass {
    channel: Channel,
    publisher: Arc<Publisher>,
    config: Arc<Config>,
    group: Group,
    /// Letters that this pass has met and nobody took.
    held: Arc<AtomicU32>,
    cut_short: bool,
}

impl Pass {
    pub(super) async fn open(
        connection: &Connection,
        publisher: Arc<Publisher>,
        config: Arc<Config>,
        group: Group,
    ) -> Result<Self, BrokerError> {
        let channel = within("a look at dead letters", config.declare_limit(), async {
            connection.create_channel().await.map_err(failed("open a channel"))
        })
        .await?;
        Ok(Self { channel, publisher, config, group, held: Arc::default(), cut_short: false })
    }
}

#[async_trait]
impl DeadLetters for Pass {
    async fn next(&mut self) -> Result<Option<Box<dyn HeldLetter>>, BrokerError> {
        let taken = within("a look at dead letters", self.config.declare_limit(), async {
            let get = self.channel.basic_get(self.group.dead_letters().into(), BasicGetOptions::default());
            get.await.map_err(|error| {
                let gone = is_not_found(&error);
                if gone { BrokerError::no_such(&self.group) } else { failed("show a dead letter")(error) }
            })
        })
        .await?;
        let Some(taken) = taken else { return Ok(None) };
        if self.held.fetch_add(1, Ordering::Relaxed) >= self.config.letters_held_max {
            // Taken only to learn that it is there; it goes back with the others.
            self.cut_short = true;
            return Ok(None);
        }
        let acker = taken.delivery.acker.clone();
        Ok(Some(Box::new(Letter {
            content: dead_letter(from_wire(taken.delivery)),
            acker,
            publisher: self.publisher.clone(),
            config: self.config.clone(),
            group: self.group.clone(),
            held: self.held.clone(),
            _channel: self.channel.clone(),
        })))
    }

    fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    fn hides_letters(&self) -> bool {
        true
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        within("dead letters put back", self.config.declare_limit(), async {
            if self.held.load(Ordering::Relaxed) > 0 {
                // Tag 0 means all of them.
                let options = BasicNackOptions { multiple: true, requeue: true };
                self.channel.basic_nack(0, options).await.map_err(failed("take dead letters back"))?;
            }
            self.channel.close(200, "looked".into()).await.map_err(failed("close a channel"))
        })
        .await
    }
}

struct Letter {
    content: DeadLetter,
    acker: Acker,
    publisher: Arc<Publisher>,
    config: Arc<Config>,
    group: Group,
    held: Arc<AtomicU32>,
    /// Open as long as the letter can be taken.
    _channel: Channel,
}

#[async_trait]
impl HeldLetter for Letter {
    fn letter(&self) -> &DeadLetter {
        &self.content
    }

    fn into_letter(self: Box<Self>) -> DeadLetter {
        self.content
    }

    async fn replay(self: Box<Self>, number: u32) -> Result<bool, BrokerError> {
        // Nothing of its history goes along: it comes as a note that was just queued.
        let mut headers = vec![(header::QUEUED_AT, Timestamp::now().to_string()), (header::REPLAY, number.to_string())];
        let message = &self.content.message;
        let (exchange, key) = match &self.group {
            Group::Notes => (topology::NOTES_EXCHANGE, routing_key(&message.routing_key).to_owned()),
            Group::Named(_) => {
                headers.push((header::ROUTING_KEY, message.routing_key.clone()));
                ("", self.group.queue(Lane::Regular))
            }
        };
        let properties = to_wire(message, &headers);
        let parcel = Parcel { exchange, routing_key: &key, properties, body: &message.body };
        self.publisher.publish(&parcel).await?;
        self.take().await
    }

    async fn discard(self: Box<Self>) -> Result<bool, BrokerError> {
        self.take().await
    }
}

impl Letter {
    /// While it is unacknowledged here nobody else has it, so that it is never somebody else's.
    async fn take(self: Box<Self>) -> Result<bool, BrokerError> {
        let acknowledged = within("an acknowledgement", self.config.confirm_limit(), async {
            self.acker.ack(BasicAckOptions::default()).await.map_err(failed("take an acknowledgement"))
        })
        .await?;
        if !acknowledged {
            return Err(BrokerError::Lost("the dead letter went back when the look at it ended".into()));
        }
        self.held.fetch_sub(1, Ordering::Relaxed);
        Ok(true)
    }
}

/// A letter that the broker moved by itself has lost its key; any that the work queue is bound with will do.
fn routing_key(original: &str) -> &str {
    if Lane::of_routing_key(original).is_some() { original } else { "received" }
}

/// One that the broker moved itself says nothing: no worker survived to say it.
fn dead_letter(FromWire { message, internal }: FromWire) -> DeadLetter {
    DeadLetter {
        message,
        reason: internal.text(header::REASON).unwrap_or_else(|| Reason::WorkerCrashed.as_str().to_owned()),
        stage: internal.text(header::STAGE).unwrap_or_else(|| "unknown".to_owned()),
        attempts: internal.number(header::ATTEMPT).unwrap_or(1),
        replays: internal.replay(),
        first_at: internal.time(header::FIRST_AT),
        last_at: internal.time(header::LAST_AT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_without_its_routing_key_still_finds_the_work_queue() {
        assert_eq!(routing_key("received.acme.mail"), "received.acme.mail");
        assert_eq!(routing_key("urgent.acme.mail"), "urgent.acme.mail");
        assert_eq!(Lane::of_routing_key(routing_key(topology::DEAD_LETTER_QUEUE)), Some(Lane::Regular));
    }
}
