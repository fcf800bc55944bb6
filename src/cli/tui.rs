//! `pause-monitor tui`: the dashboard.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use super::{Context, Exit, Failure};
use crate::config::{self, Origin, Overrides, SourceKind};
use crate::daemon;
use crate::human;
use crate::tui::feed::recording;
use crate::tui::look::{Look, Symbols};
use crate::tui::{self, Show};

/// Watch the machine live, or play a recording
///
/// Shows what is building up: the stress score of the last seconds and its eight factors, who is to blame, the events on
/// record. It connects to the daemon's socket, and again when the daemon comes back. `?` on the screen tells the keys.
///
/// With --replay a recording is played through the same screens: what `stream` or `powermetrics -f plist` printed.
/// `-` is standard input, also while it is still being written:
///
///   ssh mac pause-monitor stream | pause-monitor tui --replay -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Play this recording; - is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    replay: Option<PathBuf>,
    /// What graphs are made of [default: what the terminal and the locale can show]
    #[arg(long, value_enum, value_name = "SYMBOLS")]
    symbols: Option<Symbols>,
}

/// Whether there is a terminal that can show the dashboard.
pub(super) fn can_show() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    std::io::stdout().is_terminal() && !dumb
}

/// Runs the dashboard.
///
/// # Errors
/// Where there is no terminal, or the recording can't be opened.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    if !can_show() {
        let told = "the dashboard needs a terminal that can move its cursor: `pause-monitor status` and `stream` need none";
        return Err(Failure::new(Exit::Usage, told).into());
    }
    let mut look = Look::of_terminal(human::utf8(), |name| std::env::var_os(name));
    if let Some(symbols) = args.symbols {
        look.symbols = symbols;
    }
    let show = match &args.replay {
        None => {
            let command = match context.data_origin {
                Origin::Default => "pause-monitor daemon".to_owned(),
                _ => format!("pause-monitor --data-dir {} daemon", context.data_dir.display()),
            };
            Show::Live(context.data_dir.clone(), command)
        }
        Some(file) => {
            let mut config = config::load(context, &Overrides::default())?.config;
            config.source = SourceKind::Replay(file.clone());
            let stop = Arc::default();
            let player = recording::open(file, Arc::clone(&stop))?;
            let name = match file.to_str() {
                Some("-") => "standard input".to_owned(),
                _ => file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
            };
            Show::Recording(name, Box::new(player), daemon::settings(&config), stop)
        }
    };
    tui::run(show, look, None).context("the terminal failed")?;
    Ok(Exit::Done.into())
}
