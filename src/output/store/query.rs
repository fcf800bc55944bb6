//! Reading and marking, from any process, while the daemon writes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::column::{read_event, read_sample};
use super::row::{EventRow, Incident, Interruption, Kind, Status};
use super::schema::{APPLICATION_ID, FILE_NAME, VERSION, is_damage};
use super::statement::{Factors, column};
use crate::event::{EventId, Verdict};
use crate::sample::{Stress, Tier};
use crate::wire::{self, CulpritLine, SampleLine};

/// How long a reader waits for a lock: only another program that holds the file for itself is in the way.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Events this near to another are related to it.
const RELATED_NS: i64 = 60_000_000_000;

/// Why the events can't be read or marked. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Another version wrote the file.
    #[error(
        "{path} has schema {found}, this program reads schema {VERSION}: start the daemon once, it moves the file \
         aside"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// Not a database, or a damaged one.
    #[error("{path} is damaged: start the daemon once, it moves the file aside")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Another program keeps it locked.
    #[error("{path} is locked by another program: close that and try again")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It can't be opened, or read.
    #[error("{path} can't be used ({reason}): check who may read and write it, and the disk")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system said.
        reason: String,
    },
    /// No event has that number.
    #[error("no event has the number {0}: `pause-monitor events` lists them")]
    NoSuchEvent(EventId),
}

/// What was captured after a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// What: `tailspin`, `log` …
    pub name: String,
    /// saved, failed, timeout, not permitted, not available.
    pub outcome: String,
    /// Where it is.
    pub path: Option<String>,
    /// Why not, for a person.
    pub detail: Option<String>,
}

/// An event as it is read: the row, and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// What the daemon wrote.
    pub row: EventRow,
    /// How many samples go with it.
    pub samples: u64,
    /// What a person made of it.
    pub status: Status,
    /// What a person wrote about it.
    pub note: Option<String>,
    /// What was captured.
    pub forensics: Vec<Capture>,
}

/// An event as `events --json` prints it; keys in this order.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct EventJson<'a> {
    pub id: EventId,
    pub kind: &'static str,
    pub verdict: Option<&'static str>,
    pub certain: Option<bool>,
    pub started_at: String,
    pub ended_at: Option<String>,
    pub duration_s: Option<f64>,
    pub open: bool,
    pub interrupted: Option<&'static str>,
    pub continued: bool,
    /// Always true of what is read here; false only in an announcement that could not wait for the commit.
    pub stored: bool,
    pub peak_stress: Option<u8>,
    pub peak_tier: Option<&'static str>,
    #[serde(serialize_with = "factors")]
    pub factors: Option<Stress>,
    pub culprits: &'a [CulpritLine<'static>],
    pub samples: u64,
    pub status: &'static str,
    pub note: Option<&'a str>,
    pub incident: String,
    pub forensics: &'a [Capture],
}

fn factors<S: serde::Serializer>(stress: &Option<Stress>, serializer: S) -> Result<S::Ok, S::Error> {
    match stress {
        Some(stress) => Factors(*stress).serialize(serializer),
        None => serializer.collect_map(std::iter::empty::<(&str, u8)>()),
    }
}

/// An incident as 32 hexadecimal digits.
#[must_use]
pub fn hex(incident: Incident) -> String {
    incident.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl StoredEvent {
    /// The event as JSON shows it.
    #[must_use]
    pub fn json(&self) -> EventJson<'_> {
        let row = &self.row;
        EventJson {
            id: row.id,
            kind: row.kind.as_str(),
            verdict: row.verdict.map(Verdict::as_str),
            certain: row.certain,
            started_at: wire::rfc3339(row.started_ns),
            ended_at: row.ended_ns.map(wire::rfc3339),
            // To the microsecond, as on the socket.
            duration_s: row.duration_ns.map(|ns| (ns as f64 / 1e3).round() / 1e6),
            open: row.is_open(),
            interrupted: row.interrupted.map(Interruption::as_str),
            continued: row.continued,
            stored: true,
            peak_stress: row.peak.as_ref().map(|peak| peak.stress.total()),
            peak_tier: row.peak.as_ref().map(|peak| peak.tier.as_str()),
            factors: row.peak.as_ref().map(|peak| peak.stress),
            culprits: &row.culprits,
            samples: self.samples,
            status: self.status.as_str(),
            note: self.note.as_deref(),
            incident: hex(row.incident),
            forensics: &self.forensics,
        }
    }
}

/// Which end of time comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As every list shows events.
    #[default]
    NewestFirst,
    /// As they happened.
    OldestFirst,
}

