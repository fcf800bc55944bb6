//! How true it is what the daemon tells of a gap: pauses are made in several ways, the kernel says how long they were,
//! and the daemon's durations and verdicts are held against that.
//!
//! `held.rs` has those that stop or freeze, for a short time, and runs with all other tests. The whole table, pauses of 0.3, 1, 5 and 30 s, takes a
//! quarter of an hour and a quiet machine; TRUTH_ROWS asks for the rows with certain words in their names:
//!
//!     cargo test --locked --test truth -- --ignored --nocapture
//!
//! Most ways need root; what is not permitted is passed over and said.
#![cfg(target_os = "linux")]
// clippy.toml allows these in tests only, and takes these for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/bustle.rs"]
mod bustle;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/freezer.rs"]
mod freezer;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/pressure.rs"]
mod pressure;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/stand_in.rs"]
mod stand_in;

mod cases;
mod held;
mod kernel;
mod matrix;
mod subject;
mod wall;
mod ways;
