//! The handle and the writer's thread behind it.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::outbox::{Export, Mark};
use super::query::Capture;
use super::queue::{Full, Gathered, Queue, Write};
use super::recover::{self, Recovered};
use super::row::{EventRow, Incident};
use super::writer::Writer;
use super::{Options, StoreStats};
use crate::clock;
use crate::event::EventId;

/// At the end a disk that did not take it is tried again so soon, ns.
const HURRY_NS: u64 = 50_000_000;
/// How long [`Store::open`] waits for the database before it goes on without.
const OPEN_WAIT: Duration = Duration::from_secs(2);

/// What the handle and the thread share. The lock is held to move values in and out, never over I/O.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Written by the handle, emptied by the thread.
    queue: Queue,
    /// Written by the thread, emptied by the handle.
    recovered: Vec<Recovered>,
    /// Set by the handle, once.
    end: Option<End>,
}

#[derive(Clone, Debug)]
enum End {
    /// Write what waits until the deadline (awake clock), end the run.
    Drain { reason: String, deadline_ns: u64 },
    /// The handle was dropped: stop as a kill would.
    Drop,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store's handle. Dropping it without [`Store::shutdown`] leaves the files as a kill would.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    stats: Arc<StoreStats>,
    done: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// The id of the next event: 1 + the highest in the database and under `events/`. Where the database is
    /// not open yet, 1 + the highest under `events/`; should an id turn out to be taken, the event gets another
    /// when it is written, and its acknowledgement says which.
    pub next_event_id: EventId,
    /// What the last run left; `None` where the database is not open yet: see [`Store::take_recovered`].
    pub recovered: Option<Recovered>,
}

impl Store {
    /// Starts the writer and opens the database in `directory`, which is made where it is missing.
    ///
    /// It never fails for what the disk does: where the database can't be opened within 2 s (locked, full,
    /// read-only), the writer keeps trying, and what is written meanwhile waits, bounded.
    ///
    /// # Errors
    /// Where the thread can't be started.
    pub fn open(directory: &Path, options: Options) -> std::io::Result<(Self, Opened)> {
        let shared = Arc::new(Shared::default());
        let stats = Arc::new(StoreStats::default());
        let (first, opened) = mpsc::sync_channel(1);
        let (finished, done) = mpsc::sync_channel(1);
        let writer = Writer::new(directory, options, Arc::clone(&stats));
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            let stats = Arc::clone(&stats);
            move || {
                run(writer, &shared, &stats, &first);
                // The handle may be gone, or have given up waiting.
                let _ = finished.send(());
            }
        })?;
        // The answer only says that the first attempt is over; what it found is in `recovered`.
        let _ = opened.recv_timeout(OPEN_WAIT);
        let store = Self { shared, stats, done, thread: Some(thread) };
        let recovered = store.take_recovered();
        let next_event_id = match &recovered {
            Some(recovered) => recovered.next_event_id,
            None => recover::highest_directory(directory) + 1,
        };
        Ok((store, Opened { next_event_id, recovered }))
    }

    /// Hands a write over. Never waits.
    ///
    /// # Errors
    /// [`Full`] where the disk has not answered for long and 1,000 other events wait; counted. Samples never
    /// fail: the oldest that wait make room, counted.
    pub fn write(&self, write: Write) -> Result<(), Full> {
        self.push(write, None)
    }

    /// Hands an event over that is to be announced. The answer comes after its commit with the id it is stored
    /// under; whoever waits for it gives up after a second. Never waits itself.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn announce(&self, row: EventRow) -> Result<oneshot::Receiver<EventId>, Full> {
        let (ack, answer) = oneshot::channel();
        self.push(Write::Event(Box::new(row)), Some(ack))?;
        Ok(answer)
    }

    fn push(&self, write: Write, ack: Option<oneshot::Sender<EventId>>) -> Result<(), Full> {
        let mut state = self.shared.lock();
        let result = state.queue.push(write, ack);
        let dropped = std::mem::take(&mut state.queue.dropped_samples) + u64::from(result.is_err());
        drop(state);
        self.stats.dropped.fetch_add(dropped, Relaxed);
        self.shared.wake.notify_one();
        result
    }

    /// What opening the database brought to light since this was last asked: outages to notify, the last
    /// pause. To be asked now and then where [`Opened::recovered`] was `None`; a database that was replaced
    /// under way is opened anew, too.
    #[must_use]
    pub fn take_recovered(&self) -> Option<Recovered> {
        let mut state = self.shared.lock();
        if state.recovered.is_empty() { None } else { Some(state.recovered.remove(0)) }
    }

    /// A handle that marks events as exported; it does not keep the store open.
    #[must_use]
    pub fn marker(&self) -> Marker {
        Marker { shared: Arc::clone(&self.shared) }
    }

    /// A handle that records what came of captures; it does not keep the store open.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence { shared: Arc::clone(&self.shared), stats: Arc::clone(&self.stats) }
    }

    /// The store's counters.
    #[must_use]
    pub fn stats(&self) -> Arc<StoreStats> {
        Arc::clone(&self.stats)
    }

    /// Writes what waits, ends the run with `reason` (`stopped`, `the recording ended` …) and closes the database.
    /// Returns within `timeout` whatever the disk does; false where something was left unwritten. A thread that
    /// hangs in the disk is left behind.
    #[must_use]
    pub fn shutdown(mut self, reason: &str, timeout: Duration) -> bool {
        let timeout_ns = clock::ns(timeout);
        let deadline_ns = clock::awake_ns().saturating_add(timeout_ns);
        self.shared.lock().end = Some(End::Drain { reason: reason.to_owned(), deadline_ns });
        self.shared.wake.notify_one();
        let finished = self.done.recv_timeout(timeout).is_ok();
        let thread = self.thread.take();
        if finished && let Some(thread) = thread {
            // It has nothing left to do but return.
            let _ = thread.join();
        }
        finished && self.shared.lock().queue.is_empty()
    }
}

