//! Alerts: what is told to the user's screen and to the user's own programs.
//!
//! ```text
//! hub: samples, notices ──> watch ──Alert──> queue ──> alerts' thread: waits for the commit, ─┬─> policy ──> notify: a helper process
//!                          (pure)           64         in order, a second at most            └─> hook: the user's programs and webhooks
//! ```
//!
//! The hub never waits: a full queue drops alerts and counts them. What may hang (a disk, a notification service) hangs
//! on this thread alone, and has its limit there.

mod gathered;
pub mod hook;
mod notify;
mod payload;
mod policy;
#[cfg(test)]
mod tests;
mod thread;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use gathered::gathered;
pub use hook::{HookContext, Hooks, check as check_hooks};
pub use notify::{COMMAND, Desktop, HelperError, LIMIT, NotificationStats, Outcome, run_helper};
pub use payload::{Event, Payload, Status, VERSION};
pub use policy::{Banner, Kind};
pub use thread::{Alerts, Ending, Options, Record, Teller};
pub use watch::{Alert, Watch};

use crate::sample::{Factor, Stress};

/// Counters of the alerts. The alerts' thread and the hub write them, `/metrics` reads them.
#[derive(Debug, Default)]
pub struct AlertStats {
    /// What became of notifications.
    pub notifications: NotificationStats,
    /// What became of the runs of hooks.
    pub hooks: Arc<hook::HookStats>,
    /// Alerts that the full queue dropped. The hub writes.
    pub dropped: AtomicU64,
}

/// The three factors that made most of a score: `, pageins 30, io 10`; empty where there is none.
fn largest_factors(stress: &Stress) -> String {
    let mut scored: Vec<_> = Factor::ALL.into_iter().map(|factor| (stress.get(factor), factor)).collect();
    scored.sort_by_key(|&(points, _)| std::cmp::Reverse(points));
    let scored = scored.iter().filter(|(points, _)| *points > 0).take(3);
    scored.map(|(points, factor)| format!(", {} {points}", factor.as_str())).collect()
}
