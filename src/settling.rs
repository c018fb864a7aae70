//! Owns the order between what a note came to and the queue's forgetting it, as a machine without effects.
//!
//! The terminal event is the first effect; what follows repeats it for others, and is worth less: it is left out where
//! the terminal event had to be shortened, and where it is too large itself.
//!
//! ```text
//! publish the first effect ─► … ─► publish the last ─► settle
//!          └── could not be published ──────────────────► settle otherwise: the note comes back
//! ```
//!
//! [`crate::worker`] does what [`Settling::next`] says and reports back. Nothing else decides what the broker is told, so
//! that what is proven here holds there.

use crate::{
    event::{Event, Reason},
    outcome::{DeadLetterCause, Disposition, Outcome, Settlement, Stage},
    retry::RetryPolicy,
};

/// One note between the pipeline and its settlement.
#[derive(Debug)]
pub struct Settling {
    outcome: Outcome,
    /// How many effects are safe with the broker.
    published: usize,
    /// Which attempt at the note this is.
    attempt: u32,
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
pub enum Next<'a> {
    /// Publish this and wait for its confirm, then say how it went.
    Publish(&'a Event),
    /// Everything is published that has to be: tell the broker this, and be done.
    Settle(&'a Settlement),
}

impl Settling {
    #[must_use]
    pub fn new(outcome: Outcome, attempt: u32) -> Self {
        Self { outcome, published: 0, attempt }
    }

    #[must_use]
    pub fn next(&self) -> Next<'_> {
        match self.outcome.effects.get(self.published) {
            Some(event) => Next::Publish(event),
            None => Next::Settle(&self.outcome.settlement),
        }
    }

    /// The event that was next is safe.
    pub fn published(&mut self) {
        self.published += 1;
    }

    /// Has the same told to others, after everything that is to be published already.
    pub fn tell_as_well(&mut self, event: Event) {
        self.outcome.effects.push(event);
    }

    /// The event that was next is not known to be safe.
    pub fn not_published(&mut self, disposition: Disposition, retry: &RetryPolicy) {
        let settlement = match disposition {
            // Not the note's fault, so no attempt is its last: the broker is asked again for as long as it takes.
            Disposition::Retry => {
                Settlement::Retry { after: retry.pause_after(self.attempt), reason: Reason::ResultNotPublished }
            }
            Disposition::Fail => {
                let cause = DeadLetterCause { reason: Reason::ResultTooLarge, stage: Stage::Receive };
                match self.outcome.effects.get(self.published).map(Shorter::of) {
                    Some(Shorter::Event(event)) => {
                        self.outcome.effects.truncate(self.published);
                        self.outcome.effects.push(event);
                        self.outcome.settlement = Settlement::DeadLetter(cause);
                        return;
                    }
                    Some(Shorter::Nothing) => {
                        self.outcome.effects.remove(self.published);
                        return;
                    }
                    Some(Shorter::Itself) | None => Settlement::DeadLetter(cause),
                }
            }
        };
        self.outcome.effects.truncate(self.published);
        self.outcome.settlement = settlement;
    }

    /// What is published and how the note is settled, as far as that is known by now.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What was published and how the note was settled.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        self.outcome
    }
}

/// What takes the place of an event that no broker takes.
enum Shorter {
    /// The same with nothing in it that can be long: even such a note has its one event.
    Event(Event),
    /// It can be missed.
    Nothing,
    /// It is as short as can be.
    Itself,
}

impl Shorter {
    fn of(event: &Event) -> Self {
        match event {
            Event::Processed { data, traceparent } => match data.too_large() {
                short if short == **data => Self::Itself,
                short => Self::Event(Event::processed(short, traceparent.clone())),
            },
            Event::Redacted { .. }
            | Event::Acknowledged { .. }
            | Event::FollowUpDue { .. }
            | Event::Spike { .. }
            | Event::CaseClosed { .. } => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
