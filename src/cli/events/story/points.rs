//! Samples as graphs need them, the axis that they stand on, and how many of them become one column. Pure.

use crate::factor;
use crate::sample::{Factor, Metrics, Sample, Stress, Tier, WakeupsKind};

/// Rates are scored by their mean over so much, ms.
const MEAN_MS: f64 = 1_000.0;
/// Of which so much must be kept for a mean to be told, ms.
const MEAN_KEPT_MS: f64 = 500.0;

/// A long gap takes this part of the rest's room on the axis, and 3 s at least.
const GAP_PART: f64 = 0.12;
const GAP_LEAST_S: f64 = 3.0;

/// One sample, without its lists of processes.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::events) struct Point {
    pub(super) seq: u64,
    /// When it came, Unix ns.
    pub(super) time_ns: i64,
    /// The time it covers, ms: since the sample before arrived, else its own interval.
    pub(super) covers_ms: f64,
    /// The sampler's own interval, ms.
    pub(super) elapsed_ms: f64,
    pub(super) expected_ms: f64,
    pub(super) latency_ratio: f64,
    /// The greatest heartbeat delay since the sample before, ms.
    pub(super) heartbeat_ms: Option<f64>,
    pub(super) tier: Tier,
    pub(super) degraded: bool,
    pub(super) stress: Stress,
    pub(super) metrics: Metrics,
    pub(super) wakeups_kind: WakeupsKind,
}

impl From<&Sample> for Point {
    fn from(sample: &Sample) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        Self {
            seq: sample.seq,
            time_ns: sample.time_ns,
            covers_ms: ms(sample.interval_ns.unwrap_or(sample.elapsed_ns)),
            elapsed_ms: ms(sample.elapsed_ns),
            expected_ms: ms(sample.expected_ns),
            latency_ratio: sample.latency_ratio,
            heartbeat_ms: sample.heartbeat_ns.map(ms),
            tier: sample.tier,
            degraded: sample.degraded,
            stress: sample.stress,
            metrics: sample.metrics,
            wakeups_kind: sample.wakeups_kind,
        }
    }
}

impl Point {
    /// The factor's raw value in this sample alone.
    pub(super) fn instant(&self, factor: Factor) -> Option<f64> {
        let delay_ns = self.heartbeat_ms.map(|ms| (ms * 1e6) as u64);
        let lateness = factor::lateness(self.latency_ratio, delay_ns, (self.expected_ms * 1e6) as u64);
        factor::instant(factor, &self.metrics, self.wakeups_kind, lateness)
    }
}

/// The factor's raw value at that sample, as it is scored: of rates the mean over the last second; `None` where the
/// samples of that second are not kept, too.
pub(super) fn scored_value(points: &[Point], at: usize, factor: Factor) -> Option<f64> {
    let now = points.get(at)?.instant(factor)?;
    if !matches!(factor, Factor::Io | Factor::Wakeups | Factor::Pageins) {
        return Some(now);
    }
    let (mut left, mut weighted, mut covered) = (MEAN_MS, 0.0, 0.0);
    let mut next_seq = points[at].seq;
    for point in points[..=at].iter().rev() {
        let part = point.elapsed_ms.max(0.001).min(left);
        if point.seq != next_seq {
            break;
        }
        if let Some(rate) = point.instant(factor) {
            weighted += part * rate;
            covered += part;
        }
        left -= part;
        if left <= 0.0 {
            break;
        }
        next_seq = point.seq.wrapping_sub(1);
    }
    (covered >= MEAN_KEPT_MS.min(points[at].elapsed_ms.max(1.0) * 5.0)).then(|| weighted / covered)
}

/// A stretch of time, and the part of the axis that it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    from_ns: i64,
    to_ns: i64,
    from: f64,
    to: f64,
}

/// Where a time stands, from 0 to 1. A long gap takes less room than its time: what led up to it must be seen.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli::events) struct Axis {
    stretches: Vec<Stretch>,
    /// The gap in the middle is drawn shorter than it was.
    pub(super) shortened: bool,
}

impl Axis {
    /// All of it on one scale.
    pub(super) fn whole(from_ns: i64, to_ns: i64) -> Self {
        Self::of(&[(from_ns, to_ns.max(from_ns + 1), 1.0)], false)
    }

    /// With a gap in it.
    pub(super) fn around(from_ns: i64, gap: (i64, i64), to_ns: i64) -> Self {
        let seconds = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64 / 1e9;
        let (before, after) = (seconds(from_ns, gap.0), seconds(gap.1, to_ns));
        let length = seconds(gap.0, gap.1);
        let most = ((before + after) * GAP_PART).max(GAP_LEAST_S);
        let parts = [(from_ns, gap.0, before), (gap.0, gap.1, length.min(most)), (gap.1, to_ns, after)];
        Self::of(&parts, length > most)
    }

