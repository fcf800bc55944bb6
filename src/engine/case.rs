//! A late heartbeat, undecided: what is known of it, and what the samples that follow say.

use crate::event::{Told, Verdict};

use super::gap::BEAT_NS;

/// On-time samples that must have come before their sum can bear witness: one may have been finished before
/// the gap, another under way.
pub(super) const LEAST_SAMPLES: u32 = 3;

/// A sample as the judge sees it.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// Its number.
    pub seq: u64,
    /// When it arrived.
    pub at_ns: u64,
    /// When it arrived, Unix ns.
    pub unix_ns: i64,
    /// Its own interval.
    pub interval_ns: u64,
    /// The interval expected of it.
    pub expected_ns: u64,
    /// Later than the threshold.
    pub late: bool,
    /// The first after a start, a restart or a wake: nothing can be said of its interval.
    pub first: bool,
    /// Only the fast path answered.
    pub degraded: bool,
    /// Its interval began before the sampler's full output was read: we had kept the sampler waiting.
    pub held_up: bool,
}

impl Observed {
    pub(super) fn began_ns(&self) -> u64 {
        self.at_ns.saturating_sub(self.interval_ns)
    }
}

/// An undecided case: the heartbeat was late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Half a heartbeat period before the first late beat was due.
    pub(super) start_ns: u64,
    /// When the last late beat woke.
    pub(super) end_ns: u64,
    pub(super) ended_unix_ns: i64,
    pub(super) delays_ns: u64,
    /// What passed between each late beat's last wake and the moment it stood still: half the time to its deadline,
    /// on average.
    pub(super) between_ns: u64,
    pub(super) asleep_ns: u64,
    /// In a recording: how much earlier it may have been.
    pub(super) slack_ns: u64,
    /// Late samples that do not reach back into it.
    pub(super) after: Late,
    /// Late samples that do.
    pub(super) late: Late,
    /// The first sample that followed.
    pub(super) first_seq: Option<u64>,
    /// On-time samples since it began, and their intervals' sum.
    pub(super) on_time: u32,
    pub(super) on_time_ns: u64,
    /// A sample followed that can't say how long its interval was.
    pub(super) restarted: bool,
    /// SIGCONT came in it.
    pub(super) continued: bool,
    /// The sampler had filled its output and waited for us.
    pub(super) filled: bool,
}

/// Late samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Late {
    /// The first.
    pub(super) seq: Option<u64>,
    /// The sum of the sampler's intervals.
    pub(super) ns: u64,
    /// One was of the fast path, which is ours: it can't say what another process did meanwhile.
    pub(super) by_us: bool,
}

impl Late {
    pub(super) fn hear(&mut self, observed: &Observed) {
        self.seq.get_or_insert(observed.seq);
        if observed.degraded {
            self.by_us = true;
        } else {
            self.ns = self.ns.saturating_add(observed.interval_ns);
        }
    }
}

impl Case {
    /// A sample came since it began.
    pub(super) fn hear(&mut self, observed: &Observed) {
        // One that came before it, and was only handed over after it, says nothing of it.
        if observed.at_ns < self.start_ns + BEAT_NS / 2 {
            return;
        }
        self.first_seq.get_or_insert(observed.seq);
        if observed.first {
            self.restarted = true;
        } else if observed.held_up && self.on_time >= LEAST_SAMPLES {
            self.filled = true;
        } else if observed.late {
            self.after.hear(observed);
            if observed.began_ns() < self.end_ns {
                self.take_after();
            }
        } else {
            self.on_time += 1;
            if !observed.degraded {
                self.on_time_ns = self.on_time_ns.saturating_add(observed.interval_ns);
            }
        }
    }

    /// What was late after it was late in it: it reaches back into it, or another late beat belongs to it.
    pub(super) fn take_after(&mut self) {
        let after = std::mem::take(&mut self.after);
        self.late.seq = self.late.seq.or(after.seq);
        self.late.ns = self.late.ns.saturating_add(after.ns);
        self.late.by_us |= after.by_us;
    }

    /// What it is found to be in a recording, before it is known what was told of it: no stall.
    pub(super) fn found(&self) -> Told {
        Told {
            verdict: Verdict::Pause,
            certain: false,
            ended_ns: self.ended_unix_ns,
            duration_ns: self.delays_ns.saturating_add(self.between_ns),
        }
    }

    /// Whether a SIGCONT that came then may be what ended it.
    pub(super) fn is_continued_at(&self, at_ns: u64, expected_ns: u64) -> bool {
        self.start_ns <= at_ns && at_ns <= self.end_ns.saturating_add(expected_ns)
    }
}
