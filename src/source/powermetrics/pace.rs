//! How fast a sampler is read at most. Pure.
//!
//! A sampler that writes documents as fast as it can would have the sampling thread, and every output, do nothing else.
//! So it is read by the window: what does not fit waits in its channel, and once that is full the sampler itself waits.

/// A window, ns.
const WINDOW_NS: u64 = 100_000_000;
/// Documents, kept or rejected, that are read in one window at most: far more than come from a sampler that does what it
/// was asked for, and than wait in the channel after our own starvation.
pub const DOCUMENTS: u32 = 50;
/// The same in bytes.
const BYTES: usize = 32 << 20;

/// What was read in the present window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    ends_ns: u64,
    documents: u32,
    bytes: usize,
}

impl Pace {
    /// Counts what was read up to `now_ns`.
    pub fn read(&mut self, now_ns: u64, documents: u32, bytes: usize) {
        // A clock that stepped back begins a new one, too.
        if !(self.ends_ns.saturating_sub(WINDOW_NS)..self.ends_ns).contains(&now_ns) {
            *self = Self { ends_ns: now_ns.saturating_add(WINDOW_NS), ..Self::default() };
        }
        self.documents = self.documents.saturating_add(documents);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Until when nothing more is to be read, where that is so at `now_ns`.
    #[must_use]
    pub fn wait_until_ns(&self, now_ns: u64) -> Option<u64> {
        let full = self.documents >= DOCUMENTS || self.bytes >= BYTES;
        let running = (self.ends_ns.saturating_sub(WINDOW_NS)..self.ends_ns).contains(&now_ns);
        (full && running).then_some(self.ends_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_sampler_that_writes_what_it_should_is_never_waited_with() {
        let mut pace = Pace::default();
        for tick in 0..100 {
            pace.read(tick * 100 * MS, 1, 16 << 20);
            assert_eq!(pace.wait_until_ns(tick * 100 * MS), None);
        }
        // All that the channel holds after a starvation.
        pace.read(20_000 * MS, 49, 4 << 20);
        assert_eq!(pace.wait_until_ns(20_000 * MS), None);
    }

    #[test]
    fn documents_or_bytes_beyond_a_window_wait_for_the_next_one() {
        for (documents, bytes) in [(1, 1 << 20), (10, 1)] {
            let mut pace = Pace::default();
            let mut now = 1_000 * MS;
            while pace.wait_until_ns(now).is_none() {
                pace.read(now, documents, bytes);
                now += MS;
            }
            assert_eq!(pace.wait_until_ns(now), Some(1_100 * MS));
            assert_eq!(pace.wait_until_ns(1_100 * MS), None);
            pace.read(1_100 * MS, documents, bytes);
            assert_eq!(pace.wait_until_ns(1_101 * MS), None, "a new window");
        }
    }

    #[test]
    fn a_clock_that_steps_back_waits_for_nothing() {
        let mut pace = Pace::default();
        pace.read(1_000 * MS, 1_000, 0);
        assert_eq!(pace.wait_until_ns(500 * MS), None);
        pace.read(500 * MS, 1, 0);
        assert_eq!(pace.wait_until_ns(501 * MS), None);
    }
}
