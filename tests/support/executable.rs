//! Programs of a test's own, where it wants them.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Puts a copy of a program there, to be run.
///
/// Another process writes it: one that a test beside is about to start holds our files open until it is executed, and what is
/// open for writing can't be run.
pub(crate) fn install(program: &Path, to: &Path) {
    assert!(Command::new("install").args(["-m", "755"]).arg(program).arg(to).status().unwrap().success());
}
