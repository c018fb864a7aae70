//! The one integration-test binary: real model, real broker, real files.

mod audio;
mod models;
mod ops;
mod support;
