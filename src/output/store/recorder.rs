//! Decides what is stored, and when. Pure: no clock, no I/O; it runs on the outputs' thread.

use std::collections::VecDeque;
use std::time::Duration;

use super::queue::{LastSeen, Write};
use super::row::{EventRow, Incident, TierSteps, TierTimes};
use crate::event::{Episode, EventId, Gap, Notice, TierChange, Verdict};
use crate::sample::{InTiers, Sample, Tier};

const SECOND_NS: u64 = 1_000_000_000;

/// An open episode tells that it goes on this often, in time between samples.
const LAST_SEEN_NS: u64 = 5 * SECOND_NS;

/// The ring holds at most so many samples a second: twice the nominal rate. It bounds the memory that a
/// recording with tiny intervals can take.
const RING_PER_SECOND: u64 = 20;

/// Incidents remembered: a gap may be judged two seconds after its episode has closed.
const INCIDENTS: usize = 8;

/// The samples of the last seconds, oldest first.
#[derive(Debug)]
struct Ring {
    samples: VecDeque<Sample>,
    span_ns: u64,
    limit_ns: u64,
    limit: usize,
}

/// What a sample adds to the ring's span. One that ends a long pause must not push out what led up to it.
fn ring_share(sample: &Sample) -> u64 {
    interval(sample).min(SECOND_NS)
}

/// Time since the previous sample, ns.
fn interval(sample: &Sample) -> u64 {
    sample.interval_ns.unwrap_or(sample.elapsed_ns)
}

impl Ring {
    fn new(length: Duration) -> Self {
        let seconds = length.as_secs().max(1);
        Self {
            samples: VecDeque::new(),
            span_ns: 0,
            limit_ns: seconds.saturating_mul(SECOND_NS),
            limit: usize::try_from(seconds.saturating_mul(RING_PER_SECOND)).unwrap_or(usize::MAX),
        }
    }

    fn push(&mut self, sample: &Sample) {
        self.span_ns += ring_share(sample);
        self.samples.push_back(*sample);
        while self.samples.len() > 1 && (self.span_ns > self.limit_ns || self.samples.len() > self.limit) {
            if let Some(oldest) = self.samples.pop_front() {
                self.span_ns -= ring_share(&oldest);
            }
        }
    }
}

/// The episode that is open, and what of it waits.
#[derive(Debug)]
struct Open {
    id: EventId,
    incident: Incident,
    /// As it was last told of.
    episode: Episode,
    started_ns: i64,
    /// The opening sample's time, Unix ns.
    opened_ns: i64,
    /// Time between samples since then.
    since: InTiers,
    /// The highest score stored.
    best: u8,
    chunk: Vec<Sample>,
    chunk_ns: u64,
    unseen_ns: u64,
    steps: TierSteps,
}

impl Open {
    fn tiers(&self) -> TierTimes {
        // A pause that opened the episode lies between its start and the opening sample.
        let before = u64::try_from(self.opened_ns.saturating_sub(self.started_ns)).unwrap_or(0);
        let [sentinel_ns, elevated_ns, critical_ns] = self.since.ns;
        TierTimes { elevated_ns: before.saturating_add(sentinel_ns).saturating_add(elevated_ns), critical_ns }
    }

    /// Tells that it goes on.
    fn seen(&mut self, time_ns: i64, out: &mut Vec<Write>) {
        self.unseen_ns = 0;
        let steps = self.steps.clone();
        out.push(Write::LastSeen(LastSeen { event: self.id, time_ns, tiers: self.tiers(), steps }));
    }

    fn flush(&mut self, out: &mut Vec<Write>) {
        self.chunk_ns = 0;
        if !self.chunk.is_empty() {
            let samples = std::mem::take(&mut self.chunk).into_boxed_slice();
            out.push(Write::Samples { event: self.id, samples });
        }
    }

    /// Stores the sample where its tier asks for it.
    fn store(&mut self, sample: &Sample, out: &mut Vec<Write>) {
        let total = sample.stress.total();
        match sample.tier {
            Tier::Critical => {
                self.chunk.push(*sample);
                self.chunk_ns += interval(sample);
                if self.chunk_ns >= SECOND_NS {
                    self.flush(out);
                }
            }
            Tier::Elevated | Tier::Sentinel => {
                self.flush(out);
                if sample.tier == Tier::Elevated && total > self.best {
                    out.push(Write::Samples { event: self.id, samples: Box::new([*sample]) });
                }
            }
        }
        self.best = self.best.max(total);
    }
}

/// Turns samples and notices, in the order in which they come, into [`Write`]s.
///
/// A sample comes before the notices that it causes. What is written: an episode's row at each notice of it;
/// in CRITICAL every sample, a second at a time; in ELEVATED the sample of each new peak; the opening step's
/// sample; a sign of life every 5 s and at each change of tier; of a pause the ring; after a sleep the run's sign of life.
#[derive(Debug)]
pub struct Recorder {
    ring: Ring,
    random: fn() -> Incident,
    open: Option<Open>,
    incidents: VecDeque<(EventId, Incident)>,
}

impl Recorder {
    /// A recorder with a ring of that length (`ring.seconds`; whole seconds, at least one). `random` yields
    /// an incident.
    #[must_use]
    pub fn new(ring: Duration, random: fn() -> Incident) -> Self {
        Self { ring: Ring::new(ring), random, open: None, incidents: VecDeque::new() }
    }

    /// The ring: the samples of the last seconds, oldest first.
    pub fn ring(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.ring.samples.iter()
    }

