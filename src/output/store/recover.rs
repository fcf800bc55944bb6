//! What a start finds: rows that the last run left open, the run itself, and the ids that are taken.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::column::read_event;
use super::outbox;
use super::query::COLUMNS;
use super::row::{EventRow, Incident, Interruption, Kind, TierSteps};
use super::statement::{self, Upsert};
use crate::event::EventId;
use crate::sample::Name;

/// The directory of the events' files, one directory an event, in the data directory.
pub const EVENTS_DIRECTORY: &str = "events";

/// What opening the database brought to light.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// Runs that ended with the machine: each is now an event, to be notified.
    pub outages: Vec<EventRow>,
    /// Episodes closed as interrupted: whoever was told that they began is to be told that they ended.
    pub interrupted: Vec<EventRow>,
    /// When the last pause ended, Unix ns, and who built it up most.
    pub last_pause: Option<(i64, Option<Name>)>,
    /// 1 + the highest id in the database and under `events/`.
    pub next_event_id: EventId,
}

/// The present run, and what is its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    /// When the run began, Unix ns.
    pub(super) started_ns: i64,
    pub(super) now_ns: i64,
    pub(super) boot_id: Option<&'a str>,
    /// When the machine started, Unix ns.
    pub(super) boot_time_ns: Option<i64>,
    /// Its row in `runs`, where the file was open before in this run.
    pub(super) run: Option<i64>,
    /// Incidents of the open rows that are this run's.
    pub(super) ours: &'a [Incident],
    /// The highest id under `events/`.
    pub(super) highest_directory: EventId,
    pub(super) random: fn() -> Incident,
    /// What ends here is to be exported.
    pub(super) export: bool,
}

struct DeadRun {
    id: i64,
    last_alive: i64,
    boot_id: Option<String>,
}

/// Closes what a dead run left open and begins, or goes on with, this run's row. One transaction, so that
/// nothing is told twice. Returns the run's row.
///
/// A dead run of another boot becomes an `outage` from its last sign of life to this boot (to this run's start
/// where the boot's time is not known, or makes no sense). Its duration is not known: the machine may have
/// hung, or been off, for any part of that.
pub(super) fn recover(
    connection: &mut Connection,
    present: &Present<'_>,
) -> rusqlite::Result<(i64, Recovered)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let dead = dead_runs(&transaction, present.run)?;
    let rebooted = |run: &DeadRun| match (&run.boot_id, present.boot_id) {
        (Some(then), Some(now)) => then != now,
        // Not known: it is not claimed.
        _ => false,
    };
    let why = match dead.last() {
        Some(run) if rebooted(run) => Interruption::Reboot,
        _ => Interruption::Restart,
    };
    let interrupted = close_open_rows(&transaction, present, why)?;

    let mut next = highest_id(&transaction)?.max(present.highest_directory) + 1;
    let mut outages = Vec::new();
    for run in &dead {
        let outage = rebooted(run);
        transaction.execute(
            "UPDATE runs SET ended_at = last_alive, reason = ?2 WHERE id = ?1",
            params![run.id, if outage { "outage" } else { "killed" }],
        )?;
        if outage {
            let row = outage_row(next, run.last_alive, present);
            if statement::upsert(&transaction, &row, present.export)? != Upsert::Taken {
                outages.push(row);
                next += 1;
            }
        }
    }
    let run = begin_run(&transaction, present)?;
    let last_pause = transaction
        .query_row(
            "SELECT ended_at, culprits ->> '$[0].name' FROM events WHERE kind = 'pause' AND ended_at IS NOT NULL \
             ORDER BY ended_at DESC LIMIT 1",
            [],
            |row| {
                let name: Option<String> = row.get(1)?;
                Ok((row.get(0)?, name.as_deref().map(Name::new)))
            },
        )
        .optional()?;
    transaction.commit()?;
    Ok((run, Recovered { outages, interrupted, last_pause, next_event_id: next }))
}

