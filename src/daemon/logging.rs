//! The log: on standard error, written by a thread of its own, so that a terminal that hangs holds up nobody.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Lines that wait at most for standard error to take them; then new ones are dropped.
const QUEUE: usize = 1_000;

/// Starts the log. It ends, written as far as standard error takes it, when the guard is dropped.
pub fn start(log: &Log) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(QUEUE).lossy(true).finish(std::io::stderr());
    let filter = EnvFilter::new(log.level.as_str());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A second log in one process (tests) is not started.
    let _ = match log.format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.with_ansi(colour).finish()),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish())
        }
    };
    guard
}
