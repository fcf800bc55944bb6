//! What is told of an alert: version 1 of what hooks get, on standard input or as a request's body.

use serde::{Deserialize, Serialize};

pub use crate::config::Event;
use crate::event::{Culprit, Gap, Verdict};
use crate::output::store::{EventRow, Incident, hex};
use crate::sample::{Tier, printable};
use crate::wire::{self, CulpritLine, StressLine};

/// The version of [`Payload`].
pub const VERSION: u32 = 1;

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
    /// One of which no more is known than this; the host is put in when it is told.
    pub(super) fn new(
        event: Event,
        status: Status,
        time_ns: i64,
        incident: Incident,
        summary: String,
    ) -> Self {
        Self {
            version: VERSION,
            event,
            status,
            host: String::new(),
            time: wire::rfc3339(time_ns),
            incident: hex(incident),
            id: None,
            stored: None,
            duration_s: None,
            verdict: None,
            certain: None,
            stress: None,
            tier: None,
            culprits: Vec::new(),
            summary,
        }
    }

    /// One about a gap.
    pub(super) fn of_gap(event: Event, gap: &Gap, incident: Incident, time_ns: i64, summary: String) -> Self {
        Self {
            id: gap.id,
            duration_s: Some(gap.duration_ns as f64 / 1e9),
            verdict: Some(gap.verdict.as_str()),
            certain: Some(gap.certain),
            stress: Some(gap.stress.into()),
            tier: Some(gap.tier),
            culprits: lines(&gap.culprits),
            ..Self::new(event, Status::Event, time_ns, incident, summary)
        }
    }

    /// One about an event on record.
    pub(super) fn of_row(event: Event, status: Status, row: &EventRow, summary: String) -> Self {
        Self {
            id: Some(row.id),
            duration_s: row.duration_ns.map(|ns| ns as f64 / 1e9),
            verdict: row.verdict.map(Verdict::as_str),
            certain: row.certain,
            stress: row.peak.as_ref().map(|peak| peak.stress.into()),
            tier: row.peak.as_ref().map(|peak| peak.tier),
            culprits: row.culprits.clone(),
            ..Self::new(event, status, row.ended_ns.unwrap_or(row.last_seen_ns), row.incident, summary)
        }
    }

    /// A made-up one, for trying out: what a freeze of a second and a half would tell.
    #[must_use]
    pub fn sample(event: Event, host: &str) -> Self {
        let state = matches!(event, Event::Critical | Event::Elevated | Event::SourceDown);
        let gap = matches!(event, Event::Pause | Event::Stall);
        let recorded = !matches!(event, Event::SourceDown | Event::SourceUp);
        let scored = recorded && event != Event::Outage;
        let stress =
            StressLine { total: 54, load: 3, latency: 20, io: 1, pageins: 30, ..StressLine::default() };
        let culprit = CulpritLine {
            pid: 501,
            name: "mds_stores".into(),
            share: 0.61,
            factors: [("pageins".into(), 28)].into(),
            evidence: "pageins 3/s → 840/s".into(),
        };
        Self {
            version: VERSION,
            event,
            status: if state { Status::Firing } else { Status::Event },
            host: host.to_owned(),
            time: wire::rfc3339(crate::clock::unix_ns()),
            incident: "0123456789abcdef0123456789abcdef".to_owned(),
            id: recorded.then_some(8),
            stored: recorded.then_some(true),
            duration_s: match event {
                Event::Pause | Event::Stall | Event::Forensics => Some(1.52),
                Event::Recovered | Event::SourceUp => Some(12.5),
                Event::Outage | Event::Critical | Event::Elevated | Event::SourceDown => None,
            },
            verdict: gap.then_some(if event == Event::Pause { "pause" } else { "stall" }),
            certain: gap.then_some(true),
            stress: scored.then_some(stress),
            tier: scored.then_some(Tier::Critical),
            culprits: if scored { vec![culprit] } else { Vec::new() },
            summary: format!("Only a test: this is what a hook is told of the event {}", event.as_str()),
        }
    }

    /// The first culprit's name, control characters replaced; empty where no process stands out.
    #[must_use]
    pub fn culprit(&self) -> String {
        self.culprits.first().map(|culprit| printable(&culprit.name)).unwrap_or_default()
    }
}

pub(super) fn lines(culprits: &[Culprit]) -> Vec<CulpritLine<'static>> {
    culprits.iter().map(|culprit| CulpritLine::from(culprit).into_owned()).collect()
}
