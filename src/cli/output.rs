//! Standard output: written through one lock, with errors that are told; and whether it has colour.

use std::ffi::OsStr;
use std::io::{self, BufWriter, IsTerminal, Write};

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

/// Whether standard output is to have colour: only on a terminal, and not with NO_COLOR or TERM=dumb.
#[must_use]
pub fn colour() -> bool {
    let variable = |name| std::env::var_os(name);
    may_have_colour(io::stdout().is_terminal(), variable("NO_COLOR").as_deref(), variable("TERM").as_deref())
}

/// NO_COLOR counts with any value but an empty one, as its convention has it.
fn may_have_colour(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term != Some(OsStr::new("dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let may = |terminal, no_color: Option<&str>, term: Option<&str>| {
            may_have_colour(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(may(true, None, Some("xterm-256color")));
        assert!(may(true, Some(""), None));
        assert!(!may(true, Some("1"), None));
        assert!(!may(true, None, Some("dumb")));
        assert!(!may(false, None, None));
    }
}
