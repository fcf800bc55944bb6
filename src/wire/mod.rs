//! The socket's messages: newline-delimited JSON, protocol 1. Pure; shared by the daemon, `stream`, `analyze`,
//! replay and every client.

mod convert;
mod json;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use convert::{ms, ns_from_ms, parse_rfc3339, rfc3339};
pub use json::{write_json, write_json_pretty};

/// The version of this protocol, in [`Hello::protocol`].
pub const PROTOCOL: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message<'a> {
    /// The first line: who speaks, and the samples and gaps of the last seconds.
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
    /// The gaps among those samples, as their `gap` lines told them, but without `type`; oldest first.
    #[serde(default, borrow)]
    pub gaps: Vec<GapLine<'a>>,
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

/// One sample. Field by field [`Sample`](crate::sample::Sample), with times in ms.
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

/// [`Metrics`](crate::sample::Metrics) on the wire: every key is always there, null is *not reported*.
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

/// [`Top`](crate::sample::Top) on the wire.
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

/// Appends the message and a newline to `out`.
pub fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and every type here has string keys.
    if write_json(&mut *out, message).is_ok() {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{MEASURED_MAX, Name, Sample, ThermalPressure};

    #[test]
    fn a_hello_that_tells_no_gaps_is_understood() {
        let text = r#"{"type":"hello","protocol":1,"version":"0","source":"linux","host":"h","interval_ms":100.0,"cores":2,"thresholds":{"elevated":15,"critical":50},"ring":[]}"#;
        let Message::Hello(hello) = serde_json::from_str(text).unwrap() else { panic!() };
        assert!(hello.gaps.is_empty());
    }

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
        sample.top.cpu.offer(1, &Name::new("a"), MEASURED_MAX);
        let mut bytes = Vec::new();
        encode(&Message::Sample(Box::new((&sample).into())), &mut bytes);
        let Message::Sample(line) = serde_json::from_slice(&bytes).unwrap() else { panic!("no sample") };
        assert_eq!(line.top.cpu[0].value, MEASURED_MAX);
    }

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(parse_rfc3339("2026-11-22T09:10:11.123Z"), Some(1_795_338_611_123_000_000));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
