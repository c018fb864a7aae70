//! Owns where the database is: with its password for the client, without it for everybody else; and TLS.
//!
//! Whether a connection is encrypted is decided by the operator, never by whoever sits between: what libpq calls
//! `prefer`, and takes for granted, is `require` here.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::ledger::{Config, LedgerError, postgres::session};

/// `Debug` and [`Database::shown`] hold neither user nor password.
#[derive(Clone)]
pub(super) struct Database {
    pub client: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
    shown: String,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Database {
    pub(super) fn parse(url: &SecretString, config: &Config) -> Result<Self, LedgerError> {
        let text = url.expose_secret();
        let parsed = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        // The parser's own error is left out: it may repeat parts of the address.
        let client = parsed.then(|| text.parse::<tokio_postgres::Config>().ok()).flatten();
        let Some(mut client) = client.filter(|client| !client.get_hosts().is_empty()) else {
            return Err(LedgerError::setting(
                "ledger.url is no address of PostgreSQL; it looks like postgres://user:password@host:5432/database",
            ));
        };
        let local = client.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        if local {
            client.ssl_mode(SslMode::Disable);
        } else if client.get_ssl_mode() == SslMode::Prefer {
            client.ssl_mode(SslMode::Require);
        }
        client
            .application_name("sprachpost")
            // Of several hosts the one that can be written to.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(config.connect_limit())
            .keepalives_idle(session::KEEPALIVE_IDLE)
            .keepalives_interval(session::KEEPALIVE_INTERVAL)
            .keepalives_retries(session::KEEPALIVE_RETRIES);
        let encrypted = client.get_ssl_mode() == SslMode::Require;
        let roots = if encrypted { roots(config.ca_file.as_deref())? } else { RootCertStore::empty() };
        Ok(Self { shown: shown(&client), tls: tls(roots)?, client })
    }

    /// `host:port`, all of them.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

fn shown(client: &tokio_postgres::Config) -> String {
    let ports = client.get_ports();
    let hosts = client.get_hosts().iter().enumerate().map(|(index, host)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    hosts.collect::<Vec<_>>().join(",")
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, LedgerError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let unusable = |source| LedgerError::InvalidSetting {
            why: format!("the file {}, ledger.ca_file, holds no certificates that can be read", path.display()),
            source: Some(source),
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.into()))? {
            let certificate = certificate.map_err(|error| unusable(error.into()))?;
            roots.add(certificate).map_err(|error| unusable(error.into()))?;
        }
        if roots.is_empty() {
            return Err(unusable("it holds none".into()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(LedgerError::setting(
                "this system has no certificates to check the ledger's with: install ca-certificates, or set \
                     ledger.ca_file, or end ledger.url in ?sslmode=disable",
            ));
        }
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> Result<MakeRustlsConnect, LedgerError> {
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| LedgerError::InvalidSetting {
            why: "TLS cannot be set up".to_owned(),
            source: Some(error.into()),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(client))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Database, LedgerError> {
        Database::parse(&SecretString::from(url), &Config::default())
    }

    #[test]
    fn neither_user_nor_password_is_ever_shown() {
        let database = parse("postgres://heimlich:geheim@one:5432,two:5433/db?sslmode=disable").unwrap();
        assert_eq!(format!("{database:?}"), "one:5432,two:5433");
    }

    #[test]
    fn an_unreadable_address_is_not_repeated() {
        for url in ["postgres://user:geheim@host:notaport/", "mysql://user:geheim@host/", "host=h password=geheim"] {
            let error = parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        }
    }

    #[test]
    fn nobody_in_between_can_turn_tls_off() {
        for url in ["postgres://host/db", "postgres://host/db?sslmode=prefer", "postgres://host/db?sslmode=require"] {
            assert_eq!(parse(url).unwrap().client.get_ssl_mode(), SslMode::Require, "{url}");
        }
        for url in ["postgres://host/db?sslmode=disable", "postgres:///db?host=/run/postgresql"] {
            assert_eq!(parse(url).unwrap().client.get_ssl_mode(), SslMode::Disable, "{url}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = Config { ca_file: Some(file.path().to_owned()), ..Config::default() };
        let error = Database::parse(&"postgres://host/db".into(), &config).unwrap_err();
        assert!(error.to_string().contains("ledger.ca_file"), "{error}");
    }
}
