//! Outputs: what leaves the daemon.

pub mod alert;
mod backoff;
mod client;
mod complaint;
pub mod forensics;
pub mod http;
pub mod metrics;
pub mod otlp;
pub mod socket;
pub mod store;
