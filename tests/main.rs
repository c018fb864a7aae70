//! The one integration-test binary: real model, real broker, real files.

mod models;
mod ops;
mod support;
