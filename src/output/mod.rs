//! Outputs: what leaves the daemon.

pub mod otlp;
pub mod socket;
pub mod store;
