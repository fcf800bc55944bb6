#![cfg(target_os = "linux")]
//! The Linux source: readings of the machine from the kernel's own counters in /proc and /sys.
//!
//! One small file for each collector, all of the same shape: `new(root)`, `rescan()` where there is hardware to
//! find, `read(elapsed_ns, &mut metrics)`. Rates are the rise of a counter since the last read by the time that
//! the caller measured; the first read has none. What the machine lacks, or we may not read, is not reported. A
//! counter that steps back gives no rate.
//!
//! | reading | from | file |
//! |---|---|---|
//! | `io_*` | /proc/diskstats, whole physical devices | `disk` |
//! | `pageins_per_s` | pgmajfault in /proc/vmstat | `vm` |
//! | `cpu_ms_per_s` | /proc/stat | `cpu` |
//! | `idle_wakeups_per_s` | cpuidle usage counts | `wakeups` |
//! | `thermal_pressure` | the CPUs' throttle counts | `thermal` |
//! | `gpu_busy_pct` | gpu_busy_percent | `gpu` |
//! | `*_power_mw` | RAPL | `power` |
//! | the lists | /proc/PID | `processes`, `listing`, `descriptors`, `pid` |
//! | [`Activity`](crate::sample::Activity) | /proc/stat, /proc/pressure | `activity` |
//!
//! Interrupt wakeups are not reported: Linux counts interrupts, not the wakeups by them, and on a busy machine
//! those are mostly timer ticks. So wakeups scored are idle ones, and processes are listed under idle wakeups,
//! by their voluntary switches. Load, memory and swap are the fast path's: [`Host`](crate::source::host::Host).
//!
//! Nothing here reads a clock of the machine, and nothing allocates in the steady state.

mod activity;
mod cpu;
mod descriptors;
mod disk;
pub(crate) mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod gpu;
mod listing;
mod pid;
mod power;
mod processes;
#[cfg(test)]
mod tests;
mod thermal;
mod vm;
mod wakeups;

use std::io;
use std::path::{Path, PathBuf};

pub use activity::ActivityReader;

use crate::sample::{Reading, SourceInfo};

/// What is dear is read a tenth at a tick, all of it once in ten ticks: a second at the nominal interval.
const TURNS: usize = 10;

/// Ticks between two looks for hardware that came later than we: a minute at the nominal interval.
const RESCAN_TICKS: u32 = 600;

/// Why the source can't start.
#[derive(Debug, thiserror::Error)]
#[error("can't read {}: {source}; mount /proc, or choose another --source", path.display())]
pub struct LinuxError {
    path: PathBuf,
    source: io::Error,
}

/// Reads the machine at each tick.
pub struct LinuxSource {
    info: SourceInfo,
    cpu: cpu::Cpu,
    pageins: vm::Pageins,
    disks: disk::Disks,
    wakeups: wakeups::Wakeups,
    thermal: thermal::Thermal,
    gpus: gpu::Gpus,
    power: power::Power,
    processes: processes::Processes,
    ticks_to_rescan: u32,
}

impl LinuxSource {
    /// A source of this machine's readings.
    ///
    /// # Errors
    ///
    /// Where /proc can't be read.
    pub fn new() -> Result<Self, LinuxError> {
        Self::with_root(Path::new("/"))
    }

    /// A source that reads the /proc and /sys under `root`.
    ///
    /// # Errors
    ///
    /// Where its /proc can't be read.
    pub fn with_root(root: &Path) -> Result<Self, LinuxError> {
        let stat = root.join("proc/stat");
        if let Err(source) = std::fs::File::open(&stat) {
            return Err(LinuxError { path: stat, source });
        }
        Ok(Self {
            info: super::host::info_of(root),
            cpu: cpu::Cpu::new(root),
            pageins: vm::Pageins::new(root),
            disks: disk::Disks::new(root),
            wakeups: wakeups::Wakeups::new(root),
            thermal: thermal::Thermal::new(root),
            gpus: gpu::Gpus::new(root),
            power: power::Power::new(root),
            processes: processes::Processes::new(root)
                .map_err(|source| LinuxError { path: root.join("proc"), source })?,
            ticks_to_rescan: RESCAN_TICKS,
        })
    }

    /// The machine: its model, its kernel's release, when it started.
    #[must_use]
    pub fn info(&self) -> SourceInfo {
        self.info
    }

    /// Reads the machine, `elapsed_ns` after the last read by the clock that stops in sleep. All rates are by
    /// that time; the first read has none. Load, memory and swap are left to
    /// [`Host`](crate::source::host::Host).
    pub fn read(&mut self, elapsed_ns: u64) -> Reading {
        let mut reading = Reading { elapsed_ns, ..Reading::default() };
        self.cpu.read(elapsed_ns, &mut reading.metrics);
        self.processes.read(elapsed_ns, self.cpu.forked(), &mut reading);
        let listed = reading.top_cpu.sum();
        let metrics = &mut reading.metrics;
        // /proc/stat counts in ticks of 10 ms, the processes' own clocks in ns: the whole is never less than what
        // is listed of it.
        metrics.cpu_ms_per_s = metrics.cpu_ms_per_s.map(|total| total.max(listed));
        self.pageins.read(elapsed_ns, metrics);
        self.disks.read(elapsed_ns, metrics);
        self.wakeups.read(elapsed_ns, metrics);
        self.thermal.read(elapsed_ns, metrics);
        self.gpus.read(elapsed_ns, metrics);
        self.power.read(elapsed_ns, metrics);
        self.ticks_to_rescan -= 1;
        if self.ticks_to_rescan == 0 {
            self.ticks_to_rescan = RESCAN_TICKS;
            self.wakeups.rescan();
            self.thermal.rescan();
            self.gpus.rescan();
            self.power.rescan();
        }
        reading
    }
}