    /// The number of the ring's oldest sample; above all numbers where there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.ring.samples.front().map_or(u64::MAX, |sample| sample.seq)
    }

    /// The incident of an event that was fed in lately: an episode's, or a gap's.
    #[must_use]
    pub fn incident(&self, event: EventId) -> Option<Incident> {
        // Not by the list alone: an hour's episode can outlast the incidents of many gaps.
        if let Some(open) = self.open.as_ref().filter(|open| open.id == event) {
            return Some(open.incident);
        }
        self.incidents.iter().find(|(id, _)| *id == event).map(|(_, incident)| *incident)
    }

    /// The row of an event as it stands, to be announced: taken out of what is about to be written, else that of the
    /// open episode; `None` of an event that is neither.
    #[must_use]
    pub fn take_row(&self, event: EventId, writes: &mut Vec<Write>) -> Option<EventRow> {
        let at = writes.iter().rposition(|write| matches!(write, Write::Event(row) if row.id == event));
        let written = at.and_then(|at| match writes.remove(at) {
            Write::Event(row) => Some(*row),
            _ => None,
        });
        written.or_else(|| {
            let open = self.open.as_ref().filter(|open| open.id == event)?;
            let last_seen_ns = self.ring.samples.back().map_or(open.started_ns, |sample| sample.time_ns);
            let (tiers, steps) = (open.tiers(), open.steps.clone());
            Some(EventRow::from_episode(&open.episode, open.incident, last_seen_ns, tiers, steps))
        })
    }

    /// Takes a sample.
    pub fn sample(&mut self, sample: &Sample, out: &mut Vec<Write>) {
        self.ring.push(sample);
        let Some(open) = &mut self.open else { return };
        let interval = interval(sample);
        open.since.sample(sample.tier, interval);
        open.unseen_ns += interval;
        open.store(sample, out);
        if open.unseen_ns >= LAST_SEEN_NS {
            open.seen(sample.time_ns, out);
        }
    }

    /// Takes a notice.
    pub fn notice(&mut self, notice: &Notice, out: &mut Vec<Write>) {
        match notice {
            Notice::Tier(change) => self.tier(change, out),
            Notice::Gap(gap) => self.gap(gap, out),
            Notice::EpisodeOpened(episode) => self.opened(episode, out),
            Notice::EpisodeChanged(episode) | Notice::EpisodeClosed(episode) => self.changed(episode, out),
        }
    }

    /// Yields what waits for its second to be full. To be called when nothing has come for a second that is to be stored, and
    /// before the end.
    pub fn flush(&mut self, out: &mut Vec<Write>) {
        if let Some(open) = &mut self.open {
            open.flush(out);
        }
    }

    /// The incident of an event: the one it has, else the one given, else a new one.
    fn remember(&mut self, event: EventId, shared: Option<Incident>) -> Incident {
        if let Some(known) = self.incident(event) {
            return known;
        }
        let incident = shared.unwrap_or_else(|| (self.random)());
        if self.incidents.len() == INCIDENTS {
            self.incidents.pop_front();
        }
        self.incidents.push_back((event, incident));
        incident
    }

    fn opened(&mut self, episode: &Episode, out: &mut Vec<Write>) {
        self.flush(out);
        let incident = self.remember(episode.id, None);
        let last = self.ring.samples.back();
        let mut open = Open {
            id: episode.id,
            episode: episode.clone(),
            incident,
            started_ns: episode.started_ns,
            opened_ns: last.map_or(episode.started_ns, |sample| sample.time_ns),
            since: InTiers::from(last.map_or(episode.peak.tier, |sample| sample.tier)),
            best: 0,
            chunk: Vec::new(),
            chunk_ns: 0,
            unseen_ns: 0,
            steps: TierSteps::default(),
        };
        let row =
            EventRow::from_episode(episode, incident, open.opened_ns, open.tiers(), TierSteps::default());
        out.push(Write::Event(Box::new(row)));
        if let Some(sample) = last {
            open.store(sample, out);
        }
        self.open = Some(open);
    }

    fn changed(&mut self, episode: &Episode, out: &mut Vec<Write>) {
        if self.open.as_ref().is_none_or(|open| open.id != episode.id) {
            // Nothing is lost of an episode whose opening was not seen.
            self.opened(episode, out);
        }
        let last_seen_ns = self.ring.samples.back().map_or(episode.started_ns, |sample| sample.time_ns);
        let Some(open) = &mut self.open else { return };
        open.started_ns = episode.started_ns;
        open.episode.clone_from(episode);
        let row =
            EventRow::from_episode(episode, open.incident, last_seen_ns, open.tiers(), open.steps.clone());
        out.push(Write::Event(Box::new(row)));
        if episode.ended_ns.is_some() {
            open.flush(out);
            self.open = None;
        }
    }

    /// A change of tier goes into its episode's row with a sign of life of its own: a kill loses none.
    fn tier(&mut self, change: &TierChange, out: &mut Vec<Write>) {
        if let Some(open) = self.open.as_mut().filter(|open| open.id == change.episode) {
            open.steps.push(change);
            open.seen(change.time_ns, out);
        }
    }

    fn gap(&mut self, gap: &Gap, out: &mut Vec<Write>) {
        if gap.asleep_ns > 0 {
            // The store's own is due by a clock that stood still: until then the night would count as unwatched.
            out.push(Write::Alive);
        }
        let Some(id) = gap.id else { return };
        let shared = gap.episode.map(|episode| self.remember(episode, None));
        let incident = self.remember(id, shared);
        let Some(row) = EventRow::from_gap(gap, incident) else { return };
        out.push(Write::Event(Box::new(row)));
        if gap.verdict == Verdict::Pause && !self.ring.samples.is_empty() {
            out.push(Write::Samples { event: id, samples: self.ring.samples.iter().copied().collect() });
        }
    }
}
