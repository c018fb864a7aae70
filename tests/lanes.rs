//! Who waits for whom: long notes, urgent ones, suspects, and what happens when too many wait.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;
use sprachpost::{
    app,
    asr::{AsrError, Effort, Hints, Recognised, Transcriber, pool::Pool, scripted::ScriptedTranscriber},
    audio::{Pcm, SAMPLE_RATE_HZ, decode},
    backlog::{self, Relief},
    broker::{self, Exchange, Lane, Message, topology::header},
    config::Config,
    event::{
        Event, Processed, Reason,
        envelope::{Received, parse_processed, received_message},
        processed::OutcomeKind,
    },
    ledger::Ledger,
    note::{Priority, VoiceNote},
    outcome::{Outcome, Settlement},
    pipeline::{self, Stages},
    report::Attempt,
    shutdown::Shutdown,
    worker,
};
use tokio::time::timeout;

use crate::support::{
    clips, rabbitmq, runtime,
    stages::{self, note_of},
};

const PATIENCE: Duration = Duration::from_mins(1);
const LONG_S: f64 = 100.0;

/// What an engine was asked, in order: seconds of audio, and with how much effort.
type Asked = Arc<Mutex<Vec<(f64, Effort)>>>;

/// Says the same about everything, and can be held up.
struct Listener {
    asked: Asked,
    /// Each piece of work waits for one of these, until their sender is gone.
    go: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Transcriber for Listener {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        self.asked.lock().unwrap().push((pcm.duration_s(), hints.effort));
        let _ = self.go.lock().unwrap().recv();
        ScriptedTranscriber::default().then_say("de", "Wo bleibt mein Paket?").transcribe(pcm, hints)
    }
}

/// Real stages around one such engine, what it was asked, and the sender that lets it go on.
fn listening(config: &Config) -> (Arc<Stages>, Asked, mpsc::Sender<()>) {
    let asked = Asked::default();
    let (go, gone_on) = mpsc::channel();
    let gone_on = Arc::new(Mutex::new(gone_on));
    let engine = {
        let asked = Arc::clone(&asked);
        move || Ok(Box::new(Listener { asked: Arc::clone(&asked), go: Arc::clone(&gone_on) }) as Box<dyn Transcriber>)
    };
    (app::stages_on(config, Pool::start(1, engine).unwrap()).unwrap(), asked, go)
}

fn short_clip() -> PathBuf {
    clips::own().into_iter().find(|clip| clip.file.ends_with("de-outage.ogg")).unwrap().path
}

