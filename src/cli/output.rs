//! Standard output: written through one lock, with errors that are told. It has no colour: programs read it as often
//! as people.

use std::io::{self, BufWriter, Write};

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
