//! The eight stress curves: what a figure is worth in points.
//!
//! Every curve is continuous, never falls as its input grows, and stays between 0 and its factor's maximum.
//! Points are the curve's value rounded down.

use crate::sample::{Factor, Metrics, Stress, WakeupsKind};

/// What the curves are applied to; `None` is not reported and scores 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Load average ÷ cores.
    pub load_per_core: Option<f64>,
    /// Memory in use, percent: 100 − available.
    pub memory_used_pct: Option<f64>,
    /// Held back by heat.
    pub throttled: Option<bool>,
    /// Lateness: interval ÷ expected.
    pub lateness: Option<f64>,
    /// Disk traffic, MiB/s, mean of the last second.
    pub io_mib_per_s: Option<f64>,
    /// GPU busy, percent.
    pub gpu_busy_pct: Option<f64>,
    /// Wakeups per second, mean of the last second.
    pub wakeups_per_s: Option<f64>,
    /// Which wakeups those are.
    pub wakeups_kind: WakeupsKind,
    /// Page-ins per second, mean of the last second.
    pub pageins_per_s: Option<f64>,
}

impl Inputs {
    /// Fills what comes straight from the metrics; means and lateness are the engine's.
    #[must_use]
    pub fn from_metrics(metrics: &Metrics) -> Self {
        Self {
            load_per_core: match (metrics.load_avg, metrics.cores) {
                (Some(load), Some(cores)) if cores > 0 => Some(load / f64::from(cores)),
                _ => None,
            },
            memory_used_pct: metrics.memory_available_pct.map(|available| 100.0 - available),
            throttled: metrics.thermal_pressure.map(|level| level.throttled()),
            gpu_busy_pct: metrics.gpu_busy_pct,
            ..Self::default()
        }
    }
}

/// Scores the inputs. `threshold_ratio` is `pause.threshold_ratio`: where lateness is worth 10 points.
#[must_use]
pub fn score(inputs: &Inputs, threshold_ratio: f64) -> Stress {
    let points = |factor: Factor, value: Option<f64>| -> u8 {
        let value = value.unwrap_or(0.0).clamp(0.0, f64::from(factor.max()));
        // What binary fractions lose (9.999999999 for 10) must not cost a point.
        (value + 1e-9) as u8
    };
    Stress::new([
        points(Factor::Load, inputs.load_per_core.map(load)),
        points(Factor::Memory, inputs.memory_used_pct.map(memory)),
        points(Factor::Thermal, inputs.throttled.map(thermal)),
        points(Factor::Latency, inputs.lateness.map(|ratio| latency(ratio, threshold_ratio))),
        points(Factor::Io, inputs.io_mib_per_s.map(io)),
        points(Factor::Gpu, inputs.gpu_busy_pct.map(gpu)),
        points(Factor::Wakeups, inputs.wakeups_per_s.map(|rate| wakeups(rate, inputs.wakeups_kind))),
        points(Factor::Pageins, inputs.pageins_per_s.map(pageins)),
    ])
}

/// The line from (x0, y0) with the given slope, never below y0.
fn rise(x: f64, x0: f64, y0: f64, slope: f64) -> f64 {
    y0 + (x - x0).max(0.0) * slope
}

fn load(per_core: f64) -> f64 {
    if per_core <= 2.0 { rise(per_core, 1.0, 0.0, 15.0) } else { rise(per_core, 2.0, 15.0, 7.5) }
}

fn memory(used_pct: f64) -> f64 {
    rise(used_pct, 70.0, 0.0, 1.0)
}

fn thermal(throttled: bool) -> f64 {
    if throttled { 10.0 } else { 0.0 }
}

/// Where lateness begins to score.
const LATE_FROM: f64 = 1.2;

fn latency(ratio: f64, threshold: f64) -> f64 {
    if ratio <= threshold {
        rise(ratio, LATE_FROM, 0.0, 10.0 / (threshold - LATE_FROM).max(f64::EPSILON))
    } else {
        rise(ratio, threshold, 10.0, 5.0)
    }
}

fn io(mib_per_s: f64) -> f64 {
    rise(mib_per_s, 10.0, 0.0, 1.0 / 9.0)
}

fn gpu(busy_pct: f64) -> f64 {
    if busy_pct <= 80.0 { rise(busy_pct, 50.0, 0.0, 1.0 / 3.0) } else { rise(busy_pct, 80.0, 10.0, 0.5) }
}

