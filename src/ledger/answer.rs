//! Owns what is left to do about a note once it is known how it ends: the machine of [`crate::settling`], with the
//! ledger told of every step.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Claim,
    postgres::{Decision, Mark},
};
use crate::{
    broker::Message,
    event::{
        Event, Processed,
        envelope::{TRACEPARENT, parse_processed},
    },
    outcome::{Disposition, Outcome, Settlement},
    retry::RetryPolicy,
    settling::{Next, Settling},
};

/// Do what [`Answer::step`] says and report back, until the note is settled.
#[derive(Debug)]
#[must_use]
pub struct Answer {
    settling: Settling,
    /// The terminal event, in the bytes that the ledger has.
    written: Option<Message>,
    /// What is to be published now.
    message: Option<Message>,
    /// None where the ledger has nothing to be told.
    claim: Option<Claim>,
    /// Another delivery of the note led to it.
    elsewhere: bool,
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
pub enum Step<'a> {
    /// Publish this and wait for its confirm, then say how it went.
    Publish(&'a Message),
    /// Everything is published that has to be: tell the broker this, then call [`Answer::settled`].
    Settle(&'a Settlement),
}

impl Answer {
    /// What followed from an attempt of this number, with no ledger to be told.
    pub fn new(outcome: Outcome, attempt: u32) -> Self {
        let settling = Settling::new(outcome, attempt);
        Self { settling, written: None, message: None, claim: None, elsewhere: false }
    }

    /// It is not the note's turn yet.
    pub(super) fn later(after: Duration, attempt: u32) -> Self {
        Self { elsewhere: true, ..Self::new(Outcome::settled(Settlement::Later { after }), attempt) }
    }

    /// The ledger has it in these bytes.
    pub(super) fn written(claim: Claim, outcome: Outcome, message: Message) -> Self {
        Self { written: Some(message), ..Self::of(claim, outcome) }
    }

    /// What another delivery decided, as far as it is not done.
    pub(super) fn found(claim: Claim, decision: Decision, pause: Duration) -> Self {
        let settlement = decision.dead_letter.map_or(Settlement::Ack, Settlement::DeadLetter);
        let Some(message) = decision.message else {
            return Self { elsewhere: true, ..Self::of(claim, Outcome::settled(settlement)) };
        };
        // A later version of this program may have written what this one cannot read: it is for the former, then.
        let Ok(data) = parse_processed(&message) else { return Self::later(pause, claim.attempt) };
        let event = Event::processed(data, message.headers.get(TRACEPARENT).cloned());
        Self { elsewhere: true, ..Self::written(claim, Outcome { effects: vec![event], settlement }, message) }
    }

    fn of(claim: Claim, outcome: Outcome) -> Self {
        let attempt = claim.attempt;
        Self { claim: Some(claim), ..Self::new(outcome, attempt) }
    }

    /// Has others told as well, where the terminal event is still to be published: whoever finds it unpublished in the
    /// ledger calls this again.
    pub fn tell_others(&mut self, of: impl FnOnce(&Processed, Option<&str>) -> Option<Event>) {
        if let Next::Publish(Event::Processed { data, traceparent }) = self.settling.next()
            && let Some(event) = of(data, traceparent.as_deref())
        {
            self.settling.tell_as_well(event);
        }
    }

    pub fn step(&mut self) -> Step<'_> {
        match self.settling.next() {
            Next::Settle(settlement) => Step::Settle(settlement),
            Next::Publish(event) => {
                let id = event.id().to_string();
                let written = &mut self.written;
                Step::Publish(self.message.get_or_insert_with(|| {
                    let same = written.take_if(|message| message.id.as_deref() == Some(&id));
                    same.unwrap_or_else(|| event.to_message(Timestamp::now()))
                }))
            }
        }
    }

    /// What was next is confirmed. After the last event the ledger forgets what the first one said.
    pub async fn published(&mut self) {
        self.message = None;
        self.settling.published();
        self.mark_if_all_is_published().await;
    }

    async fn mark_if_all_is_published(&self) {
        let Next::Settle(Settlement::Ack | Settlement::DeadLetter(_)) = self.settling.next() else { return };
        let Some(claim) = &self.claim else { return };
        if self.settling.outcome().effects.iter().any(|event| event.id() == claim.event_id) {
            claim.mark(Mark::Published).await;
        }
    }

    /// What was next is not known to be safe. Where something else is to be published in its place, the ledger has
    /// that from now on.
    pub async fn not_published(&mut self, disposition: Disposition, retry: &RetryPolicy) {
        self.message = None;
        self.settling.not_published(disposition, retry);
        let (Some(claim), Next::Publish(event)) = (&self.claim, self.settling.next()) else {
            return self.mark_if_all_is_published().await;
        };
        let message = event.to_message(Timestamp::now());
        claim.overrule(&message, &self.settling.outcome().settlement).await;
        self.written = Some(message);
    }

    /// The delivery is settled: repeats have nothing left to do, and the note is free. Returns what was done about it,
    /// none where that is to another delivery's credit.
    pub async fn settled(self) -> Option<Outcome> {
        let outcome = self.settling.into_outcome();
        if let Some(claim) = &self.claim
            && outcome.settlement.dead_letter_cause().is_some()
        {
            claim.mark(Mark::Settled).await;
        }
        (!self.elsewhere).then_some(outcome)
    }
}

impl Claim {
    async fn mark(&self, mark: Mark) {
        if let Some(open) = &self.open {
            open.postgres.mark(self.event_id, mark).await;
        }
    }

    async fn overrule(&self, message: &Message, settlement: &Settlement) {
        let Some(open) = &self.open else { return };
        let overruled = open.postgres.overrule(self.event_id, message, settlement.dead_letter_cause()).await;
        if let Err(error) = overruled {
            // Whoever finds the old one cannot publish it either, and comes to the same end.
            tracing::debug!(error = &error as &dyn std::error::Error, "the ledger was not told of another answer");
        }
    }
}
