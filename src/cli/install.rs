//! `pause-monitor install`: the service, and the permission that it needs.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{Context, Exit, Failure, output};
use crate::client::Connection;
use crate::config::{self, Overrides};
use crate::sample::Sample;
use crate::service::launchd::Job;
use crate::service::plan::{Install, Service};
use crate::service::sudoers::captures_are_permitted;
use crate::service::systemd::SYSTEM_DATA;
use crate::service::{Platform, ServiceError, Who};
use crate::wire::{Message, SampleLine};

/// Have this machine watched from now on: the service, and on a Mac the permission to run powermetrics
///
/// On a Mac: a LaunchAgent of yours, and a line for sudo that permits exactly the powermetrics command that is run; sudo
/// asks for a password once. On Linux: a systemd unit of yours, or as root the system's. Nothing else changes, and what is
/// in place already is left alone; run it again after an upgrade or a change of the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pause-monitor install --dry-run                    every file and command, and nothing is done
  pause-monitor install                              do it
  pause-monitor install --forensics                  permit tailspin too: it saves what the kernel traced before a pause
  pause-monitor install --dry-run --platform macos   what it would be on a Mac

pause-monitor uninstall takes all of it away.")]
pub struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    /// Permit captures by tailspin as well (macOS only); once permitted they stay so
    #[arg(long)]
    forensics: bool,
    /// Permit captures no more
    #[arg(long, conflicts_with = "forensics")]
    no_forensics: bool,
}

/// What is done, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Print every file and command, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// The system, if not this one
    #[arg(long, value_enum, value_name = "SYSTEM")]
    platform: Option<Platform>,
}

impl Target {
    /// The system that is meant.
    pub(super) fn platform(&self) -> Platform {
        self.platform.unwrap_or(Platform::this())
    }

    /// Whether this is about the system's service, where root runs it.
    pub(super) fn is_the_systems(&self) -> bool {
        self.platform() == Platform::Linux
    }
}

/// How long a daemon that was started is given until it delivers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the command.
///
/// # Errors
/// Where a step fails.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let platform = args.target.platform();
    let who = Who::of_process(context).map_err(failure)?;
    let root_alone = platform == Platform::Macos && context.root && context.owner.is_none();
    if root_alone && !args.target.dry_run {
        return Err(Failure::new(
            Exit::Usage,
            "root has no screen to be told at: run this as the user whose Mac it is; sudo is asked for what needs root",
        )
        .into());
    }
    // Shown as an ordinary user would see it.
    let paths = Context { root: context.root && !root_alone, ..context.clone() };
    let paths =
        if args.target.is_the_systems() { paths } else { Service::installed_paths(platform, &who, &paths) };
    // What it runs with is an ordinary user's, whoever installs it.
    let config = config::load(&Context { root: false, ..paths.clone() }, &Overrides::default())?.config;
    let captures =
        args.forensics || (!args.no_forensics && !args.target.is_the_systems() && captures_are_permitted());
    let install = Install::new(platform, &who, &paths, &config, captures).map_err(failure)?;
    if args.target.dry_run {
        output::print(|out| install.show(out))?;
        return Ok(Exit::Done.into());
    }
    let mut out = std::io::stdout().lock();
    install.carry_out(&mut out).map_err(failure)?;
    let interval = config.powermetrics.interval.as_millis();
    if platform == Platform::Macos && install.rules.is_some() {
        let _ = writeln!(
            out,
            "powermetrics samples every {interval} ms; every 100 ms costs 15 to 20 % of a core, a longer [powermetrics] interval less"
        );
    }
    let system = matches!(&install.service, Service::Unit(unit) if unit.system);
    let (doctor, tui) = if system {
        ("sudo pause-monitor doctor", format!("sudo pause-monitor tui --data-dir {SYSTEM_DATA}"))
    } else {
        ("pause-monitor doctor", "pause-monitor tui".to_owned())
    };
    let verdict = match deliver(&install) {
        Some(sample) if sample.degraded => {
            format!("It runs, but knows load, memory and lateness only: {doctor} says why")
        }
        Some(_) => format!("It watches. {doctor} checks all of it; {tui} shows it"),
        None => format!("It has not delivered yet: {doctor} says why"),
    };
    let _ = writeln!(out, "{verdict}");
    if let (Service::Unit(_), false, Some(name)) = (&install.service, system, &who.name)
        && !Path::new("/var/lib/systemd/linger").join(name).exists()
    {
        let _ = writeln!(
            out,
            "It ends when you log out: `loginctl enable-linger` has it go on, and start with the machine"
        );
    }
    Ok(Exit::Done.into())
}

/// Waits until the daemon delivers complete samples; the last that came.
fn deliver(install: &Install) -> Option<Sample> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        if let Ok(mut connection) = Connection::open(install.data_dir()) {
            let mut line = Vec::new();
            while Instant::now() < deadline && connection.line(&mut line).unwrap_or(false) {
                let sample = match serde_json::from_slice(&line) {
                    Ok(Message::Sample(sample)) => sample.to_sample(),
                    Ok(Message::Hello(hello)) => hello.ring.last().and_then(SampleLine::to_sample),
                    _ => None,
                };
                if sample.as_ref().is_some_and(|sample| !sample.degraded) {
                    return sample;
                }
                last = sample.or(last);
            }
        }
        // A job that is to start at the next login does not deliver now.
        if let Service::Agent(agent) = &install.service
            && agent.job() == Job::None
        {
            return last;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    last
}

/// How the program ends where a service could not be put in place or taken away.
pub(super) fn failure(error: ServiceError) -> Failure {
    let exit = match &error {
        ServiceError::Usage(_) => Exit::Usage,
        ServiceError::Running(_) => Exit::AlreadyRunning,
        ServiceError::Failed(_) => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}
