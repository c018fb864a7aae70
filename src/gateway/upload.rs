//! Owns `POST /v1/notes`: a note as the body of a request, raw or as a form, answered with 202 once it is queued.
//!
//! Raw: the audio is the body, everything else stands in the query. As a form (`multipart/form-data`): the audio is
//! the part `audio`, everything else are parts of the same names. The audio is not looked at here: workers find out
//! what it is, and every note that was accepted has its event.

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Multipart, Query, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use sha2::{Digest, Sha256};

use super::Gateway;
use crate::{
    asr::whisper::language::fault_of,
    broker::{BrokerError, Exchange},
    event::envelope::{Received, TRACEPARENT, received_message},
    hex::hex,
    note::{Channel, NoteId, Priority, Tenant, VoiceNote},
    private::Private,
    recordings::RecordingError,
};

/// What an upload may say about its note.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fields {
    pub tenant: Option<Tenant>,
    channel: Option<Channel>,
    pub message_id: Option<String>,
    conversation: Option<Private>,
    ticket: Option<String>,
    sender: Option<Private>,
    sent_at: Option<Timestamp>,
    #[serde(deserialize_with = "known_language")]
    language: Option<String>,
    reply_window_ends_at: Option<Timestamp>,
    #[serde(default)]
    priority: Priority,
}

/// A client that says "deutsch" learns now that nobody would take it for German.
fn known_language<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let language = Option::<String>::deserialize(deserializer)?.filter(|code| !code.is_empty());
    match language.as_deref().and_then(fault_of) {
        Some(fault) => Err(D::Error::custom(fault)),
        None => Ok(language),
    }
}

/// Queues one note.
pub async fn post_note(State(gateway): State<Gateway>, request: Request) -> Response {
    match accept(&gateway, request).await {
        Ok(note_id) => (StatusCode::ACCEPTED, Json(serde_json::json!({"note_id": note_id}))).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn accept(gateway: &Gateway, request: Request) -> Result<NoteId, Refusal> {
    // Before a byte of the body is read.
    let tenants = gateway.tokens.tenants_of(request.headers()).ok_or(Refusal::Unauthorized)?;
    let traceparent = header(request.headers(), TRACEPARENT);
    let (fields, audio) = read(request).await?;

    let tenant = tenant(&fields, tenants)?;
    if audio.is_empty() {
        return Err(Refusal::Unreadable("the request holds no audio".to_owned()));
    }
    queue(gateway, fields, tenant, &audio, traceparent).await
}

/// The tenant that an upload is for, where the token is good for it.
pub(super) fn tenant(fields: &Fields, tenants: &[Tenant]) -> Result<Tenant, Refusal> {
    let tenant = fields.tenant.as_ref().or(tenants.first()).ok_or(Refusal::Forbidden)?;
    if tenants.contains(tenant) { Ok(tenant.clone()) } else { Err(Refusal::Forbidden) }
}

/// Keeps the audio and queues the note: when this returns, both are safe.
pub(super) async fn queue(
    gateway: &Gateway,
    fields: Fields,
    tenant: Tenant,
    audio: &[u8],
    traceparent: Option<String>,
) -> Result<NoteId, Refusal> {
    let note = note(fields, tenant, audio, gateway).await?;
    let id = note.id();
    let message = received_message(&Received { note, traceparent }, Timestamp::now());
    gateway.broker.publish(Exchange::Notes, &message).await.map_err(Refusal::NotQueued)?;
    tracing::info!(note_id = %id, audio_bytes = audio.len(), "note uploaded and queued");
    Ok(id)
}

async fn read(request: Request) -> Result<(Fields, Bytes), Refusal> {
    let is_form =
        header(request.headers(), CONTENT_TYPE.as_str()).is_some_and(|t| t.starts_with("multipart/form-data"));
    if is_form {
        let form = Multipart::from_request(request, &()).await.map_err(|e| Refusal::Body(e.status(), e.body_text()))?;
        return read_form(form).await;
    }
    let Query(fields) = Query::try_from_uri(request.uri()).map_err(|e| Refusal::Unreadable(e.body_text()))?;
    let audio = Bytes::from_request(request, &()).await.map_err(|e| Refusal::Body(e.status(), e.body_text()))?;
    Ok((fields, audio))
}

async fn read_form(mut form: Multipart) -> Result<(Fields, Bytes), Refusal> {
    let (mut fields, mut audio) = (serde_json::Map::new(), Bytes::new());
    let refused = |e: axum::extract::multipart::MultipartError| Refusal::Body(e.status(), e.body_text());
    while let Some(part) = form.next_field().await.map_err(refused)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "audio" {
            audio = part.bytes().await.map_err(refused)?;
        } else {
            fields.insert(name, part.text().await.map_err(refused)?.into());
        }
    }
    let fields = serde_json::from_value(fields.into()).map_err(|e| {
        Refusal::Unreadable(format!("the form holds an unknown part or a value that does not fit: {e}"))
    })?;
    Ok((fields, audio))
}

/// The same audio for the same tenant and channel is the same note unless the client names it itself, so that an
/// upload that is repeated after a lost answer is not a second note.
async fn note(fields: Fields, tenant: Tenant, audio: &[u8], gateway: &Gateway) -> Result<VoiceNote, Refusal> {
    let digest = hex(&Sha256::digest(audio));
    Ok(VoiceNote {
        tenant,
        channel: fields.channel.unwrap_or_else(Channel::upload),
        message_id: fields.message_id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("sha256:{digest}")),
        conversation: fields.conversation,
        ticket: fields.ticket,
        sender: fields.sender,
        sent_at: fields.sent_at,
        language: fields.language,
        reply_window_ends_at: fields.reply_window_ends_at,
        priority: fields.priority,
        audio: gateway.recordings.put_or_carry(audio).await.map_err(Refusal::NotKept)?,
    })
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Why an upload was not queued.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a valid bearer token is needed: configure one under http.tokens")]
    Unauthorized,
    #[error("the token is not good for this tenant")]
    Forbidden,
    #[error("{0}")]
    Unreadable(String),
    #[error("{1}")]
    Body(StatusCode, String),
    #[error("the note could not be stored")]
    NotKept(#[source] RecordingError),
    #[error("the note could not be queued; send it again later")]
    NotQueued(#[source] BrokerError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unreadable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Body(status, _) => *status,
            Self::NotKept(_) | Self::NotQueued(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::warn!(error = &self as &dyn std::error::Error, "an upload was not accepted");
        }
        (status, Json(serde_json::json!({"error": self.to_string()}))).into_response()
    }
}
