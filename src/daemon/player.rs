//! A recording through the engine: the clock is the recording's own.

use std::io;

use crate::clock::Stamp;
use crate::engine::{Beat, Engine};
use crate::event::Notice;
use crate::sample::{Reject, Sample, SourceInfo};
use crate::source::replay::{Item, Replay};

/// Plays a recording into an engine.
pub struct Player {
    replay: Replay,
    /// The recording's clock: the sum of its intervals.
    at: Stamp,
    /// Time of day at the recording's start, where it has none itself, or where ours counts. Unix ns.
    start_unix_ns: i64,
    /// The recording's own time of day counts.
    own_time: bool,
    /// The last sample's time of day, where the recording has it. Unix ns.
    last_time_ns: Option<i64>,
}

/// Time of day that passed beyond the interval, from this on, is sleep, ns: a clock that is set right moves less.
const ASLEEP_NS: i64 = 10_000_000_000;

/// How long the recorded machine slept between two samples, ns. A recording has one clock only, which stops in sleep;
/// its time of day goes on.
fn asleep_ns(last_ns: Option<i64>, time_ns: Option<i64>, arrival_ns: u64) -> Option<u64> {
    let passed_ns = time_ns?.checked_sub(last_ns?)?;
    let beyond_ns = passed_ns.checked_sub(i64::try_from(arrival_ns).ok()?)?;
    u64::try_from(beyond_ns).ok().filter(|_| beyond_ns >= ASLEEP_NS)
}

/// One step of a recording.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are samples, and none is kept")]
pub enum Step {
    /// A sample, and the time since the last one on the recording's clock, ns.
    Sample(Sample, u64),
    /// What is known of the recorded machine.
    Info(SourceInfo),
    /// A document or line was rejected.
    Rejected(Reject),
    /// The source was restarted here.
    Restarted,
    /// What was made of a gap when it happened: the engine goes by it.
    Told,
}

impl Player {
    /// Plays `replay`. Its time of day is the recording's own where `own_time` is set and it has one; else it
    /// begins at `start_unix_ns`.
    #[must_use]
    pub fn new(replay: Replay, start_unix_ns: i64, own_time: bool) -> Self {
        let at = Stamp { awake_ns: 0, total_ns: 0, unix_ns: start_unix_ns };
        Self { replay, at, start_unix_ns, own_time, last_time_ns: None }
    }

    /// The recording's clock.
    #[must_use]
    pub fn now(&self) -> Stamp {
        self.at
    }

    /// Plays on to the next thing in the recording; `None` at its end.
    ///
    /// # Errors
    /// Where the recording can't be read on.
    pub fn step(&mut self, engine: &mut Engine, notices: &mut Vec<Notice>) -> io::Result<Option<Step>> {
        let Some(item) = self.replay.next()? else { return Ok(None) };
        Ok(Some(match item {
            Item::Told(told) => {
                engine.told(told);
                Step::Told
            }
            Item::Reading { reading, arrival_ns, heartbeat_ns, time_ns } => {
                self.at.awake_ns = self.at.awake_ns.saturating_add(arrival_ns);
                self.at.total_ns = self
                    .at
                    .total_ns
                    .saturating_add(arrival_ns)
                    .saturating_add(asleep_ns(self.last_time_ns, time_ns, arrival_ns).unwrap_or(0));
                self.last_time_ns = time_ns;
                let since_start = i64::try_from(self.at.awake_ns).unwrap_or(i64::MAX);
                let by_clock = self.start_unix_ns.saturating_add(since_start);
                self.at.unix_ns = time_ns.filter(|_| self.own_time).unwrap_or(by_clock);
                if let Some(delay_ns) = heartbeat_ns {
                    engine.beat(&Beat { at: self.at, delay_ns }, notices);
                }
                Step::Sample(engine.sample(&reading, &self.at, None, notices), arrival_ns)
            }
            Item::Info(info) => Step::Info(info),
            Item::Rejected(reject) => Step::Rejected(reject),
            Item::Restarted => {
                engine.started(&self.at);
                Step::Restarted
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_beyond_the_interval_is_sleep_but_a_clock_that_is_set_is_not() {
        let s = 1_000_000_000;
        assert_eq!(asleep_ns(Some(0), Some(3_600 * s), 100_000_000), Some(3_599_900_000_000));
        assert_eq!(asleep_ns(Some(0), Some(2 * s), 100_000_000), None, "set right by two seconds");
        assert_eq!(asleep_ns(Some(3_600 * s), Some(0), 100_000_000), None, "set back");
        assert_eq!(asleep_ns(None, Some(3_600 * s), 100_000_000), None);
        assert_eq!(asleep_ns(Some(i64::MIN), Some(i64::MAX), u64::MAX), None);
    }
}
