//! `pause-monitor analyze`: a recording through the engine, at full speed and without a daemon.

use std::collections::BTreeMap;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{Context, Exit, Failure};
use crate::clock;
use crate::config::{self, Overrides, SourceKind};
use crate::daemon::player::{Player, Step};
use crate::engine::Engine;
use crate::event::{Culprit, Gap, Notice, TierChange};
use crate::human;
use crate::sample::{Factor, InTiers, Reject, Sample, SourceInfo, Tier, printable};
use crate::source::replay::Replay;
use crate::wire::{self, IntervalSummary, Message, SourceLine, Summary};

/// Read a recording and tell what happened in it
///
/// Reads a powermetrics stream (powermetrics -f plist, as many samples as you like) or what `stream` printed,
/// runs it through the engine at full speed and writes nothing but its output. The thresholds of the
/// configuration hold.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recording; - is standard input
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Print the lines of `stream`, and a summary as the last
    #[arg(long)]
    json: bool,
}

/// Analyzes the recording.
///
/// # Errors
/// Where it can't be read.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut config = config::load(context, &Overrides::default())?.config;
    config.source = SourceKind::Replay(args.file.clone());
    let engine = Engine::new(crate::daemon::settings(&config), 1);
    let player = Player::new(Replay::open(&args.file, Arc::default())?, clock::unix_ns(), true);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let samples = tell(player, engine, &args.file, args.json, &mut out)?;
    out.flush()?;
    if samples == 0 {
        let told = format!("there is no sample in {}: is it a recording?", args.file.display());
        return Err(Failure::new(Exit::Failed, told).into());
    }
    Ok(Exit::Done.into())
}

