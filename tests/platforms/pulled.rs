//! Signal and Matrix: platforms that have to be asked, across broken connections and restarts.

use axum::{Json, response::IntoResponse};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};
use tokio_tungstenite::tungstenite::Message;

use super::*;

/// signal-cli-rest-api: hands out each batch of messages to one caller, over a web socket or to a poll, and attachments to
/// all. A socket that has handed out its batch is closed, unless it is the last.
fn wrapper(batches: &[&[String]]) -> String {
    let batches: Vec<Vec<String>> = batches.iter().rev().map(|batch| batch.to_vec()).collect();
    let batches = Arc::new(Mutex::new(batches));
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hand_out(stream, batches.clone()));
            }
        });
        url
    })
}

async fn hand_out(mut stream: tokio::net::TcpStream, batches: Arc<Mutex<Vec<Vec<String>>>>) {
    let mut head = [0; 2048];
    let count = stream.peek(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..count]).to_lowercase();
    if head.contains("upgrade: websocket") && head.starts_with("get /v1/receive/+4930123456 ") {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let batch = batches.lock().unwrap().pop();
        for message in batch.into_iter().flatten() {
            socket.send(Message::text(message)).await.unwrap();
        }
        if batches.lock().unwrap().is_empty() {
            while let Some(Ok(_)) = socket.next().await {}
        }
        let _ = socket.close(None).await;
        return;
    }
    let _ = stream.read(&mut [0; 2048]).await;
    let (status, body) = if head.starts_with("get /v1/receive/+4930123456?timeout=") {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let batch = batches.lock().unwrap().pop().unwrap_or_default();
        (200, format!("[{}]", batch.join(",")))
    } else if head.starts_with("get /v1/attachments/4q1vud9mxz7ktn3b.m4a ") {
        (200, "ftyp on Signal".to_owned())
    } else if head.starts_with("get /v1/attachments/zx81.ogg ") {
        (200, "OggS in a group".to_owned())
    } else {
        (404, String::new())
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// One that hands out a message only when it is told to, over a web socket or to a poll that began before.
struct LateWrapper {
    url: String,
    asked: Arc<Notify>,
    now: Arc<Notify>,
}

impl LateWrapper {
    fn start(message: String) -> Self {
        let (asked, now) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (is_asked, go) = (asked.clone(), now.clone());
        runtime().spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 2048];
            let count = stream.peek(&mut head).await.unwrap();
            if String::from_utf8_lossy(&head[..count]).to_lowercase().contains("upgrade: websocket") {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                is_asked.notify_one();
                go.notified().await;
                socket.send(Message::text(message)).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            } else {
                let _ = stream.read(&mut head).await;
                is_asked.notify_one();
                go.notified().await;
                let (length, body) = (message.len() + 2, format!("[{message}]"));
                let answer = format!("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, asked, now }
    }
}

fn signal(folder: &Path, url: &str, receive: &str) -> Server {
    gateway(folder, &signal_channel(folder, url, receive))
}

fn signal_channel(folder: &Path, url: &str, receive: &str) -> String {
    let state = folder.join("state").display().to_string();
    format!(
        "[[channels]]\nname = \"si\"\ntenant = \"musterstrom\"\ntype = \"signal\"\nurl = \"{url}\"\n\
         number = \"+4930123456\"\nreceive = \"{receive}\"\nstate_dir = {state:?}\n"
    )
}

fn messages(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("state/si")).map_or(0, Iterator::count)
}

#[test]
fn signal_hands_out_notes_over_a_socket_that_may_break_and_to_polls() {
    for receive in ["websocket", "poll"] {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<Value> = serde_json::from_str(&fixture("signal/text.json")).unwrap();
        let text: Vec<String> = text.iter().map(Value::to_string).collect();
        let url = wrapper(&[&[fixture("signal/voice.json")], &text, &[fixture("signal/group.json")], &[]]);
        let server = signal(folder.path(), &url, receive);
        let mut notes = take(folder.path(), 2);
        notes.sort_by_key(|(note, _)| note.sent_at);
        let [(alone, first), (group, second)] = notes.as_slice() else { panic!("{notes:?}") };
        assert_eq!(
            (first.as_slice(), second.as_slice()),
            (b"ftyp on Signal".as_slice(), b"OggS in a group".as_slice())
        );
        assert_eq!(alone.sender, group.sender, "the same person, named by number and id, and by id alone");
        assert_ne!(alone.conversation, group.conversation);
        assert_eq!(alone.sent_at.unwrap().to_string(), "2026-11-21T18:02:11.308Z");
        assert!(!alone.message_id.contains("0b5e3c8e") && alone.message_id.ends_with(":0"));
        until(|| messages(folder.path()) == 0);
        until(|| figures(&server).contains("{channel=\"si\",result=\"ignored\"} 2"));
    }
}

#[test]
fn what_a_killed_process_had_written_down_is_taken_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state/si");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("00000000001795284131-a.json"), fixture("signal/voice.json")).unwrap();
    std::fs::write(state.join("00000000001795284132-b.json"), "half a mess").unwrap();
    let server = signal(folder.path(), &wrapper(&[&[]]), "websocket");
    assert_eq!(take(folder.path(), 1)[0].1, b"ftyp on Signal");
    until(|| messages(folder.path()) == 0);
    assert_eq!(post(&server, "si", &[], fixture("signal/voice.json").as_bytes()), 401, "nobody may push");
}