fn wakeups(per_s: f64, kind: WakeupsKind) -> f64 {
    match kind {
        WakeupsKind::Idle => rise(per_s, 100.0, 0.0, 1.0 / 40.0),
        WakeupsKind::Interrupt => rise(per_s, 10_000.0, 0.0, 1.0 / 4_000.0),
    }
}

fn pageins(per_s: f64) -> f64 {
    if per_s <= 100.0 { rise(per_s, 10.0, 0.0, 1.0 / 6.0) } else { rise(per_s, 100.0, 15.0, 1.0 / 20.0) }
}

/// How far back a mean reaches, ns.
const MEAN_NS: u64 = 1_000_000_000;
/// Readings kept for a mean: more than a second of them at any interval the program samples at.
const MEAN_LEN: usize = 32;

/// The mean of a rate over the last second of sample time, each value weighted by its interval.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    /// (interval ns, rate), newest last; readings that did not report the rate are left out.
    entries: [(u64, f64); MEAN_LEN],
    len: usize,
}

impl Default for Mean {
    fn default() -> Self {
        Self { entries: [(0, 0.0); MEAN_LEN], len: 0 }
    }
}

impl Mean {
    /// Takes a reading and returns the mean; `None` where the reading does not report the rate.
    pub fn push(&mut self, interval_ns: u64, rate: Option<f64>) -> Option<f64> {
        let rate = rate?;
        if self.len == MEAN_LEN {
            self.entries.copy_within(1.., 0);
            self.len -= 1;
        }
        self.entries[self.len] = (interval_ns.max(1), rate);
        self.len += 1;
        let mut left = MEAN_NS;
        let (mut weighted, mut covered) = (0.0, 0.0);
        let mut used = 0;
        for &(interval, rate) in self.entries[..self.len].iter().rev() {
            let part = interval.min(left);
            weighted += part as f64 * rate;
            covered += part as f64;
            left -= part;
            used += 1;
            if left == 0 {
                break;
            }
        }
        self.entries.copy_within(self.len - used..self.len, 0);
        self.len = used;
        Some(weighted / covered)
    }

    /// Forgets everything: the source was restarted.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::ThermalPressure;

    const THRESHOLD: f64 = 2.0;

