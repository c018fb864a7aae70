//! What people do with dead letters, on both queues: through the program, and beside workers that go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use sprachpost::{
    app,
    asr::{AsrError, pool::Pool, scripted::ScriptedTranscriber},
    broker::{self, Broker, Consumers, Deliveries, Depth, Exchange, Group, Message, ResultQueue},
    event::{
        Event, Reason,
        envelope::{Received, parse_processed, parse_received, received_message},
        processed::OutcomeKind,
    },
    ledger::Ledger,
    letters::{self, Filter, Order},
    note::{NoteId, VoiceNote},
    outcome::{DeadLetterCause, Settlement, Stage},
    report::{Attempt, Report},
    shutdown::Shutdown,
    worker,
};
use tokio::time::timeout;

use crate::support::{
    program::{self, stderr, stdout},
    rabbitmq::{Vhost, shared},
    stages,
};

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A queue of a test's own, and a folder for what the program writes.
struct Queue {
    url: String,
    folder: tempfile::TempDir,
    _vhost: Option<Vhost<'static>>,
}

impl Queue {
    fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
        Self { url, folder, _vhost: None }
    }

    fn rabbitmq() -> Self {
        let vhost = shared().new_vhost();
        Self { url: vhost.url(), folder: tempfile::tempdir().unwrap(), _vhost: Some(vhost) }
    }

    async fn open(&self) -> Arc<dyn Broker> {
        broker::open(Some(&self.url.clone().into()), &broker::Config::default()).await.unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::command(self.folder.path());
        // An address with a password is read from a file.
        command.env_remove("SPRACHPOST__BROKER__URL");
        let config = self.folder.path().join("sprachpost.toml");
        let address = self.folder.path().join("address");
        std::fs::write(&address, &self.url).unwrap();
        std::fs::write(&config, format!("[broker]\nurl = {{ file = {:?} }}\n", address.display().to_string())).unwrap();
        command.arg("dead-letters").args(arguments).arg("--config").arg(config);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod embedded {
            $(#[test]
            fn $test() {
                crate::support::runtime().block_on(super::$test(super::Queue::embedded()));
            })*
        }
        mod rabbitmq {
            $(#[test]
            fn $test() {
                crate::support::runtime().block_on(super::$test(super::Queue::rabbitmq()));
            })*
        }
    };
}

on_both! {
    a_list_shows_every_letter_and_nothing_of_the_customers
    filters_choose_among_the_letters
    one_letter_is_shown_in_full_and_its_body_on_demand_only
    replaying_by_id_sends_one_note_back_to_work
    discarding_asks_and_an_id_that_is_not_there_is_an_error
    letters_of_a_role_are_listed_shown_and_replayed_into_its_queue
    killed_again_and_again_while_it_replays_it_loses_nothing
    two_letters_of_one_note_are_replayed_under_one_new_number
    two_people_replay_while_workers_run_and_every_note_has_one_answer
    a_replayed_note_is_answered_anew_under_another_event_id
}

fn note(id: &str, tenant: &str) -> Message {
    let note: VoiceNote = serde_json::from_value(json!({
        "tenant": tenant, "channel": "whatsapp", "message_id": id, "sender": "+49170555", "conversation": "+49170555",
        "audio": {"type": "url", "url": "https://media.example/geheim.ogg"}
    }))
    .unwrap();
    received_message(&Received { note, traceparent: None }, Timestamp::now())
}

/// Bytes that are no JSON, and not even text, with a telephone number in them.
fn unreadable() -> Message {
    let mut message = note("x", "acme");
    (message.id, message.correlation_id, message.content_type) = (None, None, None);
    message.body = b"{\"sender\": \"+49170555\", \xff\xfe".to_vec();
    message
}

fn id_of(message: &Message) -> NoteId {
    parse_received(message).map_or_else(|_| NoteId::of_unreadable(&message.body), |received| received.note.id())
}

async fn bury(broker: &Arc<dyn Broker>, deliveries: &mut Box<dyn Deliveries>, message: &Message, reason: Reason) {
    broker.publish(Exchange::Notes, message).await.unwrap();
    let delivery = timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
    let cause = DeadLetterCause { reason, stage: Stage::Transcribe };
    delivery.settle(&Settlement::DeadLetter(cause)).await.unwrap();
}

