//! Alerts: what is told to the user's screen and to the user's own programs.

mod payload;

pub use payload::{Event, Payload, Status, VERSION};
