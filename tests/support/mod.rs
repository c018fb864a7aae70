//! What the tests stand on.

pub mod clips;
pub mod frames;
pub mod guarded;
pub mod http_proxy;
pub mod language_model;
pub mod ledger;
pub mod llama;
pub mod nonspeech;
pub mod platforms;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod rabbitmq;
pub mod random;
pub mod request_tracker;
pub mod stages;
pub mod ticketing;
pub mod tickets;
pub mod voices;
pub mod worker;
pub mod znuny;

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// One runtime for all tests, so that what they share can live in it.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime"));
    &RUNTIME
}

/// Waits for a condition, and no longer than this takes on a machine that has other things to do.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
