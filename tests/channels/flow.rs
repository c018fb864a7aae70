//! From a platform's request to a note whose audio is kept, and to its transcript.

use sprachpost::{
    audio::fetch::{self, Fetcher},
    broker::{self, Consumers, Group, ResultQueue},
    event::{envelope::parse_processed, processed::OutcomeKind},
    note::AudioSource,
};

use super::{
    PATIENCE, Platforms, VERIFY_TOKEN, Waiting, audio_of, embedded, fixture, post_signed, post_to_bot, program,
    runtime, start, start_with, voice, wait_for_figure,
};
use crate::support::{
    program::Server,
    proxy::Proxy,
    rabbitmq, request_tracker,
    ticketing::{RealSystem, assert_one_note},
    until, znuny,
};

fn clip(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/clips/{name}", program::ROOT)).unwrap()
}

#[test]
fn a_signed_webhook_ends_as_a_transcript_with_the_same_audio() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let (platforms, audio) = (Platforms::start(), clip("notes/de-follow-up.ogg"));
    platforms.keep("1908647269898587", &audio);
    let server = start(folder.path(), &platforms, Some(&vhost.url()), "gateway,worker", &[]);
    let (broker, mut results) = runtime().block_on(async {
        let broker = broker::open(Some(&vhost.url().into()), &broker::Config::default()).await.unwrap();
        let results = broker.subscribe("processed.musterstrom.whatsapp.#").await.unwrap();
        (broker, results)
    });

    let body = voice("wamid.1", "1908647269898587", None);
    assert_eq!(post_signed(&server, "whatsapp", &body), 200);

    let processed = runtime().block_on(async {
        let message = tokio::time::timeout(PATIENCE, results.next()).await.expect("a result").unwrap();
        parse_processed(&message).unwrap()
    });
    assert_eq!((processed.outcome, processed.message_id.as_deref()), (OutcomeKind::Completed, Some("wamid.1")));
    assert!(processed.transcript.is_some_and(|transcript| !transcript.text.is_empty()));
    assert_eq!(processed.conversation.unwrap().expose(), "4917055501", "an answer has to find its way back");
    assert!(processed.sender.unwrap().expose().starts_with("c:"), "the sender has a pseudonym");
    assert_eq!(processed.sent_at.unwrap().as_second(), 1_763_748_131);
    let window = processed.reply_window_ends_at.unwrap();
    assert_eq!(window.as_second(), 1_763_748_131 + 24 * 60 * 60);

    let root = folder.path().join("spool").canonicalize().unwrap();
    let fetcher = Fetcher::new(&fetch::Config { file_roots: vec![root], ..fetch::Config::default() }).unwrap();
    let recording = AudioSource::from(processed.recording.expect("the audio is kept"));
    assert_eq!(runtime().block_on(fetcher.fetch(&recording)).unwrap(), audio);

    let mut server = server;
    server.signal("TERM");
    let log = server.news().join("\n") + &server.wait().1;
    assert!(!log.contains("4917055501") && !log.contains("access-token") && !log.contains("ticket="), "{log}");
    runtime().block_on(broker.close());
}

#[test]
fn a_signed_webhook_ends_in_one_ticket_with_the_same_audio_whoever_dies_on_the_way() {
    the_whole_way_into(request_tracker::shared());
}

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn a_signed_webhook_ends_in_one_ticket_of_znuny_with_the_same_audio_whoever_dies_on_the_way() {
    the_whole_way_into(znuny::shared());
}

