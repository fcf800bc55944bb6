//! The samples received, on a time line for the eye.

use std::collections::VecDeque;

use crate::engine::ring::Entry;
use crate::sample::Sample;

/// Samples kept of a live source: ten minutes at 10 Hz, 20 MB.
pub const LIVE: usize = 6_000;
/// Samples kept of a recording: two hours at 10 Hz, 240 MB.
pub const RECORDED: usize = 72_000;

/// On the axis the time from one sample to the next takes at most so much room, ns: a freeze of a minute must not push
/// out what led up to it. Its length is written beside it.
const MOST_STEP_NS: u64 = 3_000_000_000;
/// The same for the ages by which blame is weighed, as in the engine's ring.
const MOST_AGE_NS: u64 = 1_000_000_000;
/// The room that a break takes, of which nothing is known, ns.
const BREAK_NS: u64 = 1_000_000_000;
/// A step that exceeds the expected interval by this leaves a hole, ns: the shortest gap that is one by default.
const HOLE_NS: u64 = 250_000_000;

/// A sample with its place.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// The sample; `at_ns` is its place on the axis.
    pub entry: Entry,
    /// Where the time it speaks of begins on the axis, ns.
    pub from_ns: u64,
    /// The time since the sample before it, ns.
    pub step_ns: u64,
    /// Nothing is known of the time before it: a connection began here.
    pub broken: bool,
    /// For how long its tier has lasted, ns; more than that where its beginning was not seen.
    pub tier_ns: u64,
    /// The beginning of its tier was seen.
    pub tier_seen: bool,
}

impl Kept {
    /// The sample.
    #[must_use]
    pub fn sample(&self) -> &Sample {
        &self.entry.sample
    }

    /// How long nothing came before it, ns, where that was long enough to be seen.
    #[must_use]
    pub fn hole_ns(&self) -> Option<u64> {
        let beyond = self.step_ns.saturating_sub(self.entry.sample.expected_ns);
        (!self.broken && beyond >= HOLE_NS).then_some(beyond)
    }
}

/// The samples received, oldest first. Each has a number that stays when older ones go.
#[derive(Clone, Debug)]
pub struct History {
    kept: VecDeque<Kept>,
    /// The number of the oldest.
    first: u64,
    capacity: usize,
}

