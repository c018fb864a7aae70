//! Owns secrets in the configuration: always a reference, never the secret itself, and never shown.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where a secret is found: `{ env = "NAME" }` or `{ file = "/run/secrets/name" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    /// The name of an environment variable.
    Env(String),
    /// A file that holds nothing else; one newline at its end is dropped.
    File(PathBuf),
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
    fn a_literal_secret_is_refused() {
        assert!(toml::from_str::<std::collections::BTreeMap<String, Secret>>(r#"token = "s3cret""#).is_err());
    }
}
