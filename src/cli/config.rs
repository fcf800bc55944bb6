//! `config`: shows, finds, checks and writes the configuration.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::{Context, Exit, Failure, output};
use crate::config::{self, Origin, Overrides, show};
use crate::draft;
use crate::output::{alert, http};
use crate::sample::printable;

/// Options of `config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print what is in force and where each value comes from (this is also what `config` alone does)
    ///
    /// The output is itself a configuration file. With --source, --log-level or --log-format it shows what the
    /// daemon would make of these options.
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Print where the configuration file and the data directory are
    Path {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say whether a configuration file is right, or what is wrong with it and where (exit code 2)
    Check {
        /// The file, instead of the one in force
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Write a configuration file in which every key stands commented out, with its meaning, range and default
    Init {
        /// Replace a file that exists
        #[arg(long)]
        force: bool,
    },
}

/// Runs `config`.
///
/// # Errors
/// What is wrong with the configuration; or where a file or standard output can't be written.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => show(context, &Overrides::default(), false),
        Some(Command::Show { json, overrides }) => show(context, overrides, *json),
        Some(Command::Path { json }) => path(context, *json),
        Some(Command::Check { file }) => check(context, file.as_deref()),
        Some(Command::Init { force }) => init(context, *force),
    }?;
    Ok(Exit::Done.into())
}

fn show(context: &Context, overrides: &Overrides, json: bool) -> anyhow::Result<()> {
    let loaded = config::load(context, overrides)?;
    if json {
        output::print_json(&show::json(&loaded, context))
    } else {
        output::print(|out| out.write_all(show::text(&loaded, context).as_bytes()))
    }
}

fn path(context: &Context, json: bool) -> anyhow::Result<()> {
    let (file, dir) = (context.config_file.to_string_lossy(), context.data_dir.to_string_lossy());
    if json {
        output::print_json(&json!({ "config_file": file, "data_dir": dir }))
    } else {
        output::print(|out| writeln!(out, "config  {}\ndata    {}", printable(&file), printable(&dir)))
    }
}

fn check(context: &Context, file: Option<&Path>) -> anyhow::Result<()> {
    let mut context = context.clone();
    if let Some(file) = file {
        context.config_file = file.to_owned();
        context.config_origin = Origin::Option("the command line");
    }
    let loaded = config::load(&context, &Overrides::default())?;
    http::check(&loaded.config.http)?;
    let warnings = alert::check_hooks(&loaded.config.hooks);
    super::hooks::warn(&warnings.map_err(|why| Failure::new(Exit::Usage, why))?);
    let name = printable(&context.config_file.to_string_lossy());
    let finding =
        if loaded.file_exists { "ok" } else { "ok: there is no such file, every value is its default" };
    output::print(|out| writeln!(out, "{name}: {finding}"))
}

fn init(context: &Context, force: bool) -> anyhow::Result<()> {
    let file = &context.config_file;
    let name = printable(&file.to_string_lossy());
    if let Some(dir) = file.parent() {
        config::create_dir(dir)?;
    }
    // Under sudo the file is for the invoking user, whose powermetrics goes through sudo.
    let text = show::template(context.root && context.owner.is_none());
    match draft::place(file, text.as_bytes(), 0o600, force) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !force => Err(Failure::new(
            Exit::Failed,
            format!("{name} exists: edit it, or replace it with `config init --force`"),
        )
        .into()),
        result => {
            result.with_context(|| format!("can't write {name}"))?;
            output::print(|out| writeln!(out, "wrote {name}"))
        }
    }
}
