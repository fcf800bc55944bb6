//! Forensics: what is gathered after a pause, beside the sampling and without disturbing it.
//!
//! ```text
//! hub ──pause, its ring──> worker's thread ─┬─ ring.jsonl
//!                    (8)                    ├─ one capture after another, each a process of its own: time and size
//!                                           │  limited, killed as a group (`run`); which and how: `plan`
//!                                           └─ outcomes ──> store's queue ──> events.forensics
//! ```
//!
//! Everything the worker touches may hang (the disk, a child): then it hangs, and nothing else does.

mod plan;
mod run;
mod set;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::store::{Capture, Evidence, Incident};
use crate::config::Paths;
use crate::event::{EventId, Gap};
use crate::sample::Sample;

pub use plan::{Programs, TAILSPIN_FILE, TAILSPIN_SAVE};

/// Pauses that wait for the worker at most, each with its ring of about a megabyte.
const WAITING: usize = 8;

/// What is gathered; the names of files, in the event's `forensics` and in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The samples before the pause and up to it, as on the socket.
    Ring,
    /// macOS: the last 20 s of what every thread did, as the kernel traced it.
    Tailspin,
    /// macOS: the same as text, decoded by spindump.
    Stacks,
    /// macOS: what the kernel and those in trouble logged.
    Log,
    /// macOS: where every process stands now; only where it is configured.
    Spindump,
    /// Linux: threads that can't be interrupted (state D), with their kernel stacks.
    Blocked,
    /// Linux: who waited for processor, memory and disk.
    Pressure,
    /// Linux: what the memory holds.
    Meminfo,
    /// Linux: the memory's counters.
    Vmstat,
    /// Linux: all processes, the largest first.
    Processes,
    /// Linux: load, interrupts, disks, fragmentation, swap.
    System,
    /// Linux: what the kernel logged.
    KernelLog,
}

impl Name {
    /// What a Mac gathers.
    pub const MACOS: [Self; 5] = [Self::Ring, Self::Tailspin, Self::Stacks, Self::Log, Self::Spindump];
    /// What a Linux machine gathers, what is gone soonest first.
    pub const LINUX: [Self; 8] = [
        Self::Ring,
        Self::Blocked,
        Self::Pressure,
        Self::Meminfo,
        Self::Vmstat,
        Self::Processes,
        Self::System,
        Self::KernelLog,
    ];

    /// What this system gathers.
    #[must_use]
    pub fn here() -> &'static [Self] {
        if cfg!(target_os = "macos") { &Self::MACOS } else { &Self::LINUX }
    }

    /// The name in columns, JSON and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Tailspin => "tailspin",
            Self::Stacks => "stacks",
            Self::Log => "log",
            Self::Spindump => "spindump",
            Self::Blocked => "blocked",
            Self::Pressure => "pressure",
            Self::Meminfo => "meminfo",
            Self::Vmstat => "vmstat",
            Self::Processes => "processes",
            Self::System => "system",
            Self::KernelLog => "kernel_log",
        }
    }

    /// Its file in the event's directory.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Ring => RING_FILE,
            Self::Tailspin => "tailspin.tailspin",
            Self::Stacks => "stacks.txt.gz",
            Self::Log => "log.txt.gz",
            Self::Spindump => "spindump.txt.gz",
            Self::Blocked => "blocked.txt",
            Self::Pressure => "pressure.txt",
            Self::Meminfo => "meminfo.txt",
            Self::Vmstat => "vmstat.txt",
            Self::Processes => "processes.txt",
            Self::System => "system.txt",
            Self::KernelLog => "kernel_log.txt",
        }
    }
}

/// The file of [`Name::Ring`].
pub const RING_FILE: &str = "ring.jsonl";

/// What became of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in its file.
    Saved,
    /// Something went wrong; the detail says what.
    Failed,
    /// It took longer than it may. What there was until then is kept where it is of use.
    Timeout,
    /// This user may not; the detail says what would permit it.
    NotPermitted,
    /// This system has no such thing, or it was not its turn.
    NotAvailable,
}

impl Outcome {
    /// All outcomes, in the order of every table.
    pub const ALL: [Self; 5] =
        [Self::Saved, Self::Failed, Self::Timeout, Self::NotPermitted, Self::NotAvailable];

    /// The outcome in columns and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::NotPermitted => "not permitted",
            Self::NotAvailable => "not available",
        }
    }

    /// The outcome as a label's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotPermitted => "not_permitted",
            Self::NotAvailable => "not_available",
            other => other.as_str(),
        }
    }
}

/// How many captures came to what. The worker writes, scrapes read.
#[derive(Debug, Default)]
pub struct ForensicsStats([[AtomicU64; Outcome::ALL.len()]; Name::KernelLog as usize + 1]);

