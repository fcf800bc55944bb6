//! A second daemon on the directories of one that was killed; ended with the fixture.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::process::{Child, Stdio};

use crate::daemon::{Daemon, signal, until};

/// The daemon that came after.
pub(crate) struct Again(Child);

impl Again {
    /// Starts it, with these arguments.
    pub(crate) fn start(first: &Daemon, arguments: &[&str]) -> Self {
        let mut command = first.command("daemon", arguments);
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// Has it stop: its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        assert!(signal(self.0.id().cast_signed(), libc::SIGTERM));
        until("its end", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        // Where it has ended and was waited for, this does nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