/// Plays a recording, which is called `file` in messages, to its end, and tells what happened in it: as a report, or as
/// the lines of `stream` and a summary. Returns how many samples it has.
///
/// # Errors
/// Where it can't be read on, or `out` can't be written to.
pub fn tell(
    mut player: Player,
    mut engine: Engine,
    file: &Path,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<u64> {
    let mut story = Story::default();
    let mut notices = Vec::new();
    let mut progress = Progress::new();
    // What is known of the machine before the first sample says when: told with that sample's time.
    let mut early = None;
    loop {
        let step = player
            .step(&mut engine, &mut notices)
            .with_context(|| format!("can't read {}", file.display()))?;
        match &step {
            Some(Step::Sample(sample, _)) => {
                story.sample(sample);
                progress.step(story.samples);
            }
            Some(Step::Info(info)) => story.info = *info,
            Some(Step::Rejected(reject)) => story.rejected[*reject as usize] += 1,
            Some(Step::Restarted | Step::Told) => {}
            None => engine.finish(&player.now(), &mut notices),
        }
        if json {
            let now_ns = player.now().unix_ns;
            match &step {
                Some(Step::Info(info)) if story.samples == 0 => early = Some(*info),
                Some(Step::Sample(..)) => {
                    if let Some(info) = early.take() {
                        source_line(out, "up", &info, now_ns)?;
                    }
                    write_lines(out, step.as_ref(), &notices, now_ns)?;
                }
                _ => write_lines(out, step.as_ref(), &notices, now_ns)?,
            }
        }
        for notice in notices.drain(..) {
            story.notice(notice);
        }
        if step.is_none() {
            break;
        }
    }
    progress.clear();
    if json {
        line(out, &Message::Summary(story.summary()))?;
    } else {
        story.report(out)?;
    }
    Ok(story.samples)
}

fn line(out: &mut dyn Write, message: &Message<'_>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    wire::encode(message, &mut bytes);
    Ok(out.write_all(&bytes)?)
}

/// What became of the source, as `stream` would have printed it.
fn source_line(
    out: &mut dyn Write,
    state: &'static str,
    info: &SourceInfo,
    now_ns: i64,
) -> anyhow::Result<()> {
    line(
        out,
        &Message::Source(SourceLine {
            time: wire::rfc3339(now_ns).into(),
            state: state.into(),
            source: "replay".into(),
            hw_model: info.hw_model.as_ref().map(|model| model.as_str().into()),
            os_build: info.os_build.as_ref().map(|build| build.as_str().into()),
            detail: None,
        }),
    )
}

/// A step as the lines that `stream` would have printed.
fn write_lines(
    out: &mut dyn Write,
    step: Option<&Step>,
    notices: &[Notice],
    now_ns: i64,
) -> anyhow::Result<()> {
    match step {
        Some(Step::Sample(sample, _)) => line(out, &Message::Sample(Box::new(sample.into())))?,
        Some(Step::Info(info)) => source_line(out, "up", info, now_ns)?,
        Some(Step::Restarted) => source_line(out, "restarting", &SourceInfo::default(), now_ns)?,
        Some(Step::Rejected(_) | Step::Told) | None => {}
    }
    for notice in notices {
        match notice {
            Notice::Tier(change) => line(out, &Message::Tier(change.into()))?,
            Notice::Gap(gap) => line(out, &Message::Gap(gap.into()))?,
            Notice::EpisodeOpened(_) | Notice::EpisodeChanged(_) | Notice::EpisodeClosed(_) => {}
        }
    }
    Ok(())
}

/// Gaps and episodes that a report lists one by one; a summary counts them all.
const LISTED: usize = 1_000;
/// Intervals kept for the median and the 99th percentile: a histogram of so many buckets.
const BUCKETS: usize = 4_096;

/// What is kept of a recording: bounded, however long it is.
#[derive(Debug, Default)]
struct Story {
    samples: u64,
    rejected: [u64; 4],
    info: SourceInfo,
    duration_ns: u64,
    first: Option<i64>,
    peak: Option<Sample>,
    tiers: InTiers,
    gap_counts: BTreeMap<&'static str, u64>,
    gaps: Vec<Gap>,
    changes: Vec<TierChange>,
    blamed: Vec<Culprit>,
    intervals: Intervals,
    factor_peaks: [u8; 8],
}

impl Story {
    fn sample(&mut self, sample: &Sample) {
        self.samples += 1;
        self.first.get_or_insert(sample.time_ns);
        self.duration_ns = self.duration_ns.saturating_add(sample.elapsed_ns);
        self.tiers.sample(sample.tier, sample.elapsed_ns);
        self.intervals.push(sample.elapsed_ns);
        for (peak, points) in self.factor_peaks.iter_mut().zip(sample.stress.points()) {
            *peak = (*peak).max(points);
        }
        if self.peak.is_none_or(|peak| sample.stress.total() > peak.stress.total()) {
            self.peak = Some(*sample);
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Gap(gap) => {
                *self.gap_counts.entry(gap.verdict.as_str()).or_default() += 1;
                if self.gaps.len() < LISTED {
                    self.gaps.push(gap);
                }
            }
            Notice::Tier(change) if self.changes.len() < LISTED => self.changes.push(change),
            Notice::EpisodeClosed(episode) => {
                // Of the most stressed episode.
                let is_peak = self.peak.is_some_and(|peak| peak.seq == episode.peak.seq);
                if is_peak || self.blamed.is_empty() {
                    self.blamed = episode.peak.culprits;
                }
            }
            _ => {}
        }
    }

    fn summary(&self) -> Summary {
        let rejected = Reject::ALL.into_iter().zip(self.rejected).filter(|(_, count)| *count > 0);
        // To the microsecond.
        let seconds = |ns: u64| (ns as f64 / 1e3).round() / 1e6;
        Summary {
            samples: self.samples,
            rejected: rejected.map(|(reason, count)| (reason.as_str().to_owned(), count)).collect(),
            duration_s: seconds(self.duration_ns),
            peak_stress: self.peak.map_or(0, |peak| peak.stress.total()),
            tiers: Tier::ALL
                .into_iter()
                .zip(self.tiers.ns)
                .map(|(tier, ns)| (tier.as_str().to_owned(), seconds(ns)))
                .collect(),
            gaps: self.gap_counts.iter().map(|(verdict, count)| ((*verdict).to_owned(), *count)).collect(),
            interval_ms: self.intervals.summary(),
        }
    }

    fn report(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let summary = self.summary();
        let model =
            self.info.hw_model.map_or_else(|| "an unnamed machine".to_owned(), |name| name.printable());
        let build =
            self.info.os_build.map_or_else(String::new, |name| format!(", build {}", name.printable()));
        let samples = human::count(self.samples, "sample");
        writeln!(out, "{samples} of {model}{build}, {}", human::duration(summary.duration_s))?;
        if let Some(first) = self.first {
            writeln!(out, "from      {}", local(first))?;
        }
        for (reason, count) in &summary.rejected {
            writeln!(out, "rejected  {count} {reason}")?;
        }
        let IntervalSummary { median, p99, max } = summary.interval_ms;
        if let (Some(median), Some(p99), Some(max)) = (median, p99, max) {
            writeln!(out, "intervals median {median:.1} ms, 99 % within {p99:.1} ms, longest {max:.1} ms")?;
        }
        let tiers: Vec<String> = Tier::ALL
            .into_iter()
            .zip(self.tiers.ns)
            .map(|(tier, ns)| {
                format!("{} {}", tier.as_str().to_uppercase(), human::duration(wire::ms(ns) / 1_000.0))
            })
            .collect();
        writeln!(out, "tiers     {}", tiers.join(", "))?;
        if let Some(peak) = &self.peak {
            let factors: Vec<String> = Factor::ALL
                .into_iter()
                .filter(|&factor| peak.stress.get(factor) > 0)
                .map(|factor| format!("{} {}", factor.as_str(), peak.stress.get(factor)))
                .collect();
            let factors =
                if factors.is_empty() { String::new() } else { format!(" ({})", factors.join(", ")) };
            writeln!(out, "peak      stress {}{factors} at {}", peak.stress.total(), local(peak.time_ns))?;
            let busiest: Vec<String> = peak
                .top
                .cpu
                .as_slice()
                .iter()
                .map(|process| format!("{} {:.1} %", process.name.printable(), process.value / 10.0))
                .collect();
            if !busiest.is_empty() {
                writeln!(out, "busiest   {} (CPU, at the peak)", busiest.join(", "))?;
            }
        }
        if !self.blamed.is_empty() {
            writeln!(out, "culprits  {}", culprits(&self.blamed))?;
        }
        if self.gap_counts.is_empty() {
            return Ok(writeln!(out, "gaps      none")?);
        }
        let counts: Vec<String> =
            summary.gaps.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        writeln!(out, "gaps      {}", counts.join(", "))?;
        for gap in &self.gaps {
            let doubt = if gap.certain { "" } else { ", not certain" };
            let blamed = if gap.culprits.is_empty() {
                String::new()
            } else {
                format!("  {}", culprits(&gap.culprits))
            };
            writeln!(
                out,
                "  {}  {} of {}{doubt}{blamed}",
                local(gap.started_ns),
                gap.verdict.as_str(),
                human::duration(gap.duration_ns as f64 / 1e9)
            )?;
        }
        let more = self.gap_counts.values().sum::<u64>().saturating_sub(self.gaps.len() as u64);
        if more > 0 {
            writeln!(out, "  and {more} more")?;
        }
        Ok(())
    }
}

fn culprits(culprits: &[Culprit]) -> String {
    let one = |culprit: &Culprit| {
        format!(
            "{} ({}) {:.0} %: {}",
            printable(culprit.name.as_str()),
            culprit.pid,
            culprit.share * 100.0,
            culprit.evidence
        )
    };
    culprits.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A time of day for a person, in the local zone.
fn local(unix_ns: i64) -> String {
    human::local(unix_ns, "%F %T%.3f", &jiff::tz::TimeZone::system())
}

/// Intervals, in buckets that are half a percent wide: a recording of any length takes the same room.
#[derive(Debug)]
struct Intervals {
    /// How many, and the greatest of them, ns.
    buckets: Box<[(u64, u64); BUCKETS]>,
    count: u64,
    max_ns: u64,
}

impl Default for Intervals {
    fn default() -> Self {
        Self { buckets: Box::new([(0, 0); BUCKETS]), count: 0, max_ns: 0 }
    }
}

impl Intervals {
    /// The logarithm of a bucket's width.
    const WIDTH: f64 = 0.005;
    /// The lower end of the first bucket, ns.
    const LEAST: f64 = 1e3;

    fn push(&mut self, interval_ns: u64) {
        let bucket = ((interval_ns as f64).max(Self::LEAST) / Self::LEAST).ln() / Self::WIDTH;
        let (count, greatest_ns) = &mut self.buckets[(bucket as usize).min(BUCKETS - 1)];
        *count += 1;
        *greatest_ns = (*greatest_ns).max(interval_ns);
        self.count += 1;
        self.max_ns = self.max_ns.max(interval_ns);
    }

    /// The value that so large a part of the intervals does not exceed, ms.
    fn quantile(&self, part: f64) -> Option<f64> {
        let rank = (self.count as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        let (_, greatest_ns) = self.buckets.iter().find(|(count, _)| {
            seen += count;
            seen >= rank
        })?;
        Some(wire::ms(*greatest_ns))
    }

    fn summary(&self) -> IntervalSummary {
        if self.count == 0 {
            return IntervalSummary::default();
        }
        IntervalSummary {
            median: self.quantile(0.5),
            p99: self.quantile(0.99),
            max: Some(wire::ms(self.max_ns)),
        }
    }
}

/// A line on the terminal for a recording that takes more than a second.
struct Progress {
    began: Instant,
    told: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { began: Instant::now(), told: None, terminal: std::io::stderr().is_terminal() }
    }

    fn step(&mut self, samples: u64) {
        // Looked at now and then: asking for the time costs more than a sample's share of it should.
        if !self.terminal || !samples.is_multiple_of(64) {
            return;
        }
        let since = self.told.unwrap_or(self.began).elapsed();
        if since >= Duration::from_millis(if self.told.is_some() { 200 } else { 1_000 }) {
            self.told = Some(Instant::now());
            let _ = write!(std::io::stderr(), "\r{samples} samples …");
        }
    }

    fn clear(&self) {
        if self.told.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Thresholds;
    use crate::output::metrics::Totals;

    #[test]
    fn a_pause_that_raises_the_tier_is_time_in_the_tier_before_it_here_as_in_the_metrics() {
        let thresholds = Thresholds { elevated: 15, critical: 50, deescalation_ns: 5_000_000_000 };
        let mut totals = Totals::new(&thresholds);
        let mut story = Story::default();
        let mut at_ns = 0;
        let (sentinel, critical) = (Tier::Sentinel, Tier::Critical);
        for (elapsed_ns, tier) in [
            (100_000_000, sentinel),
            (60_000_000_000, critical),
            (100_000_000, critical),
            (100_000_000, sentinel),
        ] {
            at_ns += elapsed_ns;
            let sample = Sample { elapsed_ns, tier, ..Sample::default() };
            story.sample(&sample);
            totals.sample(&sample, at_ns, at_ns);
        }
        let tiers = story.summary().tiers;
        assert_eq!((tiers["sentinel"], tiers["elevated"], tiers["critical"]), (60.1, 0.0, 0.2));
        assert_eq!(story.tiers, totals.tiers);
    }

    #[test]
    fn quantiles_of_a_long_recording_take_no_more_room_and_are_within_half_a_percent() {
        let mut intervals = Intervals::default();
        assert_eq!(intervals.summary().median, None);
        let mut single = Intervals::default();
        single.push(1_023_685_416);
        assert_eq!(single.summary().median, single.summary().max);
        for index in 0..1_000u64 {
            intervals.push(100_000_000 + index * 10_000);
        }
        intervals.push(2_000_000_000);
        let IntervalSummary { median, p99, max } = intervals.summary();
        assert!((median.unwrap() / 105.0 - 1.0).abs() < 0.005, "{median:?}");
        assert!((p99.unwrap() / 109.9 - 1.0).abs() < 0.005, "{p99:?}");
        assert_eq!(max, Some(2_000.0));
    }
}
