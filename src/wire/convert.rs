//! The lines of the wire, made of plain data and turned into it again.

use std::borrow::Cow;

use super::{CulpritLine, GapLine, MetricsLine, ProcessLine, SampleLine, StressLine, TierLine, TopLine};
use crate::event::{Culprit, Gap, TierChange};
use crate::sample::{
    Factor, Metrics, Name, Reading, Sample, Stress, ThermalPressure, Tier, Top, TopList, WakeupsKind,
    measured,
};

/// Nanoseconds as ms, to the microsecond.
#[must_use]
pub fn ms(ns: u64) -> f64 {
    (ns as f64 / 1_000.0).round() / 1_000.0
}

/// A number to four digits after the point: more is noise, and costs bytes in every line.
fn rounded(value: f64) -> f64 {
    let scaled = value * 10_000.0;
    // So large that it has no digits after the point, and no room for more before it: infinity is no JSON.
    if scaled.is_finite() { scaled.round() / 10_000.0 } else { value }
}

/// Unix time in ns as RFC 3339 in UTC with ms, `2026-11-22T09:10:11.123Z`.
#[must_use]
pub fn rfc3339(unix_ns: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ns.div_euclid(1_000_000))
        .map_or_else(|_| "1970-01-01T00:00:00.000Z".to_owned(), |time| format!("{time:.3}"))
}

/// Reads what [`rfc3339`] writes, and any other RFC 3339 time. Unix ns.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

impl From<Stress> for StressLine {
    fn from(stress: Stress) -> Self {
        Self {
            total: stress.total(),
            load: stress.get(Factor::Load),
            memory: stress.get(Factor::Memory),
            thermal: stress.get(Factor::Thermal),
            latency: stress.get(Factor::Latency),
            io: stress.get(Factor::Io),
            gpu: stress.get(Factor::Gpu),
            wakeups: stress.get(Factor::Wakeups),
            pageins: stress.get(Factor::Pageins),
        }
    }
}

impl From<StressLine> for Stress {
    fn from(line: StressLine) -> Self {
        let points = [
            line.load,
            line.memory,
            line.thermal,
            line.latency,
            line.io,
            line.gpu,
            line.wakeups,
            line.pageins,
        ];
        let mut capped = points;
        for (points, factor) in capped.iter_mut().zip(Factor::ALL) {
            *points = (*points).min(factor.max());
        }
        Self::new(capped)
    }
}

fn list_line(list: &TopList) -> Vec<ProcessLine<'_>> {
    list.as_slice()
        .iter()
        .map(|process| ProcessLine {
            pid: process.pid,
            name: Cow::Borrowed(process.name.as_str()),
            value: rounded(process.value),
        })
        .collect()
}

fn list_from(lines: &[ProcessLine<'_>]) -> TopList {
    let mut list = TopList::default();
    for line in lines {
        list.offer(line.pid, &Name::new(&line.name), line.value);
    }
    list
}

fn reported(value: Option<f64>) -> Option<f64> {
    value.and_then(measured)
}

impl<'a> From<&'a Sample> for SampleLine<'a> {
    fn from(sample: &'a Sample) -> Self {
        let metrics = &sample.metrics;
        Self {
            seq: sample.seq,
            time: Cow::Owned(rfc3339(sample.time_ns)),
            interval_ms: sample.interval_ns.map(ms),
            // What is positive stays so: a sample without an interval is none.
            elapsed_ms: ms(sample.elapsed_ns.max(1_000)),
            expected_ms: ms(sample.expected_ns),
            latency_ratio: rounded(sample.latency_ratio),
            heartbeat_ms: sample.heartbeat_ns.map(ms),
            tier: Cow::Borrowed(sample.tier.as_str()),
            degraded: sample.degraded,
            stress: sample.stress.into(),
            metrics: MetricsLine {
                load_avg: metrics.load_avg.map(rounded),
                cores: metrics.cores,
                memory_available_pct: metrics.memory_available_pct.map(rounded),
                swap_used_bytes: metrics.swap_used_bytes,
                thermal_pressure: metrics.thermal_pressure.map(|level| Cow::Borrowed(level.as_str())),
                cpu_power_mw: metrics.cpu_power_mw.map(rounded),
                gpu_power_mw: metrics.gpu_power_mw.map(rounded),
                ane_power_mw: metrics.ane_power_mw.map(rounded),
                combined_power_mw: metrics.combined_power_mw.map(rounded),
                gpu_busy_pct: metrics.gpu_busy_pct.map(rounded),
                io_read_per_s: metrics.io_read_per_s.map(rounded),
                io_write_per_s: metrics.io_write_per_s.map(rounded),
                cpu_ms_per_s: metrics.cpu_ms_per_s.map(rounded),
                idle_wakeups_per_s: metrics.idle_wakeups_per_s.map(rounded),
                intr_wakeups_per_s: metrics.intr_wakeups_per_s.map(rounded),
                wakeups_kind: Cow::Borrowed(sample.wakeups_kind.as_str()),
                pageins_per_s: metrics.pageins_per_s.map(rounded),
            },
            top: (&sample.top).into(),
        }
    }
}

impl<'a> From<&'a Top> for TopLine<'a> {
    fn from(top: &'a Top) -> Self {
        Self {
            cpu: list_line(&top.cpu),
            pageins: list_line(&top.pageins),
            wakeups: list_line(&top.wakeups),
            diskio: list_line(&top.diskio),
        }
    }
}

impl From<&TopLine<'_>> for Top {
    fn from(line: &TopLine<'_>) -> Self {
        Self {
            cpu: list_from(&line.cpu),
            pageins: list_from(&line.pageins),
            wakeups: list_from(&line.wakeups),
            diskio: list_from(&line.diskio),
        }
    }
}