fn dead_runs(transaction: &Transaction<'_>, ours: Option<i64>) -> rusqlite::Result<Vec<DeadRun>> {
    transaction
        .prepare(
            "SELECT id, last_alive, boot_id FROM runs WHERE ended_at IS NULL AND id IS NOT ?1 ORDER BY id",
        )?
        .query_map([ours], |row| {
            Ok(DeadRun { id: row.get(0)?, last_alive: row.get(1)?, boot_id: row.get(2)? })
        })?
        .collect()
}

/// Closes open rows that are not ours at the last time they were known to go on.
fn close_open_rows(
    transaction: &Transaction<'_>,
    present: &Present<'_>,
    why: Interruption,
) -> rusqlite::Result<Vec<EventRow>> {
    let open: Vec<(i64, Vec<u8>)> = transaction
        .prepare("SELECT id, incident FROM events WHERE ended_at IS NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut closed = Vec::new();
    for (id, incident) in open {
        if present.ours.iter().any(|ours| ours.as_slice() == incident) {
            continue;
        }
        // The time in the tiers is time awake; a clock that was set back yields no negative duration.
        transaction.execute(
            "UPDATE events SET ended_at = max(last_seen, started_at), interrupted = ?2,
                 duration_s = coalesce(elevated_s + critical_s, max(last_seen - started_at, 0) / 1e9),
                 export = coalesce(export, ?3)
             WHERE id = ?1",
            params![id, why.as_str(), present.export.then_some(outbox::PENDING)],
        )?;
        let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1");
        closed.push(transaction.query_row(&sql, [id], read_event)?.row);
    }
    Ok(closed)
}

fn outage_row(id: EventId, last_alive_ns: i64, present: &Present<'_>) -> EventRow {
    let known = last_alive_ns..=present.started_ns;
    let ended_ns = present
        .boot_time_ns
        .filter(|time| known.contains(time))
        .unwrap_or_else(|| present.started_ns.max(last_alive_ns));
    EventRow {
        id,
        kind: Kind::Outage,
        verdict: None,
        certain: None,
        started_ns: last_alive_ns,
        ended_ns: Some(ended_ns),
        last_seen_ns: last_alive_ns,
        duration_ns: None,
        interrupted: None,
        continued: false,
        peak: None,
        tiers: None,
        culprits: Vec::new(),
        incident: (present.random)(),
        episode: None,
        steps: TierSteps::default(),
    }
}

/// The present run's row: made, or given a sign of life where it was made before.
fn begin_run(transaction: &Transaction<'_>, present: &Present<'_>) -> rusqlite::Result<i64> {
    if let Some(run) = present.run {
        let known = transaction.execute(
            "UPDATE runs SET last_alive = max(last_alive, ?2) WHERE id = ?1 AND started_at = ?3 AND ended_at IS NULL",
            params![run, present.now_ns, present.started_ns],
        )?;
        if known == 1 {
            return Ok(run);
        }
    }
    transaction.execute(
        "INSERT INTO runs (started_at, last_alive, boot_id) VALUES (?1, ?2, ?3)",
        params![present.started_ns, present.now_ns.max(present.started_ns), present.boot_id],
    )?;
    Ok(transaction.last_insert_rowid())
}

/// The highest id in the database; 0 where it has none.
pub(super) fn highest_id(connection: &Connection) -> rusqlite::Result<EventId> {
    let highest: Option<i64> = connection.query_row("SELECT max(id) FROM events", [], |row| row.get(0))?;
    Ok(highest.and_then(|id| EventId::try_from(id).ok()).unwrap_or(0))
}

/// The highest id that has a directory under `events/`; 0 where there is none. Other names don't count.
pub(super) fn highest_directory(data_directory: &Path) -> EventId {
    let Ok(entries) = std::fs::read_dir(data_directory.join(EVENTS_DIRECTORY)) else { return 0 };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<EventId>().ok())
        // An id has to fit the database, and has to have a successor.
        .filter(|&id| id < i64::MAX as u64)
        .max()
        .unwrap_or(0)
}