    fn of(parts: &[(i64, i64, f64)], shortened: bool) -> Self {
        let all: f64 = parts.iter().map(|part| part.2).sum::<f64>().max(f64::MIN_POSITIVE);
        let mut from = 0.0;
        let stretches = parts.iter().filter(|part| part.2 > 0.0).map(|&(from_ns, to_ns, part)| {
            let stretch = Stretch { from_ns, to_ns, from, to: from + part / all };
            from = stretch.to;
            stretch
        });
        Self { stretches: stretches.collect(), shortened }
    }

    /// The first time on it, Unix ns.
    pub(super) fn start_ns(&self) -> i64 {
        self.stretches.first().map_or(0, |stretch| stretch.from_ns)
    }

    /// The last time on it, Unix ns.
    pub(super) fn end_ns(&self) -> i64 {
        self.stretches.last().map_or(0, |stretch| stretch.to_ns)
    }

    /// Where that time stands.
    pub(super) fn place(&self, time_ns: i64) -> f64 {
        let Some(stretch) =
            self.stretches.iter().find(|stretch| time_ns <= stretch.to_ns).or(self.stretches.last())
        else {
            return 0.0;
        };
        let length = stretch.to_ns.saturating_sub(stretch.from_ns).max(1) as f64;
        let part = (time_ns.saturating_sub(stretch.from_ns) as f64 / length).clamp(0.0, 1.0);
        stretch.from + part * (stretch.to - stretch.from)
    }

    /// The part of the axis that a span of time takes; `None` where it is not on it.
    pub(super) fn part(&self, from_ns: i64, to_ns: i64) -> Option<(f64, f64)> {
        (from_ns <= self.end_ns() && to_ns >= self.start_ns())
            .then(|| (self.place(from_ns), self.place(to_ns)))
    }
}

/// One column of a graph: the samples that lie in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Column {
    /// The most stressed sample in it, as an index; `None` where there is none.
    pub(super) best: Option<usize>,
    /// How many samples lie in it.
    pub(super) count: usize,
}

/// The columns that each sample takes: from where the time that it covers began, but not into a hole, to where it came.
pub(super) fn spread(
    points: &[Point],
    axis: &Axis,
    holes: &[super::Hole],
    columns: usize,
) -> Vec<(usize, usize)> {
    let last = columns.saturating_sub(1);
    let at = |place: f64| ((place * columns as f64) as usize).min(last);
    points
        .iter()
        .map(|point| {
            // What was late by more than this covers no time that anything is known of.
            let covers_ms = point.covers_ms.min(2.0 * point.expected_ms.max(1.0));
            let mut from_ns = point.time_ns.saturating_sub((covers_ms * 1e6) as i64);
            for hole in holes.iter().filter(|hole| hole.from_ns < point.time_ns) {
                from_ns = from_ns.max(hole.to_ns.min(point.time_ns));
            }
            let to = axis.place(point.time_ns);
            let from = axis.place(from_ns);
            // A sample that came just where a column begins belongs to the one before.
            let end = at((to - 1e-9).max(from));
            (at(from + 1e-9).min(end), end)
        })
        .collect()
}

/// What stands in each column.
pub(super) fn columns(points: &[Point], places: &[(usize, usize)], count: usize) -> Vec<Column> {
    let mut columns = vec![Column::default(); count];
    for (at, &(from, to)) in places.iter().enumerate() {
        for column in columns.get_mut(from..=to).unwrap_or_default() {
            column.count += 1;
            if column.best.is_none_or(|best| points[best].stress.sum() < points[at].stress.sum()) {
                column.best = Some(at);
            }
        }
    }
    columns
}

/// The least and the greatest value in each column.
pub(super) fn extremes(
    points: &[Point],
    places: &[(usize, usize)],
    count: usize,
    value: impl Fn(&Point) -> Option<f64>,
) -> Vec<Option<(f64, f64)>> {
    let mut columns: Vec<Option<(f64, f64)>> = vec![None; count];
    for (point, &(from, to)) in points.iter().zip(places) {
        let Some(value) = value(point).filter(|value| value.is_finite()) else { continue };
        for column in columns.get_mut(from..=to).unwrap_or_default() {
            *column =
                Some(column.map_or((value, value), |(least, most)| (least.min(value), most.max(value))));
        }
    }
    columns
}
