//! Owns how much lies in the queues.

use lapin::{Channel, Connection, Queue, options::QueueDeclareOptions, types::FieldTable};

use super::errors::failed;
use crate::broker::{
    BrokerError, Config, Depth,
    topology::{self, Group},
};

pub(super) async fn depth(connection: &Connection, group: &Group, config: &Config) -> Result<Depth, BrokerError> {
    let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
    let mut waiting = messages(&channel, &group.crashed()).await?;
    for lane in group.lanes() {
        waiting += messages(&channel, &group.queue(*lane)).await?;
    }
    for lane in group.retry_lanes() {
        for delay_s in &config.retry_delays_s {
            waiting += messages(&channel, &group.retry_queue(*lane, *delay_s)).await?;
        }
    }
    Ok(Depth { waiting, dead_letters: messages(&channel, &group.dead_letters()).await? })
}

/// Consumers of the work queue.
pub(super) async fn workers(connection: &Connection) -> Result<u32, BrokerError> {
    let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
    Ok(counted(&channel, topology::WORK_QUEUE).await?.consumer_count())
}

async fn messages(channel: &Channel, queue: &str) -> Result<u64, BrokerError> {
    Ok(counted(channel, queue).await?.message_count().into())
}

async fn counted(channel: &Channel, queue: &str) -> Result<Queue, BrokerError> {
    channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable().passive(), FieldTable::default())
        .await
        .map_err(failed("count a queue"))
}
