//! Long notes in pieces: what a client of the tus protocol may rely on, however often its connection breaks.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};
use sprachpost::{
    audio::fetch::{self, Fetcher},
    broker::{self, Prefetch},
    event::envelope::parse_received,
    note::VoiceNote,
    outcome::Settlement,
};

use crate::support::{
    clips,
    program::{self, Server},
    runtime,
};

const TOKEN: &str = "a-token-for-tests";
const OTHER: &str = "another-token-for-tests";
const PATIENCE: Duration = Duration::from_mins(1);
const PIECE: usize = 8192;

/// A gateway, and what a client of it has.
struct Client {
    server: Server,
    token: &'static str,
}

/// An answer: its status and its headers.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn offset(&self) -> usize {
        self.header("upload-offset").parse().unwrap_or_else(|_| panic!("{self:?}"))
    }
}

fn start(folder: &Path, settings: &[(&str, &str)]) -> Client {
    let config = folder.join("sprachpost.toml");
    let text = "[[http.tokens]]\ntoken = { env = \"TEST_TOKEN\" }\ntenants = [\"musterstrom\", \"second\"]\n\
                [[http.tokens]]\ntoken = { env = \"TEST_OTHER\" }\ntenants = [\"other\"]\n";
    std::fs::write(&config, text).unwrap();
    let mut command = program::command(folder);
    command.env("TEST_TOKEN", TOKEN).env("TEST_OTHER", OTHER).args(["--config", config.to_str().unwrap()]);
    command.env("SPRACHPOST__HTTP__UPLOADS__DIR", folder.join("uploads"));
    for (name, value) in settings {
        command.env(format!("SPRACHPOST__{name}"), value);
    }
    Client { server: Server::start(command, &["--roles", "gateway"]), token: TOKEN }
}

impl Client {
    /// Begins a request and sends `body`, which may be less than is announced.
    fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], announced: usize) -> TcpStream {
        let mut stream = TcpStream::connect(&self.server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (length, token) = (announced.to_string(), format!("Bearer {}", self.token));
        let fixed = [
            ("Host", "test"),
            ("Connection", "close"),
            ("Content-Length", &length),
            ("Authorization", &token),
            ("Tus-Resumable", "1.0.0"),
        ];
        let lines = fixed.iter().chain(headers).filter(|(_, value)| !value.is_empty());
        let lines: String = lines.flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
        let head = format!("{method} {path} HTTP/1.1\r\n{lines}");
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        // Who refuses may close before everything is read.
        let _ = stream.write_all(body);
        stream
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut text = String::new();
        let _ = self.begin(method, path, headers, body, body.len()).read_to_string(&mut text);
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Answer { status: status.unwrap_or_else(|| panic!("{method} {path}: {text:?}")), headers }
    }

    /// Begins an upload of so many bytes and returns its address.
    fn create(&self, length: usize, metadata: &str) -> String {
        let answer = self.send(
            "POST",
            "/v1/uploads",
            &[("Upload-Length", &length.to_string()), ("Upload-Metadata", metadata)],
            b"",
        );
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(answer.header("upload-expires").ends_with("GMT"), "{answer:?}");
        answer.header("location").to_owned()
    }

    fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, &[], b"")
    }

    fn patch(&self, path: &str, offset: usize, body: &[u8], checksum: &str) -> Answer {
        let offset = offset.to_string();
        let headers = [
            ("Content-Type", "application/offset+octet-stream"),
            ("Upload-Offset", &*offset),
            ("Upload-Checksum", checksum),
        ];
        self.send("PATCH", path, &headers, body)
    }

    /// Sends the first half of a piece, and breaks the connection.
    fn break_off(&self, path: &str, offset: usize, body: &[u8], checksum: &str) {
        drop(self.hang(path, offset, body, checksum));
    }

    /// Sends the first half of a piece, and nothing more.
    fn hang(&self, path: &str, offset: usize, body: &[u8], checksum: &str) -> TcpStream {
        let offset = offset.to_string();
        let headers = [
            ("Content-Type", "application/offset+octet-stream"),
            ("Upload-Offset", &*offset),
            ("Upload-Checksum", checksum),
        ];
        self.begin("PATCH", path, &headers, &body[..body.len() / 2], body.len())
    }

    /// Waits until so many bytes are there, and nobody works on them any more.
    fn settled_at(&self, path: &str, offset: usize) {
        until(|| {
            let answer = self.head(path);
            let free = self.patch(path, usize::MAX >> 1, b"", "").status == 409;
            answer.status == 200 && answer.offset() == offset && free
        });
    }

    /// Waits until nobody works on the bytes any more, and returns how many are there: so many, mostly. A server with much
    /// to do may learn that the connection is gone before it has written what came.
    fn settled(&self, path: &str, expected: usize) -> usize {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut offset = 0;
        until(|| {
            offset = self.head(path).offset();
            let free = self.patch(path, usize::MAX >> 1, b"", "").status == 409;
            free && (offset == expected || Instant::now() > deadline)
        });
        offset
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come to that");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sha1(bytes: &[u8]) -> String {
    format!("sha1 {}", BASE64_STANDARD.encode(Sha1::digest(bytes)))
}

