//! Zammad, and what only it does.

use async_trait::async_trait;
use sprachpost::tickets::TicketError;

use super::{SOON, System, Who, Words, connect, connect_with, deliver, entry, within};
use crate::support::tickets::{SeenTicket, Wire, zammad};

pub struct Zammad(pub zammad::Zammad);

impl Zammad {
    pub fn start() -> Self {
        Self(zammad::Zammad::start())
    }
}

#[async_trait]
impl System for Zammad {
    fn own_keys(&self, _: Who, secret: &str) -> String {
        let (url, customer) = (&self.0.url, zammad::CUSTOMER);
        format!("type = \"zammad\"\nurl = \"{url}\"\ntoken = {secret}\ngroup = \"Voice\"\ncustomer = \"{customer}\"")
    }

    fn secret(&self, who: Who) -> &'static str {
        match who {
            Who::Agent => zammad::TOKEN,
            Who::Stranger => "nobodys-token",
            Who::WithoutRights => zammad::TOKEN_WITHOUT_RIGHTS,
        }
    }

    fn words(&self) -> Words {
        let missing = ("Nirgendwo", None);
        Words { priority: "3 high", team: "Technik", tags: ["voice", "outage"], missing, text_max: None }
    }

    async fn foreign_ticket(&self) -> String {
        self.0.ticket()
    }

    async fn close(&self, ticket: &str) {
        self.0.set_state(ticket, "closed");
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
        self.0.limit_bodies(bytes_max);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merged_ticket_is_none() {
    let system = Zammad::start();
    let old = within(SOON, deliver(&*connect(&system), &entry(&system, "m1"))).await.unwrap();
    system.0.set_state(old.as_str(), "merged");
    let new = within(SOON, deliver(&*connect_with(&system, Who::Agent, "reopen = true"), &entry(&system, "m2"))).await;
    assert_ne!(new.unwrap(), old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_can_be_the_number_that_agents_see() {
    let system = Zammad::start();
    let ticket = system.0.ticket();
    let mut entry = entry(&system, "m1");
    entry.reference = Some("22001".to_owned());
    let connector = connect_with(&system, Who::Agent, "reference = \"number\"");
    assert_eq!(within(SOON, deliver(&*connector, &entry)).await.unwrap().as_str(), ticket);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_exist_is_a_fault_of_the_configuration() {
    let system = Zammad::start();
    let mut entry = entry(&system, "m1");
    entry.priority = Some("9 highest".to_owned());
    let error = within(SOON, deliver(&*connect(&system), &entry)).await.unwrap_err();
    assert_eq!(error, TicketError::Missing { what: "priority of the configured name".to_owned() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_ticket_that_takes_no_note_says_so() {
    let system = Zammad::start();
    let ticket = within(SOON, deliver(&*connect(&system), &entry(&system, "m1"))).await.unwrap();
    system.0.set_state(ticket.as_str(), "closed");
    system.0.refuse_follow_ups();
    let connector = connect_with(&system, Who::Agent, "reopen = true");
    let refused = within(SOON, connector.add_note(&ticket, &entry(&system, "m2"))).await;
    assert_eq!(refused, Err(TicketError::Closed));
}
