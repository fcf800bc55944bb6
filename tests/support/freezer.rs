//! A control group that can be frozen: whatever is in it stands still, as at a pause. Needs root and Linux; says so where
//! it is passed over.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::PATIENCE;

/// A control group of our own that can be frozen.
pub(crate) struct Freezer {
    group: PathBuf,
    /// Its file, and what is written to freeze and to thaw.
    state: (PathBuf, &'static str, &'static str),
    /// What says that it is frozen: a file, and a line of it.
    frozen: (PathBuf, &'static str),
}

impl Freezer {
    /// Makes one, where this user may; else it is said that the test was passed over.
    pub(crate) fn new() -> Option<Self> {
        let made = Self::make();
        if made.is_none() {
            assert!(!required(), "this needs root and a freezer under /sys/fs/cgroup");
            eprintln!("passed over: no control group can be made under /sys/fs/cgroup");
        }
        made
    }

    fn make() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("pause-monitor-test-{}-{number}", std::process::id());
        let first = |root: &str| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).is_ok().then_some(group)
        };
        if let Some(group) = first("/sys/fs/cgroup/freezer") {
            let state = group.join("freezer.state");
            return Some(Self {
                group,
                frozen: (state.clone(), "FROZEN"),
                state: (state, "FROZEN", "THAWED"),
            });
        }
        let group = first("/sys/fs/cgroup")?;
        let freezer = Self {
            state: (group.join("cgroup.freeze"), "1", "0"),
            frozen: (group.join("cgroup.events"), "frozen 1"),
            group,
        };
        // Without that file it is no second version; dropping it takes the directory away.
        freezer.state.0.exists().then_some(freezer)
    }

    /// Takes a process in; where that is not permitted, it is said that the test was passed over.
    pub(crate) fn admit(&self, pid: i32) -> bool {
        let admitted = fs::write(self.group.join("cgroup.procs"), pid.to_string()).is_ok();
        if !admitted {
            assert!(!required(), "a process can't be put into {}", self.group.display());
            eprintln!("passed over: a process can't be put into {}", self.group.display());
        }
        admitted
    }

    /// Freezes it until what is returned is dropped.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        fs::write(&self.state.0, self.state.1).unwrap();
        let frozen = Frozen(self);
        // Whoever measures the freeze wants to know when it began, to the millisecond.
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(&self.frozen.0).unwrap().lines().any(|line| line == self.frozen.1) {
            assert!(Instant::now() < deadline, "in {PATIENCE:?} the group was not frozen");
            thread::sleep(Duration::from_micros(500));
        }
        frozen
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        // Its processes have ended by now, and the kernel may take a moment to notice.
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.group).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// While this lives the group is frozen: a frozen process can't even be killed.
pub(crate) struct Frozen<'a>(&'a Freezer);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        fs::write(&self.0.state.0, self.0.state.2).unwrap();
    }
}

/// Whoever is not root can't, and need not.
fn required() -> bool {
    // SAFETY: geteuid has no preconditions and can't fail.
    let root = unsafe { libc::geteuid() } == 0;
    root && std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1")
}
