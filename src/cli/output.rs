//! Standard output: written through one lock, with errors that are told. It has no colour: programs read it as often
//! as people.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::client::{ClientError, Connection};
use crate::wire;

/// Has `write` write to standard output, through a buffer that is flushed at the end.
///
/// # Errors
/// Where something could not be written. [`super::Exit::of`] knows a closed pipe among them, which ends the
/// program quietly: Rust ignores SIGPIPE, and that stays so, as children get it back by default.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).context("can't write to standard output")
}

/// Connects to the daemon of a data directory and waits for its first line. A person at a terminal is told after a second
/// that this is what it waits for.
///
/// # Errors
/// [`ClientError`].
pub fn greeting(directory: &Path, line: &mut Vec<u8>) -> Result<Connection, ClientError> {
    Connection::greeted(directory, |connection| first_line(connection, line))
}

/// False where there is none.
fn first_line(connection: &mut Connection, line: &mut Vec<u8>) -> Result<bool, ClientError> {
    let terminal = io::stderr().is_terminal();
    let told = terminal && !connection.answers_within(Duration::from_secs(1))?;
    if told {
        let process = connection.pid().map(|pid| format!(", process {pid}")).unwrap_or_default();
        // Where standard error is gone there is nobody to tell.
        let _ = write!(io::stderr(), "waiting for the daemon{process} …");
    }
    let read = connection.line(line);
    if told {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    read
}

/// A number of things to print, from the command line.
///
/// # Errors
/// Where it is none, or 0.
pub fn count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|&count| count > 0);
    count.ok_or_else(|| format!("write a number from 1 to {}", u32::MAX))
}

/// Prints a value as indented JSON and a newline.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(|out| {
        wire::write_json_pretty(&mut *out, value)?;
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
