//! `pause-monitor daemon`: watches, until it is told to stop.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Context, Exit, Failure, tell};
use crate::config::{self, Overrides, SourceKind};
use crate::daemon::limits::{self, LimitError};
use crate::daemon::lock::LockError;
use crate::daemon::{self, DaemonError, Run, logging};
use crate::output::http::HttpError;
use crate::privileges;
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
    /// Log to this file instead of standard error; at 2 MB it becomes FILE.old, and a new one is begun
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    log_file: Option<PathBuf>,
    /// End with exit code 0 where another start would not mend it: launchd starts anything else again, for ever
    #[arg(long)]
    under_launchd: bool,
    /// End when standard input does: with whoever started it, whichever way that ends
    #[arg(long, hide = true)]
    until_eof: bool,
}

/// Runs the daemon.
///
/// # Errors
/// Where it can't start.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match watch(args, context) {
        Ok(()) => Ok(Exit::Done.into()),
        Err(Ended::Refused(error)) if args.under_launchd => {
            tell(&format!("{error:#}"));
            tell(
                "another start would not mend it: mend it, then run `pause-monitor install` or log in again",
            );
            Ok(Exit::Done.into())
        }
        Err(Ended::Refused(error) | Ended::Failed(error)) => Err(error),
    }
}

/// Why it ended other than well.
enum Ended {
    /// It did not start, and another start would not mend it.
    Refused(anyhow::Error),
    /// It failed under way, or the next start may do better: a crash, as a panic is.
    Failed(anyhow::Error),
}

fn watch(args: &Args, context: &Context) -> Result<(), Ended> {
    let refused = |error: anyhow::Error| Ended::Refused(error);
    let can_not = |error: io::Error| {
        Ended::Failed(Failure::new(Exit::Failed, format!("can't give up what was root's: {error}")).into())
    };
    limits::prepare().map_err(|error| {
        let failure = Failure::new(Exit::Failed, error.to_string()).into();
        // What others hold now they may give back.
        if let LimitError::Threads(_) = error { Ended::Failed(failure) } else { Ended::Refused(failure) }
    })?;
    // Before anything is said: what is wrong with the configuration is to be in it too.
    let file = args.log_file.as_ref().map(|file| logging::LogFile::open(file)).transpose();
    let file = file.map_err(|error| Ended::Failed(error.into()))?;
    let loaded = config::load(context, &args.overrides).map_err(|error| refused(error.into()))?;
    let mut paths = context.clone();
    if context.owner.is_some() {
        // Root can be had back for powermetrics alone.
        match &loaded.config.source {
            SourceKind::Powermetrics => Ok(()),
            source => privileges::stay(*source == SourceKind::Linux),
        }
        .map_err(can_not)?;
        paths.root = false;
    }
    let (log, log_dropped) = logging::start(&loaded.config.log, file);
    let run = Run {
        paths,
        overrides: args.overrides.clone(),
        allow_degraded: args.allow_degraded,
        speed: args.speed,
        until_eof: args.until_eof,
        log_dropped,
    };
    let result = daemon::run(&loaded, &run);
    // What was logged comes before what went wrong.
    drop(log);
    result.map_err(|error| {
        let exit = match &error {
            DaemonError::Lock(LockError::Held(..) | LockError::Taken(..)) => Exit::AlreadyRunning,
            DaemonError::Source(_) => Exit::Source,
            DaemonError::Otlp(_) => Exit::Usage,
            DaemonError::Http(HttpError::WebConfig(_)) => Exit::Usage,
            DaemonError::Lock(LockError::Io(..))
            | DaemonError::Socket(_)
            | DaemonError::Http(HttpError::InUse(_) | HttpError::Listen(..))
            | DaemonError::System(..)
            | DaemonError::Failed(_) => Exit::Failed,
        };
        // What else can go wrong at a start may be gone at the next: memory, a thread, a port, the disk.
        let refused = matches!(exit, Exit::AlreadyRunning | Exit::Source | Exit::Usage);
        let error = Failure::new(exit, chain(&error)).into();
        if refused { Ended::Refused(error) } else { Ended::Failed(error) }
    })
}

/// The error with its causes, in one line.
fn chain(error: &DaemonError) -> String {
    match error {
        DaemonError::System(what, cause) => format!("{what}: {cause}"),
        other => other.to_string(),
    }
}
