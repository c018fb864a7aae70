//! Owns how tickets are found: by what the note names, by its conversation, and by what they were merged into.

use std::{collections::HashSet, sync::atomic::Ordering};

use serde_json::{Map, Value, json};

use super::{
    Refusal, Znuny, object, plain,
    service::read,
    ticket::{Histories, Search, Ticket, Tickets},
};
use crate::tickets::{Found, TicketEntry, TicketError, TicketId};

/// Newest tickets of a conversation that may hold a note.
const TICKETS_MAX: u32 = 5;
/// How often a ticket that was merged is followed to the next.
const MERGES_MAX: usize = 5;

impl Znuny {
    /// The ticket that the note names, then those of its conversation, the newest first.
    pub(super) async fn tickets_of(&self, entry: &TicketEntry) -> Result<Vec<Found>, TicketError> {
        let mut tickets: Vec<Ticket> = self.referred_to(entry).await?.into_iter().collect();
        tickets.extend(self.of_conversation(entry).await?);
        let (mut found, mut known) = (Vec::new(), HashSet::new());
        for ticket in tickets {
            let ticket = self.followed(ticket).await?;
            if known.insert(ticket.id.clone()) {
                found.push(self.found(&ticket));
            }
        }
        Ok(found)
    }

    /// Tickets by their ids, in any order. Znuny refuses all if one of them may not be seen.
    async fn read_all(&self, ids: &[String], query: &[(&str, &str)]) -> Result<Vec<Ticket>, Refusal> {
        Ok(read::<Tickets>(self.service.get(&ids.join(","), query).await?)?.tickets)
    }

    /// The ticket as it is now.
    pub(super) async fn read(&self, id: &str, query: &[(&str, &str)]) -> Result<Ticket, TicketError> {
        match self.read_all(&[id.to_owned()], query).await {
            Ok(tickets) => tickets.into_iter().next().ok_or(TicketError::Gone),
            Err(Refusal::Denied) => Err(TicketError::Gone),
            Err(refusal) => Err(plain(refusal, "read the ticket")),
        }
    }

    /// Ids of tickets, the newest first.
    pub(super) async fn search(&self, mut wanted: Map<String, Value>) -> Result<Vec<String>, TicketError> {
        wanted.extend(object(json!({
            "SearchInArchive": "AllTickets", "SortBy": "Age", "OrderBy": "Down", "Limit": TICKETS_MAX,
        })));
        let found = self.service.search(wanted).await.map_err(|refusal| plain(refusal, "search tickets"))?;
        Ok(read::<Search>(found)?.ids)
    }

    /// The ticket that the note names, by its number or else by its id. What is no number names none, and neither does
    /// what is not there or is none of this account's business: the note comes from outside.
    async fn referred_to(&self, entry: &TicketEntry) -> Result<Option<Ticket>, TicketError> {
        let is_number = |text: &&String| (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let Some(number) = entry.reference.as_ref().filter(is_number) else { return Ok(None) };
        for id in self.search(object(json!({ "TicketNumber": number }))).await? {
            match self.read(&id, &[]).await {
                Ok(ticket) if ticket.number == *number => return Ok(Some(ticket)),
                Ok(_) | Err(TicketError::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        // A number that begins with 0 or is larger than any id is refused as malformed.
        if number.starts_with('0') || number.len() > 10 {
            return Ok(None);
        }
        match self.read(number, &[]).await {
            Ok(ticket) => Ok(Some(ticket)),
            Err(TicketError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The conversation's tickets, the newest first.
    async fn of_conversation(&self, entry: &TicketEntry) -> Result<Vec<Ticket>, TicketError> {
        let mut ids = vec![];
        if let Some(field) = &self.config.conversation_field {
            let wanted = json!({ format!("DynamicField_{field}"): { "Equals": entry.key() } });
            ids = self.search(object(wanted)).await?;
        }
        if self.config.conversation_field.is_none() || !self.field_works.load(Ordering::Relaxed) {
            // Without its brackets: they mean something to some of Znuny's searches.
            ids.extend(self.search(object(json!({ "Title": format!("*{}*", entry.bare_key()) }))).await?);
        }
        ids.sort_by_key(|id| std::cmp::Reverse(id.parse::<u64>().unwrap_or_default()));
        ids.dedup();
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let tickets = self.read_all(&ids, &[("DynamicFields", "1")]).await;
        let mut tickets = tickets.map_err(|refusal| match refusal {
            // They were found a moment ago.
            Refusal::Denied => TicketError::Conflict,
            refusal => plain(refusal, "read tickets"),
        })?;
        tickets.retain(|ticket| self.is_of(ticket, entry.key()));
        tickets.sort_by_key(|ticket| ids.iter().position(|id| *id == ticket.id));
        Ok(tickets)
    }

    fn is_of(&self, ticket: &Ticket, key: &str) -> bool {
        let in_field = |field: &String| ticket.values_of(field).iter().any(|value| value == key);
        ticket.title.contains(key) || self.config.conversation_field.as_ref().is_some_and(in_field)
    }

    /// The ticket itself, or the one that took its articles, and whatever that was merged into in turn.
    async fn followed(&self, mut ticket: Ticket) -> Result<Ticket, TicketError> {
        for _ in 0..MERGES_MAX {
            if ticket.state_type != "merged" {
                break;
            }
            let Some(main) = self.merged_into(&ticket.id).await? else { break };
            ticket = match self.read(&main, &[]).await {
                Err(TicketError::Gone) => break,
                other => other?,
            };
        }
        Ok(ticket)
    }

    async fn merged_into(&self, id: &str) -> Result<Option<String>, TicketError> {
        match self.service.history(id).await {
            Ok(history) => {
                let histories = read::<Histories>(history)?.tickets;
                Ok(histories.iter().find_map(|history| history.merged_into(id)))
            }
            // The operation is optional.
            Err(Refusal::Denied | Refusal::Error(TicketError::Missing { .. })) => Ok(None),
            Err(refusal) => Err(plain(refusal, "read the ticket's history")),
        }
    }

    fn found(&self, ticket: &Ticket) -> Found {
        let closed = match ticket.state_type.as_str() {
            "closed" => !self.config.reopen,
            "removed" | "merged" => true,
            _ => false,
        };
        Found { ticket: TicketId::new(&*ticket.id), closed }
    }
}
