//! From the sampling thread to the outputs: a bounded queue that the sampling thread never waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::event::Notice;
use crate::sample::{Reject, Sample, SourceInfo};

/// What fits between the two threads: 25 s at 10 Hz.
pub const QUEUE: usize = 256;
/// What is not a sample waits beyond that on the sampling thread.
const WAITING: usize = 1_000;

/// What became of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It delivers.
    Up,
    /// It does not, and is tried again later.
    Down,
    /// It ended, or was ended, and is started again.
    Restarting,
}

impl SourceState {
    /// The state's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Restarting => "restarting",
        }
    }
}

/// One thing handed over.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are samples, and boxing them would allocate")]
pub enum Handed {
    /// A sample.
    Sample(Sample),
    /// What the engine reports.
    Notice(Notice),
    /// What became of the source.
    Source {
        /// When, Unix ns.
        time_ns: i64,
        /// What.
        state: SourceState,
        /// What is known of the machine behind it.
        info: SourceInfo,
        /// Why, for a person.
        detail: Option<String>,
    },
    /// A document or line was rejected.
    Rejected(Reject),
}

/// The sampling thread's end.
#[derive(Debug)]
pub struct Outlet {
    queue: rtrb::Producer<Handed>,
    waiting: VecDeque<Handed>,
    /// Something was pushed that the outputs were not woken for.
    pushed: bool,
    wake: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

/// The outputs' end.
#[derive(Debug)]
pub struct Inlet {
    queue: rtrb::Consumer<Handed>,
    wake: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

/// Both ends of a new queue.
#[must_use]
pub fn channel() -> (Outlet, Inlet) {
    let (producer, consumer) = rtrb::RingBuffer::new(QUEUE);
    let wake = Arc::new(Notify::new());
    let dropped = Arc::new(AtomicU64::new(0));
    (
        Outlet {
            queue: producer,
            waiting: VecDeque::new(),
            pushed: false,
            wake: Arc::clone(&wake),
            dropped: Arc::clone(&dropped),
        },
        Inlet { queue: consumer, wake, dropped },
    )
}

impl Outlet {
    /// Hands over without waiting. Where the queue is full a sample is dropped and counted; anything else
    /// waits for room, in its order, and is dropped and counted where a thousand others wait.
    pub fn push(&mut self, handed: Handed) {
        self.pushed = true;
        self.push_waiting();
        let refused = if self.waiting.is_empty() {
            match self.queue.push(handed) {
                Ok(()) => return,
                Err(rtrb::PushError::Full(handed)) => handed,
            }
        } else {
            handed
        };
        if matches!(refused, Handed::Sample(_)) || self.waiting.len() == WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiting.push_back(refused);
        }
    }

    /// Wakes the outputs where there is something for them: once a tick, after all of it has been pushed.
    pub fn wake(&mut self) {
        self.pushed |= !self.waiting.is_empty();
        self.push_waiting();
        if std::mem::take(&mut self.pushed) {
            self.wake.notify_one();
        }
    }

    fn push_waiting(&mut self) {
        while let Some(first) = self.waiting.pop_front() {
            if let Err(rtrb::PushError::Full(first)) = self.queue.push(first) {
                self.waiting.push_front(first);
                return;
            }
        }
    }

    /// Whether at least `count` things can be pushed and none waits: what may wait (a replay at full speed)
    /// waits for this.
    #[must_use]
    pub fn has_room(&self, count: usize) -> bool {
        self.waiting.is_empty() && self.queue.slots() >= count
    }
}

impl Inlet {
    /// The next thing handed over.
    pub fn take(&mut self) -> Option<Handed> {
        self.queue.pop().ok()
    }

    /// Waits until something was handed over.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// How much was dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The counter of what was dropped.
    #[must_use]
    pub fn dropped_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seq: u64) -> Handed {
        Handed::Sample(Sample { seq, ..Sample::default() })
    }

    #[test]
    fn a_full_queue_drops_samples_and_counts_them_and_keeps_all_else_in_order() {
        let (mut outlet, mut inlet) = channel();
        for seq in 0..QUEUE as u64 {
            outlet.push(sample(seq));
        }
        assert!(!outlet.has_room(1));
        outlet.push(Handed::Rejected(Reject::Truncated));
        outlet.push(sample(999));
        outlet.push(Handed::Rejected(Reject::Oversized));
        assert_eq!(inlet.dropped(), 1);
        while inlet.take().is_some() {}
        outlet.push(sample(1000));
        let mut got = Vec::new();
        while let Some(handed) = inlet.take() {
            got.push(match handed {
                Handed::Rejected(reject) => reject.as_str().to_owned(),
                Handed::Sample(sample) => sample.seq.to_string(),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(got, ["truncated", "oversized", "1000"]);
    }

    #[test]
    fn what_waits_is_bounded_too() {
        let (mut outlet, inlet) = channel();
        for _ in 0..QUEUE + WAITING + 7 {
            outlet.push(Handed::Rejected(Reject::Malformed));
        }
        assert_eq!(inlet.dropped(), 7);
    }
}
