//! Owns what Meta's platforms share: how their webhooks are signed, and the question whether an address is ours.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    Refused,
    signature::{Algorithm, check_hmac, check_token},
};

const SIGNATURE: &str = "x-hub-signature-256";
/// Free answers are let through for so long after a customer's message.
const REPLY_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// `X-Hub-Signature-256: sha256=<hex>`, keyed with the app's secret.
pub(super) fn verify(app_secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
    let header = headers.get(SIGNATURE).ok_or(Refused::Unsigned)?;
    let given =
        header.to_str().ok().and_then(|header| header.strip_prefix("sha256=")).ok_or(Refused::WrongSignature)?;
    check_hmac(Algorithm::Sha256, app_secret, &[body], given)
}

/// Meta asks once, when the address is entered; the right answer is what it asked.
pub(super) fn challenge(verify_token: &SecretString, query: &BTreeMap<String, String>) -> Option<String> {
    let is = |name: &str, value: &str| query.get(name).is_some_and(|given| given == value);
    let token = query.get("hub.verify_token")?;
    let ours = is("hub.mode", "subscribe") && check_token(verify_token, token.as_bytes()).is_ok();
    // It goes back as it came, so nothing but what Meta sends there.
    let challenge = query.get("hub.challenge").filter(|text| text.bytes().all(|b| b.is_ascii_alphanumeric()))?;
    ours.then(|| challenge.clone())
}

pub(super) fn reply_window_ends_at(sent_at: Option<Timestamp>) -> Option<Timestamp> {
    sent_at?.checked_add(REPLY_WINDOW).ok()
}
