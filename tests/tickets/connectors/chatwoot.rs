//! Chatwoot, and what only it does.

use async_trait::async_trait;
use sprachpost::tickets::{Config, TicketError, limiter::Accounts};

use super::{SOON, System, Who, Words, connect, deliver, entry, within};
use crate::support::tickets::{Allowance, SeenTicket, Wire, chatwoot};

pub struct Chatwoot(pub chatwoot::Chatwoot);

impl Chatwoot {
    pub fn start() -> Self {
        Self(chatwoot::Chatwoot::start())
    }
}

#[async_trait]
impl System for Chatwoot {
    fn own_keys(&self, _: Who, secret: &str) -> String {
        let (url, account, inbox) = (&self.0.url, chatwoot::ACCOUNT, chatwoot::INBOX);
        format!("type = \"chatwoot\"\nurl = \"{url}\"\ntoken = {secret}\naccount_id = {account}\ninbox_id = {inbox}")
    }

    fn secret(&self, who: Who) -> &'static str {
        match who {
            Who::Agent => chatwoot::TOKEN,
            Who::Stranger => "nobodys-token",
            Who::WithoutRights => chatwoot::TOKEN_WITHOUT_RIGHTS,
        }
    }

    fn words(&self) -> Words {
        let missing = ("99", Some("unbekannt"));
        Words { priority: "high", team: "7", tags: ["voice", "outage"], missing, text_max: Some(150_000) }
    }

    async fn foreign_ticket(&self) -> String {
        self.0.ticket()
    }

    async fn close(&self, ticket: &str) {
        self.0.close(ticket);
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
async fn too_many_requests_are_told_without_a_time() {
    let system = Chatwoot::start();
    let connector = connect(&system);
    let minute = std::time::Duration::from_mins(1);
    system.0.wire.allow(Some(Allowance { requests: 1, within: minute }));
    let refused = within(SOON, deliver(&*connector, &entry(&system, "m1"))).await;
    assert_eq!(refused, Err(TicketError::Limited { after: None }));
    system.0.wire.allow(None);
    within(SOON, deliver(&*connector, &entry(&system, "m1"))).await.unwrap();
    assert_eq!(system.0.tickets().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_was_made_before_a_crash_is_used() {
    let system = Chatwoot::start();
    let (connector, entry) = (connect(&system), entry(&system, "m1"));
    for _ in 0..2 {
        // The second time, the contact's identifier is taken.
        within(SOON, connector.open(&entry, None)).await.unwrap();
    }
    assert_eq!(within(SOON, connector.find(&entry)).await.unwrap().len(), 2);
}

#[test]
fn settings_that_chatwoot_cannot_know_are_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "x").unwrap();
    let open = |keys: &str| {
        let text = format!(
            "name = \"main\"\ntype = \"chatwoot\"\nurl = \"https://chat.example\"\ntoken = {{ file = {file:?} }}\n\
             account_id = 1\ninbox_id = 1\n{keys}"
        );
        toml::from_str::<Config>(&text)
            .map_err(|error| error.to_string())
            .and_then(|config| config.open(&Accounts::default()).map_err(|error| error.to_string()).map(drop))
    };
    open("").unwrap();
    let error = open("priority_by_urgency = { high = \"sehr hoch\" }").unwrap_err();
    assert!(error.contains("sehr hoch") && error.contains("urgent"), "{error}");
    let error = open("team_by_route = { technik = \"Technik\" }").unwrap_err();
    assert!(error.contains("Technik"), "{error}");
    assert!(open("inbox = 7").unwrap_err().contains("inbox"));
}