/// Which events are wanted; what is empty or `None` asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these kinds.
    pub kinds: Vec<Kind>,
    /// Those that were judged to be starvation, beside the kinds.
    pub starved: bool,
    /// Whose highest tier was one of these.
    pub tiers: Vec<Tier>,
    /// With one of these statuses.
    pub statuses: Vec<Status>,
    /// That went on at this time or later, Unix ns.
    pub since_ns: Option<i64>,
    /// That began before this time, Unix ns.
    pub until_ns: Option<i64>,
    /// At least this long, ns; what goes on counts until it was last seen, an outage from end to end.
    pub min_duration_ns: Option<u64>,
    /// So many at most.
    pub limit: Option<u32>,
    /// In which order, and which end the limit keeps.
    pub order: Order,
}

/// Read access to a data directory's events.
#[derive(Debug)]
pub struct Reader {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
}

/// Opens the file and sees to it that it is ours; `None` where there is none, or it has yet to get its tables.
fn open(path: &Path, flags: OpenFlags) -> Result<Option<Connection>, QueryError> {
    if !exists(path)? {
        return Ok(None);
    }
    // In one statement, so in one state of the file: the daemon may be making it just now.
    const WHOSE: &str = "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_user_version, pragma_application_id";
    let check = |connection: Connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let whose: (i64, i64, i64) =
            connection.query_row(WHOSE, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rusqlite::Result::Ok((connection, whose))
    };
    match Connection::open_with_flags(path, flags).and_then(check).map_err(|error| explain(path, &error))? {
        (connection, (VERSION, APPLICATION_ID, _)) => Ok(Some(connection)),
        (_, (0, 0, 0)) => Ok(None),
        (_, (found, ..)) => Err(QueryError::Schema { path: path.to_owned(), found }),
    }
}

pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> QueryError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => QueryError::Locked { path },
        _ if is_damage(error) => QueryError::Damaged { path },
        _ => QueryError::Unusable { path, reason: error.to_string() },
    }
}

/// Whether there is a database at all. One that is empty has yet to get its tables.
fn exists(path: &Path) -> Result<bool, QueryError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(QueryError::Unusable { path: path.to_owned(), reason: error.to_string() }),
    }
}

impl Reader {
    /// Opens the events in `directory` for reading; `None` where there are none yet.
    ///
    /// # Errors
    /// [`QueryError`] where the file is another version's, damaged, locked or not ours to read.
    pub fn open(directory: &Path) -> Result<Option<Self>, QueryError> {
        let path = directory.join(FILE_NAME);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(open(&path, flags)?.map(|connection| Self { connection, path }))
    }

    pub(super) fn wrap<T>(&self, result: rusqlite::Result<T>) -> Result<T, QueryError> {
        result.map_err(|error| explain(&self.path, &error))
    }

