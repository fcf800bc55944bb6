//! The writer: owns the connection, writes what waits, and outlives whatever the disk does.
//!
//! Nothing here waits or reads a clock: [`Writer::step`] is told the time, `thread` drives it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rusqlite::{Connection, TransactionBehavior, params};

use super::failure::Failure;
use super::outbox;
use super::queue::Queue;
use super::recover::{self, Present, Recovered};
use super::retention::{self, Pruning};
use super::row::{EventRow, Incident};
use super::schema::{self, Aside, Database, FILE_NAME};
use super::statement::{self, Upsert};
use super::steady::Steady;
use super::{Options, StoreStats};
use crate::clock::Stamp;
use crate::event::EventId;

/// The run's sign of life, and the look at the file, come this often.
const ALIVE_NS: u64 = 30_000_000_000;

/// Waiting times between attempts: doubled from the first to the last.
const RETRY_NS: (u64, u64) = (100_000_000, 5_000_000_000);

/// A file that turns out damaged this soon after it was made is not replaced again: the disk is at fault.
const FRESH_NS: u64 = 60_000_000_000;

/// Ids given anew that are remembered.
const RENAMED: usize = 1_000;

#[derive(Debug)]
struct Failing {
    retry_at_ns: u64,
    wait_ns: u64,
    count: u64,
    /// What had been dropped before, and whether it was said that more is.
    dropped: u64,
    told: bool,
}

/// The state of the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    options: Options,
    stats: Arc<StoreStats>,
    database: Option<Database>,
    opened_at_ns: u64,
    run: Option<i64>,
    /// Rows that are still open: written again where the file is replaced.
    open_rows: BTreeMap<EventId, EventRow>,
    /// The file may be damaged, and is checked when it is opened.
    suspect: bool,
    renamed: BTreeMap<EventId, EventId>,
    failing: Option<Failing>,
    alive_at_ns: u64,
    pruning: Option<Pruning>,
    daily: bool,
    steady: Steady,
    recovered: Vec<Recovered>,
}

impl Writer {
    pub(super) fn new(directory: &Path, options: Options, stats: Arc<StoreStats>) -> Self {
        Self {
            directory: directory.to_owned(),
            options,
            stats,
            database: None,
            opened_at_ns: 0,
            run: None,
            open_rows: BTreeMap::new(),
            suspect: true,
            renamed: BTreeMap::new(),
            failing: None,
            alive_at_ns: 0,
            pruning: None,
            daily: false,
            steady: Steady::default(),
            recovered: Vec::new(),
        }
    }

    /// When the next step is due though nothing waits, on the awake clock. At once while there is pruning.
    pub(super) fn wake_at_ns(&self, work_waits: bool) -> u64 {
        match &self.failing {
            Some(failing) => failing.retry_at_ns,
            None if work_waits || self.pruning.is_some() || self.database.is_none() => 0,
            None => self.alive_at_ns,
        }
    }

    /// What opening brought to light since this was last asked.
    pub(super) fn take_recovered(&mut self) -> Vec<Recovered> {
        std::mem::take(&mut self.recovered)
    }

    /// Writes what it can of `work`, and does what else is due. What is left in `work` waits on.
    pub(super) fn step(&mut self, work: &mut Queue, now: Stamp, ending: bool) {
        let waits = self.failing.as_ref().is_some_and(|failing| now.awake_ns < failing.retry_at_ns);
        // At the end there is no later.
        if waits && !ending {
            return;
        }
        match self.attempt(work, now) {
            Ok(()) => {
                self.stats.healthy.store(true, Relaxed);
                if let Some(failing) = self.failing.take() {
                    let lost = self.stats.dropped.load(Relaxed) - failing.dropped;
                    if lost > 0 {
                        tracing::warn!(
                            attempts = failing.count,
                            lost,
                            "events are stored again; the oldest samples that waited, and events beyond the first \
                             thousand, are lost"
                        );
                    } else {
                        tracing::info!(attempts = failing.count, "events are stored again; nothing is lost");
                    }
                }
            }
            Err(failure) => self.failed(&failure, now),
        }
    }

    fn attempt(&mut self, work: &mut Queue, now: Stamp) -> Result<(), Failure> {
        self.look_at_the_file();
        if self.database.is_none() {
            self.open(now)?;
        }
        // The work comes first: retention and signs of life can wait.
        self.write_events(work)?;
        self.write_samples(work)?;
        self.write_gathered(work, now)?;
        self.write_marks(work)?;
        if work.alive || now.awake_ns >= self.alive_at_ns {
            self.alive(now)?;
            work.alive = false;
        }
        self.prune(now)
    }

    fn connection(&mut self) -> Result<&mut Connection, Failure> {
        match &mut self.database {
            Some(database) => Ok(&mut database.connection),
            None => Err(Failure::Sqlite(rusqlite::Error::InvalidQuery)),
        }
    }

