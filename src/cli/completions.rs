//! `completions`: a completion script for a shell.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Context, Exit, output};

/// Options of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Where it goes:
  bash  pause-monitor completions bash > ~/.local/share/bash-completion/completions/pause-monitor
  zsh   pause-monitor completions zsh > DIR/_pause-monitor, with DIR in $fpath
  fish  pause-monitor completions fish > ~/.config/fish/completions/pause-monitor.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Where standard output can't be written.
pub fn run(args: &Args, _context: &Context) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output::print(|out| out.write_all(&script))?;
    Ok(Exit::Done.into())
}
