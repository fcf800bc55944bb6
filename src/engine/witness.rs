//! The kernel as a witness: did the rest of the machine go on while we stood still?

use crate::sample::Activity;

/// Readings kept: the baseline is the time they reach back, at 100 ms about six seconds.
const KEPT: usize = 64;
/// A baseline shorter than this says nothing, ns.
const LEAST_BASELINE_NS: u64 = 500_000_000;
/// A machine with fewer context switches a second than this has nobody in it to bear witness.
const LEAST_RATE_PER_S: f64 = 10.0;
/// In a gap the rest goes on at this part of its rate before, or more.
const RATE_PART: f64 = 0.5;
/// In a gap the pressure stays under this part of it.
const PRESSURE_PART: f64 = 0.1;

/// The last readings of the kernel's counters.
#[derive(Clone, Debug)]
pub struct Witness {
    readings: [(u64, Activity); KEPT],
    len: usize,
}

impl Default for Witness {
    fn default() -> Self {
        Self { readings: [(0, Activity::default()); KEPT], len: 0 }
    }
}

impl Witness {
    /// Takes a reading made at `at_ns` of the time line.
    pub fn push(&mut self, at_ns: u64, activity: Activity) {
        if self.len == KEPT {
            self.readings.copy_within(1.., 0);
            self.len -= 1;
        }
        self.readings[self.len] = (at_ns, activity);
        self.len += 1;
    }

    /// Whether the rest went on from `start_ns` to `end_ns`: context switches at half the rate before or
    /// more, while pressure stayed under 10 % of the gap. False where the kernel's counters can't say.
    #[must_use]
    pub fn rest_went_on(&self, start_ns: u64, end_ns: u64) -> bool {
        self.judge(start_ns, end_ns).is_some_and(|(went_on, calm)| went_on && calm)
    }

    /// Whether the rest stood still from `start_ns` to `end_ns`: fewer context switches than half the rate
    /// before. False where the kernel's counters can't say.
    #[must_use]
    pub fn rest_stood_still(&self, start_ns: u64, end_ns: u64) -> bool {
        self.judge(start_ns, end_ns).is_some_and(|(went_on, _)| !went_on)
    }

    /// Whether context switches went on, and whether pressure was low.
    fn judge(&self, start_ns: u64, end_ns: u64) -> Option<(bool, bool)> {
        let readings = &self.readings[..self.len];
        let (first_at, first) = readings.first()?;
        let (before_at, before) = readings.iter().rfind(|(at, _)| *at <= start_ns)?;
        let (after_at, after) = readings.iter().find(|(at, _)| *at >= end_ns)?;
        let baseline_ns = before_at.saturating_sub(*first_at);
        let gap_ns = end_ns.saturating_sub(start_ns);
        if baseline_ns < LEAST_BASELINE_NS || gap_ns == 0 {
            return None;
        }
        let switches =
            |from: &Activity, to: &Activity| to.context_switches.saturating_sub(from.context_switches) as f64;
        let rate = switches(first, before) / (baseline_ns as f64 / 1e9);
        if rate < LEAST_RATE_PER_S {
            return None;
        }
        // The readings enclose the gap and some ordinary time at both ends, which is taken off.
        let outside_s = (after_at - before_at).saturating_sub(gap_ns) as f64 / 1e9;
        let inside = switches(before, after) - rate * outside_s;
        let went_on = inside >= rate * RATE_PART * (gap_ns as f64 / 1e9);
        let limit_us = PRESSURE_PART * gap_ns as f64 / 1e3;
        let calm = before
            .pressure_us
            .iter()
            .zip(after.pressure_us)
            .all(|(before, after)| (after.saturating_sub(*before) as f64) < limit_us);
        Some((went_on, calm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Two seconds at 100 switches a second, then a gap of one second with so many switches and so much
    /// pressure in it.
    fn gap(switches: u64, pressure_us: u64) -> bool {
        witness(switches, pressure_us).rest_went_on(2_030 * MS, 3_030 * MS)
    }

    fn witness(switches: u64, pressure_us: u64) -> Witness {
        let mut witness = Witness::default();
        for tick in 0..=20 {
            witness.push(tick * 100 * MS, Activity { context_switches: tick * 10, pressure_us: [0; 3] });
        }
        witness.push(
            3_050 * MS,
            Activity { context_switches: 200 + 5 + switches, pressure_us: [0, pressure_us, 0] },
        );
        witness
    }

    #[test]
    fn the_rest_stood_still_where_it_hardly_switched_whatever_the_pressure_was() {
        let stood_still =
            |switches, pressure_us| witness(switches, pressure_us).rest_stood_still(2_030 * MS, 3_030 * MS);
        assert!(stood_still(0, 0) && stood_still(49, 900_000));
        assert!(!stood_still(51, 0) && !stood_still(100, 900_000));
        assert!(!Witness::default().rest_stood_still(0, 1_000 * MS), "nobody can say");
    }

    #[test]
    fn the_rest_went_on_at_half_the_rate_or_more() {
        assert!(gap(100, 0));
        assert!(gap(51, 0));
        assert!(!gap(49, 0));
        assert!(!gap(0, 0));
    }

    #[test]
    fn pressure_of_a_tenth_of_the_gap_says_that_the_machine_was_held_up() {
        assert!(gap(100, 99_000));
        assert!(!gap(100, 100_000));
    }

    #[test]
    fn without_a_baseline_or_on_an_empty_machine_there_is_no_witness() {
        assert!(!Witness::default().rest_went_on(0, 1_000 * MS));
        let mut witness = Witness::default();
        for tick in 0..=20 {
            witness.push(tick * 100 * MS, Activity::default());
        }
        witness.push(3_000 * MS, Activity::default());
        assert!(!witness.rest_went_on(2_000 * MS, 3_000 * MS));
    }

    #[test]
    fn only_the_last_readings_are_kept() {
        let mut witness = Witness::default();
        for tick in 0..1_000 {
            witness.push(tick, Activity::default());
        }
        assert_eq!(witness.len, KEPT);
        assert_eq!(witness.readings[KEPT - 1].0, 999);
    }
}
