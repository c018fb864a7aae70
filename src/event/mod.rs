//! Owns the wire contract: what a note looks like when it comes in, the one event that says what became of it, and
//! what is told beside it.
//!
//! * [`processed`]: the data of `de.sprachpost.voice-note.processed.v1`, the terminal event.
//! * [`understanding`]: what it says of the note's meaning.
//! * [`redacted`]: the same without personal data. [`acknowledged`]: what the sender can be told at once.
//! * [`follow_up_due`], [`spike`]: what is noticed later, over many notes. [`case_closed`]: what others may say to that.
//! * [`drafting`]: whose words a suggestion has.
//! * [`reason`]: the stable machine-readable reasons in it.
//! * [`envelope`]: CloudEvents 1.0 in, in all three modes, and out in structured mode.
//! * [`contract`]: JSON Schema and AsyncAPI, generated from these types.
//!
//! It knows the shape of messages, not how a broker carries them.

pub mod acknowledged;
pub mod case_closed;
pub mod contract;
pub mod drafting;
pub mod envelope;
pub mod follow_up_due;
pub mod processed;
pub mod reason;
pub mod redacted;
pub mod spike;
pub mod understanding;

pub use acknowledged::Acknowledged;
pub use case_closed::CaseClosed;
pub use drafting::{DraftRefused, Drafting};
pub use envelope::{Event, EventError, RECEIVED_V1};
pub use follow_up_due::FollowUpDue;
pub use processed::Processed;
pub use reason::Reason;
pub use redacted::Redacted;
pub use spike::Spike;
