//! Faults of the store, the clients and the outside: what is lost is counted and told, and the rest goes on.
//! `docs/faults.md` lists them with what happens.

// clippy.toml allows it in tests only, and takes the helpers here for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/program.rs"]
mod program;
#[path = "../hooks/server.rs"]
#[allow(dead_code, reason = "shared with the tests of hooks, which ask more of it")]
mod server;

mod clients;
mod killed;
mod two;
