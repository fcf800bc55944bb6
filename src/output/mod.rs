//! Outputs: what leaves the daemon.

pub mod socket;
pub mod store;
