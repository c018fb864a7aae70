//! What the tests stand on.

pub mod guarded;
pub mod rabbitmq;