fn recording() -> Vec<u8> {
    std::fs::read(clips::own().into_iter().find(|c| c.file.ends_with("de-outage.ogg")).unwrap().path).unwrap()
}

/// What `tenant musterstrom`, `channel whatsapp` is in a header.
const METADATA: &str = "tenant bXVzdGVyc3Ryb20=,channel d2hhdHNhcHA=,filename bm90ZS5vZ2c=";

/// All notes of the queue, taken off it, each with its audio.
fn take(folder: &Path) -> Vec<(VoiceNote, Vec<u8>)> {
    let url = format!("embedded:{}", folder.join("queue.sqlite").display());
    let roots = [folder.join("spool")].into_iter().filter_map(|root| root.canonicalize().ok()).collect();
    let fetcher = Fetcher::new(&fetch::Config { file_roots: roots, ..fetch::Config::default() }).unwrap();
    runtime().block_on(async {
        let queue = broker::open(Some(&url.into()), &broker::Config::default()).await.unwrap();
        let waiting = queue.depth().await.unwrap().waiting;
        let mut deliveries = queue.consume(Prefetch::from(100)).await.unwrap();
        let mut notes = vec![];
        for _ in 0..waiting {
            let delivery = tokio::time::timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
            let note = parse_received(delivery.message()).unwrap().note;
            let audio = fetcher.fetch(&note.audio).await.unwrap();
            delivery.settle(&Settlement::Ack).await.unwrap();
            notes.push((note, audio));
        }
        queue.close().await;
        notes
    })
}

#[test]
fn a_note_whose_connection_breaks_in_every_piece_arrives_once_and_whole() {
    let (folder, audio) = (tempfile::tempdir().unwrap(), recording());
    let client = start(folder.path(), &[("FETCH__INLINE_BYTES_MAX", "1000")]);
    let path = client.create(audio.len(), METADATA);
    let (mut last, mut kept, mut pieces) = (None, 0, 0);
    for (index, piece) in audio.chunks(PIECE).enumerate() {
        let offset = index * PIECE;
        client.break_off(&path, offset, piece, "");
        let half = offset + piece.len() / 2;
        let there = client.settled(&path, half);
        assert!((offset..=half).contains(&there), "{there} is not in {offset}..={half}");
        (kept, pieces) = (kept + usize::from(there == half), pieces + 1);
        // As the protocol has it, from where the server is.
        let answer = client.patch(&path, there, &piece[there - offset..], "");
        assert_eq!((answer.status, answer.offset()), (204, offset + piece.len()), "{answer:?}");
        last = Some(answer);
    }
    assert!(2 * kept > pieces, "what came before a connection broke is mostly kept: of {pieces} pieces {kept}");
    let note_id = last.unwrap().header("sprachpost-note-id").to_owned();
    assert_eq!(client.head(&path).header("sprachpost-note-id"), note_id);
    let notes = take(folder.path());
    assert_eq!(notes.len(), 1);
    let (note, arrived) = &notes[0];
    assert!(*arrived == audio, "byte for byte");
    assert_eq!(
        (note.id().to_string(), note.tenant.as_str(), note.channel.as_str()),
        (note_id, "musterstrom", "whatsapp")
    );
    assert!(
        !folder.path().join("uploads").read_dir().unwrap().any(|f| f.unwrap().path().extension().unwrap() == "part")
    );
}

#[test]
fn the_last_piece_can_be_sent_again_and_the_note_is_one() {
    let (folder, audio) = (tempfile::tempdir().unwrap(), recording());
    let client = start(folder.path(), &[]);
    let path = client.create(audio.len(), METADATA);
    let first = client.patch(&path, 0, &audio, "");
    assert_eq!(first.status, 204);
    // The client did not get the answer: the same once more, then as the protocol says, by the offset.
    assert_eq!(client.patch(&path, 0, &audio, "").status, 409);
    let head = client.head(&path);
    assert_eq!((head.status, head.offset()), (200, audio.len()));
    let again = client.patch(&path, audio.len(), b"", "");
    assert_eq!((again.status, again.header("sprachpost-note-id")), (204, first.header("sprachpost-note-id")));
    // The same recording as another upload is the same note as well.
    let second = client.create(audio.len(), METADATA);
    client.patch(&second, 0, &audio, "");
    assert_eq!(take(folder.path()).len(), 1);
}

