//! Owns `/v1/channels/<name>`: what platforms send, answered within a second.
//!
//! Nobody is trusted before [`Platform::verify`](super::Platform::verify): a body is read up to its limits and not
//! looked at. 200 means that every note in it is safe; 503 asks the platform to send it again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use futures_util::StreamExt as _;

use super::{
    NotRead, OpenChannel, Refused,
    intake::{Intake, NotTaken},
};
use crate::gateway::Gateway;

/// The question of a platform whether the address is ours.
pub async fn challenge(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let answer = gateway.channels.get(&name).and_then(|own| own.platform.challenge(&query));
    match answer {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain")], text).into_response(),
        None if gateway.channels.get(&name).is_some() => StatusCode::FORBIDDEN.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What a platform has to tell.
pub async fn receive(State(gateway): State<Gateway>, Path(name): Path<String>, request: Request) -> Response {
    let Some(own) = gateway.channels.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let (head, body) = request.into_parts();
    let Ok(room) = gateway.bodies.try_acquire() else {
        Answer::Busy.tell(own);
        return Answer::Busy.status().into_response();
    };
    let answer = match read(&head.headers, body, gateway.config.webhook_bytes_max).await {
        Ok(body) => {
            drop(room);
            let limit_ms = gateway.config.webhook_ms_max;
            let taken = take(own, &gateway.intake, &head.headers, &body);
            let limit = Duration::from_millis(limit_ms.into());
            tokio::time::timeout(limit, taken).await.unwrap_or(Err(Answer::NotTaken(NotTaken::TooSlow { limit_ms })))
        }
        Err(answer) => Err(answer),
    };
    let answer = answer.err().unwrap_or(Answer::Taken);
    answer.tell(own);
    answer.status().into_response()
}

async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Vec<u8>, Answer> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(Answer::TooLarge);
    }
    let (mut chunks, mut bytes) = (body.into_data_stream(), vec![]);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Answer::BrokeOff)?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(Answer::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn take(own: &Arc<OpenChannel>, intake: &Intake, headers: &HeaderMap, body: &[u8]) -> Result<(), Answer> {
    own.platform.verify(headers, body).map_err(Answer::Refused)?;
    let parsed = own.platform.read(body).await.map_err(|error| match error {
        NotRead::Refused(refused) => Answer::Refused(refused),
        NotRead::Asked(error) => Answer::NotTaken(NotTaken::Asked(error)),
    })?;
    intake.accept(own, parsed).await.map_err(Answer::NotTaken)
}

/// What a platform is told.
#[derive(Debug)]
enum Answer {
    Taken,
    Refused(Refused),
    TooLarge,
    /// The body did not come to its end in time.
    BrokeOff,
    /// Too many others send at the moment.
    Busy,
    NotTaken(NotTaken),
}

impl Answer {
    fn status(&self) -> StatusCode {
        match self {
            Self::Taken => StatusCode::OK,
            Self::Refused(Refused::Unsigned | Refused::WrongSignature | Refused::Stale) => StatusCode::UNAUTHORIZED,
            Self::Refused(Refused::Malformed) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BrokeOff => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::NotTaken(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused(refused) => refused.as_str(),
            Self::TooLarge => "too_large",
            Self::BrokeOff => "broke_off",
            Self::Busy => "busy",
            Self::NotTaken(_) => "not_taken",
        }
    }

    fn tell(&self, own: &OpenChannel) {
        let (channel, result) = (own.name.to_string(), self.as_str());
        metrics::counter!("sprachpost_webhooks_total", "channel" => channel, "result" => result).increment(1);
        match self {
            Self::Taken | Self::BrokeOff | Self::Busy => {}
            Self::TooLarge => tracing::warn!(channel = %own.name, "a webhook was refused: it is larger than allowed"),
            Self::Refused(refused) => tracing::warn!(channel = %own.name, %refused, "a webhook was refused"),
            Self::NotTaken(error) => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(channel = %own.name, error, "a webhook was not taken; the platform sends it again");
            }
        }
    }
}
