//! HTTP from outside: what is served, to whom, and that no client holds anything up.

// clippy.toml allows it in tests only, and takes the helpers here for none.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/http.rs"]
mod http;
mod metrics;
#[path = "../support/program.rs"]
mod program;
mod serving;
#[path = "../support/stand_in.rs"]
mod stand_in;
mod truth;
mod web;
