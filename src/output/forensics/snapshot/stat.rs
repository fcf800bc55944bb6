//! `/proc/PID/stat`; the fields are those of proc_pid_stat(5).

use crate::sample::printable;

/// What is used of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// The name, as it may be shown.
    pub(super) name: String,
    pub(super) state: char,
    pub(super) parent: i64,
    pub(super) major_faults: u64,
    /// User and system time, ticks.
    pub(super) cpu_ticks: u64,
    pub(super) nice: i64,
    pub(super) threads: u64,
    /// Resident memory, pages.
    pub(super) rss_pages: u64,
}

/// Reads the line; `None` where it is none.
pub(super) fn parse(line: &[u8]) -> Option<Stat> {
    let line = String::from_utf8_lossy(line);
    // A name may hold spaces and brackets of its own.
    let (before, after) = line.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    // The first is field 3, the state.
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let count = |field: usize| Some(u64::try_from(number(field)?).unwrap_or(0));
    Some(Stat {
        name: printable(name),
        state: fields.first()?.chars().next()?,
        parent: number(4)?,
        major_faults: count(12)?,
        cpu_ticks: count(14)? + count(15)?,
        nice: number(19)?,
        threads: count(20)?,
        rss_pages: count(24)?,
    })
}
