//! Owns which addresses may be asked at all: host names by list, and the IP addresses that they really resolve to.
//!
//! Names are resolved here, and what is refused here is never connected to: a name that resolves to a harmless address
//! first and to an internal one later gains nothing.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::{Config, FetchError, SetupError};

/// What the configuration allows.
pub(super) struct Allowed {
    exact: HashSet<String>,
    /// With their leading dot: `.example.com`.
    suffixes: Vec<String>,
    plain_http: HashSet<String>,
    private: HashSet<String>,
}

impl Allowed {
    pub(super) fn new(config: &Config) -> Result<Self, SetupError> {
        let mut allowed =
            Self { exact: HashSet::new(), suffixes: Vec::new(), plain_http: HashSet::new(), private: HashSet::new() };
        for host in &config.hosts {
            match host.strip_prefix("*.") {
                Some(domain) => allowed.suffixes.push(format!(".{}", normal("hosts", domain)?)),
                None => drop(allowed.exact.insert(normal("hosts", host)?)),
            }
        }
        allowed.private = allowed.all_listed("private_hosts", &config.private_hosts)?;
        allowed.plain_http = allowed.all_listed("allow_http_hosts", &config.allow_http_hosts)?;
        Ok(allowed)
    }

    /// A host that is allowed something but never asked is a mistake in the configuration.
    fn all_listed(&self, field: &'static str, names: &[String]) -> Result<HashSet<String>, SetupError> {
        let names: HashSet<String> = names.iter().map(|name| normal(field, name)).collect::<Result<_, _>>()?;
        match names.iter().find(|name| !self.is_listed(name)) {
            Some(name) => Err(SetupError::NotAHost { field, name: name.clone() }),
            None => Ok(names),
        }
    }

    fn is_listed(&self, host: &str) -> bool {
        self.exact.contains(host) || self.suffixes.iter().any(|suffix| host.ends_with(suffix))
    }

    /// Whether a note, or a redirect, may lead there.
    pub(super) fn check(&self, url: &Url) -> Result<(), FetchError> {
        let forbidden = |why| Err(FetchError::Forbidden { why });
        let Some(host) = url.host_str() else { return forbidden("the address has no host") };
        if !self.is_listed(host) {
            return forbidden("its host is not one of those allowed (fetch.hosts, media_hosts of a channel)");
        }
        match url.scheme() {
            "https" => {}
            "http" if self.plain_http.contains(host) => {}
            _ => return forbidden("its address is not https"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return forbidden("its address carries credentials");
        }
        // Names are checked when they are resolved; there is nothing to resolve in an IP address.
        if ip_literal(url).is_some_and(|ip| !is_public(ip)) && !self.private.contains(host) {
            return forbidden(PRIVATE);
        }
        Ok(())
    }

    /// Resolves for all that the configuration allows; `trusted` are hosts that the operator named as servers of his own.
    pub(super) fn resolver(&self, trusted: impl IntoIterator<Item = String>) -> Resolver {
        Resolver { private: Arc::new(self.private.iter().cloned().chain(trusted).collect()) }
    }
}

/// As [`Url`] writes hosts: lower case, punycode, IPv6 in brackets.
fn normal(field: &'static str, name: &str) -> Result<String, SetupError> {
    let wrong = || SetupError::Host { field, name: name.to_owned() };
    let host = Host::parse(name).map_err(|_| wrong())?.to_string();
    if host.is_empty() || host.contains('*') { Err(wrong()) } else { Ok(host) }
}

fn ip_literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

const PRIVATE: &str = "its host has an address in a private network and is not one of fetch.private_hosts";

/// Resolves names and drops what may not be connected to.
#[derive(Clone)]
pub(super) struct Resolver {
    private: Arc<HashSet<String>>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let may_be_private = self.private.contains(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let usable: Vec<SocketAddr> =
                found.iter().copied().filter(|address| may_be_private || is_public(address.ip())).collect();
            if usable.is_empty() && !found.is_empty() {
                return Err(PrivateAddress.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

/// A name resolved to private addresses only. It travels through the HTTP client as the source of its error.
#[derive(Debug, thiserror::Error)]
#[error("the host has private addresses only")]
struct PrivateAddress;

/// Finds out whether a request failed because of [`Resolver`].
pub(super) fn forbidden_address(error: &(dyn std::error::Error + 'static)) -> Option<FetchError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<PrivateAddress>() {
            return Some(FetchError::Forbidden { why: PRIVATE });
        }
        cause = error.source();
    }
    None
}

/// Whether an address belongs to somebody on the internet: what is special, local or translated to that is not public.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && b & 0xfe == 18;
    !(a == 0
        || a >= 224
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || protocols
        || benchmarks)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        // IPv4 in other clothes: mapped, compatible (with loopback and unspecified), translated, 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(v4(high, low))
        }
        // Teredo and other special uses, documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..] => false,
        // All that is given out on the internet begins with 001.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Allowed {
        Allowed::new(&Config {
            hosts: ["media.example.com", "*.cdn.example", "127.0.0.1", "10.1.2.3", "dev.local"]
                .map(String::from)
                .into(),
            private_hosts: vec!["127.0.0.1".to_owned()],
            allow_http_hosts: vec!["dev.local".to_owned()],
            ..Config::default()
        })
        .unwrap()
    }

