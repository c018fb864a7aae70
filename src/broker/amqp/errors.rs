//! Owns how lapin's errors and waits without end become [`BrokerError`]s.

use std::time::Duration;

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
};

use crate::broker::BrokerError;

/// Puts a limit on a wait. RabbitMQ can leave any request unanswered: with most of its nodes down, or blocked.
pub(super) async fn within<T>(
    what: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(limit, future).await.unwrap_or(Err(BrokerError::TimedOut { what, limit }))
}

/// An error of a request: either the broker said no to it, or there is no broker any more.
pub(super) fn failed(what: &'static str) -> impl Fn(lapin::Error) -> BrokerError {
    move |error| match soft(&error) {
        Some(_) => BrokerError::Refused { what, source: Box::new(error) },
        None => BrokerError::Lost(Box::new(error)),
    }
}

/// An error that closes a channel and leaves the connection alone.
fn soft(error: &lapin::Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// 404: the queue or exchange is gone.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(soft(error), Some(AMQPSoftError::NOTFOUND))
}

/// 406: on a declaration, it exists with other arguments.
pub(super) fn is_precondition(error: &lapin::Error) -> bool {
    matches!(soft(error), Some(AMQPSoftError::PRECONDITIONFAILED))
}

/// 406 on a publish: "message size 17825792 is larger than configured max size 16777216".
pub(super) fn size_limit(error: &lapin::Error) -> Option<usize> {
    let ErrorKind::ProtocolError(protocol) = error.kind() else { return None };
    if !is_precondition(error) {
        return None;
    }
    let (_, after) = protocol.get_message().as_str().split_once("max size ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    fn precondition(text: &str) -> lapin::Error {
        let kind = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
        ErrorKind::ProtocolError(AMQPError::new(kind, text.into())).into()
    }

    #[test]
    fn the_brokers_own_limit_is_read_from_its_refusal() {
        let error = precondition("PRECONDITION_FAILED - message size 20 is larger than configured max size 10");
        assert_eq!(size_limit(&error), Some(10));
        assert_eq!(size_limit(&precondition("PRECONDITION_FAILED - inequivalent arg")), None);
    }

    #[test]
    fn a_refusal_is_told_from_a_lost_connection() {
        assert!(matches!(failed("declare")(precondition("no")), BrokerError::Refused { .. }));
        assert!(matches!(failed("declare")(ErrorKind::MissingHeartbeatError.into()), BrokerError::Lost(_)));
    }
}
