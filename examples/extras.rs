//! Writes what a package has besides the program into a directory: a page of the manual for each command, and completion
//! scripts. `cargo run --example extras -- DIR`

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use pause_monitor::cli::Cli;

fn main() -> std::io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("which directory? cargo run --example extras -- DIR"));
    };
    let (man, completions) = (directory.join("man/man1"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Cli::command(), man)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut Cli::command(), "pause-monitor", &completions)?;
    }
    Ok(())
}
