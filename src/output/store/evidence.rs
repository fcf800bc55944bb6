//! Retention of evidence: the files under `events/`, and what their events say of them once they are gone.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

use super::query::Capture;
use super::recover::EVENTS_DIRECTORY;
use crate::config::Retention;

/// A directory of no event is left alone for so long, whatever the size of all.
const FRESH: Duration = Duration::from_secs(86_400);

/// Evidence that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Going {
    /// Its event; `None` where it is nobody's.
    pub(super) event: Option<i64>,
    pub(super) directory: PathBuf,
    pub(super) bytes: u64,
}

/// What has to go, oldest first: what belonged to no event for `forensics_days`, and what is too much altogether. Not
/// pinned events', nor what is still being gathered (its outcomes are not on record). Events in `gone` count as removed.
pub(super) fn going(
    connection: &Connection,
    retention: Retention,
    data_directory: &Path,
    gone: &[i64],
) -> rusqlite::Result<VecDeque<Going>> {
    let mut going = VecDeque::new();
    let mut candidates: Vec<(i64, Going)> = Vec::new();
    let mut total = 0;
    let old = Duration::from_secs(u64::from(retention.forensics_days) * 86_400);
    let entries = std::fs::read_dir(data_directory.join(EVENTS_DIRECTORY)).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_evidence(&entry.path(), data_directory)) {
        let directory = entry.path();
        let bytes = directory_bytes(&directory);
        // What has no number yet is being gathered, or is looked after by the next start.
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok()) else {
            total += bytes;
            continue;
        };
        if gone.contains(&id) {
            continue;
        }
        let row: Option<(String, String, i64)> = connection
            .prepare_cached("SELECT status, forensics, started_at FROM events WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        match row {
            None => {
                let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
                let age =
                    modified.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
                let nobodys = Going { event: None, directory, bytes };
                if age > old {
                    going.push_back(nobodys);
                    continue;
                }
                if age > FRESH {
                    candidates.push((i64::MIN, nobodys));
                }
            }
            Some((status, forensics, started)) if status != "pinned" && forensics != "[]" => {
                candidates.push((started, Going { event: Some(id), directory, bytes }));
            }
            Some(_) => {}
        }
        total += bytes;
    }
    let limit = u64::from(retention.forensics_max_mb) << 20;
    if total > limit {
        // A tenth of room, so that the next pause does not begin it all again.
        let mut excess = total - (limit - limit / 10);
        candidates.sort_by_key(|(started, _)| *started);
        for (_, candidate) in candidates {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(candidate.bytes);
            going.push_back(candidate);
        }
    }
    Ok(going)
}

/// Whether it is a directory of the data directory's owner. `events` may be a link of a user's who has root prune: what
/// it leads to that is somebody else's is no evidence.
pub(super) fn is_evidence(directory: &Path, data_directory: &Path) -> bool {
    let (Ok(found), Ok(data)) = (std::fs::symlink_metadata(directory), std::fs::metadata(data_directory))
    else {
        return false;
    };
    found.is_dir() && found.uid() == data.uid()
}

/// Notes that an event's files are gone, and why.
pub(super) fn forget(connection: &Connection, event: i64, why: &str) -> rusqlite::Result<()> {
    let column: Option<String> = connection
        .prepare_cached("SELECT forensics FROM events WHERE id = ?1 AND forensics <> '[]'")?
        .query_row([event], |row| row.get(0))
        .optional()?;
    let Some(mut captures) = column.and_then(|text| serde_json::from_str::<Vec<Capture>>(&text).ok()) else {
        return Ok(());
    };
    let mut changed = false;
    for capture in captures.iter_mut().filter(|capture| capture.path.is_some()) {
        changed = true;
        capture.path = None;
        capture.detail = Some(why.to_owned());
    }
    if changed {
        let text = serde_json::to_string(&captures).unwrap_or_default();
        connection.execute("UPDATE events SET forensics = ?2 WHERE id = ?1", params![event, text])?;
    }
    Ok(())
}

/// The size of all files under a directory, links not followed; what can't be read counts nothing.
pub(super) fn directory_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() { directory_bytes(&entry.path()) } else { metadata.len() })
        })
        .sum()
}
