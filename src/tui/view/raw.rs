//! What is behind a factor's points: its raw value, and the curve in words.

use crate::factor;
use crate::human::number;
use crate::sample::{Factor, Sample, WakeupsKind};
use crate::tui::state::history::History;

/// Rates are scored by their mean over so much, ns.
const MEAN_NS: u64 = 1_000_000_000;

/// The factor's raw value of one sample alone, in the unit of [`text`]; `None` where it is not reported.
pub(super) fn instant(factor: Factor, sample: &Sample) -> Option<f64> {
    let lateness = factor::lateness(sample.latency_ratio, sample.heartbeat_ns, sample.expected_ns);
    factor::instant(factor, &sample.metrics, sample.wakeups_kind, lateness)
}

/// The factor's raw value at that sample, as it is scored: of rates the mean over the last second.
pub(super) fn value(factor: Factor, history: &History, number: u64) -> Option<f64> {
    let now = instant(factor, history.get(number)?.sample())?;
    if !matches!(factor, Factor::Io | Factor::Wakeups | Factor::Pageins) {
        return Some(now);
    }
    let (mut left, mut weighted, mut covered) = (MEAN_NS, 0.0, 0.0);
    for kept in history.window(number, 2 * MEAN_NS).rev() {
        let part = kept.sample().elapsed_ns.max(1).min(left);
        if let Some(rate) = instant(factor, kept.sample()) {
            weighted += part as f64 * rate;
            covered += part as f64;
        }
        left -= part;
        if left == 0 || kept.broken {
            break;
        }
    }
    Some(weighted / covered)
}

/// A raw value with its unit.
pub(super) fn text(factor: Factor, value: Option<f64>, sample: &Sample) -> String {
    let Some(value) = value else { return "not reported".to_owned() };
    match factor {
        Factor::Load => format!("{} per core", number(value)),
        Factor::Memory => format!("{value:.0} % used"),
        Factor::Thermal => sample.metrics.thermal_pressure.map_or("", |level| level.as_str()).to_owned(),
        Factor::Latency => format!("{value:.2} × expected"),
        Factor::Io => format!("{} MiB/s", number(value)),
        Factor::Gpu => format!("{value:.0} % busy"),
        Factor::Wakeups => format!("{}/s {}", number(value), wakeups(sample.wakeups_kind)),
        Factor::Pageins => format!("{}/s", number(value)),
    }
}

fn wakeups(kind: WakeupsKind) -> &'static str {
    match kind {
        WakeupsKind::Idle => "idle",
        WakeupsKind::Interrupt => "intr",
    }
}

/// A value on a graph's scale.
pub(super) fn short(factor: Factor, value: f64) -> String {
    match factor {
        Factor::Wakeups if value >= 1_000.0 => format!("{:.0}k", value / 1_000.0),
        Factor::Thermal => String::new(),
        _ => number(value),
    }
}

/// What the factor measures, and what it is worth.
pub(super) fn curve(factor: Factor) -> (&'static str, &'static str) {
    match factor {
        Factor::Load => (
            "load average over one minute ÷ cores",
            "0 below 1; (x−1)·15 up to 2; then 15 + (x−2)·7.5; 30 at most",
        ),
        Factor::Memory => ("memory in use, percent: 100 − available", "0 below 70; x−70; 30 at most"),
        Factor::Thermal => ("held back by heat: any level but nominal", "10 or 0"),
        Factor::Latency => (
            "interval ÷ expected; live the smaller of it and 1 + heartbeat delay ÷ expected",
            "0 up to 1.2; rising to 10 at pause.threshold_ratio; then 5 for each 1 more; 20 at most",
        ),
        Factor::Io => {
            ("disk bytes read and written, MiB/s, mean of 1 s", "0 up to 10; (x−10) ÷ 9; 10 at most")
        }
        Factor::Gpu => {
            ("the busiest GPU, percent", "0 up to 50; (x−50) ÷ 3 up to 80; then 10 + (x−80) ÷ 2; 20 at most")
        }
        Factor::Wakeups => (
            "wakeups a second, mean of 1 s",
            "idle: 0 up to 100; (x−100) ÷ 40. interrupt: 0 up to 10,000; (x−10,000) ÷ 4,000; 10 at most",
        ),
        Factor::Pageins => (
            "page-ins a second, mean of 1 s: mostly from files, not swap",
            "0 up to 10; (x−10) ÷ 6 up to 100; then 15 + (x−100) ÷ 20; 30 at most",
        ),
    }
}
