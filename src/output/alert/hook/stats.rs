//! What became of runs, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program ended with 0, the request was taken.
    Ok,
    /// The program could not be started or ended otherwise, the request was not taken.
    Failed,
    /// It took too long.
    Timeout,
    /// It was not done for safety's sake: a program that others may change while we are root, a redirect.
    Refused,
    /// The cooldown held it back; or it is the end of a state whose beginning was held back.
    HeldBack,
    /// The queue was full, or the daemon stopped before it was done.
    Dropped,
}

impl Outcome {
    /// All outcomes, in the order of every table.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Failed, Self::Timeout, Self::Refused, Self::HeldBack, Self::Dropped];

    /// The outcome's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::HeldBack => "held_back",
            Self::Dropped => "dropped",
        }
    }
}

/// The runs of one hook. Written by the alerts' thread, read by scrapes.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; 6]);

impl Counts {
    pub(super) fn add(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }
}

/// The runs of every hook that is configured.
#[derive(Debug, Default)]
pub struct HookStats {
    /// By name. Changed by the alerts' thread when it is configured; a scrape copies it out.
    hooks: Mutex<BTreeMap<String, Arc<Counts>>>,
}

impl HookStats {
    /// Each hook's name, and how many runs came to what.
    #[must_use]
    pub fn runs(&self) -> Vec<(String, [(Outcome, u64); 6])> {
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let counted =
            |counts: &Counts| Outcome::ALL.map(|outcome| (outcome, counts.0[outcome as usize].load(Relaxed)));
        hooks.iter().map(|(name, counts)| (name.clone(), counted(counts))).collect()
    }

    /// From now on there are these hooks: those that stay keep their counts, each in its place.
    pub(super) fn configure<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<Counts>> {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *hooks);
        names
            .map(|name| {
                let counts = before.remove(name).unwrap_or_default();
                hooks.insert(name.to_owned(), Arc::clone(&counts));
                counts
            })
            .collect()
    }
}
