//! Alerts: what is told to the user's screen and to the user's own programs.

pub mod hook;
mod payload;

pub use payload::{Event, Payload, Status, VERSION};
