//! Requests that nobody should make, and what they do to others: nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    Platforms, SECRET_TOKEN, Waiting, embedded, fixture, post_signed, post_to_bot, signature, start, voice,
    wait_for_figure,
};
use crate::support::{program::Server, rabbitmq};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn answer(stream: &mut TcpStream) -> String {
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_not_signed_by_the_platform_is_refused_unread() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let server = start(folder.path(), &platforms, None, "gateway", &[]);
    let body = voice("wamid.forged", "1", None);
    let good = signature(body.as_bytes());
    let other = signature(b"another body");
    let post = |path: &str, headers: &[(&str, &str)]| server.request("POST", path, headers, body.as_bytes()).0;
    let meta = |value: &str| post("/v1/channels/whatsapp", &[("X-Hub-Signature-256", value)]);
    assert_eq!(post("/v1/channels/whatsapp", &[]), 401);
    assert_eq!(post("/v1/channels/whatsapp", &[("X-Hub-Signature", &good)]), 401);
    for wrong in [other.as_str(), "sha256=", "sha256=00", &good[7..], &good.replace("sha256=", "sha1="), ""] {
        assert_eq!(meta(wrong), 401, "{wrong}");
    }
    // Good for the bytes that were signed, and for none that mean the same.
    let spaced = body.replacen('{', "{ ", 1);
    let headers = [("X-Hub-Signature-256", good.as_str())];
    assert_eq!(server.request("POST", "/v1/channels/whatsapp", &headers, spaced.as_bytes()).0, 401);
    let bot = fixture("telegram/voice.json");
    for (name, token) in [("X-Other", SECRET_TOKEN), ("X-Telegram-Bot-Api-Secret-Token", "wrong")] {
        assert_eq!(server.request("POST", "/v1/channels/bot", &[(name, token)], bot.as_bytes()).0, 401);
    }
    assert_eq!(post("/v1/channels/nobody", &[("X-Hub-Signature-256", &good)]), 404);
    assert!(platforms.requests().is_empty());
    Waiting::open(&embedded(folder.path())).assert_empty();
    wait_for_figure(&server, "sprachpost_webhooks_total{channel=\"whatsapp\",result=\"wrong_signature\"}", 7);
}

#[test]
fn a_replayed_webhook_is_the_same_note() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let platforms = Platforms::start();
    platforms.keep("1", b"OggS");
    let server = start(folder.path(), &platforms, Some(&vhost.url()), "gateway", &[]);
    let body = voice("wamid.replayed", "1", None);
    let mut waiting = Waiting::open(&vhost.url());
    for _ in 0..5 {
        assert_eq!(post_signed(&server, "whatsapp", &body), 200);
    }
    let first = waiting.next();
    wait_for_figure(&server, "sprachpost_channel_messages_total{channel=\"whatsapp\",result=\"repeated\"}", 4);
    waiting.assert_empty();
    // Also at a gateway that remembers nothing: it has the same id, and whoever consumes results sees one note.
    server.signal("TERM");
    server.wait();
    let server = start(folder.path(), &platforms, Some(&vhost.url()), "gateway", &[]);
    assert_eq!(post_signed(&server, "whatsapp", &body), 200);
    assert_eq!(waiting.next(), first);
}

#[test]
fn a_body_of_100_mb_is_refused_before_it_is_sent() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let server = start(folder.path(), &platforms, None, "gateway", &[]);
    let head = "POST /v1/channels/whatsapp HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
    let mut stream = connect(&server);
    write!(stream, "{head}Content-Length: 100000000\r\n\r\n{{").unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 413"), "by its announced length");

    let mut stream = connect(&server);
    write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..=(4 * 1024 * 1024 / 0x10000) {
        stream.write_all(&chunk).unwrap();
    }
    assert!(answer(&mut stream).starts_with("HTTP/1.1 413"), "by what came of it");
    wait_for_figure(&server, "sprachpost_webhooks_total{channel=\"whatsapp\",result=\"too_large\"}", 2);
}

