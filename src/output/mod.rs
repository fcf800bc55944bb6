//! Outputs: what leaves the daemon.

pub mod store;