    /// Another file, or none, under the name: somebody deleted ours, and what is written is lost.
    fn look_at_the_file(&mut self) {
        let Some(database) = &self.database else { return };
        let path = self.directory.join(FILE_NAME);
        let journal = database.journal;
        if schema::identity(&path) != Some(database.identity) {
            tracing::warn!("data.db was deleted or replaced under way: going on with a new file");
            self.close();
            // Ours would be taken for the new file's, and spoil it.
            schema::remove_journal(&path, journal);
        } else if journal.is_some() && schema::journal(&path) != journal {
            // What is written goes to a file without a name, which a kill would take, and nobody else reads it. Closing
            // writes it into the database.
            tracing::warn!(
                "data.db-wal was deleted or replaced under way: data.db is closed and opened again"
            );
            self.close();
            self.suspect = true;
        }
    }

    fn close(&mut self) {
        self.stats.open.store(false, Relaxed);
        self.pruning = None;
        self.database = None;
    }

    fn open(&mut self, now: Stamp) -> Result<(), Failure> {
        if !self.options.claim.holds() {
            return Err(Failure::Lost);
        }
        let mut database = schema::open(&self.directory, now.unix_ns, self.suspect).map_err(Failure::Open)?;
        if let Some(moved) = &database.moved {
            tracing::warn!(
                kept = %moved.display(),
                "data.db was damaged, or of another version: it was moved aside and a new one made"
            );
        }
        if database.fresh {
            self.opened_at_ns = now.awake_ns;
        }
        let (run, recovered) = match self.begin(&mut database.connection, now) {
            Ok(begun) => begun,
            Err(error) => {
                if schema::is_damage(&error) {
                    // For `failed` to move aside.
                    self.database = Some(database);
                }
                return Err(error.into());
            }
        };
        self.run = Some(run);
        self.suspect = false;
        database.journal = schema::journal(&self.directory.join(FILE_NAME));
        self.options.outbox.ring(&database.connection);
        self.database = Some(database);
        self.recovered.push(recovered);
        self.stats.open.store(true, Relaxed);
        Ok(())
    }

    /// Closes what dead runs left, and writes what is this run's.
    fn begin(&self, connection: &mut Connection, now: Stamp) -> rusqlite::Result<(i64, Recovered)> {
        full_sync(connection, true)?;
        let ours: Vec<Incident> = self.open_rows.values().map(|row| row.incident).collect();
        let present = Present {
            started_ns: self.options.started_ns,
            now_ns: now.unix_ns,
            boot_id: self.options.boot_id.as_deref(),
            boot_time_ns: self.options.boot_time_ns,
            run: self.run,
            ours: &ours,
            highest_directory: recover::highest_directory(&self.directory),
            random: self.options.random,
            export: self.options.outbox.wanted,
        };
        let begun = recover::recover(connection, &present)?;
        for row in self.open_rows.values() {
            statement::upsert(connection, row, false)?;
        }
        Ok(begun)
    }

    fn write_events(&mut self, work: &mut Queue) -> Result<(), Failure> {
        if work.events.is_empty() {
            return Ok(());
        }
        let directory = recover::highest_directory(&self.directory);
        let highest_waiting = work.events.iter().map(|pending| pending.row.id).max().unwrap_or(0);
        let mut renamed = self.renamed.clone();
        let export = self.options.outbox.wanted;
        let connection = self.connection()?;
        full_sync(connection, true)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut new = 0;
        let mut written = Vec::with_capacity(work.events.len());
        for pending in &work.events {
            let mut row = (*pending.row).clone();
            row.id = renamed.get(&row.id).copied().unwrap_or(row.id);
            row.episode = row.episode.map(|id| renamed.get(&id).copied().unwrap_or(id));
            let mut outcome = statement::upsert(&transaction, &row, export)?;
            if outcome == Upsert::Taken {
                let taken = row.id;
                row.id = recover::highest_id(&transaction)?.max(directory).max(highest_waiting) + 1;
                tracing::warn!(id = taken, given = row.id, "an event's number was taken: it got another");
                renamed.insert(taken, row.id);
                outcome = statement::upsert(&transaction, &row, export)?;
            }
            if export && outcome == Upsert::New {
                outbox::send_episode_again(&transaction, &row)?;
            }
            new += u64::from(outcome == Upsert::New);
            written.push(row);
        }
        transaction.commit()?;
        while renamed.len() > RENAMED {
            renamed.pop_first();
        }
        self.renamed = renamed;
        if let Some(database) = &self.database {
            self.options.outbox.ring(&database.connection);
        }
        self.stats.events_stored.fetch_add(new, Relaxed);
        for (pending, row) in work.events.drain(..).zip(written) {
            for ack in pending.acks {
                // Whoever asked may have given up waiting.
                let _ = ack.send(row.id);
            }
            if row.is_open() {
                self.open_rows.insert(row.id, row);
            } else {
                self.open_rows.remove(&row.id);
            }
        }
        Ok(())
    }

