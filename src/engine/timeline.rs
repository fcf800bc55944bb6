//! The engine's own time line: awake time since it began, which never runs backwards whatever the clocks do.

use crate::clock::Stamp;

/// A difference between the two clocks below this is the time between reading them, not sleep, ns.
const LEAST_SLEEP_NS: u64 = 100_000_000;
/// A stamp that is older than the last one by both clocks was handed over late, by a thread that did not run
/// in between. What is older than this is a clock that stepped back all the same, ns.
const OUT_OF_ORDER_NS: u64 = 600_000_000_000;

/// Where a stamp lies on the time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time awake since the engine began, ns.
    pub at_ns: u64,
    /// Time asleep since the stamp before, ns; 0 where there was none.
    pub asleep_ns: u64,
}

/// Turns stamps into moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    last: Option<Stamp>,
    now_ns: u64,
}

impl Timeline {
    /// The latest moment so far, ns.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Takes a stamp. A clock that stepped back adds nothing.
    pub fn advance(&mut self, stamp: &Stamp) -> Moment {
        let Some(last) = self.last else {
            self.last = Some(*stamp);
            return Moment { at_ns: self.now_ns, asleep_ns: 0 };
        };
        let behind = last.awake_since(stamp);
        // The two clocks of a stamp are read one after the other.
        let old = last.total_ns.saturating_sub(stamp.total_ns).saturating_add(LEAST_SLEEP_NS) > behind;
        if old && (1..=OUT_OF_ORDER_NS).contains(&behind) {
            return Moment { at_ns: self.now_ns.saturating_sub(behind), asleep_ns: 0 };
        }
        self.now_ns = self.now_ns.saturating_add(stamp.awake_since(&last));
        let asleep = stamp.asleep_since(&last);
        self.last = Some(*stamp);
        Moment { at_ns: self.now_ns, asleep_ns: if asleep >= LEAST_SLEEP_NS { asleep } else { 0 } }
    }

    /// Where a bare reading of the awake clock lies; it may be later than anything seen so far.
    #[must_use]
    pub fn locate(&self, awake_ns: u64) -> u64 {
        let last_ns = self.last.map_or(awake_ns, |last| last.awake_ns);
        self.now_ns.saturating_add(awake_ns).saturating_sub(last_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(awake_ns: u64, total_ns: u64) -> Stamp {
        Stamp { awake_ns, total_ns, unix_ns: 0 }
    }

    #[test]
    fn sleep_is_the_difference_of_the_clocks() {
        let mut timeline = Timeline::default();
        timeline.advance(&stamp(1_000, 5_000));
        let moment = timeline.advance(&stamp(2_000, 3_600_000_006_000));
        assert_eq!(moment, Moment { at_ns: 1_000, asleep_ns: 3_600_000_000_000 });
    }

    #[test]
    fn two_clocks_that_were_read_one_after_the_other_are_no_sleep() {
        let mut timeline = Timeline::default();
        timeline.advance(&stamp(1_000, 1_000));
        let moment = timeline.advance(&stamp(100_001_000, 190_001_000));
        assert_eq!(moment, Moment { at_ns: 100_000_000, asleep_ns: 0 });
    }

    #[test]
    fn a_stamp_handed_over_late_lies_in_the_past_and_moves_nothing() {
        let mut timeline = Timeline::default();
        timeline.advance(&stamp(0, 0));
        timeline.advance(&stamp(2_000_000_000, 2_000_000_000));
        let moment = timeline.advance(&stamp(1_900_000_000, 1_900_000_000));
        assert_eq!(moment, Moment { at_ns: 1_900_000_000, asleep_ns: 0 });
        assert_eq!(timeline.now_ns(), 2_000_000_000);
        let older = timeline.advance(&stamp(100_000_000, 100_000_000));
        assert_eq!(older.at_ns, 100_000_000, "however late it is handed over");
        assert_eq!(timeline.now_ns(), 2_000_000_000);
        assert_eq!(timeline.locate(1_500_000_000), 1_500_000_000);
        assert_eq!(timeline.locate(2_500_000_000), 2_500_000_000);
    }

    #[test]
    fn a_stamp_from_the_past_is_known_as_one_however_far_apart_its_clocks_were_read() {
        for apart in [0, 40, 90_000, 20_000_000] {
            let mut timeline = Timeline::default();
            timeline.advance(&stamp(0, 0));
            timeline.advance(&stamp(9_000_000_000, 9_000_000_000));
            let moment = timeline.advance(&stamp(1_000_000_000, 1_000_000_000 + apart));
            assert_eq!(moment, Moment { at_ns: 1_000_000_000, asleep_ns: 0 });
            timeline.advance(&stamp(9_100_000_000, 9_100_000_000));
            assert_eq!(timeline.now_ns(), 9_100_000_000, "nothing counts twice");
        }
    }

    #[test]
    fn a_clock_that_steps_back_adds_nothing_and_then_runs_on() {
        let mut timeline = Timeline::default();
        timeline.advance(&stamp(100_000_000_000, 100_000_000_000));
        assert_eq!(timeline.advance(&stamp(50_000_000_000, 100_000_000_000)).at_ns, 0);
        assert_eq!(timeline.advance(&stamp(50_100_000_000, 100_100_000_000)).at_ns, 100_000_000);
    }

    proptest! {
        #[test]
        fn time_never_runs_backwards_whatever_the_clocks_do(
            stamps in prop::collection::vec((any::<u64>(), any::<u64>()), 1..100),
        ) {
            let mut timeline = Timeline::default();
            let mut before = 0;
            for (awake, total) in stamps {
                let moment = timeline.advance(&stamp(awake, total));
                prop_assert!(timeline.now_ns() >= before);
                prop_assert!(moment.at_ns <= timeline.now_ns());
                before = timeline.now_ns();
            }
        }
    }
}