impl History {
    /// An empty one that keeps the newest `capacity` samples.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { kept: VecDeque::new(), first: 0, capacity }
    }

    /// Those of an event, as they were stored.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let mut history = Self::new(samples.len());
        for sample in samples {
            history.push(sample, sample.interval_ns.unwrap_or(sample.elapsed_ns), false);
        }
        history
    }

    /// Takes the sample that came `step_ns` after the one before it; `broken` where nothing is known of the time
    /// between. The oldest makes room.
    pub fn push(&mut self, sample: &Sample, step_ns: u64, broken: bool) {
        // Of the first one only its own interval is known.
        let (mut at_ns, mut ring_ns, mut from_ns) = (sample.expected_ns.clamp(1, MOST_STEP_NS), 0, 0);
        if let Some(last) = self.kept.back() {
            let shown = if broken { BREAK_NS } else { step_ns.min(MOST_STEP_NS) };
            at_ns = last.entry.at_ns + shown;
            ring_ns = last.entry.ring_ns + step_ns.min(MOST_AGE_NS);
            from_ns = last.entry.at_ns;
        }
        let expected_ns = sample.expected_ns.max(1);
        if broken || step_ns.saturating_sub(expected_ns) >= HOLE_NS {
            from_ns = from_ns.max(at_ns.saturating_sub(expected_ns));
        }
        let (tier_ns, tier_seen) = match self.kept.back().filter(|_| !broken) {
            Some(last) if last.sample().tier == sample.tier => (last.tier_ns + step_ns, last.tier_seen),
            Some(_) => (0, true),
            None => (0, false),
        };
        if self.kept.len() == self.capacity && self.kept.pop_front().is_some() {
            self.first += 1;
        }
        let entry = Entry { at_ns, ring_ns, sample: *sample };
        self.kept.push_back(Kept { entry, from_ns, step_ns, broken, tier_ns, tier_seen });
    }

    /// Whether it is full: of a recording no more is read then.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kept.len() == self.capacity
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The number of the oldest.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number of the newest; `None` where there is none.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (!self.kept.is_empty()).then(|| self.first + self.kept.len() as u64 - 1)
    }

    /// The sample of that number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Kept> {
        self.kept.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The samples of the `span_ns` that end with the one of that number, on the axis; oldest first.
    pub fn window(
        &self,
        end: u64,
        span_ns: u64,
    ) -> impl DoubleEndedIterator<Item = &Kept> + ExactSizeIterator + Clone {
        let end = usize::try_from(end.saturating_add(1).saturating_sub(self.first)).unwrap_or(0);
        let end = end.min(self.kept.len());
        let start_ns =
            end.checked_sub(1).map_or(0, |last| self.kept[last].entry.at_ns.saturating_sub(span_ns));
        let start = self.kept.partition_point(|kept| kept.entry.at_ns < start_ns).min(end);
        self.kept.range(start..end)
    }

    /// What blame is dealt out over: as much as the engine's ring of that length holds.
    pub fn ring(&self, end: u64, span_ns: u64) -> impl DoubleEndedIterator<Item = &Entry> + Clone {
        let newest_ns = self.get(end).map_or(0, |kept| kept.entry.ring_ns);
        let from = newest_ns.saturating_sub(span_ns);
        let start = self.kept.partition_point(|kept| kept.entry.ring_ns < from);
        let end = usize::try_from(end.saturating_add(1).saturating_sub(self.first)).unwrap_or(0);
        let end = end.min(self.kept.len());
        self.kept.range(start.min(end)..end).map(|kept| &kept.entry)
    }

    /// The number of the first sample at or after that place on the axis, else of the newest.
    #[must_use]
    pub fn at(&self, at_ns: u64) -> Option<u64> {
        let found = self.kept.partition_point(|kept| kept.entry.at_ns < at_ns) as u64;
        self.last().map(|last| (self.first + found).min(last))
    }

    /// The number of the first sample at or after that time of day, else of the newest.
    #[must_use]
    pub fn at_time(&self, unix_ns: i64) -> Option<u64> {
        let found = self.kept.partition_point(|kept| kept.entry.sample.time_ns < unix_ns) as u64;
        self.last().map(|last| (self.first + found).min(last))
    }

    /// The last sample that was marked with a number of its source and a time of day, to know it again.
    #[must_use]
    pub fn newest(&self) -> Option<&Sample> {
        self.kept.back().map(Kept::sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seq: u64) -> Sample {
        Sample { seq, expected_ns: 100_000_000, elapsed_ns: 100_000_000, ..Sample::default() }
    }

    #[test]
    fn the_oldest_makes_room_and_numbers_stay() {
        let mut history = History::new(3);
        for seq in 0..5 {
            history.push(&sample(seq), 100_000_000, false);
        }
        assert_eq!((history.first(), history.last(), history.len()), (2, Some(4), 3));
        assert_eq!(history.get(1).map(|kept| kept.sample().seq), None);
        assert_eq!(history.get(4).map(|kept| kept.sample().seq), Some(4));
        assert_eq!(history.window(4, 100_000_000).map(|kept| kept.sample().seq).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(history.at(0), Some(2));
        assert_eq!(history.at(u64::MAX), Some(4));
    }

    #[test]
    fn a_long_freeze_takes_three_seconds_of_the_axis_and_leaves_a_hole() {
        let mut history = History::new(10);
        history.push(&sample(1), 0, false);
        history.push(&sample(2), 100_000_000, false);
        history.push(&sample(3), 60_100_000_000, false);
        let kept = history.get(2).unwrap();
        assert_eq!(kept.entry.at_ns, 3_200_000_000);
        assert_eq!(kept.from_ns, 3_100_000_000, "it speaks of its own interval only");
        assert_eq!(kept.hole_ns(), Some(60_000_000_000));
        assert_eq!(kept.entry.ring_ns, 1_100_000_000);
        assert_eq!(history.get(1).unwrap().hole_ns(), None);
    }

    #[test]
    fn of_the_time_before_a_connection_nothing_is_known() {
        let mut history = History::new(10);
        history.push(&sample(1), 0, false);
        history.push(&sample(1), 0, true);
        let kept = history.get(1).unwrap();
        assert!(kept.broken && kept.hole_ns().is_none());
        assert_eq!(kept.entry.at_ns, 1_100_000_000);
    }
}
