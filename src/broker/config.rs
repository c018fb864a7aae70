//! Owns the settings of the queue, and the decision which of the two implementations an address means.
//!
//! Everything but the address is the same for both; where a setting means something to one of them only, it says so.
//! The address itself may hold a password and is handed to [`super::open`] beside these settings, never printed.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::BrokerError;
use crate::config::{Address, SecretError};

/// Where the embedded queue lies when no address is configured.
pub const EMBEDDED_PATH: &str = "data/sprachpost.sqlite";

/// Settings of the queue.
///
/// On RabbitMQ `waiting_max`, `deliveries_max`, `retry_delays_s`, `results_kept_s` and `results_kept_max` become
/// arguments of queues. RabbitMQ never changes those of a queue that exists: with other values the start fails with
/// the queue's name, until the queue has been emptied and deleted.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which queue: `embedded:PATH` or `amqp://host` (without a password; `amqp://one,two,three` for the nodes of a
    /// cluster, of which any will do), or where an address with a password is
    /// found: `{ env = "NAME" }` or `{ file = "PATH" }`. A file in `data/` where none is set.
    pub url: Option<Address>,
    /// Longest wait for a connection, in seconds.
    pub connect_s_max: u32,
    /// Longest wait for queues and exchanges to be declared, in seconds.
    pub declare_s_max: u32,
    /// Longest wait until a message is safe (a publisher confirm, a committed transaction), in seconds.
    pub confirm_s_max: u32,
    /// RabbitMQ: seconds without a sign of life after which a connection counts as dead; half of it is the interval
    /// of heartbeats.
    pub heartbeat_s: u16,
    /// RabbitMQ: longest pause between two attempts to reconnect, in seconds. The first pauses are shorter.
    pub reconnect_s_max: u32,
    /// RabbitMQ: how many messages are on their way to the broker at a time, each on a channel of its own.
    pub publishes_max: u16,
    /// Largest message body, in bytes. RabbitMQ 4 takes 16 MiB unless configured otherwise.
    pub message_bytes_max: usize,
    /// How many notes may wait. Beyond it, publishing is refused.
    pub waiting_max: u32,
    /// How often a note is handed out without being settled (its worker died, the connection was lost) before it
    /// counts as one that takes workers down. At least 1.
    pub deliveries_max: u32,
    /// RabbitMQ: the delays that retries can have, in seconds, one queue each. A retry waits for the shortest of them
    /// that is not shorter than asked for, or the longest. The embedded queue waits exactly as long as asked.
    pub retry_delays_s: Vec<u32>,
    /// RabbitMQ: how long a retry or dead letter is held back while the broker cannot take it, in seconds. The note
    /// occupies its worker meanwhile, which is wanted: a broker that takes nothing should not be asked for more.
    pub settle_s_max: u32,
    /// RabbitMQ: how many dead letters one look through them holds back from other lookers, at most. Those behind them
    /// come into sight when some are replayed or discarded.
    pub letters_held_max: u32,
    /// How long results are kept, in seconds: on RabbitMQ those that nobody has bound, embedded all of them.
    pub results_kept_s: u32,
    /// How many such results are kept; the oldest go first.
    pub results_kept_max: u32,
    /// Embedded: a note whose process shows no sign of life for so long goes to another worker, in seconds.
    pub lease_s: u32,
    /// Embedded: how often the file is looked at for what other processes wrote, in milliseconds.
    pub poll_ms: u32,
    /// Embedded: a message id that was queued within so many seconds is not queued again.
    pub dedupe_window_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            connect_s_max: 10,
            declare_s_max: 20,
            confirm_s_max: 10,
            heartbeat_s: 10,
            reconnect_s_max: 10,
            publishes_max: 64,
            message_bytes_max: 16 * 1024 * 1024,
            waiting_max: 100_000,
            deliveries_max: 6,
            retry_delays_s: vec![1, 5, 30, 120, 600],
            settle_s_max: 600,
            letters_held_max: 10_000,
            results_kept_s: 3600,
            results_kept_max: 10_000,
            lease_s: 30,
            poll_ms: 150,
            dedupe_window_s: 7 * 24 * 3600,
        }
    }
}

impl Config {
    /// The address, read from where it is kept.
    pub fn address(&self) -> Result<Option<SecretString>, SecretError> {
        self.url.as_ref().map(Address::read).transpose()
    }

