//! Standard output: written through one lock, with errors that are told. It has no colour: programs read it as often
//! as people.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// Has `write` write to standard output, through a buffer that is flushed at the end.
///
/// # Errors
/// Where something could not be written. [`super::Exit::of`] knows a closed pipe among them, which ends the
/// program quietly: Rust ignores SIGPIPE, and that stays so, as children get it back by default.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).context("can't write to standard output")
}

/// Prints a value as indented JSON and a newline.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// Has `write` write to a new file, which is told then; to standard output where none is named, or `-`.
///
/// # Errors
/// As [`print()`], and where the file is there already, or can't be made or written.
pub fn deliver(
    file: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    told: impl FnOnce(&Path) -> String,
) -> anyhow::Result<()> {
    match file.filter(|file| *file != Path::new("-")) {
        None => print(write),
        Some(file) => {
            make_file(file, write)?;
            print(|out| writeln!(out, "{}", told(file)))
        }
    }
}

/// Makes a file that only its owner can read, as names of processes are in it, and has `write` write to it. One that is
/// there is somebody's, and stays; one that could not be written whole goes.
///
/// # Errors
/// Where it is there already, or can't be made or written.
fn make_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let made = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!("it is there already: choose another name, or remove it first")
        }
        _ => error.into(),
    });
    let mut out = BufWriter::new(made.with_context(|| format!("can't make {}", path.display()))?);
    let written = write(&mut out).and_then(|()| out.flush());
    if written.is_err() {
        // What went wrong is told; that half of a file stays would be a second thing.
        let _ = fs::remove_file(path);
    }
    written.with_context(|| format!("can't write {}", path.display()))
}
