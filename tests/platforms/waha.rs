//! WAHA: its signature, its files, and people with two names.

use axum::{http::StatusCode, response::IntoResponse};

use super::*;

fn waha(lids: bool) -> Double {
    Double::start(move |request| {
        if header(request, "x-api-key") != SECRET {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        match request.uri().path() {
            "/api/files/default/3EB0A1B2C3D4E5F60718.oga" => b"OggS of one".as_slice().into_response(),
            "/api/files/default/3EB0FFEEDDCCBBAA9988.oga" => b"OggS of a group".as_slice().into_response(),
            "/api/default/lids/118777370906868@lid" if lids => {
                r#"{"lid": "118777370906868@lid", "pn": "491705550123@c.us"}"#.into_response()
            }
            "/api/default/lids/118777370906868@lid" => StatusCode::BAD_GATEWAY.into_response(),
            _ => not_found(),
        }
    })
}

fn channel(url: &str) -> String {
    format!(
        "[[channels]]\nname = \"wa\"\ntenant = \"musterstrom\"\ntype = \"waha\"\nurl = \"{url}\"\n\
         hmac_key = {{ env = \"TEST_SECRET\" }}\napi_key = {{ env = \"TEST_SECRET\" }}\n"
    )
}

fn send(server: &Server, body: &str) -> u16 {
    let signature = hmac::<HmacSha512>(&[body.as_bytes()]);
    post(server, "wa", &[("X-Webhook-Hmac", &signature), ("X-Webhook-Hmac-Algorithm", "sha512")], body.as_bytes())
}

#[test]
fn a_note_is_taken_once_and_a_person_with_two_names_has_one_conversation() {
    let (folder, double) = (tempfile::tempdir().unwrap(), waha(true));
    let server = gateway(folder.path(), &channel(&double.url));
    assert_eq!(send(&server, &fixture("waha/voice-hidden.json")), 200);
    assert_eq!(send(&server, &fixture("waha/voice.json")), 200);
    assert_eq!(send(&server, &fixture("waha/voice.json").replace("3EB0A1B2C3D4E5F60718\",", "3EB0FFFF\",")), 200);
    let notes = take(folder.path(), 2);
    assert_eq!(notes.len(), 2, "the same message under both names is one note");
    for (note, audio) in &notes {
        assert_eq!(note.conversation.as_ref().unwrap().expose(), "491705550123@c.us");
        assert_eq!(audio, b"OggS of one");
        assert_eq!(note.channel.as_str(), "waha");
        assert_eq!(note.sent_at.unwrap().to_string(), "2025-11-21T18:02:11Z");
    }
    assert_eq!(notes[0].0.sender, notes[1].0.sender);
    assert_eq!(notes[0].0.message_id, "3EB0A1B2C3D4E5F60718");

    assert_eq!(send(&server, &fixture("waha/group.json")), 200);
    let (group, audio) = take(folder.path(), 1).remove(0);
    assert_eq!(group.conversation.as_ref().unwrap().expose(), "120363025555555555@g.us");
    assert_eq!(group.sender, notes[0].0.sender, "the same person as alone");
    assert_eq!(audio, b"OggS of a group");
}

#[test]
fn what_is_no_note_or_not_signed_as_documented_is_not_taken() {
    let (folder, double) = (tempfile::tempdir().unwrap(), waha(true));
    let server = gateway(folder.path(), &channel(&double.url));
    assert_eq!(send(&server, &fixture("waha/text.json")), 200);
    assert_eq!(send(&server, &fixture("waha/voice.json").replace("\"fromMe\": false", "\"fromMe\": true")), 200);
    let body = fixture("waha/voice.json");
    let (good, short) = (hmac::<HmacSha512>(&[body.as_bytes()]), hmac::<HmacSha256>(&[body.as_bytes()]));
    for headers in [
        &[][..],
        &[("X-Webhook-Hmac", good.as_str())],
        &[("X-Webhook-Hmac", good.as_str()), ("X-Webhook-Hmac-Algorithm", "sha256")],
        &[("X-Webhook-Hmac", short.as_str()), ("X-Webhook-Hmac-Algorithm", "sha256")],
        &[("X-Webhook-Hmac", short.as_str()), ("X-Webhook-Hmac-Algorithm", "sha512")],
        &[("X-Webhook-Hmac", &good[2..]), ("X-Webhook-Hmac-Algorithm", "sha512")],
    ] {
        assert_eq!(post(&server, "wa", headers, body.as_bytes()), 401);
    }
    let figures = figures(&server);
    assert!(figures.contains("sprachpost_channel_messages_total{channel=\"wa\",result=\"ignored\"} 2"), "{figures}");
    assert!(take(folder.path(), 0).is_empty() && double.asked().is_empty());
}

#[test]
fn while_the_name_behind_a_hidden_one_cannot_be_asked_for_the_platform_is_to_tell_again() {
    let (folder, double) = (tempfile::tempdir().unwrap(), waha(false));
    let server = gateway(folder.path(), &channel(&double.url));
    assert_eq!(send(&server, &fixture("waha/voice-hidden.json")), 503);
    // An engine that tells the number along makes the question needless.
    let told = fixture("waha/voice-hidden.json")
        .replace("\"fromMe\": false, \"id\"", "\"remoteJidAlt\": \"491705550123@s.whatsapp.net\", \"id\"");
    assert_eq!(send(&server, &told), 200);
    let notes = take(folder.path(), 1);
    assert_eq!(notes[0].0.conversation.as_ref().unwrap().expose(), "491705550123@c.us");
}
