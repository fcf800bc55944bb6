//! `pause-monitor stream`: the socket's lines on standard output.

use std::io::Write;
use std::process::ExitCode;

use super::{Context, Exit, output};

/// Print what the daemon sees, as it sees it: JSON, a line each
///
/// The first line, hello, holds the samples and gaps of the last 30 seconds; then come samples, tier changes, gaps and
/// what becomes of the source. What was printed to a file can be replayed: `analyze FILE`, or `daemon
/// --source replay:FILE`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the samples out: tier changes, gaps and the source only
    #[arg(long)]
    events: bool,
    /// End after so many lines, the hello included
    #[arg(long, value_name = "N", value_parser = output::count)]
    count: Option<u32>,
}

/// Prints until the daemon ends, the count is reached or standard output is closed.
///
/// # Errors
/// Where no daemon runs, it ended, or it cut us off.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut line = Vec::new();
    let mut connection = output::greeting(&context.data_dir, &mut line)?;
    connection.wait_for_ever()?;
    let mut out = std::io::stdout().lock();
    let mut left = args.count;
    loop {
        // The kind is the line's first member.
        if !(args.events && line.starts_with(br#"{"type":"sample""#)) {
            out.write_all(&line)?;
            out.flush()?;
            if let Some(left) = &mut left {
                *left -= 1;
                if *left == 0 {
                    return Ok(Exit::Done.into());
                }
            }
        }
        if !connection.line(&mut line)? {
            return Err(connection.end(&context.data_dir).into());
        }
    }
}
