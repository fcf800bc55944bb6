//! Installing, checking and leaving again: on machines of their own (`machine`), with the real sudo and visudo, and
//! stand-ins where a Mac's own programs would be.

// clippy.toml allows it in tests only, and takes their helpers for none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/daemon.rs"]
mod daemon;
#[cfg(target_os = "linux")]
mod doctor;
mod dry_run;
#[cfg(target_os = "linux")]
mod install;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod notify;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/program.rs"]
mod program;
mod release;
#[cfg(target_os = "linux")]
mod sudo;
#[cfg(target_os = "linux")]
mod units;
