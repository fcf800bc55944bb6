//! `capture`, hidden: reads what the kernel can tell, in a process that can be killed where a read hangs. The daemon
//! runs it after a pause.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;

use crate::output::forensics::snapshot;

/// Print what Linux can tell of this machine now
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What
    #[arg(value_parser = PossibleValuesParser::new(snapshot::NAMES))]
    name: String,
    /// Of the kernel's log what came from then on, µs on its clock
    #[arg(long, value_name = "US", default_value_t = 0)]
    since_us: u64,
    /// Of blocked threads those of this process are left out: it waits for the disk to write what was gathered
    #[arg(long, value_name = "PID")]
    daemon: Option<u32>,
}

/// Prints it; what is to be told of it goes to standard error, in a line.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let what = snapshot::What { name: &args.name, since_us: args.since_us, daemon: args.daemon };
    let result = snapshot::write(&what, Path::new("/"), &mut out).and_then(|said| out.flush().map(|()| said));
    let (said, code) = match result {
        Ok(said) => (said, 0),
        Err(error) => (error.to_string(), snapshot::exit_code(&error)),
    };
    if !said.is_empty() {
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(io::stderr(), "{said}");
    }
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
