//! The file `data.db`: its schema, how it is opened, and how one that can't be used is moved aside.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// The database's file name in the data directory.
pub const FILE_NAME: &str = "data.db";

/// The version of this schema (`PRAGMA user_version`). A file of another one is moved aside.
pub const VERSION: i64 = 2;

/// Says that a SQLite file is ours (`PRAGMA application_id`): "pmon".
pub const APPLICATION_ID: i64 = 0x706d_6f6e;

/// How long a statement waits for another process's transaction before it is tried again later.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// Times are Unix ns; other units are in the names.
const TABLES: &str = "
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    verdict TEXT,
    certain INTEGER,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    last_seen INTEGER NOT NULL,
    duration_s REAL,
    interrupted TEXT,
    continued INTEGER NOT NULL DEFAULT 0,
    peak_at INTEGER,
    peak_stress INTEGER,
    peak_tier TEXT,
    peak_top TEXT,
    factors TEXT NOT NULL,
    culprits TEXT NOT NULL,
    elevated_s REAL,
    critical_s REAL,
    status TEXT NOT NULL DEFAULT 'unreviewed',
    note TEXT,
    incident BLOB NOT NULL,
    episode INTEGER,
    tier_changes TEXT NOT NULL DEFAULT '[]',
    tier_changes_dropped INTEGER NOT NULL DEFAULT 0,
    export TEXT,
    forensics TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX events_started_at ON events (started_at);
CREATE INDEX events_episode ON events (episode) WHERE episode IS NOT NULL;
CREATE INDEX events_outbox ON events (ended_at, id) WHERE export = 'pending';

CREATE TABLE event_samples (
    id INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    interval_ms REAL,
    elapsed_ms REAL NOT NULL,
    expected_ms REAL NOT NULL,
    latency_ratio REAL NOT NULL,
    heartbeat_ms REAL,
    tier TEXT NOT NULL,
    degraded INTEGER NOT NULL,
    stress_total INTEGER NOT NULL,
    stress_load INTEGER NOT NULL,
    stress_memory INTEGER NOT NULL,
    stress_thermal INTEGER NOT NULL,
    stress_latency INTEGER NOT NULL,
    stress_io INTEGER NOT NULL,
    stress_gpu INTEGER NOT NULL,
    stress_wakeups INTEGER NOT NULL,
    stress_pageins INTEGER NOT NULL,
    load_avg REAL,
    cores INTEGER,
    memory_available_pct REAL,
    swap_used_bytes INTEGER,
    thermal_pressure TEXT,
    cpu_power_mw REAL,
    gpu_power_mw REAL,
    ane_power_mw REAL,
    combined_power_mw REAL,
    gpu_busy_pct REAL,
    io_read_per_s REAL,
    io_write_per_s REAL,
    cpu_ms_per_s REAL,
    idle_wakeups_per_s REAL,
    intr_wakeups_per_s REAL,
    wakeups_kind TEXT NOT NULL,
    pageins_per_s REAL,
    top_cpu TEXT NOT NULL,
    top_pageins TEXT NOT NULL,
    top_wakeups TEXT NOT NULL,
    top_diskio TEXT NOT NULL,
    UNIQUE (event_id, seq)
) STRICT;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    last_alive INTEGER NOT NULL,
    ended_at INTEGER,
    reason TEXT,
    boot_id TEXT
) STRICT;

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
";

/// Why a file was moved aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// Written by another version of the program, or by another program.
    Schema(i64),
    /// Can't be read.
    Damaged,
}

/// What opening found.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    /// Device and inode of the file: another one under the same name means that ours was deleted.
    pub(super) identity: (u64, u64),
    /// The same of its `-wal`, once there is one.
    pub(super) journal: Option<(u64, u64)>,
    /// Made just now.
    pub(super) fresh: bool,
    /// Where the file that stood in the way went.
    pub(super) moved: Option<PathBuf>,
}

/// The store can't be opened now; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The file, or the disk under it.
    #[error("{path}: {source}: free the disk, or make the directory writable for this user")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Whether the file's contents are not what this program wrote: trying again won't help.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
        }
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..) => true,
        _ => false,
    }
}

/// Device and inode of a file; `None` where there is none.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Device and inode of the database's `-wal`.
pub(super) fn journal(path: &Path) -> Option<(u64, u64)> {
    identity(&sibling(path, "-wal"))
}

/// Removes the `-wal`, where it still is the one given, and its index.
pub(super) fn remove_journal(path: &Path, which: Option<(u64, u64)>) {
    if which.is_some() && journal(path) == which {
        for suffix in ["-wal", "-shm"] {
            if let Err(error) = fs::remove_file(sibling(path, suffix))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "the deleted database's {suffix} stays");
            }
        }
    }
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens `data.db` in `directory` for writing and makes it, and the directory, where they are missing
/// (0600, 0700; a file that root makes in another user's directory is that user's). A file of another
/// schema, or a damaged one, is moved aside first.
///
/// With `suspect`, damage is looked for where the last run did not end well: whole (`quick_check`) up to
/// [`CHECK_BYTES`]; in a larger file, and after a good end, it shows when it is met.
pub(super) fn open(directory: &Path, now_ns: i64, suspect: bool) -> Result<Database, OpenError> {
    let path = directory.join(FILE_NAME);
    let moved = match open_existing(&path, suspect) {
        Ok(Found::Ours(connection)) => return finish(connection, &path, false, None),
        Ok(Found::Nothing) => None,
        Ok(Found::Other(connection, version)) => {
            Some(move_aside(&path, Some(connection), Aside::Schema(version), now_ns)?)
        }
        Ok(Found::Damaged(connection)) => Some(move_aside(&path, Some(connection), Aside::Damaged, now_ns)?),
        Err(OpenError::Sqlite(error)) if is_damage(&error) => {
            Some(move_aside(&path, None, Aside::Damaged, now_ns)?)
        }
        Err(error) => return Err(error),
    };
    finish(create(directory, &path)?, &path, true, moved)
}

