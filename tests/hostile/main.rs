//! What the machine throws at the daemon: a sampler that misbehaves, limits, clocks that jump, names that are traps.
//!
//! The whole list, with what fails without its handling, is in `docs/faults.md`.
#![cfg(target_os = "linux")]
// clippy.toml allows these in tests only, and takes their helpers for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/executable.rs"]
mod executable;
#[path = "../support/freezer.rs"]
mod freezer;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/program.rs"]
mod program;
#[allow(dead_code, reason = "shared with the tests of hooks, which ask more of it")]
#[path = "../support/server.rs"]
mod server;
#[path = "../support/stand_in.rs"]
mod stand_in;
#[path = "../support/terminal.rs"]
mod terminal;

mod blamed;
mod child;
mod clocks;
mod crowds;
mod group;
mod limits;
mod names;
mod process;
mod sampler;
mod screens;
