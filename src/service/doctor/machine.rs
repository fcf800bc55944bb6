//! The machine and the disk: what is there whether or not a daemon runs.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::Finding;
use crate::clock;
use crate::config::Paths;
use crate::output::socket;
use crate::output::store::{Filter, QueryError, Reader};
use crate::sample::Metrics;
use crate::service::Platform;
use crate::source::host::{self, Host};

/// How many wake-ups the clock check makes, and how far apart, ns.
const WAKES: u64 = 25;
const APART_NS: u64 = 20_000_000;
/// A machine at rest wakes a program this much too late at most, ns. Timers that are put together are 100 ms late.
const LATE_NS: u64 = 10_000_000;
/// Less than this is little for a database that may have 500 MB, bytes.
const ROOM: u64 = 1 << 30;

/// The system's version.
pub(super) fn system() -> Finding {
    let info = host::info();
    let mut parts = vec![host::os()];
    parts.extend(info.os_build.map(|build| build.printable()));
    parts.extend(info.hw_model.map(|model| model.printable()));
    parts.push(std::env::consts::ARCH.to_owned());
    parts.push(format!("pause-monitor {}", env!("CARGO_PKG_VERSION")));
    Finding::ok("system", parts.join(", "))
}

/// The two clocks, and how late this program is woken: what a pause is measured with.
pub(super) fn clocks() -> Finding {
    const CHECK: &str = "clocks";
    let first = clock::now();
    let mut late: Vec<u64> = Vec::new();
    let mut due_ns = first.awake_ns;
    for _ in 0..WAKES {
        due_ns += APART_NS;
        clock::sleep_until(due_ns);
        let woke_ns = clock::awake_ns();
        late.push(woke_ns.saturating_sub(due_ns));
        due_ns = due_ns.max(woke_ns);
    }
    let last = clock::now();
    let (awake_ns, total_ns) = (last.awake_since(&first), last.total_ns.saturating_sub(first.total_ns));
    if awake_ns < WAKES * APART_NS || total_ns + APART_NS < awake_ns {
        return Finding::failed(
            CHECK,
            format!("the clocks do not go on together: {awake_ns} ns awake, {total_ns} ns in all"),
            "this is a fault of the system (or of a virtual machine's clock): pauses can't be measured by it",
        );
    }
    late.sort_unstable();
    let ms = |ns: u64| ns as f64 / 1e6;
    let (middle, most) = (late[late.len() / 2], late.last().copied().unwrap_or(0));
    let found =
        format!("both go on; woken {:.2} ms late at the median, {:.2} ms at most", ms(middle), ms(most));
    if middle > LATE_NS {
        return Finding::warning(
            CHECK,
            found,
            "the machine is busy, or puts timers together: look again when it is calm; short pauses are measured less exactly",
        );
    }
    Finding::ok(CHECK, found)
}

/// What the system says of itself without a sampler: the fast path.
pub(super) fn counters(platform: Platform) -> Finding {
    const CHECK: &str = "counters";
    let mut metrics = Metrics::default();
    Host::new().read(&clock::now(), &mut metrics);
    let mut said = Vec::new();
    let mut missing = Vec::new();
    for (name, value) in [
        ("load", metrics.load_avg.map(|load| format!("{load:.2}"))),
        ("cores", metrics.cores.map(|cores| cores.to_string())),
        ("memory available", metrics.memory_available_pct.map(|percent| format!("{percent:.0} %"))),
        ("swap used", metrics.swap_used_bytes.map(crate::human::bytes)),
    ] {
        match value {
            Some(value) => said.push(format!("{name} {value}")),
            None => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Finding::ok(CHECK, said.join(", "));
    }
    let from = if platform == Platform::Macos { "sysctl" } else { "/proc" };
    Finding::failed(
        CHECK,
        format!("{from} does not say: {}", missing.join(", ")),
        "a sandbox or container hides it: run the daemon outside of it; those factors are 0 meanwhile",
    )
}

/// The data directory: whose, how private, and whether the socket's path fits.
pub(super) fn directory(paths: &Paths) -> Finding {
    const CHECK: &str = "data directory";
    let directory = &paths.data_dir;
    let shown = directory.display();
    if let Err(error) = socket::path_in(directory) {
        return Finding::failed(CHECK, error.to_string(), "pause-monitor install --data-dir DIR");
    }
    let metadata = match std::fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::unknown(CHECK, format!("{shown} is not there yet: the daemon makes it"));
        }
        Err(error) => {
            return Finding::failed(
                CHECK,
                format!("{shown} can't be looked at: {error}"),
                "run this as its owner",
            );
        }
    };
    // SAFETY: geteuid has no preconditions and cannot fail.
    let us = unsafe { libc::geteuid() };
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.uid() != us && us != 0 {
        let found = format!("{shown} is user {}'s", metadata.uid());
        return Finding::failed(CHECK, found, format!("give it back: sudo chown -R {us} '{shown}'"));
    }
    if mode & 0o077 != 0 {
        let found = format!("{shown} has mode {mode:04o}: others can look into it");
        return Finding::warning(CHECK, found, format!("chmod 700 '{shown}'"));
    }
    match free(directory) {
        Some(free) if free < ROOM => Finding::warning(
            CHECK,
            format!("{shown}: {} free on its disk", crate::human::bytes(free)),
            "make room, or lower [retention] max_db_mb: events that find none are lost",
        ),
        Some(free) => Finding::ok(CHECK, format!("{shown}: {} free", crate::human::bytes(free))),
        None => Finding::ok(CHECK, shown.to_string()),
    }
}

/// Bytes that an ordinary user may still write there.
fn free(directory: &Path) -> Option<u64> {
    let path = std::ffi::CString::new(directory.as_os_str().as_encoded_bytes()).ok()?;
    // SAFETY: all zeros is a valid statvfs: numbers.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with NUL, and `found` is a valid statvfs to fill.
    let result = unsafe { libc::statvfs(path.as_ptr(), &raw mut found) };
    #[allow(clippy::unnecessary_cast, reason = "narrower on macOS")]
    let bytes = (found.f_bavail as u64).saturating_mul(found.f_frsize as u64);
    (result == 0).then_some(bytes)
}

/// The events.
pub(super) fn database(paths: &Paths) -> Finding {
    const CHECK: &str = "database";
    let events = Reader::open(&paths.data_dir).and_then(|reader| match reader {
        Some(reader) => reader.events(&Filter { limit: Some(1), ..Filter::default() }).map(Some),
        None => Ok(None),
    });
    match events {
        Ok(None) => Finding::unknown(CHECK, "there is none yet: the daemon makes it"),
        Ok(Some(newest)) => {
            let size = std::fs::metadata(paths.data_dir.join(crate::output::store::FILE_NAME))
                .map_or(0, |file| file.len());
            let newest = match newest.first() {
                Some(event) => format!("newest event {}", event.row.id),
                None => "no event yet".to_owned(),
            };
            Finding::ok(CHECK, format!("opens; {newest}, {}", crate::human::bytes(size)))
        }
        Err(error @ QueryError::Damaged { .. }) => Finding::failed(
            CHECK,
            error.to_string(),
            "start the daemon: it moves the damaged file aside and begins a new one",
        ),
        Err(error) => {
            let file = paths.data_dir.join(crate::output::store::FILE_NAME);
            Finding::failed(
                CHECK,
                error.to_string(),
                format!("it has to be yours and readable: look at `ls -l '{}'`", file.display()),
            )
        }
    }
}
