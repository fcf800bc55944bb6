//! The last seconds of samples.

use std::collections::VecDeque;

use crate::sample::Sample;

/// Samples kept per second of the ring: the fastest interval is 100 ms.
const PER_SECOND: u64 = 10;
/// Room beyond that, so that intervals a little short of nominal still fit.
const SLACK: usize = 10;

/// The time from one sample to the next counts at most so much, ns: a sample that ends a long pause must neither
/// push out what led up to it nor take the weight from it.
const MOST_STEP_NS: u64 = 1_000_000_000;

/// A sample and when it came.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// On the engine's own time line: time awake since it began, ns.
    pub at_ns: u64,
    /// On the ring's: the same, but that no step is longer than a second. Ages are told by this.
    pub ring_ns: u64,
    /// The sample.
    pub sample: Sample,
}

/// The samples of the last `span` of time; memory is taken once.
#[derive(Clone, Debug)]
pub struct Ring {
    entries: VecDeque<Entry>,
    span_ns: u64,
    capacity: usize,
}

impl Ring {
    /// A ring of so many ns.
    #[must_use]
    pub fn new(span_ns: u64) -> Self {
        let capacity = usize::try_from(span_ns.div_ceil(1_000_000_000) * PER_SECOND).unwrap_or(0) + SLACK;
        Self { entries: VecDeque::with_capacity(capacity), span_ns, capacity }
    }

    /// Takes the sample that came at `at_ns`, and lets go of what is older than the span.
    pub fn push(&mut self, at_ns: u64, sample: &Sample) {
        let ring_ns = self
            .entries
            .back()
            .map_or(0, |last| last.ring_ns + at_ns.saturating_sub(last.at_ns).min(MOST_STEP_NS));
        while self.entries.len() == self.capacity
            || self.entries.front().is_some_and(|first| ring_ns - first.ring_ns > self.span_ns)
        {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at_ns, ring_ns, sample: *sample });
    }

    /// The newest sample.
    #[must_use]
    pub fn last(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// All samples, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> + Clone {
        self.entries.iter()
    }

    /// The samples up to and including the one of that number, oldest first.
    pub fn up_to(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Entry> + Clone {
        let end = self.entries.partition_point(|entry| entry.sample.seq <= seq);
        self.entries.range(..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &mut Ring, seq: u64, at_ns: u64) {
        ring.push(at_ns, &Sample { seq, ..Sample::default() });
    }

    #[test]
    fn the_ring_holds_its_span_and_no_more() {
        let mut ring = Ring::new(30_000_000_000);
        for seq in 0..1000 {
            push(&mut ring, seq, seq * 100_000_000);
        }
        assert_eq!(ring.iter().count(), 301);
        assert_eq!(ring.iter().next().unwrap().sample.seq, 699);
        assert_eq!(ring.up_to(800).last().unwrap().sample.seq, 800);
        assert_eq!(ring.up_to(600).count(), 0);
    }

    #[test]
    fn a_long_pause_does_not_push_out_what_led_up_to_it() {
        let mut ring = Ring::new(30_000_000_000);
        for seq in 0..300 {
            push(&mut ring, seq, seq * 100_000_000);
        }
        push(&mut ring, 300, 90_000_000_000);
        assert!(ring.iter().count() > 280, "{}", ring.iter().count());
    }

    #[test]
    fn a_flood_of_samples_does_not_grow_it() {
        let mut ring = Ring::new(30_000_000_000);
        let capacity = ring.entries.capacity();
        for seq in 0..10_000 {
            push(&mut ring, seq, seq);
        }
        assert_eq!(ring.iter().count(), 310);
        assert_eq!(ring.entries.capacity(), capacity);
    }
}
