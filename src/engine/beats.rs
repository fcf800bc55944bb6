//! The late heartbeats of the last while.

use super::gap::BEAT_NS;

/// Late beats remembered.
const BEATS: usize = 512;
/// One that is late by less is jitter, ns: on a busy machine every beat is late by a few ms, and their sum is nobody's gap.
const LEAST_DELAY_NS: u64 = BEAT_NS;

/// The last late beats.
#[derive(Clone, Debug)]
pub(super) struct Beats {
    /// (when it woke, how late), newest last, as a ring.
    entries: [(u64, u64); BEATS],
    len: usize,
    next: usize,
}

impl Default for Beats {
    fn default() -> Self {
        Self { entries: [(0, 0); BEATS], len: 0, next: 0 }
    }
}

impl Beats {
    pub(super) fn push(&mut self, at_ns: u64, delay_ns: u64) {
        if delay_ns >= LEAST_DELAY_NS {
            self.entries[self.next] = (at_ns, delay_ns);
            self.next = (self.next + 1) % BEATS;
            self.len = (self.len + 1).min(BEATS);
        }
    }

    /// The beats that woke after `from_ns`, newest first.
    pub(super) fn since(&self, from_ns: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        (1..=self.len)
            .map(|back| self.entries[(self.next + BEATS - back) % BEATS])
            .take_while(move |(at, _)| *at > from_ns)
    }

    /// Whether a beat was late by `least_ns` or more in a span of time.
    pub(super) fn is_held_up(&self, from_ns: u64, to_ns: u64, least_ns: u64) -> bool {
        self.since(from_ns).any(|(at, delay)| delay >= least_ns && at.saturating_sub(delay) < to_ns)
    }

    /// How much of a span of time was heartbeat delay, ns.
    pub(super) fn inside(&self, from_ns: u64, to_ns: u64) -> u64 {
        self.since(from_ns)
            .map(|(at, delay)| at.min(to_ns).saturating_sub(at.saturating_sub(delay).max(from_ns)))
            .sum()
    }
}
