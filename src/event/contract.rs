//! Owns the generated contract: JSON Schema of both events and the AsyncAPI document.
