//! Threads in state D: those that wait for a disk, a lock or a driver, and can't be interrupted.

use std::io::{self, Write};
use std::path::Path;

use super::{numbers, read_file, stat};

/// Threads that are looked at, at most.
const LOOKED_AT: usize = 50_000;
/// Blocked threads that are described; the rest is counted.
const DESCRIBED: usize = 200;
/// Blocked threads that are named in the line about it.
const NAMED: usize = 5;
/// What of `status` tells something.
const STATUS: [&str; 6] =
    ["PPid:", "VmRSS:", "VmSwap:", "Threads:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];

/// Writes each blocked thread with what it waits for and its kernel stack. Not those of the
/// daemon: it writes the ring just now.
pub(super) fn write(proc: &Path, daemon: Option<u32>, out: &mut dyn Write) -> io::Result<String> {
    let mut named: Vec<String> = Vec::new();
    let (mut looked, mut blocked, mut refused) = (0, 0, false);
    'all: for pid in numbers(proc)?.into_iter().filter(|pid| Some(*pid) != daemon) {
        let tasks = proc.join(pid.to_string()).join("task");
        // One that has ended meanwhile is no longer blocked.
        for tid in numbers(&tasks).unwrap_or_default() {
            looked += 1;
            if looked > LOOKED_AT {
                break 'all;
            }
            let task = tasks.join(tid.to_string());
            let Some(stat) = read_file(&task.join("stat")).ok().and_then(|line| stat::parse(&line)) else {
                continue;
            };
            if stat.state != 'D' {
                continue;
            }
            blocked += 1;
            if blocked > DESCRIBED {
                continue;
            }
            if named.len() < NAMED {
                named.push(format!("{} ({tid})", stat.name));
            }
            refused |= describe(&task, &format!("{} (process {pid}, thread {tid})", stat.name), out)?;
            out.flush()?;
        }
    }
    let more = blocked.saturating_sub(named.len());
    let mut said = match blocked {
        0 => "nothing was blocked any more".to_owned(),
        _ => format!("{blocked} blocked: {}", named.join(", ")),
    };
    if more > 0 {
        said.push_str(&format!(" and {more} more"));
    }
    if refused {
        said.push_str("; kernel stacks need root");
    }
    if looked > LOOKED_AT {
        said.push_str(&format!("; only {LOOKED_AT} threads were looked at"));
    }
    writeln!(out, "{said}.")?;
    Ok(said)
}

/// Describes a blocked thread. Whether its stack is not for us to see.
fn describe(task: &Path, who: &str, out: &mut dyn Write) -> io::Result<bool> {
    writeln!(out, "{who}")?;
    let text =
        |name: &str| read_file(&task.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if let Ok(place) = text("wchan") {
        // 0: not told to this user.
        let place = place.trim();
        writeln!(out, "  waits in {}", if place == "0" || place.is_empty() { "?" } else { place })?;
    }
    for line in text("status").unwrap_or_default().lines() {
        if STATUS.iter().any(|name| line.starts_with(name)) {
            writeln!(out, "  {line}")?;
        }
    }
    let refused = match text("stack") {
        Ok(stack) => {
            for line in stack.lines().take(64) {
                writeln!(out, "    {line}")?;
            }
            false
        }
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    writeln!(out)?;
    Ok(refused)
}
