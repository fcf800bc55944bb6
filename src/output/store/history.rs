//! What happened per hour or day, and the time nobody watched.

use serde::Serialize;

use super::outbox::Exports;
use super::query::{QueryError, Reader};
use super::row::Kind;
use crate::event::EventId;

/// A run that has no end and gave a sign of life this lately goes on: one comes every 30 s.
const ALIVE_NS: i64 = 90_000_000_000;

const DAY_NS: i64 = 86_400_000_000_000;

/// What happened in a stretch of time. An event counts where it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    /// Where it begins, Unix ns.
    pub start_ns: i64,
    /// Where it ends, Unix ns.
    pub end_ns: i64,
    /// Pauses.
    pub pauses: u64,
    /// Time lost in them, s.
    pub paused_s: f64,
    /// Stalls.
    pub stalls: u64,
    /// Outages.
    pub outages: u64,
    /// Episodes.
    pub episodes: u64,
    /// The highest score; `None` without an event.
    pub peak_stress: Option<u8>,
    /// Time in SENTINEL, s: what is left of the time watched, time asleep included.
    pub sentinel_s: f64,
    /// Time in ELEVATED, s.
    pub elevated_s: f64,
    /// Time in CRITICAL, s.
    pub critical_s: f64,
    /// Time in which the daemon ran, s.
    pub watched_s: f64,
    /// Time in which it did not, s. Before the first run on record nothing counts.
    pub unwatched_s: f64,
}

/// What `status` tells of the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The last pause: its event, its end (Unix ns), how long it was (s).
    pub last_pause: Option<(EventId, i64, f64)>,
    /// The last 24 hours.
    pub day: DaySummary,
    /// How the export to OpenTelemetry stands.
    pub exports: Exports,
}

/// The last 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct DaySummary {
    pub pauses: u64,
    pub stalls: u64,
    pub episodes: u64,
    pub outages: u64,
    pub watched_s: f64,
    pub unwatched_s: f64,
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

fn overlap(a: (i64, i64), b: (i64, i64)) -> i64 {
    (a.1.min(b.1) - a.0.max(b.0)).max(0)
}

/// The times in which a daemon ran, in order, each once.
fn merge(mut runs: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    runs.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::with_capacity(runs.len());
    for run in runs {
        match merged.last_mut() {
            Some(last) if run.0 <= last.1 => last.1 = last.1.max(run.1),
            _ => merged.push(run),
        }
    }
    merged
}

impl Reader {
    /// What happened between each of `edges` (Unix ns, rising) and the next. What lies after `now_ns` was
    /// neither watched nor missed.
    ///
    /// Of an episode that lies in several, the time in each tier is spread evenly over its length: only the sums
    /// are on record.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn history(&self, edges: &[i64], now_ns: i64) -> Result<Vec<Bucket>, QueryError> {
        let mut buckets: Vec<Bucket> = edges
            .windows(2)
            .map(|edge| Bucket { start_ns: edge[0], end_ns: edge[1], ..Bucket::default() })
            .collect();
        let (Some(&start), Some(&end)) = (edges.first(), edges.last()) else { return Ok(buckets) };
        let runs = merge(self.wrap(self.runs(now_ns))?);
        self.wrap(self.count_events(&mut buckets, start, end))?;
        let first = runs.first().map_or(now_ns, |run| run.0);
        for bucket in &mut buckets {
            let span = (bucket.start_ns, bucket.end_ns.min(now_ns));
            let watched: i64 = runs.iter().map(|&run| overlap(run, span)).sum();
            let possible = overlap((first, now_ns), span);
            bucket.watched_s = seconds(watched);
            bucket.unwatched_s = seconds((possible - watched).max(0));
            bucket.sentinel_s = (bucket.watched_s - bucket.elevated_s - bucket.critical_s).max(0.0);
        }
        Ok(buckets)
    }

    /// Runs from start to end.
    fn runs(&self, now_ns: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
        self.connection
            .prepare("SELECT started_at, last_alive, ended_at FROM runs ORDER BY started_at")?
            .query_map([], |row| {
                let (start, alive, end): (i64, i64, Option<i64>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let goes_on = end.is_none() && now_ns.saturating_sub(alive) <= ALIVE_NS;
                let end = if goes_on { now_ns } else { end.unwrap_or(alive) };
                Ok((start, end.max(start)))
            })?
            .collect()
    }

    fn count_events(&self, buckets: &mut [Bucket], start: i64, end: i64) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT kind, started_at, coalesce(ended_at, last_seen), duration_s, peak_stress, elevated_s, critical_s
             FROM events WHERE started_at < ?2 AND coalesce(ended_at, last_seen) >= ?1",
        )?;
        let mut rows = statement.query([start, end])?;
        while let Some(row) = rows.next()? {
            let kind = Kind::parse(row.get_ref(0)?.as_str().unwrap_or_default());
            let (from, to): (i64, i64) = (row.get(1)?, row.get(2)?);
            let duration: Option<f64> = row.get(3)?;
            let peak: Option<u8> = row.get(4)?;
            let (elevated, critical): (Option<f64>, Option<f64>) = (row.get(5)?, row.get(6)?);
            for bucket in buckets.iter_mut() {
                let span = (bucket.start_ns, bucket.end_ns);
                if (span.0..span.1).contains(&from) {
                    match kind {
                        Some(Kind::Pause) => {
                            bucket.pauses += 1;
                            bucket.paused_s += duration.unwrap_or(0.0);
                        }
                        Some(Kind::Stall) => bucket.stalls += 1,
                        Some(Kind::Outage) => bucket.outages += 1,
                        Some(Kind::Episode) => bucket.episodes += 1,
                        None => {}
                    }
                    bucket.peak_stress = bucket.peak_stress.max(peak);
                }
                let part = match to - from {
                    length if length > 0 => overlap((from, to), span) as f64 / length as f64,
                    _ => f64::from(u8::from((span.0..span.1).contains(&from))),
                };
                bucket.elevated_s += part * elevated.unwrap_or(0.0);
                bucket.critical_s += part * critical.unwrap_or(0.0);
            }
        }
        Ok(())
    }

    /// What `status` tells.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn summary(&self, now_ns: i64) -> Result<Summary, QueryError> {
        let day = self.history(&[now_ns.saturating_sub(DAY_NS), now_ns], now_ns)?;
        let day = day.first().map_or_else(DaySummary::default, |bucket| DaySummary {
            pauses: bucket.pauses,
            stalls: bucket.stalls,
            episodes: bucket.episodes,
            outages: bucket.outages,
            watched_s: bucket.watched_s,
            unwatched_s: bucket.unwatched_s,
        });
        let last_pause = self.connection.query_row(
            "SELECT id, ended_at, coalesce(duration_s, 0.0) FROM events
             WHERE kind = 'pause' AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1",
            [],
            |row| Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), row.get(1)?, row.get(2)?)),
        );
        let last_pause = match last_pause {
            Err(rusqlite::Error::QueryReturnedNoRows) => None,
            other => Some(self.wrap(other)?),
        };
        Ok(Summary { last_pause, day, exports: self.exports()? })
    }
}