/// Marks events as exported or refused, through the writer's queue.
#[derive(Clone, Debug)]
pub struct Marker {
    shared: Arc<Shared>,
}

impl Marker {
    /// Says what became of the export of these events. The answer comes after the commit, and after the commit
    /// of all that was handed over before; whoever asks waits for it before asking again.
    #[must_use]
    pub fn mark(&self, events: Vec<(EventId, Incident)>, export: Export) -> oneshot::Receiver<()> {
        let (ack, answer) = oneshot::channel();
        self.shared.lock().queue.marks.push(Mark { events, export, ack });
        self.shared.wake.notify_one();
        answer
    }
}

/// Records what came of captures, through the writer's queue; it does not keep the store open.
#[derive(Clone, Debug)]
pub struct Evidence {
    shared: Arc<Shared>,
    stats: Arc<StoreStats>,
}

impl Evidence {
    /// Records the captures of an event, in the place of those it had. The answer comes after the commit; an event that
    /// is not on record has none. Never waits.
    #[must_use]
    pub fn record(
        &self,
        event: EventId,
        incident: Incident,
        captures: Vec<Capture>,
    ) -> oneshot::Receiver<()> {
        let (ack, answer) = oneshot::channel();
        let lost = self.shared.lock().queue.push_gathered(Gathered { event, incident, captures, ack });
        self.stats.dropped.fetch_add(lost, Relaxed);
        self.shared.wake.notify_one();
        answer
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shared.lock().end = Some(End::Drop);
            self.shared.wake.notify_one();
        }
    }
}

fn run(mut writer: Writer, shared: &Shared, stats: &StoreStats, first: &mpsc::SyncSender<()>) {
    loop {
        let (mut work, end) = wait(&writer, shared);
        if matches!(end, Some(End::Drop)) {
            return;
        }
        let now = clock::now();
        writer.step(&mut work, now, matches!(end, Some(End::Drain { .. })));
        let recovered = writer.take_recovered();
        let (empty, lost) = {
            let mut state = shared.lock();
            let lost = state.queue.put_back(work);
            let dropped = std::mem::take(&mut state.queue.dropped_samples);
            // Only the newest matters where nobody asks.
            state.recovered.extend(recovered);
            let excess = state.recovered.len().saturating_sub(8);
            state.recovered.drain(..excess);
            (state.queue.is_empty(), lost + dropped)
        };
        stats.dropped.fetch_add(lost, Relaxed);
        // Whoever opened the store may have gone on without an answer.
        let _ = first.try_send(());
        if let Some(End::Drain { reason, deadline_ns }) = end
            && (empty || now.awake_ns >= deadline_ns)
        {
            writer.end(&reason, clock::now());
            return;
        }
    }
}

/// Waits until there is something to do, and takes what waits.
fn wait(writer: &Writer, shared: &Shared) -> (Queue, Option<End>) {
    let since_ns = clock::awake_ns();
    let mut state = shared.lock();
    loop {
        let now = clock::awake_ns();
        let mut wake_at = writer.wake_at_ns(!state.queue.is_empty());
        match &state.end {
            Some(End::Drop) => return (Queue::default(), state.end.clone()),
            Some(End::Drain { .. }) if state.queue.is_empty() => wake_at = 0,
            Some(End::Drain { deadline_ns, .. }) => {
                wake_at = wake_at.min(*deadline_ns).min(since_ns + HURRY_NS)
            }
            None => {}
        }
        if now >= wake_at {
            return (state.queue.take(), state.end.clone());
        }
        let left = Duration::from_nanos(wake_at - now);
        state = shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}
