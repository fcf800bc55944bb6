//! The event store: `data.db`, its one writer, and what reads it.
//!
//! ```text
//! samples, notices ──> recorder ──Write──> Store ──queue──> writer's thread ──> data.db <── query (any process)
//! ```
//!
//! Only events are stored, with the samples that explain them. [`Store::write`] never waits; the writer keeps
//! what the disk does not take and tries again. Announcements follow the commit: [`Store::announce`].

mod column;
mod describe;
mod evidence;
mod failure;
mod history;
mod outbox;
mod query;
mod queue;
mod recorder;
mod recover;
mod retention;
mod row;
mod schema;
mod statement;
mod steady;
mod thread;
mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

pub use crate::config::Retention;
use crate::output::otlp::OtlpStats;
pub use history::{Bucket, DaySummary, Summary};
pub use outbox::{Export, Exports, Outgoing, is_exported};
pub use query::{
    Capture, EventJson, Filter, Order, QueryError, Reader, StoredEvent, hex, mark, open_for_pruning,
};
pub use queue::{Full, LastSeen, MAX_EVENTS, MAX_SAMPLES, Write};
pub use recorder::Recorder;
pub use recover::{EVENTS_DIRECTORY, Recovered};
pub use retention::{Pruned, Pruning, UNREVIEWED_ELEVATED_DAYS, plan as plan_pruning};
pub use row::{EventRow, Incident, Interruption, Kind, PeakRow, Status, TierStep, TierSteps, TierTimes};
pub use schema::{APPLICATION_ID, FILE_NAME, VERSION};
pub use thread::{Evidence, Marker, Opened, Store};

/// What the store is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// When this run of the daemon began, Unix ns.
    pub started_ns: i64,
    /// The boot's id; `None` where the system has none: then a reboot can't be told from a restart.
    pub boot_id: Option<String>,
    /// When the machine started, Unix ns; where it is known.
    pub boot_time_ns: Option<i64>,
    /// How long things are kept.
    pub retention: Retention,
    /// Yields an incident; [`random_incident`] but in tests.
    pub random: fn() -> Incident,
    /// What is done for the OpenTelemetry outbox.
    pub outbox: Outbox,
    /// Asked before a file is opened.
    pub claim: Claim,
}

/// Says whether the data directory is this daemon's. Where it was deleted under way another daemon may have taken it,
/// and what is open in its database is not ours to close. The default always says yes.
#[derive(Clone)]
pub struct Claim(Arc<dyn Fn() -> bool + Send + Sync>);

impl Claim {
    /// One that asks `holds`, on the store's thread; it may wait for the disk.
    pub fn new(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }

    fn holds(&self) -> bool {
        (self.0)()
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new(|| true)
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

/// What the store does for the OpenTelemetry outbox.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// An endpoint is set: events that end are to be exported.
    pub wanted: bool,
    /// Rung after a commit that left something to export.
    pub bell: Arc<tokio::sync::Notify>,
    /// The store keeps `outbox_spans`, the others are the outbox's own.
    pub stats: Arc<OtlpStats>,
}

/// Counters and states of the store. The writer's thread writes them, any thread reads them.
#[derive(Debug, Default)]
pub struct StoreStats {
    /// Events committed; newer versions of one don't count.
    pub events_stored: AtomicU64,
    /// Attempts to open or write that failed.
    pub errors: AtomicU64,
    /// Samples and event rows that the full queue dropped.
    pub dropped: AtomicU64,
    /// Size of `data.db`, bytes; looked at every 30 s.
    pub size_bytes: AtomicU64,
    /// Whether the database is open.
    pub open: AtomicBool,
    /// Whether the last attempt succeeded.
    pub healthy: AtomicBool,
}

/// Sixteen random bytes.
#[must_use]
pub fn random_incident() -> Incident {
    let mut incident = [0; 16];
    if getrandom::fill(&mut incident).is_err() {
        // No system that runs this lacks a random source; unique is enough.
        let now = crate::clock::now();
        incident[..8].copy_from_slice(&now.unix_ns.to_le_bytes());
        incident[8..].copy_from_slice(&now.awake_ns.to_le_bytes());
    }
    incident
}
