//! A powermetrics that is none: `fixtures/bin/powermetrics-stand-in`, with the faults it is asked for.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::{signal, until};
use crate::program::Program;

/// Where it lies, and what it leaves there. To be made before the daemon that runs it, so as to outlive it.
pub(crate) struct StandIn {
    directory: tempfile::TempDir,
    faults: String,
}

impl StandIn {
    /// One with these faults, as the stand-in's own head lists them: of the first start, the second …
    pub(crate) fn new(faults: &str) -> Self {
        let stand_in = Self::gated(faults);
        stand_in.open();
        stand_in
    }

    /// One that does nothing before it is [opened](Self::open).
    pub(crate) fn gated(faults: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bin");
        for name in ["powermetrics", "sudo"] {
            symlink(fixtures.join(format!("{name}-stand-in")), directory.path().join(name)).unwrap();
        }
        Self { directory, faults: faults.to_owned() }
    }

    /// Lets it begin.
    pub(crate) fn open(&self) {
        std::fs::write(self.path("gate"), "").unwrap();
    }

    /// The program, in an environment in which the stand-in runs.
    pub(crate) fn program(&self) -> Program {
        Program::new()
            .env("PATH", "/usr/bin:/bin")
            .env("STAND_IN_PROGRAM", env!("CARGO_BIN_EXE_pause-monitor"))
            .env("STAND_IN_STARTS", &self.path("starts").to_string_lossy())
            .env("STAND_IN_GATE", &self.path("gate").to_string_lossy())
            .env("STAND_IN_FAULTS", &self.faults)
    }

    /// A file beside it: `powermetrics` and `sudo` are there.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration that runs it like the real one, until `count` documents are written.
    pub(crate) fn config(&self, count: u32) -> String {
        let count = count.to_string();
        let powermetrics = self.path("powermetrics");
        let powermetrics = powermetrics.to_string_lossy();
        config(&[
            &powermetrics,
            "--samplers",
            "cpu_power,tasks,disk",
            "-f",
            "plist",
            "-i",
            "100",
            "-n",
            &count,
        ])
    }

    /// The process groups of its starts so far, oldest first.
    pub(crate) fn starts(&self) -> Vec<i32> {
        let starts = std::fs::read_to_string(self.path("starts")).unwrap_or_default();
        starts.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Waits until of its starts only the last so many run.
    pub(crate) fn wait_until_gone_but(&self, last: usize) {
        until("the end of earlier samplers", || {
            let starts = self.starts();
            let earlier = &starts[..starts.len().saturating_sub(last)];
            (!earlier.iter().any(|&group| runs(group))).then_some(())
        });
    }

    /// Waits until nothing of its starts runs any more.
    pub(crate) fn wait_until_gone(&self) {
        self.wait_until_gone_but(0);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        for group in self.starts() {
            if runs(group) {
                signal(-group, libc::SIGKILL);
            }
        }
    }
}

/// The configuration that runs a command as powermetrics.
pub(crate) fn config(command: &[&str]) -> String {
    format!("[source]\nkind = \"powermetrics\"\n[powermetrics]\ncommand = {command:?}\n")
}

/// Whether anything of a process group still runs; what only waits to be reaped does not.
pub(crate) fn runs(group: i32) -> bool {
    let processes = Command::new("ps").args(["-A", "-o", "pgid=,stat="]).output().unwrap();
    String::from_utf8_lossy(&processes.stdout).lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(&group.to_string()) && words.next().is_some_and(|state| !state.starts_with('Z'))
    })
}