/// Somebody who says the same for so long, as a WAV file.
fn long_clip(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    let bytes = std::fs::read(short_clip()).unwrap();
    let once = decode::decode(&bytes, &decode::Config::default()).unwrap().pcm.0;
    let count = (LONG_S * f64::from(SAMPLE_RATE_HZ)) as usize;
    let samples: Vec<u8> =
        once.iter().cycle().take(count).flat_map(|s| ((s * 32_000.0) as i16).to_le_bytes()).collect();
    let (bytes, rate) = (u32::try_from(samples.len()).unwrap(), SAMPLE_RATE_HZ);
    let mut wav = Vec::with_capacity(samples.len() + 44);
    wav.extend(b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    for field in [16_u32.to_le_bytes(), [1, 0, 1, 0], rate.to_le_bytes(), (rate * 2).to_le_bytes(), [2, 0, 16, 0]] {
        wav.extend(field);
    }
    wav.extend(b"data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(samples);
    let path = folder.path().join(name);
    std::fs::write(&path, wav).unwrap();
    path
}

fn on(lane: Lane) -> Attempt {
    Attempt { lane, ..Attempt::only() }
}

async fn process(note: VoiceNote, attempt: Attempt, stages: &Arc<Stages>) -> Outcome {
    let received = Received { note, traceparent: None };
    let learnt = stages.learning.in_force();
    timeout(PATIENCE, pipeline::process(&received, attempt, &learnt, stages)).await.expect("it takes far less time")
}

fn the_event(outcome: Outcome) -> Processed {
    let Ok([Event::Processed { data, .. }]) = <[Event; 1]>::try_from(outcome.effects) else {
        panic!("exactly one event")
    };
    *data
}

#[test]
fn a_long_note_is_sent_to_its_own_lane_and_heard_there() {
    let folder = tempfile::tempdir().unwrap();
    let note = note_of(&long_clip(&folder, "long.wav"));
    let (stages, asked, go) = listening(&stages::quick());
    drop(go);
    runtime().block_on(async {
        let outcome = process(note.clone(), on(Lane::Regular), &stages).await;
        assert_eq!((outcome.settlement, outcome.effects.len()), (Settlement::Move(Lane::Long), 0));
        assert!(asked.lock().unwrap().is_empty(), "nobody listened to it yet");
        let processed = the_event(process(note, on(Lane::Long), &stages).await);
        assert_eq!(processed.outcome, OutcomeKind::Completed);
        let stretches = asked.lock().unwrap().clone();
        assert!(stretches.len() >= 4 && stretches.iter().all(|(seconds, _)| *seconds < 30.0), "{stretches:?}");
        assert!((stretches.iter().map(|(seconds, _)| seconds).sum::<f64>() - LONG_S).abs() < 0.1);
        let transcript = processed.transcript.unwrap();
        assert_eq!(transcript.segments.len(), stretches.len());
        assert!((transcript.segments.last().unwrap().end_s - LONG_S).abs() < 0.1, "times of the whole note");
    });
}

#[test]
fn a_short_note_is_heard_between_two_stretches_of_a_long_one() {
    let folder = tempfile::tempdir().unwrap();
    let (long, short) = (note_of(&long_clip(&folder, "long.wav")), note_of(&short_clip()));
    let (stages, asked, go) = listening(&stages::quick());
    runtime().block_on(async {
        let hearing = {
            let stages = Arc::clone(&stages);
            tokio::spawn(async move { process(long, on(Lane::Long), &stages).await })
        };
        until(|| asked.lock().unwrap().len() == 1).await;
        // The slot is taken by the first stretch; the others of it and the short note wait.
        let short = {
            let stages = Arc::clone(&stages);
            tokio::spawn(async move { process(short, on(Lane::Regular), &stages).await })
        };
        // It has to be in the queue before the slot is free; where it is not yet, one stretch goes before it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        go.send(()).unwrap();
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(the_event(short.await.unwrap()).outcome, OutcomeKind::Completed);
        let before = asked.lock().unwrap().len();
        assert!(before <= 4, "the short note waited for {before} pieces of work");
        drop(go);
        assert_eq!(the_event(hearing.await.unwrap()).outcome, OutcomeKind::Completed);
    });
}

async fn until(is_so: impl Fn() -> bool) {
    let reached = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("it comes to that");
}

/// Three long notes, then five short ones and an urgent one, for a worker with one slot.
async fn long_notes_do_not_keep_short_ones_waiting(url: SecretString) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = stages::quick();
    config.worker.lanes.long_s = 60.0;
    let (stages, _, go) = listening(&config);
    let broker = broker::open(Some(&url), &broker::Config::default()).await.unwrap();
    let mut results = broker.subscribe("processed.#").await.unwrap();
    let mut notes = vec![];
    for name in ["long-1", "long-2", "long-3"] {
        notes.push(VoiceNote { message_id: name.to_owned(), ..note_of(&long_clip(&folder, name)) });
    }
    for name in ["short-1", "short-2", "short-3", "short-4", "short-5"] {
        notes.push(VoiceNote { message_id: name.to_owned(), ..note_of(&short_clip()) });
    }
    let urgent = note_of(&short_clip());
    notes.push(VoiceNote { message_id: "urgent".to_owned(), priority: Priority::Urgent, ..urgent });
    for note in notes {
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        broker.publish(Exchange::Notes, &message).await.unwrap();
    }
    let shutdown = Shutdown::default();
    let run = tokio::spawn(worker::run(Arc::clone(&broker), Ledger::none(), stages, config.worker, shutdown.clone()));
    let mut order = vec![];
    while order.len() < 9 {
        // Hearing takes as long as it takes to ask for the next: nothing is faster than the queue.
        let _ = go.send(());
        if let Ok(result) = timeout(Duration::from_millis(20), results.next()).await {
            order.push(parse_processed(&result.unwrap()).unwrap().message_id.unwrap());
        }
    }
    shutdown.request();
    drop(go);
    run.await.unwrap();
    let last_short = order.iter().rposition(|id| !id.starts_with("long")).unwrap();
    let second_long = order.iter().enumerate().filter(|(_, id)| id.starts_with("long")).nth(1).unwrap().0;
    assert!(last_short < second_long, "{order:?}");
    let urgent = order.iter().position(|id| id == "urgent").unwrap();
    assert!(urgent <= 3, "{order:?}");
    assert_eq!(broker.depth().await.unwrap(), broker::Depth::default());
    broker.close().await;
}

#[test]
fn long_notes_do_not_keep_short_ones_waiting_on_rabbitmq() {
    let vhost = rabbitmq::shared().new_vhost();
    runtime().block_on(long_notes_do_not_keep_short_ones_waiting(vhost.url().into()));
}

#[test]
fn long_notes_do_not_keep_short_ones_waiting_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    runtime().block_on(long_notes_do_not_keep_short_ones_waiting(url.into()));
}

