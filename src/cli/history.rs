//! `history`: pauses, episodes and time in each tier, per hour or day.

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::{Exit, output, table};
use crate::clock;
use crate::human;
use crate::output::store::{Bucket, Reader};
use crate::wire::{self, rfc3339};

/// Pauses, episodes and time in each tier, per hour or day.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("span").args(["hours", "days"])),
    group(clap::ArgGroup::new("format").args(["json", "csv"])),
    after_help = "Examples:
  pause-monitor history                  the last 24 hours, hour by hour
  pause-monitor history --days 30        the last 30 days, day by day
  pause-monitor history --days 90 --csv  for a spreadsheet

SENTINEL is what is left of the time watched, time asleep included. UNWATCHED is time in which the daemon did not \
run, counted from its first run on record. An event counts where it began."
)]
pub struct Args {
    /// So many hours, hour by hour, the present one included [default: 24]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8784))]
    hours: Option<u16>,
    /// So many days, day by day, today included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: Option<u16>,
    /// Print a JSON array, oldest first, times in UTC
    #[arg(long)]
    json: bool,
    /// Print comma-separated values with a heading, times in UTC
    #[arg(long)]
    csv: bool,
}

#[derive(Serialize)]
struct BucketJson {
    start: String,
    end: String,
    pauses: u64,
    paused_s: f64,
    stalls: u64,
    outages: u64,
    episodes: u64,
    peak_stress: Option<u8>,
    sentinel_s: f64,
    elevated_s: f64,
    critical_s: f64,
    watched_s: f64,
    unwatched_s: f64,
}

