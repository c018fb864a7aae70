//! (stub)
pub mod models;

pub mod playbook;
