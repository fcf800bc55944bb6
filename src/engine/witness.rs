//! The kernel as a witness: did the rest of the machine go on while we stood still?

use std::collections::VecDeque;

use crate::sample::Activity;

/// Readings kept: the baseline is the time they reach back, at 100 ms about six seconds.
const KEPT: usize = 64;
/// A baseline shorter than this says nothing, ns.
const LEAST_BASELINE_NS: u64 = 500_000_000;
/// A machine with fewer context switches a second than this has nobody in it to bear witness.
const LEAST_RATE_PER_S: f64 = 10.0;
/// In a gap the rest goes on at this part of its rate before, or more.
const RATE_PART: f64 = 0.5;
/// Where the rest stands still it falls below this part of the lowest rate before.
const STILL_PART: f64 = 0.25;
/// The lowest rate is that of so long, ns: of a machine that went calm a moment ago it is the calm one's.
const QUIET_NS: u64 = 500_000_000;
/// In a gap the pressure stays under this part of it.
const PRESSURE_PART: f64 = 0.1;

/// The last readings of the kernel's counters.
#[derive(Clone, Debug)]
pub struct Witness {
    readings: VecDeque<(u64, Activity)>,
}

impl Default for Witness {
    fn default() -> Self {
        Self { readings: VecDeque::with_capacity(KEPT) }
    }
}

impl Witness {
    /// Takes a reading made at `at_ns` of the time line.
    pub fn push(&mut self, at_ns: u64, activity: Activity) {
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back((at_ns, activity));
    }

    /// Whether the rest went on from `start_ns` to `end_ns`: context switches at half the rate before or
    /// more, while pressure stayed under 10 % of the gap. False where the kernel's counters can't say. `held_up` says whether
    /// a time had another gap in it: that is no measure of the rest's life.
    #[must_use]
    pub fn rest_went_on(&self, start_ns: u64, end_ns: u64, held_up: impl Fn(u64, u64) -> bool) -> bool {
        let Some(gap) = self.enclosed(start_ns, end_ns) else { return false };
        let Some(rate) = self.rate_per_s(start_ns, held_up) else { return false };
        let inside = switches(gap.before, gap.after) - rate * gap.outside_s;
        let limit_us = PRESSURE_PART * gap.lasted_s * 1e6;
        let calm = || {
            (0..3)
                .all(|kind| self.pressure_us(kind, start_ns, end_ns).is_some_and(|us| (us as f64) < limit_us))
        };
        rate >= LEAST_RATE_PER_S && inside >= rate * RATE_PART * gap.lasted_s && calm()
    }

    /// Whether the rest stood still from `start_ns` to `end_ns`: hardly a context switch, measured by the calmest time
    /// before. Not by the rate before as a whole: where something busy had just ended, a rest that went on would look as
    /// if it stood. False where the kernel's counters can't say. `held_up` as above.
    #[must_use]
    pub fn rest_stood_still(&self, start_ns: u64, end_ns: u64, held_up: impl Fn(u64, u64) -> bool) -> bool {
        let Some(gap) = self.enclosed(start_ns, end_ns) else { return false };
        let Some(rate) = self.quietest_per_s(start_ns, held_up) else { return false };
        let inside = switches(gap.before, gap.after) - rate * gap.outside_s;
        rate >= LEAST_RATE_PER_S && inside < rate * STILL_PART * gap.lasted_s
    }