#[test]
fn under_a_backlog_less_is_done_and_the_event_says_so() {
    let (stages, asked, go) = listening(&stages::quick());
    drop(go);
    runtime().block_on(async {
        for (relief, effort) in [(Relief::FastProfile, Effort::Reduced), (Relief::SmallerModel, Effort::SmallerModel)] {
            let attempt = Attempt { relief: Some(relief), ..on(Lane::Regular) };
            let processed = the_event(process(note_of(&short_clip()), attempt, &stages).await);
            assert_eq!((processed.outcome, processed.relief), (OutcomeKind::Completed, Some(relief)));
            assert_eq!(asked.lock().unwrap().last().unwrap().1, effort);
        }
    });
}

/// Notes that waited for an hour, with an operator who has such notes set aside.
async fn a_note_set_aside_is_answered_and_kept(url: SecretString) {
    let mut config = stages::quick();
    config.worker.backlog =
        backlog::Config { after_s: Some(600), relief: Relief::SetAside, ..backlog::Config::default() };
    let (stages, asked, go) = listening(&config);
    drop(go);
    let broker = broker::open(Some(&url), &broker::Config::default()).await.unwrap();
    let mut results = broker.subscribe("processed.#").await.unwrap();
    let submit = async |id: &str, queued_at: Option<Timestamp>| {
        let note = VoiceNote { message_id: id.to_owned(), ..note_of(&short_clip()) };
        let mut message: Message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        message.headers.extend(queued_at.map(|at| (header::QUEUED_AT.to_owned(), at.to_string())));
        broker.publish(Exchange::Notes, &message).await.unwrap();
    };
    let an_hour_ago = Timestamp::now().checked_sub(Duration::from_hours(1)).unwrap();
    submit("old", Some(an_hour_ago)).await;
    let shutdown = Shutdown::default();
    let run = tokio::spawn(worker::run(Arc::clone(&broker), Ledger::none(), stages, config.worker, shutdown.clone()));
    let mut next = async || parse_processed(&timeout(PATIENCE, results.next()).await.unwrap().unwrap()).unwrap();
    let old = next().await;
    assert_eq!(
        (old.outcome, old.reason, old.relief),
        (OutcomeKind::Failed, Some(Reason::Backlog), Some(Relief::SetAside))
    );
    assert!(asked.lock().unwrap().is_empty());
    submit("new", None).await;
    let new = next().await;
    assert_eq!((new.outcome, new.relief), (OutcomeKind::Completed, None), "the backlog is over");
    shutdown.request();
    run.await.unwrap();
    let letters = broker.dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "backlog");
    broker.close().await;
}

#[test]
fn a_note_set_aside_is_answered_and_kept_on_rabbitmq() {
    let vhost = rabbitmq::shared().new_vhost();
    runtime().block_on(a_note_set_aside_is_answered_and_kept(vhost.url().into()));
}

#[test]
fn a_note_set_aside_is_answered_and_kept_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    runtime().block_on(a_note_set_aside_is_answered_and_kept(url.into()));
}
