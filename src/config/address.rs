//! Owns addresses of servers in the configuration: in plain sight without a password, or a reference to a secret.

use std::fmt;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Secret, SecretError};

/// An address, or where one with a password is found: `{ env = … }` or `{ file = … }`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Address {
    /// An address that anybody may read.
    Plain(String),
    Secret(Secret),
}

impl Address {
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Plain(url) => Ok(url.as_str().into()),
            Self::Secret(secret) => secret.read(),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    /// By hand, so that an error says what is wrong instead of that nothing fitted.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressVisitor)
    }
}

struct AddressVisitor;

impl<'de> Visitor<'de> for AddressVisitor {
    type Value = Address;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or where it is found: { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Address, E> {
        if has_password(text) {
            return Err(E::custom(
                "an address with a password does not belong into a file that people read: keep it in a variable or a \
                 file of its own and write { env = \"NAME\" } or { file = \"PATH\" }",
            ));
        }
        Ok(Address::Plain(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Address, A::Error> {
        Secret::deserialize(MapAccessDeserializer::new(map)).map(Address::Secret)
    }
}

/// By hand: an address of several hosts, as PostgreSQL has them, is none to a parser of URLs.
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return text.contains("password") };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    in_authority || rest.split_once('?').is_some_and(|(_, query)| query.contains("password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_wherever_an_address_can_hold_one() {
        for with in [
            "amqp://user:geheim@host",
            "postgres://user:geheim@one:5432,two:5432/db",
            "postgres://user@host/db?password=geheim",
            "host=h password=geheim",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in
            ["amqp://host:5672", "embedded:/data/q.sqlite", "postgres://user@one:5432,two/db?sslmode=disable"]
        {
            assert!(!has_password(without), "{without}");
        }
    }
}
