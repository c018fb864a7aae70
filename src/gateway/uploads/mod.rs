//! Owns `/v1/uploads`: long notes in pieces, over connections that break, by the tus protocol 1.0.
//!
//! tus, and not the IETF's draft of resumable uploads, which looks much the same: clients for tus exist on every platform
//! and hold still, while each version of the draft speaks only to itself. Spoken are the core and the extensions
//! creation, checksum, expiration and termination.
//!
//! ```text
//! POST  /v1/uploads        length, what the note is ─► 201, where it goes
//! PATCH /v1/uploads/<id>   so many bytes from an offset ─► 204, the new offset; the last one queues the note
//! HEAD  /v1/uploads/<id>   after an interruption: the offset to go on from
//! ```
//!
//! * [`headers`]: what the protocol writes into headers.
//! * [`store`]: pieces on the disk, so that another process can go on.
//!
//! An upload that is complete is queued exactly once, under an id made as for any upload: by the request that brought
//! the last byte, and if that failed by whoever asks for the offset next, or by [`Uploads::keep`].

pub mod headers;
pub mod store;

use std::{path::PathBuf, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::{
    headers::{Checksum, Digesting},
    store::{Open, Store, StoreError, Upload},
};
use super::{
    Gateway,
    upload::{self, Refusal as UploadRefusal},
};
use crate::{note::NoteId, shutdown::Shutdown};

/// Long notes in pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where pieces lie until their note is complete. Gateways that share it can go on with each other's uploads;
    /// workers do not need it.
    pub dir: PathBuf,
    /// Largest upload, in bytes. Workers take no more than `fetch.bytes_max`.
    pub bytes_max: u64,
    /// Uploads that may be unfinished at a time.
    pub unfinished_max: usize,
    /// Bytes that all unfinished uploads may have together, once complete.
    pub unfinished_bytes_max: u64,
    /// Seconds after its last piece for which an upload can be gone on with.
    pub expire_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: "data/uploads".into(),
            bytes_max: 64 << 20,
            unfinished_max: 1000,
            unfinished_bytes_max: 10 << 30,
            expire_s: 24 * 3600,
        }
    }
}

const VERSION: &str = "1.0.0";
const RESUMABLE: &str = "tus-resumable";
const OFFSET: &str = "upload-offset";
const LENGTH: &str = "upload-length";
const METADATA: &str = "upload-metadata";
const CHECKSUM: &str = "upload-checksum";
const EXPIRES: &str = "upload-expires";
const OVERRIDE: &str = "x-http-method-override";
const NOTE_ID: &str = "sprachpost-note-id";
const CONTENT_TYPE: &str = "application/offset+octet-stream";
/// Seconds after which a client may ask again where there is no room, or the queue does not answer.
const RETRY_AFTER_S: u64 = 30;
/// How often the folder is looked through.
const KEEP_EVERY: Duration = Duration::from_secs(30);

/// What this server speaks, for clients that ask first.
pub async fn about(State(gateway): State<Gateway>) -> Response {
    let max = gateway.config.uploads.bytes_max;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert("tus-version", HeaderValue::from_static(VERSION));
    headers.insert("tus-max-size", max.into());
    headers.insert("tus-extension", HeaderValue::from_static("creation,checksum,expiration,termination"));
    headers.insert("tus-checksum-algorithm", HeaderValue::from_static("sha1,sha256"));
    spoken(response)
}

/// Begins an upload.
pub async fn create(State(gateway): State<Gateway>, request: Request) -> Response {
    answer(begin(&gateway, request.headers()).await)
}

/// Takes a piece.
pub async fn append(State(gateway): State<Gateway>, Path(id): Path<String>, request: Request) -> Response {
    answer(piece(&gateway, &id, request).await)
}

/// Says how much is there.
pub async fn status(State(gateway): State<Gateway>, Path(id): Path<String>, request: Request) -> Response {
    answer(offset(&gateway, &id, request.headers()).await)
}

/// Forgets an upload.
pub async fn remove(State(gateway): State<Gateway>, Path(id): Path<String>, request: Request) -> Response {
    answer(terminate(&gateway, &id, request.headers()).await)
}

