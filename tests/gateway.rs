//! The HTTP listener of a running process: health, figures, uploads.

use serde_json::Value;
use sprachpost::broker::{self, topology};

use crate::support::{
    clips,
    program::{self, Server},
    rabbitmq, runtime, until,
};

const TOKEN: &str = "a-token-for-tests";

fn clip(name: &str) -> Vec<u8> {
    std::fs::read(clips::own().into_iter().find(|c| c.file.ends_with(name)).unwrap().path).unwrap()
}

fn start(folder: &std::path::Path, roles: &str) -> Server {
    let config = folder.join("sprachpost.toml");
    let text = "[[http.tokens]]\ntoken = { env = \"TEST_TOKEN\" }\ntenants = [\"musterstrom\", \"second\"]\n";
    std::fs::write(&config, text).unwrap();
    let mut command = program::command(folder);
    command.env("TEST_TOKEN", TOKEN).env("SPRACHPOST__FETCH__INLINE_BYTES_MAX", "20000");
    command.env("SPRACHPOST__HTTP__UPLOAD_BYTES_MAX", "1000000").args(["--config", config.to_str().unwrap()]);
    Server::start(command, &["--roles", roles])
}

#[test]
fn who_may_no_longer_consume_is_not_ready_unless_it_accepts_notes() {
    let (work, watched) = ((topology::WORK_QUEUE, "the work queue"), ("sprachpost.watch", "the watch's queue"));
    for (roles, ready, (queue, name)) in [("worker", 503, work), ("gateway,worker", 200, work), ("watch", 503, watched)]
    {
        let vhost = rabbitmq::shared().new_vhost();
        let folder = tempfile::tempdir().unwrap();
        let mut command = program::command(folder.path());
        command.env("SPRACHPOST__BROKER__URL", vhost.url());
        let server = Server::start(command, &["--roles", roles]);
        assert_eq!(server.request("GET", "/readyz", &[], b""), (200, "ready\n".to_owned()));

        until("the queue is consumed", || vhost.is_consumed(queue));
        // Without the right to read from it, the queue cannot be consumed anew.
        vhost.allow_reading(false);
        vhost.delete_queue(queue);
        let hindrance = format!("{name} cannot be consumed: ");
        let hindered = || server.request("GET", "/readyz", &[], b"").1.contains(&hindrance);
        until("the queue is missed", hindered);
        assert_eq!(server.request("GET", "/readyz", &[], b"").0, ready, "{roles}");
        let figure = format!("sprachpost_ready {}\n", u8::from(ready == 200));
        assert!(server.request("GET", "/metrics", &[], b"").1.contains(&figure), "{roles}");

        vhost.allow_reading(true);
        until("the queue is consumed again", || {
            server.request("GET", "/readyz", &[], b"") == (200, "ready\n".to_owned())
        });
    }
}

#[test]
fn an_upload_is_queued_worked_on_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), "gateway,worker");
    let bearer = format!("Bearer {TOKEN}");
    let auth = ("Authorization", bearer.as_str());

    let (status, _) = server.request("GET", "/livez", &[], b"");
    assert_eq!(status, 200);
    let (status, _) = server.request("GET", "/readyz", &[], b"");
    assert_eq!(status, 200);

    // Larger than what travels inside a message: goes by the folder of recordings.
    let audio = clip("de-outage.ogg");
    assert!(audio.len() > 20_000);
    let path = "/v1/notes?tenant=musterstrom&channel=whatsapp&message_id=wamid.7&ticket=4711";
    let (status, body) = server.request("POST", path, &[auth], &audio);
    assert_eq!(status, 202, "{body}");
    let note_id = serde_json::from_str::<Value>(&body).unwrap()["note_id"].as_str().unwrap().to_owned();

    // The same as a form.
    let small = clip("flac-16k.flac");
    let audio_part = b"--x\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"a\"\r\n\r\n";
    let tenant_part = b"--x\r\nContent-Disposition: form-data; name=\"tenant\"\r\n\r\nsecond\r\n";
    let form = [&tenant_part[..], audio_part, &small, b"\r\n--x--\r\n"].concat();
    let multipart = ("Content-Type", "multipart/form-data; boundary=x");
    let (status, body) = server.request("POST", "/v1/notes", &[auth, multipart], &form);
    assert_eq!(status, 202, "{body}");

    // The log names the notes and how they ended, and nothing that was said.
    let mut server = server;
    let answered = [server.wait_for_log("note answered"), server.wait_for_log("note answered")];
    let ours = answered.iter().find(|line| line.contains(&note_id)).expect("the note's id in the log");
    assert!(ours.contains("completed") && !ours.contains("Internet") && !ours.contains("Familie"), "{ours}");

    let (status, figures) = server.request("GET", "/metrics", &[], b"");
    assert_eq!(status, 200);
    assert!(figures.contains("sprachpost_notes_total{outcome=\"completed\",reason=\"none\"} 2"), "{figures}");
    assert!(figures.contains("sprachpost_queue_waiting 0"), "{figures}");

    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn uploads_without_a_token_for_another_tenant_or_beyond_the_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), "gateway");
    let bearer = format!("Bearer {TOKEN}");
    let auth = ("Authorization", bearer.as_str());
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| server.request("POST", path, headers, body).0;

    assert_eq!(post("/v1/notes", &[], b"x"), 401);
    assert_eq!(post("/v1/notes", &[("Authorization", "Bearer wrong")], b"x"), 401);
    assert_eq!(post("/v1/notes?tenant=somebody-else", &[auth], b"x"), 403);
    assert_eq!(post("/v1/notes?tenant=a.%23", &[auth], b"x"), 422);
    assert_eq!(post("/v1/notes?unknown=1", &[auth], b"x"), 422);
    assert_eq!(post("/v1/notes?language=deutsch", &[auth], b"x"), 422);
    assert_eq!(post("/v1/notes", &[auth], b""), 422);
    assert_eq!(post("/v1/notes", &[auth], &vec![0; 1_000_001]), 413);
    assert_eq!(server.request("GET", "/v1/notes", &[auth], b"").0, 405);
}

#[test]
fn the_same_upload_twice_is_one_note() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), "gateway");
    let bearer = format!("Bearer {TOKEN}");
    let upload = || server.request("POST", "/v1/notes", &[("Authorization", &bearer)], &clip("flac-16k.flac"));
    assert_eq!(upload(), upload());
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    let depth = runtime().block_on(async {
        broker::open(Some(&url.into()), &broker::Config::default()).await.unwrap().depth().await.unwrap()
    });
    assert_eq!(depth.waiting, 1);
}

#[test]
fn on_rabbitmq_nothing_but_the_address_changes() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let mut command = program::command(folder.path());
    command.env("SPRACHPOST__BROKER__URL", vhost.url());
    let server = Server::start(command, &[]);
    assert_eq!(server.request("GET", "/readyz", &[], b"").0, 200);

    let mut command = program::command(folder.path());
    command.env("SPRACHPOST__BROKER__URL", vhost.url());
    let file = format!("{}/tests/clips/notes/de-follow-up.ogg", program::ROOT);
    let output = command.args(["submit", "--wait", "--json", &file]).output().unwrap();
    assert!(output.status.success(), "{}", program::stderr(&output));
    let event: Value = serde_json::from_str(&program::stdout(&output)).unwrap();
    assert_eq!(event["outcome"], "completed");

    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
}