    /// The events that the filter asks for.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn events(&self, filter: &Filter) -> Result<Vec<StoredEvent>, QueryError> {
        let mut conditions = vec!["1".to_owned()];
        let mut parameters: Vec<rusqlite::types::Value> = Vec::new();
        let mut of: Vec<String> =
            filter.kinds.iter().map(|kind| format!("kind = '{}'", kind.as_str())).collect();
        of.extend(filter.starved.then(|| format!("verdict = '{}'", Verdict::Starved.as_str())));
        if !of.is_empty() {
            conditions.push(format!("({})", of.join(" OR ")));
        }
        let mut one_of = |name: &str, names: Vec<&'static str>| {
            if !names.is_empty() {
                // Our own names, not a user's text.
                conditions.push(format!("{name} IN ('{}')", names.join("','")));
            }
        };
        one_of("peak_tier", filter.tiers.iter().map(|tier| tier.as_str()).collect());
        one_of("status", filter.statuses.iter().map(|status| status.as_str()).collect());
        if let Some(since) = filter.since_ns {
            conditions.push("coalesce(ended_at, last_seen) >= ?".to_owned());
            parameters.push(since.into());
        }
        if let Some(until) = filter.until_ns {
            conditions.push("started_at < ?".to_owned());
            parameters.push(until.into());
        }
        if let Some(min) = filter.min_duration_ns {
            conditions.push(
                "coalesce(duration_s, (coalesce(ended_at, last_seen) - started_at) / 1e9) >= ?".to_owned(),
            );
            parameters.push((min as f64 / 1e9).into());
        }
        let order = match filter.order {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        };
        let limit = filter.limit.map_or(-1, i64::from);
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE {} ORDER BY started_at {order}, id {order} LIMIT {limit}",
            conditions.join(" AND ")
        );
        self.wrap(self.query(&sql, rusqlite::params_from_iter(parameters)))
    }

    pub(super) fn query(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<StoredEvent>> {
        self.connection.prepare(sql)?.query_map(parameters, read_event)?.collect()
    }

    /// One event.
    ///
    /// # Errors
    /// [`QueryError::NoSuchEvent`], and the others.
    pub fn event(&self, id: EventId) -> Result<StoredEvent, QueryError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1");
        let found = self.connection.query_row(&sql, [column(id)], read_event).optional();
        self.wrap(found)?.ok_or(QueryError::NoSuchEvent(id))
    }

    /// The number of the pause of that incident that began then; `None` where it is not on record.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn pause(&self, incident: Incident, started_ns: i64) -> Result<Option<EventId>, QueryError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT max(id) FROM events WHERE kind = 'pause' AND started_at = ?2 AND incident = ?1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![incident.as_slice(), started_ns], |row| row.get::<_, Option<i64>>(0))
            });
        Ok(self.wrap(found)?.and_then(|id| EventId::try_from(id).ok()))
    }

    /// Pauses of which no outcome of a capture is on record: number, incident, beginning.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn pauses_without_evidence(&self) -> Result<Vec<(EventId, Incident, i64)>, QueryError> {
        let read = || {
            self.connection
                .prepare(
                    "SELECT id, incident, started_at FROM events WHERE kind = 'pause' AND forensics = '[]'",
                )?
                .query_map([], |row| {
                    let incident: Vec<u8> = row.get(1)?;
                    let incident = Incident::try_from(incident.as_slice()).unwrap_or_default();
                    Ok((EventId::try_from(row.get::<_, i64>(0)?).unwrap_or(0), incident, row.get(2)?))
                })?
                .collect()
        };
        self.wrap(read())
    }

    /// What happened within 60 s before the event began and after it ended, as it happened.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn related(&self, event: &StoredEvent) -> Result<Vec<StoredEvent>, QueryError> {
        let row = &event.row;
        let end = row.ended_ns.unwrap_or(row.last_seen_ns);
        let sql = format!(
            "SELECT {COLUMNS} FROM events
             WHERE id <> ?1 AND started_at <= ?2 AND coalesce(ended_at, last_seen) >= ?3 ORDER BY started_at, id"
        );
        let parameters = params![
            column(row.id),
            end.saturating_add(RELATED_NS),
            row.started_ns.saturating_sub(RELATED_NS)
        ];
        self.wrap(self.query(&sql, parameters))
    }

    /// The event's samples, as they came: lines as on the socket.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn samples(&self, id: EventId) -> Result<Vec<SampleLine<'static>>, QueryError> {
        let mut all = Vec::new();
        self.each_sample(id, (i64::MIN, i64::MAX), |sample| all.push(sample))?;
        Ok(all)
    }

    /// Hands over the event's samples of a span of time (Unix ns, both ends in it), as they came and one at a time:
    /// an hour of them would take 100 MB.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn each_sample(
        &self,
        id: EventId,
        (from_ns, to_ns): (i64, i64),
        mut take: impl FnMut(SampleLine<'static>),
    ) -> Result<(), QueryError> {
        let mut read = || {
            let sql =
                "SELECT * FROM event_samples WHERE event_id = ?1 AND time BETWEEN ?2 AND ?3 ORDER BY seq";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query(params![column(id), from_ns, to_ns])?;
            while let Some(row) = rows.next()? {
                take(read_sample(row)?);
            }
            Ok(())
        };
        self.wrap(read())
    }
}

/// Changes the status, the note, or both, of events; all of them or, where one does not exist, none. An empty
/// note removes it.
///
/// # Errors
/// [`QueryError`].
pub fn mark(
    directory: &Path,
    ids: &[EventId],
    status: Option<Status>,
    note: Option<&str>,
) -> Result<(), QueryError> {
    let path = directory.join(FILE_NAME);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Some(mut connection) = open(&path, flags)? else {
        return ids.first().map_or(Ok(()), |&id| Err(QueryError::NoSuchEvent(id)));
    };
    let wrap = |error: rusqlite::Error| explain(&path, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    for &id in ids {
        let changed = transaction
            .execute(
                "UPDATE events SET status = coalesce(?2, status),
                     note = CASE WHEN ?3 IS NULL THEN note ELSE nullif(?3, '') END
                 WHERE id = ?1",
                params![column(id), status.map(Status::as_str), note],
            )
            .map_err(wrap)?;
        if changed == 0 {
            return Err(QueryError::NoSuchEvent(id));
        }
    }
    transaction.commit().map_err(wrap)
}

/// Opens the database for `prune`; `None` where there is none.
///
/// # Errors
/// [`QueryError`].
pub fn open_for_pruning(directory: &Path) -> Result<Option<Connection>, QueryError> {
    let path = directory.join(FILE_NAME);
    open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// What an event is read from.
pub(super) const COLUMNS: &str =
    "events.*, (SELECT count(*) FROM event_samples WHERE event_id = events.id) AS samples";