    fn why(url: &str) -> Option<&'static str> {
        match allowed().check(&url.parse().unwrap()) {
            Ok(()) => None,
            Err(FetchError::Forbidden { why }) => Some(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn hosts_are_allowed_by_exact_name_or_below_a_wildcard() {
        for url in ["https://media.example.com/a", "https://MEDIA.example.com:8443/", "https://a.b.cdn.example/"] {
            assert_eq!(why(url), None, "{url}");
        }
        for url in [
            "https://example.com/",
            "https://xmedia.example.com/",
            "https://cdn.example/",
            "https://evilcdn.example/",
            "https://media.example.com.evil.test/",
            "https://media.example.com@evil.test/",
        ] {
            assert_eq!(
                why(url),
                Some("its host is not one of those allowed (fetch.hosts, media_hosts of a channel)"),
                "{url}"
            );
        }
    }

    #[test]
    fn only_https_is_allowed_unless_the_host_is_listed_for_http() {
        assert_eq!(why("http://dev.local/"), None);
        for url in ["http://media.example.com/", "ftp://media.example.com/"] {
            assert_eq!(why(url), Some("its address is not https"), "{url}");
        }
    }

    #[test]
    fn an_address_with_credentials_is_refused() {
        assert_eq!(why("https://user:pass@media.example.com/"), Some("its address carries credentials"));
    }

    #[test]
    fn an_ip_address_in_a_private_network_must_be_listed_as_such() {
        assert_eq!(why("https://127.0.0.1/"), None);
        assert_eq!(why("https://2130706433/"), None, "the same, as a number");
        assert_eq!(why("https://10.1.2.3/"), Some(PRIVATE));
    }

    #[test]
    fn private_special_and_translated_addresses_are_not_public() {
        for ip in [
            "127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_host_that_is_no_host_name_or_not_listed_is_a_configuration_error() {
        for bad in ["https://media.example.com", "media.example.com/x", "a b", "", "*", "a.*.example"] {
            let config = Config { hosts: vec![bad.to_owned()], ..Config::default() };
            assert!(matches!(Allowed::new(&config), Err(SetupError::Host { .. })), "{bad}");
        }
        let config = Config { private_hosts: vec!["intranet".to_owned()], ..Config::default() };
        assert!(matches!(Allowed::new(&config), Err(SetupError::NotAHost { field: "private_hosts", .. })));
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_unless_it_is_listed() {
        let resolve = |trusted: &[&str]| {
            allowed().resolver(trusted.iter().map(|&name| name.to_owned())).resolve("localhost".parse().unwrap())
        };
        let error = resolve(&[]).await.err().unwrap();
        assert_eq!(forbidden_address(&*error), Some(FetchError::Forbidden { why: PRIVATE }));
        assert!(resolve(&["localhost"]).await.unwrap().count() > 0);
    }
}
