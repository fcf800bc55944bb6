//! The fast path on Linux.

use std::path::Path;

use crate::sample::{Metrics, Name, SourceInfo};
use crate::source::linux::files::{Buffer, Kept, number, value_of};

/// Reads between two looks at what changes slowly: the cores hardly ever, the load averages every 5 s (`LOAD_FREQ` in
/// <linux/sched/loadavg.h>).
const SLOW_EVERY: u32 = 10;

/// Load, memory, swap and cores; keeps its files open.
///
/// Cost of a read: 25 µs at 10 Hz (0.025 % of a core), most of it `/proc/meminfo`. So it can be read at each tick.
pub struct Host {
    loadavg: Kept,
    meminfo: Kept,
    online: Kept,
    buffer: Buffer,
    load: Option<f64>,
    cores: Option<u32>,
    reads_to_slow: u32,
}

impl Host {
    /// Opens nothing yet; what can't be opened later is not reported.
    #[must_use]
    pub fn new() -> Self {
        Self::with_root(Path::new("/"))
    }

    /// The same for the /proc and /sys under `root`.
    #[must_use]
    pub fn with_root(root: &Path) -> Self {
        Self {
            loadavg: Kept::new(root.join("proc/loadavg")),
            meminfo: Kept::new(root.join("proc/meminfo")),
            online: Kept::new(root.join("sys/devices/system/cpu/online")),
            buffer: Buffer::new(),
            load: None,
            cores: None,
            reads_to_slow: 0,
        }
    }

