//! Freshdesk, and what only it does.

use async_trait::async_trait;
use sprachpost::tickets::TicketError;

use super::{SOON, System, Who, Words, connect, deliver, entry, within};
use crate::support::tickets::{SeenTicket, Wire, freshdesk};

pub struct Freshdesk(pub freshdesk::Freshdesk);

impl Freshdesk {
    pub fn start() -> Self {
        Self(freshdesk::Freshdesk::start())
    }
}

#[async_trait]
impl System for Freshdesk {
    fn own_keys(&self, _: Who, secret: &str) -> String {
        format!("type = \"freshdesk\"\nurl = \"{}\"\napi_key = {secret}", self.0.url)
    }

    fn secret(&self, who: Who) -> &'static str {
        match who {
            Who::Agent => freshdesk::API_KEY,
            Who::Stranger => "nobodys-key",
            Who::WithoutRights => freshdesk::API_KEY_WITHOUT_RIGHTS,
        }
    }

    fn words(&self) -> Words {
        let missing = ("999", None);
        Words { priority: "high", team: "101", tags: ["voice", "outage"], missing, text_max: None }
    }

    async fn foreign_ticket(&self) -> String {
        self.0.ticket()
    }

    async fn close(&self, ticket: &str) {
        self.0.set_status(ticket, 5);
    }

    async fn tickets(&self) -> Vec<String> {
        self.0.tickets()
    }

    async fn seen(&self, ticket: &str) -> SeenTicket {
        self.0.seen(ticket)
    }

    fn wire(&self) -> &Wire {
        &self.0.wire
    }

    fn limit_files(&self, bytes_max: usize) {
        self.0.limit_files(bytes_max);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_earlier_notes_count() {
    let system = Freshdesk::start();
    let connector = connect(&system);
    let first = entry(&system, "m1");
    let size = first.attachment.as_ref().unwrap().bytes.len();
    system.0.limit_files(size + size / 2);
    let ticket = within(SOON, deliver(&*connector, &first)).await.unwrap();
    assert_eq!(within(SOON, deliver(&*connector, &entry(&system, "m2"))).await, Err(TicketError::TooLarge));
    assert_eq!(system.0.seen(ticket.as_str()).notes.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolved_ticket_is_opened_again() {
    let system = Freshdesk::start();
    let connector = connect(&system);
    let ticket = within(SOON, deliver(&*connector, &entry(&system, "m1"))).await.unwrap();
    system.0.set_status(ticket.as_str(), 4);
    assert_eq!(within(SOON, deliver(&*connector, &entry(&system, "m2"))).await.unwrap(), ticket);
    assert_eq!(system.0.status(ticket.as_str()), 2);
}
