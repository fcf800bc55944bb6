//! Hooks from outside: programs with every fault that programs have, and a web server with those of servers.

// clippy.toml allows it in tests only, and takes the helpers here for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/executable.rs"]
mod executable;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/program.rs"]
mod program;

mod ending;
mod listed;
#[path = "../support/peer.rs"]
mod peer;
mod programs;
mod running;
#[path = "../support/server.rs"]
mod server;
mod shipped;
mod tried;
mod webhooks;
