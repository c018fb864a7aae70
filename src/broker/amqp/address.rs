//! Owns the broker's address: with its password for lapin, without it for everybody else.

use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use crate::broker::{BrokerError, Config};

/// Where the broker is. `Debug` and [`Address::shown`] hold neither user nor password.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
    shown: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Address {
    pub(super) fn parse(url: &SecretString, config: &Config) -> Result<Self, BrokerError> {
        // The parser's own error is left out: it may repeat parts of the address.
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| BrokerError::InvalidSetting {
            why: "broker.url is no AMQP address; it looks like amqp://user:password@host:5672/vhost".to_owned(),
        })?;
        // `amqp://host/` would name a virtual host without a name, which nobody has.
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(config.heartbeat_s);
        let limit_ms = config.connect_limit().as_millis();
        uri.query.connection_timeout.get_or_insert(u64::try_from(limit_ms).unwrap_or(u64::MAX));
        let shown = format!("{}:{}", uri.authority.host, uri.authority.port);
        Ok(Self { uri, shown })
    }

    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    /// `host:port`.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BrokerError {
        BrokerError::Unreachable { address: self.shown.clone(), source: source.into() }
    }

    /// Whether anything accepts connections there, within the limit.
    pub(super) async fn accepts_connections(&self, limit: Duration) -> bool {
        let target = (self.uri.authority.host.clone(), self.uri.authority.port);
        matches!(tokio::time::timeout(limit, tokio::net::TcpStream::connect(target)).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, BrokerError> {
        Address::parse(&SecretString::from(url), &Config::default())
    }

    #[test]
    fn neither_user_nor_password_is_ever_shown() {
        let address = parse("amqps://heimlich:geheim@mq.example:5671/tickets").unwrap();
        assert_eq!(format!("{address:?} {}", address.shown()), "mq.example:5671 mq.example:5671");
        let error = address.unreachable("refused");
        assert!(!format!("{error} {error:?}").contains("he"), "{error:?}");
    }

    #[test]
    fn an_unreadable_address_is_not_repeated() {
        let error = parse("amqp://user:geheim@host:notaport/").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
    }

    #[test]
    fn without_a_virtual_host_it_is_the_default_one() {
        for url in ["amqp://host", "amqp://host/", "amqp://host/%2f"] {
            assert_eq!(parse(url).unwrap().uri().vhost, "/", "{url}");
        }
    }
}
