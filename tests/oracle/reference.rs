//! The data dictionary once more, written for clarity alone, on trees that the `plist` crate reads: what the
//! decoder is measured by. Shared by `tests/decode_oracle.rs` and the fuzz target.

use std::fmt;

use pause_monitor::sample::{Metrics, Name, Process, Reading, Reject, SourceInfo, ThermalPressure, TopList};
use pause_monitor::source::powermetrics::decode::{Document, OwnPids};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A property list, duplicate keys kept.
#[derive(Debug)]
pub(crate) enum Tree {
    Dict(Vec<(String, Tree)>),
    Array(Vec<Tree>),
    Integer(i128),
    Real(f64),
    /// A string or a date.
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Dict(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }
}

impl Tree {
    /// The first value under `key`.
    fn get(&self, key: &str) -> Option<&Tree> {
        let Tree::Dict(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn elements(&self) -> &[Tree] {
        if let Tree::Array(elements) = self { elements } else { &[] }
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Tree::Integer(value) => Some(*value as f64),
            Tree::Real(value) => Some(*value),
            _ => None,
        }
    }

    fn quantity(&self, key: &str) -> Option<f64> {
        self.number(key).filter(|value| (0.0..=1e20).contains(value))
    }

    fn integer(&self, key: &str) -> Option<i64> {
        let limit = 2_f64.powi(63);
        self.number(key)
            .map(f64::round)
            .filter(|value| (-limit..limit).contains(value))
            .map(|value| value as i64)
    }

    fn text(&self, key: &str) -> Option<&str> {
        if let Tree::Text(text) = self.get(key)? { Some(text) } else { None }
    }
}

/// What a document means; `None` where the `plist` crate refuses it.
pub(crate) fn decode(document: &[u8], own: &OwnPids) -> Option<Result<Document, Reject>> {
    let tree: Tree = plist::from_reader_xml(std::io::Cursor::new(document)).ok()?;
    let Tree::Dict(_) = tree else { return Some(Err(Reject::Malformed)) };
    let Some(elapsed_ns) = tree.integer("elapsed_ns").filter(|&ns| ns > 0 && ns < 320_000_000_000_000_000)
    else {
        return Some(Err(Reject::Incomplete));
    };

    // A row with none of the keys is no task's, and ALL_TASKS is a total.
    let is_task =
        |row: &&Tree| ROW.iter().any(|key| row.get(key).is_some()) && row.integer("pid") != Some(-2);
    let rows_in = |tree: &'_ Tree| -> Vec<_> {
        match tree.get("tasks") {
            Some(Tree::Array(rows)) => rows.iter().filter(is_task).map(Row::of).collect(),
            _ => Vec::new(),
        }
    };
    let mut rows = rows_in(&tree);
    if rows.is_empty() {
        rows = tree.get("coalitions").map_or(&[][..], Tree::elements).iter().flat_map(rows_in).collect();
    }
    let is_sampler = |row: &Row| row.pid.is_some_and(|pid| pid != 0 && own.sampler.contains(&pid));
    let listed: Vec<&Row> = rows
        .iter()
        .filter(|row| row.pid.is_some_and(|pid| pid == 0 || pid != own.monitor) && !is_sampler(row))
        .collect();

    let processor = tree.get("processor");
    let power = |key| processor.and_then(|processor| processor.quantity(key));
    let package_watts = power("package_watts").or_else(|| {
        let packages =
            processor.and_then(|processor| processor.get("packages")).map_or(&[][..], Tree::elements);
        sum(packages.iter().map(|package| package.quantity("package_watts")))
    });
    let gpus = match tree.get("gpu") {
        Some(Tree::Array(gpus)) => gpus.iter().collect(),
        Some(gpu) => vec![gpu],
        None => Vec::new(),
    };
    let disk = |key| tree.get("disk").and_then(|disk| disk.quantity(key));

