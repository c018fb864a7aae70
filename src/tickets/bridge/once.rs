//! Owns the order in which a note is written: look for it, find or open its ticket, set the ticket, write the note. The
//! note comes last, so that its marker says that everything is done, and a repeat from any point on writes nothing
//! twice.

use std::collections::HashSet;

use crate::tickets::{Concern, TicketConnector, TicketEntry, TicketError, TicketId};

/// How it ended well.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// The note was there before.
    Before,
    /// It was written into this ticket.
    Now {
        ticket: TicketId,
        /// Why the ticket could not be set as configured: no reason to keep from agents what a customer said.
        unset: Option<TicketError>,
    },
}

/// How often the ticket is looked for again, because it was closed, deleted or changed in between.
const ROUNDS_MAX: usize = 3;

/// Writes the note unless it is there.
///
/// # Errors
/// [`TicketError`]; whatever it is, the note may have been written.
pub async fn write(connector: &dyn TicketConnector, entry: &TicketEntry) -> Result<Written, TicketError> {
    let mut closed = HashSet::new();
    for _ in 1..ROUNDS_MAX {
        match round(connector, entry, &mut closed).await {
            Err(error) if error.concern() == Concern::Ticket => {}
            done => return done,
        }
    }
    round(connector, entry, &mut closed).await
}

/// `closed` are tickets that turned out to be closed although their system does not say so when asked.
async fn round(
    connector: &dyn TicketConnector,
    entry: &TicketEntry,
    closed: &mut HashSet<TicketId>,
) -> Result<Written, TicketError> {
    let found = connector.find(entry).await?;
    for candidate in &found {
        if connector.has_note(&candidate.ticket, entry).await? {
            return Ok(Written::Before);
        }
    }
    let open = found.iter().find(|candidate| !candidate.closed && !closed.contains(&candidate.ticket));
    let ticket = match open {
        Some(candidate) => candidate.ticket.clone(),
        None => connector.open(entry, found.first().map(|old| &old.ticket)).await?,
    };
    let result = finish(connector, entry, &ticket).await;
    if result == Err(TicketError::Closed) {
        closed.insert(ticket);
    }
    result
}

async fn finish(
    connector: &dyn TicketConnector,
    entry: &TicketEntry,
    ticket: &TicketId,
) -> Result<Written, TicketError> {
    let unset = match connector.set(ticket, entry).await {
        Ok(()) => None,
        Err(error @ (TicketError::Forbidden { .. } | TicketError::Missing { .. })) => Some(error),
        Err(error) => return Err(error),
    };
    connector.add_note(ticket, entry).await?;
    Ok(Written::Now { ticket: ticket.clone(), unset })
}
