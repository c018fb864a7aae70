//! Owns what it takes to talk to one account of a vendor: address, credential, and the limits that all who use the
//! account in this process share.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::{AUTHORIZATION, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    OpenError,
    http::{self, Http},
    limiter::{Accounts, Limiter, Rate},
};

/// One account of one system.
pub(super) struct Account<'a> {
    pub system: &'static str,
    pub url: &'a Url,
    /// Whose credential it is, where more than one user may be configured.
    pub user: &'a str,
    /// For all requests together.
    pub rates: &'a [Rate],
    /// For those that concern the same thing.
    pub each: &'a [Rate],
}

impl Account<'_> {
    /// The limits of the account; `kind` tells apart requests that are counted for themselves.
    pub(super) fn limiter(&self, accounts: &Accounts, kind: &str) -> Arc<Limiter> {
        let account = format!("{} {} {} {kind}", self.system, self.url, self.user);
        accounts.limiter(&account, || Limiter::new(self.rates, self.each))
    }

    /// A client whose paths begin at `api`, below the configured address.
    pub(super) fn http(&self, limits: &http::Config, accounts: &Accounts, api: &[&str]) -> Result<Http, OpenError> {
        let mut base = self.url.clone();
        base.path_segments_mut().map_err(|()| OpenError::Address)?.pop_if_empty().extend(api);
        Http::new(limits, &base, self.limiter(accounts, "requests"))
    }
}

/// Has every request carry a user and a password.
pub(super) fn with_basic(http: Http, user: &str, password: &str) -> Result<Http, OpenError> {
    let credential = STANDARD.encode(format!("{user}:{password}"));
    http.with_credential(AUTHORIZATION, &SecretString::from(format!("Basic {credential}")))
}

/// Has every request carry a token, as the vendor wants it written.
pub(super) fn with_token(
    http: Http,
    header: HeaderName,
    token: &SecretString,
    write: impl Fn(&str) -> String,
) -> Result<Http, OpenError> {
    http.with_credential(header, &SecretString::from(write(token.expose_secret())))
}