impl ForensicsStats {
    fn count(&self, name: Name, outcome: Outcome) {
        self.0[name as usize][outcome as usize].fetch_add(1, Relaxed);
    }

    /// How many captures of that name came to that.
    #[must_use]
    pub fn get(&self, name: Name, outcome: Outcome) -> u64 {
        self.0[name as usize][outcome as usize].load(Relaxed)
    }
}

/// A pause of which evidence is to be gathered.
#[derive(Clone, Debug)]
pub struct Pause {
    /// The event's number as it was given; the store may give it another.
    pub event: EventId,
    /// The event's incident: with the beginning it tells the row, whatever its number.
    pub incident: Incident,
    /// The pause itself.
    pub gap: Gap,
    /// The frozen ring, oldest first.
    pub ring: Box<[Sample]>,
}

/// The evidence of a pause is gathered, and on record unless the disk does not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The event, by the number it is stored under.
    pub event: EventId,
    /// Its incident.
    pub incident: Incident,
    /// The pause itself.
    pub gap: Gap,
    /// Where the evidence is; `None` where there is none.
    pub directory: Option<PathBuf>,
    /// What came of each capture.
    pub captures: Vec<Capture>,
    /// The store took the outcomes within a second.
    pub stored: bool,
}

/// How evidence is gathered.
pub struct Options {
    /// Where the data directory is, and whose what is written there is.
    pub paths: Paths,
    /// The machine that is watched is this one: of a recording only the ring is kept.
    pub live: bool,
    /// `[forensics] spindump`.
    pub spindump: bool,
    /// What is run; [`Programs::system`] but in tests.
    pub programs: Programs,
    /// Where the outcomes are recorded.
    pub evidence: Evidence,
    /// Called on the worker's thread, which waits for it.
    pub on_complete: Box<dyn Fn(Completed) + Send>,
}

/// What the worker is told.
enum Told {
    Pause(Box<Pause>),
    Stop,
}

/// The worker's handle.
pub struct Forensics {
    tell: SyncSender<Told>,
    stopping: Arc<AtomicBool>,
    done: oneshot::Receiver<()>,
    stats: Arc<ForensicsStats>,
    evidence: Evidence,
}

impl Forensics {
    /// Starts the worker's thread, which first looks through what a killed run left.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(options: Options, stats: Arc<ForensicsStats>) -> std::io::Result<Self> {
        Self::start_gathering(options, stats, Name::here())
    }

    /// Starts it to gather these.
    fn start_gathering(
        options: Options,
        stats: Arc<ForensicsStats>,
        names: &[Name],
    ) -> std::io::Result<Self> {
        let (tell, inbox): (_, Receiver<Told>) = sync_channel(WAITING);
        let stopping = Arc::new(AtomicBool::new(false));
        let (finished, done) = oneshot::channel();
        let evidence = options.evidence.clone();
        let worker = worker::Worker::new(options, names, inbox, Arc::clone(&stopping), Arc::clone(&stats));
        std::thread::Builder::new().name("forensics".to_owned()).spawn(move || {
            worker.run();
            // The daemon may have given up waiting.
            let _ = finished.send(());
        })?;
        Ok(Self { tell, stopping, done, stats, evidence })
    }

    /// Gathers evidence of a pause. Never waits: where the worker hangs and eight pauses wait already, that the ring
    /// was lost is recorded.
    pub fn gather(&self, pause: Pause) {
        let pause = match self.tell.try_send(Told::Pause(Box::new(pause))) {
            Ok(()) => return,
            Err(TrySendError::Full(Told::Pause(pause)) | TrySendError::Disconnected(Told::Pause(pause))) => {
                pause
            }
            Err(_) => return,
        };
        self.stats.count(Name::Ring, Outcome::Failed);
        let detail = format!("{WAITING} others waited for the disk");
        tracing::warn!(event = pause.event, "no evidence of this pause is kept: {detail}");
        let lost = Capture {
            name: Name::Ring.as_str().to_owned(),
            outcome: Outcome::Failed.as_str().to_owned(),
            path: None,
            detail: Some(detail),
        };
        // Nobody waits for the answer.
        drop(self.evidence.record(pause.event, pause.incident, vec![lost]));
    }

    /// Ends it: what waits gets its ring, what is being captured is cut off and recorded so. A worker that does not
    /// end in time is left behind.
    pub async fn finish(self, time: Duration) {
        self.stopping.store(true, Relaxed);
        // Where it is full, the worker sees the flag.
        let _ = self.tell.try_send(Told::Stop);
        if tokio::time::timeout(time, self.done).await.is_err() {
            tracing::warn!(
                "evidence is still being gathered: what is there is kept, the next start records it"
            );
        }
    }
}