    type Curve = (&'static str, Factor, f64, fn(f64) -> f64);

    /// Every curve of a number, with the largest input worth looking at.
    const CURVES: [Curve; 8] = [
        ("load", Factor::Load, 8.0, load),
        ("memory", Factor::Memory, 100.0, memory),
        ("latency", Factor::Latency, 10.0, |x| latency(x, THRESHOLD)),
        ("io", Factor::Io, 200.0, io),
        ("gpu", Factor::Gpu, 100.0, gpu),
        ("idle wakeups", Factor::Wakeups, 1_000.0, |x| wakeups(x, WakeupsKind::Idle)),
        ("interrupt wakeups", Factor::Wakeups, 100_000.0, |x| wakeups(x, WakeupsKind::Interrupt)),
        ("pageins", Factor::Pageins, 1_000.0, pageins),
    ];

    #[test]
    fn the_curves_have_the_values_of_the_table() {
        let load_at = |x| score(&Inputs { load_per_core: Some(x), ..Inputs::default() }, THRESHOLD).total();
        assert_eq!([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 9.0].map(load_at), [0, 0, 7, 15, 22, 30, 30]);
        let memory_at =
            |x| score(&Inputs { memory_used_pct: Some(x), ..Inputs::default() }, THRESHOLD).total();
        assert_eq!([0.0, 70.0, 71.0, 85.5, 100.0].map(memory_at), [0, 0, 1, 15, 30]);
        let latency_at = |x| score(&Inputs { lateness: Some(x), ..Inputs::default() }, THRESHOLD).total();
        assert_eq!([1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 50.0].map(latency_at), [0, 0, 5, 10, 15, 20, 20]);
        let io_at = |x| score(&Inputs { io_mib_per_s: Some(x), ..Inputs::default() }, THRESHOLD).total();
        assert_eq!([10.0, 18.9, 19.0, 100.0, 500.0].map(io_at), [0, 0, 1, 10, 10]);
        let gpu_at = |x| score(&Inputs { gpu_busy_pct: Some(x), ..Inputs::default() }, THRESHOLD).total();
        assert_eq!([50.0, 65.0, 80.0, 90.0, 100.0].map(gpu_at), [0, 5, 10, 15, 20]);
        let wakeups_at = |x, wakeups_kind| {
            score(&Inputs { wakeups_per_s: Some(x), wakeups_kind, ..Inputs::default() }, THRESHOLD).total()
        };
        assert_eq!([100.0, 139.0, 140.0, 500.0].map(|x| wakeups_at(x, WakeupsKind::Idle)), [0, 0, 1, 10]);
        assert_eq!([10_000.0, 14_000.0, 50_000.0].map(|x| wakeups_at(x, WakeupsKind::Interrupt)), [0, 1, 10]);
        let pageins_at =
            |x| score(&Inputs { pageins_per_s: Some(x), ..Inputs::default() }, THRESHOLD).total();
        assert_eq!([10.0, 16.0, 100.0, 200.0, 400.0, 9e9].map(pageins_at), [0, 1, 15, 20, 30, 30]);
    }

    #[test]
    fn any_thermal_pressure_but_nominal_is_ten_points() {
        for level in ThermalPressure::ALL {
            let metrics = Metrics { thermal_pressure: Some(level), ..Metrics::default() };
            let stress = score(&Inputs::from_metrics(&metrics), THRESHOLD);
            assert_eq!(stress.get(Factor::Thermal), if level == ThermalPressure::Nominal { 0 } else { 10 });
        }
    }

    #[test]
    fn the_score_is_capped_at_one_hundred() {
        let inputs = Inputs {
            load_per_core: Some(9.0),
            memory_used_pct: Some(100.0),
            throttled: Some(true),
            lateness: Some(9.0),
            io_mib_per_s: Some(900.0),
            gpu_busy_pct: Some(100.0),
            wakeups_per_s: Some(9e9),
            wakeups_kind: WakeupsKind::Interrupt,
            pageins_per_s: Some(9e9),
        };
        let stress = score(&inputs, THRESHOLD);
        assert_eq!(stress.points(), Factor::ALL.map(Factor::max));
        assert_eq!(stress.sum(), 160);
        assert_eq!(stress.total(), 100);
    }

    #[test]
    fn what_is_not_reported_scores_nothing() {
        assert_eq!(score(&Inputs::default(), THRESHOLD), Stress::default());
    }

    #[test]
    fn a_burst_of_one_sample_is_spread_over_a_second() {
        let mut mean = Mean::default();
        for _ in 0..20 {
            assert_eq!(mean.push(100_000_000, Some(0.0)), Some(0.0));
        }
        let first = mean.push(100_000_000, Some(1000.0)).unwrap();
        assert!((first - 100.0).abs() < 1e-9, "{first}");
        assert_eq!(mean.push(100_000_000, None), None, "not reported stays not reported");
        // An interval longer than the second stands for all of it.
        assert_eq!(mean.push(1_500_000_000, Some(7.0)), Some(7.0));
    }

    proptest! {
        #[test]
        fn every_curve_is_monotone_continuous_and_within_its_range(
            curve in 0..CURVES.len(), at in 0.0..1.0f64, step in 0.0..1.0f64,
        ) {
            let (name, factor, top, curve) = CURVES[curve];
            let max = f64::from(factor.max());
            let low = at * top;
            let high = low + step * top;
            let value = |x: f64| curve(x).clamp(0.0, max);
            prop_assert!((0.0..=max).contains(&value(low)));
            prop_assert!(value(high) >= value(low), "{name} falls between {low} and {high}");
            // A step of a millionth of the range never moves a curve by a thousandth of its maximum.
            let near = low + top * 1e-6;
            prop_assert!(value(near) - value(low) < max * 1e-3, "{name} jumps at {low}");
        }

        #[test]
        fn the_latency_curve_is_continuous_for_every_threshold(threshold in 1.3..100.0f64) {
            let below = latency(threshold - 1e-9, threshold);
            let above = latency(threshold + 1e-9, threshold);
            prop_assert!((below - above).abs() < 1e-6);
        }

        #[test]
        fn a_mean_lies_between_the_least_and_the_greatest(
            values in prop::collection::vec((1u64..3_000_000_000, 0.0..1e12f64), 1..80),
        ) {
            let mut mean = Mean::default();
            let (mut low, mut high) = (f64::MAX, f64::MIN);
            for (interval, value) in values {
                low = low.min(value);
                high = high.max(value);
                let result = mean.push(interval, Some(value)).unwrap();
                prop_assert!(result >= low * (1.0 - 1e-9) && result <= high * (1.0 + 1e-9));
            }
        }
    }
}
