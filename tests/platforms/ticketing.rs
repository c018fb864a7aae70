//! Chatwoot and Zammad: notes that arrived in a ticketing system.

use axum::response::IntoResponse;
use jiff::Timestamp;

use super::*;

#[test]
fn a_note_in_chatwoot_refers_to_its_conversation() {
    let folder = tempfile::tempdir().unwrap();
    // Files are for everybody who knows their address, and lie behind a redirection.
    let double = Double::start(|request| match request.uri().path() {
        "/rails/active_storage/blobs/redirect/eyJfcmFpbHMi--0a1b/note.ogg"
            if header(request, "authorization").is_empty() =>
        {
            axum::response::Redirect::temporary("/rails/active_storage/disk/abc/note.ogg").into_response()
        }
        "/rails/active_storage/disk/abc/note.ogg" => b"OggS in Chatwoot".as_slice().into_response(),
        _ => not_found(),
    });
    let url = &double.url;
    let server = gateway(
        folder.path(),
        &format!(
            "[[channels]]\nname = \"cw\"\ntenant = \"musterstrom\"\ntype = \"chatwoot\"\nurl = \"{url}\"\n\
             inboxes = [7]\nsecret = {{ env = \"TEST_SECRET\" }}\n"
        ),
    );
    let send = |body: &str, at: i64| {
        let at = at.to_string();
        let signature = format!("sha256={}", hmac::<HmacSha256>(&[at.as_bytes(), b".", body.as_bytes()]));
        let headers = [("X-Chatwoot-Signature", signature.as_str()), ("X-Chatwoot-Timestamp", at.as_str())];
        post(&server, "cw", &headers, body.as_bytes())
    };
    let (body, now) =
        (fixture("chatwoot/voice.json").replace("http://127.0.0.1:3000", url), Timestamp::now().as_second());
    assert_eq!(send(&body, now), 200);
    assert_eq!(send(&body, now), 200, "told twice");
    let notes = take(folder.path(), 1);
    let (note, audio) = &notes[0];
    assert_eq!((notes.len(), audio.as_slice()), (1, b"OggS in Chatwoot".as_slice()));
    assert_eq!((note.ticket.as_deref(), note.message_id.as_str()), (Some("4711"), "chatwoot:90210:511"));
    assert_eq!(note.channel.as_str(), "whatsapp", "the messenger behind it");
    assert_eq!(note.sent_at.unwrap().to_string(), "2026-11-21T18:02:11Z");
    assert!(!serde_json::to_string(note).unwrap().contains("Erika"));

    // What is not a customer's note, or another inbox's, is none of ours.
    for other in ["chatwoot/outgoing.json", "chatwoot/conversation.json"] {
        assert_eq!(send(&fixture(other), now), 200, "{other}");
    }
    assert_eq!(send(&body.replace("{\"id\": 7,", "{\"id\": 8,").replace("90210", "90212"), now), 200);
    assert_eq!(send(&body.replace("\"private\": false", "\"private\": true").replace("90210", "90213"), now), 200);
    // Too old, from the future, or signed for another moment.
    assert_eq!(send(&body, now - 400), 401);
    assert_eq!(send(&body, now + 400), 401);
    let signature =
        format!("sha256={}", hmac::<HmacSha256>(&[(now - 400).to_string().as_bytes(), b".", body.as_bytes()]));
    let moved = now.to_string();
    let headers = [("X-Chatwoot-Signature", signature.as_str()), ("X-Chatwoot-Timestamp", moved.as_str())];
    assert_eq!(post(&server, "cw", &headers, body.as_bytes()), 401, "a replay with a new moment");
    assert_eq!(post(&server, "cw", &headers[..1], body.as_bytes()), 401);
    assert_eq!(post(&server, "cw", &headers[1..], body.as_bytes()), 401);
    assert!(take(folder.path(), 0).is_empty());
}

#[test]
fn a_note_in_zammad_refers_to_its_ticket_and_is_fetched_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let double = Double::start(|request| {
        if header(request, "authorization") != format!("Token token={SECRET}") {
            return StatusCode::FORBIDDEN.into_response();
        }
        match request.uri().path() {
            "/zammad/api/v1/ticket_attachment/81/104/174" => b"OggS in Zammad".as_slice().into_response(),
            "/zammad/api/v1/ticket_attachment/81/104/176" => b"an M4A".as_slice().into_response(),
            _ => not_found(),
        }
    });
    let server = gateway(
        folder.path(),
        &format!(
            "[[channels]]\nname = \"za\"\ntenant = \"musterstrom\"\ntype = \"zammad\"\nurl = \"{}/zammad\"\n\
             signature_token = {{ env = \"TEST_SECRET\" }}\napi_token = {{ env = \"TEST_SECRET\" }}\n",
            double.url
        ),
    );
    let send = |body: &str| {
        let signature = format!("sha1={}", hmac::<HmacSha1>(&[body.as_bytes()]));
        post(&server, "za", &[("X-Hub-Signature", &signature), ("X-Zammad-Delivery", "1")], body.as_bytes())
    };
    assert_eq!(send(&fixture("zammad/voice.json")), 200);
    let notes = take(folder.path(), 2);
    let heard: Vec<(&str, &[u8])> = notes.iter().map(|(n, audio)| (n.message_id.as_str(), audio.as_slice())).collect();
    assert_eq!(heard, [("zammad:104:174", b"OggS in Zammad".as_slice()), ("zammad:104:176", b"an M4A".as_slice())]);
    for (note, _) in &notes {
        assert_eq!((note.ticket.as_deref(), note.channel.as_str()), (Some("81"), "whatsapp"));
        assert_eq!(note.sent_at.unwrap().to_string(), "2026-11-21T18:02:12.318Z");
    }
    assert!(double.asked().iter().all(|path| !path.contains("175")), "the picture stays there");

    assert_eq!(send(&fixture("zammad/agent.json")), 200, "what agents attach is no customer's note");
    let body = fixture("zammad/voice.json");
    let other = format!("sha1={}", hmac::<HmacSha1>(&[&body.as_bytes()[1..]]));
    let plain = hmac::<HmacSha1>(&[body.as_bytes()]);
    for headers in [&[][..], &[("X-Hub-Signature", other.as_str())], &[("X-Hub-Signature", plain.as_str())]] {
        assert_eq!(post(&server, "za", headers, body.as_bytes()), 401);
    }
    assert!(take(folder.path(), 0).is_empty());
}
