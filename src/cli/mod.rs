//! (stub)
pub mod models;