/// The whole way: webhook, gateway, RabbitMQ, worker with the real model, bridge, a real ticketing system. Each process
/// is killed with -9 in the middle of its part, and the platform tells twice.
fn the_whole_way_into(system: &'static dyn RealSystem) {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let (platforms, audio) = (Platforms::start(), clip("notes/de-follow-up.ogg"));
    platforms.keep("1908647269898587", &audio);
    let queue = runtime().block_on(system.new_queue());
    let own_keys = system.own_keys(&system.url(), &queue);
    let tickets = format!("[[tickets]]\nname = \"main\"\n{own_keys}pause_first_s = 0.2\n");
    let without_encoder = [("SPRACHPOST__UNDERSTANDING__ENCODER", "none")];
    let process =
        |roles: &str| start_with(folder.path(), &platforms, Some(&vhost.url()), roles, &without_encoder, &tickets);
    // So that results wait for the bridge, as they do in operation.
    drop(process("bridge"));

    // Dropping is killing.
    let body = voice("wamid.the-whole-way", "1908647269898587", None);
    let gateway = process("gateway");
    assert_eq!(post_signed(&gateway, "whatsapp", &body), 200);
    drop(gateway);
    let gateway = process("gateway");
    assert_eq!(post_signed(&gateway, "whatsapp", &body), 200);

    let worker = process("worker");
    until("the worker has the note", || figures(&worker).contains("sprachpost_notes_in_work"));
    drop(worker);
    let _worker = process("worker");

    let bridge = process("bridge");
    until("the ticket is opened", || !runtime().block_on(system.tickets(&queue)).is_empty());
    drop(bridge);
    let bridge = process("bridge");
    let is_there = |line: &str| {
        line.starts_with("sprachpost_tickets_total{") && (line.contains("written") || line.contains("repeated"))
    };
    until("the note is written", || figures(&bridge).lines().any(is_there));

    // Whatever is on its way for the second time has to arrive, too.
    let broker = runtime().block_on(broker::open(Some(&vhost.url().into()), &broker::Config::default())).unwrap();
    let result_queue = |name: &str| {
        let queue =
            ResultQueue { name: name.to_owned(), patterns: vec!["processed.#".to_owned()], consumers: Consumers::Many };
        Group::Named(queue.group().unwrap())
    };
    let groups = [Group::Notes, result_queue("intake"), result_queue("tickets.main")];
    let mut quiet = 0;
    until("every queue stays empty", || {
        let depths = groups.iter().map(|group| runtime().block_on(broker.depth_of(group)).unwrap());
        let at_rest = depths.map(|depth| depth.waiting + depth.dead_letters).sum::<u64>() == 0;
        quiet = if at_rest { quiet + 1 } else { 0 };
        quiet > 40
    });
    runtime().block_on(broker.close());

    let recording = folder.path().join("recording.ogg");
    std::fs::write(&recording, &audio).unwrap();
    runtime().block_on(assert_one_note(system, &queue, &recording, "at the end"));
    drop(gateway);
}

fn figures(server: &Server) -> String {
    server.request("GET", "/metrics", &[], b"").1
}

#[test]
fn every_message_of_every_entry_is_taken_and_a_repeated_one_once() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    for id in ["11", "12", "13"] {
        platforms.keep(id, format!("OggS {id}").as_bytes());
    }
    let server = start(folder.path(), &platforms, None, "gateway", &[]);
    let mut waiting = Waiting::open(&embedded(folder.path()));
    let batch = fixture("whatsapp/batch.json");
    assert_eq!(post_signed(&server, "whatsapp", &batch), 200);
    let notes = waiting.notes(3);
    let ids: Vec<&str> = notes.iter().map(|note| note.message_id.as_str()).collect();
    assert_eq!(ids, ["wamid.batch.1", "wamid.batch.2", "wamid.batch.3"]);
    for (note, id) in notes.iter().zip(["11", "12", "13"]) {
        assert_eq!(audio_of(note, folder.path()), format!("OggS {id}").as_bytes());
        assert_eq!((note.tenant.as_str(), note.channel.as_str()), ("musterstrom", "whatsapp"));
    }
    let count = |result: &str| format!("sprachpost_channel_messages_total{{channel=\"whatsapp\",result=\"{result}\"}}");
    wait_for_figure(&server, &count("taken"), 3);
    wait_for_figure(&server, &count("ignored"), 4);
    wait_for_figure(&server, &count("unreadable"), 1);

    let asked = platforms.requests().len();
    assert_eq!(asked, 6, "two steps a note");
    assert_eq!(post_signed(&server, "whatsapp", &batch), 200);
    wait_for_figure(&server, &count("repeated"), 3);
    assert_eq!(platforms.requests().len(), asked, "nothing is fetched twice");
    waiting.assert_empty();
}

