//! How fast a recording or a simulation runs: `--speed`.

use std::str::FromStr;
use std::time::Duration;

/// The pace of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was; finite and above zero.
    Times(f64),
    /// Without waiting.
    Max,
}

/// A speed that can't be run at.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no speed: give a number above 0, such as 1 or 2.5, or max")]
pub struct NotASpeed(String);

impl Speed {
    /// How long `ns` of the recording take; `None` where nothing is waited for.
    #[must_use]
    pub fn delay(&self, ns: u64) -> Option<Duration> {
        match self {
            Self::Max => None,
            // Centuries, where the speed is next to nothing.
            Self::Times(times) => Some(
                Duration::try_from_secs_f64(ns as f64 / 1e9 / times)
                    .unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
            ),
        }
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self::Times(1.0)
    }
}

impl FromStr for Speed {
    type Err = NotASpeed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times: Option<f64> = text.parse().ok();
        times
            .filter(|times| times.is_finite() && *times > 0.0)
            .map(Self::Times)
            .ok_or_else(|| NotASpeed(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_positive_number_or_max() {
        assert_eq!("1".parse::<Speed>().unwrap(), Speed::Times(1.0));
        assert_eq!("2.5".parse::<Speed>().unwrap(), Speed::Times(2.5));
        assert_eq!("max".parse::<Speed>().unwrap(), Speed::Max);
        for wrong in ["0", "-1", "nan", "inf", "", "fast", "1x"] {
            let error = wrong.parse::<Speed>().unwrap_err().to_string();
            assert_eq!(
                error,
                format!("{wrong:?} is no speed: give a number above 0, such as 1 or 2.5, or max")
            );
        }
    }

    #[test]
    fn twice_as_fast_takes_half_the_time() {
        assert_eq!(Speed::Times(2.0).delay(3_000_000_000), Some(Duration::from_millis(1_500)));
        assert_eq!(Speed::Max.delay(3_000_000_000), None);
        assert!(Speed::Times(f64::MIN_POSITIVE).delay(u64::MAX).is_some());
    }
}
