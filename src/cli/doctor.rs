//! `pause-monitor doctor`: what works, what does not, and what to do.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::install::failure;
use super::{Context, Exit, output};
use crate::config::{self, Config, Overrides};
use crate::service::doctor::{Doctor, Finding, Outcome};
use crate::service::plan::Service;
use crate::service::systemd::Unit;
use crate::service::{Platform, Who};

/// Say what works and what does not, and what to do about it
///
/// It changes nothing. With a daemon it listens to it for three seconds; without one it tries the source out itself. Exit
/// code 1 where something does not work; a warning is none.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The system whose ways are checked, if not this one
    #[arg(long, value_enum, value_name = "SYSTEM", hide = true)]
    platform: Option<Platform>,
}

/// `doctor --json`.
#[derive(Serialize)]
struct Report<'a> {
    /// Nothing failed.
    ok: bool,
    version: &'a str,
    checks: &'a [Finding],
}

/// Runs the command.
///
/// # Errors
/// Where standard output can't be written.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let platform = args.platform.unwrap_or(Platform::this());
    let who = Who::of_process(context).map_err(failure)?;
    // The service's places: its own, or those that it was installed with.
    let system = platform == Platform::Linux && Unit::is_the_systems(context);
    let paths = if system || platform == Platform::Macos || !context.root {
        Service::installed_paths(platform, &who, context)
    } else {
        context.clone()
    };
    // What the service runs with: an ordinary user's.
    let loaded = config::load(&Context { root: false, ..paths.clone() }, &Overrides::default());
    let (config, wrong) = match loaded {
        Ok(loaded) => (loaded.config, None),
        Err(errors) => (Config::default(), Some(errors.to_string().replace('\n', "; "))),
    };
    let doctor = Doctor { platform, who: &who, paths: &paths, config: &config, wrong };
    let mut findings = Vec::new();
    let told = std::io::stderr().is_terminal() && !args.json;
    let mut progress = |what: &str| {
        if told {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{what} …");
        }
    };
    let mut trouble = Ok(());
    doctor.examine(&mut progress, &mut |finding| {
        if !args.json && trouble.is_ok() {
            trouble = output::print(|out| writeln!(out, "{}", line(&finding)));
        }
        findings.push(finding);
    });
    trouble?;
    let failed = findings.iter().filter(|finding| finding.outcome == Outcome::Failed).count();
    if args.json {
        output::print_json(&Report {
            ok: failed == 0,
            version: env!("CARGO_PKG_VERSION"),
            checks: &findings,
        })?;
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed }.into())
}

/// A finding in a line.
fn line(finding: &Finding) -> String {
    let fix = finding.fix.as_ref().map(|fix| format!(" -> {fix}")).unwrap_or_default();
    format!("{:<8} {:<15} {}{fix}", finding.outcome.as_str(), finding.check, finding.found)
}
