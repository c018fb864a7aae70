//! Owns secrets in the configuration: always a reference, never the secret itself, and never shown.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};

/// Where a secret is found: `{ env = "NAME" }` or `{ file = "/run/secrets/name" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The name of an environment variable.
    Env(String),
    /// A file that holds nothing else; one newline at its end is dropped.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for Secret {
    /// By hand: what stands where a reference is wanted is likely to be the secret itself, and an error that repeated it
    /// would carry it into logs.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

/// Whatever was written, it is not repeated.
fn written_out<E: de::Error>() -> E {
    E::custom(
        "a secret does not belong into a file that people read: keep it in a variable or a file of its own and write \
         { env = \"NAME\" } or { file = \"PATH\" }",
    )
}

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("where a secret is found: { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
        Err(written_out())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(written_out())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(written_out())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(written_out())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let secret = match map.next_key::<String>()?.as_deref() {
            Some("env") => Secret::Env(map.next_value()?),
            Some("file") => Secret::File(map.next_value()?),
            _ => return Err(written_out()),
        };
        if map.next_key::<String>()?.is_some() { Err(written_out()) } else { Ok(secret) }
    }
}

impl Secret {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`SecretError`] if it is not there or empty. The error names the place, never the content.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let content = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::Unset(self.clone()))?,
            Self::File(path) => {
                let content = std::fs::read_to_string(path)
                    .map_err(|source| SecretError::Unreadable { secret: self.clone(), source })?;
                content.strip_suffix('\n').unwrap_or(&content).to_owned()
            }
        };
        if content.is_empty() { Err(SecretError::Unset(self.clone())) } else { Ok(content.into()) }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the {0}, which should hold a secret, is not set or empty")]
    Unset(Secret),
    #[error("the {secret}, which should hold a secret, cannot be read")]
    Unreadable {
        secret: Secret,
        #[source]
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_comes_from_a_file_without_its_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let secret = Secret::File(file.path().to_owned());
        assert_eq!(secret.read().unwrap().expose_secret(), "s3cret");
    }

    #[test]
    fn an_empty_or_missing_secret_is_an_error_that_names_its_place() {
        let missing = Secret::File("/nowhere/token".into());
        assert!(missing.read().unwrap_err().to_string().contains("/nowhere/token"));
        let unset = Secret::Env("SPRACHPOST_TEST_UNSET".to_owned());
        assert!(unset.read().unwrap_err().to_string().contains("SPRACHPOST_TEST_UNSET"));
    }

    #[test]
    fn a_secret_that_is_written_out_is_refused_and_not_repeated() {
        for written in ["\"geheim4711\"", "4711", "4711.5", "1979-05-27"] {
            let error = toml::from_str::<std::collections::BTreeMap<String, Secret>>(&format!("token = {written}"));
            let message = error.unwrap_err().message().to_owned();
            assert!(message.contains("{ env = \"NAME\" } or { file = \"PATH\" }"), "{message}");
            assert!(!message.contains("4711") && !message.contains("1979"), "{message}");
        }
    }

    #[test]
    fn a_reference_is_read_and_written_as_it_stands() {
        for reference in ["env = \"NAME\"", "file = \"/run/secrets/name\""] {
            let secret: Secret = toml::from_str(reference).unwrap();
            assert_eq!(toml::to_string(&secret).unwrap().trim_end(), reference);
        }
        for wrong in ["env = \"A\"\nfile = \"B\"", "evn = \"A\"", ""] {
            assert!(toml::from_str::<Secret>(wrong).is_err(), "{wrong}");
        }
    }
}
