//! A changed playbook in a running worker: taken over as a whole, or refused, while notes go on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;
use sprachpost::{
    app,
    asr::{AsrError, Hints, Recognised, Transcriber, pool::Pool, scripted::ScriptedTranscriber},
    audio::Pcm,
    broker::{self, Exchange, Subscription},
    event::{
        Event,
        envelope::{Received, parse_event, received_message},
        processed::Reply,
    },
    ledger::Ledger,
    note::VoiceNote,
    reload::{self, Reload},
    shutdown::Shutdown,
    worker,
};
use tokio::time::timeout;

use crate::support::{
    program::{self, Server},
    stages,
};

const CLIP: &str = "tests/clips/notes/en-no-callback.ogg";
const PATIENCE: Duration = Duration::from_mins(1);
/// Notes that are on their way while the playbook changes all the time.
const NOTES: usize = 24;

/// A playbook in which everything that it says of the clip's note is called by this name.
fn playbook(name: &str) -> String {
    format!(
        r#"version = 1
language = "en"
teams = ["team-{name}"]
thresholds = {{ confidence = 0.05, similarity = 0.05 }}
abstain = {{ several_intents = false, escalated = false }}
[acknowledgement]
enabled = true
time_zone = "Europe/Berlin"
text.en = {{ open = "Told by {name}.", closed = "Told by {name}." }}
[[intent]]
name = "intent-{name}"
team = "team-{name}"
examples = ["Please don't call me, I'm in meetings all day.", "Just text me here when it's ready."]
[intent.reply.en]
text = "Answered by {name}."
"#
    )
}

/// The program with this playbook, understanding by letters and words alone.
fn program_with(folder: &Path, playbook: &Path) -> Command {
    let mut command = program::command(folder);
    command.env("SPRACHPOST__PLAYBOOK__PATH", playbook).env("SPRACHPOST__UNDERSTANDING__ENCODER", "none");
    command
}

/// Hands so many notes in and waits for their answers: of each the intent, the team, and what could be replied.
fn answers(folder: &Path, notes: usize) -> Vec<[String; 3]> {
    let mut arguments = vec!["submit", "--wait", "--json", "--language", "en"];
    arguments.extend(vec![CLIP; notes]);
    let output = program::run(folder, &arguments);
    assert!(output.status.success(), "{}", program::stderr(&output));
    let answer = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        ["/understanding/intent/name", "/route/team", "/reply/text"]
            .map(|at| event.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{at}: {event}")).to_owned())
    };
    program::stdout(&output).lines().map(answer).collect()
}

fn answer_of(name: &str) -> [String; 3] {
    [format!("intent-{name}"), format!("team-{name}"), format!("Answered by {name}.")]
}

fn written(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("playbook.toml");
    // As editors do: nobody reads half of it.
    fs::write(folder.join("new"), text).unwrap();
    fs::rename(folder.join("new"), &file).unwrap();
    file
}

