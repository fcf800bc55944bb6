//! The interval that is expected of this machine, and how late a sample is by it.

/// Intervals the median is taken over.
const WINDOW: usize = 50;
/// Intervals that must be known before the median counts.
const KNOWN: usize = 10;
/// Late intervals in a row after which the machine counts as slower for good.
const LATE_RUN: usize = 25;
/// The expected interval is at most so many times the nominal one.
const MOST: u64 = 10;

/// The expected interval: the median of the last 50, at least the nominal one, at most ten times it.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The configured interval, ns; `None` for a recording, until it is learned.
    nominal_ns: Option<u64>,
    /// What follows from the window, ns: it is asked for more often than the window changes.
    expected_ns: Option<u64>,
    window: Recent<WINDOW>,
    late: Recent<LATE_RUN>,
}

/// What a sample's interval is by what was expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// The interval expected of this sample, ns; above zero.
    pub expected_ns: u64,
    /// Interval ÷ expected; 1 for the first sample after a start, a restart or a wake.
    pub ratio: f64,
    /// The ratio is above the threshold.
    pub late: bool,
}

impl Expected {
    /// Begins with the configured interval, or without one for a recording.
    #[must_use]
    pub fn new(nominal_ns: Option<u64>) -> Self {
        let nominal_ns = nominal_ns.map(|nominal| nominal.max(1));
        Self { nominal_ns, expected_ns: nominal_ns, window: Recent::new(), late: Recent::new() }
    }

    /// The interval expected now, ns; `None` in a recording of which nothing is known yet.
    #[must_use]
    pub fn expected_ns(&self) -> Option<u64> {
        self.expected_ns
    }

    /// Judges an interval and takes it in. `first`: nothing is to be expected of it, and nothing learned
    /// from it, as the source has only just started or the machine has woken.
    pub fn judge(&mut self, interval_ns: u64, first: bool, threshold_ratio: f64) -> Timing {
        let interval_ns = interval_ns.max(1);
        let expected_ns = self.expected_ns().unwrap_or(interval_ns);
        if first {
            return Timing { expected_ns, ratio: 1.0, late: false };
        }
        let ratio = interval_ns as f64 / expected_ns as f64;
        let late = ratio > threshold_ratio;
        if late {
            self.late.push(interval_ns);
            if self.late.len() == LATE_RUN {
                self.window.clear();
                for &interval in self.late.as_slice() {
                    self.window.push(interval);
                }
                self.late.clear();
                self.learn();
            }
        } else {
            self.late.clear();
            self.window.push(interval_ns);
            self.learn();
        }
        Timing { expected_ns, ratio, late }
    }

    /// Draws from the window, which has changed.
    fn learn(&mut self) {
        let median = self.window.median();
        let is_known = self.window.len() >= KNOWN;
        if self.nominal_ns.is_none() && is_known {
            self.nominal_ns = median;
        }
        self.expected_ns = match (self.nominal_ns, median) {
            (Some(nominal), Some(median)) if is_known => {
                Some(median.clamp(nominal, nominal.saturating_mul(MOST)))
            }
            (Some(nominal), _) => Some(nominal),
            (None, median) => median,
        };
    }
}

/// The last `N` values.
#[derive(Clone, Debug)]
struct Recent<const N: usize> {
    values: [u64; N],
    len: usize,
    next: usize,
}

impl<const N: usize> Recent<N> {
    fn new() -> Self {
        Self { values: [0; N], len: 0, next: 0 }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, value: u64) {
        self.values[self.next] = value;
        self.next = (self.next + 1) % N;
        self.len = (self.len + 1).min(N);
    }

    fn clear(&mut self) {
        (self.len, self.next) = (0, 0);
    }

    /// The values, in no particular order once more than `N` were pushed.
    fn as_slice(&self) -> &[u64] {
        &self.values[..self.len]
    }

