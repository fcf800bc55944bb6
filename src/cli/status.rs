//! `pause-monitor status`: is the machine well, and is the daemon?

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

use super::{Context, Exit, output};
use crate::client::{ClientError, Connection};
use crate::clock;
use crate::human;
use crate::output::store::{DaySummary, Exports, Reader, Summary};
use crate::sample::{Sample, Tier};
use crate::wire::{self, Hello, Message, SampleLine};

/// Say how the machine is now, and what the last day held
///
/// One line for a person, and the day below it. Exit code 4 where no daemon runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Status<'a> {
    running: bool,
    version: &'a str,
    source: &'a str,
    tier: &'a str,
    degraded: bool,
    silent_s: Option<f64>,
    stress: u8,
    sample: SampleLine<'a>,
    last_pause: Option<LastPause>,
    /// `null` where the events can't be read, as are the exports.
    day: Option<DaySummary>,
    otlp: Option<Exports>,
}

/// The last pause on record.
#[derive(Serialize)]
struct LastPause {
    event: u64,
    ended_at: String,
    duration_s: f64,
}

/// Asks the daemon and the store.
///
/// # Errors
/// Where no daemon runs, or it can't be asked; where the events can't be read, once the rest is printed.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut line = Vec::new();
    let mut connection = output::greeting(&context.data_dir, &mut line)?;
    let first = line.clone();
    let hello = match serde_json::from_slice(&first)
        .context("the daemon does not say hello: is it of another version?")?
    {
        Message::Hello(hello) => hello,
        _ => anyhow::bail!("the daemon does not say hello: is it of another version?"),
    };
    let latest = latest(&hello, &mut connection, &mut line)?;
    let now_ns = clock::unix_ns();
    let silent_ns = silence(&hello, &latest, now_ns);
    let summary = Reader::open(&context.data_dir)
        .and_then(|reader| reader.map_or_else(|| Ok(Summary::default()), |reader| reader.summary(now_ns)));
    let known = summary.as_ref().ok();
    if args.json {
        let last_pause =
            known.and_then(|summary| summary.last_pause).map(|(event, ended_ns, duration_s)| LastPause {
                event,
                ended_at: wire::rfc3339(ended_ns),
                // To the microsecond, as `events` has it.
                duration_s: (duration_s * 1e6).round() / 1e6,
            });
        output::print_json(&Status {
            running: true,
            version: &hello.version,
            source: &hello.source,
            tier: latest.tier.as_str(),
            degraded: latest.degraded,
            silent_s: silent_ns.map(|ns| ns as f64 / 1e9),
            stress: latest.stress.total(),
            sample: (&latest).into(),
            last_pause,
            day: known.map(|summary| summary.day),
            otlp: known.map(|summary| summary.exports),
        })?;
    } else {
        output::print(|out| print(out, &latest, silent_ns, known, now_ns))?;
    }
    summary?;
    Ok(Exit::Done.into())
}

/// The newest sample: of the hello's ring, else the next that comes.
fn latest(hello: &Hello<'_>, connection: &mut Connection, line: &mut Vec<u8>) -> anyhow::Result<Sample> {
    if let Some(sample) = hello.ring.last().and_then(SampleLine::to_sample) {
        return Ok(sample);
    }
    while connection.line(line)? {
        if let Ok(Message::Sample(sample)) = serde_json::from_slice(line)
            && let Some(sample) = sample.to_sample()
        {
            return Ok(sample);
        }
    }
    Err(ClientError::Ended.into())
}

/// A live source that has delivered nothing for so long does not deliver, ns.
const SILENT_NS: i64 = 5_000_000_000;

/// How long a live source has been silent, ns; `None` where it is not, or is a recording with a time of its own.
fn silence(hello: &Hello<'_>, sample: &Sample, now_ns: i64) -> Option<i64> {
    let live = matches!(hello.source.as_ref(), "linux" | "powermetrics");
    Some(now_ns.saturating_sub(sample.time_ns)).filter(|&silent_ns| live && silent_ns >= SILENT_NS)
}

