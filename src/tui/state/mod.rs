//! What the dashboard knows: plain data. `update` changes it, `view` draws it.

pub mod events;
pub mod history;
pub mod playback;

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use crate::event::Verdict;
use crate::output::store::StoredEvent;
use crate::sample::{Factor, Sample, Tier};
use crate::wire::{CulpritLine, Thresholds};

use super::look::Look;
use events::Events;
use history::History;
use playback::Playback;

/// Gaps and tier changes that are kept: more than ten minutes hold.
pub const MARKS: usize = 1_000;
/// Spans of time that can be seen, s.
pub const SPANS: [u64; 5] = [10, 30, 60, 300, 600];
/// Without a sample for so long, the picture is not live, ns.
pub const WAITING_NS: u64 = 1_000_000_000;
/// How long a banner stays, ns.
pub const BANNER_NS: u64 = 15_000_000_000;

/// One of the screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum View {
    Overview,
    Processes,
    Events,
    Factor,
}

impl View {
    /// All, in the order of their keys.
    pub const ALL: [Self; 4] = [Self::Overview, Self::Processes, Self::Events, Self::Factor];

    /// Its name.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Processes => "Processes",
            Self::Events => "Events",
            Self::Factor => "Factor",
        }
    }
}

/// Where samples come from.
#[derive(Clone, Debug)]
pub enum Feed {
    /// A daemon.
    Live(Link),
    /// A recording.
    Recording(Playback),
}

/// The connection to a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// There was none yet; why, where a try failed.
    Connecting(Option<String>),
    /// It stands.
    Up,
    /// It was lost; why it can't be had again, where a try failed.
    Lost(Option<String>),
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The source's name.
    pub source: String,
    /// The host's name.
    pub host: String,
    /// The daemon's version.
    pub version: String,
    /// Where the tiers begin.
    pub thresholds: Thresholds,
}

/// What became of the source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// up, down or restarting; empty where nothing was said.
    pub state: String,
    /// The model of the machine.
    pub hw_model: Option<String>,
    /// The build of its system.
    pub os_build: Option<String>,
    /// Why, for a person.
    pub detail: Option<String>,
}

/// A gap, as it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// When it ended, Unix ns.
    pub ended_ns: i64,
    /// Its verdict.
    pub verdict: Verdict,
    /// False where no second witness confirms it.
    pub certain: bool,
    /// How long, ms.
    pub duration_ms: f64,
    /// Its event.
    pub event: Option<u64>,
    /// Who built it up.
    pub culprits: Vec<CulpritLine<'static>>,
}

/// A gap on the time axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The gap.
    pub gap: Gap,
    /// The number of the newest sample when it was told.
    pub told_at: u64,
}

/// What processes are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Measure {
    Cpu,
    Pageins,
    Wakeups,
    Disk,
}

impl Measure {
    /// All, in the order of their columns.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Pageins, Self::Wakeups, Self::Disk];

    /// The next of them.
    #[must_use]
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// What a factor's points are dealt out by.
    #[must_use]
    pub fn of(factor: Factor) -> Self {
        match factor {
            Factor::Pageins | Factor::Memory => Self::Pageins,
            Factor::Wakeups => Self::Wakeups,
            Factor::Io => Self::Disk,
            Factor::Load | Factor::Latency | Factor::Thermal | Factor::Gpu => Self::Cpu,
        }
    }
}

/// How the list of processes is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processes {
    /// What it is sorted by.
    pub measure: Measure,
    /// Smallest first.
    pub reversed: bool,
    /// The process selected, by id and name; the first where it is not listed.
    pub selected: Option<(i32, String)>,
}

/// Something that happened just now.
#[derive(Clone, Debug, PartialEq)]
pub struct Banner {
    /// The gap.
    pub gap: Gap,
    /// When it goes away, ns on our clock.
    pub until_ns: u64,
}

/// Who is to blame at the sample that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blame {
    /// The sample's number.
    pub at: u64,
    /// By share; empty where nobody stands out.
    pub culprits: Vec<CulpritLine<'static>>,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct State {
    /// Our clock at the last update, ns: the one that stops in sleep.
    pub now_ns: u64,
    /// The terminal's size, columns and rows.
    pub size: (u16, u16),
    /// What the terminal can show.
    pub look: Look,
    /// The zone that times are shown in.
    pub zone: TimeZone,
    /// How a daemon is started that this connects to.
    pub start_with: String,
    /// Where samples come from.
    pub feed: Feed,
    /// Who speaks, once that is known.
    pub peer: Option<Peer>,
    /// What became of the source.
    pub source: Source,
    /// The samples received.
    pub history: History,
    /// When the last sample came, ns on our clock.
    pub arrived_ns: Option<u64>,
    /// When the last samples came, ns on our clock: those of the last five seconds.
    pub arrivals: VecDeque<u64>,
    /// The sample that is held, live; the newest where none is.
    pub held: Option<u64>,
    /// The sample at the right edge of the graphs, where that is not the one shown: of what was received one goes back
    /// and on under a picture that stands.
    pub edge: Option<u64>,
    /// Gaps, oldest first.
    pub marks: VecDeque<Mark>,
    /// Samples that we were too slow for.
    pub lagged: u64,
    /// The screen.
    pub view: View,
    /// The help lies over it.
    pub help: bool,
    /// Lines of the help that were scrolled past.
    pub help_offset: u16,
    /// How much time is seen: an index of [`SPANS`].
    pub span: usize,
    /// The factor selected.
    pub factor: Factor,
    /// The list of processes.
    pub processes: Processes,
    /// The events.
    pub events: Events,
    /// Who is to blame.
    pub blame: Blame,
    /// What happened just now.
    pub banner: Option<Banner>,
    /// A line for the bottom, and when it goes away, ns on our clock.
    pub notice: Option<(String, u64)>,
}