#[test]
fn offsets_and_lengths_that_lie_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let client =
        start(folder.path(), &[("HTTP__UPLOADS__BYTES_MAX", "100000"), ("HTTP__UPLOADS__UNFINISHED_MAX", "2")]);
    let create = |length: &str, metadata: &str| {
        client.send("POST", "/v1/uploads", &[("Upload-Length", length), ("Upload-Metadata", metadata)], b"").status
    };
    for length in ["", "-1", "+10", "ten", "0", "1e3"] {
        assert_eq!(create(length, METADATA), 400, "{length:?}");
    }
    assert_eq!(create("100001", METADATA), 413);
    assert_eq!(create("10", "tenant !"), 400);
    assert_eq!(create("10", "unknown MQ=="), 400);
    assert_eq!(create("10", "tenant b3RoZXI="), 403, "another's tenant");

    let path = client.create(10, METADATA);
    assert_eq!(client.patch(&path, 0, b"01234", "").status, 204);
    for offset in [0, 4, 6, 10] {
        assert_eq!(client.patch(&path, offset, b"5", "").status, 409, "{offset}");
    }
    assert_eq!(client.patch(&path, 5, b"567890", "").status, 413, "one byte too many");
    assert_eq!(
        client.send("PATCH", &path, &[("Upload-Offset", "5"), ("Content-Type", "text/plain")], b"5").status,
        415
    );
    assert_eq!(client.send("PATCH", &path, &[("Content-Type", "application/offset+octet-stream")], b"5").status, 400);
    assert_eq!(client.head(&path).offset(), 5);

    for nowhere in ["/v1/uploads/00000000000000000000000000000000", "/v1/uploads/..%2f..%2fetc", "/v1/uploads/x"] {
        assert_eq!(client.head(nowhere).status, 404, "{nowhere}");
        assert_eq!(client.patch(nowhere, 0, b"x", "").status, 404, "{nowhere}");
    }
    let other = Client { token: OTHER, ..client };
    assert_eq!(other.head(&path).status, 404, "to others it does not exist");
    let nobody = Client { token: "wrong", ..other };
    assert_eq!(nobody.head(&path).status, 401);
    let client = Client { token: TOKEN, ..nobody };

    // There is room for two.
    client.create(10, METADATA);
    let full = client.send("POST", "/v1/uploads", &[("Upload-Length", "10")], b"");
    assert_eq!((full.status, full.header("retry-after")), (503, "30"));
    assert_eq!(client.send("DELETE", &path, &[], b"").status, 204);
    assert_eq!(client.head(&path).status, 404);
    client.create(10, METADATA);
    assert!(take(folder.path()).is_empty());
}

#[test]
fn a_piece_that_is_not_that_of_its_checksum_is_thrown_away_whole() {
    let (folder, audio) = (tempfile::tempdir().unwrap(), recording());
    let client = start(folder.path(), &[]);
    let path = client.create(audio.len(), METADATA);
    let (first, rest) = audio.split_at(PIECE);
    assert_eq!(client.patch(&path, 0, first, &sha1(rest)).status, 460);
    assert_eq!(client.head(&path).offset(), 0);
    assert_eq!(client.patch(&path, 0, first, "md5 AAAA").status, 400);
    client.break_off(&path, 0, first, &sha1(first));
    client.settled_at(&path, 0);
    assert_eq!(client.patch(&path, 0, first, &sha1(first)).status, 204);
    assert_eq!(client.patch(&path, PIECE, rest, &sha1(rest)).status, 204);
    assert_eq!(take(folder.path())[0].1, audio);
}

#[test]
fn two_clients_do_not_write_into_one_upload() {
    let (folder, audio) = (tempfile::tempdir().unwrap(), recording());
    let client = start(folder.path(), &[]);
    let path = client.create(audio.len(), METADATA);
    let hanging = client.hang(&path, 0, &audio, "");
    until(|| client.head(&path).offset() == audio.len() / 2);
    assert_eq!(client.patch(&path, audio.len() / 2, b"", "").status, 423);
    assert_eq!(client.send("DELETE", &path, &[], b"").status, 423);
    drop(hanging);
    client.settled_at(&path, audio.len() / 2);
    assert_eq!(client.patch(&path, audio.len() / 2, &audio[audio.len() / 2..], "").status, 204);
    assert_eq!(take(folder.path())[0].1, audio);
}

