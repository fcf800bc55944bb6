//! The statements that write, and how values become columns.

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::outbox::{self, is_exported};
use super::query::Capture;
use super::queue::LastSeen;
use super::row::{EventRow, Incident, StepColumn, TierSteps};
use crate::event::EventId;
use crate::sample::{Factor, Sample, Stress};
use crate::wire::{SampleLine, TopLine};

/// An id as a column; ids are given from 1 up and never come near the limit.
pub(super) fn column(id: EventId) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

/// A duration as a column, s.
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// What became of an event's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upsert {
    New,
    Updated,
    /// Another event has that id: nothing was written.
    Taken,
}

fn json<T: serde::Serialize>(value: &T) -> String {
    // Plain data with string keys: it can always be written.
    serde_json::to_string(value).unwrap_or_default()
}

/// Points by factor in the order of every table, zeros included.
pub(super) struct Factors(pub(super) Stress);

impl serde::Serialize for Factors {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Factor::ALL.map(|factor| (factor.as_str(), self.0.get(factor))))
    }
}

/// The changes of tier, as JSON.
fn steps(steps: &TierSteps) -> String {
    json(&steps.kept.iter().map(StepColumn::from).collect::<Vec<_>>())
}

/// Writes an event, or brings it up to date. A row with the same id and another incident is another event's.
/// A person's marks and the captures stay as they are. With `export`, one that has ended is to be exported,
/// unless that is done already.
pub(super) fn upsert(connection: &Connection, row: &EventRow, export: bool) -> rusqlite::Result<Upsert> {
    let peak = row.peak.as_ref();
    let known: Option<bool> = connection
        .prepare_cached("SELECT incident = ?2 FROM events WHERE id = ?1")?
        .query_row(params![column(row.id), row.incident.as_slice()], |row| row.get(0))
        .optional()?;
    if known == Some(false) {
        return Ok(Upsert::Taken);
    }
    connection
        .prepare_cached(
            "INSERT INTO events (id, kind, verdict, certain, started_at, ended_at, last_seen, duration_s,
                 interrupted, continued, peak_at, peak_stress, peak_tier, peak_top, factors, culprits,
                 elevated_s, critical_s, incident, episode, tier_changes, tier_changes_dropped, export)
             VALUES (:id, :kind, :verdict, :certain, :started_at, :ended_at, :last_seen, :duration_s,
                 :interrupted, :continued, :peak_at, :peak_stress, :peak_tier, :peak_top, :factors, :culprits,
                 :elevated_s, :critical_s, :incident, :episode, :tier_changes, :tier_changes_dropped, :export)
             ON CONFLICT (id) DO UPDATE SET
                 verdict = excluded.verdict, certain = excluded.certain, started_at = excluded.started_at,
                 ended_at = excluded.ended_at, last_seen = excluded.last_seen,
                 duration_s = excluded.duration_s, interrupted = excluded.interrupted,
                 continued = excluded.continued, peak_at = excluded.peak_at,
                 peak_stress = excluded.peak_stress, peak_tier = excluded.peak_tier,
                 peak_top = excluded.peak_top, factors = excluded.factors, culprits = excluded.culprits,
                 elevated_s = excluded.elevated_s, critical_s = excluded.critical_s,
                 tier_changes = excluded.tier_changes, tier_changes_dropped = excluded.tier_changes_dropped,
                 export = coalesce(export, excluded.export)",
        )?
        .execute(named_params! {
            ":id": column(row.id),
            ":kind": row.kind.as_str(),
            ":verdict": row.verdict.map(|verdict| verdict.as_str()),
            ":certain": row.certain,
            ":started_at": row.started_ns,
            ":ended_at": row.ended_ns,
            ":last_seen": row.last_seen_ns,
            ":duration_s": row.duration_ns.map(seconds),
            ":interrupted": row.interrupted.map(|interruption| interruption.as_str()),
            ":continued": row.continued,
            ":peak_at": peak.map(|peak| peak.time_ns),
            ":peak_stress": peak.map(|peak| peak.stress.total()),
            ":peak_tier": peak.map(|peak| peak.tier.as_str()),
            ":peak_top": peak.and_then(|peak| peak.top.as_ref()).map(|top| json(&TopLine::from(top))),
            ":factors": peak.map_or_else(|| "{}".to_owned(), |peak| json(&Factors(peak.stress))),
            ":culprits": json(&row.culprits),
            ":elevated_s": row.tiers.map(|tiers| seconds(tiers.elevated_ns)),
            ":critical_s": row.tiers.map(|tiers| seconds(tiers.critical_ns)),
            ":incident": row.incident.as_slice(),
            ":episode": row.episode.map(column),
            ":tier_changes": steps(&row.steps),
            ":tier_changes_dropped": row.steps.dropped,
            ":export": (export && !row.is_open() && is_exported(row.kind)).then_some(outbox::PENDING),
        })?;
    Ok(if known.is_some() { Upsert::Updated } else { Upsert::New })
}

