//! The story of an event as data: the row, the samples around it, what is near it in time. `text` tells it to a person
//! at a terminal, `page` as one HTML page; both say the same words (`words`) of the same figures (`points`).
//!
//! ```text
//! data.db ──Reader──> Story ──┬─> text: lines of styled text ──> events show
//! events/ID/ ──captures───────┴─> page: HTML and SVG ──────────> events report
//! ```
//!
//! Everything from outside (names of processes, notes, captures) enters here and leaves by `printable` alone.

pub(super) mod captures;
pub(super) mod page;
mod points;
pub(super) mod text;
mod words;

use std::collections::BTreeMap;

use super::redaction;
use crate::event::{EventId, Verdict};
use crate::output::store::{Kind, QueryError, Reader, StoredEvent};
use crate::redact::Redactor;
use crate::sample::{Factor, Name, Sample, Top};
use crate::wire::SampleLine;

use points::{Axis, Point, scored_value};

const SECOND_NS: i64 = 1_000_000_000;

/// Shown before an event of which no sample is kept, and asked of its episode's samples.
const BEFORE_NS: i64 = 30 * SECOND_NS;

/// Shown before a gap at least, however few samples there are.
const LEAST_BEFORE_NS: i64 = 5 * SECOND_NS;

/// Shown after a gap, where its episode's samples reach so far.
const AFTER_NS: i64 = 15 * SECOND_NS;

/// Samples taken in at most: two hours at 10 Hz. More are told of and left out.
const MOST_POINTS: usize = 72_000;

/// Gaps of an episode whose samples are looked at: they show what no tier asked to be stored.
const MOST_GAPS: usize = 16;

/// A time in which something stood still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hole {
    /// The event.
    pub(super) id: EventId,
    /// From, Unix ns.
    pub(super) from_ns: i64,
    /// To, Unix ns.
    pub(super) to_ns: i64,
    /// Whose fault; `None` of an outage.
    pub(super) verdict: Option<Verdict>,
}

/// An event, and all that is known around it.
#[derive(Debug)]
pub(super) struct Story {
    /// The event itself.
    pub(super) event: StoredEvent,
    /// What happened within a minute of it, as it happened.
    pub(super) related: Vec<StoredEvent>,
    /// The samples, oldest first: its own and those that its episode, or its pauses, have of the same time.
    pub(super) points: Vec<Point>,
    /// More samples than could be taken in.
    pub(super) cut: bool,
    /// Where time goes on the graphs.
    pub(super) axis: Axis,
    /// Gaps on the graphs, this event included.
    pub(super) holes: Vec<Hole>,
    /// The largest processes of the most stressed sample, and when that was, Unix ns.
    pub(super) top: Option<(i64, Top)>,
}

/// A time as samples have it: in whole ms.
fn floor_ms(ns: i64) -> i64 {
    ns - ns.rem_euclid(1_000_000)
}

impl Story {
    /// Reads it.
    pub(super) fn read(reader: &Reader, id: EventId) -> Result<Self, QueryError> {
        let event = reader.event(id)?;
        let related = reader.related(&event)?;
        let mut gathered = Gathered::default();
        let whole = (i64::MIN, i64::MAX);
        reader.each_sample(id, whole, |line| gathered.take(&line))?;
        let row = &event.row;
        let around = (row.started_ns.saturating_sub(BEFORE_NS), end_of(&event).saturating_add(AFTER_NS));
        if let Some(episode) = row.episode {
            reader.each_sample(episode, around, |line| gathered.take(&line))?;
        }
        let inside = related.iter().filter(|other| other.row.episode == Some(id));
        for gap in inside.take(MOST_GAPS) {
            reader.each_sample(gap.row.id, around, |line| gathered.take(&line))?;
        }
        Ok(Self::new(event, related, gathered))
    }

    /// Puts it together. Pure.
    pub(super) fn new(event: StoredEvent, related: Vec<StoredEvent>, gathered: Gathered) -> Self {
        let Gathered { points, top, cut, .. } = gathered;
        let mut points: Vec<Point> = points.into_values().collect();
        // By number they are in order; a clock that was set back must not turn the graph around.
        for at in 1..points.len() {
            points[at].time_ns = points[at].time_ns.max(points[at - 1].time_ns);
        }
        let row = &event.row;
        let end_ns = end_of(&event);
        let first = points.first().map(|point| point.time_ns);
        let last = points.last().map_or(end_ns, |point| point.time_ns.min(end_ns.saturating_add(AFTER_NS)));
        let mut holes: Vec<Hole> = related.iter().chain([&event]).filter_map(hole).collect();
        holes.sort_by_key(|hole| (hole.from_ns, hole.id));
        let axis = match row.kind {
            Kind::Episode => {
                let from = first.unwrap_or(row.started_ns).min(row.started_ns);
                Axis::whole(from, last.max(end_ns))
            }
            _ => {
                let from = first.unwrap_or(row.started_ns - BEFORE_NS).min(row.started_ns - LEAST_BEFORE_NS);
                Axis::around(from, (row.started_ns, end_ns), last.max(end_ns))
            }
        };
        let top = row.peak.as_ref().and_then(|peak| Some((peak.time_ns, peak.top?))).or(top);
        Self { event, related, points, cut, axis, holes, top }
    }