/// Two notes and something that is none, all given up on.
async fn three_letters(queue: &Queue) -> (Arc<dyn Broker>, Box<dyn Deliveries>, [Message; 3]) {
    let broker = queue.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let messages = [note("one", "musterstrom"), note("two", "acme"), unreadable()];
    let reasons = [Reason::TranscriptionTimeout, Reason::AudioUnreachable, Reason::MalformedEvent];
    for (message, reason) in messages.iter().zip(reasons) {
        bury(&broker, &mut deliveries, message, reason).await;
    }
    (broker, deliveries, messages)
}

async fn dead_letters_become(broker: &Arc<dyn Broker>, dead_letters: u64) {
    let reached = async {
        while broker.depth().await.unwrap().dead_letters != dead_letters {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{dead_letters} dead letters"));
}

fn ids_in(output: &Output) -> Vec<String> {
    let text = stdout(output);
    let letters = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    letters.map(|letter| letter["note_id"].as_str().unwrap().to_owned()).collect()
}

async fn a_list_shows_every_letter_and_nothing_of_the_customers(queue: Queue) {
    let (broker, _, messages) = three_letters(&queue).await;
    let output = queue.run(&["list"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let table = stdout(&output);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines.iter().all(|line| line.chars().count() <= 120), "{table}");
    let expected = [
        ("musterstrom/whatsapp", "transcription_timeout"),
        ("acme/whatsapp", "audio_unreachable"),
        ("?/?", "malformed_event"),
    ];
    for ((line, message), (from, reason)) in lines[1..].iter().zip(&messages).zip(expected) {
        let id = id_of(message).to_string();
        assert!(line.starts_with(&id[..8]) && line.contains(from) && line.contains(reason), "{table}");
    }
    let lines = queue.run(&["list", "--json"]);
    assert_eq!(ids_in(&lines), messages.each_ref().map(|message| id_of(message).to_string()));
    for output in [&output, &lines] {
        let shown = stdout(output) + &stderr(output);
        assert!(!shown.contains("+49170555") && !shown.contains("geheim"), "{shown}");
    }
    let limited = queue.run(&["list", "--limit", "2"]);
    assert_eq!(stdout(&limited).lines().count(), 3);
    assert!(stderr(&limited).contains("more than these 2"), "{}", stderr(&limited));
    dead_letters_become(&broker, 3).await;
}

async fn filters_choose_among_the_letters(queue: Queue) {
    let (_broker, _, messages) = three_letters(&queue).await;
    let [one, two, neither] = messages.each_ref().map(|message| id_of(message).to_string());
    let cases: [(&[&str], &[&String]); 7] = [
        (&["--tenant", "acme"], &[&two]),
        (&["--reason", "malformed_event"], &[&neither]),
        (&["--reason", "audio_unreachable", "--tenant", "musterstrom"], &[]),
        (&["--older-than", "1h"], &[]),
        (&["--newer-than", "1h"], &[&one, &two, &neither]),
        (&["--newer-than", "1 hour", "--tenant", "musterstrom"], &[&one]),
        (&["--older-than", "0.001s"], &[&one, &two, &neither]),
    ];
    for (arguments, expected) in cases {
        // What the run before has looked at takes a moment to be back.
        let mut found = Vec::new();
        for _ in 0..50 {
            let output = queue.run(&[&["list", "--json"], arguments].concat());
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            found = ids_in(&output);
            if found.len() >= expected.len() {
                break;
            }
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{arguments:?}");
    }
    for bad in [["--reason", "bad weather"], ["--older-than", "yesterday"], ["--tenant", "#"]] {
        assert_eq!(queue.run(&[&["list"], &bad[..]].concat()).status.code(), Some(2), "{bad:?}");
    }
}

async fn one_letter_is_shown_in_full_and_its_body_on_demand_only(queue: Queue) {
    let (_broker, _, messages) = three_letters(&queue).await;
    for message in &messages {
        let id = id_of(message).to_string();
        let shown = queue.run(&["show", &id]);
        assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
        let as_json = queue.run(&["show", &id, "--json"]);
        let letter: Value = serde_json::from_str(&stdout(&as_json)).unwrap();
        assert_eq!((letter["note_id"].as_str(), letter["attempts"].as_u64()), (Some(id.as_str()), Some(1)));
        assert_eq!(letter["message"]["routing_key"], message.routing_key);
        for output in [&shown, &as_json] {
            let text = stdout(output) + &stderr(output);
            assert!(text.contains(&id) && !text.contains("+49170555") && !text.contains("geheim"), "{text}");
        }
        // The first eight characters are enough, and the body is the one that came, to the byte.
        let body = queue.run(&["show", &id[..8], "--body"]);
        assert_eq!(body.stdout, message.body);
        assert!(stderr(&body).contains("personal data"), "{}", stderr(&body));
    }
    let neither = stdout(&queue.run(&["show", &id_of(&messages[2]).to_string()]));
    assert!(neither.contains("no voice note"), "{neither}");
    let body = stdout(&queue.run(&["show", &id_of(&messages[2]).to_string(), "--json", "--body"]));
    let letter: Value = serde_json::from_str(&body).unwrap();
    assert!(letter["message"]["body_base64"].is_string() && letter["readable"] == false, "{letter}");
}

async fn replaying_by_id_sends_one_note_back_to_work(queue: Queue) {
    let (broker, mut deliveries, messages) = three_letters(&queue).await;
    let id = id_of(&messages[1]).to_string();
    for number in [1, 2] {
        let output = queue.run(&["replay", &id[..8]]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let expected = format!(
            "replayed {id} (acme/whatsapp, audio_unreachable) as its replay {number}\n1 dead letter, 1 replayed\n"
        );
        assert_eq!(stdout(&output), expected);
        let delivery = timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
        assert_eq!((delivery.message(), delivery.attempt(), delivery.replay()), (&messages[1], 1, number));
        let cause = DeadLetterCause { reason: Reason::AudioUnreachable, stage: Stage::Fetch };
        delivery.settle(&Settlement::DeadLetter(cause)).await.unwrap();
    }
    dead_letters_become(&broker, 3).await;

    // Of many, without anybody to ask: only when it is said that it is meant.
    let unasked = queue.run(&["replay", "--all", "--tenant", "acme"]);
    assert_eq!(unasked.status.code(), Some(2));
    assert!(stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
    dead_letters_become(&broker, 3).await;
    let output = queue.run(&["replay", "--all", "--tenant", "acme", "--yes"]);
    assert!(stdout(&output).ends_with("1 dead letter, 1 replayed\n"), "{}{}", stdout(&output), stderr(&output));
    dead_letters_become(&broker, 2).await;
    let output = queue.run(&["replay", "--all", "--tenant", "nobody", "--yes"]);
    assert_eq!((output.status.code(), stdout(&output).contains("nothing to do")), (Some(0), true));
    assert_eq!(queue.run(&["replay", &id, "--tenant", "acme"]).status.code(), Some(2), "a filter is for --all");
    assert_eq!(queue.run(&["replay"]).status.code(), Some(2), "nothing is not everything");
}

async fn discarding_asks_and_an_id_that_is_not_there_is_an_error(queue: Queue) {
    let (broker, _, messages) = three_letters(&queue).await;
    let [one, _, neither] = messages.each_ref().map(|message| id_of(message).to_string());
    assert_eq!(queue.run(&["discard", &one]).status.code(), Some(2), "nobody is there to be asked");
    let absent = "00000000-0000-5000-8000-000000000000";
    for arguments in
        [&["show", absent][..], &["replay", absent], &["discard", &one, absent, "--yes"], &["replay", &one, absent]]
    {
        let output = queue.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(&format!("no dead letter has the id {absent}")), "{}", stderr(&output));
    }
    dead_letters_become(&broker, 3).await;
    let output = queue.run(&["discard", &one, &neither, "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("discarded {neither} (?/?, malformed_event)")), "{}", stdout(&output));
    dead_letters_become(&broker, 1).await;
    assert_eq!(broker.depth().await.unwrap().waiting, 0, "nothing went back to work");
}

async fn letters_of_a_role_are_listed_shown_and_replayed_into_its_queue(queue: Queue) {
    let broker = queue.open().await;
    let tickets = ResultQueue {
        name: "tickets.main".to_owned(),
        patterns: vec!["processed.#".to_owned()],
        consumers: Consumers::Many,
    };
    let mut results = broker.consume_results(&tickets, 1).await.unwrap();
    let note = parse_received(&note("one", "acme")).unwrap().note;
    let result = Event::processed(Report::begin(&note, Attempt::only(), "worker").finish(), None);
    broker.publish(Exchange::Results, &result.to_message(Timestamp::now())).await.unwrap();
    let delivery = timeout(PATIENCE, results.next()).await.unwrap().unwrap();
    let cause = DeadLetterCause { reason: Reason::InternalError, stage: Stage::Receive };
    delivery.settle(&Settlement::DeadLetter(cause)).await.unwrap();

    let id = note.id().to_string();
    assert_eq!(stdout(&queue.run(&["list"])), "no dead letters\n", "it is no note's");
    let listed: Value =
        serde_json::from_str(&stdout(&queue.run(&["list", "--queue", "tickets.main", "--json"]))).unwrap();
    let seen = (&listed["note_id"], &listed["tenant"], &listed["reason"], &listed["readable"]);
    assert_eq!(seen, (&json!(id), &json!("acme"), &json!("internal_error"), &json!(true)));
    let shown = stdout(&queue.run(&["show", &id, "--queue", "tickets.main"]));
    assert!(shown.contains(&id) && !shown.contains("49170555"), "{shown}");
    let output = queue.run(&["replay", &id, "--queue", "tickets.main"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let delivery = timeout(PATIENCE, results.next()).await.unwrap().unwrap();
    assert_eq!((delivery.attempt(), delivery.replay()), (1, 1));
    delivery.settle(&Settlement::Ack).await.unwrap();
    assert_eq!(broker.depth().await.unwrap(), Depth::default());

    for unknown in ["tickets.other", "notes.work"] {
        let output = queue.run(&["list", "--queue", unknown]);
        assert_ne!(output.status.code(), Some(0), "{unknown}");
        assert!(!stderr(&output).is_empty());
    }
}

/// Kills the program with signal 9 at moments that differ, in the middle of an order to replay everything.
async fn killed_again_and_again_while_it_replays_it_loses_nothing(queue: Queue) {
    const LETTERS: usize = 60;
    let broker = queue.open().await;
    let mut deliveries = broker.consume(1.into()).await.unwrap();
    let mut missing = BTreeSet::new();
    for number in 0..LETTERS {
        let message = note(&number.to_string(), "acme");
        bury(&broker, &mut deliveries, &message, Reason::WorkerCrashed).await;
        missing.insert(id_of(&message));
    }
    let (mut kills, mut copies) = (0, 0);
    loop {
        let mut child = queue.command(&["replay", "--all", "--yes"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // After more and more letters, in the end after all.
        let _ = lines.map_while(Result::ok).take(1 + 3 * kills).count();
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        assert!(kills < LETTERS, "each order gets further, {} notes are missing", missing.len());
        while let Ok(delivery) = timeout(Duration::from_millis(300), deliveries.next()).await {
            let delivery = delivery.unwrap();
            assert_eq!(delivery.replay(), 1, "every copy has the same answer");
            missing.remove(&id_of(delivery.message()));
            delivery.settle(&Settlement::Ack).await.unwrap();
            copies += 1;
        }
        if missing.is_empty() && broker.depth().await.unwrap() == Depth::default() {
            break;
        }
    }
    assert!(kills > 2, "{kills}");
    println!("{LETTERS} letters, {kills} kills, {copies} notes back at work, 0 lost");
}

/// As it is after a replay that died half way and was given up on again: one letter has seen it, one has not.
async fn two_letters_of_one_note_are_replayed_under_one_new_number(queue: Queue) {
    let broker = queue.open().await;
    let mut deliveries = broker.consume(2.into()).await.unwrap();
    let twice = ["first", "second"].map(|id| Message { id: Some(id.to_owned()), ..note("one", "acme") });
    bury(&broker, &mut deliveries, &twice[0], Reason::TranscriberFailed).await;
    let id = id_of(&twice[0]).to_string();
    assert_eq!(queue.run(&["replay", &id]).status.code(), Some(0));
    let delivery = timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
    let cause = DeadLetterCause { reason: Reason::TranscriberFailed, stage: Stage::Transcribe };
    delivery.settle(&Settlement::DeadLetter(cause)).await.unwrap();
    bury(&broker, &mut deliveries, &twice[1], Reason::TranscriberFailed).await;
    dead_letters_become(&broker, 2).await;

    let output = queue.run(&["replay", &id]);
    assert!(stdout(&output).ends_with("2 dead letters, 2 replayed\n"), "{}{}", stdout(&output), stderr(&output));
    for _ in 0..2 {
        let delivery = timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
        assert_eq!(delivery.replay(), 2, "new to those who saw the first replay's answer");
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
}

async fn two_people_replay_while_workers_run_and_every_note_has_one_answer(queue: Queue) {
    const LETTERS: usize = 40;
    let broker = queue.open().await;
    let mut deliveries = broker.consume(4.into()).await.unwrap();
    let mut notes = BTreeSet::new();
    for number in 0..LETTERS {
        let message = note(&number.to_string(), "acme");
        bury(&broker, &mut deliveries, &message, Reason::TranscriberFailed).await;
        notes.insert(id_of(&message));
    }
    let all_answered = Arc::new(AtomicBool::new(false));
    let person = |broker: Arc<dyn Broker>, all_answered: Arc<AtomicBool>| async move {
        while !all_answered.load(Ordering::Relaxed) {
            let look = letters::find(broker.as_ref(), &Group::Notes, &Filter::default(), LETTERS).await.unwrap();
            letters::carry_out(broker.as_ref(), &Group::Notes, Order::Replay, look.found, |_| ()).await.unwrap();
        }
    };
    let people =
        [queue.open().await, queue.open().await].map(|broker| tokio::spawn(person(broker, all_answered.clone())));
    let mut answers: BTreeMap<NoteId, BTreeSet<u32>> = BTreeMap::new();
    while answers.len() < LETTERS || broker.depth().await.unwrap().waiting > 0 {
        let delivery = timeout(PATIENCE, deliveries.next()).await.expect("no note is lost").unwrap();
        answers.entry(id_of(delivery.message())).or_default().insert(delivery.replay());
        delivery.settle(&Settlement::Ack).await.unwrap();
    }
    all_answered.store(true, Ordering::Relaxed);
    for person in people {
        timeout(PATIENCE, person).await.unwrap().unwrap();
    }
    assert_eq!(answers.keys().copied().collect::<BTreeSet<_>>(), notes);
    assert!(answers.values().all(|numbers| *numbers == BTreeSet::from([1])), "{answers:?}");
    dead_letters_become(&broker, 0).await;
    assert_eq!(broker.depth().await.unwrap().waiting, 0);
}

/// With a real worker: it fails once, is replayed, and succeeds.
async fn a_replayed_note_is_answered_anew_under_another_event_id(queue: Queue) {
    let broker = queue.open().await;
    let mut results = broker.subscribe("processed.#").await.unwrap();
    let script = || {
        let fails = |_: &_, _: &_| Err(AsrError::Engine("on purpose".to_owned()));
        Ok(Box::new(ScriptedTranscriber::default().then(fails).then_say("de", "Mein Internet geht nicht.")) as Box<_>)
    };
    let stages = app::stages_on(&stages::quick(), Pool::start(1, script).unwrap()).unwrap();
    let shutdown = Shutdown::default();
    let running = tokio::spawn(worker::run(
        queue.open().await,
        Ledger::none(),
        stages,
        worker::Config::default(),
        shutdown.clone(),
    ));
    let clip = Path::new(program::ROOT).join("tests/clips/notes/de-outage.ogg");
    let message = received_message(&Received { note: stages::note_of(&clip), traceparent: None }, Timestamp::now());
    broker.publish(Exchange::Notes, &message).await.unwrap();

    let failed = timeout(PATIENCE, results.next()).await.unwrap().unwrap();
    let answer = parse_processed(&failed).unwrap();
    assert_eq!((answer.outcome, answer.replay), (OutcomeKind::Failed, 0));
    assert!(!String::from_utf8(failed.body).unwrap().contains("\"replay\""), "absent for 0");
    dead_letters_become(&broker, 1).await;
    let output = queue.run(&["replay", &answer.note_id.to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let anew = timeout(PATIENCE, results.next()).await.unwrap().unwrap();
    let again = parse_processed(&anew).unwrap();
    assert_eq!((again.outcome, again.replay, again.attempt), (OutcomeKind::Completed, 1, 1));
    assert_eq!((again.note_id, &anew.correlation_id), (answer.note_id, &failed.correlation_id));
    assert_ne!(anew.id, failed.id);
    let expected = again.note_id.event_id_of_replay(sprachpost::event::envelope::PROCESSED_V1, 1).to_string();
    assert_eq!(anew.id, Some(expected));
    shutdown.request();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    dead_letters_become(&broker, 0).await;
}

#[test]
fn no_dead_letters_are_no_error() {
    let queue = Queue::embedded();
    let output = queue.run(&["list"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "no dead letters\n"));
    assert_eq!(stdout(&queue.run(&["list", "--json"])), "");
}

#[test]
fn the_help_of_each_command_says_what_it_takes() {
    let queue = Queue::embedded();
    for (command, options) in [
        ("list", &["--reason", "--tenant", "--older-than", "--newer-than", "--limit", "--json"][..]),
        ("show", &["--json", "--body", "personal data"]),
        ("replay", &["--all", "--yes", "--reason", "--limit", "[ID]..."]),
        ("discard", &["--all", "--yes", "--reason", "--limit", "[ID]..."]),
    ] {
        let help = stdout(&queue.run(&[command, "--help"]));
        assert!(options.iter().all(|option| help.contains(option)), "{help}");
    }
}
