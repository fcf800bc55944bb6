//! The tier: up at once, down slowly.

use crate::sample::Tier;

/// One interval counts at most so much of the wait, ns: a late sample says nothing of the time before it.
const MOST_PER_SAMPLE_NS: u64 = 1_000_000_000;

/// Where the tiers begin and how long the way down is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// ELEVATED from here, points.
    pub elevated: u8,
    /// CRITICAL from here, points.
    pub critical: u8,
    /// Time below the current tier's threshold before each step down, ns of sample time.
    pub deescalation_ns: u64,
}

impl Thresholds {
    /// The tier that a score asks for.
    #[must_use]
    pub fn tier(&self, score: u8) -> Tier {
        if score >= self.critical {
            Tier::Critical
        } else if score >= self.elevated {
            Tier::Elevated
        } else {
            Tier::Sentinel
        }
    }

    /// Where the tier begins.
    #[must_use]
    pub fn begin(&self, tier: Tier) -> u8 {
        match tier {
            Tier::Sentinel => 0,
            Tier::Elevated => self.elevated,
            Tier::Critical => self.critical,
        }
    }
}

/// The present tier and how far the wait for the next step down has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ladder {
    tier: Tier,
    /// Sample time below the tier's threshold, ns; `None` until the first sample below it.
    below_ns: Option<u64>,
}

impl Ladder {
    /// The present tier.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Takes a sample's score; the tier after it. A degraded sample can raise the tier and never lowers it:
    /// it says too little to end anything, and its time does not count.
    pub fn step(&mut self, score: u8, interval_ns: u64, degraded: bool, thresholds: &Thresholds) -> Tier {
        let asked = thresholds.tier(score);
        if asked > self.tier || (asked == self.tier && self.tier != Tier::Sentinel) {
            *self = Self { tier: asked, below_ns: None };
        } else if self.tier != Tier::Sentinel && !degraded {
            let below = match self.below_ns {
                // The wait is counted from the first sample below.
                None => 0,
                Some(below) => below + interval_ns.min(MOST_PER_SAMPLE_NS),
            };
            self.below_ns = Some(below);
            if below >= thresholds.deescalation_ns {
                let next = if self.tier == Tier::Critical { Tier::Elevated } else { Tier::Sentinel };
                // From the step on where the score is below the next threshold already; else from the
                // first sample that is.
                let below_ns = (asked < next).then_some(0);
                *self = Self { tier: next, below_ns };
            }
        }
        self.tier
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const THRESHOLDS: Thresholds = Thresholds { elevated: 15, critical: 50, deescalation_ns: 5_000 * MS };

    /// Feeds one score `times` times at 100 ms; the tier after it.
    fn feed(ladder: &mut Ladder, score: u8, times: usize) -> Tier {
        for _ in 0..times {
            ladder.step(score, 100 * MS, false, &THRESHOLDS);
        }
        ladder.tier()
    }

    #[test]
    fn the_tier_rises_at_once_and_several_steps_if_need_be() {
        let mut ladder = Ladder::default();
        assert_eq!(feed(&mut ladder, 14, 1), Tier::Sentinel);
        assert_eq!(feed(&mut ladder, 15, 1), Tier::Elevated);
        assert_eq!(feed(&mut ladder, 49, 1), Tier::Elevated);
        assert_eq!(feed(&mut ladder, 50, 1), Tier::Critical);
        let mut ladder = Ladder::default();
        assert_eq!(feed(&mut ladder, 90, 1), Tier::Critical);
    }

    #[test]
    fn each_step_down_needs_its_own_five_seconds() {
        let mut ladder = Ladder::default();
        feed(&mut ladder, 60, 1);
        assert_eq!(feed(&mut ladder, 0, 50), Tier::Critical, "4.9 s since the first sample below");
        assert_eq!(feed(&mut ladder, 0, 1), Tier::Elevated, "5.0 s");
        assert_eq!(feed(&mut ladder, 0, 49), Tier::Elevated, "4.9 s since the step");
        assert_eq!(feed(&mut ladder, 0, 1), Tier::Sentinel);
    }

    #[test]
    fn the_second_wait_begins_with_the_first_sample_below_the_second_threshold() {
        let mut ladder = Ladder::default();
        feed(&mut ladder, 60, 1);
        assert_eq!(feed(&mut ladder, 20, 51), Tier::Elevated);
        feed(&mut ladder, 20, 100);
        assert_eq!(feed(&mut ladder, 10, 50), Tier::Elevated);
        assert_eq!(feed(&mut ladder, 10, 1), Tier::Sentinel);
    }

    #[test]
    fn a_sample_at_the_threshold_begins_the_wait_anew() {
        let mut ladder = Ladder::default();
        feed(&mut ladder, 60, 1);
        feed(&mut ladder, 0, 50);
        feed(&mut ladder, 50, 1);
        assert_eq!(feed(&mut ladder, 0, 50), Tier::Critical);
        assert_eq!(feed(&mut ladder, 0, 1), Tier::Elevated);
    }

    #[test]
    fn one_long_interval_counts_at_most_a_second() {
        let mut ladder = Ladder::default();
        ladder.step(60, 100 * MS, false, &THRESHOLDS);
        ladder.step(0, 100 * MS, false, &THRESHOLDS);
        for _ in 0..4 {
            assert_eq!(ladder.step(0, 90_000 * MS, false, &THRESHOLDS), Tier::Critical);
        }
        assert_eq!(ladder.step(0, 90_000 * MS, false, &THRESHOLDS), Tier::Elevated);
    }

    #[test]
    fn degraded_samples_never_lower_a_tier_but_can_raise_it() {
        let mut ladder = Ladder::default();
        for _ in 0..1000 {
            ladder.step(60, 100 * MS, true, &THRESHOLDS);
        }
        assert_eq!(ladder.tier(), Tier::Critical);
        for _ in 0..1000 {
            assert_eq!(ladder.step(0, 100 * MS, true, &THRESHOLDS), Tier::Critical);
        }
        assert_eq!(feed(&mut ladder, 0, 50), Tier::Critical, "degraded time did not count");
        assert_eq!(feed(&mut ladder, 0, 1), Tier::Elevated);
    }

    proptest! {
        #[test]
        fn any_sequence_of_samples_gives_a_legal_sequence_of_tiers(
            samples in prop::collection::vec((0u8..=100, 0u64..3_000, any::<bool>()), 0..400),
        ) {
            let mut ladder = Ladder::default();
            let mut since_fall = u64::MAX / 2;
            for (score, interval_ms, degraded) in samples {
                let before = ladder.tier();
                let after = ladder.step(score, interval_ms * MS, degraded, &THRESHOLDS);
                since_fall += (interval_ms * MS).min(MOST_PER_SAMPLE_NS);
                prop_assert!(after >= THRESHOLDS.tier(score), "up at once");
                if after < before {
                    prop_assert_eq!(before as u8 - after as u8, 1, "one step at a time");
                    prop_assert!(!degraded);
                    prop_assert!(score < THRESHOLDS.begin(before));
                    prop_assert!(since_fall >= THRESHOLDS.deescalation_ns, "each step has its own wait");
                    since_fall = 0;
                }
                if after > before {
                    prop_assert_eq!(after, THRESHOLDS.tier(score));
                }
            }
        }
    }
}
