//! The highest values of the last minute, in buckets of a second: fixed in size, whatever comes in.

/// Buckets: the last 60 s and the second under way.
const BUCKETS: u64 = 61;
const SECOND_NS: u64 = 1_000_000_000;

/// The highest of `N` values over the last 60 s; a value goes within a second of its time.
#[derive(Clone, Copy, Debug)]
pub struct Peak<const N: usize> {
    /// By second modulo [`BUCKETS`]; `None` for a second without a value.
    buckets: [Option<[u8; N]>; BUCKETS as usize],
    /// The newest second.
    newest: u64,
}

impl<const N: usize> Default for Peak<N> {
    fn default() -> Self {
        Self { buckets: [None; BUCKETS as usize], newest: 0 }
    }
}

impl<const N: usize> Peak<N> {
    /// Takes values at a time of a clock that does not run back, ns; a time before the newest counts as that.
    pub fn push(&mut self, at_ns: u64, values: [u8; N]) {
        let second = (at_ns / SECOND_NS).max(self.newest);
        let passed = (second - self.newest).min(BUCKETS);
        for step in 1..=passed {
            self.buckets[((self.newest + step) % BUCKETS) as usize] = None;
        }
        if passed == BUCKETS {
            self.buckets = [None; BUCKETS as usize];
        }
        self.newest = second;
        let bucket = self.buckets[(second % BUCKETS) as usize].get_or_insert([0; N]);
        for (highest, value) in bucket.iter_mut().zip(values) {
            *highest = value.max(*highest);
        }
    }

    /// The highest values of the 60 s before `now_ns`; `None` where there were none.
    #[must_use]
    pub fn highest(&self, now_ns: u64) -> Option<[u8; N]> {
        let passed = (now_ns / SECOND_NS).saturating_sub(self.newest);
        let mut highest: Option<[u8; N]> = None;
        for age in 0..BUCKETS.saturating_sub(passed).min(self.newest + 1) {
            let Some(values) = self.buckets[((self.newest - age) % BUCKETS) as usize] else { continue };
            let so_far = highest.get_or_insert(values);
            for (most, value) in so_far.iter_mut().zip(values) {
                *most = value.max(*most);
            }
        }
        highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = SECOND_NS;

    #[test]
    fn a_peak_is_seen_for_a_minute_and_then_goes() {
        let mut peak = Peak::default();
        peak.push(5 * S, [90, 1]);
        peak.push(5 * S + 1, [10, 2]);
        for second in 6..=65 {
            peak.push(second * S, [3, 0]);
            assert_eq!(peak.highest(second * S), Some([90, 2]), "{second}");
        }
        peak.push(66 * S, [3, 0]);
        assert_eq!(peak.highest(66 * S), Some([3, 0]));
    }

    #[test]
    fn a_peak_grows_old_where_nothing_comes_after_it() {
        let mut peak = Peak::default();
        assert_eq!(peak.highest(0), None);
        peak.push(5 * S, [90]);
        assert_eq!(peak.highest(65 * S), Some([90]));
        assert_eq!(peak.highest(66 * S), None);
        peak.push(1_000 * S, [4]);
        assert_eq!(peak.highest(1_000 * S), Some([4]), "the long way round left nothing behind");
    }

    #[test]
    fn a_clock_that_steps_back_loses_no_peak() {
        let mut peak = Peak::default();
        peak.push(100 * S, [7]);
        peak.push(3 * S, [9]);
        assert_eq!(peak.highest(3 * S), Some([9]));
        assert_eq!(peak.highest(100 * S), Some([9]));
    }
}
