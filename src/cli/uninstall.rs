//! `pause-monitor uninstall`: leaves without a trace.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use super::install::{Target, failure};
use super::{Context, Exit, Failure, output};
use crate::service::Who;
use crate::service::removal::Uninstall;

/// Take the service, the permission and all that was recorded away again
///
/// On a Mac sudo asks for a password once, for the line that permits powermetrics. The program itself stays: whatever
/// brought it takes it away.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pause-monitor uninstall --dry-run     every file and command, and nothing is done
  pause-monitor uninstall --keep-data   what was recorded, and the configuration, stay
  pause-monitor uninstall --yes         don't ask")]
pub struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    /// Leave the events and the configuration
    #[arg(long)]
    keep_data: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// Where a step fails.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let platform = args.target.platform();
    let who = Who::of_process(context).map_err(failure)?;
    let uninstall = Uninstall::new(platform, &who, context, args.keep_data).map_err(failure)?;
    if args.target.dry_run {
        output::print(|out| uninstall.show(out))?;
        return Ok(Exit::Done.into());
    }
    if let Some(data) = uninstall.data()
        && !args.yes
    {
        if !io::stdin().is_terminal() {
            let message = "uninstall asks before it deletes what was recorded: pass --yes, or --keep-data";
            return Err(Failure::new(Exit::Usage, message).into());
        }
        let mut question = io::stderr().lock();
        write!(question, "Delete all that is on record in {}? [y/N] ", data.display())?;
        question.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            output::print(|out| writeln!(out, "Nothing was changed; --keep-data leaves what is on record."))?;
            return Ok(Exit::Done.into());
        }
    }
    let mut out = io::stdout().lock();
    let anything = uninstall.carry_out(&mut out).map_err(failure)?;
    let told = match (anything, uninstall.is_the_systems()) {
        (true, _) => "Done.".to_owned(),
        (false, true) => {
            "Nothing of the system's was here; a user's own is taken away by that user, without sudo."
                .to_owned()
        }
        (false, false) => format!("Nothing was here for {}.", who.name.as_deref().unwrap_or("this user")),
    };
    let _ = writeln!(out, "{told}");
    Ok(Exit::Done.into())
}
