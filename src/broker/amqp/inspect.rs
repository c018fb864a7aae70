//! Owns looking into queues without taking anything out: how much is there, and what lies with the dead letters.

use lapin::{
    Channel, Connection,
    options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    errors::failed,
    properties::{FromWire, from_wire},
};
use crate::{
    broker::{
        BrokerError, Config, DeadLetter, Depth,
        topology::{self, Lane, header},
    },
    event::Reason,
};

pub(super) async fn depth(connection: &Connection, config: &Config) -> Result<Depth, BrokerError> {
    let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
    let mut waiting = messages(&channel, topology::CRASHED_QUEUE).await?;
    for lane in Lane::ALL {
        waiting += messages(&channel, lane.queue()).await?;
    }
    for lane in topology::RETRY_LANES {
        for delay_s in &config.retry_delays_s {
            waiting += messages(&channel, &topology::retry_queue(lane, *delay_s)).await?;
        }
    }
    Ok(Depth { waiting, dead_letters: messages(&channel, topology::DEAD_LETTER_QUEUE).await? })
}

async fn messages(channel: &Channel, queue: &str) -> Result<u64, BrokerError> {
    let declared = channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable().passive(), FieldTable::default())
        .await
        .map_err(failed("count a queue"))?;
    Ok(declared.message_count().into())
}

/// Takes up to `limit` dead letters and puts them all back. While that lasts, nobody else sees them; afterwards they
/// are marked as redelivered and are otherwise as before.
pub(super) async fn dead_letters(connection: &Connection, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
    // Should this end early, the channel closes with it and everything goes back.
    let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
    let mut letters = Vec::new();
    let mut last_tag = None;
    while letters.len() < limit {
        let taken = channel
            .basic_get(topology::DEAD_LETTER_QUEUE.into(), BasicGetOptions::default())
            .await
            .map_err(failed("show a dead letter"))?;
        let Some(taken) = taken else { break };
        last_tag = Some(taken.delivery.delivery_tag);
        letters.push(dead_letter(from_wire(taken.delivery)));
    }
    if let Some(tag) = last_tag {
        let options = BasicNackOptions { multiple: true, requeue: true };
        channel.basic_nack(tag, options).await.map_err(failed("take dead letters back"))?;
    }
    channel.close(200, "looked".into()).await.map_err(failed("close a channel"))?;
    letters.sort_by_key(|letter| letter.last_at);
    Ok(letters)
}

/// One that the broker moved itself says nothing: no worker survived to say it.
fn dead_letter(FromWire { message, internal }: FromWire) -> DeadLetter {
    DeadLetter {
        message,
        reason: internal.text(header::REASON).unwrap_or_else(|| Reason::WorkerCrashed.as_str().to_owned()),
        stage: internal.text(header::STAGE).unwrap_or_else(|| "unknown".to_owned()),
        attempts: internal.number(header::ATTEMPT).unwrap_or(1),
        first_at: internal.time(header::FIRST_AT),
        last_at: internal.time(header::LAST_AT),
    }
}