/// To the millisecond.
fn ms(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

impl From<&Bucket> for BucketJson {
    fn from(bucket: &Bucket) -> Self {
        Self {
            start: rfc3339(bucket.start_ns),
            end: rfc3339(bucket.end_ns),
            pauses: bucket.pauses,
            paused_s: ms(bucket.paused_s),
            stalls: bucket.stalls,
            outages: bucket.outages,
            episodes: bucket.episodes,
            peak_stress: bucket.peak_stress,
            sentinel_s: ms(bucket.sentinel_s),
            elevated_s: ms(bucket.elevated_s),
            critical_s: ms(bucket.critical_s),
            watched_s: ms(bucket.watched_s),
            unwatched_s: ms(bucket.unwatched_s),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Where the events can't be read.
pub fn run(args: &Args, context: &super::Context) -> anyhow::Result<ExitCode> {
    let now_ns = clock::unix_ns();
    let zone = TimeZone::system();
    let edges = match args.days {
        Some(days) => days_before(now_ns, days, &zone)?,
        None => hours_before(now_ns, args.hours.unwrap_or(24), &zone)?,
    };
    let buckets = match Reader::open(&context.data_dir)? {
        Some(reader) => reader.history(&edges, now_ns)?,
        None => edges
            .windows(2)
            .map(|edge| Bucket { start_ns: edge[0], end_ns: edge[1], ..Bucket::default() })
            .collect(),
    };
    output::print(|out| {
        if args.json {
            let rows: Vec<BucketJson> = buckets.iter().map(BucketJson::from).collect();
            wire::write_json_pretty(&mut *out, &rows)?;
            writeln!(out)
        } else if args.csv {
            write_csv(&buckets, out)
        } else {
            write_table(&buckets, args.days.is_some(), &zone, human::utf8(), out)
        }
    })?;
    Ok(Exit::Done.into())
}

const HOUR_S: i64 = 3_600;

/// Edges of the last hours of local time, the present one last.
fn hours_before(now_ns: i64, count: u16, zone: &TimeZone) -> anyhow::Result<Vec<i64>> {
    let now = Timestamp::from_nanosecond(i128::from(now_ns))?;
    let offset = i64::from(zone.to_offset(now).seconds());
    let this = (now.as_second() + offset).div_euclid(HOUR_S) * HOUR_S - offset;
    let first = this - (i64::from(count) - 1) * HOUR_S;
    Ok((0..=i64::from(count)).map(|hour| (first + hour * HOUR_S) * 1_000_000_000).collect())
}

/// Edges of the last days of local time, today last. A day has 23 or 25 hours where the clocks change.
fn days_before(now_ns: i64, count: u16, zone: &TimeZone) -> anyhow::Result<Vec<i64>> {
    let today = Timestamp::from_nanosecond(i128::from(now_ns))?.to_zoned(zone.clone()).date();
    (0..=i64::from(count))
        .map(|day| {
            let date = today.checked_add(Span::new().days(day + 1 - i64::from(count)))?;
            Ok(date.to_zoned(zone.clone())?.timestamp().as_second() * 1_000_000_000)
        })
        .collect()
}

fn write_csv(buckets: &[Bucket], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "start,end,pauses,paused_s,stalls,outages,episodes,peak_stress,sentinel_s,elevated_s,critical_s,watched_s,\
         unwatched_s"
    )?;
    for bucket in buckets {
        let row = BucketJson::from(bucket);
        let peak = row.peak_stress.map_or_else(String::new, |peak| peak.to_string());
        writeln!(
            out,
            "{},{},{},{},{},{},{},{peak},{},{},{},{},{}",
            row.start,
            row.end,
            row.pauses,
            row.paused_s,
            row.stalls,
            row.outages,
            row.episodes,
            row.sentinel_s,
            row.elevated_s,
            row.critical_s,
            row.watched_s,
            row.unwatched_s
        )?;
    }
    Ok(())
}

fn write_table(
    buckets: &[Bucket],
    days: bool,
    zone: &TimeZone,
    utf8: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let most = buckets.iter().map(|bucket| bucket.critical_s + bucket.elevated_s).fold(0.0, f64::max);
    let (heading, format) = if days { ("DAY", "%Y-%m-%d %a") } else { ("HOUR", "%Y-%m-%d %H:%M") };
    let mut rows = table::Table::new(&[
        heading,
        ">PAUSES",
        ">LOST",
        ">EPISODES",
        ">SENTINEL",
        ">ELEVATED",
        ">CRITICAL",
        ">UNWATCHED",
        "CRITICAL+ELEVATED",
    ]);
    let count = |count: u64| if count == 0 { "-".to_owned() } else { count.to_string() };
    let time = |seconds: f64| if seconds <= 0.0 { "-".to_owned() } else { human::duration(seconds) };
    for bucket in buckets {
        rows.row(vec![
            human::local(bucket.start_ns, format, zone),
            count(bucket.pauses),
            time(bucket.paused_s),
            count(bucket.episodes),
            time(bucket.sentinel_s),
            time(bucket.elevated_s),
            time(bucket.critical_s),
            time(bucket.unwatched_s),
            human::bar(bucket.critical_s, bucket.elevated_s, most, 24, utf8),
        ]);
    }
    rows.write(out)?;
    let sum = |of: fn(&Bucket) -> u64| buckets.iter().map(of).sum::<u64>();
    let total = |of: fn(&Bucket) -> f64| human::duration(buckets.iter().map(of).sum());
    writeln!(
        out,
        "Together: {} ({} lost), {}, {}, {}; {} watched, {} unwatched.",
        human::count(sum(|bucket| bucket.pauses), "pause"),
        total(|bucket| bucket.paused_s),
        human::count(sum(|bucket| bucket.stalls), "stall"),
        human::count(sum(|bucket| bucket.outages), "outage"),
        human::count(sum(|bucket| bucket.episodes), "episode"),
        total(|bucket| bucket.watched_s),
        total(|bucket| bucket.unwatched_s),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> i64 {
        crate::wire::parse_rfc3339(text).unwrap()
    }

    fn bucket() -> Bucket {
        Bucket {
            start_ns: at("2026-11-22T09:00:00Z"),
            end_ns: at("2026-11-22T10:00:00Z"),
            pauses: 2,
            paused_s: 3.5,
            stalls: 1,
            outages: 0,
            episodes: 3,
            peak_stress: Some(74),
            sentinel_s: 3_300.0,
            elevated_s: 200.0,
            critical_s: 100.0,
            watched_s: 3_600.0,
            unwatched_s: 0.0,
        }
    }

    #[test]
    fn hours_begin_on_the_hour_of_local_time_and_the_present_one_is_the_last() {
        let edges = hours_before(at("2026-11-22T09:10:11Z"), 2, &berlin()).unwrap();
        let edges: Vec<String> = edges.into_iter().map(rfc3339).collect();
        assert_eq!(
            edges,
            ["2026-11-22T08:00:00.000Z", "2026-11-22T09:00:00.000Z", "2026-11-22T10:00:00.000Z"]
        );
        let kolkata = TimeZone::get("Asia/Kolkata").unwrap();
        let edges = hours_before(at("2026-11-22T09:10:11Z"), 1, &kolkata).unwrap();
        assert_eq!(rfc3339(edges[0]), "2026-11-22T08:30:00.000Z");
    }

    #[test]
    fn a_day_has_25_hours_where_the_clocks_go_back() {
        let edges = days_before(at("2026-10-25T12:00:00Z"), 2, &berlin()).unwrap();
        let edges: Vec<String> = edges.into_iter().map(rfc3339).collect();
        assert_eq!(
            edges,
            ["2026-10-23T22:00:00.000Z", "2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"]
        );
    }

    #[test]
    fn the_table_shows_local_time_and_a_bar() {
        let mut out = Vec::new();
        write_table(&[bucket(), Bucket::default()], false, &berlin(), true, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "2026-11-22 10:00       2  3.50 s         3    55 min  3 min 20 s  1 min 40 s          -  ████████░░░░░░░░░░░░░░░░"
        );
        assert_eq!(
            text.lines().last().unwrap(),
            "Together: 2 pauses (3.50 s lost), 1 stall, 0 outages, 3 episodes; 1 h watched, 0 s unwatched."
        );
    }

    #[test]
    fn csv_has_a_heading_and_as_many_columns_in_every_row() {
        let mut out = Vec::new();
        write_csv(&[bucket(), Bucket::default()], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "2026-11-22T09:00:00.000Z,2026-11-22T10:00:00.000Z,2,3.5,1,0,3,74,3300,200,100,3600,0"
        );
        assert!(text.lines().all(|line| line.matches(',').count() == 12), "{text}");
    }
}