    /// The median; of an even number the mean of the middle two.
    fn median(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let mut values = self.values;
        let (below, &mut middle, _) = values[..self.len].select_nth_unstable(self.len / 2);
        if self.len % 2 == 1 {
            return Some(middle);
        }
        below.iter().max().map(|&before| before.midpoint(middle))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_nominal_interval_holds_until_ten_are_known() {
        let mut expected = Expected::new(Some(100 * MS));
        for known in 0..10 {
            assert_eq!(expected.expected_ns(), Some(100 * MS), "{known} known");
            expected.judge(135 * MS, false, 2.0);
        }
        assert_eq!(expected.expected_ns(), Some(135 * MS));
    }

    #[test]
    fn a_machine_that_delivers_135_ms_for_100_is_not_late() {
        let mut expected = Expected::new(Some(100 * MS));
        for _ in 0..100 {
            assert!(!expected.judge(135 * MS, false, 2.0).late);
        }
        let timing = expected.judge(269 * MS, false, 2.0);
        assert!(!timing.late, "{timing:?}");
        assert!(expected.judge(271 * MS, false, 2.0).late);
    }

    #[test]
    fn fifty_intervals_count_and_none_before_them() {
        let mut expected = Expected::new(Some(100 * MS));
        for _ in 0..200 {
            expected.judge(110 * MS, false, 2.0);
        }
        // Of the last fifty the middle two are the 25th and the 26th.
        for slower in 1..=25 {
            assert_eq!(expected.expected_ns(), Some(110 * MS), "before the {slower}th");
            expected.judge(130 * MS, false, 2.0);
        }
        assert_eq!(expected.expected_ns(), Some(120 * MS), "half of them are slower");
        expected.judge(130 * MS, false, 2.0);
        assert_eq!(expected.expected_ns(), Some(130 * MS));
    }

    #[test]
    fn the_first_sample_after_a_start_has_ratio_one_and_teaches_nothing() {
        let mut expected = Expected::new(Some(100 * MS));
        for _ in 0..50 {
            assert_eq!(
                expected.judge(9_000 * MS, true, 2.0),
                Timing { expected_ns: 100 * MS, ratio: 1.0, late: false }
            );
        }
        assert_eq!(expected.expected_ns(), Some(100 * MS));
    }

    #[test]
    fn late_intervals_are_left_out_until_25_have_come_in_a_row() {
        let mut expected = Expected::new(Some(100 * MS));
        for _ in 0..50 {
            expected.judge(100 * MS, false, 2.0);
        }
        for _ in 0..24 {
            assert!(expected.judge(400 * MS, false, 2.0).late);
        }
        expected.judge(100 * MS, false, 2.0);
        assert_eq!(expected.expected_ns(), Some(100 * MS), "the run was broken");
        for _ in 0..25 {
            assert!(expected.judge(400 * MS, false, 2.0).late);
        }
        assert_eq!(expected.expected_ns(), Some(400 * MS), "slower for good");
        assert!(!expected.judge(400 * MS, false, 2.0).late);
    }

    #[test]
    fn the_expected_interval_stays_between_the_nominal_one_and_ten_times_it() {
        let mut expected = Expected::new(Some(100 * MS));
        for _ in 0..50 {
            expected.judge(10 * MS, false, 2.0);
        }
        assert_eq!(expected.expected_ns(), Some(100 * MS));
        for _ in 0..25 {
            expected.judge(60_000 * MS, false, 2.0);
        }
        assert_eq!(expected.expected_ns(), Some(1_000 * MS));
    }

    #[test]
    fn a_recording_learns_its_nominal_interval_from_its_first_ten() {
        let mut expected = Expected::new(None);
        assert_eq!(expected.expected_ns(), None);
        assert_eq!(expected.judge(500 * MS, false, 2.0).ratio, 1.0, "nothing to compare the first with");
        for _ in 0..9 {
            expected.judge(1_020 * MS, false, 3.0);
        }
        assert_eq!(expected.expected_ns(), Some(1_020 * MS));
        for _ in 0..50 {
            expected.judge(900 * MS, false, 2.0);
        }
        assert_eq!(expected.expected_ns(), Some(1_020 * MS), "not below the nominal one");
    }

    proptest! {
        #[test]
        fn what_is_expected_is_the_median_of_the_last_fifty(
            intervals in prop::collection::vec(100 * MS..=150 * MS, 10..120),
        ) {
            let mut expected = Expected::new(Some(100 * MS));
            for &interval in &intervals {
                expected.judge(interval, false, 2.0);
            }
            let mut last = intervals[intervals.len().saturating_sub(WINDOW)..].to_vec();
            last.sort_unstable();
            let middle = [last[(last.len() - 1) / 2], last[last.len() / 2]];
            prop_assert_eq!(expected.expected_ns(), Some(middle[0].midpoint(middle[1])));
        }

        #[test]
        fn the_expected_interval_is_always_in_its_bounds(
            intervals in prop::collection::vec((0u64..u64::MAX, any::<bool>()), 0..300),
        ) {
            let nominal = 100 * MS;
            let mut expected = Expected::new(Some(nominal));
            for (interval, first) in intervals {
                let timing = expected.judge(interval, first, 2.0);
                prop_assert!((nominal..=10 * nominal).contains(&timing.expected_ns));
                prop_assert!(timing.ratio.is_finite() && timing.ratio > 0.0);
            }
        }
    }
}
