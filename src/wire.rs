//! The socket's messages: newline-delimited JSON, protocol 1. Pure; shared by the daemon, `stream`, `analyze`,
//! replay and every client.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::event::{Culprit, Gap, TierChange};
use crate::sample::{
    Factor, Metrics, Name, Reading, Sample, Stress, ThermalPressure, Tier, Top, TopList, WakeupsKind,
    measured,
};

/// The version of this protocol, in [`Hello::protocol`].
pub const PROTOCOL: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message<'a> {
    /// The first line: who speaks, and the samples of the last seconds.
    #[serde(borrow)]
    Hello(Hello<'a>),
    /// One sample.
    #[serde(borrow)]
    Sample(Box<SampleLine<'a>>),
    /// The tier changed.
    Tier(TierLine),
    /// A gap was judged.
    #[serde(borrow)]
    Gap(GapLine<'a>),
    /// The source came, went, or is being restarted.
    #[serde(borrow)]
    Source(SourceLine<'a>),
    /// This client was too slow: so many samples were left out here.
    Lagged {
        /// How many.
        dropped: u64,
    },
    /// The last line of `analyze --json`.
    Summary(Summary),
}

/// The first line of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The daemon's version.
    pub version: Cow<'a, str>,
    /// `powermetrics`, `linux`, `replay` or `simulate`.
    pub source: Cow<'a, str>,
    /// The host's name.
    pub host: Cow<'a, str>,
    /// The nominal interval, ms.
    pub interval_ms: f64,
    /// Logical cores.
    pub cores: u32,
    /// Where the tiers begin.
    pub thresholds: Thresholds,
    /// The samples of the last seconds, oldest first.
    #[serde(borrow)]
    pub ring: Vec<SampleLine<'a>>,
}

/// Where the tiers begin, in points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// ELEVATED from here.
    pub elevated: u8,
    /// CRITICAL from here.
    pub critical: u8,
}

/// One sample. Field by field [`Sample`], with times in ms.
#[derive(Debug, Serialize, Deserialize)]
pub struct SampleLine<'a> {
    /// 1 for the first of a run.
    pub seq: u64,
    /// Time of day, RFC 3339 in UTC with ms.
    pub time: Cow<'a, str>,
    /// Arrival interval, ms; null on the first and in recordings.
    pub interval_ms: Option<f64>,
    /// The sampler's own interval, ms.
    pub elapsed_ms: f64,
    /// Expected interval, ms.
    pub expected_ms: f64,
    /// Interval ÷ expected.
    pub latency_ratio: f64,
    /// Greatest heartbeat delay since the last sample, ms; null without a heartbeat.
    pub heartbeat_ms: Option<f64>,
    /// The tier after this sample.
    pub tier: Cow<'a, str>,
    /// Only the fast path answered.
    pub degraded: bool,
    /// The score and its factors.
    pub stress: StressLine,
    /// Figures for the whole machine.
    pub metrics: MetricsLine<'a>,
    /// The largest processes.
    #[serde(borrow)]
    pub top: TopLine<'a>,
}

/// The score and its factors, in points.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StressLine {
    pub total: u8,
    pub load: u8,
    pub memory: u8,
    pub thermal: u8,
    pub latency: u8,
    pub io: u8,
    pub gpu: u8,
    pub wakeups: u8,
    pub pageins: u8,
}

/// [`Metrics`] on the wire: every key is always there, null is *not reported*.
#[derive(Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
#[serde(default)]
pub struct MetricsLine<'a> {
    pub load_avg: Option<f64>,
    pub cores: Option<u32>,
    pub memory_available_pct: Option<f64>,
    pub swap_used_bytes: Option<u64>,
    pub thermal_pressure: Option<Cow<'a, str>>,
    pub cpu_power_mw: Option<f64>,
    pub gpu_power_mw: Option<f64>,
    pub ane_power_mw: Option<f64>,
    pub combined_power_mw: Option<f64>,
    pub gpu_busy_pct: Option<f64>,
    pub io_read_per_s: Option<f64>,
    pub io_write_per_s: Option<f64>,
    pub cpu_ms_per_s: Option<f64>,
    pub idle_wakeups_per_s: Option<f64>,
    pub intr_wakeups_per_s: Option<f64>,
    pub wakeups_kind: Cow<'a, str>,
    pub pageins_per_s: Option<f64>,
}

/// [`Top`] on the wire.
#[derive(Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
#[serde(default)]
pub struct TopLine<'a> {
    #[serde(borrow)]
    pub cpu: Vec<ProcessLine<'a>>,
    #[serde(borrow)]
    pub pageins: Vec<ProcessLine<'a>>,
    #[serde(borrow)]
    pub wakeups: Vec<ProcessLine<'a>>,
    #[serde(borrow)]
    pub diskio: Vec<ProcessLine<'a>>,
}

