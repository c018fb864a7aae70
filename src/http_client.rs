//! Owns what all requests over HTTP have in common: who asks, for how long, and that nothing is followed unasked.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};

/// A client that names this program, keeps the given limits, follows no redirect, and takes a proxy from nowhere but
/// the configuration.
pub(crate) fn builder(connect_s_max: u32, read_s_max: u32) -> ClientBuilder {
    // TLS needs a provider of cryptography for the whole process. Another part may have set the same one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("sprachpost/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(connect_s_max.into()))
        .read_timeout(Duration::from_secs(read_s_max.into()))
}
