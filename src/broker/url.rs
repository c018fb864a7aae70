//! Owns the broker's address in the configuration: in plain sight without a password, or a reference to a secret.

use std::fmt;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::config::{Secret, SecretError};

/// `embedded:PATH` or `amqp://host`, or where an address with a password is found: `{ env = … }` or `{ file = … }`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum BrokerUrl {
    /// An address that anybody may read.
    Plain(String),
    Secret(Secret),
}

impl BrokerUrl {
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Plain(url) => Ok(url.as_str().into()),
            Self::Secret(secret) => secret.read(),
        }
    }
}

impl<'de> Deserialize<'de> for BrokerUrl {
    /// By hand, so that an error says what is wrong instead of that nothing fitted.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BrokerUrlVisitor)
    }
}

struct BrokerUrlVisitor;

impl<'de> Visitor<'de> for BrokerUrlVisitor {
    type Value = BrokerUrl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or where it is found: { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BrokerUrl, E> {
        if url::Url::parse(text).is_ok_and(|url| url.password().is_some()) {
            return Err(E::custom(
                "an address with a password does not belong into a file that people read: keep it in a variable or a \
                 file of its own and write { env = \"NAME\" } or { file = \"PATH\" }",
            ));
        }
        Ok(BrokerUrl::Plain(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BrokerUrl, A::Error> {
        Secret::deserialize(MapAccessDeserializer::new(map)).map(BrokerUrl::Secret)
    }
}
