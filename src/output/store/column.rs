//! How columns become values: the reverse of `statement`.

use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};

use super::query::{Capture, StoredEvent};
use super::row::{EventRow, Incident, Interruption, Kind, PeakRow, Status, StepColumn, TierSteps, TierTimes};
use crate::event::Verdict;
use crate::sample::{Factor, Stress, Tier, Top};
use crate::wire::{self, CulpritLine, MetricsLine, SampleLine, StressLine, TopLine};

/// A column of text with one of our own names in it.
struct Named<T>(T);

macro_rules! named {
    ($($type:ty),*) => {$(
        impl FromSql for Named<$type> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                <$type>::parse(value.as_str()?).map(Self).ok_or(FromSqlError::InvalidType)
            }
        }
    )*};
}
named!(Kind, Verdict, Tier, Status, Interruption);

/// A column of JSON text.
struct Json<T>(T);

impl<T: serde::de::DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// The column of an episode's largest processes.
struct TopColumn(Top);

impl FromSql for TopColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let line: TopLine<'_> =
            serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(Box::new(error)))?;
        Ok(Self((&line).into()))
    }
}

/// What the columns hold of a duration, ns.
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// An event; the columns are those of [`super::query::COLUMNS`].
pub(super) fn read_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let named = |name| row.get::<_, Option<Named<Tier>>>(name);
    let points: Json<std::collections::BTreeMap<String, u8>> = row.get("factors")?;
    let stress = Stress::new(Factor::ALL.map(|factor| points.0.get(factor.as_str()).copied().unwrap_or(0)));
    let peak = match (row.get::<_, Option<i64>>("peak_at")?, named("peak_tier")?) {
        (Some(time_ns), Some(Named(tier))) => {
            let top = row.get::<_, Option<TopColumn>>("peak_top")?.map(|column| column.0);
            Some(PeakRow { time_ns, stress, tier, top })
        }
        _ => None,
    };
    let tiers = match (row.get::<_, Option<f64>>("elevated_s")?, row.get::<_, Option<f64>>("critical_s")?) {
        (Some(elevated), Some(critical)) => {
            Some(TierTimes { elevated_ns: nanoseconds(elevated), critical_ns: nanoseconds(critical) })
        }
        _ => None,
    };
    let incident: Vec<u8> = row.get("incident")?;
    let steps: Json<Vec<StepColumn<'static>>> = row.get("tier_changes")?;
    Ok(StoredEvent {
        row: EventRow {
            id: count(row.get("id")?),
            kind: row.get::<_, Named<Kind>>("kind")?.0,
            verdict: row.get::<_, Option<Named<Verdict>>>("verdict")?.map(|named| named.0),
            certain: row.get("certain")?,
            started_ns: row.get("started_at")?,
            ended_ns: row.get("ended_at")?,
            last_seen_ns: row.get("last_seen")?,
            duration_ns: row.get::<_, Option<f64>>("duration_s")?.map(nanoseconds),
            interrupted: row.get::<_, Option<Named<Interruption>>>("interrupted")?.map(|named| named.0),
            continued: row.get("continued")?,
            peak,
            tiers,
            culprits: row.get::<_, Json<Vec<CulpritLine<'static>>>>("culprits")?.0,
            incident: Incident::try_from(incident.as_slice()).unwrap_or_default(),
            episode: row.get::<_, Option<i64>>("episode")?.map(count),
            steps: TierSteps {
                kept: steps.0.iter().filter_map(StepColumn::step).collect(),
                dropped: row.get("tier_changes_dropped")?,
            },
        },
        samples: count(row.get("samples")?),
        status: row.get::<_, Named<Status>>("status")?.0,
        note: row.get("note")?,
        forensics: row.get::<_, Json<Vec<Capture>>>("forensics")?.0,
    })
}

/// A sample as a line of the socket.
pub(super) fn read_sample(row: &Row<'_>) -> rusqlite::Result<SampleLine<'static>> {
    let list = |name| row.get::<_, Json<Vec<wire::ProcessLine<'static>>>>(name).map(|json| json.0);
    let text = |name| row.get::<_, String>(name).map(std::borrow::Cow::Owned);
    Ok(SampleLine {
        seq: count(row.get("seq")?),
        time: wire::rfc3339(row.get("time")?).into(),
        interval_ms: row.get("interval_ms")?,
        elapsed_ms: row.get("elapsed_ms")?,
        expected_ms: row.get("expected_ms")?,
        latency_ratio: row.get("latency_ratio")?,
        heartbeat_ms: row.get("heartbeat_ms")?,
        tier: text("tier")?,
        degraded: row.get("degraded")?,
        stress: StressLine {
            total: row.get("stress_total")?,
            load: row.get("stress_load")?,
            memory: row.get("stress_memory")?,
            thermal: row.get("stress_thermal")?,
            latency: row.get("stress_latency")?,
            io: row.get("stress_io")?,
            gpu: row.get("stress_gpu")?,
            wakeups: row.get("stress_wakeups")?,
            pageins: row.get("stress_pageins")?,
        },
        metrics: MetricsLine {
            load_avg: row.get("load_avg")?,
            cores: row.get("cores")?,
            memory_available_pct: row.get("memory_available_pct")?,
            swap_used_bytes: row.get::<_, Option<i64>>("swap_used_bytes")?.map(count),
            thermal_pressure: row.get::<_, Option<String>>("thermal_pressure")?.map(Into::into),
            cpu_power_mw: row.get("cpu_power_mw")?,
            gpu_power_mw: row.get("gpu_power_mw")?,
            ane_power_mw: row.get("ane_power_mw")?,
            combined_power_mw: row.get("combined_power_mw")?,
            gpu_busy_pct: row.get("gpu_busy_pct")?,
            io_read_per_s: row.get("io_read_per_s")?,
            io_write_per_s: row.get("io_write_per_s")?,
            cpu_ms_per_s: row.get("cpu_ms_per_s")?,
            idle_wakeups_per_s: row.get("idle_wakeups_per_s")?,
            intr_wakeups_per_s: row.get("intr_wakeups_per_s")?,
            wakeups_kind: text("wakeups_kind")?,
            pageins_per_s: row.get("pageins_per_s")?,
        },
        top: TopLine {
            cpu: list("top_cpu")?,
            pageins: list("top_pageins")?,
            wakeups: list("top_wakeups")?,
            diskio: list("top_diskio")?,
        },
    })
}
