//! Forensics from outside: real pauses of this machine leave their evidence.
#![cfg(target_os = "linux")]
// clippy.toml allows it in tests only, and takes the helpers here for none.
#![allow(clippy::unwrap_used)]

#[path = "../support/daemon.rs"]
mod daemon;
mod evidence;
#[path = "../support/executable.rs"]
mod executable;
mod exported;
mod faults;
#[path = "../support/freezer.rs"]
mod freezer;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/mount.rs"]
mod mount;
mod pauses;
#[path = "../support/pressure.rs"]
mod pressure;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/recording.rs"]
mod recording;
