//! The data dictionary as types: what a source reads ([`Reading`]) and what the engine makes of it
//! ([`Sample`]). Units are in the field names; `None` means *not reported*, never zero.
//!
//! Everything here is `Copy` and of fixed size, so that a sample is handed from thread to thread by value
//! and costs no allocation.

mod process;
mod score;

pub use process::{NAME_MAX, Name, Process, TOP_LEN, TopList, printable};
pub use score::{Factor, InTiers, Stress, Tier};

/// The largest value that is taken for a measurement: any counter of 64 bits fits. What is beyond is nonsense, and would
/// make every sum that it is in infinite before long.
pub const MEASURED_MAX: f64 = 1e20;

/// A value that may stand in a reading: a number from zero up that can be a measurement.
#[must_use]
pub fn measured(value: f64) -> Option<f64> {
    // The absolute value turns −0 into 0.
    (0.0..=MEASURED_MAX).contains(&value).then_some(value.abs())
}

/// powermetrics' `thermal_pressure`; the names are Apple's, lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ThermalPressure {
    Nominal,
    Light,
    Moderate,
    Heavy,
    Trapping,
    Sleeping,
    Critical,
    /// Present, and none of those above: throttled, level unknown.
    Other,
}

impl ThermalPressure {
    /// All levels, in rising order.
    pub const ALL: [Self; 8] = [
        Self::Nominal,
        Self::Light,
        Self::Moderate,
        Self::Heavy,
        Self::Trapping,
        Self::Sleeping,
        Self::Critical,
        Self::Other,
    ];

    /// The level's name on the wire and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nominal => "nominal",
            Self::Light => "light",
            Self::Moderate => "moderate",
            Self::Heavy => "heavy",
            Self::Trapping => "trapping",
            Self::Sleeping => "sleeping",
            Self::Critical => "critical",
            Self::Other => "other",
        }
    }

    /// Reads a level in any case; unknown text is [`ThermalPressure::Other`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        Self::ALL.into_iter().find(|level| text.eq_ignore_ascii_case(level.as_str())).unwrap_or(Self::Other)
    }

    /// Whether the machine is held back by heat: anything but nominal.
    #[must_use]
    pub fn throttled(self) -> bool {
        self != Self::Nominal
    }
}

/// Which wakeups are scored: idle, or interrupt where the machine reports no idle ones (Apple M4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WakeupsKind {
    /// Wakeups out of an idle state.
    #[default]
    Idle,
    /// Wakeups by interrupt.
    Interrupt,
}

impl WakeupsKind {
    /// The kind's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Interrupt => "interrupt",
        }
    }
}

/// One reading's figures for the whole machine. Every number is finite and not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Load average over one minute, in runnable tasks.
    pub load_avg: Option<f64>,
    /// Logical cores.
    pub cores: Option<u32>,
    /// Memory that can be had without swapping, percent of all, 0–100.
    pub memory_available_pct: Option<f64>,
    /// Swap in use, bytes.
    pub swap_used_bytes: Option<u64>,
    /// The thermal level.
    pub thermal_pressure: Option<ThermalPressure>,
    /// CPU power, mW.
    pub cpu_power_mw: Option<f64>,
    /// GPU power, mW.
    pub gpu_power_mw: Option<f64>,
    /// Neural engine power, mW.
    pub ane_power_mw: Option<f64>,
    /// Package power, mW.
    pub combined_power_mw: Option<f64>,
    /// The busiest GPU's busy share, percent, 0–100.
    pub gpu_busy_pct: Option<f64>,
    /// Bytes read from disks per second.
    pub io_read_per_s: Option<f64>,
    /// Bytes written to disks per second.
    pub io_write_per_s: Option<f64>,
    /// CPU time of all tasks, ms per second.
    pub cpu_ms_per_s: Option<f64>,
    /// Wakeups out of idle, per second.
    pub idle_wakeups_per_s: Option<f64>,
    /// Wakeups by interrupt, per second.
    pub intr_wakeups_per_s: Option<f64>,
    /// Page-ins per second. On macOS mostly from files, on Linux major faults: not swap.
    pub pageins_per_s: Option<f64>,
}

impl Metrics {
    /// Disk bytes read and written per second; `None` where neither is reported.
    #[must_use]
    pub fn io_per_s(&self) -> Option<f64> {
        match (self.io_read_per_s, self.io_write_per_s) {
            (None, None) => None,
            (read, write) => Some(read.unwrap_or(0.0) + write.unwrap_or(0.0)),
        }
    }
}

