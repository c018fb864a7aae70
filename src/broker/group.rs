//! Owns which queues belong together: where messages wait, also for their next attempt, and where they end.
//!
//! Notes have one such group with a queue a lane; every role that must not miss a result has one of its own, with one
//! lane, and so has every channel that takes what others publish. Names, arguments and ways between the queues are the same in all of them.

use std::{fmt, str::FromStr};

use super::{
    BrokerError, Config,
    topology::{self, Argument, Lane, Queue},
};

/// The queues of one consumer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Those of notes.
    Notes,
    /// Those of a role, by name; see [`ResultQueue`]. All that they hold is on the regular lane.
    Named(GroupName),
}

/// How many of the processes that consume a group are given messages at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumers {
    Many,
    /// One, until it is gone and holds nothing any more; then another that waits.
    One,
}

/// The name of a group, for example `tickets.main`: its queues are `sprachpost.tickets.main` and others that begin so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(String);

impl GroupName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = GroupNameError;

    fn from_str(text: &str) -> Result<Self, GroupNameError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        // What would be the name of a queue of another group, or of this one.
        let taken = |word: &str| matches!(word, "retry" | "crashed" | "dead-letters");
        let word_fits = |word: &str| !word.is_empty() && word.bytes().all(allowed) && !taken(word);
        let begins_well = !matches!(text.split('.').next(), Some("notes" | "results"));
        let fits = text.len() <= 100 && begins_well && text.split('.').all(word_fits);
        if fits { Ok(Self(text.to_owned())) } else { Err(GroupNameError) }
    }
}

/// The text itself is not repeated: it may be anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a queue is named with words of a-z, 0-9, _ and - with dots between them, up to 100 characters in all; the first is \
     not `notes` or `results`, and none is `retry`, `crashed` or `dead-letters`"
)]
pub struct GroupNameError;

/// `notes`, or the name of another one.
impl FromStr for Group {
    type Err = GroupNameError;

    fn from_str(text: &str) -> Result<Self, GroupNameError> {
        if text == NOTES { Ok(Self::Notes) } else { text.parse().map(Self::Named) }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const NOTES: &str = "notes";

impl Group {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Notes => NOTES,
            Self::Named(name) => name.as_str(),
        }
    }

    /// In the order in which a consumer asks them for messages.
    #[must_use]
    pub fn lanes(&self) -> &'static [Lane] {
        match self {
            Self::Notes => &Lane::ALL,
            Self::Named(_) => &[Lane::Regular],
        }
    }

    /// The lane of this group that stands for `lane`.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> Lane {
        match self {
            Self::Notes => lane,
            Self::Named(_) => Lane::Regular,
        }
    }

    /// The lane on which a message with this routing key is tried again.
    #[must_use]
    pub fn lane_of_retry(&self, routing_key: &str) -> Lane {
        self.lane(Lane::of_retry(routing_key))
    }

    /// A lane's queue on RabbitMQ.
    #[must_use]
    pub fn queue(&self, lane: Lane) -> String {
        match self {
            Self::Notes => lane.queue().to_owned(),
            Self::Named(name) => format!("sprachpost.{}", name.as_str()),
        }
    }

    /// The lanes on which messages are tried again.
    #[must_use]
    pub fn retry_lanes(&self) -> &'static [Lane] {
        match self {
            Self::Notes => &topology::RETRY_LANES,
            Self::Named(_) => &[Lane::Regular],
        }
    }

    /// The queue in which retries wait for `delay_s` seconds before they are back on their lane.
    #[must_use]
    pub fn retry_queue(&self, lane: Lane, delay_s: u32) -> String {
        match self {
            Self::Notes => topology::retry_queue(lane, delay_s),
            Self::Named(name) => format!("sprachpost.{}.retry.{delay_s}s", name.as_str()),
        }
    }

    /// The exchange, and the queue, to which the broker moves messages that used up their deliveries.
    #[must_use]
    pub fn crashed(&self) -> String {
        match self {
            Self::Notes => topology::CRASHED_QUEUE.to_owned(),
            Self::Named(name) => format!("sprachpost.{}.crashed", name.as_str()),
        }
    }

    /// Where messages lie that were given up on, for people.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        match self {
            Self::Notes => topology::DEAD_LETTER_QUEUE.to_owned(),
            Self::Named(name) => format!("sprachpost.{}.dead-letters", name.as_str()),
        }
    }

    /// All its queues, from the end to the start: none is there before the one that it hands messages on to.
    #[must_use]
    pub fn queues(&self, config: &Config, consumers: Consumers) -> Vec<Queue> {
        let mut queues = vec![
            Queue::new(self.dead_letters(), topology::NEVER),
            Queue::new(self.crashed(), topology::ANSWERS_MAX).dead_lettered_to("", Some(self.dead_letters())),
        ];
        queues.extend(self.lanes().iter().map(|lane| {
            let queue = Queue::new(self.queue(*lane), topology::delivery_limit(config).into())
                .dead_lettered_to(self.crashed(), None)
                .with("x-max-length", Argument::Number(config.waiting_max.into()));
            match consumers {
                Consumers::Many => queue,
                Consumers::One => queue.with("x-single-active-consumer", Argument::Flag(true)),
            }
        }));
        for lane in self.retry_lanes() {
            queues.extend(config.retry_delays_s.iter().map(|&delay_s| {
                Queue::new(self.retry_queue(*lane, delay_s), topology::NEVER)
                    .dead_lettered_to("", Some(self.queue(*lane)))
                    .with("x-message-ttl", topology::milliseconds(delay_s))
            }));
        }
        queues
    }
}

