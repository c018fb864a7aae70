//! Owns the type that keeps what customers say, and who they are, out of logs, metrics and error texts.
//!
//! [`Private`] has a redacting `Debug` and no `Display`: formatting it by accident prints its size, never its content.
//! It serialises as its content, because the wire contract carries it; reading it in code takes an explicit
//! [`Private::expose`], which is easy to find in a review.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Text that belongs to a customer: speech, names, addresses of conversations, anything derived from them.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Private(String);

impl Private {
    pub fn new(content: impl Into<String>) -> Self {
        Self(content.into())
    }

    /// The content itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<private, {} bytes>", self.0.len())
    }
}

impl From<String> for Private {
    fn from(content: String) -> Self {
        Self(content)
    }
}

impl From<&str> for Private {
    fn from(content: &str) -> Self {
        Self(content.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_the_content() {
        let text = Private::new("Meine Kundennummer ist 4711");
        let shown = format!("{text:?} {:#?}", Some(&text));
        assert!(!shown.contains("4711"), "{shown}");
        assert!(shown.contains("27 bytes"), "{shown}");
    }

    #[test]
    fn the_wire_carries_the_content_itself() {
        let json = serde_json::to_string(&Private::new("hallo")).unwrap();
        assert_eq!(json, r#""hallo""#);
    }
}
