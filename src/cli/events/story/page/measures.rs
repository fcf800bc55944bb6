//! Which measures are drawn, in which unit.

use super::plot::{COLUMNS, Plot, Series};
use crate::cli::events::story::Story;
use crate::cli::events::story::points::{Point, extremes, spread};
use crate::sample::WakeupsKind;

/// What of a sample is drawn; `None` is not reported.
type Value = fn(&Point) -> Option<f64>;

const MIB: f64 = 1_048_576.0;

/// Title, unit, the least top of its axis, and what is drawn.
type Measure = (&'static str, &'static str, f64, &'static [(&'static str, Value)]);

const MEASURES: [Measure; 11] = [
    ("Page-ins", "per second", 0.0, &[("", |point| point.metrics.pageins_per_s)]),
    (
        "Disk",
        "MiB/s",
        0.0,
        &[
            ("read", |point| point.metrics.io_read_per_s.map(|bytes| bytes / MIB)),
            ("written", |point| point.metrics.io_write_per_s.map(|bytes| bytes / MIB)),
        ],
    ),
    (
        "Memory in use",
        "%",
        100.0,
        &[("", |point| point.metrics.memory_available_pct.map(|free| 100.0 - free))],
    ),
    (
        "Swap in use",
        "GiB",
        0.0,
        &[("", |point| point.metrics.swap_used_bytes.map(|bytes| bytes as f64 / MIB / 1024.0))],
    ),
    (
        "CPU of all processes",
        "% of a core",
        0.0,
        &[("", |point| point.metrics.cpu_ms_per_s.map(|ms| ms / 10.0))],
    ),
    ("Load average", "runnable tasks", 0.0, &[("", |point| point.metrics.load_avg)]),
    ("GPU busy", "%", 100.0, &[("", |point| point.metrics.gpu_busy_pct)]),
    (
        "Wakeups",
        "per second",
        0.0,
        &[("", |point| match point.wakeups_kind {
            WakeupsKind::Idle => point.metrics.idle_wakeups_per_s,
            WakeupsKind::Interrupt => point.metrics.intr_wakeups_per_s,
        })],
    ),
    (
        "Power",
        "W",
        0.0,
        &[
            ("package", |point| point.metrics.combined_power_mw.map(|mw| mw / 1e3)),
            ("CPU", |point| point.metrics.cpu_power_mw.map(|mw| mw / 1e3)),
            ("GPU", |point| point.metrics.gpu_power_mw.map(|mw| mw / 1e3)),
            ("ANE", |point| point.metrics.ane_power_mw.map(|mw| mw / 1e3)),
        ],
    ),
    (
        "Interval",
        "ms",
        0.0,
        &[("measured", |point| Some(point.elapsed_ms)), ("expected", |point| Some(point.expected_ms))],
    ),
    ("Heartbeat lateness", "ms", 0.0, &[("", |point| point.heartbeat_ms)]),
];

/// What is drawn, and what is not.
pub(super) struct Found {
    pub(super) plots: Vec<Plot>,
    /// Reported, and zero throughout.
    pub(super) zero: Vec<String>,
    /// Not reported by this source.
    pub(super) absent: Vec<&'static str>,
    /// Some columns hold more than one sample.
    pub(super) thinned: bool,
}

/// The measures of a story.
pub(super) fn of(story: &Story) -> Found {
    let places = spread(&story.points, &story.axis, &story.holes, COLUMNS);
    let thinned = places.windows(2).filter(|pair| pair[0].1 == pair[1].1).count() > story.points.len() / 4;
    let mut found = Found { plots: Vec::new(), zero: Vec::new(), absent: Vec::new(), thinned };
    for (title, unit, least_top, lines) in MEASURES {
        let mut series = Vec::new();
        let mut reported = false;
        for &(name, value) in lines {
            let columns = extremes(&story.points, &places, COLUMNS, value);
            let most = columns.iter().flatten().map(|(_, most)| *most).reduce(f64::max);
            reported |= most.is_some();
            match most {
                Some(most) if most > 0.0 => series.push(Series { name, columns }),
                Some(_) if name.is_empty() => found.zero.push(title.to_owned()),
                Some(_) => found.zero.push(format!("{title} ({name})")),
                None => {}
            }
        }
        if !reported {
            found.absent.push(title);
        } else if !series.is_empty() {
            found.plots.push(Plot { title, unit, series, least_top });
        }
    }
    found
}
