//! `/metrics`: what the sampling thread counts, copied to a snapshot each tick, and a collector that a scrape asks.
//!
//! ```text
//! sampling thread: Feed (totals) ──try_lock, copy──> Shared ──lock, copy──> collector ──> text
//! socket, store, otlp, log: counters of their own ─────────────────────────────^
//! ```
//!
//! The sampling thread waits for no scrape: where one is just copying, the next tick hands over. Neither allocates
//! there, nor holds the lock for longer than the copy of the totals takes.

mod collector;
mod family;
mod histogram;
mod peak;
mod process;
#[cfg(test)]
mod tests;
mod totals;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use prometheus::{Registry, TextEncoder};

pub use totals::{Last, Measured, Restart, Totals};

use super::alert::AlertStats;
use super::forensics::ForensicsStats;
use super::otlp::OtlpStats;
use super::socket::SocketStats;
use super::store::StoreStats;
use crate::clock;
use crate::engine::Thresholds;
use crate::sample::Name;

/// The version of the program that runs, and the revision it was built from; `unknown` where nothing said it.
pub const REVISION: &str = env!("PAUSE_MONITOR_REVISION");

/// Samples that come less often than this are not taken for silence unless they came faster before, ns.
const SILENT_NS: u64 = 5_000_000_000;

/// What the sampling thread, the outputs and the scrapes share.
#[derive(Debug)]
struct Shared {
    /// The sampling thread writes it each tick, by `try_lock`; scrapes copy it out.
    totals: Mutex<Totals>,
    /// When a live sampling loop last went round, on the clock that stops in sleep, ns; 0 where it does not say (a
    /// recording may wait for its pipe for ever). The sampling thread writes, `/healthz` reads.
    alive_ns: AtomicU64,
    /// Set when the sampling thread has ended, whichever way.
    ended: AtomicBool,
    /// The end of the last pause of earlier runs, Unix ns, with its first culprit. The hub writes, once the store is open.
    restored_pause: Mutex<Option<LastPause>>,
    /// Whether the configuration was taken when it was last read. The daemon writes.
    reload_ok: AtomicBool,
    /// The same of the web configuration. The HTTP server writes.
    web_reload_ok: AtomicBool,
    /// When it was last taken, Unix ns. The daemon writes.
    reloaded_ns: AtomicI64,
}

/// The end of a pause, Unix ns, and the process with the largest share, where one stood out.
pub type LastPause = (i64, Option<Name>);

/// The sampling thread's end. Dropping it says that sampling has ended.
#[derive(Debug)]
pub struct Feed {
    /// Counted into by the sampling thread alone.
    pub totals: Totals,
    shared: Arc<Shared>,
}

impl Feed {
    /// Hands the totals to whoever scrapes. Waits for nothing: where a scrape is copying, the next tick does it.
    pub fn publish(&mut self) {
        match self.shared.totals.try_lock() {
            Ok(mut shared) => *shared = self.totals,
            // What a scrape that panicked left behind is overwritten whole.
            Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = self.totals,
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Says that the sampling loop goes round.
    pub fn alive(&self, now_ns: u64) {
        self.shared.alive_ns.store(now_ns, Relaxed);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.publish();
        self.shared.ended.store(true, Relaxed);
    }
}

/// The counters that others keep. By default all of them are at 0, and nobody counts.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// `powermetrics`, `linux`, `replay` or `simulate`.
    pub source: &'static str,
    /// The socket's.
    pub socket: Arc<SocketStats>,
    /// The store's.
    pub store: Arc<StoreStats>,
    /// The alerts'.
    pub alerts: Arc<AlertStats>,
    /// The OTLP exporter's.
    pub otlp: Arc<OtlpStats>,
    /// What came of captures.
    pub forensics: Arc<ForensicsStats>,
    /// What the full hand-over to the outputs dropped.
    pub handover_dropped: Arc<AtomicU64>,
    /// The log's dropped lines; `None` without a log of our own.
    pub log: Option<tracing_appender::non_blocking::ErrorCounter>,
    /// `http.culprit_info`: the first culprit of the last pause may be named.
    pub culprit_info: bool,
}

/// The outputs' end: what may be said of the run, and the scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    registry: Registry,
}

