//! Zendesk, and what only it does.

use std::time::Duration;

use async_trait::async_trait;
use sprachpost::tickets::TicketError;

use super::{SOON, System, Who, Words, connect, connect_with, deliver, entry, within};
use crate::support::tickets::{Allowance, SeenTicket, Wire, zendesk};

pub struct Zendesk(pub zendesk::Zendesk);

impl Zendesk {
    pub fn start() -> Self {
        Self(zendesk::Zendesk::start())
    }
}

#[async_trait]
impl System for Zendesk {
    fn own_keys(&self, who: Who, secret: &str) -> String {
        let email = if who == Who::WithoutRights { zendesk::EMAIL_WITHOUT_RIGHTS } else { zendesk::EMAIL };
        format!("type = \"zendesk\"\nurl = \"{}\"\nemail = \"{email}\"\ntoken = {secret}", self.0.url)
    }

    fn secret(&self, who: Who) -> &'static str {
        if who == Who::Stranger { "nobodys-token" } else { zendesk::TOKEN }
    }

    fn words(&self) -> Words {
        let missing = ("999", None);
        Words { priority: "high", team: "360001", tags: ["voice", "outage"], missing, text_max: Some(65_535) }
    }

    async fn foreign_ticket(&self) -> String {
        self.0.ticket()
    }

    async fn close(&self, ticket: &str) {
        self.0.set_status(ticket, "closed");
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
async fn a_ticket_that_closes_between_finding_and_writing_says_so() {
    let system = Zendesk::start();
    let connector = connect(&system);
    let ticket = within(SOON, deliver(&*connector, &entry(&system, "m1"))).await.unwrap();
    system.0.set_status(ticket.as_str(), "closed");
    let refused = within(SOON, connector.add_note(&ticket, &entry(&system, "m2"))).await;
    assert_eq!(refused, Err(TicketError::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_solved_ticket_is_opened_again() {
    let system = Zendesk::start();
    let connector = connect(&system);
    let ticket = within(SOON, deliver(&*connector, &entry(&system, "m1"))).await.unwrap();
    system.0.set_status(ticket.as_str(), "solved");
    assert_eq!(within(SOON, deliver(&*connector, &entry(&system, "m2"))).await.unwrap(), ticket);
    let found = within(SOON, connector.find(&entry(&system, "m3"))).await.unwrap();
    assert!(!found[0].closed);
    assert_eq!(system.0.seen(ticket.as_str()).notes.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_the_same_ticket_twice_opens_one() {
    let system = Zendesk::start();
    let (connector, entry) = (connect(&system), entry(&system, "m1"));
    let first = within(SOON, connector.open(&entry, None)).await.unwrap();
    assert_eq!(within(SOON, connector.open(&entry, None)).await.unwrap(), first);
    assert_eq!(system.0.tickets().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_somebody_adds_at_the_same_time_stays() {
    let system = Zendesk::start();
    let connector = connect(&system);
    system.0.be_busy(2);
    let ticket = within(SOON, deliver(&*connector, &entry(&system, "m1"))).await.unwrap();
    let tags = system.0.seen(ticket.as_str()).tags;
    assert_eq!(tags.iter().filter(|tag| *tag == "by-somebody-else").count(), 1, "{tags:?}");
    assert!(tags.contains(&"voice".to_owned()), "{tags:?}");
    assert_eq!(system.0.wire.refused(409), 2);

    system.0.be_busy(100);
    let mut entry = entry(&system, "m2");
    entry.tags.push("new".to_owned());
    assert_eq!(within(SOON, connector.set(&ticket, &entry)).await, Err(TicketError::Conflict), "not for ever");
}

/// The documented limit, counted where updates arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ticket_is_updated_more_than_thirty_times_in_ten_minutes() {
    let system = Zendesk::start();
    system.0.limit_updates(Allowance { requests: 30, within: Duration::from_mins(10) });
    let connector = connect_with(&system, Who::Agent, "requests_per_minute = 10000");
    let ticket = within(SOON, connector.open(&entry(&system, "m0"), None)).await.unwrap();
    let many = async {
        for n in 0..60 {
            let mut entry = entry(&system, &format!("m{n}"));
            entry.attachment = None;
            connector.add_note(&ticket, &entry).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), many).await.is_err(), "it has to wait");
    assert_eq!(system.0.seen(ticket.as_str()).notes.len(), 30);
    assert_eq!(system.0.wire.refused(429), 0);

    // Another ticket does not wait for it.
    let mut other = entry(&system, "other");
    other.conversation = None;
    within(SOON, deliver(&*connector, &other)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_one_ticket_asks_for_is_kept() {
    let system = Zendesk::start();
    system.0.limit_updates(zendesk::FAST_UPDATES);
    let connector = connect(&system);
    let ticket = within(SOON, connector.open(&entry(&system, "m0"), None)).await.unwrap();
    let mut limited = 0;
    for n in 0..6 {
        let mut entry = entry(&system, &format!("m{n}"));
        entry.attachment = None;
        while let Err(error) = within(SOON, connector.add_note(&ticket, &entry)).await {
            assert!(matches!(error, TicketError::Limited { after: Some(_) }), "{error}");
            limited += 1;
        }
    }
    assert!((1..=2).contains(&limited), "one refusal each time, because the pause is kept: {limited}");
    assert_eq!(system.0.seen(ticket.as_str()).notes.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_does_not_become_a_task() {
    let system = Zendesk::start();
    let ticket = system.0.ticket();
    system.0.set_type(&ticket, "incident");
    let mut entry = entry(&system, "m1");
    entry.reference = Some(ticket.clone());
    entry.reminder_at = Some("2026-12-24T08:30:00Z".parse().unwrap());
    within(SOON, deliver(&*connect(&system), &entry)).await.unwrap();
    assert_eq!(system.0.seen(&ticket).reminder_s, None);
}
