//! A tick as the sampling thread goes through it (`src/daemon/sampling/`), put together from the same parts, for what
//! measures it: documents come from memory, time is made, and nobody takes what is handed over but the tick itself.

// Not every one of those that include it needs all of it.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used, missing_docs)]

#[cfg(target_os = "linux")]
use std::path::Path;

use pause_monitor::clock::Stamp;
use pause_monitor::config::{Config, Scenario, SourceKind};
use pause_monitor::daemon::handover::{self, Handed, Inlet, Outlet};
use pause_monitor::daemon::settings;
use pause_monitor::engine::{Beat, Engine};
use pause_monitor::event::Notice;
use pause_monitor::output::metrics::{self, Feed, Peers};
use pause_monitor::sample::{Metrics, Reading, Sample};
use pause_monitor::source::host::Host;
#[cfg(target_os = "linux")]
use pause_monitor::source::linux::ActivityReader;
use pause_monitor::source::powermetrics::decode::{OwnPids, decode};
use pause_monitor::source::powermetrics::frame::Framer;
use pause_monitor::source::simulate::{Simulator, SimulatorSettings};

/// Time from tick to tick.
pub const INTERVAL_NS: u64 = 110_000_000;
/// What comes in one read.
pub const READ: usize = 64 << 10;

/// Documents of a second of a scenario, from `from_s` into its story. The same ones each time.
pub fn documents(scenario: Scenario, from_s: u64) -> Vec<Vec<u8>> {
    let mut simulator = Simulator::new(scenario, SimulatorSettings::default());
    let mut skipped = Vec::new();
    for _ in 0..from_s * 10 {
        skipped.clear();
        simulator.document(INTERVAL_NS, &mut skipped);
    }
    (0..10)
        .map(|_| {
            let mut document = Vec::new();
            simulator.document(INTERVAL_NS, &mut document);
            document
        })
        .collect()
}

/// Takes the document that is whole now, if there is one, and decodes it.
pub fn take(framer: &mut Framer) -> Option<Reading> {
    let mut decoded = None;
    while let Some(framed) = framer.next_document() {
        let document = framed.expect("a whole document");
        decoded = Some(decode(document, &OwnPids::default()).expect("a good document").reading);
    }
    decoded
}

/// Frames and decodes one document, fed as reads bring it.
pub fn frame_and_decode(framer: &mut Framer, document: &[u8]) -> Reading {
    let mut decoded = None;
    for read in document.chunks(READ) {
        framer.space()[..read.len()].copy_from_slice(read);
        framer.filled(read.len());
        decoded = take(framer).or(decoded);
    }
    decoded.expect("a document")
}

/// An engine of a live child whose ring is full of such readings, and the time it has come to.
pub fn engine(readings: &[Reading]) -> (Engine, Stamp) {
    let config = Config { source: SourceKind::Powermetrics, ..Config::default() };
    let mut engine = Engine::new(settings(&config), 1);
    let mut at = Stamp { awake_ns: 1 << 40, total_ns: 1 << 40, unix_ns: 1 << 60 };
    let mut notices = Vec::new();
    for index in 0..600 {
        pass(&mut at, &mut engine, &mut notices);
        engine.sample(&readings[index % readings.len()], &at, Some(0), &mut notices);
    }
    (engine, at)
}

/// Time passes, and the heartbeat beats five times.
pub fn pass(at: &mut Stamp, engine: &mut Engine, notices: &mut Vec<Notice>) {
    for _ in 0..5 {
        at.awake_ns += INTERVAL_NS / 5;
        at.total_ns += INTERVAL_NS / 5;
        at.unix_ns += (INTERVAL_NS / 5) as i64;
        engine.beat(&Beat { at: *at, delay_ns: 100_000 }, notices);
    }
}

/// The metrics of a daemon whose outputs count nothing.
pub fn feed() -> Feed {
    let peers = Peers { source: "powermetrics", ..Peers::default() };
    metrics::channel(&settings(&Config::default()).tiers, peers).0
}

/// The kernel's files that a tick reads, below a root.
pub struct Kernel {
    host: Host,
    #[cfg(target_os = "linux")]
    activity: ActivityReader,
    /// Whether the next ticks ask the kernel as a witness; on macOS there is none.
    pub witness: bool,
}

impl Kernel {
    /// This machine's.
    pub fn new() -> Self {
        Self {
            host: Host::new(),
            #[cfg(target_os = "linux")]
            activity: ActivityReader::new(),
            witness: cfg!(target_os = "linux"),
        }
    }

    /// Those under `root`: the same from machine to machine.
    #[cfg(target_os = "linux")]
    pub fn with_root(root: &Path) -> Self {
        Self { host: Host::with_root(root), activity: ActivityReader::with_root(root), witness: true }
    }

    fn read(&mut self, engine: &mut Engine, at: &Stamp, metrics: &mut Metrics) {
        #[cfg(target_os = "linux")]
        if self.witness
            && let Some(activity) = self.activity.read()
        {
            engine.activity(at, activity);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (engine, at);
        self.host.read(at, metrics);
    }
}

/// All that a tick goes through after its document was decoded.
pub struct Tick {
    engine: Engine,
    at: Stamp,
    notices: Vec<Notice>,
    /// What is asked of the kernel.
    pub kernel: Kernel,
    feed: Feed,
    outlet: Outlet,
}

impl Tick {
    /// A tick of an engine whose ring is full of such readings; and where what it hands over comes out. Each place in
    /// the queue has been used, as after half a minute: before, the system gives it memory, a page at a time.
    pub fn new(readings: &[Reading], kernel: Kernel) -> (Self, Inlet) {
        let (engine, at) = engine(readings);
        let (mut outlet, mut inlet) = handover::channel();
        for _ in 0..handover::QUEUE {
            outlet.push(Handed::Sample { sample: Sample::default(), at_ns: 0 });
            inlet.take();
        }
        (Self { engine, at, notices: Vec::with_capacity(16), kernel, feed: feed(), outlet }, inlet)
    }

    /// Time passes, and a reading has come: the machine is asked, the heartbeat's beats are taken, the engine judges, and
    /// the outputs and the metrics have what came of it.
    pub fn go(&mut self, mut reading: Reading) {
        let Self { engine, at, notices, kernel, feed, outlet } = self;
        pass(at, engine, notices);
        for _ in 0..5 {
            feed.totals.beat(100_000);
        }
        feed.alive(at.awake_ns);
        kernel.read(engine, at, &mut reading.metrics);
        let sample: Sample = engine.sample(&reading, at, Some(0), notices);
        feed.totals.sample(&sample, at.awake_ns, at.awake_ns);
        outlet.push(Handed::Sample { sample, at_ns: at.awake_ns });
        engine.poll(at, 0, notices);
        for notice in notices.drain(..) {
            feed.totals.notice(&notice);
            outlet.push(Handed::Notice(notice));
        }
        feed.publish();
        outlet.wake();
    }
}
