//! `pause-monitor daemon`: watches, until it is told to stop.

use std::process::ExitCode;

use super::{Context, Exit, Failure};
use crate::config::{self, Overrides};
use crate::daemon::lock::LockError;
use crate::daemon::{self, DaemonError, Run, logging};
use crate::output::http::HttpError;
use crate::source::replay::Speed;

/// Watch this machine, and record every pause
///
/// Needs no configuration: on Linux it reads the kernel's counters, on macOS it runs powermetrics (which needs
/// root: a line in /etc/sudoers.d permits just that). It runs in the foreground and logs to standard error;
/// SIGTERM or Ctrl-C stops it, SIGHUP has it read its configuration again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    overrides: Overrides,
    /// Go on with load, memory and lateness alone where the source can't start, and try it again every 30 s
    #[arg(long)]
    allow_degraded: bool,
    /// The pace of a recording or a simulation: a factor, or max
    #[arg(long, value_name = "N", default_value = "1")]
    speed: Speed,
    /// End when standard input does: with whoever started it, whichever way that ends
    #[arg(long, hide = true)]
    until_eof: bool,
}

/// Runs the daemon.
///
/// # Errors
/// Where it can't start.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let loaded = config::load(context, &args.overrides)?;
    let (log, log_dropped) = logging::start(&loaded.config.log);
    let run = Run {
        paths: context.clone(),
        overrides: args.overrides.clone(),
        allow_degraded: args.allow_degraded,
        speed: args.speed,
        until_eof: args.until_eof,
        log_dropped,
    };
    let result = daemon::run(&loaded, &run);
    // What was logged comes before what went wrong.
    drop(log);
    result.map(|()| Exit::Done.into()).map_err(|error| {
        let exit = match &error {
            DaemonError::Lock(LockError::Held(..)) => Exit::AlreadyRunning,
            DaemonError::Source(_) => Exit::Source,
            DaemonError::Otlp(_) => Exit::Usage,
            DaemonError::Http(HttpError::WebConfig(_)) => Exit::Usage,
            DaemonError::Lock(LockError::Io(..))
            | DaemonError::Socket(_)
            | DaemonError::Http(HttpError::InUse(_) | HttpError::Listen(..))
            | DaemonError::System(..)
            | DaemonError::Failed(_) => Exit::Failed,
        };
        Failure::new(exit, chain(&error)).into()
    })
}

/// The error with its causes, in one line.
fn chain(error: &DaemonError) -> String {
    match error {
        DaemonError::System(what, cause) => format!("{what}: {cause}"),
        other => other.to_string(),
    }
}
