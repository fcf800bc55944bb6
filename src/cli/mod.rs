//! The command line: the frame that all commands share, and one file per command.
//!
//! A new command is two lines: a variant of `Command`, and its arm in `run`.

pub mod analyze;
pub mod capture;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod events;
mod exit;
pub mod history;
pub mod hooks;
pub mod install;
pub mod notify;
pub mod output;
pub mod prune;
pub mod simulate;
pub mod status;
pub mod stream;
pub mod table;
pub mod tui;
pub mod uninstall;
pub mod when;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use crate::config::Paths as Context;
pub use exit::{Exit, Failure};

use crate::config::Origin;
use crate::privileges;
use crate::service::systemd::Unit;

const ABOUT: &str = "\
Records every pause of this machine, and says whose fault it was.

It runs all the time, samples the machine ten times a second, and knows afterwards that a pause happened, how \
long it was, whether it was the system, the sampler, this program or just sleep, and which processes built it up.";

const AFTER: &str = "\
Configuration file: ~/.config/pause-monitor/config.toml; data directory: ~/.local/share/pause-monitor. \
XDG_CONFIG_HOME and XDG_DATA_HOME are honoured; under sudo both are the invoking user's. Everything in the \
configuration has a default, and the file need not exist.

Examples:
  pause-monitor demo                  what a pause looks like, in less than a minute
  pause-monitor daemon                watch this machine, until Ctrl-C
  pause-monitor status                is it well, and when was the last pause?
  pause-monitor tui                   the dashboard: what is building up, live
  pause-monitor events                what is on record
  pause-monitor events show 8         the story of one event
  pause-monitor history --days 7      pauses and time in each tier, by day
  pause-monitor stream | jq           what the daemon sees, live
  pause-monitor analyze FILE          what happened in a recording
  pause-monitor hooks test NAME       does this hook work?
  pause-monitor notify-test           does a notification come through?
  pause-monitor config init           write a commented configuration file
  pause-monitor config check          is it right?
  pause-monitor config show           what is in force, and where each value comes from
  pause-monitor install               have it watched from now on; uninstall takes it back
  pause-monitor doctor                what works, what does not, and what to do
  pause-monitor completions zsh       a completion script

Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration
  3  the source can't start
  4  the daemon is not running
  5  the daemon is already running";

/// What can stand on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "pause-monitor",
    version,
    about = ABOUT.lines().next(),
    long_about = ABOUT,
    after_long_help = AFTER,
    after_help = "`--help` says more, with examples.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct Cli {
    /// Configuration file [env: PAUSE_MONITOR_CONFIG]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// Data directory [env: PAUSE_MONITOR_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    data_dir: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Daemon(daemon::Args),
    Status(status::Args),
    Events(Box<events::Args>),
    History(history::Args),
    Stream(stream::Args),
    Tui(tui::Args),
    Demo(demo::Args),
    Analyze(analyze::Args),
    Simulate(simulate::Args),
    Prune(prune::Args),
    Hooks(hooks::Args),
    NotifyTest(notify::Args),
    /// Show one notification, which comes as JSON on standard input
    #[command(name = crate::output::alert::COMMAND, hide = true)]
    NotifyHelper,
    /// Show, check or write the configuration
    Config(config::Args),
    Doctor(doctor::Args),
    Install(install::Args),
    Uninstall(uninstall::Args),
    #[command(hide = true)]
    Capture(capture::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Under sudo: as whom a command is carried out, before anything is opened.
fn privileges(context: Context, command: &Command) -> Result<Context, Failure> {
    let Some(owner) = context.owner else {
        let failed =
            |error| Failure::new(Exit::Failed, format!("can't put capabilities out of force: {error}"));
        privileges::lower().map_err(failed)?;
        return Ok(context);
    };
    let own = match command {
        Command::Install(args) => args.target.is_the_systems(),
        Command::Uninstall(args) => args.target.is_the_systems(),
        Command::Doctor(_) => Unit::is_the_systems(&context),
        _ => Unit::are_the_systems(&context),
    };
    if own {
        return Ok(Context { owner: None, ..context });
    }
    let failed = |error| {
        let told = format!(
            "can't give up root for user {}: {error}: run this as that user, without sudo",
            owner.uid
        );
        Failure::new(Exit::Failed, told)
    };
    privileges::act_as(owner).map_err(failed)?;
    if matches!(command, Command::Daemon(_)) {
        // It knows its source later.
        return Ok(context);
    }
    privileges::stay(false).map_err(failed)?;
    Ok(Context { root: false, ..context })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = privileges(Context::of_process(cli.config, cli.data_dir)?, &cli.command)?;
    // These do not read it, but tell of a name that was mistyped, as those do that read it.
    let passes_over = matches!(
        cli.command,
        Command::Status(_) | Command::Events(_) | Command::History(_) | Command::Stream(_) | Command::Tui(_)
    );
    if passes_over
        && context.config_origin != Origin::Default
        && matches!(context.config_file.try_exists(), Ok(false))
    {
        return Err(crate::config::missing(&context).into());
    }
    match &cli.command {
        Command::Daemon(args) => daemon::run(args, &context),
        Command::Status(args) => status::run(args, &context),
        Command::Events(args) => events::run(args, &context),
        Command::History(args) => history::run(args, &context),
        Command::Stream(args) => stream::run(args, &context),
        Command::Tui(args) => tui::run(args, &context),
        Command::Demo(args) => demo::run(args),
        Command::Analyze(args) => analyze::run(args, &context),
        Command::Simulate(args) => {
            simulate::run(args, &mut std::io::stdout().lock())?;
            Ok(Exit::Done.into())
        }
        Command::Prune(args) => prune::run(args, &context),
        Command::Hooks(args) => hooks::run(args, &context),
        Command::Capture(args) => Ok(capture::run(args)),
        Command::NotifyTest(args) => notify::test(args, &context),
        Command::NotifyHelper => notify::helper(),
        Command::Config(args) => config::run(args, &context),
        Command::Doctor(args) => doctor::run(args, &context),
        Command::Install(args) => install::run(args, &context),
        Command::Uninstall(args) => uninstall::run(args, &context),
        Command::Completions(args) => completions::run(args, &context),
    }
}

/// The whole program: reads the command line, runs the command, and tells on standard error what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            let exit = Exit::of(&error);
            if exit != Exit::Done {
                tell(&format!("{error:#}"));
            }
            exit.into()
        }
    }
}

/// Tells why the command line was not taken: wrong usage in a line, help and the version as they are.
fn refuse(error: &clap::Error) -> Exit {
    use clap::error::ErrorKind;
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Help and version come as errors too, and go to standard output; whoever closed it wants no more.
        let _ = error.print();
        return if error.use_stderr() { Exit::Usage } else { Exit::Done };
    }
    let text = error.render().to_string();
    let told = text.split("\n\n").filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let parts: Vec<String> = told
        .map(|part| part.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned())
        .collect();
    let line = parts.join("; ");
    tell(&format!("{} (--help says more)", line.strip_prefix("error: ").unwrap_or(&line)));
    Exit::Usage
}

/// Writes a message to standard error, line by line, each with the program's name in front.
pub fn tell(message: &str) {
    let mut stderr = std::io::stderr().lock();
    for line in message.lines() {
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(stderr, "pause-monitor: {}", crate::sample::printable(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_global_options_stand_before_or_after_the_command() {
        for line in [
            "pause-monitor --config c --data-dir d config show",
            "pause-monitor config --config c show --data-dir d",
            "pause-monitor config show --config c --data-dir d",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!((cli.config, cli.data_dir), (Some("c".into()), Some("d".into())), "{line}");
        }
    }
}
