//! Owns bearer tokens: who may hand in notes, and for which tenants.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{
    config::{Secret, SecretError},
    note::Tenant,
};

/// One client that may upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The bearer token.
    pub token: Secret,
    /// The tenants it is good for; the first is meant where an upload names none.
    #[schemars(length(min = 1))]
    pub tenants: Vec<Tenant>,
}

/// All tokens, read once at start. `SecretString` keeps them out of any output.
#[derive(Debug)]
pub struct Tokens(Vec<(SecretString, Vec<Tenant>)>);

impl Tokens {
    pub fn read(configs: &[TokenConfig]) -> Result<Self, SecretError> {
        let read = |config: &TokenConfig| Ok((config.token.read()?, config.tenants.clone()));
        configs.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The tenants that the request's token is good for; none if it has no valid one. Compared in constant time, and
    /// with all tokens, so that the time says nothing.
    pub fn tenants_of(&self, headers: &HeaderMap) -> Option<&[Tenant]> {
        let given = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let is_it = |token: &SecretString| bool::from(token.expose_secret().as_bytes().ct_eq(given.as_bytes()));
        self.0.iter().fold(None, |found, (token, tenants)| if is_it(token) { Some(tenants.as_slice()) } else { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        [(AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn only_the_right_token_opens_and_only_for_its_tenants() {
        let tenants: Vec<Tenant> = vec!["a".parse().unwrap()];
        let tokens = Tokens(vec![("right".into(), tenants.clone()), ("other".into(), vec!["b".parse().unwrap()])]);
        assert_eq!(tokens.tenants_of(&headers("Bearer right")), Some(tenants.as_slice()));
        for wrong in ["Bearer wrong", "Bearer righ", "Bearer right2", "right", "Basic right", "Bearer "] {
            assert_eq!(tokens.tenants_of(&headers(wrong)), None, "{wrong}");
        }
        assert_eq!(Tokens(vec![]).tenants_of(&headers("Bearer ")), None);
    }
}
