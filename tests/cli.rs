//! The command line: what it prints, how it ends.

use serde_json::{Value, json};
use sprachpost::understanding::playbook::Playbook;

use crate::support::program::{self, Server, stderr, stdout};

fn run(arguments: &[&str]) -> std::process::Output {
    program::run(tempfile::tempdir().unwrap().path(), arguments)
}

#[test]
fn process_prints_one_json_event_a_line_in_the_order_of_the_files() {
    let files = ["tests/clips/notes/de-outage.ogg", "tests/clips/notes/silent.ogg", "tests/clips/notes/en-outage.ogg"];
    let output = run(&[&["process", "--json"], &files[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let events: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<&str> = events.iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["completed", "no_speech", "completed"]);
    assert_eq!(events[0]["transcript"]["language"], "de");
    assert_eq!(events[2]["transcript"]["language"], "en");
    assert!(events[0]["transcript"]["text"].as_str().unwrap().contains("Internet"));
    assert_eq!(stderr(&output), "", "nothing but results, where nobody watches");
}

#[test]
fn process_for_people_shows_what_an_agent_would_get() {
    let output = run(&["process", "tests/clips/notes/de-outage.ogg"]);
    let shown = stdout(&output);
    for part in ["de-outage.ogg", "ogg/opus", "said", "Internet", "wants", "outage", "urgency", "goes to"] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
}

#[test]
fn a_note_that_cannot_be_processed_exits_with_1_and_still_has_its_event() {
    let output = run(&["process", "--json", "tests/clips/hostile/pdf-named.ogg"]);
    assert_eq!(output.status.code(), Some(1));
    let event: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (event["outcome"].as_str(), event["reason"].as_str()),
        (Some("rejected"), Some("unsupported_container"))
    );
}

#[test]
fn usage_and_configuration_errors_exit_with_2_and_say_what_to_do() {
    for arguments in
        [&["process"][..], &["process", "no/such/file.ogg"], &["no-such-command"], &["submit", "--wait-s", "1", "x"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = program::command(folder.path());
    let output =
        command.env("SPRACHPOST__MODELS__DIR", folder.path()).args(["process", "tests/clips/notes/silent.ogg"]);
    let output = output.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("sprachpost models pull"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "one sentence: {}", stderr(&output));
}

#[test]
fn every_command_has_help_worth_reading() {
    let top = stdout(&run(&["--help"]));
    assert!(top.contains("Exit codes"), "{top}");
    for command in [
        "process",
        "serve",
        "submit",
        "listen",
        "dead-letters",
        "models",
        "playbook",
        "config",
        "contract",
        "completions",
    ] {
        assert!(top.contains(command), "{command}");
        let output = run(&[command, "--help"]);
        assert!(output.status.success() && stdout(&output).lines().count() > 5, "{command}");
    }
}

#[test]
fn the_configuration_is_checked_shown_and_described() {
    assert!(run(&["config", "check"]).status.success());
    let shown = stdout(&run(&["config", "show"]));
    assert!(shown.contains("[asr]") && shown.contains("SPRACHPOST__BROKER__URL"), "{shown}");
    let schema: Value = serde_json::from_str(&stdout(&run(&["config", "schema"]))).unwrap();
    assert!(schema["properties"]["asr"].is_object());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[worker]\ndrain = 1\n").unwrap();
    let output = run(&["config", "check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("line 2") && stderr(&output).contains("drain"), "{}", stderr(&output));
}

#[test]
fn what_a_start_would_find_wrong_is_found_by_the_check_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (file, places) = (folder.path().join("s.toml"), folder.path().join("places"));
    std::fs::create_dir(&places).unwrap();
    let checked = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = program::command(&places);
        // What stands in the file is what counts here.
        command.env_remove("SPRACHPOST__BROKER__URL").env_remove("SPRACHPOST__RECORDINGS__DIR");
        let defaults = format!("[recordings]\ndir = {:?}\n", places.join("spool"));
        let text = if text.contains("[recordings]") { text.to_owned() } else { format!("{text}\n{defaults}") };
        let queue = format!("[broker]\nurl = \"embedded:{}\"\n", places.join("queue.sqlite").display());
        let text = if text.contains("[broker]") { text } else { format!("{text}\n{queue}") };
        std::fs::write(&file, text).unwrap();
        command.args(["config", "check", "--config", file.to_str().unwrap()]).output().unwrap()
    };
    for (text, what) in [
        ("[broker]\nurl = \"http://host\"", "broker.url"),
        ("[broker]\nurl = \"amqp://[broken\"", "broker.url"),
        ("[broker]\nurl = \"embedded:/etc/passwd/q.sqlite\"", "queue file"),
        ("[recordings]\ndir = \"/etc/passwd/spool\"", "recordings.dir"),
        ("[asr]\nmodel = \"e5-small-q4\"", "asr.model has to name a speech model"),
        ("[asr]\nmodel = \"whisper-huge\"", "whisper-huge"),
        ("[understanding]\nencoder = \"whisper-base-q8_0\"", "understanding.encoder has to name a sentence encoder"),
        ("[models]\ndir = \"/nowhere\"", "models pull"),
        ("[playbook]\npath = \"/nowhere/playbook.toml\"", "/nowhere/playbook.toml"),
        ("[fetch]\nfile_roots = [\"/nowhere\"]", "fetch.file_roots"),
        ("[watch.spikes]\ntime_zone = \"Europe/Bärlin\"", "time_zone"),
        ("[worker.backlog]\nafter_s = 5\nrelief = \"smaller_model\"", "worker.backlog.model"),
        ("[reply.draft]\nurl = \"http://127.0.0.1:1/v1\"", "reply.draft.model"),
        ("[reply.draft]\nurl = \"http://8.8.8.8/v1\"\nmodel = \"m\"", "public"),
    ] {
        let output = checked(text);
        assert_eq!(output.status.code(), Some(2), "{text}: {}", stdout(&output));
        assert!(stderr(&output).contains(what), "{text}: {}", stderr(&output));
    }
    let output = checked("");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("not checked: whether http.listen is free"), "{}", stdout(&output));
    assert_eq!(std::fs::read_dir(&places).unwrap().count(), 0, "a check makes nothing");
}

#[test]
fn who_has_read_enough_ends_a_command_quietly_and_a_full_disk_is_an_error() {
    use std::process::Stdio;

    let folder = tempfile::tempdir().unwrap();
    let clip = "tests/clips/notes/silent.ogg";
    for arguments in [
        &["config", "schema"][..],
        &["config", "show"],
        &["models", "list"],
        &["contract", "asyncapi"],
        &["completions", "bash"],
        &["playbook", "template"],
        &["process", "--json", clip],
    ] {
        let command = || {
            let mut command = program::command(folder.path());
            command.args(arguments).stderr(Stdio::piped());
            command
        };
        let mut child = command().stdout(Stdio::piped()).spawn().unwrap();
        // Nobody reads, from the first line on.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");

        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command().stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(stderr(&output).contains("No space left"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn what_comes_through_a_pipe_is_heard_as_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let clip = std::fs::File::open(format!("{}/tests/clips/notes/silent.ogg", program::ROOT)).unwrap();
    let mut cat = std::process::Command::new("cat").stdin(clip).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut command = program::command(folder.path());
    let output = command.args(["process", "--json", "/dev/stdin"]).stdin(cat.stdout.take().unwrap()).output().unwrap();
    cat.wait().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let event: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(event["outcome"], "no_speech");
}

#[test]
fn models_that_are_not_there_are_not_sound() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["models", "verify"][..], &["models", "verify", "e5-small-q4"]] {
        let mut command = program::command(folder.path());
        let output = command.env("SPRACHPOST__MODELS__DIR", folder.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains("not there") && stderr(&output).contains("models pull"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_queue_that_cannot_be_reached_has_an_exit_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program::command(folder.path());
    let output = command.env("SPRACHPOST__BROKER__URL", "amqp://127.0.0.1:1").args(["dead-letters", "list"]).output();
    assert_eq!(output.unwrap().status.code(), Some(3));
}

#[test]
fn a_playbook_is_not_measured_by_an_intent_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes.jsonl");
    let evaluate = |line: &str| {
        std::fs::write(&notes, line).unwrap();
        run(&["playbook", "evaluate", notes.to_str().unwrap()])
    };
    let unknown = evaluate("{\"text\": \"Hallo\", \"intent\": \"quatsch\"}");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("quatsch") && stderr(&unknown).contains("outage"), "{}", stderr(&unknown));
    let nothing = evaluate("{\"text\": \"Die Katze schläft auf dem Sofa.\", \"intent\": null}");
    assert!(stdout(&nothing).contains("sure enough to act on              -"), "{}", stdout(&nothing));
}

#[test]
fn what_becomes_of_a_note_that_is_given_up_on_is_logged_with_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let output = program::run(folder.path(), &["submit", "tests/clips/notes/de-outage.ogg"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut command = program::command(folder.path());
    for (name, value) in [
        ("WORKER__RETRY__ATTEMPTS_MAX", "2"),
        ("WORKER__RETRY__FIRST_DELAY_S", "0.1"),
        // Recognition has no time at all.
        ("ASR__TIME_LIMIT_PER_AUDIO_S", "0.00001"),
        ("ASR__TIME_LIMIT_S_MIN", "0.0001"),
        ("ASR__TIME_LIMIT_S_MAX", "0.0001"),
    ] {
        command.env(format!("SPRACHPOST__{name}"), value);
    }
    let mut server = Server::start(command, &["--roles", "worker"]);
    for (said, stage) in [("note will be tried again", Value::Null), ("dead letters", json!("transcribe"))] {
        let line: Value = serde_json::from_str(&server.wait_for_log(said)).unwrap();
        let id = line["note_id"].as_str().unwrap_or_else(|| panic!("{line}"));
        assert!(stderr(&output).contains(id), "{line}");
        assert_eq!((&line["reason"], &line["stage"]), (&json!("transcription_timeout"), &stage), "{line}");
    }
}

#[test]
fn the_contract_and_completions_are_printed() {
    let schemas: Value = serde_json::from_str(&stdout(&run(&["contract", "schema"]))).unwrap();
    assert!(schemas["de.sprachpost.voice-note.processed.v1"].is_object());
    let asyncapi: Value = serde_json::from_str(&stdout(&run(&["contract", "asyncapi"]))).unwrap();
    assert_eq!(asyncapi["asyncapi"], "3.0.0");
    assert!(stdout(&run(&["completions", "bash"])).contains("sprachpost"));
}

#[test]
fn submit_and_listen_meet_over_a_queue_that_a_worker_serves() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(program::command(folder.path()), &["--roles", "worker"]);
    let output = program::run(
        folder.path(),
        &[
            "submit",
            "--wait",
            "--tenant",
            "musterstrom",
            "--channel",
            "whatsapp",
            "--ticket",
            "4711",
            "tests/clips/notes/de-parcel-missing.ogg",
            "tests/clips/hostile/amr-nb.amr",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "one of them cannot be processed: {}", stderr(&output));
    let shown = stdout(&output);
    assert!(shown.contains("Paket") && shown.contains("unsupported_codec"), "{shown}");
    assert!(stderr(&output).contains("queued"));

    // The first signal ends it in order, although nothing is being worked on.
    server.signal("INT");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn submitting_without_a_worker_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let again = ["submit", "--wait", "--wait-s", "1", "--message-id", "x1", "tests/clips/notes/silent.ogg"];
    for _ in 0..2 {
        let output = program::run(folder.path(), &again);
        assert_eq!(output.status.code(), Some(3), "it may be otherwise later");
        let said = stderr(&output);
        assert!(said.contains("is a worker running") && said.contains("unless it was there already"), "{said}");
    }
}

#[test]
fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program::command(folder.path());
    command.env("SPRACHPOST__HTTP__LISTEN", taken.local_addr().unwrap().to_string());
    let output = command.arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("http.listen"), "{}", stderr(&output));
}

/// A playbook is measured on `lines`, as JSON.
fn evaluated(lines: &[Value]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes.jsonl");
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&notes, lines.join("\n")).unwrap();
    let output = run(&["playbook", "evaluate", notes.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn a_playbook_is_measured_on_recordings_as_on_texts() {
    let clip = |name: &str| format!("{}/tests/clips/notes/{name}", program::ROOT);
    let scores = evaluated(&[
        json!({"file": clip("de-outage.ogg"), "intent": "outage"}),
        json!({"text": "Mein Paket ist seit einer Woche nicht angekommen.", "intent": "parcel_missing"}),
        json!({"file": clip("de-complaint.ogg"), "intent": "complaint", "language": "de"}),
        json!({"file": clip("silent.ogg"), "intent": null}),
        json!({"text": "Die Katze liegt schon wieder auf dem Sofa und schläft.", "intent": null}),
    ]);
    assert_eq!((&scores["in_scope"], &scores["out_of_scope"]), (&json!(3), &json!(2)));
    assert_eq!((scores["accuracy"].as_f64(), scores["leaked"].as_f64()), (Some(1.0), Some(0.0)), "{scores}");
}

#[test]
fn a_playbook_is_measured_on_the_recordings_of_the_evaluation_folder() {
    let Some(folder) = std::env::var_os("SPRACHPOST_EVAL_DIR").map(std::path::PathBuf::from) else {
        eprintln!(
            "\n!!! SKIPPED: a playbook is measured on recordings: SPRACHPOST_EVAL_DIR names no folder of clips\n"
        );
        return;
    };
    let manifest = std::fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let (mut notes, mut lines) = (std::collections::BTreeSet::new(), Vec::new());
    for line in manifest.lines() {
        let clip: Value = serde_json::from_str(line).unwrap();
        let intent = clip["intent"].as_str().filter(|&name| name != "none" && name != "greeting");
        let clean = clip["variant"] == "clean" && matches!(clip["language"].as_str(), Some("de" | "en"));
        if let (Some(intent), true, Some(note)) = (intent, clean, clip["note_id"].as_str())
            && notes.insert(note.to_owned())
        {
            let file = folder.join(clip["file"].as_str().unwrap()).canonicalize().unwrap();
            lines.push(json!({"file": file, "intent": intent}));
        }
    }
    let known = |line: &Value| Playbook::builtin().unwrap().intent(line["intent"].as_str().unwrap()).is_some();
    lines.retain(known);
    lines.truncate(16);
    let scores = evaluated(&lines);
    eprintln!("{} recordings: {scores}", lines.len());
    assert!(lines.len() >= 10 && scores["accuracy"].as_f64().unwrap() >= 0.7, "{scores}");
}
