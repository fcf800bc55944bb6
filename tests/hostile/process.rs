//! What the kernel says of a process, and what it lets it have.

use std::fs;
use std::time::Instant;

use crate::daemon::Daemon;

/// CPU time that a process has used, s.
pub(crate) fn cpu_s(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    // SAFETY: it takes a number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / ticks
}

/// A figure of /proc/PID/status, MB.
pub(crate) fn status_mb(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Watches whether a daemon spins: who waits in a loop for what does not come takes all the CPU there is.
pub(crate) struct Spinning {
    begun: Instant,
    cpu_s: f64,
}

impl Spinning {
    pub(crate) fn watch(daemon: &Daemon) -> Self {
        Self { begun: Instant::now(), cpu_s: cpu_s(daemon.pid()) }
    }

    /// Less than a third of one core since then. Not a matter of speed: it is a tenth of that on any machine.
    pub(crate) fn is_not(&self, daemon: &Daemon) {
        let (wall_s, cpu_s) = (self.begun.elapsed().as_secs_f64(), cpu_s(daemon.pid()) - self.cpu_s);
        println!("{cpu_s:.2} s of CPU in {wall_s:.1} s");
        assert!(wall_s > 2.0, "too short to tell");
        assert!(cpu_s < wall_s / 3.0, "{cpu_s} s of CPU in {wall_s} s:\n{}", daemon.log());
    }
}

/// Sets a limit of a running process; what it was.
pub(crate) fn limit(pid: i32, resource: libc::__rlimit_resource_t, value: u64) -> u64 {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `old` is a valid rlimit to fill.
    assert_eq!(unsafe { libc::prlimit(pid, resource, std::ptr::null(), &raw mut old) }, 0);
    let new = libc::rlimit { rlim_cur: value.min(old.rlim_max), rlim_max: old.rlim_max };
    // SAFETY: `new` is a valid rlimit to read.
    assert_eq!(unsafe { libc::prlimit(pid, resource, &raw const new, std::ptr::null_mut()) }, 0);
    old.rlim_cur
}
