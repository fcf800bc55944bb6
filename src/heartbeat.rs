//! The heartbeat: a thread that wakes every 20 ms, to absolute deadlines, and says how late it was.
//!
//! It runs at the priority of a user's own program, not a realtime one: that would hide what the user feels. It
//! takes no lock, allocates nothing and makes no system call but the sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::clock;
use crate::engine::Beat;
use crate::engine::gap::BEAT_NS;

/// Beats held for a reader that doesn't come: 80 s of them.
const QUEUE: usize = 4096;

/// What the heartbeat thread and its reader share.
#[derive(Debug, Default)]
struct Shared {
    /// When the next beat is due, on the clock that stops in sleep, ns. The thread writes it, the reader reads
    /// it: how overdue a beat is can be told before it comes.
    due_ns: AtomicU64,
    /// Beats that found the queue full. The thread writes, the reader reads.
    dropped: AtomicU64,
    /// The reader sets it; the thread ends at its next beat.
    stop: AtomicBool,
}

/// The reading end. Dropping it ends the thread.
#[derive(Debug)]
pub struct Heartbeat {
    beats: rtrb::Consumer<Beat>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (producer, beats) = rtrb::RingBuffer::new(QUEUE);
        let shared = Arc::new(Shared::default());
        shared.due_ns.store(clock::awake_ns() + BEAT_NS, Ordering::Relaxed);
        let thread = thread::Builder::new().name("heartbeat".into()).spawn({
            let shared = Arc::clone(&shared);
            move || beat(producer, &shared)
        })?;
        Ok(Self { beats, shared, thread: Some(thread) })
    }

    /// The next beat that has come.
    pub fn take(&mut self) -> Option<Beat> {
        self.beats.pop().ok()
    }

    /// How late the next beat is already, ns; 0 where it is not due yet.
    #[must_use]
    pub fn overdue_ns(&self) -> u64 {
        clock::awake_ns().saturating_sub(self.shared.due_ns.load(Ordering::Acquire))
    }

    /// Beats that were lost because nobody took them for over a minute.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, and has said so.
            let _ = thread.join();
        }
    }
}

/// The thread: sleep, look at the clock, hand over.
fn beat(mut beats: rtrb::Producer<Beat>, shared: &Shared) {
    clock::be_a_users_program();
    let mut due_ns = shared.due_ns.load(Ordering::Relaxed);
    while !shared.stop.load(Ordering::Relaxed) {
        clock::sleep_until(due_ns);
        let at = clock::now();
        let delay_ns = at.awake_ns.saturating_sub(due_ns);
        if beats.push(Beat { at, delay_ns }).is_err() {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // The next deadline on the same grid: beats that were missed are not made up for. Where the clock
        // stepped back, the grid goes with it.
        due_ns = if at.awake_ns + BEAT_NS < due_ns {
            at.awake_ns + BEAT_NS
        } else {
            due_ns + BEAT_NS * (delay_ns / BEAT_NS + 1)
        };
        shared.due_ns.store(due_ns, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for so many beats; the queue is what is waited for, not the time.
    fn collect(heartbeat: &mut Heartbeat, count: usize) -> Vec<Beat> {
        let mut beats = Vec::new();
        let deadline = clock::awake_ns() + 60_000_000_000;
        while beats.len() < count && clock::awake_ns() < deadline {
            match heartbeat.take() {
                Some(beat) => beats.push(beat),
                None => thread::yield_now(),
            }
        }
        assert_eq!(beats.len(), count);
        beats
    }

    #[test]
    fn beats_come_on_one_grid_of_20_ms_however_late_they_are() {
        let mut heartbeat = Heartbeat::start().unwrap();
        let beats = collect(&mut heartbeat, 20);
        let due = |beat: &Beat| beat.at.awake_ns - beat.delay_ns;
        let first = due(&beats[0]);
        for pair in beats.windows(2) {
            assert!(due(&pair[1]) > due(&pair[0]));
            assert_eq!((due(&pair[1]) - first) % BEAT_NS, 0, "absolute deadlines");
        }
    }

    #[test]
    fn dropping_the_reader_ends_the_thread() {
        let heartbeat = Heartbeat::start().unwrap();
        let shared = Arc::clone(&heartbeat.shared);
        drop(heartbeat);
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