fn print(
    out: &mut dyn Write,
    sample: &Sample,
    silent_ns: Option<i64>,
    summary: Option<&Summary>,
    now_ns: i64,
) -> std::io::Result<()> {
    let health = match sample.tier {
        _ if silent_ns.is_some() => "Silent",
        _ if sample.degraded => "Degraded",
        Tier::Sentinel => "Healthy",
        Tier::Elevated => "Elevated",
        Tier::Critical => "Critical",
    };
    let mut parts = vec![health.to_owned()];
    parts.extend(silent_ns.map(|ns| format!("no sample for {}", ago(ns))));
    parts.push(format!("stress {}", sample.stress.total()));
    let metrics = &sample.metrics;
    if let (Some(load), Some(cores)) = (metrics.load_avg, metrics.cores) {
        parts.push(format!("load {load:.1}/{cores}"));
    }
    if let Some(free) = metrics.memory_available_pct {
        parts.push(format!("memory {free:.0} % free"));
    }
    parts.push(match summary.map(|summary| summary.last_pause) {
        None => "last pause unknown".to_owned(),
        Some(Some((_, ended_ns, _))) => format!("last pause {} ago", ago(now_ns.saturating_sub(ended_ns))),
        Some(None) => "no pause on record".to_owned(),
    });
    writeln!(out, "{}", parts.join(" | "))?;
    let Some(summary) = summary else { return Ok(()) };
    let day = &summary.day;
    let unwatched = if day.unwatched_s >= 1.0 {
        format!("{} unwatched", ago((day.unwatched_s * 1e9) as i64))
    } else if day.watched_s < 86_400.0 - 60.0 {
        // Before its first start nobody could have.
        format!("watched for {} so far", ago((day.watched_s * 1e9) as i64))
    } else {
        "watched all the time".to_owned()
    };
    writeln!(
        out,
        "last 24 h: {}, {}, {}, {}; {unwatched}",
        human::count(day.pauses, "pause"),
        human::count(day.stalls, "stall"),
        human::count(day.episodes, "episode"),
        human::count(day.outages, "outage"),
    )?;
    let Exports { outbox_spans, refused_spans } = summary.exports;
    match (outbox_spans, refused_spans) {
        // Nobody asked for it, or all is well.
        (0, 0) => Ok(()),
        (waiting, 0) => writeln!(out, "OpenTelemetry: {} for the collector", waits(waiting)),
        (0, refused) => {
            writeln!(out, "OpenTelemetry: {} refused by the collector", human::count(refused, "span"))
        }
        (waiting, refused) => {
            writeln!(out, "OpenTelemetry: {} for the collector, {refused} refused by it", waits(waiting))
        }
    }
}

fn waits(spans: u64) -> String {
    let verb = if spans == 1 { "waits" } else { "wait" };
    format!("{} {verb}", human::count(spans, "span"))
}

/// A length of time in its largest unit.
fn ago(ns: i64) -> String {
    let seconds = ns.max(0) / 1_000_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Metrics, Stress};

    #[test]
    fn the_first_line_is_what_a_person_wants_to_know() {
        let metrics = Metrics {
            load_avg: Some(3.4),
            cores: Some(16),
            memory_available_pct: Some(73.2),
            ..Metrics::default()
        };
        let sample = Sample { metrics, stress: Stress::new([0, 3, 0, 0, 9, 0, 0, 0]), ..Sample::default() };
        let hour = 3_600_000_000_000;
        let summary = Summary {
            last_pause: Some((8, 0, 1.5)),
            day: DaySummary { pauses: 1, episodes: 2, unwatched_s: 600.0, ..DaySummary::default() },
            exports: Exports::default(),
        };
        let mut out = Vec::new();
        print(&mut out, &sample, None, Some(&summary), 2 * hour).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Healthy | stress 12 | load 3.4/16 | memory 73 % free | last pause 2 h ago\n\
             last 24 h: 1 pause, 0 stalls, 2 episodes, 0 outages; 10 min unwatched\n"
        );
        for (outbox_spans, refused_spans, line) in [
            (1, 0, "OpenTelemetry: 1 span waits for the collector\n"),
            (0, 2, "OpenTelemetry: 2 spans refused by the collector\n"),
            (3, 1, "OpenTelemetry: 3 spans wait for the collector, 1 refused by it\n"),
        ] {
            let exports = Exports { outbox_spans, refused_spans };
            let mut out = Vec::new();
            print(&mut out, &sample, None, Some(&Summary { exports, ..summary.clone() }), 2 * hour).unwrap();
            assert!(String::from_utf8(out).unwrap().ends_with(line), "{line}");
        }
        let mut out = Vec::new();
        print(&mut out, &sample, Some(12_000_000_000), Some(&summary), 2 * hour).unwrap();
        assert!(out.starts_with(b"Silent | no sample for 12 s | stress 12 |"));
    }
}
