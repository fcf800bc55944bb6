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
}

impl Player {
    /// Plays `replay`. Its time of day is the recording's own where `own_time` is set and it has one; else it
    /// begins at `start_unix_ns`.
    #[must_use]
    pub fn new(replay: Replay, start_unix_ns: i64, own_time: bool) -> Self {
        let at = Stamp { awake_ns: 0, total_ns: 0, unix_ns: start_unix_ns };
        Self { replay, at, start_unix_ns, own_time }
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
            Item::Reading { reading, arrival_ns, heartbeat_ns, time_ns } => {
                self.at.awake_ns = self.at.awake_ns.saturating_add(arrival_ns);
                self.at.total_ns = self.at.awake_ns;
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
