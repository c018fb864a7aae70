//! Owns the one thing that the pipeline returns about a note: what to tell the world, and what to tell the broker.
//!
//! Stages return values and never perform effects; [`crate::worker`] performs them in this order: every effect is
//! published and confirmed, and only then the delivery is settled.

use std::time::Duration;

use crate::{
    broker::Lane,
    event::{Event, Reason},
};

/// What becomes of one delivery.
#[derive(Debug)]
pub struct Outcome {
    /// Published in this order, all of them confirmed before the settlement.
    pub effects: Vec<Event>,
    pub settlement: Settlement,
}

impl Outcome {
    /// Nothing to tell anybody yet: the note comes back.
    #[must_use]
    pub fn retry(after: Duration, reason: Reason) -> Self {
        Self::settled(Settlement::Retry { after, reason })
    }

    /// Nothing to tell anybody but the broker.
    #[must_use]
    pub fn settled(settlement: Settlement) -> Self {
        Self { effects: vec![], settlement }
    }
}

/// What the broker is told about a delivery, exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Done: forget it.
    Ack,
    /// Bring it back after a while, with its attempt counted.
    Retry { after: Duration, reason: Reason },
    /// Put it back on its lane for a while, with nothing counted: it is not its turn yet.
    Later { after: Duration },
    /// Let it wait on another lane, with nothing counted.
    Move(Lane),
    /// Keep it for people, out of the way of everything else.
    DeadLetter(DeadLetterCause),
}

impl Settlement {
    /// Why it lies with the dead letters, where it does.
    #[must_use]
    pub fn dead_letter_cause(&self) -> Option<&DeadLetterCause> {
        match self {
            Self::DeadLetter(cause) => Some(cause),
            Self::Ack | Self::Retry { .. } | Self::Later { .. } | Self::Move(_) => None,
        }
    }
}

/// What people need to know about a dead letter, carried beside the original message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCause {
    pub reason: Reason,
    pub stage: Stage,
}

/// Where in the pipeline something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    Receive,
    Fetch,
    Decode,
    Transcribe,
    Understand,
    Draft,
    /// Not of a note but of its result, on its way into a ticketing system.
    Ticket,
}

impl Stage {
    pub const ALL: [Self; 7] =
        [Self::Receive, Self::Fetch, Self::Decode, Self::Transcribe, Self::Understand, Self::Draft, Self::Ticket];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Fetch => "fetch",
            Self::Decode => "decode",
            Self::Transcribe => "transcribe",
            Self::Understand => "understand",
            Self::Draft => "draft",
            Self::Ticket => "ticket",
        }
    }
}

/// What a failure is worth: every stage's error says which, where it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It may go better later.
    Retry,
    /// It never will.
    Fail,
}