    pub(super) fn confirm_limit(&self) -> Duration {
        Duration::from_secs(self.confirm_s_max.into())
    }

    pub(super) fn connect_limit(&self) -> Duration {
        Duration::from_secs(self.connect_s_max.into())
    }

    pub(super) fn declare_limit(&self) -> Duration {
        Duration::from_secs(self.declare_s_max.into())
    }

    /// Refuses a body that is too large before any byte of it is sent.
    pub(super) fn check_size(&self, body: &[u8]) -> Result<(), BrokerError> {
        if body.len() > self.message_bytes_max {
            return Err(BrokerError::TooLarge { bytes: body.len(), bytes_max: self.message_bytes_max });
        }
        Ok(())
    }

    /// Refuses settings with which nothing could work.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        let at_least_one: [(&str, u64); 15] = [
            ("connect_s_max", self.connect_s_max.into()),
            ("declare_s_max", self.declare_s_max.into()),
            ("confirm_s_max", self.confirm_s_max.into()),
            ("heartbeat_s", self.heartbeat_s.into()),
            ("reconnect_s_max", self.reconnect_s_max.into()),
            ("publishes_max", self.publishes_max.into()),
            ("message_bytes_max", self.message_bytes_max as u64),
            ("waiting_max", self.waiting_max.into()),
            ("deliveries_max", self.deliveries_max.into()),
            ("results_kept_s", self.results_kept_s.into()),
            ("results_kept_max", self.results_kept_max.into()),
            ("lease_s", self.lease_s.into()),
            ("poll_ms", self.poll_ms.into()),
            ("settle_s_max", self.settle_s_max.into()),
            ("letters_held_max", self.letters_held_max.into()),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(BrokerError::InvalidSetting { why: format!("broker.{name} must be at least 1") });
            }
        }
        if self.retry_delays_s.is_empty() || self.retry_delays_s.contains(&0) {
            return Err(BrokerError::InvalidSetting {
                why: "broker.retry_delays_s needs at least one delay, each at least 1".to_owned(),
            });
        }
        Ok(())
    }
}

/// Which implementation an address means.
#[derive(Debug)]
pub enum Target<'url> {
    Embedded(PathBuf),
    Amqp(&'url SecretString),
}

/// True where [`super::open`] would open the embedded queue.
#[must_use]
pub fn is_embedded(url: Option<&SecretString>) -> bool {
    matches!(Target::of(url), Ok(Target::Embedded(_)))
}

impl<'url> Target<'url> {
    pub fn of(url: Option<&'url SecretString>) -> Result<Self, BrokerError> {
        let Some(url) = url else { return Ok(Self::Embedded(EMBEDDED_PATH.into())) };
        let text = url.expose_secret();
        match text.split_once(':') {
            Some(("amqp" | "amqps", _)) => Ok(Self::Amqp(url)),
            Some(("embedded", "")) => Ok(Self::Embedded(EMBEDDED_PATH.into())),
            Some(("embedded", path)) => Ok(Self::Embedded(path.into())),
            _ => Err(BrokerError::InvalidSetting {
                why: "broker.url must begin with embedded:, amqp:// or amqps://".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded_path(url: Option<&str>) -> Option<PathBuf> {
        let url = url.map(SecretString::from);
        match Target::of(url.as_ref()) {
            Ok(Target::Embedded(path)) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn without_an_address_the_queue_is_a_file() {
        assert_eq!(embedded_path(None), Some(EMBEDDED_PATH.into()));
        assert_eq!(embedded_path(Some("embedded:")), Some(EMBEDDED_PATH.into()));
        assert_eq!(embedded_path(Some("embedded:/var/lib/q.sqlite")), Some("/var/lib/q.sqlite".into()));
    }

    #[test]
    fn an_unknown_scheme_is_refused_without_repeating_the_address() {
        let url = SecretString::from("kafka://user:geheim@host");
        let error = Target::of(Some(&url)).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("amqps://") && !shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let config = Config { retry_delays_s: Vec::new(), ..Config::default() };
        assert!(config.check().unwrap_err().to_string().contains("broker.retry_delays_s"));
        let config = Config { lease_s: 0, ..Config::default() };
        assert!(config.check().unwrap_err().to_string().contains("broker.lease_s"));
        assert!(Config::default().check().is_ok());
    }
}