#[test]
fn messenger_and_telegram_hand_in_what_was_spoken() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let server = start(folder.path(), &platforms, None, "gateway", &[]);
    let mut waiting = Waiting::open(&embedded(folder.path()));

    platforms.keep("audioclip-1.mp4", b"an mp4");
    let body = fixture("messenger/audio.json")
        .replace("https://cdn.fbsbx.com/v/t59.3654-21/audioclip-1763748131.mp4?oh=1", "URL")
        .replace("URL", &format!("{}clips/audioclip-1.mp4", platforms.url()));
    assert_eq!(post_signed(&server, "page", &body), 200);
    let note = waiting.next();
    assert_eq!((note.channel.as_str(), note.message_id.as_str()), ("messenger", "m_AAJdkrCd2ORnva8ErFhjGm0X"));
    assert_eq!(audio_of(&note, folder.path()), b"an mp4");

    let oga = clip("formats/ogg-opus-48k.oga");
    platforms.keep("AwADBAADbXXXXXXXXXXXGBdhD2l6_XX", &oga);
    assert_eq!(post_to_bot(&server, &fixture("telegram/text.json")), 200);
    assert_eq!(post_to_bot(&server, &fixture("telegram/edited.json")), 200);
    assert_eq!(post_to_bot(&server, &fixture("telegram/voice.json")), 200);
    let note = waiting.next();
    assert_eq!((note.tenant.as_str(), note.channel.as_str()), ("second", "telegram"));
    assert_eq!(note.message_id, "1111111:1365", "messages are numbered within a chat");
    assert_eq!(audio_of(&note, folder.path()), oga);
    waiting.assert_empty();
}

#[test]
fn meta_is_told_that_the_address_is_ours_and_nobody_else_is() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let server = start(folder.path(), &platforms, None, "gateway", &[]);
    let ask = |channel: &str, query: &str| server.request("GET", &format!("/v1/channels/{channel}?{query}"), &[], b"");
    let right = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={VERIFY_TOKEN}");
    for channel in ["whatsapp", "page"] {
        assert_eq!(ask(channel, &right), (200, "1158201444".to_owned()));
    }
    for wrong in [
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong".to_owned(),
        format!("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token={VERIFY_TOKEN}"),
        format!("hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token={VERIFY_TOKEN}"),
        String::new(),
    ] {
        assert_eq!(ask("whatsapp", &wrong).0, 403, "{wrong}");
    }
    assert_eq!(ask("bot", &right).0, 403);
    assert_eq!(ask("nobody", &right).0, 404);
}

#[test]
fn while_the_broker_does_not_answer_platforms_are_asked_to_come_again() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let (platforms, proxy) = (Platforms::start(), Proxy::start(vec![rabbitmq::shared().amqp_port()], None));
    platforms.keep("1", b"OggS");
    let server = start(folder.path(), &platforms, Some(&proxy.url(vhost.name())), "gateway", &[]);
    let body = voice("wamid.frozen", "1", None);
    proxy.freeze(true);
    assert_eq!(post_signed(&server, "whatsapp", &body), 503);
    proxy.freeze(false);
    let deadline = std::time::Instant::now() + PATIENCE;
    while post_signed(&server, "whatsapp", &body) != 200 {
        assert!(std::time::Instant::now() < deadline, "it is accepted once the broker is back");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let mut waiting = Waiting::open(&vhost.url());
    assert_eq!(waiting.next().message_id, "wamid.frozen");
    wait_for_figure(&server, "sprachpost_webhooks_total{channel=\"whatsapp\",result=\"not_taken\"}", 1);
    assert_eq!(platforms.requests().len(), 2, "however often it was announced, it is fetched once");
    waiting.assert_empty();
}

#[test]
fn a_channel_without_its_secret_is_refused_at_start() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    drop(start(folder.path(), &platforms, None, "gateway", &[]));
    let config = folder.path().join("sprachpost.toml");
    for arguments in [["serve", "--roles", "gateway"].as_slice(), &["config", "check"]] {
        let mut command = program::command(folder.path());
        for name in ["TEST_APP_SECRET", "TEST_VERIFY_TOKEN", "TEST_BOT_TOKEN", "TEST_SECRET_TOKEN"] {
            command.env(name, "set");
        }
        let output = command.args(["--config", config.to_str().unwrap()]).args(arguments).output().unwrap();
        assert!(!output.status.success());
        assert!(program::stderr(&output).contains("TEST_ACCESS_TOKEN"), "{}", program::stderr(&output));
    }
}
