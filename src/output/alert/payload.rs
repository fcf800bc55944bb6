//! What is told of an alert: version 1 of what hooks get, on standard input or as a request's body.

use serde::{Deserialize, Serialize};

use crate::sample::{Tier, printable};
use crate::wire::{CulpritLine, StressLine};

/// The version of [`Payload`].
pub const VERSION: u32 = 1;

/// What an alert is about: what a hook's `on` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The machine stood still.
    Pause,
    /// The sampler, or this program, stood still while the rest went on.
    Stall,
    /// The machine went down while it was being watched.
    Outage,
    /// CRITICAL was entered for long enough, or with a pause; and left.
    Critical,
    /// SENTINEL was left; and returned to.
    Elevated,
    /// SENTINEL was returned to: the episode is over.
    Recovered,
    /// The source delivers nothing; and delivers again.
    SourceDown,
    /// The source delivers again.
    SourceUp,
    /// The evidence of a pause is gathered.
    Forensics,
}

impl Event {
    /// All events, in the order of every table.
    pub const ALL: [Self; 9] = [
        Self::Pause,
        Self::Stall,
        Self::Outage,
        Self::Critical,
        Self::Elevated,
        Self::Recovered,
        Self::SourceDown,
        Self::SourceUp,
        Self::Forensics,
    ];

    /// The event's name in payloads and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Stall => "stall",
            Self::Outage => "outage",
            Self::Critical => "critical",
            Self::Elevated => "elevated",
            Self::Recovered => "recovered",
            Self::SourceDown => "source_down",
            Self::SourceUp => "source_up",
            Self::Forensics => "forensics",
        }
    }

    /// The event of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

/// Whether an alert is a moment or a state. Only `critical`, `elevated` and `source_down` are states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It happened.
    Event,
    /// It began, and goes on.
    Firing,
    /// It is over; `incident` is that of its beginning.
    Resolved,
}

impl Status {
    /// The status's name in payloads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert. Every key is always there; null is *unknown*, or *there is none*.
#[derive(Clone, Debug, Serialize)]
pub struct Payload {
    /// [`VERSION`].
    pub version: u32,
    /// What it is about.
    pub event: Event,
    /// A moment, or the beginning or end of a state.
    pub status: Status,
    /// The host's name.
    pub host: String,
    /// When it happened, RFC 3339 in UTC with ms.
    pub time: String,
    /// 32 hexadecimal digits: the same for all that belongs together, an episode and the gaps in it (it is their
    /// OpenTelemetry trace id), a source's going and coming.
    pub incident: String,
    /// The event on record (`events show ID`); null for `source_down` and `source_up`.
    pub id: Option<u64>,
    /// Whether that record is safely on the disk: false where the disk did not answer within a second; null where
    /// there is no record.
    pub stored: Option<bool>,
    /// How long, s: time lost, or from the beginning of a state to its end. Null while it goes on, and of an
    /// outage, of which only the ends are known.
    pub duration_s: Option<f64>,
    /// pause, stall or starved; of gaps only.
    pub verdict: Option<&'static str>,
    /// Whether a second witness confirms the verdict; of gaps only.
    pub certain: Option<bool>,
    /// The score and its factors, in points: of a gap the highest in it, of an episode its peak so far.
    pub stress: Option<StressLine>,
    /// The tier: of a gap that of its stress, of an episode the highest so far.
    pub tier: Option<Tier>,
    /// Who built it up, by share; empty where no process stands out.
    pub culprits: Vec<CulpritLine<'static>>,
    /// One line for a person, without control characters.
    pub summary: String,
}

impl Payload {
    /// The first culprit's name, control characters replaced; empty where no process stands out.
    #[must_use]
    pub fn culprit(&self) -> String {
        self.culprits.first().map(|culprit| printable(&culprit.name)).unwrap_or_default()
    }
}