impl State {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(feed: Feed, look: Look, zone: TimeZone, size: (u16, u16), now_ns: u64) -> Self {
        let capacity = match &feed {
            Feed::Live(_) => history::LIVE,
            Feed::Recording(_) => history::RECORDED,
        };
        Self {
            now_ns,
            size,
            look,
            zone,
            start_with: "pause-monitor daemon".to_owned(),
            feed,
            peer: None,
            source: Source::default(),
            history: History::new(capacity),
            arrived_ns: None,
            arrivals: VecDeque::new(),
            held: None,
            edge: None,
            marks: VecDeque::new(),
            lagged: 0,
            view: View::Overview,
            help: false,
            help_offset: 0,
            span: 1,
            factor: Factor::Load,
            processes: Processes { measure: Measure::Cpu, reversed: false, selected: None },
            events: Events::default(),
            blame: Blame::default(),
            banner: None,
            notice: None,
        }
    }

    /// The number of the sample that is shown.
    #[must_use]
    pub fn cursor(&self) -> Option<u64> {
        let newest = self.history.last()?;
        let shown = match &self.feed {
            Feed::Live(_) => self.held.unwrap_or(newest),
            Feed::Recording(playback) => playback.position,
        };
        Some(shown.clamp(self.history.first(), newest))
    }

    /// The number of the sample at the right edge of the graphs.
    #[must_use]
    pub fn edge(&self) -> Option<u64> {
        let cursor = self.cursor()?;
        Some(self.edge.map_or(cursor, |edge| edge.max(cursor).min(self.history.last().unwrap_or(cursor))))
    }

    /// The sample that is shown.
    #[must_use]
    pub fn sample(&self) -> Option<&Sample> {
        self.history.get(self.cursor()?).map(history::Kept::sample)
    }

    /// How much time is seen, ns.
    #[must_use]
    pub fn span_ns(&self) -> u64 {
        SPANS[self.span.min(SPANS.len() - 1)] * 1_000_000_000
    }

    /// The recording, where there is one.
    #[must_use]
    pub fn playback(&self) -> Option<&Playback> {
        match &self.feed {
            Feed::Recording(playback) => Some(playback),
            Feed::Live(_) => None,
        }
    }

    /// Time since the last sample came, ns; live only.
    #[must_use]
    pub fn silence_ns(&self) -> Option<u64> {
        match &self.feed {
            Feed::Live(_) => self.arrived_ns.map(|arrived| self.now_ns.saturating_sub(arrived)),
            Feed::Recording(_) => None,
        }
    }

    /// Samples come.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(&self.feed, Feed::Live(Link::Up)) && self.silence_ns().is_some_and(|ns| ns < WAITING_NS)
    }

    /// Samples a second, over the last five; `None` until a second has passed.
    #[must_use]
    pub fn rate_hz(&self) -> Option<f64> {
        let span = self.arrivals.back()?.saturating_sub(*self.arrivals.front()?);
        (span >= 1_000_000_000).then(|| (self.arrivals.len() - 1) as f64 / (span as f64 / 1e9))
    }

    /// The events that were over at the sample shown: of a recording more may be known. Newest first.
    pub fn events_so_far(&self) -> impl Iterator<Item = &StoredEvent> {
        let until_ns = self.playback().map(|_| self.sample().map_or(i64::MIN, |sample| sample.time_ns));
        let over_ns = |event: &StoredEvent| event.row.ended_ns.unwrap_or(i64::MAX);
        self.events.list.iter().filter(move |event| until_ns.is_none_or(|until| over_ns(event) <= until))
    }

    /// Where the tiers begin.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        self.peer.as_ref().map_or(Thresholds { elevated: 15, critical: 50 }, |peer| peer.thresholds)
    }

    /// The tier of the sample shown and for how long, ns; the flag says that it may have been longer: all that was
    /// received is of that tier.
    #[must_use]
    pub fn tier_for(&self) -> Option<(Tier, u64, bool)> {
        let kept = self.history.get(self.cursor()?)?;
        Some((kept.sample().tier, kept.tier_ns, !kept.tier_seen))
    }

    /// The last gap that somebody is blamed for, up to the sample shown.
    #[must_use]
    pub fn last_blamed(&self) -> Option<&Gap> {
        let time_ns = self.sample()?.time_ns;
        let mut gaps = self.marks.iter().rev().map(|mark| &mark.gap);
        gaps.find(|gap| gap.ended_ns <= time_ns && !gap.culprits.is_empty())
    }
}