/// One process of a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessLine<'a> {
    /// Process id.
    pub pid: i32,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value, in the list's unit.
    pub value: f64,
}

/// The tier changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TierLine {
    /// When, RFC 3339.
    pub time: String,
    /// The tier before.
    pub from: String,
    /// The tier from here on.
    pub to: String,
    /// The score.
    pub stress: u8,
    /// The episode's event.
    pub event: u64,
}

/// A gap was judged.
#[derive(Debug, Serialize, Deserialize)]
pub struct GapLine<'a> {
    /// When it ended, RFC 3339.
    pub time: Cow<'a, str>,
    /// pause, stall, starved or sleep.
    pub verdict: Cow<'a, str>,
    /// False where no second witness confirms it.
    pub certain: bool,
    /// How long, ms.
    pub duration_ms: f64,
    /// Its event; null for sleep.
    pub event: Option<u64>,
    /// Who built it up.
    #[serde(borrow)]
    pub culprits: Vec<CulpritLine<'a>>,
}

/// A process with its share of the blame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CulpritLine<'a> {
    /// Process id.
    pub pid: i32,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its share, 0–1.
    pub share: f64,
    /// Its points by factor, zeros left out.
    pub factors: std::collections::BTreeMap<Cow<'a, str>, u8>,
    /// How its strongest measure moved.
    pub evidence: Cow<'a, str>,
}

/// What became of the source.
#[derive(Debug, Serialize, Deserialize)]
pub struct SourceLine<'a> {
    /// When, RFC 3339.
    pub time: Cow<'a, str>,
    /// up, down or restarting.
    pub state: Cow<'a, str>,
    /// `powermetrics`, `linux`, `replay` or `simulate`.
    pub source: Cow<'a, str>,
    /// The model of the machine.
    pub hw_model: Option<Cow<'a, str>>,
    /// The build of its system.
    pub os_build: Option<Cow<'a, str>>,
    /// Why, for a person.
    pub detail: Option<Cow<'a, str>>,
}

/// The last line of `analyze --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Samples decoded.
    pub samples: u64,
    /// Documents or lines rejected, by reason; reasons without any are left out.
    pub rejected: std::collections::BTreeMap<String, u64>,
    /// Length of the recording, s.
    pub duration_s: f64,
    /// The highest score.
    pub peak_stress: u8,
    /// Seconds in each tier.
    pub tiers: std::collections::BTreeMap<String, f64>,
    /// Gaps by verdict; verdicts without any are left out.
    pub gaps: std::collections::BTreeMap<String, u64>,
    /// Intervals.
    pub interval_ms: IntervalSummary,
}

/// The sampler's own intervals, ms; null where there was none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct IntervalSummary {
    pub median: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

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
            elapsed_ms: ms(sample.elapsed_ns),
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

/// Appends the message and a newline to `out`.
pub fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and every type here has string keys.
    if serde_json::to_writer(&mut *out, message).is_ok() {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_survives_the_wire() {
        let mut sample = Sample {
            seq: 7,
            time_ns: 1_700_000_000_123_000_000,
            interval_ns: Some(108_100_000),
            elapsed_ns: 107_900_000,
            expected_ns: 108_000_000,
            latency_ratio: 1.01,
            heartbeat_ns: Some(300_000),
            ..Sample::default()
        };
        sample.metrics.thermal_pressure = Some(ThermalPressure::Nominal);
        sample.metrics.io_read_per_s = Some(56_017.2);
        sample.top.cpu.offer(501, &Name::new("a \"quoted\"\nname"), 630.672);
        let mut bytes = Vec::new();
        encode(&Message::Sample(Box::new((&sample).into())), &mut bytes);
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(
                r#"{"type":"sample","seq":7,"time":"2023-11-14T22:13:20.123Z","interval_ms":108.1,"#
            ),
            "{text}"
        );
        let Message::Sample(line) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(line.to_sample().unwrap(), sample);
    }

    #[test]
    fn the_largest_value_is_a_number_on_the_wire() {
        let mut sample = Sample { elapsed_ns: 1, ..Sample::default() };
        sample.top.cpu.offer(1, &Name::new("a"), crate::sample::MEASURED_MAX);
        let mut bytes = Vec::new();
        encode(&Message::Sample(Box::new((&sample).into())), &mut bytes);
        let Message::Sample(line) = serde_json::from_slice(&bytes).unwrap() else { panic!("no sample") };
        assert_eq!(line.top.cpu[0].value, crate::sample::MEASURED_MAX);
    }

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(parse_rfc3339("2026-11-22T09:10:11.123Z"), Some(1_795_338_611_123_000_000));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