#[test]
fn signed_nonsense_is_refused_and_harms_nobody() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    platforms.keep("1", b"OggS");
    let server = start(folder.path(), &platforms, None, "gateway", &[]);
    let deep = "[".repeat(1_000_000);
    let nested = format!("{{\"entry\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for bomb in ["", "{", "null", "\"\"", "{\"entry\":7}", &deep, &nested] {
        assert_eq!(post_signed(&server, "whatsapp", bomb), 400, "{bomb:.40}");
        assert_eq!(post_to_bot(&server, bomb), 400, "{bomb:.40}");
    }
    // Well-formed, and nothing in it is what it should be.
    let odd = r#"{"entry":[{"changes":[{"field":"messages","value":{"messages":[1,null,{"type":"audio"},
        {"type":"audio","id":"","from":"1","timestamp":"x","audio":{"id":"../../secret"}}]}}]}]}"#;
    assert_eq!(post_signed(&server, "whatsapp", odd), 200);
    assert_eq!(post_signed(&server, "whatsapp", "{}"), 200);
    assert!(platforms.requests().is_empty());
    let mut waiting = Waiting::open(&embedded(folder.path()));
    assert_eq!(post_signed(&server, "whatsapp", &voice("wamid.good", "1", None)), 200);
    assert_eq!(waiting.next().message_id, "wamid.good");
}

#[test]
fn slow_senders_are_let_go_and_nobody_waits_for_them() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let limits = [
        ("SPRACHPOST__HTTP__HEADER_S_MAX", "2"),
        ("SPRACHPOST__HTTP__BODY_PAUSE_S_MAX", "2"),
        ("SPRACHPOST__HTTP__BODY_S_MAX", "4"),
    ];
    let server = start(folder.path(), &platforms, None, "gateway", &limits);
    let begun = Instant::now();
    let mut in_head: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    let mut in_body: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    let mut idle: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    for stream in &mut in_head {
        stream.write_all(b"POST /v1/channels/whatsapp HTTP/1.1\r\nHost: te").unwrap();
    }
    for stream in &mut in_body {
        stream
            .write_all(b"POST /v1/channels/whatsapp HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n{")
            .unwrap();
    }
    for stream in &mut idle {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    }
    // Others are served as if nothing was.
    assert_eq!(post_signed(&server, "whatsapp", &fixture("whatsapp/text.json")), 200);
    assert_eq!(server.request("GET", "/livez", &[], b"").0, 200);
    // One drips on, byte by byte, and has its limit all the same.
    let mut dripping = in_body.pop().unwrap();
    let dripped = std::thread::spawn(move || {
        while begun.elapsed() < Duration::from_secs(15) && dripping.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(300));
        }
        begun.elapsed()
    });
    for stream in &mut in_body {
        assert!(answer(stream).starts_with("HTTP/1.1 408"));
    }
    for stream in &mut in_head {
        assert!(!answer(stream).contains(" 200 "));
    }
    for stream in &mut idle {
        assert!(answer(stream).starts_with("HTTP/1.1 200"));
    }
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(dripped.join().unwrap() < Duration::from_secs(12));
}

#[test]
fn unknown_senders_take_no_more_than_their_share_of_the_connections() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let server = start(folder.path(), &platforms, None, "gateway", &[("SPRACHPOST__HTTP__CONNECTIONS_MAX", "8")]);
    let begun = Instant::now();
    let head = b"POST /v1/channels/whatsapp HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n{";
    let mut slow: Vec<TcpStream> = (0..6).map(|_| connect(&server)).collect();
    for stream in &mut slow {
        stream.write_all(head).unwrap();
    }
    // Until all six are in their bodies.
    let next = || server.request("POST", "/v1/channels/whatsapp", &[], b"{}").0;
    while next() != 503 {
        assert!(begun.elapsed() < Duration::from_secs(5), "a seventh is asked to come again");
    }
    assert_eq!(server.request("GET", "/livez", &[], b"").0, 200);
    assert!(begun.elapsed() < Duration::from_secs(8), "nobody was waited for: {:?}", begun.elapsed());
    drop(slow);
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let limits = [("SPRACHPOST__HTTP__CONNECTIONS_MAX", "5"), ("SPRACHPOST__HTTP__HEADER_S_MAX", "2")];
    let server = start(folder.path(), &platforms, None, "gateway", &limits);
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..5).map(|_| connect(&server)).collect();
    assert_eq!(server.request("GET", "/livez", &[], b"").0, 200, "once the silent ones are let go");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    drop(silent);
}
