//! What the engine reports besides samples: tier changes, gaps and episodes, as plain data.

use std::fmt;

use crate::sample::{Factor, Name, Stress, Tier, Top};

/// Number of an event: 1 and up, unique within a data directory.
pub type EventId = u64;

/// Why time was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The machine stood still: heartbeat and samples were late together.
    Pause,
    /// The sampler stood still while the heartbeat ran.
    Stall,
    /// This program stood still while the rest went on.
    Starved,
    /// The machine slept. Never an event, only counted.
    Sleep,
}

impl Verdict {
    /// All verdicts, in the order of every table.
    pub const ALL: [Self; 4] = [Self::Pause, Self::Stall, Self::Starved, Self::Sleep];

    /// The verdict's name on the wire, in columns and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Stall => "stall",
            Self::Starved => "starved",
            Self::Sleep => "sleep",
        }
    }

    /// The verdict of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text)
    }
}

/// What a process is measured by when blame is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// CPU, ms per second.
    Cpu,
    /// Page-ins per second.
    Pageins,
    /// Wakeups per second.
    Wakeups,
    /// Disk bytes per second.
    Diskio,
}

/// How a culprit's strongest measure moved: mean of the window's first third → last sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The measure of its strongest factor.
    pub measure: Measure,
    /// Mean over the window's first third, in the measure's unit.
    pub from: f64,
    /// Value in the window's last sample, in the measure's unit.
    pub to: f64,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Three significant digits at most, none wasted.
        fn number(value: f64) -> String {
            if value >= 100.0 {
                format!("{value:.0}")
            } else {
                let text = if value >= 10.0 { format!("{value:.1}") } else { format!("{value:.2}") };
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
        fn bytes(value: f64) -> String {
            let (mut value, mut unit) = (value, 0);
            const UNITS: [&str; 5] = ["B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"];
            while value >= 1024.0 && unit + 1 < UNITS.len() {
                value /= 1024.0;
                unit += 1;
            }
            format!("{} {}", number(value), UNITS[unit])
        }
        let (from, to) = (self.from, self.to);
        match self.measure {
            Measure::Pageins => write!(f, "pageins {}/s → {}/s", number(from), number(to)),
            Measure::Wakeups => write!(f, "wakeups {}/s → {}/s", number(from), number(to)),
            Measure::Cpu => write!(f, "cpu {} % → {} %", number(from / 10.0), number(to / 10.0)),
            Measure::Diskio => write!(f, "disk {} → {}", bytes(from), bytes(to)),
        }
    }
}

/// A process with its share of the blame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Culprit {
    /// Process id.
    pub pid: i32,
    /// Its name.
    pub name: Name,
    /// Its share of all points in the window, 0.10–1.
    pub share: f64,
    /// Its weighted mean points by factor, rounded, in the order of [`Factor::ALL`].
    pub factors: [u8; 8],
    /// How its strongest factor's measure moved.
    pub evidence: Evidence,
}

impl Culprit {
    /// The factors it has points of, zeros left out.
    pub fn scored(&self) -> impl Iterator<Item = (Factor, u8)> + '_ {
        Factor::ALL.into_iter().zip(self.factors).filter(|&(_, points)| points > 0)
    }
}

/// The tier changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierChange {
    /// When: the sample's time of day, Unix ns.
    pub time_ns: i64,
    /// The tier before.
    pub from: Tier,
    /// The tier from this sample on.
    pub to: Tier,
    /// The stress score of the sample.
    pub stress: u8,
    /// The episode that this opens, changes or closes.
    pub episode: EventId,
}

/// A gap with its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// Its event; `None` for sleep.
    pub id: Option<EventId>,
    /// Whose fault it was.
    pub verdict: Verdict,
    /// False where no second witness confirms the verdict.
    pub certain: bool,
    /// When it began, Unix ns: end − duration − time asleep.
    pub started_ns: i64,
    /// When it ended, Unix ns.
    pub ended_ns: i64,
    /// How long: time lost, for sleep the time asleep, ns.
    pub duration_ns: u64,
    /// Time asleep in it, ns.
    pub asleep_ns: u64,
    /// The sample that ended it; `None` where none came.
    pub seq: Option<u64>,
    /// The episode it fell into.
    pub episode: Option<EventId>,
    /// The stress of the most stressed sample in it, else of the last before it.
    pub stress: Stress,
    /// That sample's tier.
    pub tier: Tier,
    /// Who built it up, by share; empty where no process stands out.
    pub culprits: Vec<Culprit>,
}

/// What was made of a gap when it happened: a recording says so, since it lacks what decided it (SIGCONT, the kernel's
/// counters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whose fault it was.
    pub verdict: Verdict,
    /// Whether a second witness confirmed it.
    pub certain: bool,
    /// When it ended, Unix ns.
    pub ended_ns: i64,
    /// How long it was, ns.
    pub duration_ns: u64,
}

impl Told {
    /// So many are kept at most where gaps are remembered, the newest: more than the longest ring has room for, five minutes
    /// of gaps of a quarter of a second.
    pub const MOST: usize = 1_024;
}

/// The most stressed sample of an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Peak {
    /// Its time of day, Unix ns.
    pub time_ns: i64,
    /// Its number.
    pub seq: u64,
    /// Its score and factors.
    pub stress: Stress,
    /// The highest tier so far.
    pub tier: Tier,
    /// Its largest processes.
    pub top: Top,
    /// Who built it up, by share; empty where no process stands out.
    pub culprits: Vec<Culprit>,
}

/// An episode as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Its event.
    pub id: EventId,
    /// When it began, Unix ns.
    pub started_ns: i64,
    /// When it ended, Unix ns; `None` while open.
    pub ended_ns: Option<i64>,
    /// Time awake from start to end, ns; `None` while open.
    pub duration_ns: Option<u64>,
    /// Closed by `tiers.max_episode`; another follows at once.
    pub continued: bool,
    /// Its most stressed sample.
    pub peak: Peak,
}

/// What the engine reports, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The tier changed.
    Tier(TierChange),
    /// A gap was judged.
    Gap(Gap),
    /// An episode began: its row is written at once.
    EpisodeOpened(Episode),
    /// An open episode's row is to be brought up to date.
    EpisodeChanged(Episode),
    /// An episode ended.
    EpisodeClosed(Episode),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_reads_as_a_person_would_write_it() {
        let evidence = |measure, from, to| Evidence { measure, from, to }.to_string();
        assert_eq!(evidence(Measure::Pageins, 3.0, 840.4), "pageins 3/s → 840/s");
        assert_eq!(evidence(Measure::Cpu, 0.0, 1985.0), "cpu 0 % → 198 %");
        assert_eq!(evidence(Measure::Diskio, 512.0, 3.5 * 1048576.0), "disk 512 B/s → 3.5 MiB/s");
        assert_eq!(evidence(Measure::Wakeups, 0.04, 12.34), "wakeups 0.04/s → 12.3/s");
    }
}
