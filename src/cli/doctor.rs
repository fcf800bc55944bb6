//! stub
use super::Context;
use std::process::ExitCode;
/// Say what works
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Runs it.
/// # Errors
/// none
pub fn run(_: &Args, _: &Context) -> anyhow::Result<ExitCode> {
    Ok(super::Exit::Done.into())
}
