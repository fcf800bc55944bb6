//! Power: the energy counters of RAPL in `/sys/class/powercap/intel-rapl:*` (AMD's too). Package zones are the
//! combined power, core the CPU's, uncore the GPU's of the same chip. Only root may read them; else nothing is
//! reported.
//!
//! `intel-rapl-mmio` zones show the same packages again, `psys` and `dram` contain or lie outside them: left
//! out.

use std::path::{Path, PathBuf};

use super::files::{Kept, entries};
use crate::sample::Metrics;

pub(super) struct Power {
    powercap: PathBuf,
    zones: Vec<Zone>,
}

struct Zone {
    domain: Domain,
    energy: Kept,
    /// Where the counter wraps, µJ.
    range: Option<u64>,
    last: Option<u64>,
    gone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Domain {
    Package,
    Core,
    Uncore,
}

impl Power {
    pub(super) fn new(root: &Path) -> Self {
        let mut power = Self { powercap: root.join("sys/class/powercap"), zones: Vec::new() };
        power.rescan();
        power
    }

    /// Finds zones whose driver came later than we.
    pub(super) fn rescan(&mut self) {
        for zone in entries(&self.powercap, |name| name.starts_with("intel-rapl:")) {
            let Some(domain) = std::fs::read(zone.join("name")).ok().and_then(|name| Domain::of(&name))
            else {
                continue;
            };
            let path = zone.join("energy_uj");
            if self.zones.iter().any(|zone| *zone.energy.path() == path) {
                continue;
            }
            let mut energy = Kept::new(path);
            if energy.number().is_some() {
                let range = Kept::new(zone.join("max_energy_range_uj")).number();
                self.zones.push(Zone { domain, energy, range, last: None, gone: false });
            }
        }
    }

    pub(super) fn read(&mut self, elapsed_ns: u64, metrics: &mut Metrics) {
        let (mut package, mut core, mut uncore) = (None, None, None);
        for zone in &mut self.zones {
            let Some(energy) = zone.advance() else { continue };
            let sum = match zone.domain {
                Domain::Package => &mut package,
                Domain::Core => &mut core,
                Domain::Uncore => &mut uncore,
            };
            *sum = Some(sum.unwrap_or(0.0) + energy as f64);
        }
        self.zones.retain(|zone| !zone.gone);
        // A µJ in a ns is a kW, a million mW.
        let mw =
            |energy: Option<f64>| energy.filter(|_| elapsed_ns > 0).map(|uj| uj * 1e6 / elapsed_ns as f64);
        metrics.combined_power_mw = mw(package);
        metrics.cpu_power_mw = mw(core);
        metrics.gpu_power_mw = mw(uncore);
    }
}

impl Domain {
    /// `package-0`, `package-1-die-0`, `core`, `uncore`.
    fn of(name: &[u8]) -> Option<Self> {
        match name.trim_ascii() {
            b"core" => Some(Self::Core),
            b"uncore" => Some(Self::Uncore),
            name if name.starts_with(b"package") => Some(Self::Package),
            _ => None,
        }
    }
}

impl Zone {
    /// Energy since the last time, µJ.
    fn advance(&mut self) -> Option<u64> {
        let Some(now) = self.energy.number() else {
            self.gone = true;
            return None;
        };
        let last = self.last.replace(now)?;
        match now.checked_sub(last) {
            Some(more) => Some(more),
            None => self.range?.checked_sub(last)?.checked_add(now),
        }
    }
}
