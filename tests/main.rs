//! The one integration-test binary: real model, real broker, real files.

mod ops;
mod support;