/// Reading every page of this much takes a few hundred ms at worst.
const CHECK_BYTES: u64 = 64 << 20;

enum Found {
    Nothing,
    Ours(Connection),
    Other(Connection, i64),
    Damaged(Connection),
}

fn open_existing(path: &Path, suspect: bool) -> Result<Found, OpenError> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }),
    };
    let connection = Connection::open_with_flags(path, flags())?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && version == 0 {
        // Killed between making the file and its tables.
        drop(connection);
        return Ok(Found::Nothing);
    }
    if version != VERSION || application != APPLICATION_ID {
        return Ok(Found::Other(connection, version));
    }
    if suspect && size <= CHECK_BYTES && ended_badly(&connection)? {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Ok(Found::Damaged(connection));
        }
    }
    Ok(Found::Ours(connection))
}

/// Whether a run has no end.
fn ended_badly(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM runs WHERE ended_at IS NULL)", [], |row| row.get(0))
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn create(directory: &Path, path: &Path) -> Result<Connection, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    if !directory.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
    }
    // Journals of a file that is gone must not be taken for the new one's.
    for suffix in ["-wal", "-shm"] {
        match fs::remove_file(sibling(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    let mut options = OpenOptions::new();
    // A link that somebody put there is not followed: root may work in a user's directory.
    options.create(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path).map_err(io)?;
    own(directory, &file).map_err(io)?;
    let connection = Connection::open_with_flags(path, flags())?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before the first table: it can't be turned on later.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
    ))?;
    for statement in TABLES.split_inclusive(';') {
        if !statement.trim().is_empty() {
            connection.execute(statement, [])?;
        }
    }
    connection.execute_batch("COMMIT")?;
    Ok(connection)
}

/// Gives what root made to the directory's owner; SQLite does the same for `-wal` and `-shm`.
fn own(directory: &Path, file: &fs::File) -> io::Result<()> {
    // SAFETY: geteuid takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let owner = fs::metadata(directory)?;
    if root && owner.uid() != 0 {
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn finish(
    connection: Connection,
    path: &Path,
    fresh: bool,
    moved: Option<PathBuf>,
) -> Result<Database, OpenError> {
    let metadata = fs::metadata(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // On macOS a plain fsync leaves the data in the drive's cache; elsewhere these do nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    // Memory is the daemon's budget, not speed.
    connection.pragma_update(None, "cache_size", -1_024)?;
    connection.pragma_update_and_check(None, "journal_size_limit", 4 << 20, |_| Ok(()))?;
    Ok(Database { connection, identity: (metadata.dev(), metadata.ino()), journal: None, fresh, moved })
}

/// Moves the database away, with what its `-wal` still holds, and keeps only the newest of its sort.
///
/// Where it opens, the `-wal` is written into it first. If only the database were renamed, the next one made
/// under its name would delete the `-wal`, and what was saved would be empty: so the `-wal` goes first and
/// the database last.
pub(super) fn move_aside(
    path: &Path,
    connection: Option<Connection>,
    why: Aside,
    now_ns: i64,
) -> Result<PathBuf, OpenError> {
    if let Some(connection) = connection {
        if let Err(error) = connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
        {
            tracing::debug!(%error, "the old database's -wal is kept as a file of its own");
        }
        if let Err((_, error)) = connection.close() {
            tracing::debug!(%error, "the old database did not close");
        }
    }
    let (prefix, suffix) = match why {
        Aside::Schema(version) => (".schema-", format!(".schema-{version}.old")),
        Aside::Damaged => (".damaged-", format!(".damaged-{}", stamp(now_ns))),
    };
    let target = sibling(path, &suffix);
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    remove_older(path, prefix).map_err(io)?;
    let wal = sibling(path, "-wal");
    if wal.exists() {
        fs::rename(&wal, sibling(&target, "-wal")).map_err(io)?;
    }
    match fs::remove_file(sibling(path, "-shm")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    fs::rename(path, &target).map_err(io)?;
    Ok(target)
}

/// Removes what was moved aside before under names that begin with the database's and `prefix`.
fn remove_older(path: &Path, prefix: &str) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let start = format!("{name}{prefix}");
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&start)) && entry.path().is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Unix ns as it stands in a file's name, `20261122T091011Z`.
fn stamp(unix_ns: i64) -> String {
    jiff::Timestamp::from_second(unix_ns.div_euclid(1_000_000_000))
        .map_or_else(|_| unix_ns.to_string(), |time| time.strftime("%Y%m%dT%H%M%SZ").to_string())
}
