//! Makes a [`Reading`] of one powermetrics document: the data dictionary.
//!
//! One pass, no copy, no allocation. Every field is optional; what is missing, of the wrong kind, negative or
//! not finite is `None`. Unknown keys are skipped whole, however deep; of duplicate keys the first counts.
//! What is leapt over is only looked at for its own brackets, so nonsense in there goes unnoticed; nonsense
//! on the way is [`Reject::Malformed`].
//!
//! **Tasks** stand in `tasks[]`, or in `coalitions[].tasks[]`. Where a document has both, they are the same
//! tasks shown twice: `tasks[]` counts if it has any, the coalitions only if not.

mod tasks;
mod text;
mod xml;

use self::tasks::Tally;
use self::text::Text;
use self::xml::{Cursor, Tag, Value};
use crate::sample::{Metrics, Name, Reading, Reject, SourceInfo, ThermalPressure};

/// Processes that are never culprits, because they are ours.
///
/// Their rows count in the sums and are left out of the lists. Pid 0 is macOS's `kernel_task` and stands for
/// *unused* here, so it is never taken for ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPids {
    /// Our own process.
    pub monitor: i32,
    /// Our child and its children; 0 where unused.
    pub sampler: [i32; 4],
}

impl OwnPids {
    fn is_sampler(&self, pid: i32) -> bool {
        pid != 0 && self.sampler.contains(&pid)
    }

    fn is_own(&self, pid: i32) -> bool {
        pid != 0 && pid == self.monitor || self.is_sampler(pid)
    }
}

/// What one document says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Document {
    /// The figures.
    pub reading: Reading,
    /// The machine.
    pub info: SourceInfo,
    /// The document's `timestamp`, Unix seconds: information, never used for timing.
    pub timestamp_s: Option<i64>,
}

/// Ten years, ns: what is longer is no interval.
const MAX_ELAPSED_NS: i64 = 320_000_000_000_000_000;

/// Decodes one document, as the framer cuts it.
///
/// # Errors
/// [`Reject::Malformed`] where its structure can't be read, [`Reject::Incomplete`] where it has no positive
/// `elapsed_ns` (or one of ten years and more).
pub fn decode(document: &[u8], own: &OwnPids) -> Result<Document, Reject> {
    let mut cursor = Cursor::new(document);
    match (cursor.tag()?, cursor.tag()?) {
        (Tag::Open(b"plist"), Tag::Open(b"dict")) => {}
        // There is nothing in it.
        (Tag::Open(b"plist"), Tag::Empty(b"dict")) if matches!(cursor.tag()?, Tag::Close(b"plist")) => {
            return Err(Reject::Incomplete);
        }
        _ => return Err(Reject::Malformed),
    }
    let mut decoded = Document::default();
    let mut tally = Tally::new(own);
    let Document { reading, info, timestamp_s } = &mut decoded;
    let metrics = &mut reading.metrics;
    read_dict(&mut cursor, &TOP_LEVEL, |cursor, key, value| {
        match (key, value) {
            ("elapsed_ns", Value::Number(text)) => {
                let elapsed = text.integer().filter(|&ns| ns < MAX_ELAPSED_NS);
                reading.elapsed_ns = elapsed.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0);
            }
            ("hw_model", Value::Text(text)) => info.hw_model = label(text),
            ("kern_osversion", Value::Text(text)) => info.os_build = label(text),
            ("kern_boottime", Value::Number(text)) => {
                info.boot_time_s = text.integer().filter(|&seconds| seconds >= 0);
            }
            ("timestamp", Value::Text(text)) => *timestamp_s = unix_seconds(text),
            ("thermal_pressure", Value::Text(text)) => {
                metrics.thermal_pressure = Some(ThermalPressure::parse(text.name().as_str()));
            }
            ("processor", Value::Dict) => read_processor(cursor, metrics)?,
            ("gpu", value) => metrics.gpu_busy_pct = read_gpus(cursor, value)?,
            ("disk", Value::Dict) => {
                [metrics.io_read_per_s, metrics.io_write_per_s] =
                    read_quantities(cursor, &["rbytes_per_s", "wbytes_per_s"])?;
            }
            ("tasks", Value::Array) => {
                let mut flat = Tally::new(own);
                flat.read_tasks(cursor)?;
                if flat.rows > 0 {
                    tally = flat;
                }
            }
            ("coalitions", Value::Array) if tally.rows == 0 => tally.read_coalitions(cursor)?,
            (_, value) => cursor.skip(value)?,
        }
        Ok(())
    })?;
    let Tag::Close(b"plist") = cursor.tag()? else { return Err(Reject::Malformed) };
    if decoded.reading.elapsed_ns == 0 {
        return Err(Reject::Incomplete);
    }
    tally.enter(&mut decoded.reading);
    Ok(decoded)
}

/// The top-level keys that are read.
const TOP_LEVEL: [&str; 11] = [
    "elapsed_ns",
    "hw_model",
    "kern_osversion",
    "kern_boottime",
    "timestamp",
    "thermal_pressure",
    "processor",
    "gpu",
    "disk",
    "tasks",
    "coalitions",
];

