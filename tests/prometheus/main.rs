//! What is shipped for Prometheus, with the real Prometheus and Alertmanager on loopback: dashboards, rules, alerts,
//! and the way of a fleet. Where they are not installed the tests say that they were passed over.

#![cfg(target_os = "linux")]
// clippy.toml allows these in tests only, and takes this for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/program.rs"]
mod program;

mod boards;
mod files;
mod server;
#[path = "../support/stand_in.rs"]
mod stand_in;
mod web;

mod alert;
mod counters;
mod deployment;
mod expressions;
mod fleet;
mod layout;
mod rules;