#[test]
fn a_changed_playbook_is_taken_over_and_a_faulty_one_refused_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = written(folder, &playbook("old"));
    let mut server = Server::start(program_with(folder, &file), &["--roles", "worker"]);
    assert_eq!(answers(folder, 1), [answer_of("old")]);

    written(folder, &playbook("new"));
    server.signal("HUP");
    let line = server.wait_for_log("the playbook was read again");
    assert!(line.contains("is in force") && line.contains("\"intents\":1") && line.contains("elapsed_ms"), "{line}");
    assert_eq!(answers(folder, 1), [answer_of("new")]);

    written(folder, &playbook("newer").replace("team = ", "tem = "));
    server.signal("HUP");
    let line = server.wait_for_log("the playbook was read again");
    for part in ["ERROR", "refused", "playbook.toml", "line 12", "tem"] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    assert_eq!(answers(folder, 1), [answer_of("new")]);
    let (_, figures) = server.request("GET", "/metrics", &[], b"");
    for result in ["taken_over", "refused"] {
        let figure = format!("sprachpost_playbook_reloads_total{{result=\"{result}\"}} 1");
        assert!(figures.contains(&figure), "{figure} is missing in\n{figures}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn no_note_is_lost_or_read_by_two_playbooks_while_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = written(folder, &playbook("a"));
    let mut server = Server::start(program_with(folder, &file), &["--roles", "worker"]);
    let (answers, reloads) = thread::scope(|scope| {
        let (answering, mut reloads) = (scope.spawn(|| answers(folder, NOTES)), 0);
        for name in ["b", "a"].into_iter().cycle() {
            if answering.is_finished() {
                break;
            }
            written(folder, &playbook(name));
            server.signal("HUP");
            let line = server.wait_for_log("the playbook was read again");
            assert!(line.contains("is in force"), "{line}");
            reloads += 1;
            // A worker that does nothing but reload is no worker.
            thread::sleep(Duration::from_millis(50));
        }
        (answering.join().unwrap(), reloads)
    });
    assert!(answers.len() == NOTES && reloads >= 3, "{} notes, {reloads} reloads", answers.len());
    assert!(answers.iter().all(|answer| [answer_of("a"), answer_of("b")].contains(answer)), "{answers:?}");
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn a_process_that_is_no_worker_goes_on_when_it_is_asked_for_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(program::command(folder.path()), &["--roles", "gateway"]);
    for _ in 0..2 {
        server.signal("HUP");
        server.wait_for_log("which is for workers");
    }
    assert_eq!(server.request("GET", "/livez", &[], b"").0, 200);
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
}

/// Hears what the clip says, once it is let go.
struct Held(Arc<Mutex<mpsc::Receiver<()>>>);

impl Transcriber for Held {
    fn transcribe(&mut self, pcm: &Pcm, _: &Hints) -> Result<Recognised, AsrError> {
        self.0.lock().unwrap().recv().unwrap();
        Ok(ScriptedTranscriber::confident(pcm, "en", "Please don't call me, I'm in meetings all day.".into()))
    }
}

async fn next(results: &mut Box<dyn Subscription>) -> Event {
    parse_event(&timeout(PATIENCE, results.next()).await.expect("it comes in time").unwrap()).unwrap()
}

/// The intent and the reply of the next event, or what the sender is told.
async fn told(results: &mut Box<dyn Subscription>) -> String {
    match next(results).await {
        Event::Acknowledged { data, .. } => data.text,
        Event::Processed { data, .. } => {
            let intent = data.understanding.unwrap().intent.unwrap().name;
            let Some(Reply::Suggestion { text, .. }) = data.reply else { panic!("{:?}", data.reply) };
            format!("{intent}: {}", text.expose())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_in_work_keeps_the_playbook_that_it_began_with() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = stages::quick();
    config.playbook.path = Some(written(folder.path(), &playbook("old")));
    let (go, gone_on) = mpsc::channel();
    let gone_on = Arc::new(Mutex::new(gone_on));
    let pool = Pool::start(1, move || Ok(Box::new(Held(Arc::clone(&gone_on))) as Box<dyn Transcriber>)).unwrap();
    let stages = app::stages_on(&config, pool).unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display()).into();
    let broker = broker::open(Some(&url), &broker::Config::default()).await.unwrap();
    let mut results = broker.subscribe("#").await.unwrap();
    let (shutdown, reload) = (Shutdown::default(), Reload::default());
    let run =
        worker::run(Arc::clone(&broker), Ledger::none(), Arc::clone(&stages), config.worker.clone(), shutdown.clone());
    let working = tokio::spawn(run);
    let reloading = tokio::spawn(reload::run(reload.clone(), Some(Arc::clone(&stages)), shutdown.clone()));
    let submit = async |id: &str| {
        let note = stages::note_of(&Path::new(program::ROOT).join(CLIP));
        let note = VoiceNote { message_id: id.to_owned(), language: Some("en".to_owned()), ..note };
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        broker.publish(Exchange::Notes, &message).await.unwrap();
    };

    submit("first").await;
    assert_eq!(told(&mut results).await, "Told by old.");
    written(folder.path(), &playbook("new"));
    reload.request();
    let deadline = Instant::now() + PATIENCE;
    while stages.learning.in_force().playbook.teams != ["team-new"] {
        assert!(Instant::now() < deadline, "the new playbook does not come into force");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    go.send(()).unwrap();
    assert_eq!(told(&mut results).await, "intent-old: Answered by old.");

    submit("second").await;
    assert_eq!(told(&mut results).await, "Told by new.");
    go.send(()).unwrap();
    assert_eq!(told(&mut results).await, "intent-new: Answered by new.");
    shutdown.request();
    working.await.unwrap();
    reloading.await.unwrap();
    broker.close().await;
}
