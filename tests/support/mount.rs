//! A small file system of its own, to be filled. Needs root and Linux; says so where it is passed over.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs, taken down at the end.
pub(crate) struct Mount(tempfile::TempDir, usize);

impl Mount {
    /// Mounts one of 512 KB. `None` where that is not permitted.
    pub(crate) fn new() -> Option<Self> {
        Self::of(512)
    }

    /// Mounts one of so many KB.
    pub(crate) fn of(kib: usize) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let arguments = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let mounted = Command::new("mount").args(arguments).arg(directory.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory, kib << 10));
        }
        let required = std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1");
        // SAFETY: geteuid has no preconditions and can't fail.
        let root = unsafe { libc::geteuid() } == 0;
        assert!(!required || !root, "root can't mount a tmpfs here: it needs the right to");
        println!("passed over: a tmpfs can't be mounted here (needs root and the right to mount)");
        None
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte. Removing the file that it returns makes room again.
    pub(crate) fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        assert!(std::fs::write(&ballast, vec![0; self.1 + 1]).is_err(), "it is full now");
        ballast
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
