//! `notify-test`: sends a notification and says what came of it; and the helper process that every one is sent from.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::{Context, Exit, output};
use crate::config::{self, Overrides};
use crate::human;
use crate::output::alert::{Banner, Desktop, LIMIT, Outcome, run_helper};
use crate::wire;

/// Send a desktop notification, and say what came of it
///
/// It goes the same way as those of the daemon: from a helper process that has 5 s. A daemon that was started
/// elsewhere (by a service manager, over ssh) may have another session, or none.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit code 1 where it was not shown.

Examples:
  pause-monitor notify-test           does a notification come through?
  pause-monitor notify-test --json    the same for programs")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `notify-test --json`.
#[derive(Serialize)]
struct TestJson<'a> {
    /// ok, failed or timeout.
    outcome: &'a str,
    /// Which service took it; null where none did.
    service: Option<&'a str>,
    /// Why it was not shown; null where it was.
    why: Option<&'a str>,
    /// Whether the user saw it; null where nobody was asked.
    seen: Option<bool>,
    took_s: f64,
}

pub(super) fn test(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let alerts = config::load(context, &Overrides::default())?.config.alerts;
    let banner = Banner {
        title: "Pause of 1.52 s: example_process (test)".to_owned(),
        body: "This is what a pause will look like.\nSent by pause-monitor notify-test.".to_owned(),
        sound: alerts.sound,
    };
    let desktop = Desktop::new(context.owner).context("this program's own path")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let began = Instant::now();
    let outcome = runtime.block_on(desktop.show(&banner));
    let took_s = began.elapsed().as_secs_f64();
    let (name, service, why) = match &outcome {
        Outcome::Ok(service) => ("ok", Some(service.as_str()), None),
        Outcome::Failed(why) => ("failed", None, Some(why.clone())),
        Outcome::Timeout => (
            "timeout",
            None,
            Some(format!("the notification service did not answer within {} s", LIMIT.as_secs())),
        ),
    };
    let seen = if service.is_some() && !args.json { ask()? } else { None };
    if args.json {
        let json = TestJson { outcome: name, service, why: why.as_deref(), seen, took_s };
        output::print(|out| {
            wire::write_json(&mut *out, &json)?;
            writeln!(out)
        })?;
    } else if let Some(service) = service {
        output::print(|out| writeln!(out, "taken by {service}, in {}", human::duration(took_s)))?;
    }
    match (service, why, seen) {
        (_, Some(why), _) if !args.json => Err(anyhow::anyhow!("not shown: {why}")),
        (_, None, Some(false)) => Err(anyhow::anyhow!(
            "taken but not seen: allow notifications of {BORROWED} in System Settings > Notifications, and end any Focus"
        )),
        (None, ..) => Ok(Exit::Failed.into()),
        (Some(_), ..) => Ok(Exit::Done.into()),
    }
}

/// Whose name the notifications are shown under on a Mac.
const BORROWED: &str = "Terminal and Script Editor";

/// On a Mac the system says that it shows what nobody sees: only the user knows. `None` where nobody can be asked.
fn ask() -> anyhow::Result<Option<bool>> {
    if !cfg!(target_os = "macos") || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(None);
    }
    output::print(|out| {
        write!(out, "Did you see a notification? [y/n] ")?;
        out.flush()
    })?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("no answer")?;
    Ok(Some(answer.trim().to_lowercase().starts_with('y')))
}

/// The helper process.
pub(super) fn helper() -> anyhow::Result<ExitCode> {
    let service = run_helper(io::stdin().lock())?;
    output::print(|out| writeln!(out, "{service}"))?;
    Ok(Exit::Done.into())
}
