//! The commands from outside: what is on record, recordings, and what becomes of their output.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/recording.rs"]
mod recording;

mod events;
mod history;
mod output;
mod prune;
mod recorded;
mod recordings;
mod running;
mod simulate;