    fn write_samples(&mut self, work: &mut Queue) -> Result<(), Failure> {
        if work.samples.is_empty() && work.last_seen.is_empty() {
            return Ok(());
        }
        let renamed = std::mem::take(&mut self.renamed);
        let result = self.connection().and_then(|connection| {
            let id = |id: EventId| renamed.get(&id).copied().unwrap_or(id);
            full_sync(connection, false)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (event, samples) in &work.samples {
                for sample in samples {
                    statement::insert_sample(&transaction, id(*event), sample)?;
                }
            }
            for seen in work.last_seen.values() {
                statement::last_seen(&transaction, id(seen.event), seen)?;
            }
            Ok(transaction.commit()?)
        });
        self.renamed = renamed;
        result?;
        for seen in work.last_seen.values() {
            if let Some(row) = self.open_rows.get_mut(&seen.event) {
                row.last_seen_ns = seen.time_ns;
                row.tiers = Some(seen.tiers);
                row.steps.clone_from(&seen.steps);
            }
        }
        work.clear_samples();
        Ok(())
    }

    fn write_gathered(&mut self, work: &mut Queue, now: Stamp) -> Result<(), Failure> {
        if work.gathered.is_empty() {
            return Ok(());
        }
        let renamed = std::mem::take(&mut self.renamed);
        let result = self.connection().and_then(|connection| {
            // It is announced, too.
            full_sync(connection, true)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut written = Vec::with_capacity(work.gathered.len());
            for gathered in &work.gathered {
                let record =
                    |id| statement::gathered(&transaction, id, gathered.incident, &gathered.captures);
                let other = renamed.get(&gathered.event).copied();
                written.push(record(gathered.event)? || other.map_or(Ok(false), record)?);
            }
            transaction.commit()?;
            Ok(written)
        });
        self.renamed = renamed;
        // Before anything is taken out: what could not be written stays.
        let written = result?;
        for (gathered, written) in work.gathered.drain(..).zip(written) {
            if written {
                // Whoever waited for it may have given up.
                let _ = gathered.ack.send(());
            } else {
                tracing::warn!(event = gathered.event, "what was captured has no event it belongs to");
            }
        }
        if self.pruning.is_none() {
            let limits = self.options.retention;
            self.pruning = Some(Pruning::by_evidence(limits, &self.directory, now.unix_ns));
        }
        Ok(())
    }

    fn write_marks(&mut self, work: &mut Queue) -> Result<(), Failure> {
        let Some(database) = self.database.as_mut().filter(|_| !work.marks.is_empty()) else { return Ok(()) };
        // A mark that a power cut takes back costs a repeat of the same span.
        full_sync(&database.connection, false)?;
        Ok(self.options.outbox.write_marks(&mut database.connection, &mut work.marks)?)
    }

    fn alive(&mut self, now: Stamp) -> Result<(), Failure> {
        if let Some(set_ns) = self.steady.look(&now) {
            tracing::warn!(
                "the clock was set by {:+.1} h: for a day nothing is deleted for its age",
                set_ns as f64 / 3.6e12
            );
        }
        let run = self.run;
        let connection = self.connection()?;
        full_sync(connection, false)?;
        connection
            .prepare_cached("UPDATE runs SET last_alive = ?2 WHERE id = ?1")?
            .execute(params![run, now.unix_ns])?;
        let used = retention::used_bytes(connection)?;
        let due = retention::due(connection, now.unix_ns)?;
        if let Some(database) = &self.database {
            // A person's `prune` may have taken some.
            self.options.outbox.count(&database.connection)?;
        }
        self.alive_at_ns = now.awake_ns + ALIVE_NS;
        let bytes = |name: &str| std::fs::metadata(self.directory.join(name)).map_or(0, |file| file.len());
        // What is in the log alone is stored, too.
        let size = bytes(FILE_NAME) + bytes(&format!("{FILE_NAME}-wal"));
        self.stats.size_bytes.store(size, Relaxed);
        if self.pruning.is_none() {
            let limits = self.options.retention;
            if due && self.steady.is_steady(&now) {
                self.daily = true;
                self.pruning = Some(Pruning::new(limits, &self.directory, now.unix_ns));
            } else if used > i64::from(limits.max_db_mb) << 20 {
                self.pruning = Some(Pruning::by_size(limits, &self.directory, now.unix_ns));
            }
        }
        Ok(())
    }

