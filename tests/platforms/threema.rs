//! Threema Gateway, end to end: boxes that only we open, files that nobody else reads.

use axum::response::IntoResponse;
use crypto_box::{SalsaBox, SecretKey, aead::Aead as _};
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};

use super::*;

const OURS: [u8; 32] = [7; 32];
const THEIRS: [u8; 32] = [9; 32];
const FILE_KEY: [u8; 32] = [5; 32];
const BLOB: &str = "00112233445566778899aabbccddeeff";
const NONCE: [u8; 24] = [3; 24];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn threema(key: [u8; 32]) -> Double {
    let mut nonce = [0; 24];
    nonce[23] = 1;
    let file = XSalsa20Poly1305::new(&key.into()).encrypt(&nonce.into(), b"ftypM4A".as_slice()).unwrap();
    Double::start(move |request| {
        let uri = request.uri();
        if uri.query() != Some(&format!("from=*TESTTST&secret={SECRET}").replace('*', "%2A"))
            && uri.query() != Some(&format!("from=*TESTTST&secret={SECRET}"))
        {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        match uri.path() {
            "/pubkeys/ECHOECHO" => hex(SecretKey::from(THEIRS).public_key().as_bytes()).into_response(),
            "/blobs/00112233445566778899aabbccddeeff" => file.clone().into_response(),
            _ => not_found(),
        }
    })
}

fn start(folder: &Path, double: &Double) -> Server {
    let key = folder.join("key");
    std::fs::write(&key, format!("private:{}\n", hex(&OURS))).unwrap();
    gateway(
        folder,
        &format!(
            "[[channels]]\nname = \"th\"\ntenant = \"musterstrom\"\ntype = \"threema\"\ngateway_id = \"*TESTTST\"\n\
             api_secret = {{ env = \"TEST_SECRET\" }}\nprivate_key = {{ file = {:?} }}\napi = \"{}\"\n",
            key.display().to_string(),
            double.url
        ),
    )
}

/// A callback with this message in its box, from the one key to the other.
fn callback(from: [u8; 32], to: [u8; 32], id: &str, message: &[u8]) -> Vec<u8> {
    let mut padded = message.to_vec();
    padded.extend([11; 11]);
    let sealed = SalsaBox::new(&SecretKey::from(to).public_key(), &SecretKey::from(from))
        .encrypt(&NONCE.into(), padded.as_slice())
        .unwrap();
    let fields = [
        ("from", "ECHOECHO".to_owned()),
        ("to", "*TESTTST".to_owned()),
        ("messageId", id.to_owned()),
        ("date", "1795284131".to_owned()),
        ("nonce", hex(&NONCE)),
        ("box", hex(&sealed)),
    ];
    let parts: Vec<&[u8]> = fields.iter().map(|(_, value)| value.as_bytes()).collect();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(&fields).append_pair("nickname", "Erika").append_pair("mac", &hmac::<HmacSha256>(&parts));
    form.finish().into_bytes()
}

fn file_message(mime: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"b":"{BLOB}","k":"{}","m":"{mime}","n":"note.m4a","s":34567,"j":1,"i":1,"x":{{"d":13.86}}}}"#,
        hex(&FILE_KEY)
    );
    [&[0x17], json.as_bytes()].concat()
}

#[test]
fn a_file_with_speech_is_unboxed_fetched_decrypted_and_queued() {
    let (folder, double) = (tempfile::tempdir().unwrap(), threema(FILE_KEY));
    let server = start(folder.path(), &double);
    let body = callback(THEIRS, OURS, "0102030405060708", &file_message("audio/aac"));
    assert_eq!(post(&server, "th", &[], &body), 200);
    assert_eq!(post(&server, "th", &[], &body), 200, "told twice");
    let notes = take(folder.path(), 1);
    let (note, audio) = &notes[0];
    assert_eq!((notes.len(), audio.as_slice()), (1, b"ftypM4A".as_slice()));
    assert_eq!(note.conversation.as_ref().unwrap().expose(), "ECHOECHO");
    assert_eq!(note.sent_at.unwrap().to_string(), "2026-11-21T18:02:11Z");
    assert!(!note.message_id.contains("ECHOECHO") && !note.sender.as_ref().unwrap().expose().contains("ECHOECHO"));
    let keys = double.asked().iter().filter(|path| path.starts_with("/pubkeys")).count();
    assert_eq!(keys, 1, "a key is asked for once");
}

#[test]
fn what_is_no_speech_or_not_for_us_or_altered_is_not_taken() {
    let (folder, double) = (tempfile::tempdir().unwrap(), threema(FILE_KEY));
    let server = start(folder.path(), &double);
    let text = callback(THEIRS, OURS, "0102030405060701", b"\x01Guten Tag");
    let picture = callback(THEIRS, OURS, "0102030405060702", &file_message("image/jpeg"));
    assert_eq!([post(&server, "th", &[], &text), post(&server, "th", &[], &picture)], [200, 200]);
    // Boxed by somebody who has not the key of the one he claims to be: read by nobody, and counted.
    let forged = callback([1; 32], OURS, "0102030405060703", &file_message("audio/aac"));
    assert_eq!(post(&server, "th", &[], &forged), 200);
    let good = String::from_utf8(callback(THEIRS, OURS, "0102030405060704", &file_message("audio/aac"))).unwrap();
    for altered in [
        good.replace("ECHOECHO", "ECHOECHX"),
        good.replace("date=1795284131", "date=1795284132"),
        good.replace("nonce=03", "nonce=04"),
        good.replace("&mac=", "&mac=00"),
        good.split("&mac").next().unwrap().to_owned(),
        String::new(),
    ] {
        assert_eq!(post(&server, "th", &[], altered.as_bytes()), 401, "{altered}");
    }
    let figures = figures(&server);
    assert!(figures.contains("sprachpost_channel_messages_total{channel=\"th\",result=\"ignored\"} 2"), "{figures}");
    assert!(figures.contains("sprachpost_channel_messages_total{channel=\"th\",result=\"unreadable\"} 1"), "{figures}");
    assert!(take(folder.path(), 0).is_empty());
}

#[test]
fn a_file_under_another_key_is_refused_and_never_reaches_a_worker() {
    let (folder, double) = (tempfile::tempdir().unwrap(), threema([6; 32]));
    let mut server = start(folder.path(), &double);
    assert_eq!(post(&server, "th", &[], &callback(THEIRS, OURS, "0102030405060708", &file_message("audio/aac"))), 200);
    let line = server.wait_for_log("cannot be decrypted");
    assert!(!line.contains("ECHOECHO") && !line.contains(BLOB), "{line}");
    assert!(take(folder.path(), 0).is_empty());
}