    /// The readings on both sides of a gap; `None` where there are none.
    fn enclosed(&self, start_ns: u64, end_ns: u64) -> Option<Enclosed<'_>> {
        let before = self.readings.iter().rfind(|(at, _)| *at <= start_ns)?;
        let after = self.readings.iter().find(|(at, _)| *at >= end_ns)?;
        let gap_ns = end_ns.saturating_sub(start_ns);
        (gap_ns > 0).then(|| Enclosed {
            before: &before.1,
            after: &after.1,
            lasted_s: gap_ns as f64 / 1e9,
            outside_s: (after.0 - before.0).saturating_sub(gap_ns) as f64 / 1e9,
        })
    }

    /// The rate of switches in the readings up to `until_ns`, gaps left out; `None` where that is not for long.
    fn rate_per_s(&self, until_ns: u64, held_up: impl Fn(u64, u64) -> bool) -> Option<f64> {
        let (mut sum, mut lasted_ns) = (0.0, 0);
        for step in self.steps(until_ns, held_up).flatten() {
            sum += step.switches;
            lasted_ns += step.lasted_ns;
        }
        (lasted_ns >= LEAST_BASELINE_NS).then(|| sum / (lasted_ns as f64 / 1e9))
    }

    /// The lowest rate of switches over [`QUIET_NS`] or a little more without a gap, in the readings up to `until_ns`.
    fn quietest_per_s(&self, until_ns: u64, held_up: impl Fn(u64, u64) -> bool) -> Option<f64> {
        let mut steps = [None; KEPT];
        for (kept, step) in steps.iter_mut().zip(self.steps(until_ns, held_up)) {
            *kept = step;
        }
        let rates = (0..KEPT).filter_map(|from| {
            let (mut sum, mut lasted_ns) = (0.0, 0);
            for step in &steps[from..] {
                let step = step.as_ref()?;
                sum += step.switches;
                lasted_ns += step.lasted_ns;
                if lasted_ns >= QUIET_NS {
                    return Some(sum / (lasted_ns as f64 / 1e9));
                }
            }
            None
        });
        rates.reduce(f64::min)
    }

    /// From each reading up to `until_ns` to the next one; `None` in the place of what has a gap in it.
    fn steps(&self, until_ns: u64, held_up: impl Fn(u64, u64) -> bool) -> impl Iterator<Item = Option<Step>> {
        let readings = self.readings.iter().take_while(move |(at, _)| *at <= until_ns);
        readings.clone().zip(readings.skip(1)).map(move |((from_at, from), (to_at, to))| {
            let step = Step { switches: switches(from, to), lasted_ns: to_at.saturating_sub(*from_at) };
            (!held_up(*from_at, *to_at)).then_some(step)
        })
    }

    /// By how much a kind of pressure rose over the gap, µs. It is not asked at each reading: what it rose by since it
    /// was last asked before the gap counts, too, as nobody knows when that was. `None` where it was not asked on both
    /// sides.
    fn pressure_us(&self, kind: usize, start_ns: u64, end_ns: u64) -> Option<u64> {
        let asked = |(at, activity): &(u64, Activity)| Some((*at, activity.pressure_us[kind]?));
        let (_, before) = self.readings.iter().filter_map(asked).rfind(|(at, _)| *at <= start_ns)?;
        let (_, after) = self.readings.iter().filter_map(asked).find(|(at, _)| *at >= end_ns)?;
        Some(after.saturating_sub(before))
    }
}

/// From one reading to the next.
#[derive(Clone, Copy)]
struct Step {
    switches: f64,
    lasted_ns: u64,
}

/// A gap between two readings.
struct Enclosed<'a> {
    before: &'a Activity,
    after: &'a Activity,
    /// How long the gap was, s.
    lasted_s: f64,
    /// Ordinary time between the readings, at both ends of the gap, s.
    outside_s: f64,
}

