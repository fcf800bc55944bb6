//! A control group that limits what its processes may have. Needs root and Linux; says so where it is passed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A control group of our own with one limit.
pub(crate) struct Group {
    path: PathBuf,
    limit: PathBuf,
}

impl Group {
    /// One in which memory is limited, swap included where that can be told.
    pub(crate) fn of_memory(bytes: u64) -> Option<Self> {
        let group = Self::make("memory", "memory.limit_in_bytes", "memory.max")?;
        group.set(&bytes.to_string());
        for (swap, value) in
            [("memory.memsw.limit_in_bytes", bytes.to_string()), ("memory.swap.max", "0".to_owned())]
        {
            // Not every kernel counts swap.
            let _ = fs::write(group.path.join(swap), value);
        }
        Some(group)
    }

    /// One in which processes and threads are limited, once that is [set](Self::set).
    pub(crate) fn of_threads() -> Option<Self> {
        Self::make("pids", "pids.max", "pids.max")
    }

    fn make(controller: &str, first: &str, second: &str) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("pause-monitor-hostile-{}-{number}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        // Where it is the second version, the parent has to hand the controller down.
        let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        for (root, limit) in [(root.join(controller), first), (root.to_owned(), second)] {
            let path = root.join(&name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self { limit: path.join(limit), path };
            if group.limit.exists() {
                return Some(group);
            }
        }
        let required = std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1");
        // SAFETY: geteuid has no preconditions and can't fail.
        let root = unsafe { libc::geteuid() } == 0;
        assert!(!required || !root, "root can make no control group of {controller} here");
        println!("passed over: no control group of {controller} can be made (needs root)");
        None
    }

    /// Sets the limit; `max` is none.
    pub(crate) fn set(&self, value: &str) {
        fs::write(&self.limit, value).unwrap();
    }

    /// What it holds now, of what is limited.
    pub(crate) fn now(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_default().trim().to_owned()
    }

    /// Where a process is written to be taken in.
    pub(crate) fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Takes a process in, with all that it starts from then on.
    pub(crate) fn admit(&self, pid: i32) {
        fs::write(self.procs(), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended by now, and the kernel may take a moment to notice.
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.path).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
