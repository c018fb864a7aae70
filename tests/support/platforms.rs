//! Owns a stand-in for messenger platforms: the interfaces that audio is fetched from, with the rules that they
//! document. Nothing here is ours to change but the audio.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::runtime;

/// The bearer token that Meta's side accepts.
pub const ACCESS_TOKEN: &str = "access-token-for-tests";
/// The token that is part of a Telegram bot's addresses.
pub const BOT_TOKEN: &str = "123456:bot-token-for-tests";

/// What the media host does instead of sending the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Unavailable,
    NotFound,
    OtherBytes,
    TooLarge,
    /// Leads to a name that resolves to loopback.
    ToLoopback,
    /// Leads to where clouds keep their machines' credentials.
    ToMetadata,
    /// Sends a byte now and then.
    Drips,
}

pub struct Platforms {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    port: Mutex<u16>,
    audio: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Addresses that were given out, and when: WhatsApp's hold for five minutes.
    tickets: Mutex<BTreeMap<String, Instant>>,
    address_holds: Mutex<Duration>,
    troubles: Mutex<Vec<Trouble>>,
    requests: Mutex<Vec<String>>,
    refuses_token: Mutex<bool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In hex.
pub fn sha256(audio: &[u8]) -> String {
    Sha256::digest(audio).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Platforms {
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        *locked(&shared.address_holds) = Duration::from_mins(5);
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        *locked(&shared.port) = port;
        let router = Router::new().fallback(answer).with_state(shared.clone());
        runtime().spawn(async move { axum::serve(listener, router).await });
        Self { port, shared }
    }

    /// Where it is: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Keeps audio under a media id, a file id, or the last part of an address.
    pub fn keep(&self, id: &str, audio: &[u8]) {
        locked(&self.shared.audio).insert(id.to_owned(), audio.to_vec());
    }

    /// The next requests for audio meet these, one each.
    pub fn next(&self, troubles: &[Trouble]) {
        *locked(&self.shared.troubles) = troubles.iter().rev().copied().collect();
    }

    pub fn refuse_token(&self, refuse: bool) {
        *locked(&self.shared.refuses_token) = refuse;
    }

    /// The paths that were asked for, oldest first.
    pub fn requests(&self) -> Vec<String> {
        locked(&self.shared.requests).clone()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    locked(&shared.requests).push(uri.path().to_owned());
    let segments: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["v25.0", id] => shared.media_object(id, &headers),
        ["attachments", id] => shared.whatsapp_audio(id, &uri, &headers),
        ["clips", id] => shared.audio(id, &headers),
        [bot, "getFile"] => shared.get_file(bot, &uri),
        ["file", bot, "voice", file] => shared.telegram_audio(bot, file, &headers),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Shared {
    fn has_token(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given == Some(&format!("Bearer {ACCESS_TOKEN}")) && !*locked(&self.refuses_token)
    }

    /// Step one of WhatsApp: from an id to an address.
    fn media_object(&self, id: &str, headers: &HeaderMap) -> Response {
        if !self.has_token(headers) {
            let error = json!({"error": {"type": "OAuthException", "code": 190, "message": "session has expired"}});
            return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
        }
        let Some(audio) = locked(&self.audio).get(id).cloned() else {
            let error = json!({"error": {"type": "GraphMethodException", "code": 100, "error_subcode": 33}});
            return (StatusCode::BAD_REQUEST, Json(error)).into_response();
        };
        let ticket = format!("{id}-{}", locked(&self.tickets).len());
        locked(&self.tickets).insert(ticket.clone(), Instant::now());
        let digest = sha256(&audio);
        Json(json!({"messaging_product": "whatsapp", "id": id, "mime_type": "audio/ogg", "file_size": audio.len(),
                    "sha256": digest,
                    "url": format!("http://127.0.0.1:{}/attachments/{id}?ticket={ticket}", locked(&self.port))}))
        .into_response()
    }

    /// Step two: the address wants the token as well, and is good for a while only.
    fn whatsapp_audio(&self, id: &str, uri: &Uri, headers: &HeaderMap) -> Response {
        let ticket = uri.query().and_then(|query| query.strip_prefix("ticket=")).unwrap_or_default();
        let issued = locked(&self.tickets).get(ticket).copied();
        if !self.has_token(headers) {
            StatusCode::UNAUTHORIZED.into_response()
        } else if issued.is_none_or(|at| at.elapsed() > *locked(&self.address_holds)) {
            StatusCode::NOT_FOUND.into_response()
        } else {
            self.send(id)
        }
    }

    /// Messenger: the address is enough, and no credentials belong there.
    fn audio(&self, id: &str, headers: &HeaderMap) -> Response {
        if headers.contains_key(header::AUTHORIZATION) {
            StatusCode::BAD_REQUEST.into_response()
        } else {
            self.send(id)
        }
    }

    fn get_file(&self, bot: &str, uri: &Uri) -> Response {
        if bot != format!("bot{BOT_TOKEN}") {
            let error = json!({"ok": false, "error_code": 401, "description": "Unauthorized"});
            return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
        }
        let id = uri.query().and_then(|query| query.strip_prefix("file_id=")).unwrap_or_default();
        match locked(&self.audio).get(id) {
            Some(audio) => {
                let path = format!("voice/{id}.oga");
                let result = json!({"file_id": id, "file_size": audio.len(), "file_path": path});
                Json(json!({"ok": true, "result": result})).into_response()
            }
            None => (StatusCode::BAD_REQUEST, Json(json!({"ok": false, "error_code": 400}))).into_response(),
        }
    }

    fn telegram_audio(&self, bot: &str, file: &str, headers: &HeaderMap) -> Response {
        if bot == format!("bot{BOT_TOKEN}") {
            self.audio(file.trim_end_matches(".oga"), headers)
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    }

    fn send(&self, id: &str) -> Response {
        let port = *locked(&self.port);
        let audio = locked(&self.audio).get(id).cloned();
        match locked(&self.troubles).pop() {
            None => audio.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response),
            Some(Trouble::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Some(Trouble::NotFound) => StatusCode::NOT_FOUND.into_response(),
            Some(Trouble::OtherBytes) => b"other bytes".into_response(),
            Some(Trouble::TooLarge) => vec![0; 3_000_000].into_response(),
            Some(Trouble::ToLoopback) => {
                Redirect::temporary(&format!("http://localhost:{port}/clips/{id}")).into_response()
            }
            Some(Trouble::ToMetadata) => Redirect::temporary("https://169.254.169.254/latest/").into_response(),
            Some(Trouble::Drips) => Body::from_stream(futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Some((Ok::<_, std::io::Error>("x"), ()))
            }))
            .into_response(),
        }
    }
}