/// For clients behind something that lets nothing but `POST` through.
pub async fn overridden(state: State<Gateway>, id: Path<String>, request: Request) -> Response {
    match request.headers().get(OVERRIDE).map(HeaderValue::as_bytes) {
        Some(b"PATCH") => append(state, id, request).await,
        Some(b"HEAD") => status(state, id, request).await,
        Some(b"DELETE") => remove(state, id, request).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn begin(gateway: &Gateway, headers: &HeaderMap) -> Result<Response, Refusal> {
    let tenants = gateway.tokens.tenants_of(headers).ok_or(Refusal::Unauthorized)?;
    check_version(headers)?;
    let length = number(headers, LENGTH).ok_or(Refusal::Header(LENGTH))?;
    if length > gateway.config.uploads.bytes_max {
        return Err(Refusal::TooLarge);
    }
    if length == 0 {
        return Err(Refusal::Header(LENGTH));
    }
    let metadata = headers.get(METADATA).map(HeaderValue::as_bytes).unwrap_or_default();
    let fields = headers::metadata(metadata).ok_or(Refusal::Header(METADATA))?;
    let tenant = upload::tenant(&fields, tenants).map_err(|_| Refusal::Forbidden)?;
    let id = gateway.uploads.0.create(Upload { tenant, fields, length, note_id: None }).await?;
    tracing::info!(upload_id = %id, bytes = length, "upload begun");
    let mut response = StatusCode::CREATED.into_response();
    let location = format!("/v1/uploads/{}", id.simple());
    response.headers_mut().insert(header::LOCATION, value(location));
    Ok(expiring(response, &gateway.uploads.0.expiry_from_now()))
}

async fn piece(gateway: &Gateway, id: &str, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let headers = &head.headers;
    let id = authorised(gateway, id, headers).await?;
    check_version(headers)?;
    if headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) != Some(CONTENT_TYPE.as_bytes()) {
        return Err(Refusal::ContentType);
    }
    let from = number(headers, OFFSET).ok_or(Refusal::Header(OFFSET))?;
    let checksum = match headers.get(CHECKSUM) {
        Some(header) => Some(Checksum::read(header.as_bytes()).ok_or(Refusal::Header(CHECKSUM))?),
        None => None,
    };

    let mut open = gateway.uploads.0.open(id).await?;
    if open.offset != from {
        return Err(Refusal::OtherOffset { offset: open.offset });
    }
    let announced = number(headers, header::CONTENT_LENGTH.as_str()).unwrap_or_default();
    if announced > open.upload.length - open.offset {
        return Err(Refusal::TooLarge);
    }
    match checksum {
        Some(checksum) => append_checked(&mut open, body, checksum).await?,
        None => append_plain(&mut open, body).await?,
    }
    let note_id = finish_if_complete(gateway, &mut open).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(note_id) = note_id {
        response.headers_mut().insert(NOTE_ID, value(note_id.to_string()));
    }
    response.headers_mut().insert(OFFSET, open.offset.into());
    Ok(expiring(response, &gateway.uploads.0.expiry_from_now()))
}

/// As much as comes is kept, also when the connection breaks: the client goes on from there.
async fn append_plain(open: &mut Open, body: Body) -> Result<(), Refusal> {
    let mut chunks = body.into_data_stream();
    let result = loop {
        match chunks.next().await {
            None => break Ok(()),
            Some(Ok(chunk)) if chunk.len() as u64 > open.room() => break Err(Refusal::TooLarge),
            Some(Ok(chunk)) => open.append(&chunk).await?,
            Some(Err(_)) => break Err(Refusal::BrokeOff),
        }
    };
    open.sync().await?;
    result
}

/// All or nothing: a piece of which a part is missing, or that is another one, is as if it had never been sent.
async fn append_checked(open: &mut Open, body: Body, checksum: Checksum) -> Result<(), Refusal> {
    let (mut chunks, mut beside, mut bytes) = (body.into_data_stream(), open.beside().await?, 0);
    let mut digest = Digesting::begin(&checksum);
    loop {
        match chunks.next().await {
            None => break,
            Some(Ok(chunk)) => {
                bytes += chunk.len() as u64;
                if bytes > open.room() {
                    return Err(Refusal::TooLarge);
                }
                digest.update(&chunk);
                beside.write(&chunk).await?;
            }
            Some(Err(_)) => return Err(Refusal::BrokeOff),
        }
    }
    if !digest.is(&checksum) {
        return Err(Refusal::WrongChecksum);
    }
    open.append_from(beside).await?;
    Ok(())
}

async fn offset(gateway: &Gateway, id: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let id = authorised(gateway, id, headers).await?;
    check_version(headers)?;
    let store = &gateway.uploads.0;
    let (mut upload, offset) = store.look(id).await?;
    if offset == upload.length && upload.note_id.is_none() {
        // A client that is told so forgets its recording: not before the note is queued.
        let mut open = store.open(id).await?;
        finish_if_complete(gateway, &mut open).await?;
        upload = open.upload;
    }
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(OFFSET, offset.into());
    headers.insert(LENGTH, upload.length.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(note_id) = upload.note_id {
        headers.insert(NOTE_ID, value(note_id.to_string()));
    }
    Ok(expiring(response, &store.expiry(id).await?))
}

async fn terminate(gateway: &Gateway, id: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let id = authorised(gateway, id, headers).await?;
    check_version(headers)?;
    gateway.uploads.0.remove(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Queues the note of a complete upload, unless that was done already.
async fn finish_if_complete(gateway: &Gateway, open: &mut Open) -> Result<Option<NoteId>, Refusal> {
    if open.offset < open.upload.length || open.upload.note_id.is_some() {
        return Ok(open.upload.note_id);
    }
    let audio = open.read().await?;
    let Upload { tenant, fields, .. } = open.upload.clone();
    let note_id = upload::queue(gateway, fields, tenant, &audio, None).await.map_err(Refusal::NotQueued)?;
    open.finish(note_id).await?;
    Ok(Some(note_id))
}

/// The upload that is meant, if it exists and the token is good for it; to others it does not exist.
async fn authorised(gateway: &Gateway, id: &str, headers: &HeaderMap) -> Result<Uuid, Refusal> {
    let tenants = gateway.tokens.tenants_of(headers).ok_or(Refusal::Unauthorized)?;
    let id = Uuid::try_parse(id).map_err(|_| StoreError::NotFound)?;
    let (upload, _) = gateway.uploads.0.look(id).await?;
    if tenants.contains(&upload.tenant) { Ok(id) } else { Err(StoreError::NotFound.into()) }
}

/// Uploads that are not complete yet. One serves the whole process.
#[derive(Debug)]
pub struct Uploads(Store);

impl Uploads {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self(Store::new(config))
    }

    /// Removes uploads that were given up, and queues those that are complete and could not be queued before, until
    /// shutdown is requested.
    pub async fn keep(gateway: &Gateway, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            for id in gateway.uploads.0.sweep().await {
                let Ok(mut open) = gateway.uploads.0.open(id).await else { continue };
                if let Err(error) = finish_if_complete(gateway, &mut open).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(upload_id = %id, error, "a complete upload could not be queued yet");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(KEEP_EVERY) => {}
                () = shutdown.requested() => {}
            }
        }
    }
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get(RESUMABLE).map(HeaderValue::as_bytes) == Some(VERSION.as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::Version)
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    // No sign: that would be a number to Rust, but not to the protocol.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn expiring(mut response: Response, expires: &str) -> Response {
    if let Ok(expires) = HeaderValue::try_from(expires) {
        response.headers_mut().insert(EXPIRES, expires);
    }
    response
}

fn answer(result: Result<Response, Refusal>) -> Response {
    spoken(result.unwrap_or_else(IntoResponse::into_response))
}

fn spoken(mut response: Response) -> Response {
    response.headers_mut().insert(RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

/// Of ids and addresses, which are plain characters throughout.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Why a request about an upload is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("a valid bearer token is needed: configure one under http.tokens")]
    Unauthorized,
    #[error("the token is not good for this tenant")]
    Forbidden,
    #[error("the header Tus-Resumable has to be {VERSION}")]
    Version,
    #[error("the header {0} is missing or not as the protocol wants it")]
    Header(&'static str),
    #[error("a piece is sent as {CONTENT_TYPE}")]
    ContentType,
    #[error("{offset} bytes are there: go on from that offset")]
    OtherOffset { offset: u64 },
    #[error("the upload is larger than allowed, or than was announced")]
    TooLarge,
    #[error("the piece is not the one of its checksum; it was thrown away")]
    WrongChecksum,
    #[error("the piece did not come to its end in time")]
    BrokeOff,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the note is complete and could not be queued yet; ask again later")]
    NotQueued(#[source] UploadRefusal),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Version => StatusCode::PRECONDITION_FAILED,
            Self::Header(_) => StatusCode::BAD_REQUEST,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OtherOffset { .. } => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            // The protocol's own.
            Self::WrongChecksum => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
            Self::BrokeOff => StatusCode::REQUEST_TIMEOUT,
            Self::Store(StoreError::NotFound) => StatusCode::NOT_FOUND,
            Self::Store(StoreError::Expired) => StatusCode::GONE,
            Self::Store(StoreError::Busy) => StatusCode::LOCKED,
            Self::Store(StoreError::Full | StoreError::Disk(_)) | Self::NotQueued(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::warn!(error = &self as &dyn std::error::Error, "an upload could not go on");
        }
        let mut response = (status, self.to_string() + "\n").into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        if status == StatusCode::PRECONDITION_FAILED {
            response.headers_mut().insert("tus-version", HeaderValue::from_static(VERSION));
        }
        response
    }
}
