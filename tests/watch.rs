//! The role `watch` on both queues, with a clock of the tests' own: follow-ups that fall due, what cancels them, and
//! spikes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, ToSpan};
use secrecy::SecretString;
use serde_json::json;
use sprachpost::{
    broker::{self, Broker, Exchange, Subscription},
    event::{CaseClosed, Event, FollowUpDue, Processed, envelope::parse_event},
    ledger,
    shutdown::Shutdown,
    watch::{self, Clock, Place},
};
use tokio::{task::JoinHandle, time::timeout};

use crate::support::{postgres, rabbitmq::shared};

const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for something that must not happen to show.
const A_MOMENT: Duration = Duration::from_millis(500);
const NOON: &str = "2026-11-23T11:00:00Z";

/// Time as the test wants it.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(moment: &str) -> Self {
        Self(Arc::new(AtomicI64::new(moment.parse::<Timestamp>().unwrap().as_second())))
    }

    fn set(&self, moment: &str) {
        self.0.store(moment.parse::<Timestamp>().unwrap().as_second(), Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let hands = self.0.clone();
        Arc::new(move || Timestamp::from_second(hands.load(Ordering::SeqCst)).unwrap())
    }
}

/// A queue, and where the watch keeps what it knows.
struct Site {
    url: SecretString,
    place: Place,
    _held: Box<dyn std::any::Any + Send>,
}

impl Site {
    fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("embedded:{}", folder.path().join("queue.sqlite").display()).into();
        Self { url, place: Place::File(folder.path().join("watch.sqlite")), _held: Box::new(folder) }
    }

    fn rabbitmq_with_a_ledger() -> Self {
        let (vhost, database) = (shared().new_vhost(), postgres::shared().new_database());
        let config =
            ledger::Config { connect_s_max: 5, query_s_max: 2, reconnect_s_max: 1, ..ledger::Config::default() };
        let place = Place::Ledger { url: database.url().into(), config };
        Self { url: vhost.url().into(), place, _held: Box::new((vhost, database)) }
    }

    async fn open(&self) -> Arc<dyn Broker> {
        let queue = broker::Config { retry_delays_s: vec![1], ..broker::Config::default() };
        broker::open(Some(&self.url), &queue).await.unwrap()
    }

    async fn start(&self, hands: &Hands) -> Running {
        let broker = self.open().await;
        broker.declare_results(&watch::queue()).await.unwrap();
        let told = broker.subscribe("#").await.unwrap();
        let shutdown = Shutdown::default();
        let config = watch::Config { look_every_s: 0.05, ..watch::Config::default() };
        let run = watch::run(broker.clone(), self.place.clone(), config, hands.clock(), shutdown.clone());
        Running { broker, told, shutdown, handle: tokio::spawn(run) }
    }
}

struct Running {
    broker: Arc<dyn Broker>,
    told: Box<dyn Subscription>,
    shutdown: Shutdown,
    handle: JoinHandle<()>,
}

impl Running {
    async fn publish(&self, event: &Event) {
        let now = NOON.parse().unwrap();
        timeout(PATIENCE, self.broker.publish(Exchange::Results, &event.to_message(now))).await.unwrap().unwrap();
    }

    /// The next thing that the watch tells: what the test published itself goes by.
    async fn told(&mut self) -> (String, Event) {
        loop {
            let message = timeout(PATIENCE, self.told.next()).await.expect("something to be told").unwrap();
            match parse_event(&message) {
                // What has no envelope is of the test's own making, too.
                Ok(Event::Processed { .. } | Event::CaseClosed { .. }) | Err(_) => {}
                Ok(event) => return (message.routing_key, event),
            }
        }
    }

    async fn follow_up(&mut self) -> FollowUpDue {
        match self.told().await {
            (_, Event::FollowUpDue { data, .. }) => *data,
            (key, _) => panic!("{key} is no follow-up"),
        }
    }

    async fn nothing_is_told(&mut self) {
        let told = timeout(A_MOMENT, self.told()).await;
        assert!(told.is_err(), "nothing was to be told, but {}", told.unwrap().0);
    }

    /// Until every result was taken note of.
    async fn taken(&self) {
        let group = "watch".parse().unwrap();
        let empty = async {
            while self.broker.depth_of(&group).await.unwrap().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, empty).await.expect("all results are taken note of");
    }

    async fn stop(self) {
        self.shutdown.request();
        timeout(PATIENCE, self.handle).await.unwrap().unwrap();
        self.broker.close().await;
    }
}

