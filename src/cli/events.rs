//! `events`: what happened: listed, shown, marked, exported, reported.

mod evidence;
mod export;
mod redaction;
mod report;
mod show;
mod story;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::tz::TimeZone;

use super::{Exit, Failure, output, table, when};
use crate::event::{EventId, Verdict};
use crate::human;
use crate::output::store::{self, Filter, Kind, Reader, Status, StoredEvent};
use crate::sample::Tier;
use crate::wire;

/// Rows of the table unless `--limit` says otherwise.
const NEWEST: u32 = 20;

/// Pauses, stalls, episodes and outages on record.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pause-monitor events                                  the newest 20
  pause-monitor events --kind pause --since 7d          last week's pauses
  pause-monitor events --min-duration 2s --json         all that took 2 s or more, for a program
  pause-monitor events show 7                           the whole story of event 7
  pause-monitor events report 7 -o event-7.html         the same as a page with plots, to attach to a bug report
  pause-monitor events mark 7 --status pinned           keep it for good
  pause-monitor events export 7 -o pause.jsonl --redact for somebody else to look at
  pause-monitor events mark 8 9 --status reviewed --note \"backup ran\"

Tables show local time, JSON shows UTC.")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List events, newest first (what `events` alone does)
    List(ListArgs),
    /// Tell the whole story of an event, and what happened within a minute of it
    Show(ShowArgs),
    /// Mark events as reviewed, pinned or dismissed, or write a note
    Mark(MarkArgs),
    /// Write an event with its samples and captures to a file that `analyze`, `daemon --source replay:` and `tui --replay`
    /// read
    Export(ExportArgs),
    /// Write the whole story of an event, with plots, as one HTML page that needs nothing else
    Report(ReportArgs),
}

#[derive(Debug, Default, PartialEq, clap::Args)]
struct ListArgs {
    /// Only events of this kind; can be repeated. A stall of which only this program had to suffer is starved, too
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    kind: Vec<Asked>,
    /// Only events that went on at this time or later: 2h, 3d (ago), today, 2026-11-22, "2026-11-22 10:00"
    #[arg(long, value_name = "TIME", value_parser = when::time)]
    since: Option<i64>,
    /// Only events that began before this time; as --since
    #[arg(long, value_name = "TIME", value_parser = when::time)]
    until: Option<i64>,
    /// Only events whose highest tier was this one; can be repeated
    #[arg(long, value_name = "TIER", value_delimiter = ',', value_parser = tiers())]
    tier: Vec<Tier>,
    /// Only events with this status; can be repeated
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = statuses())]
    status: Vec<Status>,
    /// Only events at least this long: 500ms, 2s, 1m30s
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    min_duration: Option<u64>,
    /// At most so many, the newest [default: 20; with --json all]
    #[arg(long, value_name = "N", value_parser = output::count)]
    limit: Option<u32>,
    /// Print a JSON array, for programs
    #[arg(long)]
    json: bool,
}

fn number(text: &str) -> Result<EventId, &'static str> {
    text.parse().map_err(|_| "write an event's number, as `events` lists it")
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The event's number, as `events` lists it
    #[arg(value_parser = number)]
    id: EventId,
    /// Print JSON: the event, with `related` (events within 60 s) and `recording` (its samples, as on the socket)
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").args(["status", "note"]).required(true).multiple(true)))]
struct MarkArgs {
    /// The events' numbers
    #[arg(required = true, value_name = "ID", value_parser = number)]
    ids: Vec<EventId>,
    /// unreviewed; reviewed or dismissed (they go after `retention.events_days`); pinned (kept for good)
    #[arg(long, value_name = "STATUS", value_parser = statuses())]
    status: Option<Status>,
    /// A note of your own; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// The event's number, as `events` lists it
    #[arg(value_parser = number)]
    id: EventId,
    /// The file, which must not exist yet; - is standard output [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<std::path::PathBuf>,
    /// Take names of users, their home directories and the host's name out; binary captures are left out then
    #[arg(long)]
    redact: bool,
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// The event's number, as `events` lists it
    #[arg(value_parser = number)]
    id: EventId,
    /// The file, which must not exist yet; - is standard output [default: standard output, unless that is a terminal]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<std::path::PathBuf>,
    /// Take names of users, their home directories and the host's name out
    #[arg(long)]
    redact: bool,
}

/// A kind of events, or those stalls that were judged to be starvation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Kind(Kind),
    Starved,
}

