//! Where readings come from.

pub mod host;
pub mod linux;
pub mod powermetrics;
pub mod replay;
pub mod simulate;