    fn prune(&mut self, now: Stamp) -> Result<(), Failure> {
        let (Some(pruning), Some(database)) = (&mut self.pruning, &mut self.database) else { return Ok(()) };
        full_sync(&database.connection, false)?;
        let waited = outbox::waiting(&database.connection)?;
        let more = pruning.step(&mut database.connection)?;
        let unsent = waited.saturating_sub(self.options.outbox.count(&database.connection)?);
        if unsent > 0 {
            tracing::warn!(unsent, "events went (retention) before a collector took them");
        }
        if more {
            return Ok(());
        }
        let pruned = pruning.pruned();
        if !pruned.is_empty() {
            tracing::info!(
                events = pruned.events,
                samples = pruned.samples,
                bytes = pruned.bytes,
                "old events were deleted (retention)"
            );
        }
        self.pruning = None;
        if std::mem::take(&mut self.daily) {
            retention::done(&database.connection, now.unix_ns)?;
        }
        Ok(())
    }

    fn failed(&mut self, failure: &Failure, now: Stamp) {
        self.stats.errors.fetch_add(1, Relaxed);
        let damaged = failure.sqlite().is_some_and(schema::is_damage);
        let wait_ns = match &mut self.failing {
            Some(failing) => {
                failing.count += 1;
                failing.wait_ns = (failing.wait_ns * 2).min(RETRY_NS.1);
                failing.retry_at_ns = now.awake_ns + failing.wait_ns;
                if !failing.told && self.stats.dropped.load(Relaxed) > failing.dropped {
                    failing.told = true;
                    tracing::error!(
                        error = %failure,
                        "more waits for the disk than is kept in memory: the oldest samples are lost now, and counted: {}",
                        failure.hint()
                    );
                }
                failing.wait_ns
            }
            None => {
                tracing::error!(
                    error = %failure,
                    directory = %self.directory.display(),
                    "events can't be stored now, they are kept in memory and tried again: {}",
                    failure.hint()
                );
                self.failing = Some(Failing {
                    retry_at_ns: now.awake_ns + RETRY_NS.0,
                    wait_ns: RETRY_NS.0,
                    count: 1,
                    dropped: self.stats.dropped.load(Relaxed),
                    told: false,
                });
                RETRY_NS.0
            }
        };
        tracing::debug!(error = %failure, wait_ms = wait_ns / 1_000_000, "the store waits");
        self.stats.healthy.store(false, Relaxed);
        if damaged {
            self.replace_damaged(now);
        } else if !failure.spares_the_connection() {
            self.close();
        }
    }

    /// Moves the file aside that turned out damaged while it was in use.
    fn replace_damaged(&mut self, now: Stamp) {
        let connection = self.database.take().map(|database| database.connection);
        self.close();
        let just_made = self.opened_at_ns != 0 && now.awake_ns < self.opened_at_ns + FRESH_NS;
        if just_made || connection.is_none() {
            return;
        }
        match schema::move_aside(&self.directory.join(FILE_NAME), connection, Aside::Damaged, now.unix_ns) {
            Ok(kept) => tracing::error!(kept = %kept.display(), "data.db is damaged: it was moved aside"),
            Err(error) => tracing::error!(%error, "data.db is damaged, and can't be moved aside"),
        }
    }

    /// Ends the run: its row, and, where nobody else reads, the journal. Best effort.
    pub(super) fn end(&mut self, reason: &str, now: Stamp) {
        let run = self.run;
        let Some(database) = self.database.take() else { return };
        let result = full_sync(&database.connection, true).and_then(|()| {
            database
                .connection
                .execute(
                    "UPDATE runs SET last_alive = ?2, ended_at = ?2, reason = ?3 WHERE id = ?1",
                    params![run, now.unix_ns, reason],
                )
                .map(drop)
        });
        if let Err(error) = result {
            tracing::warn!(%error, "the end of this run is not on record");
        }
        // Closing the last connection writes the journal into the file and removes it.
        if let Err((_, error)) = database.connection.close() {
            tracing::warn!(%error, "data.db did not close");
        }
        self.close();
    }
}

#[cfg(test)]
impl Writer {
    pub(super) fn outbox(&self) -> &super::Outbox {
        &self.options.outbox
    }

    /// What the writer's own connection says to `PRAGMA name`.
    pub(super) fn pragma(&self, name: &str) -> i64 {
        let connection = &self.database.as_ref().unwrap().connection;
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    }

    pub(super) fn limit(&mut self, retention: super::Retention) {
        self.options.retention = retention;
    }

    /// Lets the database grow by so many pages, as a full disk would.
    pub(super) fn limit_pages(&mut self, more: Option<i64>) {
        let connection = &self.database.as_ref().unwrap().connection;
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let limit = more.map_or(0xffff_fffe, |more| pages + more);
        connection.pragma_update_and_check(None, "max_page_count", limit, |_| Ok(())).unwrap();
    }
}

/// FULL for what is announced: it survives a power cut. NORMAL for the rest: it survives a kill.
fn full_sync(connection: &Connection, full: bool) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" })
}