fn kinds() -> impl TypedValueParser<Value = Asked> {
    let starved = Verdict::Starved.as_str();
    let names = Kind::ALL.map(Kind::as_str).into_iter().chain([starved]);
    PossibleValuesParser::new(names).try_map(move |name| {
        if name == starved {
            return Ok(Asked::Starved);
        }
        Kind::parse(&name).map(Asked::Kind).ok_or("no kind")
    })
}

fn tiers() -> impl TypedValueParser<Value = Tier> {
    PossibleValuesParser::new(Tier::ALL.map(Tier::as_str)).try_map(|name| Tier::parse(&name).ok_or("no tier"))
}

fn statuses() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .try_map(|name| Status::parse(&name).ok_or("no status"))
}

/// Runs the command.
///
/// # Errors
/// Where the events can't be read, or an event does not exist.
pub fn run(args: &Args, context: &super::Context) -> anyhow::Result<ExitCode> {
    // clap could refuse these, but would refuse --config and --data-dir in that place, too.
    if args.action.is_some() && args.list != ListArgs::default() {
        let told = "what is asked of `events list`, `show`, `mark`, `export` or `report` stands behind that word: pause-monitor events show 7 --json";
        return Err(Failure::new(Exit::Usage, told).into());
    }
    match &args.action {
        None => list(&args.list, context),
        Some(Action::List(args)) => list(args, context),
        Some(Action::Show(args)) => show::run(args.id, args.json, context),
        Some(Action::Export(args)) => export::run(args.id, args.output.as_deref(), args.redact, context),
        Some(Action::Report(args)) => report::run(args.id, args.output.as_deref(), args.redact, context),
        Some(Action::Mark(args)) => {
            store::mark(&context.data_dir, &args.ids, args.status, args.note.as_deref())?;
            Ok(Exit::Done.into())
        }
    }
}

fn list(args: &ListArgs, context: &super::Context) -> anyhow::Result<ExitCode> {
    let shown = args.limit.or(if args.json { None } else { Some(NEWEST) });
    let kinds = args.kind.iter().filter_map(|asked| match asked {
        Asked::Kind(kind) => Some(*kind),
        Asked::Starved => None,
    });
    let filter = Filter {
        kinds: kinds.collect(),
        starved: args.kind.contains(&Asked::Starved),
        tiers: args.tier.clone(),
        statuses: args.status.clone(),
        since_ns: args.since,
        until_ns: args.until,
        min_duration_ns: args.min_duration,
        // One more than is shown tells whether there are more.
        limit: shown.map(|limit| limit.saturating_add(1)),
        ..Filter::default()
    };
    let reader = Reader::open(&context.data_dir)?;
    let mut events = match &reader {
        Some(reader) => reader.events(&filter)?,
        None => Vec::new(),
    };
    let shown = shown.map_or(usize::MAX, |limit| limit as usize);
    let more = events.len() > shown;
    events.truncate(shown);
    output::print(|out| {
        if args.json {
            return write_json(&events, out);
        }
        if events.is_empty() {
            let nowhere = reader
                .is_none()
                .then(|| format!(" No daemon has written to {} yet.", context.data_dir.display()));
            return writeln!(out, "No events.{}", nowhere.unwrap_or_default());
        }
        write_table(&events, &TimeZone::system(), out)?;
        if more {
            writeln!(out, "There are older ones: --limit N shows more, --json all.")?;
        }
        Ok(())
    })?;
    Ok(Exit::Done.into())
}

/// An array with an event a line.
fn write_json(events: &[StoredEvent], out: &mut dyn Write) -> io::Result<()> {
    let mut before = "[\n";
    for event in events {
        out.write_all(before.as_bytes())?;
        wire::write_json(&mut *out, &event.json())?;
        before = ",\n";
    }
    out.write_all(if events.is_empty() { b"[]\n" } else { b"\n]\n" })
}

fn write_table(events: &[StoredEvent], zone: &TimeZone, out: &mut dyn Write) -> io::Result<()> {
    let mut rows =
        table::Table::new(&[">ID", "TIME", "KIND", ">DURATION", ">PEAK", "TIER", "STATUS", "CULPRITS"]);
    for event in events {
        let peak = event.row.peak.as_ref();
        rows.row(vec![
            event.row.id.to_string(),
            human::local(event.row.started_ns, "%Y-%m-%d %H:%M:%S", zone),
            event.kind_text(),
            event.length_text(),
            peak.map_or_else(|| "-".to_owned(), |peak| peak.stress.total().to_string()),
            peak.map_or("-", |peak| peak.tier.as_str()).to_owned(),
            event.status.as_str().to_owned(),
            event.culprits_text(),
        ]);
    }
    rows.write(out)
}

#[cfg(test)]
mod tests;
