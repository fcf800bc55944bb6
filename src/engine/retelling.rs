//! What a recording says of its gaps, held against what its samples show.

use std::collections::VecDeque;

use crate::event::{Told, Verdict};

/// A gap of a recording and what is told of it may be so far apart, besides what the recording leaves open, ns.
const TOLD_APART_NS: u64 = 500_000_000;

/// What was told, and what was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Retelling {
    /// What was told and has not been found in the samples yet.
    told: VecDeque<Told>,
    /// Gaps of which nothing was told until they were judged, and how much earlier each may have been, ns.
    judged: VecDeque<(Told, u64)>,
    /// When the first sample's interval began, Unix ns.
    began_unix_ns: Option<i64>,
}

impl Retelling {
    /// A sample came, with its interval.
    pub(super) fn sample(&mut self, unix_ns: i64, interval_ns: u64) {
        self.began_unix_ns
            .get_or_insert_with(|| unix_ns.saturating_sub(i64::try_from(interval_ns).unwrap_or(i64::MAX)));
    }

    /// The recording says what was made of a gap.
    pub(super) fn told(&mut self, told: Told) {
        // A stall or a sleep is told right after the sample that shows it.
        let judged = self.judged.iter().position(|(found, slack_ns)| is_of(&told, found, *slack_ns));
        match judged {
            Some(at) => drop(self.judged.remove(at)),
            None => remember(&mut self.told, told),
        }
    }

    /// Whether something was told of a gap.
    pub(super) fn knows(&self, found: &Told, slack_ns: u64) -> bool {
        told_of(&self.told, found, slack_ns).is_some()
    }

    /// What was told of a gap that is judged now; where nothing was, it may still be told.
    pub(super) fn take(&mut self, found: Told, slack_ns: u64) -> Option<Told> {
        let told = told_of(&self.told, &found, slack_ns).and_then(|at| self.told.remove(at));
        if told.is_none() {
            remember(&mut self.judged, (found, slack_ns));
        }
        told
    }

    /// What was told of a gap of at least `least_ns`, or a sleep, that no sample shows and no open case is about. That is
    /// known so long after it; at once where nothing more will come (`None`).
    pub(super) fn take_alone(
        &mut self,
        unix_ns: i64,
        passed_ns: Option<u64>,
        least_ns: u64,
        of_a_case: impl Fn(&Told) -> bool,
    ) -> Option<Told> {
        let is_due = |told: &Told| {
            let since_ns = u64::try_from(unix_ns.saturating_sub(told.ended_ns)).unwrap_or(0);
            passed_ns.is_none_or(|passed_ns| since_ns >= passed_ns + TOLD_APART_NS) && !of_a_case(told)
        };
        // What is told of the time before the recording belongs to no sample of it.
        let began_unix_ns = self.began_unix_ns;
        let is_gap = |told: &Told| {
            began_unix_ns.is_some_and(|began_ns| told.ended_ns >= began_ns)
                && (told.verdict == Verdict::Sleep || told.duration_ns >= least_ns)
        };
        loop {
            let at = self.told.iter().position(is_due)?;
            if let Some(told) = self.told.remove(at).filter(is_gap) {
                return Some(told);
            }
        }
    }
}

/// Whether something told is of a gap that was found in a recording, which may have been `slack_ns` earlier than it seems.
pub(super) fn is_of(told: &Told, found: &Told, slack_ns: u64) -> bool {
    let before = |ns: i64, by_ns: u64| ns.saturating_sub(i64::try_from(by_ns).unwrap_or(i64::MAX));
    let end = |told: &Told| told.ended_ns.saturating_add_unsigned(TOLD_APART_NS);
    // In a stall the heartbeat was on time, in all others it was late.
    (told.verdict == Verdict::Stall) == (found.verdict == Verdict::Stall)
        && before(told.ended_ns, told.duration_ns) <= end(found)
        && before(found.ended_ns, found.duration_ns.saturating_add(slack_ns)) <= end(told)
}

/// Which of those is told of, the nearest by its duration.
fn told_of(among: &VecDeque<Told>, found: &Told, slack_ns: u64) -> Option<usize> {
    let of_it = among.iter().enumerate().filter(|(_, told)| is_of(told, found, slack_ns));
    of_it.min_by_key(|(_, told)| told.duration_ns.abs_diff(found.duration_ns)).map(|(at, _)| at)
}

fn remember<T>(all: &mut VecDeque<T>, more: T) {
    if all.len() == Told::MOST {
        all.pop_front();
    }
    all.push_back(more);
}
