//! What is kept, and for how long. Works in small steps, each a short transaction, so that neither the writer
//! nor a person's mark waits for it.

use crate::config::Retention;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::evidence::{self, Going, directory_bytes};
use super::recover::EVENTS_DIRECTORY;

/// Days after which an episode or a stall goes that only reached ELEVATED and that nobody ever looked at.
pub const UNREVIEWED_ELEVATED_DAYS: u32 = 14;

/// Samples this near to the peak outlive `forensics_days`.
const AROUND_PEAK_NS: i64 = 30_000_000_000;

/// Samples deleted in one step: a few ms.
const SAMPLES_PER_STEP: i64 = 500;

/// Pages given back to the file system in one step.
const PAGES_PER_STEP: i64 = 256;

const DAY_NS: i64 = 86_400_000_000_000;

/// Events that are too old: ?1 the cutoff of reviewed and dismissed ones, ?2 of those that only reached ELEVATED.
/// What else nobody looked at (pauses, outages, what was CRITICAL) only goes when the file is too large.
const EXPIRED: &str = "(status IN ('reviewed', 'dismissed') AND ended_at < ?1
     OR status = 'unreviewed' AND kind IN ('episode', 'stall') AND peak_tier <> 'critical' AND ended_at < ?2)";

/// Events whose evidence is thinned out: ?1 the cutoff.
const STALE: &str = "(status <> 'pinned' AND ended_at < ?1)";

/// A sample `s` far from event `e`'s peak: before a gap began or after it ended, of an episode around its peak.
/// ?2 is how far.
const FAR: &str = "(s.time < CASE e.kind WHEN 'episode' THEN e.peak_at ELSE e.started_at END - ?2
     OR s.time > coalesce(e.peak_at, e.ended_at) + ?2)";

/// Rows that are never deleted to make room.
const KEPT: &str = "(SELECT id FROM events WHERE status = 'pinned' OR ended_at IS NULL)";

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events.
    pub events: u64,
    /// Samples, those of the events included.
    pub samples: u64,
    /// Directories of captures.
    pub directories: u64,
    /// Bytes in the database and in those directories.
    pub bytes: u64,
}

impl Pruned {
    /// Whether there was nothing to delete.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        (self.events, self.samples, self.directories) == (0, 0, 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Expired,
    Stale { after: i64 },
    Evidence,
    Size { target: Option<i64> },
    Vacuum,
    Done,
}

/// A pruning under way.
#[derive(Debug)]
pub struct Pruning {
    retention: Retention,
    now_ns: i64,
    events_directory: PathBuf,
    stage: Stage,
    /// Evidence that has to go; `None` before it was looked for.
    going: Option<VecDeque<Going>>,
    pruned: Pruned,
}

impl Pruning {
    /// Begins: nothing is deleted before the first [`Pruning::step`].
    #[must_use]
    pub fn new(retention: Retention, data_directory: &Path, now_ns: i64) -> Self {
        Self {
            retention,
            now_ns,
            events_directory: data_directory.join(EVENTS_DIRECTORY),
            stage: Stage::Expired,
            going: None,
            pruned: Pruned::default(),
        }
    }

    /// Begins with the file's size, ages left alone: for a file that outgrew its limit since the last time.
    #[must_use]
    pub(super) fn by_size(retention: Retention, data_directory: &Path, now_ns: i64) -> Self {
        Self { stage: Stage::Size { target: None }, ..Self::new(retention, data_directory, now_ns) }
    }

    /// Begins with the evidence's size: after some was gathered.
    #[must_use]
    pub(super) fn by_evidence(retention: Retention, data_directory: &Path, now_ns: i64) -> Self {
        Self { stage: Stage::Evidence, ..Self::new(retention, data_directory, now_ns) }
    }

    /// What was deleted so far.
    #[must_use]
    pub fn pruned(&self) -> Pruned {
        self.pruned
    }

