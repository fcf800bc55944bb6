//! Whether the time of day may be gone by where events are deleted for their age. Pure.
//!
//! A clock that is set a year ahead by mistake, and back an hour later, must not have cost the year's events.

use crate::clock::Stamp;

/// A clock that moved by more than this against the one that nobody sets was set, ns. Time servers move it by less.
const SET_NS: u128 = 3_600_000_000_000;
/// So long after that nothing is deleted for its age: time to notice, and to set it right, ns.
const WAIT_NS: u64 = 86_400_000_000_000;

/// What is known of the clock.
#[derive(Debug, Default)]
pub(super) struct Steady {
    last: Option<Stamp>,
    /// By the clock that goes on in sleep, ns.
    from_ns: u64,
}

impl Steady {
    /// Looks at the clocks; by how much the time of day was set since the last look, ns, where it was.
    pub(super) fn look(&mut self, now: &Stamp) -> Option<i128> {
        let last = self.last.replace(*now)?;
        let passed = i128::from(now.total_ns) - i128::from(last.total_ns);
        let set = i128::from(now.unix_ns) - i128::from(last.unix_ns) - passed;
        if set.unsigned_abs() <= SET_NS {
            return None;
        }
        self.from_ns = now.total_ns.saturating_add(WAIT_NS);
        Some(set)
    }

    /// Whether it has not been set for a day.
    pub(super) fn is_steady(&self, now: &Stamp) -> bool {
        now.total_ns >= self.from_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const DAY: i64 = 86_400_000_000_000;

    fn at(seconds: u64, set_ns: i64) -> Stamp {
        let total_ns = seconds * S;
        // Half of the time it slept.
        Stamp {
            awake_ns: total_ns / 2,
            total_ns,
            unix_ns: 1_700_000_000 * S as i64 + total_ns as i64 + set_ns,
        }
    }

    #[test]
    fn a_clock_that_is_only_put_right_is_steady_sleep_included() {
        let mut steady = Steady::default();
        for (look, set_ns) in [(0, 0), (30, 0), (60, 2 * S as i64), (90, -(S as i64)), (36_000, 0)] {
            assert_eq!(steady.look(&at(look, set_ns)), None);
            assert!(steady.is_steady(&at(look, set_ns)));
        }
    }

    #[test]
    fn a_clock_that_was_set_either_way_is_steady_a_day_later() {
        for set_ns in [DAY, -DAY, 365 * DAY, -50 * 365 * DAY, i64::MAX / 4] {
            let mut steady = Steady::default();
            steady.look(&at(1_000, 0));
            assert_eq!(steady.look(&at(1_030, set_ns)), Some(i128::from(set_ns)));
            assert_eq!(steady.look(&at(1_060, set_ns)), None);
            assert!(!steady.is_steady(&at(1_060, set_ns)));
            assert!(!steady.is_steady(&at(1_030 + 86_399, set_ns)));
            assert!(steady.is_steady(&at(1_030 + 86_400, set_ns)));
        }
    }
}