/// The result of a note of a conversation.
fn result(message_id: &str, conversation: &str, sent_at: &str) -> Processed {
    let sent_at: Timestamp = sent_at.parse().unwrap();
    let tenant = "musterstrom".parse().unwrap();
    let channel = "whatsapp".parse().unwrap();
    serde_json::from_value(json!({
        "note_id": sprachpost::note::NoteId::of(&tenant, &channel, message_id), "tenant": tenant, "channel": channel,
        "message_id": message_id, "conversation": conversation, "ticket": format!("T-{conversation}"), "sender": null,
        "sent_at": sent_at, "reply_window_ends_at": null, "outcome": "completed", "reason": null, "detail": null,
        "audio": null, "transcript": null, "reply": null, "route": {"team": "technik", "escalate": false},
        "understanding": {"intent": {"name": "outage", "confidence": 0.9}, "alternatives": [], "entities": [],
            "urgency": {"level": "normal", "grounds": []}, "contact": {"phone_allowed": null}},
        "follow_up": {"due_at": sent_at + 48.hours(), "template": "wie_steht_es"},
        "timings_ms": {"queue": 0, "fetch": 0, "decode": 0, "transcribe": 0, "understand": 0, "total": 0},
        "attempt": 1, "worker": "test", "software": "test"
    }))
    .unwrap()
}

fn processed(data: &Processed) -> Event {
    Event::processed(data.clone(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()))
}

fn closed(conversation: &str, closed_at: &str) -> Event {
    let data = CaseClosed {
        tenant: "musterstrom".parse().unwrap(),
        channel: Some("whatsapp".parse().unwrap()),
        conversation: Some(conversation.into()),
        ticket: None,
        note_id: None,
        closed_at: closed_at.parse().unwrap(),
    };
    Event::CaseClosed { data: Box::new(data) }
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Site::embedded()).await;
            })*
        }
        mod rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Site::rabbitmq_with_a_ledger()).await;
            })*
        }
    };
}

on_both! {
    a_follow_up_is_told_once_at_its_time_and_names_the_template_that_is_left
    a_newer_note_or_the_end_of_the_case_cancels_a_follow_up
    what_fell_due_while_nobody_watched_is_told_once_when_somebody_does
    a_spike_is_told_once_with_its_evidence
    a_second_watch_stands_by_until_the_first_is_gone
}

