//! Owns the broker's address: with its password for lapin, without it for everybody else.

use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::broker::{BrokerError, Config};

/// What an AMQP 0-9-1 client says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Where the broker is: one host, or the nodes of a cluster, of which any will do. `Debug` and [`Address::shown`] hold
/// neither user nor password.
#[derive(Clone)]
pub(super) struct Address {
    /// One a host, alike but for that.
    uris: Vec<AMQPUri>,
    shown: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Address {
    pub(super) fn parse(url: &SecretString, config: &Config) -> Result<Self, BrokerError> {
        let hosts = one_url_a_host(url.expose_secret());
        let uris = hosts.iter().map(|url| parse_one(url, config)).collect::<Result<Vec<AMQPUri>, _>>()?;
        let shown: Vec<String> =
            uris.iter().map(|uri| format!("{}:{}", uri.authority.host, uri.authority.port)).collect();
        Ok(Self { uris, shown: shown.join(",") })
    }

    /// How many hosts there are; at least one.
    pub(super) fn hosts(&self) -> usize {
        self.uris.len()
    }

    /// The address of one host; they are counted round and round.
    pub(super) fn uri(&self, host: usize) -> &AMQPUri {
        &self.uris[host % self.uris.len()]
    }

    /// `host:port`, of all hosts.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BrokerError {
        BrokerError::Unreachable { address: self.shown.clone(), source: source.into() }
    }

    /// Whether a broker answers there, within the limit. Unlike a full attempt to connect, this leaves nothing behind
    /// where a connection is accepted and then nothing is said, as a stalled proxy does.
    pub(super) async fn answers(&self, host: usize, limit: Duration) -> bool {
        tokio::time::timeout(limit, first_byte(self.uri(host))).await.is_ok_and(|answer| answer.is_ok())
    }
}

/// `amqp://user:password@one:5672,two:5672/vhost`, as several addresses.
fn one_url_a_host(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if user.is_empty() { "" } else { "@" };
    hosts.split(',').map(|host| format!("{scheme}://{user}{at}{host}{path}")).collect()
}

fn parse_one(url: &str, config: &Config) -> Result<AMQPUri, BrokerError> {
    // The parser's own error is left out: it may repeat parts of the address.
    let mut uri: AMQPUri = url.parse().map_err(|_| BrokerError::InvalidSetting {
        why: "broker.url is no AMQP address; it looks like amqp://user:password@host:5672/vhost".to_owned(),
    })?;
    // `amqp://host/` would name a virtual host without a name, which nobody has.
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(config.heartbeat_s);
    let limit_ms = config.connect_limit().as_millis();
    uri.query.connection_timeout.get_or_insert(u64::try_from(limit_ms).unwrap_or(u64::MAX));
    Ok(uri)
}

async fn first_byte(uri: &AMQPUri) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).await?;
    // Under TLS a broker says nothing before a handshake; that it accepts has to do.
    if uri.scheme == AMQPScheme::AMQP {
        stream.write_all(PROTOCOL_HEADER).await?;
        stream.read_u8().await?;
    }
    Ok(())
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
        assert!(!format!("{error} {error:?}").contains("heim"), "{error:?}");
    }

    #[test]
    fn an_unreadable_address_is_not_repeated() {
        let error = parse("amqp://user:geheim@host:notaport/").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
    }

    #[test]
    fn without_a_virtual_host_it_is_the_default_one() {
        for url in ["amqp://host", "amqp://host/", "amqp://host/%2f"] {
            assert_eq!(parse(url).unwrap().uri(0).vhost, "/", "{url}");
        }
    }

    #[test]
    fn the_nodes_of_a_cluster_are_one_address() {
        let address = parse("amqp://user:geheim@one,two:5673,three/tickets").unwrap();
        assert_eq!((address.hosts(), address.shown()), (3, "one:5672,two:5673,three:5672"));
        for host in 0..3 {
            let uri = address.uri(host);
            assert_eq!((uri.vhost.as_str(), uri.authority.userinfo.username.as_str()), ("tickets", "user"));
        }
        assert_eq!(address.uri(4).authority.port, 5673);
        assert!(parse("amqp://user:geheim@one,:x/tickets").is_err());
    }
}
