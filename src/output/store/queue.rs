//! What waits for the writer: bounded, merged, never waited for.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use super::outbox::Mark;
use super::query::Capture;
use super::row::{EventRow, Incident, TierSteps, TierTimes};
use crate::event::EventId;
use crate::sample::Sample;

/// Event rows that wait at most. Versions of one event are one row, so in practice they never fill it.
pub const MAX_EVENTS: usize = 1_000;

/// Samples that wait at most, about 10 MB; beyond that the oldest chunk goes.
pub const MAX_SAMPLES: usize = 3_000;

/// One thing to store.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// An event, or a newer version of it.
    Event(Box<EventRow>),
    /// Samples that go with an event, by rising `seq`.
    Samples {
        /// The event.
        event: EventId,
        /// The samples.
        samples: Box<[Sample]>,
    },
    /// An open episode still goes on.
    LastSeen(LastSeen),
    /// The run still goes on, though its last sign of life is old: the machine slept.
    Alive,
}

/// What came of the captures of an event, and who waits for its commit.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) event: EventId,
    pub(super) incident: Incident,
    pub(super) captures: Vec<Capture>,
    pub(super) ack: oneshot::Sender<()>,
}

/// Events whose captures wait at most; beyond that the oldest go.
const MAX_GATHERED: usize = 64;

/// A sign of life of an open episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// The episode.
    pub event: EventId,
    /// The last sample's time, Unix ns.
    pub time_ns: i64,
    /// Time in each tier so far.
    pub tiers: TierTimes,
    /// The changes of tier so far.
    pub steps: TierSteps,
}

/// Nothing more is taken: the writer has been unable to write for long. Counted in `StoreStats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's queue is full: free the disk or the lock that it waits for")]
pub struct Full;

/// An event row that waits, and who waits for it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) row: Box<EventRow>,
    pub(super) acks: Vec<oneshot::Sender<EventId>>,
}

/// What waits: written in this order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) events: VecDeque<Pending>,
    pub(super) samples: VecDeque<(EventId, Box<[Sample]>)>,
    pub(super) last_seen: BTreeMap<EventId, LastSeen>,
    /// What became of exports. Bounded by who asks: the outbox waits for each answer.
    pub(super) marks: Vec<Mark>,
    /// What came of captures, oldest first.
    pub(super) gathered: VecDeque<Gathered>,
    /// The run's sign of life is due at once.
    pub(super) alive: bool,
    sample_count: usize,
    /// Samples dropped since this was last taken.
    pub(super) dropped_samples: u64,
}

