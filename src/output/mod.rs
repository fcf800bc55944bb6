//! Outputs: what leaves the daemon.

pub mod alert;
pub mod http;
pub mod metrics;
pub mod otlp;
pub mod socket;
pub mod store;