    /// Does one short transaction's worth. Returns whether there is more to do.
    ///
    /// # Errors
    /// SQLite's; the step can be repeated.
    pub fn step(&mut self, connection: &mut Connection) -> rusqlite::Result<bool> {
        let before = used_bytes(connection)?;
        match self.stage {
            Stage::Expired => self.expired(connection)?,
            Stage::Stale { after } => self.stale(connection, after)?,
            Stage::Evidence => self.evidence(connection)?,
            Stage::Size { target } => self.size(connection, target)?,
            Stage::Vacuum => {
                if !vacuum(connection)? {
                    self.stage = Stage::Done;
                }
            }
            Stage::Done => return Ok(false),
        }
        self.pruned.bytes += u64::try_from(before - used_bytes(connection)?).unwrap_or(0);
        Ok(self.stage != Stage::Done)
    }

    fn expired(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let cutoffs = cutoffs(self.retention, self.now_ns);
        let next: Option<i64> = transaction
            .query_row(
                &format!("SELECT id FROM events WHERE {EXPIRED} ORDER BY id LIMIT 1"),
                [cutoffs.0, cutoffs.1],
                |row| row.get(0),
            )
            .optional()?;
        let Some(id) = next else {
            // The time that was watched is of interest as long as events are.
            transaction.execute("DELETE FROM runs WHERE ended_at < ?1", [cutoffs.0])?;
            transaction.commit()?;
            self.stage = Stage::Stale { after: 0 };
            return Ok(());
        };
        let deleted =
            delete_samples(&transaction, id, "SELECT id FROM event_samples WHERE event_id = ?1", None)?;
        let last = deleted < SAMPLES_PER_STEP as usize;
        if last {
            transaction.execute("DELETE FROM events WHERE id = ?1", [id])?;
        }
        transaction.commit()?;
        self.pruned.samples += deleted as u64;
        if last {
            self.pruned.events += 1;
            self.remove_directory(id);
        }
        Ok(())
    }

    fn stale(&mut self, connection: &mut Connection, after: i64) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next: Option<i64> = transaction
            .query_row(
                &format!("SELECT id FROM events WHERE {STALE} AND id > ?2 ORDER BY id LIMIT 1"),
                [self.now_ns.saturating_sub(days(self.retention.forensics_days)), after],
                |row| row.get(0),
            )
            .optional()?;
        let Some(id) = next else {
            self.stage = Stage::Evidence;
            return Ok(());
        };
        let far = format!(
            "SELECT s.id FROM event_samples s JOIN events e ON e.id = s.event_id WHERE e.id = ?1 AND {FAR}"
        );
        let deleted = delete_samples(&transaction, id, &far, Some(AROUND_PEAK_NS))?;
        let last = deleted < SAMPLES_PER_STEP as usize;
        // Before the row says so: nothing is left that nothing tells of.
        if last && self.remove_directory(id) {
            let why = format!("removed after {} days", self.retention.forensics_days);
            evidence::forget(&transaction, id, &why)?;
        }
        transaction.commit()?;
        self.pruned.samples += deleted as u64;
        if last {
            self.stage = Stage::Stale { after: id };
        }
        Ok(())
    }

    /// Removes the evidence of one event, where it is too much.
    fn evidence(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        let going = match &mut self.going {
            Some(going) => going,
            None => {
                let data_directory = self.events_directory.parent().unwrap_or(Path::new("/"));
                self.going.insert(evidence::going(connection, self.retention, data_directory, &[])?)
            }
        };
        let Some(next) = going.pop_front() else {
            self.stage = Stage::Size { target: None };
            return Ok(());
        };
        if self.remove(&next.directory)
            && let Some(event) = next.event
        {
            let limit = self.retention.forensics_max_mb;
            evidence::forget(connection, event, &format!("removed to keep all evidence below {limit} MB"))?;
        }
        Ok(())
    }

    fn size(&mut self, connection: &mut Connection, target: Option<i64>) -> rusqlite::Result<()> {
        let limit = i64::from(self.retention.max_db_mb) << 20;
        let used = used_bytes(connection)?;
        // A tenth of room, so that the next sample does not begin it all again.
        let target = match target {
            Some(target) => target,
            None if used > limit => limit - limit / 10,
            None => limit,
        };
        if used <= target {
            self.stage = Stage::Vacuum;
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let samples = transaction.execute(
            &format!(
                "DELETE FROM event_samples WHERE id IN (SELECT id FROM event_samples
                     WHERE event_id NOT IN {KEPT} ORDER BY id LIMIT ?1)"
            ),
            [SAMPLES_PER_STEP],
        )?;
        let mut event: Option<i64> = None;
        if samples == 0 {
            event = transaction
                .query_row(
                    &format!("SELECT id FROM events WHERE id NOT IN {KEPT} ORDER BY started_at LIMIT 1"),
                    [],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(id) = event {
                transaction.execute("DELETE FROM events WHERE id = ?1", [id])?;
            }
        }
        transaction.commit()?;
        self.pruned.samples += samples as u64;
        self.stage = Stage::Size { target: Some(target) };
        if let Some(id) = event {
            self.pruned.events += 1;
            self.remove_directory(id);
        } else if samples == 0 {
            // All that is left is pinned, or still goes on.
            self.stage = Stage::Vacuum;
        }
        Ok(())
    }

    /// Removes an event's directory. False where one is there and stays.
    fn remove_directory(&mut self, id: i64) -> bool {
        let directory = self.events_directory.join(id.to_string());
        self.remove(&directory)
    }

    fn remove(&mut self, directory: &Path) -> bool {
        // Nothing is left of it, or it is none of ours.
        let data_directory = self.events_directory.parent().unwrap_or(&self.events_directory);
        if !evidence::is_evidence(directory, data_directory) {
            return true;
        }
        let bytes = directory_bytes(directory);
        match std::fs::remove_dir_all(directory) {
            Ok(()) => {
                self.pruned.directories += 1;
                self.pruned.bytes += bytes;
                true
            }
            Err(error) => {
                tracing::warn!(%error, path = %directory.display(), "an old event's files stay");
                false
            }
        }
    }
}

