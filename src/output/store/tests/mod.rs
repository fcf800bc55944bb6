//! The store as a whole, but for its thread: the writer is driven by hand, time is told.

mod damage;
mod faults;
mod outbox;
mod recorder;
mod recovery;
mod retention;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::queue::{Gathered, Queue, Write};
use super::recover::Recovered;
use super::testing::{SECOND, T0};
use super::writer::Writer;
use super::{
    Capture, Claim, FILE_NAME, Filter, Incident, Options, Outbox, Reader, Retention, StoreStats, StoredEvent,
    random_incident,
};
use crate::clock::Stamp;
use crate::event::EventId;

/// A writer in a directory of its own, and the clock that it is told.
struct Bench {
    directory: PathBuf,
    writer: Writer,
    queue: Queue,
    stats: Arc<StoreStats>,
    now: Stamp,
}

fn options(started_ns: i64, boot_id: &str) -> Options {
    Options {
        started_ns,
        boot_id: Some(boot_id.to_owned()),
        boot_time_ns: None,
        retention: Retention::default(),
        random: random_incident,
        outbox: Outbox::default(),
        claim: Claim::default(),
    }
}

impl Bench {
    fn new(directory: &Path) -> Self {
        Self::with(directory, options(T0, "boot-1"))
    }

    fn with(directory: &Path, options: Options) -> Self {
        let stats = Arc::new(StoreStats::default());
        let now = Stamp { awake_ns: 1, total_ns: 1, unix_ns: options.started_ns };
        let writer = Writer::new(directory, options, Arc::clone(&stats));
        Self { directory: directory.to_owned(), writer, queue: Queue::default(), stats, now }
    }

    fn push(&mut self, write: Write) {
        self.queue.push(write, None).unwrap();
    }

    fn announce(&mut self, write: Write) -> oneshot::Receiver<EventId> {
        let (ack, answer) = oneshot::channel();
        self.queue.push(write, Some(ack)).unwrap();
        answer
    }

    fn gathered(
        &mut self,
        event: EventId,
        incident: Incident,
        captures: Vec<Capture>,
    ) -> oneshot::Receiver<()> {
        let (ack, answer) = oneshot::channel();
        self.queue.push_gathered(Gathered { event, incident, captures, ack });
        answer
    }

    /// Keeps to other limits from here on.
    fn retention(&mut self, retention: Retention) {
        self.writer.limit(retention);
    }

    fn step(&mut self) {
        self.writer.step(&mut self.queue, self.now, false);
    }

    fn pass(&mut self, seconds: i64) {
        self.now.awake_ns += u64::try_from(seconds * SECOND).unwrap();
        self.now.total_ns = self.now.awake_ns;
        self.now.unix_ns += seconds * SECOND;
    }

    /// Steps until nothing is left to do but to wait for the next sign of life.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.step();
            if self.queue.is_empty() && self.writer.wake_at_ns(false) > self.now.awake_ns {
                return;
            }
        }
        panic!("the writer never came to rest");
    }

    fn recovered(&mut self) -> Recovered {
        self.writer.take_recovered().pop().unwrap()
    }

    fn open(&self) -> bool {
        self.stats.open.load(Relaxed)
    }

    fn healthy(&self) -> bool {
        self.stats.healthy.load(Relaxed)
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.directory).unwrap().unwrap()
    }

    fn events(&self) -> Vec<StoredEvent> {
        self.reader().events(&Filter { order: super::Order::OldestFirst, ..Filter::default() }).unwrap()
    }

    fn ids(&self) -> Vec<EventId> {
        self.events().iter().map(|event| event.row.id).collect()
    }

    /// A connection of somebody else.
    fn other(&self) -> Connection {
        Connection::open(self.directory.join(FILE_NAME)).unwrap()
    }
}

/// What a kill −9 leaves: the files as they are, copied while the writer has them open.
fn copy_as_killed(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