/// Reads the entries of a dict whose start tag has been read. `read` is given the first value under each of
/// `keys`, and reads what is left of it; everything else is skipped.
fn read_dict<'a>(
    cursor: &mut Cursor<'a>,
    keys: &'static [&'static str],
    mut read: impl FnMut(&mut Cursor<'a>, &'static str, Value<'a>) -> Result<(), Reject>,
) -> Result<(), Reject> {
    let mut seen = 0_u16;
    while let Some(key) = cursor.key()? {
        let known = key.lookup(|name| keys.iter().position(|key| key.as_bytes() == name));
        let value = cursor.value()?;
        match known {
            Some(index) if seen & 1 << index == 0 => {
                seen |= 1 << index;
                read(cursor, keys[index], value)?;
            }
            _ => cursor.skip(value)?,
        }
    }
    Ok(())
}

/// Reads the numbers under `keys` of a dict whose start tag has been read.
fn read_quantities<const N: usize>(
    cursor: &mut Cursor<'_>,
    keys: &'static [&'static str; N],
) -> Result<[Option<f64>; N], Reject> {
    let mut quantities = [None; N];
    read_dict(cursor, keys, |cursor, key, value| match value {
        Value::Number(text) => {
            if let Some(index) = keys.iter().position(|&known| known == key) {
                quantities[index] = text.quantity();
            }
            Ok(())
        }
        value => cursor.skip(value),
    })?;
    Ok(quantities)
}

/// Reads `processor`: powers in mW; Intel's `package_watts`, in W, stands in the dict itself or in each of
/// its `packages`, which are added up.
fn read_processor(cursor: &mut Cursor<'_>, metrics: &mut Metrics) -> Result<(), Reject> {
    let mut combined_mw = None;
    let mut package_watts = None;
    let mut packages_watts = None;
    read_dict(cursor, &PROCESSOR, |cursor, key, value| {
        match (key, value) {
            ("cpu_power", Value::Number(text)) => metrics.cpu_power_mw = text.quantity(),
            ("gpu_power", Value::Number(text)) => metrics.gpu_power_mw = text.quantity(),
            ("ane_power", Value::Number(text)) => metrics.ane_power_mw = text.quantity(),
            ("combined_power", Value::Number(text)) => combined_mw = text.quantity(),
            ("package_watts", Value::Number(text)) => package_watts = text.quantity(),
            ("packages", Value::Array) => packages_watts = read_packages(cursor)?,
            (_, value) => cursor.skip(value)?,
        }
        Ok(())
    })?;
    let package_mw = package_watts.or(packages_watts).map(|watts| watts * 1000.0);
    metrics.combined_power_mw = combined_mw.or(package_mw).filter(|power| power.is_finite());
    Ok(())
}

/// The keys of `processor` that are read.
const PROCESSOR: [&str; 6] =
    ["cpu_power", "gpu_power", "ane_power", "combined_power", "package_watts", "packages"];

/// The sum of the packages' watts.
fn read_packages(cursor: &mut Cursor<'_>) -> Result<Option<f64>, Reject> {
    let mut sum = None;
    while let Some(element) = cursor.element()? {
        if let Value::Dict = element {
            let [watts] = read_quantities(cursor, &["package_watts"])?;
            accrue(&mut sum, watts);
        } else {
            cursor.skip(element)?;
        }
    }
    Ok(sum)
}

/// Reads `gpu`, a dict or an array of dicts: the busy share of the busiest, percent.
fn read_gpus(cursor: &mut Cursor<'_>, value: Value<'_>) -> Result<Option<f64>, Reject> {
    match value {
        Value::Dict => read_gpu(cursor),
        Value::Array => {
            let mut busiest = None;
            while let Some(element) = cursor.element()? {
                let busy = if let Value::Dict = element {
                    read_gpu(cursor)?
                } else {
                    cursor.skip(element)?;
                    None
                };
                // A gpu that reports nothing is below any that does.
                busiest = if busy > busiest { busy } else { busiest };
            }
            Ok(busiest)
        }
        value => cursor.skip(value).map(|()| None),
    }
}

fn read_gpu(cursor: &mut Cursor<'_>) -> Result<Option<f64>, Reject> {
    let [idle_ratio] = read_quantities(cursor, &["idle_ratio"])?;
    Ok(idle_ratio.map(|ratio| ((1.0 - ratio) * 100.0).clamp(0.0, 100.0)))
}

/// Adds what is reported; a sum of nothing stays *not reported*.
fn accrue(sum: &mut Option<f64>, value: Option<f64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0.0) + value);
    }
}

/// A label that says something.
fn label(text: Text<'_>) -> Option<Name> {
    Some(text.name()).filter(|name| *name != Name::EMPTY)
}

fn unix_seconds(text: Text<'_>) -> Option<i64> {
    let timestamp: jiff::Timestamp = text.name().as_str().trim().parse().ok()?;
    Some(timestamp.as_second())
}

#[cfg(test)]
mod tests;
