//! `prune`: retention by hand.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use super::{Exit, Failure, output};
use crate::clock;
use crate::config::{self, Overrides};
use crate::human;
use crate::output::store::{Pruned, Pruning, open_for_pruning, plan_pruning};

/// Delete what is too old, or too much, by the rules of `[retention]`. The daemon does so once a day.
///
/// Reviewed and dismissed events go after `events_days`; episodes and stalls that only were ELEVATED, and that nobody has
/// looked at, after 14 days; evidence, and samples away from an event's peak, after `forensics_days`. Pauses, outages and what was
/// CRITICAL stay until somebody has judged them, or the database is too large. Pinned events stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pause-monitor prune --dry-run   say what would go
  pause-monitor prune --yes       delete it without asking

Pinned events stay, with all that belongs to them: pause-monitor events mark ID --status pinned")]
pub struct Args {
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command with the limits of the configuration.
///
/// # Errors
/// Where the events can't be read or deleted.
pub fn run(args: &Args, context: &super::Context) -> anyhow::Result<ExitCode> {
    let retention = config::load(context, &Overrides::default())?.config.retention;
    let now_ns = clock::unix_ns();
    let Some(mut connection) = open_for_pruning(&context.data_dir)? else {
        return say("Nothing to delete: there are no events.");
    };
    let plan = plan_pruning(&connection, retention, &context.data_dir, now_ns)?;
    if plan.is_empty() {
        return say("Nothing to delete.");
    }
    if args.dry_run {
        return say(&format!("Would delete {}.", describe(plan, "about ")));
    }
    if !args.yes {
        if !io::stdin().is_terminal() {
            let message = "prune asks before it deletes: pass --yes, or --dry-run to see what";
            return Err(Failure::new(Exit::Usage, message).into());
        }
        if !confirmed(plan, &mut io::stdin().lock(), &mut io::stderr().lock())? {
            return say("Nothing was deleted.");
        }
    }
    let mut pruning = Pruning::new(retention, &context.data_dir, now_ns);
    while pruning.step(&mut connection)? {}
    // What was freed leaves the file when the journal is written into it; the daemon may be at it just now.
    if let Err(error) = connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())) {
        tracing::debug!(%error, "the file shrinks later");
    }
    let pruned = pruning.pruned();
    say(&format!("Deleted {}.", describe(pruned, "")))
}

fn describe(pruned: Pruned, about: &str) -> String {
    let plural =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    format!(
        "{}, {}, {}: {about}{}",
        plural(pruned.events, "event", "events"),
        plural(pruned.samples, "sample", "samples"),
        plural(pruned.directories, "directory of captures", "directories of captures"),
        human::bytes(pruned.bytes)
    )
}

/// Asks; anything but y or yes is no.
fn confirmed(plan: Pruned, answers: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<bool> {
    write!(out, "Delete {}? [y/N] ", describe(plan, "about "))?;
    out.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Says it, and is done.
fn say(text: &str) -> anyhow::Result<ExitCode> {
    output::print(|out| writeln!(out, "{text}"))?;
    Ok(Exit::Done.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        let plan = Pruned { events: 1, samples: 300, directories: 0, bytes: 3 << 20 };
        let ask = |answer: &str| {
            let mut out = Vec::new();
            (confirmed(plan, &mut answer.as_bytes(), &mut out).unwrap(), String::from_utf8(out).unwrap())
        };
        let question = "Delete 1 event, 300 samples, 0 directories of captures: about 3.0 MiB? [y/N] ";
        assert_eq!(ask("y\n"), (true, question.to_owned()));
        assert!(ask("YES\n").0);
        for answer in ["", "\n", "n\n", "yep\n"] {
            assert!(!ask(answer).0, "{answer:?}");
        }
    }
}
