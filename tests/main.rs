//! The one integration-test binary: real model, real broker, real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod asr;
mod audio;
mod bench;
mod broker;
mod channels;
mod chaos;
mod cli;
mod contract;
mod dead_letters;
mod docs;
mod drafting;
mod end_to_end;
mod gateway;
mod import;
mod lanes;
mod ledger;
mod models;
mod ops;
mod pipeline;
mod platforms;
mod producers;
mod recordings;
mod reload;
mod support;
mod tickets;
mod told;
mod understanding;
mod uploads;
mod watch;
mod words;