#[test]
fn another_process_goes_on_where_a_killed_one_stopped() {
    let (folder, audio) = (tempfile::tempdir().unwrap(), recording());
    let client = start(folder.path(), &[]);
    let path = client.create(audio.len(), METADATA);
    assert_eq!(client.patch(&path, 0, &audio[..PIECE], "").status, 204);
    let hanging = client.hang(&path, PIECE, &audio[PIECE..2 * PIECE], "");
    until(|| client.head(&path).offset() == PIECE + PIECE / 2);
    let checked = client.create(PIECE, METADATA);
    let also_hanging = client.hang(&checked, 0, &audio[..PIECE], &sha1(&audio[..PIECE]));
    client.server.signal("KILL");
    let _ = client.server.wait();
    drop((hanging, also_hanging));

    let client = start(folder.path(), &[]);
    let offset = client.head(&path).offset();
    assert_eq!(offset, PIECE + PIECE / 2, "what was answered for is there, and what came behind it");
    assert_eq!(client.head(&checked).offset(), 0, "what was not checked is not");
    assert_eq!(client.patch(&path, offset, &audio[offset..], "").status, 204);
    let notes = take(folder.path());
    assert_eq!((notes.len(), &notes[0].1), (1, &audio));
}

#[test]
fn a_note_that_could_not_be_queued_is_never_called_complete_and_queued_when_it_can_be() {
    let (folder, audio) = (tempfile::tempdir().unwrap(), recording());
    let client = start(folder.path(), &[("BROKER__WAITING_MAX", "1")]);
    let fill = client.create(1, METADATA);
    assert_eq!(client.patch(&fill, 0, b"x", "").status, 204);
    let path = client.create(audio.len(), METADATA);
    assert_eq!(client.patch(&path, 0, &audio, "").status, 503, "the queue is full");
    assert_eq!(client.head(&path).status, 503, "a client that is told that all is there would forget its recording");
    assert_eq!(take(folder.path()).len(), 1);
    let head = client.head(&path);
    assert_eq!((head.status, head.offset()), (200, audio.len()));
    let notes = take(folder.path());
    assert_eq!(notes[0].0.id().to_string(), head.header("sprachpost-note-id"));
    assert_eq!((notes.len(), &notes[0].1), (1, &audio));
}

#[test]
fn an_upload_that_was_left_alone_is_gone_after_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let client = start(folder.path(), &[("HTTP__UPLOADS__EXPIRE_S", "1")]);
    let path = client.create(10, METADATA);
    client.patch(&path, 0, b"01234", "");
    until(|| client.head(&path).status == 410);
    assert_eq!(client.patch(&path, 5, b"56789", "").status, 410);
    client.server.signal("TERM");
    assert_eq!(client.server.wait().0, Some(0));
    // It is looked for at once, and every half minute.
    let client = start(folder.path(), &[("HTTP__UPLOADS__EXPIRE_S", "1")]);
    until(|| client.head(&path).status == 404);
    until(|| folder.path().join("uploads").read_dir().unwrap().count() == 0);
}

#[test]
fn the_protocol_is_told_and_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let client = start(folder.path(), &[]);
    let about = client.send("OPTIONS", "/v1/uploads", &[], b"");
    assert_eq!((about.status, about.header("tus-version"), about.header("tus-resumable")), (204, "1.0.0", "1.0.0"));
    assert_eq!(about.header("tus-extension"), "creation,checksum,expiration,termination");
    assert_eq!(about.header("tus-checksum-algorithm"), "sha1,sha256");
    assert_eq!(about.header("tus-max-size"), (64 << 20).to_string());

    let path = client.create(4, "");
    let (status, _) = client.server.request("HEAD", &path, &[("Authorization", &format!("Bearer {TOKEN}"))], b"");
    assert_eq!(status, 412);
    let head = client.head(&path);
    assert_eq!((head.header("upload-length"), head.header("cache-control")), ("4", "no-store"));

    let headers = [
        ("X-HTTP-Method-Override", "PATCH"),
        ("Content-Type", "application/offset+octet-stream"),
        ("Upload-Offset", "0"),
    ];
    assert_eq!(client.send("POST", &path, &headers, b"OggS").status, 204);
    assert_eq!(take(folder.path())[0].1, b"OggS");
}