    /// Fills `load_avg`, `cores`, `memory_available_pct` and `swap_used_bytes`, and nothing else; `None` where
    /// they can't be read.
    pub fn read(&mut self, metrics: &mut Metrics) {
        if self.reads_to_slow == 0 {
            self.reads_to_slow = SLOW_EVERY;
            self.load = self.loadavg.text(&mut self.buffer).and_then(load);
            self.cores = self.online.text(&mut self.buffer).and_then(count);
        }
        self.reads_to_slow -= 1;
        metrics.load_avg = self.load;
        metrics.cores = self.cores;
        let meminfo = self.meminfo.text(&mut self.buffer);
        metrics.memory_available_pct = meminfo.and_then(available_pct);
        metrics.swap_used_bytes = meminfo.and_then(swap_used);
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

/// The machine's model, its kernel's release, and when it started.
#[must_use]
pub fn info() -> SourceInfo {
    info_of(Path::new("/"))
}

/// The same for the /proc and /sys under `root`.
pub(crate) fn info_of(root: &Path) -> SourceInfo {
    let line = |path: &str| -> Option<Name> {
        let text = std::fs::read(root.join(path)).ok()?;
        let text = String::from_utf8_lossy(&text);
        // A device tree's strings end with NUL.
        let text = text.trim_end_matches('\0').trim();
        (!text.is_empty()).then(|| Name::new(text))
    };
    let stat = std::fs::read(root.join("proc/stat")).unwrap_or_default();
    SourceInfo {
        hw_model: line("sys/class/dmi/id/product_name").or_else(|| line("proc/device-tree/model")),
        os_build: line("proc/sys/kernel/osrelease"),
        boot_time_s: value_of(&stat, b"btime ").and_then(|time| i64::try_from(time).ok()),
    }
}

/// What names this boot of the machine: another after each start.
#[must_use]
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// The distribution's version (os-release(5)), as "12"; the kernel's release where it has none.
#[must_use]
pub fn os_version() -> Option<String> {
    let release =
        ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    release.as_deref().and_then(version_id).or_else(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        Some(release.trim().to_owned()).filter(|release| !release.is_empty())
    })
}

fn version_id(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_ID="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// The memory that a process holds, bytes; `None` where there is no such process.
#[must_use]
pub fn resident_bytes(pid: libc::pid_t) -> Option<u64> {
    // proc(5): the second number, in pages.
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: it takes a number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(pages.saturating_mul(page))
}

/// The first field of /proc/loadavg.
fn load(text: &[u8]) -> Option<f64> {
    let end = memchr::memchr(b' ', text)?;
    let load: f64 = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

/// The CPUs in a list as `0-3,8,10-11`.
fn count(text: &[u8]) -> Option<u32> {
    let mut sum = 0_u64;
    for range in text.trim_ascii().split(|&byte| byte == b',') {
        let mut ends = range.splitn(2, |&byte| byte == b'-');
        let first = number(ends.next()?)?;
        let last = ends.next().map_or(Some(first), number)?;
        sum = sum.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    u32::try_from(sum).ok()
}

fn available_pct(meminfo: &[u8]) -> Option<f64> {
    let total = value_of(meminfo, b"MemTotal:").filter(|&total| total > 0)?;
    let available = value_of(meminfo, b"MemAvailable:")?;
    Some((available as f64 / total as f64 * 100.0).min(100.0))
}

fn swap_used(meminfo: &[u8]) -> Option<u64> {
    let (total, free) = (value_of(meminfo, b"SwapTotal:")?, value_of(meminfo, b"SwapFree:")?);
    total.saturating_sub(free).checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::linux::fixture::Tree;

    fn read(host: &mut Host) -> Metrics {
        let mut metrics = Metrics::default();
        host.read(&mut metrics);
        metrics
    }

    #[test]
    fn load_memory_swap_and_cores_are_the_kernels() {
        let tree = Tree::machine();
        let metrics = read(&mut Host::with_root(tree.path()));
        assert_eq!(metrics.load_avg, Some(1.25));
        assert_eq!(metrics.cores, Some(2));
        assert_eq!(metrics.memory_available_pct, Some(62.5));
        assert_eq!(metrics.swap_used_bytes, Some(1024 * 1024));
    }

    #[test]
    fn what_cannot_be_read_is_not_reported_and_comes_back_when_it_can() {
        let tree = Tree::machine();
        let mut host = Host::with_root(&tree.path().join("nowhere"));
        assert_eq!(read(&mut host), Metrics::default());
        tree.write("proc/loadavg", "garbage\n");
        tree.write("proc/meminfo", "MemTotal:       0 kB\nMemAvailable:  0 kB\nSwapTotal: 5 kB\n");
        let mut host = Host::with_root(tree.path());
        let metrics = read(&mut host);
        assert_eq!(
            (metrics.load_avg, metrics.memory_available_pct, metrics.swap_used_bytes),
            (None, None, None)
        );
        tree.write("proc/loadavg", "0.50 0.1 0.1 1/1 1\n");
        let last = (0..SLOW_EVERY).map(|_| read(&mut host).load_avg).last();
        assert_eq!(last, Some(Some(0.5)));
    }

    #[test]
    fn a_load_that_rises_and_cores_that_come_online_are_seen_within_ten_reads() {
        let tree = Tree::machine();
        let mut host = Host::with_root(tree.path());
        let before = read(&mut host);
        assert_eq!((before.load_avg, before.cores), (Some(1.25), Some(2)));
        tree.write("proc/loadavg", "9.75 2.0 1.0 1/1 1\n");
        tree.write("sys/devices/system/cpu/online", "0-3,8,10-11\n");
        let after = (0..SLOW_EVERY).map(|_| read(&mut host)).last().unwrap();
        assert_eq!((after.load_avg, after.cores), (Some(9.75), Some(7)));
    }

    #[test]
    fn a_list_of_cpus_that_makes_no_sense_is_not_counted() {
        for text in ["", "\n", "x", "3-1", "0-99999999999"] {
            assert_eq!(count(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_machine_is_named_by_its_firmware_else_by_its_device_tree() {
        let tree = Tree::machine();
        let info = info_of(tree.path());
        assert_eq!(info.hw_model, Some(Name::new("Model 9")));
        assert_eq!(info.os_build, Some(Name::new("6.12.1-test")));
        assert_eq!(info.boot_time_s, Some(1_700_000_000));
        tree.remove("sys/class/dmi/id/product_name");
        tree.write("proc/device-tree/model", "Board Rev 2\0");
        assert_eq!(info_of(tree.path()).hw_model, Some(Name::new("Board Rev 2")));
    }
}