/// Context switches from one reading to another.
fn switches(from: &Activity, to: &Activity) -> f64 {
    to.context_switches.saturating_sub(from.context_switches) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    /// There was no other gap.
    const NO_OTHER: fn(u64, u64) -> bool = |_, _| false;

    /// Two seconds at 100 switches a second, then a gap of one second with so many switches and so much
    /// pressure in it.
    fn gap(switches: u64, pressure_us: u64) -> bool {
        witness(switches, pressure_us).rest_went_on(2_030 * MS, 3_030 * MS, NO_OTHER)
    }

    fn witness(switches: u64, pressure_us: u64) -> Witness {
        let mut witness = Witness::default();
        for tick in 0..=20 {
            witness
                .push(tick * 100 * MS, Activity { context_switches: tick * 10, pressure_us: [Some(0); 3] });
        }
        witness.push(
            3_050 * MS,
            Activity {
                context_switches: 200 + 5 + switches,
                pressure_us: [Some(0), Some(pressure_us), Some(0)],
            },
        );
        witness
    }

    #[test]
    fn the_rest_stood_still_where_it_hardly_switched_whatever_the_pressure_was() {
        let stood_still = |switches, pressure_us| {
            witness(switches, pressure_us).rest_stood_still(2_030 * MS, 3_030 * MS, NO_OTHER)
        };
        assert!(stood_still(0, 0) && stood_still(24, 900_000));
        assert!(!stood_still(26, 0) && !stood_still(100, 900_000));
        assert!(!Witness::default().rest_stood_still(0, 1_000 * MS, NO_OTHER), "nobody can say");
    }

    #[test]
    fn a_machine_that_became_calm_just_before_did_not_stand_still() {
        // A second at 10,000 switches a second, one at 100; in the gap of a second 100 more, or none.
        let stood_still = |in_the_gap: u64| {
            let mut witness = Witness::default();
            for tick in 0..=20 {
                let context_switches = (tick * 1_000).min(10_000) + tick * 10;
                witness.push(tick * 100 * MS, Activity { context_switches, pressure_us: [Some(0); 3] });
            }
            let context_switches = 10_200 + 5 + in_the_gap;
            witness.push(3_050 * MS, Activity { context_switches, pressure_us: [Some(0); 3] });
            assert!(!witness.rest_went_on(2_030 * MS, 3_030 * MS, NO_OTHER), "nobody can say that");
            witness.rest_stood_still(2_030 * MS, 3_030 * MS, NO_OTHER)
        };
        assert!(!stood_still(100) && stood_still(0));
    }

    #[test]
    fn a_gap_before_is_no_measure_of_the_rest() {
        // At 100 switches a second, stopped for a minute, two seconds at 100 again, and a gap with so many in it.
        let witness = |in_the_gap: u64| {
            let mut witness = Witness::default();
            let readings = (0..=20).map(|tick| tick * 100).chain((0..=20).map(|tick| 62_050 + tick * 100));
            for (tick, at_ms) in readings.enumerate() {
                let context_switches = 10 * (tick as u64) - if tick > 20 { 5 } else { 0 };
                witness.push(at_ms * MS, Activity { context_switches, pressure_us: [Some(0); 3] });
            }
            let last = Activity { context_switches: 405 + in_the_gap, pressure_us: [Some(0); 3] };
            witness.push(65_050 * MS, last);
            witness
        };
        let held_up = |from: u64, to: u64| from < 62_000 * MS && to > 2_000 * MS;
        let went_on = |count| witness(count).rest_went_on(64_050 * MS, 65_050 * MS, held_up);
        let stood_still = |count| witness(count).rest_stood_still(64_050 * MS, 65_050 * MS, held_up);
        assert!(!went_on(20) && went_on(51), "that minute would make 20 look like life");
        assert!(stood_still(20) && !stood_still(51), "and 100 a second look like nobody");
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

    /// The same gap with pressure asked in turn before, `after` right after it and all of it a little later.
    fn asked_in_turn(later_us: u64, after: [Option<u64>; 3]) -> bool {
        let mut witness = Witness::default();
        for tick in 0..=20 {
            let mut pressure_us = [None; 3];
            // It rises by 20 ms in each tick: what was asked two ticks before the gap lacks 40.
            pressure_us[tick as usize % 3] = Some(tick * 20_000);
            witness.push(tick * 100 * MS, Activity { context_switches: tick * 10, pressure_us });
        }
        witness.push(3_050 * MS, Activity { context_switches: 305, pressure_us: after });
        let later = Activity { context_switches: 305, pressure_us: [Some(400_000 + later_us); 3] };
        witness.push(3_051 * MS, later);
        witness.rest_went_on(2_030 * MS, 3_030 * MS, NO_OTHER)
    }

    #[test]
    fn pressure_that_is_asked_in_turn_counts_from_when_it_was_last_asked_before_the_gap() {
        assert!(asked_in_turn(59_000, [None; 3]), "40 and 59 are less than 100");
        assert!(!asked_in_turn(60_000, [None; 3]), "40 of it may have come in the gap");
        // Where one kind was asked a little before the others, its own figure counts, and for no other kind.
        assert!(asked_in_turn(0, [Some(459_000), None, None]));
        assert!(!asked_in_turn(0, [Some(480_000), None, None]));
        assert!(!asked_in_turn(80_000, [Some(400_000), None, None]));
    }

    #[test]
    fn pressure_that_was_not_asked_on_both_sides_is_not_known_to_be_low() {
        for without in 0..3 {
            let mut not_after = witness(100, 0);
            not_after.readings[21].1.pressure_us[without] = None;
            assert!(!not_after.rest_went_on(2_030 * MS, 3_030 * MS, NO_OTHER));
            let mut not_before = witness(100, 0);
            for (_, before) in not_before.readings.iter_mut().take(21) {
                before.pressure_us[without] = None;
            }
            assert!(!not_before.rest_went_on(2_030 * MS, 3_030 * MS, NO_OTHER));
            assert!(!not_before.rest_stood_still(2_030 * MS, 3_030 * MS, NO_OTHER), "it switched");
        }
    }

    #[test]
    fn without_a_baseline_or_on_an_empty_machine_there_is_no_witness() {
        assert!(!Witness::default().rest_went_on(0, 1_000 * MS, NO_OTHER));
        let mut witness = Witness::default();
        for tick in 0..=20 {
            witness.push(tick * 100 * MS, Activity::default());
        }
        witness.push(3_000 * MS, Activity::default());
        assert!(!witness.rest_went_on(2_000 * MS, 3_000 * MS, NO_OTHER));
    }

    #[test]
    fn only_the_last_readings_are_kept() {
        let mut witness = Witness::default();
        for tick in 0..1_000 {
            witness.push(tick, Activity::default());
        }
        assert_eq!(witness.readings.len(), KEPT);
        assert_eq!(witness.readings.back().map(|(at, _)| *at), Some(999));
    }
}