/// A queue of results for a role that must not miss one. From its first declaration on it collects whatever its
/// patterns match, whether or not somebody consumes, up to `waiting_max` messages; then results are refused, and workers
/// wait, until there is room. A queue that nobody will consume any more has to be deleted.
///
/// Patterns are added to those that the queue is bound with and never taken away: whoever consumes has to expect what an
/// earlier configuration asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultQueue {
    /// For example `tickets.main`, see [`GroupName`].
    pub name: String,
    /// Topic patterns on the exchange of results, for example `processed.musterstrom.#`.
    pub patterns: Vec<String>,
    pub consumers: Consumers,
}

impl ResultQueue {
    /// The name of its queues.
    ///
    /// # Errors
    /// Where nothing can be called so, or the queue would collect nothing.
    pub fn group(&self) -> Result<GroupName, BrokerError> {
        checked(&self.name, &self.patterns)
    }
}

/// The name of a group that collects what matches these patterns.
pub(super) fn checked(name: &str, patterns: &[String]) -> Result<GroupName, BrokerError> {
    let invalid = |why: String| BrokerError::InvalidSetting { why };
    if patterns.is_empty() {
        return Err(invalid("a queue needs a pattern of what it collects".to_owned()));
    }
    if patterns.iter().any(|pattern| pattern.len() > topology::KEY_BYTES_MAX) {
        return Err(invalid(format!("a pattern is longer than {} bytes", topology::KEY_BYTES_MAX)));
    }
    name.parse().map_err(|error: GroupNameError| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_cannot_take_the_name_of_anothers_queue() {
        for good in ["tickets.main", "tickets", "channels.evolution-2", "a.b.c_d"] {
            assert!(good.parse::<GroupName>().is_ok(), "{good}");
        }
        let long = "x".repeat(101);
        for bad in
            ["", ".", "a.", "notes", "notes.work", "results.x", "a.retry.1s", "a.crashed", "a.dead-letters", "A", &long]
        {
            assert!(bad.parse::<GroupName>().is_err(), "{bad}");
        }
        assert_eq!("notes".parse(), Ok(Group::Notes));
    }

    #[test]
    fn the_queues_of_a_group_begin_with_its_name_and_lead_back_to_it() {
        let config = Config { retry_delays_s: vec![1, 5], ..Config::default() };
        let group: Group = "tickets.main".parse().unwrap();
        let queues = group.queues(&config, Consumers::One);
        let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        let expected = ["dead-letters", "crashed", "", "retry.1s", "retry.5s"];
        let expected = expected.map(|end| format!("sprachpost.tickets.main.{end}").trim_end_matches('.').to_owned());
        assert_eq!(names, expected);
        let back = &queues[3].arguments["x-dead-letter-routing-key"];
        assert_eq!(*back, Argument::Text("sprachpost.tickets.main".into()));
        let alone = |queue: &&Queue| queue.arguments.contains_key("x-single-active-consumer");
        assert_eq!(queues.iter().filter(alone).map(|queue| queue.name.as_str()).collect::<Vec<_>>(), [names[2]]);
    }
}