/// Writes a sample of an event; one that is there already stays.
pub(super) fn insert_sample(
    connection: &Connection,
    event: EventId,
    sample: &Sample,
) -> rusqlite::Result<usize> {
    let line = SampleLine::from(sample);
    let metrics = &line.metrics;
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO event_samples (event_id, seq, time, interval_ms, elapsed_ms, expected_ms,
                 latency_ratio, heartbeat_ms, tier, degraded, stress_total, stress_load, stress_memory,
                 stress_thermal, stress_latency, stress_io, stress_gpu, stress_wakeups, stress_pageins,
                 load_avg, cores, memory_available_pct, swap_used_bytes, thermal_pressure, cpu_power_mw,
                 gpu_power_mw, ane_power_mw, combined_power_mw, gpu_busy_pct, io_read_per_s, io_write_per_s,
                 cpu_ms_per_s, idle_wakeups_per_s, intr_wakeups_per_s, wakeups_kind, pageins_per_s,
                 top_cpu, top_pageins, top_wakeups, top_diskio)
             VALUES (:event_id, :seq, :time, :interval_ms, :elapsed_ms, :expected_ms,
                 :latency_ratio, :heartbeat_ms, :tier, :degraded, :stress_total, :stress_load, :stress_memory,
                 :stress_thermal, :stress_latency, :stress_io, :stress_gpu, :stress_wakeups, :stress_pageins,
                 :load_avg, :cores, :memory_available_pct, :swap_used_bytes, :thermal_pressure, :cpu_power_mw,
                 :gpu_power_mw, :ane_power_mw, :combined_power_mw, :gpu_busy_pct, :io_read_per_s,
                 :io_write_per_s, :cpu_ms_per_s, :idle_wakeups_per_s, :intr_wakeups_per_s, :wakeups_kind,
                 :pageins_per_s, :top_cpu, :top_pageins, :top_wakeups, :top_diskio)",
        )?
        .execute(named_params! {
            ":event_id": column(event),
            ":seq": column(line.seq),
            ":time": sample.time_ns,
            ":interval_ms": line.interval_ms,
            ":elapsed_ms": line.elapsed_ms,
            ":expected_ms": line.expected_ms,
            // A ratio that is not finite would be stored as NULL, which the column refuses.
            ":latency_ratio": if line.latency_ratio.is_finite() { line.latency_ratio } else { 0.0 },
            ":heartbeat_ms": line.heartbeat_ms,
            ":tier": line.tier,
            ":degraded": line.degraded,
            ":stress_total": line.stress.total,
            ":stress_load": line.stress.load,
            ":stress_memory": line.stress.memory,
            ":stress_thermal": line.stress.thermal,
            ":stress_latency": line.stress.latency,
            ":stress_io": line.stress.io,
            ":stress_gpu": line.stress.gpu,
            ":stress_wakeups": line.stress.wakeups,
            ":stress_pageins": line.stress.pageins,
            ":load_avg": metrics.load_avg,
            ":cores": metrics.cores,
            ":memory_available_pct": metrics.memory_available_pct,
            ":swap_used_bytes": metrics.swap_used_bytes.map(column),
            ":thermal_pressure": metrics.thermal_pressure,
            ":cpu_power_mw": metrics.cpu_power_mw,
            ":gpu_power_mw": metrics.gpu_power_mw,
            ":ane_power_mw": metrics.ane_power_mw,
            ":combined_power_mw": metrics.combined_power_mw,
            ":gpu_busy_pct": metrics.gpu_busy_pct,
            ":io_read_per_s": metrics.io_read_per_s,
            ":io_write_per_s": metrics.io_write_per_s,
            ":cpu_ms_per_s": metrics.cpu_ms_per_s,
            ":idle_wakeups_per_s": metrics.idle_wakeups_per_s,
            ":intr_wakeups_per_s": metrics.intr_wakeups_per_s,
            ":wakeups_kind": metrics.wakeups_kind,
            ":pageins_per_s": metrics.pageins_per_s,
            ":top_cpu": json(&line.top.cpu),
            ":top_pageins": json(&line.top.pageins),
            ":top_wakeups": json(&line.top.wakeups),
            ":top_diskio": json(&line.top.diskio),
        })
}

/// Writes what came of an event's captures. False where there is no such event.
pub(super) fn gathered(
    connection: &Connection,
    id: EventId,
    incident: Incident,
    captures: &[Capture],
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("UPDATE events SET forensics = ?3 WHERE id = ?1 AND incident = ?2")?
        .execute(params![column(id), incident.as_slice(), json(&captures)])
        .map(|changed| changed == 1)
}

/// Notes that an open episode goes on; a closed one stays as it is.
pub(super) fn last_seen(connection: &Connection, id: EventId, seen: &LastSeen) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE events SET last_seen = ?2, elevated_s = ?3, critical_s = ?4, tier_changes = ?5,
                 tier_changes_dropped = ?6
             WHERE id = ?1 AND ended_at IS NULL",
        )?
        .execute(params![
            column(id),
            seen.time_ns,
            seconds(seen.tiers.elevated_ns),
            seconds(seen.tiers.critical_ns),
            steps(&seen.steps),
            seen.steps.dropped
        ])
}
