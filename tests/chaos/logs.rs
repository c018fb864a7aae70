//! What a customer said reaches no log, however much is logged.

use std::time::Duration;

use sprachpost::event::envelope::Received;

use super::{Crew, collect, config, opened};
use crate::support::{
    ledger::{Expected, Ledger, submit},
    rabbitmq, runtime,
    voices::{LINES, Voice, Voices},
    worker::Job,
};

#[test]
fn at_the_most_talkative_no_log_holds_what_was_said() {
    let vhost = rabbitmq::shared().new_vhost();
    let (ledger, voices) = (Ledger::default(), Voices::make());
    let job = Job { log_level: "trace,lapin=trace".to_owned(), ..Job::new(vhost.url(), config()) };
    let _collector = collect(&job.url, &job.broker, &ledger);
    let crew = Crew::start(&job, 1);
    let broker = runtime().block_on(opened(&job.url, &job.broker));
    let notes: Vec<Received> = (0..6).map(|line| voices.note(&format!("said{line}"), Voice::Says(line))).collect();
    for (note, line) in notes.iter().zip(LINES) {
        ledger.expect(note, Expected { outcome: "completed", text: Some(line.to_owned()) });
        runtime().block_on(submit(&broker, note));
    }
    ledger.wait(Duration::from_mins(1));
    let log = crew.logs();
    assert!(log.contains(r#""level":"TRACE""#) && log.contains("lapin::"), "it is as talkative as that");
    // As a text, and as the bytes of a message.
    for line in LINES {
        let bytes = format!("{:?}", line.as_bytes());
        for said in [line, bytes.trim_matches(['[', ']'])] {
            assert!(!log.contains(said), "the log holds: {line}");
        }
    }
    crew.stop();
    ledger.check();
    runtime().block_on(broker.close());
}
