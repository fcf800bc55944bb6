//! The last seconds of samples.

use std::collections::VecDeque;

use crate::sample::Sample;

/// Samples kept per second of the ring: the fastest interval is 100 ms.
const PER_SECOND: u64 = 10;
/// Room beyond that, so that intervals a little short of nominal still fit.
const SLACK: usize = 10;

/// A sample and when it came on the engine's own time line, ns.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Time awake since the engine began, ns.
    pub at_ns: u64,
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

    /// Takes a sample and lets go of what is older than the span.
    pub fn push(&mut self, entry: Entry) {
        while self.entries.len() == self.capacity
            || self
                .entries
                .front()
                .is_some_and(|first| entry.at_ns.saturating_sub(first.at_ns) > self.span_ns)
        {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
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

    fn entry(seq: u64, at_ns: u64) -> Entry {
        Entry { at_ns, sample: Sample { seq, ..Sample::default() } }
    }

    #[test]
    fn the_ring_holds_its_span_and_no_more() {
        let mut ring = Ring::new(30_000_000_000);
        for seq in 0..1000 {
            ring.push(entry(seq, seq * 100_000_000));
        }
        assert_eq!(ring.iter().count(), 301);
        assert_eq!(ring.iter().next().unwrap().sample.seq, 699);
        assert_eq!(ring.up_to(800).last().unwrap().sample.seq, 800);
        assert_eq!(ring.up_to(600).count(), 0);
    }

    #[test]
    fn a_flood_of_samples_does_not_grow_it() {
        let mut ring = Ring::new(30_000_000_000);
        let capacity = ring.entries.capacity();
        for seq in 0..10_000 {
            ring.push(entry(seq, seq));
        }
        assert_eq!(ring.iter().count(), 310);
        assert_eq!(ring.entries.capacity(), capacity);
    }
}