    /// Takes names out, of users and their homes.
    pub(super) fn redact(&mut self, redactor: &Redactor) {
        self.event = redaction::event(redactor, &self.event);
        for event in &mut self.related {
            *event = redaction::event(redactor, event);
        }
        if let Some((_, top)) = &mut self.top {
            top.rename(|name| Name::new(&redactor.text(name.as_str())));
        }
    }

    /// Whether the event is a gap: it has a middle in which nothing was seen.
    pub(super) fn is_gap(&self) -> bool {
        matches!(self.event.row.kind, Kind::Pause | Kind::Stall)
    }

    /// When it ended, or was last seen, Unix ns.
    pub(super) fn end_ns(&self) -> i64 {
        end_of(&self.event)
    }

    /// How long it took, as far as the ends tell, ns.
    pub(super) fn length_ns(&self) -> i64 {
        self.end_ns().saturating_sub(self.event.row.started_ns).max(0)
    }

    /// Whether the samples came from a machine that was watched live: those have a heartbeat. `None` without samples.
    pub(super) fn live(&self) -> Option<bool> {
        (!self.points.is_empty()).then(|| self.points.iter().any(|point| point.heartbeat_ms.is_some()))
    }

    /// The late sample that bears witness to a gap.
    pub(super) fn late(&self) -> Option<&Point> {
        let from = floor_ms(self.event.row.started_ns);
        let to = self.end_ns().saturating_add(3 * SECOND_NS);
        self.points
            .iter()
            .filter(|point| (from..=to).contains(&point.time_ns) && point.latency_ratio > 1.5)
            .max_by(|a, b| a.latency_ratio.total_cmp(&b.latency_ratio))
    }

    /// Where a factor had the most points; of those samples where it is known what they were given for, and of those the
    /// first with the highest value. `None` where it never scored.
    pub(super) fn highest(&self, factor: Factor) -> Option<usize> {
        let points = |at: usize| self.points[at].stress.get(factor);
        let most = (0..self.points.len()).map(points).max().filter(|&most| most > 0)?;
        let value = |at: usize| scored_value(&self.points, at, factor).unwrap_or(-1.0);
        (0..self.points.len())
            .filter(|&at| points(at) == most)
            .map(|at| (at, value(at)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(at, _)| at)
    }

    /// The factors that scored, with the sample where each had the most points, by points.
    pub(super) fn scored(&self) -> Vec<(Factor, usize)> {
        let mut scored: Vec<(Factor, usize)> =
            Factor::ALL.into_iter().filter_map(|factor| Some((factor, self.highest(factor)?))).collect();
        scored.sort_by_key(|&(factor, at)| std::cmp::Reverse(self.points[at].stress.get(factor)));
        scored
    }
}

fn end_of(event: &StoredEvent) -> i64 {
    event.row.ended_ns.unwrap_or(event.row.last_seen_ns).max(event.row.started_ns)
}

fn hole(event: &StoredEvent) -> Option<Hole> {
    let row = &event.row;
    (row.kind != Kind::Episode).then(|| Hole {
        id: row.id,
        from_ns: row.started_ns,
        to_ns: end_of(event),
        verdict: row.verdict,
    })
}

/// Samples as they are read, each once.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    points: BTreeMap<u64, Point>,
    top: Option<(i64, Top)>,
    most: u8,
    cut: bool,
}

impl Gathered {
    /// Takes a sample in.
    pub(super) fn take(&mut self, line: &SampleLine<'_>) {
        if let Some(sample) = line.to_sample() {
            self.sample(&sample);
        }
    }

    fn sample(&mut self, sample: &Sample) {
        if self.points.len() >= MOST_POINTS {
            self.cut = true;
            return;
        }
        let total = sample.stress.total();
        if self.top.is_none() || total > self.most {
            (self.top, self.most) = (Some((sample.time_ns, sample.top)), total);
        }
        self.points.insert(sample.seq, Point::from(sample));
    }
}

#[cfg(test)]
mod tests;