fn days(count: u32) -> i64 {
    i64::from(count).saturating_mul(DAY_NS)
}

/// Cutoffs of [`EXPIRED`].
fn cutoffs(retention: Retention, now_ns: i64) -> (i64, i64) {
    let unreviewed = UNREVIEWED_ELEVATED_DAYS.min(retention.events_days);
    (now_ns.saturating_sub(days(retention.events_days)), now_ns.saturating_sub(days(unreviewed)))
}

fn delete_samples(
    connection: &Connection,
    event: i64,
    which: &str,
    distance: Option<i64>,
) -> rusqlite::Result<usize> {
    let sql = format!("DELETE FROM event_samples WHERE id IN ({which} LIMIT {SAMPLES_PER_STEP})");
    match distance {
        Some(distance) => connection.execute(&sql, [event, distance]),
        None => connection.execute(&sql, [event]),
    }
}

/// Gives some free pages back. Returns whether there are more.
fn vacuum(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free > 0 {
        // Frees a page a row: it has to be read to its end.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(free > PAGES_PER_STEP)
}

/// Bytes of the database that hold something; the file itself can be larger until its free pages are given
/// back.
pub(super) fn used_bytes(connection: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}

/// What [`Pruning`] would delete, without deleting it. Bytes in the database are an estimate from the mean size
/// of its rows.
///
/// # Errors
/// SQLite's.
pub fn plan(
    connection: &Connection,
    retention: Retention,
    data_directory: &Path,
    now_ns: i64,
) -> rusqlite::Result<Pruned> {
    let count = |sql: &str, parameters: &[i64]| -> rusqlite::Result<u64> {
        connection
            .query_row(sql, rusqlite::params_from_iter(parameters), |row| row.get::<_, i64>(0))
            .map(|count| u64::try_from(count).unwrap_or(0))
    };
    let (old, elevated) = cutoffs(retention, now_ns);
    let stale_cutoff = now_ns.saturating_sub(days(retention.forensics_days));
    let expired = format!("SELECT id FROM events WHERE {EXPIRED}");
    let mut plan = Pruned {
        events: count(&format!("SELECT count(*) FROM events WHERE {EXPIRED}"), &[old, elevated])?,
        samples: count(
            &format!("SELECT count(*) FROM event_samples WHERE event_id IN ({expired})"),
            &[old, elevated],
        )?,
        ..Pruned::default()
    };
    let gone: Vec<i64> = ids(connection, &expired, &[old, elevated])?;
    let stale = ids(connection, &format!("SELECT id FROM events WHERE {STALE}"), &[stale_cutoff])?;
    for &id in &stale {
        if !gone.contains(&id) {
            plan.samples += count(
                &format!(
                    "SELECT count(*) FROM event_samples s JOIN events e ON e.id = s.event_id
                     WHERE e.id = ?1 AND {FAR}"
                ),
                &[id, AROUND_PEAK_NS],
            )?;
            plan.add_directory(data_directory, id);
        }
    }
    for &id in &gone {
        plan.add_directory(data_directory, id);
    }
    for going in evidence::going(connection, retention, data_directory, &[gone, stale].concat())? {
        plan.directories += 1;
        plan.bytes += going.bytes;
    }
    plan.add_size_rule(connection, retention, count)?;
    Ok(plan)
}

fn ids(connection: &Connection, sql: &str, parameters: &[i64]) -> rusqlite::Result<Vec<i64>> {
    connection.prepare(sql)?.query_map(rusqlite::params_from_iter(parameters), |row| row.get(0))?.collect()
}

impl Pruned {
    fn add_directory(&mut self, data_directory: &Path, id: i64) {
        let directory = data_directory.join(EVENTS_DIRECTORY).join(id.to_string());
        if directory.is_dir() && !directory.is_symlink() {
            self.directories += 1;
            self.bytes += directory_bytes(&directory);
        }
    }

    /// Adds what the size rule would take after the age rules.
    fn add_size_rule(
        &mut self,
        connection: &Connection,
        retention: Retention,
        count: impl Fn(&str, &[i64]) -> rusqlite::Result<u64>,
    ) -> rusqlite::Result<()> {
        let used = u64::try_from(used_bytes(connection)?).unwrap_or(0);
        let rows = count("SELECT (SELECT count(*) FROM event_samples) + (SELECT count(*) FROM events)", &[])?;
        let mean = (used / rows.max(1)).max(1);
        let mut bytes = mean * (self.samples + self.events);
        let limit = u64::from(retention.max_db_mb) << 20;
        if used.saturating_sub(bytes) > limit {
            let wanted = (used.saturating_sub(bytes) - (limit - limit / 10)).div_ceil(mean);
            let free_samples =
                count(&format!("SELECT count(*) FROM event_samples WHERE event_id NOT IN {KEPT}"), &[])?;
            let free_events = count(&format!("SELECT count(*) FROM events WHERE id NOT IN {KEPT}"), &[])?;
            let samples = wanted.min(free_samples.saturating_sub(self.samples));
            let events = (wanted - samples).min(free_events.saturating_sub(self.events));
            self.samples += samples;
            self.events += events;
            bytes += mean * (samples + events);
        }
        self.bytes += bytes;
        Ok(())
    }
}

const LAST_PRUNE: &str = "last_prune";

/// Whether a day has passed since the last daily pruning. A clock that was set back counts as one.
pub(super) fn due(connection: &Connection, now_ns: i64) -> rusqlite::Result<bool> {
    let last: Option<i64> = connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [LAST_PRUNE], |row| row.get(0))
        .optional()?;
    Ok(last.is_none_or(|last| !(last..last.saturating_add(DAY_NS)).contains(&now_ns)))
}

/// Notes that the daily pruning was done.
pub(super) fn done(connection: &Connection, now_ns: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![LAST_PRUNE, now_ns],
    )?;
    Ok(())
}
