//! The log: on standard error or in a file, written by a thread of its own, so that a terminal that hangs holds up
//! nobody.

mod file;

use std::ffi::OsStr;
use std::io::IsTerminal;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

pub use file::{LogFile, old};

use crate::config::{Log, LogFormat, LogLevel};

/// Lines that wait at most for standard error to take them; then new ones are dropped.
const QUEUE: usize = 1_000;

/// Starts the log, in the file where there is one. It ends, written as far as that takes it, when the guard is dropped;
/// the counter tells of lines that were dropped.
pub fn start(log: &Log, file: Option<LogFile>) -> (WorkerGuard, ErrorCounter) {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(QUEUE).lossy(true);
    let (writer, guard) = match file {
        Some(file) => builder.finish(file),
        None => builder.finish(std::io::stderr()),
    };
    let dropped = writer.error_counter();
    let filter = EnvFilter::new(filter(log.level));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let variable = |name| std::env::var_os(name);
    let terminal = std::io::stderr().is_terminal();
    let colour = may_have_colour(terminal, variable("NO_COLOR").as_deref(), variable("TERM").as_deref());
    // A second log in one process (tests) is not started.
    let _ = match log.format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.with_ansi(colour).finish()),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish())
        }
    };
    (guard, dropped)
}

/// Ours at `level`; of the libraries below the exporter only what is wrong: how they talk to a collector is their
/// own affair.
fn filter(level: LogLevel) -> String {
    let others = if level == LogLevel::Error { LogLevel::Error } else { LogLevel::Warn };
    format!("{},pause_monitor={}", others.as_str(), level.as_str())
}

/// Colour is for terminals that have it. NO_COLOR counts with any value but an empty one, as its convention has it.
fn may_have_colour(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term != Some(OsStr::new("dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_other_programs_parts_only_what_is_wrong_is_logged() {
        assert_eq!(filter(LogLevel::Trace), "warn,pause_monitor=trace");
        assert_eq!(filter(LogLevel::Error), "error,pause_monitor=error");
    }

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
