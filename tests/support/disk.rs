//! A disk that hangs when it is told to: a directory shown through FUSE by bindfs, which can be stopped. Needs root and
//! Linux; says so where it is passed over.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daemon::{signal, until};
use crate::peer::peer;

/// The disk, taken down at the end.
pub(crate) struct Disk {
    directory: tempfile::TempDir,
    child: Child,
}

impl Disk {
    /// Mounts it. `None` where bindfs is missing, or mounting is not permitted.
    pub(crate) fn new() -> Option<Self> {
        let bindfs = peer(&["bindfs"], "bindfs")?;
        // SAFETY: geteuid has no preconditions and can't fail.
        if unsafe { libc::geteuid() } != 0 || !Path::new("/dev/fuse").exists() {
            println!("passed over: a FUSE file system can't be mounted here (needs root and /dev/fuse)");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let [below, above] = ["below", "above"].map(|name| directory.path().join(name));
        std::fs::create_dir(&below).unwrap();
        std::fs::create_dir(&above).unwrap();
        let mut child = Command::new(bindfs)
            .arg("-f")
            .args([&below, &above])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mounted = until("the mount", || {
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
            if mounts.lines().any(|line| line.contains(&*above.to_string_lossy())) {
                return Some(true);
            }
            child.try_wait().unwrap().map(|_| false)
        });
        if !mounted {
            let required = std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "root can't mount with FUSE here: it needs the right to");
            println!("passed over: a FUSE file system can't be mounted here");
            return None;
        }
        Some(Self { directory, child })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("above")
    }

    /// From here on it answers nobody.
    pub(crate) fn hang(&self) {
        assert!(signal(self.child.id().cast_signed(), libc::SIGSTOP));
    }

    /// It answers again, what it was asked meanwhile too.
    pub(crate) fn go_on(&self) {
        assert!(signal(self.child.id().cast_signed(), libc::SIGCONT));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.go_on();
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
