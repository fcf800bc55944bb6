//! OpenTelemetry from outside: the built program, a real collector, and a receiver that shows every field and fails
//! as it is told to.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/program.rs"]
mod program;

mod away;
mod certificates;
mod collector;
mod configured;
mod counted;
mod exporting;
mod fields;
mod real;
mod refused;
