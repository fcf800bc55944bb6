//! How long to wait after a failure. Pure: chance is an argument.

use std::time::Duration;

/// The first wait; doubled each time up to the last.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A wait that doubles.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    /// What the other side asks for is honoured up to this.
    asked_most: Duration,
}

impl Backoff {
    /// One that has not failed yet.
    pub(super) fn new(asked_most: Duration) -> Self {
        Self { failures: 0, asked_most }
    }

    /// The next wait: what the other side asked for, where it did, else half to all of the present one, as `chance`
    /// (0 to 1) has it: many clients of one server must not come back together.
    pub(super) fn next(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let wait = WAITS.0.saturating_mul(1 << self.failures.min(16)).min(WAITS.1);
        self.failures += 1;
        match asked.filter(|asked| !asked.is_zero()) {
            Some(asked) => asked.min(self.asked_most) + WAITS.0.mul_f64(chance.clamp(0.0, 1.0) / 10.0),
            None => wait.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0),
        }
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number from 0 to 1.
pub(super) fn chance() -> f64 {
    let mut byte = [128];
    // Without chance it is the middle.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Duration = Duration::from_secs(3_600);

    #[test]
    fn waits_double_to_a_minute_and_chance_takes_up_to_half_of_them() {
        let mut backoff = Backoff::new(ASKED);
        let waits: Vec<u64> = (0..9).map(|_| backoff.next(None, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.next(None, 0.0), Duration::from_secs(30));
        backoff.reset();
        assert_eq!(backoff.next(None, 0.0), Duration::from_millis(500));
        backoff.failures = u32::MAX - 1;
        assert_eq!(backoff.next(None, 1.0), WAITS.1);
    }

    #[test]
    fn what_the_other_side_asks_for_is_the_least_that_is_waited_and_its_limit_the_most() {
        let mut backoff = Backoff::new(ASKED);
        let asked = Duration::from_secs(7);
        assert_eq!(backoff.next(Some(asked), 0.0), asked);
        assert!((asked..asked + Duration::from_secs(1)).contains(&backoff.next(Some(asked), 1.0)));
        assert_eq!(backoff.next(Some(Duration::MAX), 0.0), ASKED);
        assert_eq!(backoff.next(Some(Duration::ZERO), 1.0), Duration::from_secs(8), "it asked for nothing");
    }
}
