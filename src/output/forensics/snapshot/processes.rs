//! All processes, the largest first.

use std::io::{self, Write};
use std::path::Path;

use super::{numbers, read_file, stat};

/// Processes that are listed, at most.
const LISTED: usize = 10_000;

/// Writes a table of processes: who holds memory, and who faulted for it.
pub(super) fn write(proc: &Path, out: &mut dyn Write) -> io::Result<String> {
    let system = |name| {
        // SAFETY: sysconf takes a number.
        u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0).max(1)
    };
    let (page_kb, ticks) = ((system(libc::_SC_PAGESIZE) >> 10).max(1), system(libc::_SC_CLK_TCK));
    let mut processes: Vec<(u32, stat::Stat)> = numbers(proc)?
        .into_iter()
        .take(LISTED)
        .filter_map(|pid| {
            let line = read_file(&proc.join(pid.to_string()).join("stat")).ok()?;
            Some((pid, stat::parse(&line)?))
        })
        .collect();
    processes.sort_by_key(|(pid, stat)| (std::cmp::Reverse(stat.rss_pages), *pid));
    writeln!(
        out,
        "{:>7} {:>7} S {:>7} {:>4} {:>9} {:>10} {:>10} NAME",
        "PID", "PPID", "THREADS", "NICE", "MAJFLT", "RSS_KB", "CPU_S"
    )?;
    for (pid, stat) in &processes {
        writeln!(
            out,
            "{pid:>7} {:>7} {} {:>7} {:>4} {:>9} {:>10} {:>10.1} {}",
            stat.parent,
            stat.state,
            stat.threads,
            stat.nice,
            stat.major_faults,
            stat.rss_pages * page_kb,
            stat.cpu_ticks as f64 / ticks as f64,
            stat.name
        )?;
    }
    Ok(if processes.len() == LISTED { format!("the first {LISTED} only") } else { String::new() })
}
