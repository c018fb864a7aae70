//! The one integration-test binary: real model, real broker, real files.

mod audio;
mod models;
mod ops;
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod broker;
mod support;
mod understanding;