/// The largest processes by each measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Top {
    /// CPU, ms per second.
    pub cpu: TopList,
    /// Page-ins per second.
    pub pageins: TopList,
    /// Wakeups per second, of the kind scored.
    pub wakeups: TopList,
    /// Disk bytes read and written per second.
    pub diskio: TopList,
}

impl Top {
    /// Gives every process another name.
    pub fn rename(&mut self, name: impl Fn(&Name) -> Name) {
        for list in [&mut self.cpu, &mut self.pageins, &mut self.wakeups, &mut self.diskio] {
            list.rename(&name);
        }
    }
}

/// One reading of the machine as a source delivers it: what the engine is fed with.
///
/// Our own process and our sampler's are in the sums and in no list: they are never culprits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// The sampler's own interval, ns; above zero.
    pub elapsed_ns: u64,
    /// Only the fast path answered: load, memory and swap, nothing else.
    pub degraded: bool,
    /// Figures for the whole machine.
    pub metrics: Metrics,
    /// Largest by CPU, ms per second.
    pub top_cpu: TopList,
    /// Largest by page-ins per second.
    pub top_pageins: TopList,
    /// Largest by idle wakeups per second.
    pub top_idle_wakeups: TopList,
    /// Largest by interrupt wakeups per second.
    pub top_intr_wakeups: TopList,
    /// Largest by disk bytes per second.
    pub top_diskio: TopList,
    /// Which wakeups were scored when this was recorded; `None` outside recordings.
    pub wakeups_kind: Option<WakeupsKind>,
    /// CPU time that the sampler's own process used, ms per second; where its row is known.
    pub sampler_cpu_ms_per_s: Option<f64>,
}

/// What is known of the machine behind a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// The model of the machine, `Mac16,5`.
    pub hw_model: Option<Name>,
    /// The build of the system, `25C56`; on Linux the kernel's release.
    pub os_build: Option<Name>,
    /// When the machine started, Unix time in seconds.
    pub boot_time_s: Option<i64>,
}

/// Why a document, or a line of a recording, was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reject {
    /// It was cut off: another began, or the stream ended, before its end.
    Truncated,
    /// Over 16 MiB.
    Oversized,
    /// Its structure can't be read.
    Malformed,
    /// It has no positive `elapsed_ns`.
    Incomplete,
}

impl Reject {
    /// All reasons, in the order of every table.
    pub const ALL: [Self; 4] = [Self::Truncated, Self::Oversized, Self::Malformed, Self::Incomplete];

    /// The reason's name on the wire and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What the kernel says went on in the whole machine, counted since it started: a witness of whether
/// the rest stood still when we did. Linux only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Context switches of everybody but us (`/proc/stat` `ctxt`, less our own).
    pub context_switches: u64,
    /// Time in which some task waited for cpu, memory, io (PSI `some total`), µs; 0 where the kernel has none,
    /// `None` where it was not asked this time.
    pub pressure_us: [Option<u64>; 3],
}

/// A reading with what the engine made of it: what every output is fed with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// 1 for the first sample of a run; rises by one.
    pub seq: u64,
    /// When it arrived, Unix time in ns; a label, never used for durations.
    pub time_ns: i64,
    /// Time since the previous sample arrived, ns; `None` on the first and in recordings.
    pub interval_ns: Option<u64>,
    /// The sampler's own interval, ns.
    pub elapsed_ns: u64,
    /// The interval expected of this machine, ns.
    pub expected_ns: u64,
    /// Interval ÷ expected; 1 on the first sample after a start, a restart or a wake.
    pub latency_ratio: f64,
    /// The greatest heartbeat delay since the last sample, ns; `None` without a heartbeat.
    pub heartbeat_ns: Option<u64>,
    /// The tier after this sample.
    pub tier: Tier,
    /// Only the fast path answered.
    pub degraded: bool,
    /// The score and its factors.
    pub stress: Stress,
    /// Figures for the whole machine.
    pub metrics: Metrics,
    /// Which wakeups are scored, and listed in `top.wakeups`.
    pub wakeups_kind: WakeupsKind,
    /// The largest processes by each measure.
    pub top: Top,
    /// CPU time that the sampler's own process used, ms per second; where its row is known.
    pub sampler_cpu_ms_per_s: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thermal_pressure_is_read_in_any_case_and_anything_else_is_throttled() {
        assert_eq!(ThermalPressure::parse("Nominal"), ThermalPressure::Nominal);
        assert_eq!(ThermalPressure::parse("HEAVY"), ThermalPressure::Heavy);
        assert_eq!(ThermalPressure::parse("Scorching"), ThermalPressure::Other);
        assert!(ThermalPressure::Other.throttled());
        assert!(!ThermalPressure::Nominal.throttled());
    }
}