/// The totals as they stood at the last tick, and how they are to be read now.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// The totals.
    pub totals: Totals,
    /// Complete samples arrive.
    pub up: bool,
    /// Samples of some kind arrive: what the last one said is the present state.
    pub fresh: bool,
    /// Now, by the clock that the sampling goes by, ns.
    pub now_ns: u64,
    /// The last pause, of this run or an earlier one.
    pub last_pause: Option<LastPause>,
}

/// Both ends, before the first sample.
#[must_use]
pub fn channel(thresholds: &Thresholds, peers: Peers) -> (Feed, Metrics) {
    let totals = Totals::new(thresholds);
    let shared = Arc::new(Shared {
        totals: Mutex::new(totals),
        alive_ns: AtomicU64::new(0),
        ended: AtomicBool::new(false),
        restored_pause: Mutex::default(),
        reload_ok: AtomicBool::new(true),
        web_reload_ok: AtomicBool::new(true),
        reloaded_ns: AtomicI64::new(clock::unix_ns()),
    });
    let peers = Arc::new(peers);
    let registry = Registry::new();
    let collector = collector::Collector { shared: Arc::clone(&shared), peers: Arc::clone(&peers) };
    // It is the only one, so it can't be there already.
    let registered = registry.register(Box::new(collector));
    debug_assert!(registered.is_ok(), "{registered:?}");
    (Feed { totals, shared: Arc::clone(&shared) }, Metrics { shared, peers, registry })
}

impl Metrics {
    /// The exposition, `text/plain; version=0.0.4`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(32 << 10);
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            // Only a family without a name or a series is refused, and there is none.
            tracing::error!("the metrics can't be written: {error}");
        }
        text
    }

    /// The state now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot(clock::awake_ns())
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &'static str {
        self.peers.source
    }

    /// Whether the store is open.
    #[must_use]
    pub fn store_is_open(&self) -> bool {
        self.peers.store.open.load(Relaxed)
    }

    /// Whether the sampling thread has ended.
    #[must_use]
    pub fn sampling_ended(&self) -> bool {
        self.shared.ended.load(Relaxed)
    }

    /// How long a live sampling loop has not gone round, ns; `None` where it has not said that it does.
    #[must_use]
    pub fn sampling_stuck_ns(&self) -> Option<u64> {
        let alive_ns = Some(self.shared.alive_ns.load(Relaxed)).filter(|&alive_ns| alive_ns > 0)?;
        Some(clock::awake_ns().saturating_sub(alive_ns))
    }

    /// The last pause that is on record from earlier runs.
    pub fn restore_last_pause(&self, pause: Option<LastPause>) {
        *self.shared.restored_pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }

    /// The configuration was read again, and taken or not.
    pub fn reloaded(&self, taken: bool) {
        self.shared.reloaded(&self.shared.reload_ok, taken);
    }

    /// The web configuration was read again, and taken or not.
    pub fn web_reloaded(&self, taken: bool) {
        self.shared.reloaded(&self.shared.web_reload_ok, taken);
    }
}

impl Shared {
    fn reloaded(&self, what: &AtomicBool, taken: bool) {
        what.store(taken, Relaxed);
        if taken {
            self.reloaded_ns.store(clock::unix_ns(), Relaxed);
        }
    }

    fn snapshot(&self, awake_ns: u64) -> Snapshot {
        let totals = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let limit_ns = SILENT_NS.max(totals.spacing_ns.saturating_mul(3));
        let recent =
            |at_ns: Option<u64>| at_ns.is_some_and(|at_ns| awake_ns.saturating_sub(at_ns) < limit_ns);
        let ended = self.ended.load(Relaxed);
        let degraded = totals.last.is_some_and(|last| last.degraded);
        let since_ns = totals.sample_ns.map_or(0, |at_ns| awake_ns.saturating_sub(at_ns));
        let restored = *self.restored_pause.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            up: recent(totals.complete_ns) && !degraded && !ended,
            fresh: recent(totals.sample_ns) && !ended,
            now_ns: totals.last.map_or(0, |last| last.at_ns).saturating_add(since_ns),
            last_pause: totals.last_pause.into_iter().chain(restored).max_by_key(|&(at_ns, _)| at_ns),
            totals,
        }
    }
}
