//! `events show ID`: the whole story of an event.

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::{Context, Exit, output};
use crate::event::EventId;
use crate::human;
use crate::output::store::{EventJson, Kind, QueryError, Reader, StoredEvent};
use crate::sample::{Factor, printable};
use crate::wire::{SampleLine, parse_rfc3339};

/// Seconds before the event that the sparkline shows.
const BEFORE_S: i64 = 30;

/// `events show --json`.
#[derive(Serialize)]
struct ShowJson<'a> {
    #[serde(flatten)]
    event: EventJson<'a>,
    related: Vec<EventJson<'a>>,
    recording: &'a [SampleLine<'static>],
}

pub(super) fn run(id: EventId, json: bool, context: &Context) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&context.data_dir)?.ok_or(QueryError::NoSuchEvent(id))?;
    let event = reader.event(id)?;
    let related = reader.related(&event)?;
    let samples = reader.samples(id)?;
    output::print(|out| {
        if json {
            let related = related.iter().map(StoredEvent::json).collect();
            let all = ShowJson { event: event.json(), related, recording: &samples };
            serde_json::to_writer(&mut *out, &all)?;
            writeln!(out)
        } else {
            story(&event, &related, &samples, &TimeZone::system(), human::utf8(), out)
        }
    })?;
    Ok(Exit::Done.into())
}

pub(super) fn story(
    event: &StoredEvent,
    related: &[StoredEvent],
    samples: &[SampleLine<'_>],
    zone: &TimeZone,
    utf8: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let row = &event.row;
    let time = |ns| human::local(ns, "%Y-%m-%d %H:%M:%S%.3f", zone);
    writeln!(out, "Event {}: {}, {}", row.id, event.kind_text(), event.length_text())?;
    writeln!(out)?;
    writeln!(out, "  began     {}", time(row.started_ns))?;
    match row.ended_ns {
        Some(end) => writeln!(out, "  ended     {}{}", time(end), event.ending())?,
        None => writeln!(out, "  ended     not yet; last seen {}", time(row.last_seen_ns))?,
    }
    let certainty = match row.certain {
        Some(true) => " (certain)",
        Some(false) => " (not certain: no second witness confirms it)",
        None => "",
    };
    writeln!(out, "  verdict   {}{certainty}", event.reason())?;
    if let Some(peak) = &row.peak {
        let scored: Vec<String> = Factor::ALL
            .into_iter()
            .filter(|&factor| peak.stress.get(factor) > 0)
            .map(|factor| format!("{} {}/{}", factor.as_str(), peak.stress.get(factor), factor.max()))
            .collect();
        let scored = if scored.is_empty() { "no factor scored".to_owned() } else { scored.join(", ") };
        writeln!(out, "  stress    {} of 100, {}: {scored}", peak.stress.total(), peak.tier.as_str())?;
    }
    if let Some(tiers) = row.tiers {
        let seconds = |ns: u64| human::duration(ns as f64 / 1e9);
        writeln!(
            out,
            "  tiers     elevated {}, critical {}",
            seconds(tiers.elevated_ns),
            seconds(tiers.critical_ns)
        )?;
    }
    let line = human::sparkline(&scores_before(event, samples), utf8);
    if !line.trim().is_empty() {
        writeln!(out, "  before    |{line}| stress in the {BEFORE_S} s before")?;
    }
    write_culprits(event, out)?;
    writeln!(out)?;
    writeln!(out, "  status    {}", event.status.as_str())?;
    if let Some(note) = &event.note {
        writeln!(out, "  note      {}", printable(note))?;
    }
    writeln!(out, "  samples   {}", event.samples)?;
    for capture in &event.forensics {
        let more = [capture.path.as_deref(), capture.detail.as_deref()].into_iter().flatten();
        let more: String = more.map(|text| format!(", {}", printable(text))).collect();
        writeln!(out, "  capture   {}: {}{more}", printable(&capture.name), printable(&capture.outcome))?;
    }
    if !related.is_empty() {
        writeln!(out, "\nWithin a minute of it:")?;
        for other in related {
            let start = human::local(other.row.started_ns, "%H:%M:%S", zone);
            writeln!(
                out,
                "  {start}  event {}: {}, {}",
                other.row.id,
                other.kind_text(),
                other.length_text()
            )?;
        }
    }
    Ok(())
}

fn write_culprits(event: &StoredEvent, out: &mut dyn Write) -> io::Result<()> {
    if event.row.peak.is_none() {
        return Ok(());
    }
    if event.row.culprits.is_empty() {
        return writeln!(out, "  culprits  no process stands out");
    }
    let mut heading = "culprits";
    for culprit in &event.row.culprits {
        let name = printable(&culprit.name);
        let share = culprit.share * 100.0;
        writeln!(out, "  {heading:<8}  {name} (pid {}) {share:.0} %: {}", culprit.pid, culprit.evidence)?;
        heading = "";
    }
    Ok(())
}

/// The highest score in each second before a gap began, or before an episode's peak.
fn scores_before(event: &StoredEvent, samples: &[SampleLine<'_>]) -> Vec<Option<u8>> {
    let end = match (event.row.kind, &event.row.peak) {
        (Kind::Episode, Some(peak)) => peak.time_ns,
        _ => event.row.started_ns,
    };
    let mut scores = vec![None; BEFORE_S as usize];
    for sample in samples {
        let Some(time) = parse_rfc3339(&sample.time) else { continue };
        // A sample's label has ms only: one at the end itself belongs to the last second.
        let age = (end - time) / 1_000_000_000;
        if time > end || age >= BEFORE_S {
            continue;
        }
        let slot: &mut Option<u8> = &mut scores[(BEFORE_S - 1 - age) as usize];
        *slot = (*slot).max(Some(sample.stress.total));
    }
    scores
}
