//! The signed webhook, and what only it does.

use async_trait::async_trait;
use sprachpost::tickets::{Config, Marker, TicketError, TicketId, limiter::Accounts};

use super::{SOON, System, Who, Words, connect, connect_with, deliver, entry, within};
use crate::support::tickets::{SeenTicket, Wire, webhook};

pub struct Webhook(pub webhook::Receiver);

impl Webhook {
    pub fn start() -> Self {
        Self(webhook::Receiver::start())
    }
}

#[async_trait]
impl System for Webhook {
    fn own_keys(&self, _: Who, secret: &str) -> String {
        format!("type = \"webhook\"\nurl = \"{}\"\nsecret = {secret}", self.0.url)
    }

    fn secret(&self, who: Who) -> &'static str {
        if who == Who::Agent { webhook::SECRET } else { webhook::OTHER_SECRET }
    }

    fn words(&self) -> Words {
        let missing = ("", None);
        Words { priority: "hoch", team: "Technik", tags: ["voice", "outage"], missing, text_max: None }
    }

    /// The receiver sorts notes into tickets itself.
    async fn foreign_ticket(&self) -> String {
        "webhook".to_owned()
    }

    async fn close(&self, _: &str) {
        unreachable!("a webhook has no tickets");
    }

    async fn tickets(&self) -> Vec<String> {
        vec!["webhook".to_owned()]
    }

    async fn seen(&self, _: &str) -> SeenTicket {
        self.0.seen()
    }

    fn wire(&self) -> &Wire {
        &self.0.wire
    }

    fn limit_files(&self, bytes_max: usize) {
        self.0.limit_bodies(bytes_max);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_says_what_the_configuration_makes_of_a_note() {
    let system = Webhook::start();
    let mut entry = entry(&system, "m1");
    entry.reference = Some("4711".to_owned());
    entry.reminder_at = Some("2026-12-24T08:30:00Z".parse().unwrap());
    within(SOON, deliver(&*connect(&system), &entry)).await.unwrap();
    let mut message = system.0.messages().remove(0);
    message["data"]["attachment"]["data"] = "<base64>".into();
    insta::assert_json_snapshot!(message, { ".timestamp" => "<now>" }, @r#"
    {
      "data": {
        "attachment": {
          "content_type": "audio/ogg",
          "data": "<base64>",
          "name": "sprachnachricht.ogg"
        },
        "conversation": "[vc:d42d57bab52f4cf57cb60a46]",
        "marker": "[vn:feaa9e1c-d7da-5ad3-9d5c-06f6e33c0af4]",
        "priority": "hoch",
        "reminder_at": "2026-12-24T08:30:00Z",
        "tags": [
          "voice",
          "outage"
        ],
        "team": "Technik",
        "text": "Abschrift (de, 93 %):\nSeit gestern Abend geht das Internet nicht mehr.\n[vn:feaa9e1c-d7da-5ad3-9d5c-06f6e33c0af4]",
        "ticket": "4711",
        "title": "Sprachnachricht: Störung"
      },
      "timestamp": "<now>",
      "type": "sprachpost.note.v1"
    }
    "#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_has_the_same_id_every_time_and_its_replay_another() {
    let system = Webhook::start();
    let mut entry = entry(&system, "m1");
    for _ in 0..3 {
        within(SOON, deliver(&*connect(&system), &entry)).await.unwrap();
    }
    assert_eq!((system.0.messages().len(), system.0.repeats()), (1, 2));
    let (tenant, channel) = ("musterstrom".parse().unwrap(), "whatsapp".parse().unwrap());
    entry.marker = Marker::of(sprachpost::note::NoteId::of(&tenant, &channel, "m1"), 1);
    within(SOON, deliver(&*connect(&system), &entry)).await.unwrap();
    assert_eq!(system.0.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_changes_its_secret_misses_nothing() {
    let system = Webhook::start();
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    std::fs::write(&old, webhook::SECRET).unwrap();
    let keys = format!("previous_secret = {{ file = {old:?} }}");
    // Signed with the new secret, which the receiver does not know yet, and with the old one.
    let both = connect_with(&system, Who::Stranger, &keys);
    within(SOON, deliver(&*both, &entry(&system, "m1"))).await.unwrap();
    let new_only = connect_with(&system, Who::Stranger, "");
    let refused = within(SOON, deliver(&*new_only, &entry(&system, "m2"))).await;
    assert_eq!(refused, Err(TicketError::Unauthorized));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_wants_no_more_is_left_alone_until_people_say_otherwise() {
    let system = Webhook::start();
    system.0.want_no_more();
    let ticket = TicketId::new("webhook");
    let refused = within(SOON, connect(&system).add_note(&ticket, &entry(&system, "m1"))).await;
    assert!(matches!(refused, Err(TicketError::Forbidden { .. })), "{refused:?}");
}

#[test]
fn weak_secrets_and_plain_addresses_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |url: &str, secret: &str| {
        let file = folder.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        let text = format!("name = \"main\"\ntype = \"webhook\"\nurl = {url:?}\nsecret = {{ file = {file:?} }}");
        let config: Config = toml::from_str(&text).unwrap();
        config.open(&Accounts::default()).map(drop).map_err(|error| error.to_string())
    };
    open("https://crm.example/notes", webhook::SECRET).unwrap();
    for weak in ["hunter2", "whsec_aHVudGVyMg==", "whsec_???"] {
        let error = open("https://crm.example/notes", weak).unwrap_err();
        assert!(error.contains("whsec_") && !error.contains(weak), "{error}");
    }
    for url in ["http://crm.example/notes", "https://user:pw@crm.example/", "https://crm.example/?token=x"] {
        assert!(open(url, webhook::SECRET).is_err(), "{url}");
    }
}
