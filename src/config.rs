//! Owns the configuration as a whole: one TOML file, overridden by the environment, checked before anything starts.

mod secret;

pub use self::secret::{Secret, SecretError};
