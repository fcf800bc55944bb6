//! What is behind a factor's points: the raw value that its curve is applied to, for screens, stories and pages.

use crate::sample::{Factor, Metrics, WakeupsKind};

/// The factor's raw value of one sample alone; `None` where it is not reported. Load per core; memory in use, percent;
/// 1 where heat holds the machine back; `lateness` as it is given; disk traffic in MiB/s; GPU busy, percent; wakeups of
/// the kind scored and page-ins, both per second.
#[must_use]
pub fn instant(factor: Factor, metrics: &Metrics, wakeups: WakeupsKind, lateness: f64) -> Option<f64> {
    match factor {
        Factor::Load => match (metrics.load_avg, metrics.cores) {
            (Some(load), Some(cores)) if cores > 0 => Some(load / f64::from(cores)),
            _ => None,
        },
        Factor::Memory => metrics.memory_available_pct.map(|available| 100.0 - available),
        Factor::Thermal => metrics.thermal_pressure.map(|level| f64::from(u8::from(level.throttled()))),
        Factor::Latency => Some(lateness),
        Factor::Io => metrics.io_per_s().map(|bytes| bytes / 1_048_576.0),
        Factor::Gpu => metrics.gpu_busy_pct,
        Factor::Wakeups => match wakeups {
            WakeupsKind::Idle => metrics.idle_wakeups_per_s,
            WakeupsKind::Interrupt => metrics.intr_wakeups_per_s,
        },
        Factor::Pageins => metrics.pageins_per_s,
    }
}

/// What latency is scored by, as a multiple of the expected interval: live, a slow sampler alone is no stress.
#[must_use]
pub fn lateness(latency_ratio: f64, heartbeat_ns: Option<u64>, expected_ns: u64) -> f64 {
    match heartbeat_ns {
        Some(delay_ns) if expected_ns > 0 => latency_ratio.min(1.0 + delay_ns as f64 / expected_ns as f64),
        _ => latency_ratio,
    }
}