#[test]
fn what_signal_hands_out_while_a_process_ends_is_kept_and_in_no_log() {
    for receive in ["websocket", "poll"] {
        let folder = tempfile::tempdir().unwrap();
        let wrapper = LateWrapper::start(fixture("signal/voice.json"));
        let talkative = "[log]\nlevel = \"trace,tungstenite::protocol=trace\"\n";
        let channel = signal_channel(folder.path(), &wrapper.url, receive);
        let mut server = gateway(folder.path(), &format!("{channel}{talkative}"));
        runtime().block_on(wrapper.asked.notified());
        server.signal("TERM");
        server.wait_for_log("stopping");
        wrapper.now.notify_one();
        let (code, log) = server.wait();
        assert_eq!((code, messages(folder.path())), (Some(0), 1), "{receive}: {log}");
        assert!(log.contains(r#""level":"TRACE""#), "it is as talkative as that");
        for held in ["4q1vUd9mXz7kTn3b", "+491705550123", "0b5e3c8e"] {
            assert!(!log.contains(held), "{receive}: the log holds {held}");
        }
    }
}

/// A homeserver that knows what comes after each token.
fn homeserver() -> Double {
    let event = |id: &str, at: i64| {
        json!({"type": "m.room.message", "sender": "@erika:example.org", "event_id": id, "origin_server_ts": at,
               "content": {"msgtype": "m.audio", "body": "x", "url": "mxc://example.org/AQwafuaFswefuhsfAFAgsw",
                           "org.matrix.msc3245.voice": {}}})
    };
    let answer = move |next: &str, limited: bool, events: &[Value]| {
        Json(json!({"next_batch": next, "rooms": {"join": {"!kunden:example.org": {
            "timeline": {"limited": limited, "prev_batch": "before", "events": events}}}}}))
        .into_response()
    };
    Double::start(move |request| {
        if header(request, "authorization") != format!("Bearer {SECRET}") {
            return (StatusCode::UNAUTHORIZED, Json(json!({"errcode": "M_UNKNOWN_TOKEN", "error": "x"})))
                .into_response();
        }
        let uri = request.uri();
        let query: std::collections::BTreeMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let is = |name: &str, value: &str| query.get(name).is_some_and(|given| given == value);
        match uri.path() {
            "/_matrix/client/v3/sync" => match query.get("since").map(String::as_str) {
                None => answer("s1", false, &[event("$before-we-came", 1)]),
                Some("s1") => fixture("matrix/sync.json").into_response(),
                Some("s72595_4483_1934") => answer("s3", true, &[event("$newest", 1_795_284_200_000)]),
                Some(other) => answer(other, false, &[]),
            },
            // What was left out of the third answer, in two pages.
            "/_matrix/client/v3/rooms/!kunden:example.org/messages"
                if is("dir", "b") && is("to", "s72595_4483_1934") =>
            {
                let (events, end) = if is("from", "before") {
                    ([event("$newer", 2)], json!("page2"))
                } else {
                    ([event("$new", 1)], Value::Null)
                };
                Json(json!({"start": "x", "chunk": events, "end": end})).into_response()
            }
            "/_matrix/client/v1/media/download/example.org/AQwafuaFswefuhsfAFAgsw" => {
                b"OggS on Matrix".as_slice().into_response()
            }
            _ => not_found(),
        }
    })
}

fn matrix(folder: &Path, url: &str) -> Server {
    let state = folder.join("state").display().to_string();
    gateway(
        folder,
        &format!(
            "[[channels]]\nname = \"mx\"\ntenant = \"musterstrom\"\ntype = \"matrix\"\nhomeserver = \"{url}\"\n\
             user_id = \"@stimme:example.org\"\naccess_token = {{ env = \"TEST_SECRET\" }}\nstate_dir = {state:?}\n"
        ),
    )
}

#[test]
fn matrix_is_read_from_where_one_was_with_everything_in_between() {
    let (folder, double) = (tempfile::tempdir().unwrap(), homeserver());
    let server = matrix(folder.path(), &double.url);
    let notes = take(folder.path(), 4);
    let ids: Vec<&str> = notes.iter().map(|(note, _)| note.message_id.as_str()).collect();
    assert_eq!(ids, ["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg", "$new", "$newer", "$newest"]);
    for (note, audio) in &notes {
        assert_eq!(audio, b"OggS on Matrix");
        assert_eq!(note.conversation.as_ref().unwrap().expose(), "!kunden:example.org");
        assert!(!note.sender.as_ref().unwrap().expose().contains("erika"));
    }
    until(|| figures(&server).contains("{channel=\"mx\",result=\"encrypted\"} 1"));
    let file = folder.path().join("state/mx.since");
    until(|| std::fs::read_to_string(&file).is_ok_and(|token| token == "s3"));
    server.signal("KILL");
    let _ = server.wait();

    // A process that died before it wrote down how far it had read: told again, and still one note each.
    std::fs::write(&file, "s1").unwrap();
    let server = matrix(folder.path(), &double.url);
    until(|| std::fs::read_to_string(&file).is_ok_and(|token| token == "s3"));
    until(|| figures(&server).contains("{channel=\"mx\",result=\"taken\"} 4"));
    assert!(take(folder.path(), 0).is_empty());
}
