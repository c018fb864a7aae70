//! Owns what a ticket says before it holds a note. Systems want a first text, and it may be shown to customers: it
//! names nobody, and no marker, or the note would be taken for written.

use super::{Language, TicketEntry, TicketId};

/// The title, and the ticket that this one goes on from.
pub(super) fn text(entry: &TicketEntry, follows: Option<&TicketId>, language: Language) -> String {
    match (follows, language) {
        (None, _) => entry.title.clone(),
        (Some(ticket), Language::De) => format!("{}\nGeht weiter von Ticket {ticket}.", entry.title),
        (Some(ticket), Language::En) => format!("{}\nGoes on from ticket {ticket}.", entry.title),
    }
}
