//! Sprachpost: voice notes from a message queue in; transcript, intent and a suggested reply out.
//!
//! Start reading at [`pipeline`]: it is the whole job on one page. The modules below are declared in the order in
//! which a note's data meets them.

// What a note is, what may become of it, and how both look on the wire.
pub mod backlog;
pub mod event;
pub mod note;
pub mod outcome;
pub mod private;
pub mod report;
pub mod retry;
pub mod tenants;

// The main flow: one note through all stages, and the loop that feeds it from a queue.
pub mod pipeline;
pub mod settling;
pub mod worker;

// Where notes come from and results go.
pub mod broker;
pub mod gateway;
pub mod import;
pub mod recordings;

// By what notes are read, and how that is replaced meanwhile.
pub mod learning;
pub mod reload;

// What shows only over many notes: follow-ups that are due, spikes.
pub mod watch;
// What people do with notes that were given up on.
pub mod letters;
// Which notes were answered already, where several workers share a RabbitMQ.
pub mod ledger;

// The stages, in order.
pub mod asr;
pub mod audio;
pub mod reply;
pub mod understanding;

// Where results are written down for agents.
pub mod tickets;

// What the stages stand on.
mod exponential;
mod hex;
mod http_client;
pub mod models;

// The process around them.
pub mod app;
pub mod bench;
pub mod cli;
pub mod config;
pub mod shutdown;
pub mod telemetry;
