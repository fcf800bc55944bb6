//! An event as it is stored: one row of `events`.

use crate::event::{Culprit, Episode, EventId, Gap, Verdict};
use crate::sample::{Stress, Tier, Top};
use crate::wire::CulpritLine;

/// Sixteen random bytes: the OTLP trace id of an episode and of the gaps in it.
pub type Incident = [u8; 16];

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The time from leaving SENTINEL to returning to it.
    Episode,
    /// The machine stood still.
    Pause,
    /// The sampler, or this program, stood still while the rest went on.
    Stall,
    /// The machine went down while it was being watched.
    Outage,
}

impl Kind {
    /// All kinds, in the order of every table.
    pub const ALL: [Self; 4] = [Self::Episode, Self::Pause, Self::Stall, Self::Outage];

    /// The kind's name in columns, in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Episode => "episode",
            Self::Pause => "pause",
            Self::Stall => "stall",
            Self::Outage => "outage",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a person made of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nobody has looked at it yet.
    #[default]
    Unreviewed,
    /// Looked at; goes after `events_days`.
    Reviewed,
    /// Kept for good, samples included.
    Pinned,
    /// Of no interest; goes after `events_days`.
    Dismissed,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Unreviewed, Self::Reviewed, Self::Pinned, Self::Dismissed];

    /// The status's name in columns, in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreviewed => "unreviewed",
            Self::Reviewed => "reviewed",
            Self::Pinned => "pinned",
            Self::Dismissed => "dismissed",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Why an episode's row was closed by the next run of the daemon and not by its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The daemon was killed; the machine went on.
    Restart,
    /// The machine started anew.
    Reboot,
}

impl Interruption {
    /// The name in columns and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reboot => "reboot",
        }
    }

    /// The interruption of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Restart, Self::Reboot].into_iter().find(|interruption| interruption.as_str() == text)
    }
}

/// The most stressed sample of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct PeakRow {
    /// When, Unix ns; of a gap its end.
    pub time_ns: i64,
    /// The score and its factors.
    pub stress: Stress,
    /// The highest tier.
    pub tier: Tier,
    /// The largest processes then; of an episode only.
    pub top: Option<Top>,
}

/// Time awake in the tiers above SENTINEL, ns. Their sum is the episode's duration so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierTimes {
    /// In ELEVATED.
    pub elevated_ns: u64,
    /// In CRITICAL.
    pub critical_ns: u64,
}

/// What the daemon writes of an event. A person's marks (`status`, `note`) are not in it: writing a newer
/// version of a row leaves them alone.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Its number.
    pub id: EventId,
    /// What it is.
    pub kind: Kind,
    /// Whose fault the time lost was; of a pause or a stall only.
    pub verdict: Option<Verdict>,
    /// Whether a second witness confirms the verdict; where there is one.
    pub certain: Option<bool>,
    /// When it began, Unix ns.
    pub started_ns: i64,
    /// When it ended, Unix ns; `None` while open.
    pub ended_ns: Option<i64>,
    /// The last time it was known to go on, Unix ns: what an interrupted row is closed at.
    pub last_seen_ns: i64,
    /// How long, ns: of an episode the time awake, of a gap the time lost. `None` while open and of an
    /// outage, of which only the ends are known.
    pub duration_ns: Option<u64>,
    /// Closed by the next run.
    pub interrupted: Option<Interruption>,
    /// Closed by `tiers.max_episode`; another follows at once.
    pub continued: bool,
    /// Its most stressed sample; `None` of an outage.
    pub peak: Option<PeakRow>,
    /// Time in each tier; of an episode only.
    pub tiers: Option<TierTimes>,
    /// Who built it up, by share; empty where no process stands out.
    pub culprits: Vec<CulpritLine<'static>>,
    /// The trace it belongs to.
    pub incident: Incident,
}

fn lines(culprits: &[Culprit]) -> Vec<CulpritLine<'static>> {
    culprits.iter().map(|culprit| CulpritLine::from(culprit).into_owned()).collect()
}

impl EventRow {
    /// The row of a gap; `None` for sleep, which is no event.
    #[must_use]
    pub fn from_gap(gap: &Gap, incident: Incident) -> Option<Self> {
        let kind = match gap.verdict {
            Verdict::Pause => Kind::Pause,
            Verdict::Stall | Verdict::Starved => Kind::Stall,
            Verdict::Sleep => return None,
        };
        Some(Self {
            id: gap.id?,
            kind,
            verdict: Some(gap.verdict),
            certain: Some(gap.certain),
            started_ns: gap.started_ns,
            ended_ns: Some(gap.ended_ns),
            last_seen_ns: gap.ended_ns,
            duration_ns: Some(gap.duration_ns),
            interrupted: None,
            continued: false,
            peak: Some(PeakRow { time_ns: gap.ended_ns, stress: gap.stress, tier: gap.tier, top: None }),
            tiers: None,
            culprits: lines(&gap.culprits),
            incident,
        })
    }

    /// The row of an episode as it stands. `last_seen_ns` counts while it is open, its end after that.
    ///
    /// Of a closed one, the time not spent in CRITICAL was spent in ELEVATED: the two make up its duration.
    #[must_use]
    pub fn from_episode(
        episode: &Episode,
        incident: Incident,
        last_seen_ns: i64,
        mut tiers: TierTimes,
    ) -> Self {
        if let Some(duration) = episode.duration_ns {
            tiers.critical_ns = tiers.critical_ns.min(duration);
            tiers.elevated_ns = duration - tiers.critical_ns;
        }
        let peak = &episode.peak;
        Self {
            id: episode.id,
            kind: Kind::Episode,
            verdict: None,
            certain: None,
            started_ns: episode.started_ns,
            ended_ns: episode.ended_ns,
            last_seen_ns: episode.ended_ns.unwrap_or(last_seen_ns),
            duration_ns: episode.duration_ns,
            interrupted: None,
            continued: episode.continued,
            peak: Some(PeakRow {
                time_ns: peak.time_ns,
                stress: peak.stress,
                tier: peak.tier,
                top: Some(peak.top),
            }),
            tiers: Some(tiers),
            culprits: lines(&peak.culprits),
            incident,
        }
    }

    /// Whether the event still goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ended_ns.is_none()
    }
}
