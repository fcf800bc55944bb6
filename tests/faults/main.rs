//! Faults of the store, the clients and the outside: what is lost is counted and told, and the rest goes on.
//! `docs/faults.md` lists them with what happens.

// clippy.toml allows it in tests only, and takes the helpers here for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[cfg(target_os = "linux")]
#[path = "../otlp/collector.rs"]
#[allow(dead_code, reason = "shared with the tests of OpenTelemetry, which ask more of it")]
mod collector;
#[path = "../support/daemon.rs"]
mod daemon;
#[cfg(target_os = "linux")]
#[path = "../notifications/desktop.rs"]
#[allow(dead_code, reason = "shared with the tests of notifications, which ask more of it")]
mod desktop;
#[cfg(target_os = "linux")]
#[path = "../support/disk.rs"]
mod disk;
#[cfg(target_os = "linux")]
#[path = "../support/executable.rs"]
mod executable;
#[path = "../support/http.rs"]
mod http;
#[cfg(target_os = "linux")]
#[path = "../support/mount.rs"]
mod mount;
#[path = "../support/peer.rs"]
#[cfg(target_os = "linux")]
mod peer;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/server.rs"]
#[allow(dead_code, reason = "shared with the tests of hooks, which ask more of it")]
mod server;

mod clients;
mod database;
mod eventful;
mod killed;
mod outside;
mod two;
mod web;