impl MetricsLine<'_> {
    fn to_metrics(&self) -> Metrics {
        Metrics {
            load_avg: reported(self.load_avg),
            cores: self.cores,
            memory_available_pct: reported(self.memory_available_pct).map(|pct| pct.min(100.0)),
            swap_used_bytes: self.swap_used_bytes,
            thermal_pressure: self.thermal_pressure.as_deref().map(ThermalPressure::parse),
            cpu_power_mw: reported(self.cpu_power_mw),
            gpu_power_mw: reported(self.gpu_power_mw),
            ane_power_mw: reported(self.ane_power_mw),
            combined_power_mw: reported(self.combined_power_mw),
            gpu_busy_pct: reported(self.gpu_busy_pct).map(|pct| pct.min(100.0)),
            io_read_per_s: reported(self.io_read_per_s),
            io_write_per_s: reported(self.io_write_per_s),
            cpu_ms_per_s: reported(self.cpu_ms_per_s),
            idle_wakeups_per_s: reported(self.idle_wakeups_per_s),
            intr_wakeups_per_s: reported(self.intr_wakeups_per_s),
            pageins_per_s: reported(self.pageins_per_s),
        }
    }

    fn kind(&self) -> Option<WakeupsKind> {
        [WakeupsKind::Idle, WakeupsKind::Interrupt]
            .into_iter()
            .find(|kind| self.wakeups_kind == kind.as_str())
    }
}

/// Milliseconds of a recording as ns; `None` where they are not finite or negative.
#[must_use]
pub fn ns_from_ms(ms: f64) -> Option<u64> {
    // Ten years: what is longer is no interval.
    (ms.is_finite() && (0.0..3.2e11).contains(&ms)).then(|| (ms * 1e6).round() as u64)
}

impl SampleLine<'_> {
    /// The reading in a recorded sample: what the engine is fed with when the recording is replayed.
    /// `None` where it has no positive `elapsed_ms`.
    #[must_use]
    pub fn to_reading(&self) -> Option<Reading> {
        let wakeups = list_from(&self.top.wakeups);
        let (idle, interrupt) = match self.metrics.kind() {
            None | Some(WakeupsKind::Idle) => (wakeups, TopList::default()),
            Some(WakeupsKind::Interrupt) => (TopList::default(), wakeups),
        };
        Some(Reading {
            elapsed_ns: ns_from_ms(self.elapsed_ms).filter(|&ns| ns > 0)?,
            degraded: self.degraded,
            metrics: self.metrics.to_metrics(),
            top_cpu: list_from(&self.top.cpu),
            top_pageins: list_from(&self.top.pageins),
            top_idle_wakeups: idle,
            top_intr_wakeups: interrupt,
            top_diskio: list_from(&self.top.diskio),
            wakeups_kind: self.metrics.kind(),
            sampler_cpu_ms_per_s: None,
        })
    }

    /// The sample as it was sent; `None` where a field has no meaning.
    #[must_use]
    pub fn to_sample(&self) -> Option<Sample> {
        let optional = |ms: Option<f64>| match ms {
            None => Some(None),
            Some(ms) => ns_from_ms(ms).map(Some),
        };
        Some(Sample {
            seq: self.seq,
            time_ns: parse_rfc3339(&self.time)?,
            interval_ns: optional(self.interval_ms)?,
            elapsed_ns: ns_from_ms(self.elapsed_ms)?,
            expected_ns: ns_from_ms(self.expected_ms)?,
            latency_ratio: self.latency_ratio,
            heartbeat_ns: optional(self.heartbeat_ms)?,
            tier: Tier::parse(&self.tier)?,
            degraded: self.degraded,
            stress: self.stress.into(),
            metrics: self.metrics.to_metrics(),
            wakeups_kind: self.metrics.kind().unwrap_or_default(),
            top: (&self.top).into(),
            sampler_cpu_ms_per_s: None,
        })
    }
}

impl From<&TierChange> for TierLine {
    fn from(change: &TierChange) -> Self {
        Self {
            time: rfc3339(change.time_ns),
            from: change.from.as_str().to_owned(),
            to: change.to.as_str().to_owned(),
            stress: change.stress,
            event: change.episode,
        }
    }
}

impl<'a> From<&'a Culprit> for CulpritLine<'a> {
    fn from(culprit: &'a Culprit) -> Self {
        Self {
            pid: culprit.pid,
            name: Cow::Borrowed(culprit.name.as_str()),
            share: rounded(culprit.share),
            factors: culprit
                .scored()
                .map(|(factor, points)| (Cow::Borrowed(factor.as_str()), points))
                .collect(),
            evidence: Cow::Owned(culprit.evidence.to_string()),
        }
    }
}

impl CulpritLine<'_> {
    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> CulpritLine<'static> {
        CulpritLine {
            pid: self.pid,
            name: self.name.into_owned().into(),
            share: self.share,
            factors: self.factors.into_iter().map(|(f, n)| (f.into_owned().into(), n)).collect(),
            evidence: self.evidence.into_owned().into(),
        }
    }
}

impl<'a> From<&'a Gap> for GapLine<'a> {
    fn from(gap: &'a Gap) -> Self {
        Self {
            time: Cow::Owned(rfc3339(gap.ended_ns)),
            verdict: Cow::Borrowed(gap.verdict.as_str()),
            certain: gap.certain,
            duration_ms: ms(gap.duration_ns),
            event: gap.id,
            culprits: gap.culprits.iter().map(CulpritLine::from).collect(),
        }
    }
}
