//! What the daemon itself takes: Prometheus' standard process metrics, on both systems.

use super::family::{Families, Family};

const CPU: Family = Family::counter("process_cpu_seconds_total", "User and system CPU time of this process.");
const RESIDENT: Family = Family::gauge("process_resident_memory_bytes", "Resident memory of this process.");
const VIRTUAL: Family = Family::gauge("process_virtual_memory_bytes", "Virtual memory of this process.");
const VIRTUAL_MAX: Family = Family::gauge(
    "process_virtual_memory_max_bytes",
    "Virtual memory this process may take; 2^64 where there is no limit.",
);
const START: Family = Family::gauge("process_start_time_seconds", "When this process started, Unix time.");
const OPEN_FDS: Family = Family::gauge("process_open_fds", "Open descriptors of this process.");
const MAX_FDS: Family = Family::gauge("process_max_fds", "Descriptors this process may open.");
const THREADS: Family = Family::gauge("process_threads", "Threads of this process.");

/// What the system says of this process; `None` where it does not.
#[derive(Debug, Default)]
struct Usage {
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    open_fds: Option<u64>,
    start_s: Option<f64>,
}

pub(super) fn collect(out: &mut Families) {
    let usage = system::usage();
    let known = |value: Option<u64>| value.map(|value| value as f64);
    out.known(CPU, cpu_seconds());
    out.known(RESIDENT, known(usage.resident_bytes));
    out.known(VIRTUAL, known(usage.virtual_bytes));
    // SAFETY: here and below `limit` hands a valid rlimit to fill.
    out.known(VIRTUAL_MAX, known(limit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_AS, limit) })));
    out.known(START, usage.start_s);
    out.known(OPEN_FDS, known(usage.open_fds));
    // SAFETY: as above.
    out.known(MAX_FDS, known(limit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit) })));
    out.known(THREADS, known(usage.threads));
}

/// CPU time to the microsecond.
fn cpu_seconds() -> Option<f64> {
    // SAFETY: a rusage of zeros is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage to fill.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
        return None;
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Some(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// The limit in force. The resource's type differs between systems, so the caller asks.
fn limit(ask: impl FnOnce(*mut libc::rlimit) -> libc::c_int) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    (ask(&raw mut limit) == 0).then_some(limit.rlim_cur)
}

#[cfg(target_os = "linux")]
mod system {
    use super::Usage;

    pub(super) fn usage() -> Usage {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // proc(5): fields from the third on follow the name, which may have anything in it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
        // SAFETY: it takes a number.
        let number = |name| u64::try_from(unsafe { libc::sysconf(name) }).ok().filter(|&value| value > 0);
        let start_s = || {
            let ticks = number(libc::_SC_CLK_TCK)?;
            let stat = std::fs::read_to_string("/proc/stat").ok()?;
            let boot_s =
                stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
            Some(boot_s as f64 + field(22)? as f64 / ticks as f64)
        };
        Usage {
            threads: field(20),
            start_s: start_s(),
            virtual_bytes: field(23),
            resident_bytes: field(24).zip(number(libc::_SC_PAGESIZE)).map(|(pages, size)| pages * size),
            // The directory is open itself while it is listed.
            open_fds: std::fs::read_dir("/proc/self/fd")
                .ok()
                .map(|list| list.count().saturating_sub(1) as u64),
        }
    }
}

#[cfg(target_os = "macos")]
mod system {
    use super::Usage;

    /// Asks about this process; how many bytes were filled.
    fn ask(flavor: libc::c_int, buffer: *mut libc::c_void, size: usize) -> Option<usize> {
        let size = libc::c_int::try_from(size).ok()?;
        // SAFETY: the caller hands a buffer of that size, or none.
        let filled = unsafe { libc::proc_pidinfo(libc::getpid(), flavor, 0, buffer, size) };
        usize::try_from(filled).ok().filter(|&filled| filled > 0)
    }

    /// A whole struct of plain numbers.
    fn whole<T>(flavor: libc::c_int) -> Option<T> {
        let mut value = std::mem::MaybeUninit::<T>::zeroed();
        let size = std::mem::size_of::<T>();
        let filled = ask(flavor, value.as_mut_ptr().cast(), size)?;
        // SAFETY: it was zeroed, has numbers only, and the system has filled it.
        (filled == size).then(|| unsafe { value.assume_init() })
    }

    pub(super) fn usage() -> Usage {
        /// <sys/proc_info.h>: a proc_fdinfo is two 32-bit numbers.
        const FD_INFO: usize = 8;
        let task: Option<libc::proc_taskinfo> = whole(libc::PROC_PIDTASKINFO);
        let bsd: Option<libc::proc_bsdinfo> = whole(libc::PROC_PIDTBSDINFO);
        let open_fds = || {
            // Without a buffer it says how much room is wanted at most.
            let room = ask(libc::PROC_PIDLISTFDS, std::ptr::null_mut(), 0)?;
            let mut list = vec![0_u8; room + 16 * FD_INFO];
            Some((ask(libc::PROC_PIDLISTFDS, list.as_mut_ptr().cast(), list.len())? / FD_INFO) as u64)
        };
        Usage {
            resident_bytes: task.as_ref().map(|task| task.pti_resident_size),
            virtual_bytes: task.as_ref().map(|task| task.pti_virtual_size),
            threads: task.as_ref().and_then(|task| u64::try_from(task.pti_threadnum).ok()),
            open_fds: open_fds(),
            start_s: bsd.map(|bsd| bsd.pbi_start_tvsec as f64 + bsd.pbi_start_tvusec as f64 / 1e6),
        }
    }
}
