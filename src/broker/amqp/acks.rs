//! Owns acknowledging the deliveries of one channel: one frame for many of them where the protocol allows it.
//!
//! Every acknowledgement of a single note is a command of its own that a quorum queue writes to its log. "This one and
//! all before it" is one command for all, and right only if all before it are settled: done with, or known to the
//! broker as handed back. What is done out of turn, behind a note that takes long, is acknowledged singly.

use std::collections::BTreeMap;

use lapin::{Channel, options::BasicAckOptions};
use tokio::sync::{mpsc, oneshot};

use super::errors::failed;
use crate::broker::BrokerError;

/// Numbers the deliveries of a channel, from 1 and without gaps.
type Tag = u64;

/// Acknowledgements that share a look at what is settled, at most.
const BATCH_MAX: usize = 256;

/// A handle to the task that acknowledges. The channel stays open as long as there is one.
#[derive(Clone)]
pub(super) struct Acks {
    /// Its number, for logs.
    pub channel: u16,
    requests: mpsc::UnboundedSender<Request>,
}

enum Request {
    Ack(Tag, oneshot::Sender<Result<(), BrokerError>>),
    SettledOtherwise(Tag),
}

impl Acks {
    pub(super) fn of(channel: Channel) -> Self {
        // Bounded by the prefetch: there is one request for each delivery.
        let (requests, inbox) = mpsc::unbounded_channel();
        let number = channel.id();
        tokio::spawn(acknowledge(channel, inbox));
        Self { channel: number, requests }
    }

    /// Returns when the acknowledgement is on its way. An error means that the delivery comes back.
    pub(super) async fn ack(&self, tag: Tag) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Ack(tag, answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// The broker has been told otherwise what became of this one: only then may an acknowledgement include it.
    pub(super) fn settled_otherwise(&self, tag: Tag) {
        // Without a task there is nothing left to acknowledge.
        let _ = self.requests.send(Request::SettledOtherwise(tag));
    }
}

fn ended() -> BrokerError {
    BrokerError::Lost("nobody acknowledges on this channel any more".into())
}

/// What is done while a frame is being written shares the next one.
async fn acknowledge(channel: Channel, mut inbox: mpsc::UnboundedReceiver<Request>) {
    let (mut settled, mut requests) = (Settled::default(), Vec::new());
    while inbox.recv_many(&mut requests, BATCH_MAX).await > 0 {
        let mut done = Vec::new();
        for request in requests.drain(..) {
            match request {
                Request::Ack(tag, answer) => {
                    settled.add(tag);
                    done.push((tag, answer));
                }
                Request::SettledOtherwise(tag) => settled.add(tag),
            }
        }
        done.sort_unstable_by_key(|(tag, _)| *tag);
        let singles = done.split_off(done.partition_point(|(tag, _)| *tag <= settled.all_up_to()));
        if let Some((last, _)) = done.last() {
            let told = tell(&channel, *last, BasicAckOptions { multiple: true }).await;
            for (_, answer) in done {
                // Whoever stopped waiting is told the same by the broker, later.
                let _ = answer.send(told.clone().map_err(|error| failed("take acknowledgements")(error)));
            }
        }
        for (tag, answer) in singles {
            let told = tell(&channel, tag, BasicAckOptions { multiple: false }).await;
            let _ = answer.send(told.map_err(|error| failed("take an acknowledgement")(error)));
        }
    }
}

async fn tell(channel: &Channel, tag: Tag, options: BasicAckOptions) -> lapin::Result<()> {
    let told = channel.basic_ack(tag, options).await;
    tracing::debug!(channel = channel.id(), tag, all_before = options.multiple, written = told.is_ok(), "acknowledged");
    told
}

/// The tags that are settled, as ranges from a first to a last one: no more ranges than unsettled deliveries.
#[derive(Debug, Default)]
struct Settled(BTreeMap<Tag, Tag>);

impl Settled {
    fn add(&mut self, tag: Tag) {
        let (mut first, mut last) = (tag, tag);
        if let Some((&start, &end)) = self.0.range(..=tag).next_back() {
            if end >= tag {
                return;
            }
            if end + 1 == tag {
                first = start;
            }
        }
        if let Some(end) = self.0.remove(&(tag + 1)) {
            last = end;
        }
        self.0.insert(first, last);
    }

    /// Every tag up to this one is settled; 0: not even the first is.
    fn all_up_to(&self) -> Tag {
        self.0.get(&1).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(tags: impl IntoIterator<Item = Tag>) -> Settled {
        let mut settled = Settled::default();
        tags.into_iter().for_each(|tag| settled.add(tag));
        settled
    }

    #[test]
    fn nothing_is_included_as_long_as_one_before_it_is_open() {
        assert_eq!(settled([]).all_up_to(), 0);
        assert_eq!(settled([2, 3, 4]).all_up_to(), 0);
        assert_eq!(settled([2, 3, 1, 5]).all_up_to(), 3);
        assert_eq!(settled([1, 1, 2, 2]).all_up_to(), 2);
    }

    #[test]
    fn a_note_that_takes_long_costs_no_memory_for_those_that_pass_it() {
        let mut settled = settled(2..=100_000);
        assert_eq!((settled.all_up_to(), settled.0.len()), (0, 1));
        settled.add(1);
        assert_eq!((settled.all_up_to(), settled.0.len()), (100_000, 1));
    }

    #[test]
    fn in_whatever_order_they_are_settled_the_gaps_are_known() {
        // Every order of six tags, by always taking another one of those that are left.
        for mut order in 0..720_u64 {
            let (mut left, mut done, mut settled) = ((1..=6).collect::<Vec<Tag>>(), Vec::new(), Settled::default());
            while !left.is_empty() {
                let tag = left.remove((order % left.len() as u64) as usize);
                order /= left.len() as u64 + 1;
                done.push(tag);
                settled.add(tag);
                let expected = (1..=6).take_while(|tag| done.contains(tag)).last().unwrap_or(0);
                assert_eq!(settled.all_up_to(), expected, "{done:?}");
            }
            assert_eq!(settled.0.len(), 1);
        }
    }
}
