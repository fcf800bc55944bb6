//! Throttling by heat: `/sys/devices/system/cpu/cpu*/thermal_throttle/{core,package}_throttle_count`, which
//! Intel CPUs have.
//!
//! A count that rises means that the CPU was held back; how much is not told, so that the level is
//! [`ThermalPressure::Other`]. Where all stand still it is nominal, where there are none it is not reported.
//!
//! A tenth of the counts is read at each tick, each once a second. A count that rose once keeps the state for
//! [`HOLD_NS`]: while throttling goes on, each count is seen to rise once a second, and the state must not
//! flicker in between.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::TURNS;
use super::files::{Counter, entries, is_numbered, read_number};
use crate::sample::{Metrics, ThermalPressure};

/// How long a rise counts, ns of elapsed time.
const HOLD_NS: u64 = 1_500_000_000;

pub(super) struct Thermal {
    cpus: PathBuf,
    counts: Vec<Count>,
    turn: usize,
    /// Whether a count was read twice; until then there is nothing to tell.
    known: bool,
    held_ns: u64,
}

struct Count {
    path: PathBuf,
    throttled: Counter,
    gone: bool,
}

impl Thermal {
    pub(super) fn new(root: &Path) -> Self {
        let mut thermal = Self {
            cpus: root.join("sys/devices/system/cpu"),
            counts: Vec::new(),
            turn: 0,
            known: false,
            held_ns: 0,
        };
        thermal.rescan();
        thermal
    }

    /// Finds the counts of CPUs that came online.
    pub(super) fn rescan(&mut self) {
        for cpu in entries(&self.cpus, |name| is_numbered(name, "cpu")) {
            for name in ["core_throttle_count", "package_throttle_count"] {
                let path = cpu.join("thermal_throttle").join(name);
                if path.exists() && !self.counts.iter().any(|count| count.path == path) {
                    self.counts.push(Count { path, throttled: Counter::default(), gone: false });
                }
            }
        }
    }

    pub(super) fn read(&mut self, elapsed_ns: u64, metrics: &mut Metrics) {
        self.held_ns = self.held_ns.saturating_sub(elapsed_ns);
        self.turn = (self.turn + 1) % TURNS;
        for count in self.counts.iter_mut().skip(self.turn).step_by(TURNS) {
            match File::open(&count.path).ok().as_ref().and_then(read_number) {
                Some(now) => {
                    let more = count.throttled.advance(now);
                    self.known |= more.is_some();
                    if more.is_some_and(|more| more > 0) {
                        self.held_ns = HOLD_NS;
                    }
                }
                None => count.gone = true,
            }
        }
        self.counts.retain(|count| !count.gone);
        let known = self.known && !self.counts.is_empty();
        metrics.thermal_pressure =
            known.then_some(if self.held_ns > 0 { ThermalPressure::Other } else { ThermalPressure::Nominal });
    }
}