impl Queue {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.samples.is_empty()
            && self.last_seen.is_empty()
            && self.marks.is_empty()
            && self.gathered.is_empty()
            && !self.alive
    }

    /// Enters a write. A newer version of an event takes the place of the one that waits.
    pub(super) fn push(&mut self, write: Write, ack: Option<oneshot::Sender<EventId>>) -> Result<(), Full> {
        match write {
            Write::Event(row) => {
                if let Some(waiting) = self.events.iter_mut().rev().find(|waiting| waiting.row.id == row.id) {
                    waiting.row = row;
                    waiting.acks.extend(ack);
                } else if self.events.len() < MAX_EVENTS {
                    self.events.push_back(Pending { row, acks: ack.into_iter().collect() });
                } else {
                    return Err(Full);
                }
            }
            Write::Samples { event, samples } => {
                self.sample_count += samples.len();
                self.samples.push_back((event, samples));
                self.bound_samples();
            }
            Write::LastSeen(seen) => {
                self.last_seen.insert(seen.event, seen);
                // One episode is open at a time; older ones are closed by their rows.
                while self.last_seen.len() > 8 {
                    self.last_seen.pop_first();
                }
            }
            Write::Alive => self.alive = true,
        }
        Ok(())
    }

    /// Enters what came of captures. Returns how many had to go for it.
    pub(super) fn push_gathered(&mut self, gathered: Gathered) -> u64 {
        self.gathered.push_back(gathered);
        self.bound_gathered()
    }

    fn bound_gathered(&mut self) -> u64 {
        let excess = self.gathered.len().saturating_sub(MAX_GATHERED);
        self.gathered.drain(..excess);
        excess as u64
    }

    fn bound_samples(&mut self) {
        while self.sample_count > MAX_SAMPLES {
            let Some((_, chunk)) = self.samples.pop_front() else { return };
            self.sample_count -= chunk.len();
            self.dropped_samples += chunk.len() as u64;
        }
    }

    /// Forgets samples and signs of life: they are written.
    pub(super) fn clear_samples(&mut self) {
        self.samples.clear();
        self.sample_count = 0;
        self.last_seen.clear();
    }

    /// Takes all that waits; the count of what was dropped stays.
    pub(super) fn take(&mut self) -> Self {
        let dropped_samples = std::mem::take(&mut self.dropped_samples);
        let taken = std::mem::take(self);
        self.dropped_samples = dropped_samples;
        taken
    }

    /// Puts what could not be written before what has come since. Returns the event rows that no longer fit.
    pub(super) fn put_back(&mut self, unwritten: Self) -> u64 {
        if unwritten.is_empty() {
            return 0;
        }
        let newer = std::mem::replace(self, unwritten);
        let mut lost = 0;
        for pending in newer.events {
            let id = pending.row.id;
            if let Some(waiting) = self.events.iter_mut().find(|waiting| waiting.row.id == id) {
                waiting.row = pending.row;
                waiting.acks.extend(pending.acks);
            } else if self.events.len() < MAX_EVENTS {
                self.events.push_back(pending);
            } else {
                lost += 1;
            }
        }
        self.samples.extend(newer.samples);
        self.sample_count = self.samples.iter().map(|(_, chunk)| chunk.len()).sum();
        self.dropped_samples += newer.dropped_samples;
        self.last_seen.extend(newer.last_seen);
        self.marks.extend(newer.marks);
        self.gathered.extend(newer.gathered);
        self.alive |= newer.alive;
        lost += self.bound_gathered();
        self.bound_samples();
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{episode_row, sample};
    use super::*;

    fn chunk(event: EventId, count: u64) -> Write {
        Write::Samples { event, samples: (1..=count).map(|seq| sample(seq, 0)).collect() }
    }

    #[test]
    fn a_newer_version_of_an_event_takes_the_place_of_the_one_that_waits() {
        let mut queue = Queue::default();
        let (first, mut first_answer) = oneshot::channel();
        let (second, mut second_answer) = oneshot::channel();
        queue.push(Write::Event(Box::new(episode_row(1, 20))), Some(first)).unwrap();
        queue.push(Write::Event(Box::new(episode_row(2, 20))), None).unwrap();
        queue.push(Write::Event(Box::new(episode_row(1, 80))), Some(second)).unwrap();
        let ids: Vec<EventId> = queue.events.iter().map(|pending| pending.row.id).collect();
        assert_eq!(ids, [1, 2], "its place in the order stays");
        assert_eq!(queue.events[0].row.peak.as_ref().unwrap().stress.total(), 80);
        for ack in queue.take().events.pop_front().unwrap().acks {
            ack.send(1).unwrap();
        }
        assert_eq!((first_answer.try_recv(), second_answer.try_recv()), (Ok(1), Ok(1)));
    }

    #[test]
    fn a_full_queue_drops_the_oldest_samples_and_counts_them_but_keeps_the_events() {
        let mut queue = Queue::default();
        queue.push(Write::Event(Box::new(episode_row(1, 20))), None).unwrap();
        for event in 1..=11 {
            queue.push(chunk(event, 300), None).unwrap();
        }
        assert_eq!(queue.dropped_samples, 300);
        assert_eq!(queue.samples.front().unwrap().0, 2);
        assert_eq!(queue.events.len(), 1);
    }

    #[test]
    fn the_thousand_and_first_event_is_refused_and_a_newer_version_of_the_first_is_not() {
        let mut queue = Queue::default();
        for id in 1..=MAX_EVENTS as u64 {
            queue.push(Write::Event(Box::new(episode_row(id, 20))), None).unwrap();
        }
        assert_eq!(queue.push(Write::Event(Box::new(episode_row(5_000, 20))), None), Err(Full));
        assert_eq!(queue.push(Write::Event(Box::new(episode_row(1, 90))), None), Ok(()));
    }

    #[test]
    fn what_is_put_back_stands_before_what_came_since_and_never_replaces_a_newer_version() {
        let mut queue = Queue::default();
        queue.push(Write::Event(Box::new(episode_row(1, 20))), None).unwrap();
        queue.push(chunk(1, 2_900), None).unwrap();
        let unwritten = queue.take();
        assert!(queue.is_empty());
        queue.push(Write::Event(Box::new(episode_row(2, 30))), None).unwrap();
        queue.push(Write::Event(Box::new(episode_row(1, 90))), None).unwrap();
        queue.push(chunk(2, 200), None).unwrap();
        assert_eq!(queue.put_back(unwritten), 0);
        let order: Vec<(EventId, u8)> = queue
            .events
            .iter()
            .map(|pending| (pending.row.id, pending.row.peak.as_ref().unwrap().stress.total()))
            .collect();
        assert_eq!(order, [(1, 90), (2, 30)]);
        assert_eq!(queue.dropped_samples, 2_900, "the bound holds over both together");
    }
}
