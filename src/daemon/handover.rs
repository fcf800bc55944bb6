//! From the sampling thread to the outputs: a bounded queue that the sampling thread never waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::event::Notice;
use crate::sample::{Reject, Sample, SourceInfo, Tier};

/// What fits between the two threads: 25 s at 10 Hz.
pub const QUEUE: usize = 256;
/// The outputs are woken for samples that nobody waits for when so many lie there, a quarter of what fits.
const BATCH: usize = QUEUE / 4;
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
    Sample {
        /// The sample.
        sample: Sample,
        /// When it came, on the clock that stops in sleep, ns.
        at_ns: u64,
    },
    /// What the engine reports.
    Notice(Notice),
    /// What became of the source.
    Source {
        /// When, on the clock that stops in sleep, ns.
        at_ns: u64,
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
    /// Something was pushed that can't wait.
    pressing: bool,
    /// The last sample was degraded.
    degraded: bool,
    shared: Arc<Shared>,
}

/// The outputs' end.
#[derive(Debug)]
pub struct Inlet {
    queue: rtrb::Consumer<Handed>,
    shared: Arc<Shared>,
}

/// What both ends have.
#[derive(Debug, Default)]
struct Shared {
    wake: Notify,
    dropped: Arc<AtomicU64>,
    /// Somebody waits for each sample.
    wanted: AtomicBool,
}

/// Both ends of a new queue.
#[must_use]
pub fn channel() -> (Outlet, Inlet) {
    let (producer, consumer) = rtrb::RingBuffer::new(QUEUE);
    let shared = Arc::new(Shared::default());
    (
        Outlet {
            queue: producer,
            waiting: VecDeque::new(),
            pushed: false,
            pressing: false,
            degraded: false,
            shared: Arc::clone(&shared),
        },
        Inlet { queue: consumer, shared },
    )
}

impl Outlet {
    /// Hands over without waiting. Where the queue is full a sample is dropped and counted; anything else
    /// waits for room, in its order, and is dropped and counted where a thousand others wait.
    pub fn push(&mut self, handed: Handed) {
        self.pushed = true;
        if let Handed::Sample { sample, .. } = &handed {
            // Of a tier something is stored, of a degraded one it may be told that the source is down.
            self.pressing |= sample.tier > Tier::Sentinel || sample.degraded || self.degraded;
            self.degraded = sample.degraded;
        } else {
            self.pressing = true;
        }
        self.push_waiting();
        let refused = if self.waiting.is_empty() {
            match self.queue.push(handed) {
                Ok(()) => return,
                Err(rtrb::PushError::Full(handed)) => handed,
            }
        } else {
            handed
        };
        if matches!(refused, Handed::Sample { .. }) || self.waiting.len() == WAITING {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiting.push_back(refused);
        }
    }

    /// Wakes the outputs where there is something for them: once a tick, after all of it has been pushed. Calm
    /// samples that nobody waits for are left to them until they look by themselves.
    pub fn wake(&mut self) {
        self.pressing |= !self.waiting.is_empty();
        self.push_waiting();
        let many = || QUEUE - self.queue.slots() >= BATCH;
        if self.pressing || (self.pushed && (self.shared.wanted.load(Ordering::Relaxed) || many())) {
            self.pressing = false;
            self.pushed = false;
            self.shared.wake.notify_one();
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

    /// Waits until something was handed over that can't wait, or so much that it should not.
    pub async fn woken(&self) {
        self.shared.wake.notified().await;
    }

    /// Whether somebody waits for each sample: then each wakes the outputs. One that comes just as this is said may
    /// still wait for the next.
    pub fn want(&self, each: bool) {
        self.shared.wanted.store(each, Ordering::Relaxed);
    }

    /// How much was dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// The counter of what was dropped.
    #[must_use]
    pub fn dropped_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seq: u64) -> Handed {
        Handed::Sample { sample: Sample { seq, ..Sample::default() }, at_ns: 0 }
    }

    /// Whether the outputs were woken since this was last asked.
    fn woken(inlet: &Inlet) -> bool {
        let mut waiting = std::pin::pin!(inlet.woken());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        waiting.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn calm_samples_wake_nobody_until_somebody_wants_them_or_there_are_many() {
        let (mut outlet, mut inlet) = channel();
        for seq in 1..BATCH as u64 {
            outlet.push(sample(seq));
            outlet.wake();
            assert!(!woken(&inlet), "{seq}");
        }
        outlet.push(sample(64));
        outlet.wake();
        assert!(woken(&inlet));
        while inlet.take().is_some() {}
        inlet.want(true);
        outlet.wake();
        assert!(!woken(&inlet), "there is nothing");
        outlet.push(sample(65));
        outlet.wake();
        assert!(woken(&inlet));
        inlet.want(false);
        outlet.push(sample(66));
        outlet.wake();
        assert!(!woken(&inlet));
    }

    #[test]
    fn what_something_comes_of_wakes_at_once() {
        let (mut outlet, inlet) = channel();
        let pushed = |outlet: &mut Outlet, sample| {
            outlet.push(Handed::Sample { sample, at_ns: 0 });
            outlet.wake();
            woken(&inlet)
        };
        let calm = Sample::default();
        assert!(!pushed(&mut outlet, calm));
        assert!(pushed(&mut outlet, Sample { tier: Tier::Elevated, ..calm }));
        assert!(!pushed(&mut outlet, calm));
        assert!(pushed(&mut outlet, Sample { degraded: true, ..calm }));
        assert!(pushed(&mut outlet, calm), "complete again");
        assert!(!pushed(&mut outlet, calm));
        outlet.push(Handed::Rejected(Reject::Malformed));
        outlet.wake();
        assert!(woken(&inlet));
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
                Handed::Sample { sample, .. } => sample.seq.to_string(),
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