    Some(Ok(Document {
        reading: Reading {
            elapsed_ns: elapsed_ns as u64,
            degraded: false,
            metrics: Metrics {
                thermal_pressure: tree
                    .text("thermal_pressure")
                    .map(|text| ThermalPressure::parse(Name::new(text).as_str())),
                cpu_power_mw: power("cpu_power"),
                gpu_power_mw: power("gpu_power"),
                ane_power_mw: power("ane_power"),
                combined_power_mw: power("combined_power")
                    .or(package_watts.map(|watts| watts * 1000.0))
                    .filter(|power| power.is_finite()),
                gpu_busy_pct: gpus
                    .into_iter()
                    .filter_map(|gpu| gpu.quantity("idle_ratio"))
                    .map(|idle| ((1.0 - idle) * 100.0).clamp(0.0, 100.0))
                    .reduce(f64::max),
                io_read_per_s: disk("rbytes_per_s"),
                io_write_per_s: disk("wbytes_per_s"),
                cpu_ms_per_s: sum(rows.iter().map(|row| row.cpu)),
                idle_wakeups_per_s: sum(rows.iter().map(|row| row.idle_wakeups)),
                intr_wakeups_per_s: sum(rows.iter().map(|row| row.intr_wakeups)),
                pageins_per_s: sum(rows.iter().map(|row| row.pageins)),
                ..Metrics::default()
            },
            top_cpu: top(&listed, |row| row.cpu),
            top_pageins: top(&listed, |row| row.pageins),
            top_idle_wakeups: top(&listed, |row| row.idle_wakeups),
            top_intr_wakeups: top(&listed, |row| row.intr_wakeups),
            top_diskio: top(&listed, |row| row.diskio),
            wakeups_kind: None,
            sampler_cpu_ms_per_s: sum(rows.iter().filter(|row| is_sampler(row)).map(|row| row.cpu)),
        },
        info: SourceInfo {
            hw_model: tree.text("hw_model").filter(|text| !text.is_empty()).map(Name::new),
            os_build: tree.text("kern_osversion").filter(|text| !text.is_empty()).map(Name::new),
            boot_time_s: tree.integer("kern_boottime").filter(|&seconds| seconds >= 0),
        },
        timestamp_s: tree
            .text("timestamp")
            .and_then(|text| text.trim().parse::<jiff::Timestamp>().ok())
            .map(|timestamp| timestamp.as_second()),
    }))
}

/// The keys of a task.
const ROW: [&str; 8] = [
    "pid",
    "name",
    "cputime_ms_per_s",
    "intr_wakeups_per_s",
    "idle_wakeups_per_s",
    "diskio_bytesread_per_s",
    "diskio_byteswritten_per_s",
    "pageins_per_s",
];

struct Row {
    pid: Option<i32>,
    name: String,
    cpu: Option<f64>,
    idle_wakeups: Option<f64>,
    intr_wakeups: Option<f64>,
    pageins: Option<f64>,
    diskio: Option<f64>,
}

impl Row {
    fn of(row: &Tree) -> Self {
        let (read, written) =
            (row.quantity("diskio_bytesread_per_s"), row.quantity("diskio_byteswritten_per_s"));
        Self {
            pid: row.integer("pid").and_then(|pid| i32::try_from(pid).ok()),
            name: row.text("name").unwrap_or_default().to_owned(),
            cpu: row.quantity("cputime_ms_per_s"),
            idle_wakeups: row.quantity("idle_wakeups_per_s"),
            intr_wakeups: row.quantity("intr_wakeups_per_s"),
            pageins: row.quantity("pageins_per_s"),
            diskio: match (read, written) {
                (None, None) => None,
                _ => Some(read.unwrap_or(0.0) + written.unwrap_or(0.0)),
            },
        }
    }
}

fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(|a, b| a + b).filter(|sum| sum.is_finite())
}

/// The five largest, by sorting all of them.
fn top(rows: &[&Row], measure: impl Fn(&Row) -> Option<f64>) -> TopList {
    let mut entries: Vec<Process> = rows
        .iter()
        .filter_map(|row| {
            let value = measure(row).filter(|value| value.is_finite() && *value > 0.0)?;
            Some(Process { pid: row.pid?, name: Name::new(&row.name), value })
        })
        .collect();
    entries.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.pid.cmp(&b.pid)));
    let mut list = TopList::default();
    for entry in entries.iter().take(5) {
        list.offer(entry.pid, &entry.name, entry.value);
    }
    list
}