async fn a_follow_up_is_told_once_at_its_time_and_names_the_template_that_is_left(site: Site) {
    let hands = Hands::at(NOON);
    let mut running = site.start(&hands).await;
    let note = result("a", "49170", "2026-11-23T10:00:00Z");
    running.publish(&processed(&note)).await;
    running.publish(&processed(&note)).await;
    running.taken().await;
    hands.set("2026-11-25T09:59:59Z");
    running.nothing_is_told().await;
    hands.set("2026-11-25T10:00:00Z");
    let (key, event) = running.told().await;
    assert_eq!(key, "follow-up-due.musterstrom.whatsapp.outage");
    let Event::FollowUpDue { data, traceparent } = event else { panic!("{key}") };
    assert_eq!(traceparent.as_deref(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_eq!((data.note_id, data.conversation.as_ref().unwrap().expose()), (note.note_id, "49170"));
    assert_eq!((data.team.as_deref(), data.intent.as_str()), (Some("technik"), "outage"));
    // WhatsApp's window is a day, and two have gone by.
    assert_eq!(data.reply_window_ends_at.unwrap().to_string(), "2026-11-24T10:00:00Z");
    assert_eq!((data.reply_window_open, data.template.as_deref()), (false, Some("wie_steht_es")));
    // Nor does a result that is delivered once more plan anything.
    running.publish(&processed(&Processed { worker: "another".to_owned(), ..note })).await;
    running.taken().await;
    running.nothing_is_told().await;
    running.stop().await;
}

async fn a_newer_note_or_the_end_of_the_case_cancels_a_follow_up(site: Site) {
    let hands = Hands::at(NOON);
    let mut running = site.start(&hands).await;
    let plain = |note: Processed| Processed { follow_up: None, ..note };
    // Heard again; heard again before that, but known later; closed; closed before it was heard again.
    running.publish(&processed(&result("a1", "a", "2026-11-23T10:00:00Z"))).await;
    running.publish(&processed(&plain(result("a2", "a", "2026-11-23T10:30:00Z")))).await;
    running.publish(&processed(&plain(result("b2", "b", "2026-11-23T10:30:00Z")))).await;
    running.publish(&processed(&result("b1", "b", "2026-11-23T10:00:00Z"))).await;
    running.publish(&processed(&result("c1", "c", "2026-11-23T10:00:00Z"))).await;
    running.publish(&closed("c", "2026-11-23T10:45:00Z")).await;
    running.publish(&closed("d", "2026-11-23T10:15:00Z")).await;
    let open_until = Some("2026-11-30T00:00:00Z".parse().unwrap());
    let kept = Processed { reply_window_ends_at: open_until, ..result("d2", "d", "2026-11-23T10:30:00Z") };
    running.publish(&processed(&kept)).await;
    // By the name of its ticket, without an envelope, as a ticketing system may say it.
    running.publish(&processed(&result("e1", "e", "2026-11-23T10:00:00Z"))).await;
    running.taken().await;
    let mut plain = closed("e", "2026-11-23T10:50:00Z").to_message(NOON.parse().unwrap());
    plain.body = br#"{"tenant": "musterstrom", "ticket": "T-e", "closed_at": "2026-11-23T10:50:00Z"}"#.to_vec();
    running.broker.publish(Exchange::Results, &plain).await.unwrap();
    running.taken().await;
    hands.set("2026-11-26T00:00:00Z");
    let due = running.follow_up().await;
    assert_eq!((due.note_id, due.reply_window_open, due.template), (kept.note_id, true, None));
    running.nothing_is_told().await;
    running.stop().await;
}

async fn what_fell_due_while_nobody_watched_is_told_once_when_somebody_does(site: Site) {
    let hands = Hands::at(NOON);
    let running = site.start(&hands).await;
    let (first, second) = (result("a", "a", "2026-11-23T10:00:00Z"), result("b", "b", "2026-11-23T10:30:00Z"));
    running.publish(&processed(&first)).await;
    running.taken().await;
    running.stop().await;
    // A result that comes meanwhile waits in the queue.
    let broker = site.open().await;
    broker.publish(Exchange::Results, &processed(&second).to_message(NOON.parse().unwrap())).await.unwrap();
    broker.close().await;
    hands.set("2026-11-27T00:00:00Z");
    let mut running = site.start(&hands).await;
    let told = [running.follow_up().await.note_id, running.follow_up().await.note_id];
    assert_eq!(told, [first.note_id, second.note_id]);
    running.taken().await;
    running.stop().await;
    let mut running = site.start(&hands).await;
    running.nothing_is_told().await;
    running.stop().await;
}

async fn a_spike_is_told_once_with_its_evidence(site: Site) {
    let start: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
    let hands = Hands::at(NOON);
    let mut running = site.start(&hands).await;
    let plain = |n: u32, sent_at: Timestamp| {
        let note = result(&format!("n{n}"), &format!("c{n}"), &sent_at.to_string());
        Processed { follow_up: None, ..note }
    };
    // One every working hour for three weeks.
    let hours = (0..21).flat_map(|day| (0..8).map(move |hour| day * 24 + hour));
    for (n, hour) in (0..).zip(hours) {
        running.publish(&processed(&plain(n, start + SignedDuration::from_hours(hour)))).await;
    }
    running.taken().await;
    running.nothing_is_told().await;
    let rise: Vec<Processed> = (0..12)
        .map(|n| plain(1000 + n, NOON.parse::<Timestamp>().unwrap() - SignedDuration::from_secs(i64::from(n) * 30)))
        .collect();
    for note in &rise {
        running.publish(&processed(note)).await;
    }
    let (key, event) = running.told().await;
    assert_eq!(key, "spike.musterstrom.outage");
    let Event::Spike { data } = event else { panic!("{key}") };
    assert!((5..=13).contains(&data.count) && data.expected < 2.0, "{data:?}");
    assert!(data.note_ids.iter().filter(|id| rise.iter().any(|note| note.note_id == **id)).count() >= 5, "{data:?}");
    running.taken().await;
    running.nothing_is_told().await;
    running.stop().await;
    let mut running = site.start(&hands).await;
    running.nothing_is_told().await;
    running.stop().await;
}

async fn a_second_watch_stands_by_until_the_first_is_gone(site: Site) {
    let hands = Hands::at(NOON);
    let first = site.start(&hands).await;
    let note = result("a", "a", "2026-11-23T10:00:00Z");
    first.publish(&processed(&note)).await;
    first.taken().await;
    let mut second = site.start(&hands).await;
    hands.set("2026-11-27T00:00:00Z");
    assert_eq!(second.follow_up().await.note_id, note.note_id, "told by the first, seen by both");
    second.nothing_is_told().await;
    first.stop().await;
    let later = result("b", "b", "2026-11-23T10:30:00Z");
    second.publish(&processed(&later)).await;
    assert_eq!(second.follow_up().await.note_id, later.note_id);
    second.stop().await;
}

#[test]
fn settings_that_cannot_work_say_why() {
    let fault = |text: &str| toml::from_str::<watch::Config>(text).unwrap().fault();
    assert_eq!(fault(""), None);
    for (text, word) in [
        ("look_every_s = 0", "look_every_s"),
        ("remembered_days = 0", "remembered_days"),
        ("spikes.time_zone = \"Musterstadt\"", "time_zone"),
        ("spikes.learning_days = 1", "learning_days"),
        ("spikes.probability_max = 0.5", "probability_max"),
    ] {
        assert!(fault(text).unwrap().contains(word), "{text}");
    }
}
