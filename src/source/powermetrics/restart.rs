//! When a sampler that ended is started again. Pure.

/// The least and the greatest wait after a crash, ns.
const LEAST_NS: u64 = 1_000_000_000;
const MOST_NS: u64 = 30_000_000_000;
/// A sampler that ran for so long was well: the next wait is the least again, ns.
const WELL_NS: u64 = 60_000_000_000;

/// How a sampler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exit status 0 after at least one sample: it had written all it was asked for.
    Renewal,
    /// Anything else that ended by itself.
    Exited,
    /// It was ended, as it wrote nothing.
    Silent,
    /// It was ended, as it took more and more memory.
    Grown,
}

/// The back-off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restarts {
    wait_ns: u64,
}

impl Restarts {
    /// How long to wait, ns from now, before a sampler that ran for `ran_ns` is started again: at once for a
    /// renewal, at most once a second; else 1, 2, 4 … 30 s.
    pub fn wait_ns(&mut self, end: End, ran_ns: u64) -> u64 {
        if end == End::Renewal {
            self.wait_ns = 0;
            return LEAST_NS.saturating_sub(ran_ns);
        }
        self.wait_ns = if ran_ns >= WELL_NS { LEAST_NS } else { (self.wait_ns * 2).clamp(LEAST_NS, MOST_NS) };
        self.wait_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn crashes_wait_longer_and_longer_up_to_thirty_seconds() {
        let mut restarts = Restarts::default();
        let waits: Vec<u64> = (0..8).map(|_| restarts.wait_ns(End::Exited, S) / S).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(restarts.wait_ns(End::Silent, 60 * S), S, "it had been well");
    }

    #[test]
    fn a_renewal_is_at_once_but_not_more_than_once_a_second() {
        let mut restarts = Restarts::default();
        restarts.wait_ns(End::Exited, 0);
        restarts.wait_ns(End::Exited, 0);
        assert_eq!(restarts.wait_ns(End::Renewal, 3_600 * S), 0);
        assert_eq!(restarts.wait_ns(End::Renewal, S / 4), S * 3 / 4);
        assert_eq!(restarts.wait_ns(End::Exited, 0), S, "the back-off began anew");
    }
}
