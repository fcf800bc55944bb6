//! Numbers that look random and are the same for the same seed, on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): one multiplication chain a number, any seed is good.
pub(super) struct Random {
    state: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finalizer: every bit of the result depends on every bit of `value`.
fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Random {
    /// The numbers of one purpose (`stream`) and one place in it (`index`), whatever was drawn before.
    pub(super) fn new(seed: u64, stream: u64, index: u64) -> Self {
        Self { state: mixed(mixed(mixed(seed.wrapping_add(STEP)).wrapping_add(stream)).wrapping_add(index)) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mixed(self.state)
    }

    /// From 0 up to 1, without 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `low` up to `high`, without `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// `value`, which is not negative, rounded up or down so that the mean of many is `value`.
    pub(super) fn whole(&mut self, value: f64) -> u64 {
        // Saturates: a float that is too large becomes the largest integer.
        (value + self.unit()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        let draw = |seed, stream, index| {
            let mut random = Random::new(seed, stream, index);
            [random.next(), random.next()]
        };
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        for other in [draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4), draw(2, 1, 3)] {
            assert_ne!(draw(1, 2, 3), other);
        }
    }

    #[test]
    fn rounding_keeps_the_mean() {
        let mut random = Random::new(7, 0, 0);
        let sum: u64 = (0..100_000).map(|_| random.whole(0.3)).sum();
        assert!((29_000..31_000).contains(&sum), "{sum}");
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(9, 0, 0);
        assert!((0..10_000).all(|_| (2.0..3.0).contains(&random.between(2.0, 3.0))));
    }
}
