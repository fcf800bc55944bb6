//! A simulated recording, and what the daemon makes of it.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::program::Program;

/// Writes a simulated recording into the program's home directory.
pub(crate) fn simulated(program: &Program, scenario: &str, arguments: &[&str]) -> PathBuf {
    let recording = program.home().join(format!("{scenario}.plist"));
    let words = ["simulate", "--scenario", scenario, "--no-wait", "--tasks", "12"];
    let words: Vec<&str> = words.iter().chain(arguments).copied().collect();
    let file = File::create(&recording).unwrap();
    let output = program.command(&words).stdout(file).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    recording
}

/// Has the daemon play a recording to its end, on a data directory.
pub(crate) fn play(program: &Program, recording: &Path, data_dir: &Path) {
    let source = format!("replay:{}", recording.display());
    let data_dir = data_dir.to_str().unwrap();
    let run = program.run(&["daemon", "--source", &source, "--speed", "max", "--data-dir", data_dir]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}
