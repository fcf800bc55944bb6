//! The fast path on Linux.

use std::path::Path;

use crate::clock::Stamp;
use crate::sample::{Metrics, Name, SourceInfo};
use crate::source::linux::files::{Buffer, Kept, number, value_of};

/// How long load and cores stand once they were read: the kernel renews the load averages every 5 s (`LOAD_FREQ` in
/// <linux/sched/loadavg.h>), and cores hardly ever come or go.
const SLOW_NS: u64 = 1_000_000_000;

/// How long memory and swap stand. `/proc/meminfo` has fifty lines, which the kernel makes anew for each read.
const MEMORY_NS: u64 = 500_000_000;

/// Load, memory, swap and cores; keeps its files open.
///
/// At 10 Hz, where nothing of it is in the processor's caches any more, a look at `/proc/meminfo` takes 20 µs and one at
/// `/proc/loadavg` 17: each value stands for a while. By the clock that goes on in sleep, so that the first read after a
/// pause or a sleep finds nothing that is older.
pub struct Host {
    loadavg: Kept,
    meminfo: Kept,
    online: Kept,
    buffer: Buffer,
    known: Metrics,
    slow_at_ns: Option<u64>,
    memory_at_ns: Option<u64>,
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
            known: Metrics::default(),
            slow_at_ns: None,
            memory_at_ns: None,
        }
    }

    /// Fills `load_avg`, `cores` (up to a second old), `memory_available_pct` and `swap_used_bytes` (up to half a second
    /// old), and nothing else; `None` where they can't be read. `at` is now.
    pub fn read(&mut self, at: &Stamp, metrics: &mut Metrics) {
        let Self { loadavg, meminfo, online, buffer, known, .. } = self;
        if is_due(&mut self.slow_at_ns, at, SLOW_NS) {
            known.load_avg = loadavg.text(buffer).and_then(load);
            known.cores = online.text(buffer).and_then(count);
        }
        if is_due(&mut self.memory_at_ns, at, MEMORY_NS) {
            let meminfo = meminfo.text(buffer);
            known.memory_available_pct = meminfo.and_then(available_pct);
            known.swap_used_bytes = meminfo.and_then(swap_used);
        }
        metrics.load_avg = known.load_avg;
        metrics.cores = known.cores;
        metrics.memory_available_pct = known.memory_available_pct;
        metrics.swap_used_bytes = known.swap_used_bytes;
    }
}

/// Whether what was read at `read_at_ns` has stood for `stands_ns`; it is read now, then.
fn is_due(read_at_ns: &mut Option<u64>, at: &Stamp, stands_ns: u64) -> bool {
    let due = read_at_ns.is_none_or(|read| at.total_ns.saturating_sub(read) >= stands_ns);
    if due {
        *read_at_ns = Some(at.total_ns);
    }
    due
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
    of_the_distribution("VERSION_ID=").or_else(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        Some(release.trim().to_owned()).filter(|release| !release.is_empty())
    })
}

/// The distribution and, where it has versions, which (os-release(5)), as "Debian GNU/Linux 12"; "Linux" where it has no name.
#[must_use]
pub fn os() -> String {
    let name = of_the_distribution("NAME=").unwrap_or_else(|| "Linux".to_owned());
    of_the_distribution("VERSION_ID=").map_or_else(|| name.clone(), |version| format!("{name} {version}"))
}

fn of_the_distribution(key: &str) -> Option<String> {
    let release =
        ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    value_in(&release?, key)
}

/// A value of an os-release file, without its quotes.
fn value_in(os_release: &str, key: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix(key))?;
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

    fn read_at(host: &mut Host, ms: u64) -> Metrics {
        let at = Stamp { total_ns: ms * 1_000_000, ..Stamp::default() };
        let mut metrics = Metrics::default();
        host.read(&at, &mut metrics);
        metrics
    }

    #[test]
    fn load_memory_swap_and_cores_are_the_kernels() {
        let tree = Tree::machine();
        let metrics = read_at(&mut Host::with_root(tree.path()), 0);
        assert_eq!(metrics.load_avg, Some(1.25));
        assert_eq!(metrics.cores, Some(2));
        assert_eq!(metrics.memory_available_pct, Some(62.5));
        assert_eq!(metrics.swap_used_bytes, Some(1024 * 1024));
    }

    #[test]
    fn what_cannot_be_read_is_not_reported_and_comes_back_when_it_can() {
        let tree = Tree::machine();
        let mut host = Host::with_root(&tree.path().join("nowhere"));
        assert_eq!(read_at(&mut host, 0), Metrics::default());
        tree.write("proc/loadavg", "garbage\n");
        tree.write("proc/meminfo", "MemTotal:       0 kB\nMemAvailable:  0 kB\nSwapTotal: 5 kB\n");
        let mut host = Host::with_root(tree.path());
        let metrics = read_at(&mut host, 0);
        assert_eq!(
            (metrics.load_avg, metrics.memory_available_pct, metrics.swap_used_bytes),
            (None, None, None)
        );
        tree.write("proc/loadavg", "0.50 0.1 0.1 1/1 1\n");
        assert_eq!(read_at(&mut host, 1_000).load_avg, Some(0.5));
    }

    #[test]
    fn each_value_stands_for_its_time_and_no_longer_also_over_a_sleep() {
        let tree = Tree::machine();
        let mut host = Host::with_root(tree.path());
        let values = |metrics: Metrics| (metrics.load_avg, metrics.cores, metrics.memory_available_pct);
        assert_eq!(values(read_at(&mut host, 100)), (Some(1.25), Some(2), Some(62.5)));
        tree.write("proc/loadavg", "9.75 2.0 1.0 1/1 1\n");
        tree.write("sys/devices/system/cpu/online", "0-3,8,10-11\n");
        tree.write(
            "proc/meminfo",
            "MemTotal: 100 kB\nMemAvailable: 25 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        );
        assert_eq!(values(read_at(&mut host, 599)), (Some(1.25), Some(2), Some(62.5)));
        assert_eq!(values(read_at(&mut host, 600)), (Some(1.25), Some(2), Some(25.0)));
        assert_eq!(values(read_at(&mut host, 1_099)), (Some(1.25), Some(2), Some(25.0)));
        assert_eq!(values(read_at(&mut host, 1_100)), (Some(9.75), Some(7), Some(25.0)));
        tree.write("proc/loadavg", "0.25 2.0 1.0 1/1 1\n");
        tree.write(
            "proc/meminfo",
            "MemTotal: 100 kB\nMemAvailable: 75 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        );
        let slept = Stamp { awake_ns: 1_200_000_000, total_ns: 31_200_000_000, unix_ns: 0 };
        let mut metrics = Metrics::default();
        host.read(&slept, &mut metrics);
        assert_eq!(values(metrics), (Some(0.25), Some(7), Some(75.0)));
    }

    #[test]
    fn a_distribution_is_known_by_its_name_and_its_version() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\nID=\n";
        assert_eq!(value_in(text, "NAME=").as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(value_in(text, "VERSION_ID=").as_deref(), Some("12"));
        assert_eq!((value_in(text, "ID="), value_in("", "NAME=")), (None, None));
        assert!(!os().is_empty());
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
