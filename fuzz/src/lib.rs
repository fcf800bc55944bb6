//! What is demanded of whatever reads bytes: a module for each fuzz target, each with a `check` that panics where an
//! input is not treated as it says at its top. The targets feed it what is fuzzed, `tests/corpora.rs` what is kept.

pub mod config;
pub mod http;
pub mod lines;
pub mod powermetrics;
#[cfg(target_os = "linux")]
pub mod proc;
pub mod web;

mod fixtures;
mod json;
mod reading;

#[path = "../../tests/oracle/framing.rs"]
mod framing;
#[path = "../../tests/oracle/yaml.rs"]
mod libyaml;
#[path = "../../tests/oracle/reference.rs"]
mod reference;
