//! Any bytes at all as a recording in JSON lines, and as what a client reads from the socket.
//!
//! - The same items however the bytes are split into reads. Of a line alone exactly what `serde_json::Value` and the
//!   data dictionary say of it ([`expected`]): its reading to the field, or why it was rejected. No line spoils
//!   another: the whole has as many rejected ones as its lines have one by one, and no reading more.
//! - Readings in range: finite, not negative, no more than 100 %, five processes a list in falling order, names cut.
//! - What the wire reads it writes as one line, which it reads and writes again to the byte. A sample that was
//!   rounded once stays as it is, and a replay of it reads what the line says.
//! - The engine takes the readings as they come: a report of a few KB without control characters; as JSON nothing but
//!   lines of the wire, the summary last, its counts those of the items. Analyzed again they give every sample again.
//!
//! The first byte of the input chooses the splits; the rest is the recording.

use std::io::{self, Cursor, Read};
use std::path::Path;

use pause_monitor::config::{Config, SourceKind};
use pause_monitor::daemon::player::Player;
use pause_monitor::engine::Engine;
use pause_monitor::event::{Told, Verdict};
use pause_monitor::sample::{
    MEASURED_MAX, Metrics, Name, Reading, Reject, Sample, SourceInfo, TOP_LEN, ThermalPressure, TopList,
    WakeupsKind,
};
use pause_monitor::source::replay::{Item, Replay};
use pause_monitor::wire::{self, Message, SampleLine};
use serde_json::{Map, Value};

use super::{json, reading};

/// Demands it all.
pub fn check(input: &[u8]) {
    let [splits, recording @ ..] = input else { return };
    let Some(whole) = items(recording.to_vec()) else {
        assert!(!looks_like_one(recording), "it was not taken for a recording");
        return;
    };
    assert_eq!(items_in_pieces(recording, *splits).as_ref(), Some(&whole), "read in pieces");
    for item in &whole {
        if let Item::Reading { reading, .. } = item {
            reading::in_range(reading);
        }
    }
    for line in recording.split(|&byte| byte == b'\n') {
        client(trimmed(line));
    }
    if is_plist(recording) {
        return;
    }
    // Each line costs a buffer; what a few show many do not show better.
    if recording.iter().filter(|&&byte| byte == b'\n').count() <= 16 {
        line_by_line(recording, &whole);
    }
    analyzed(recording, &whole);
}

fn items(recording: Vec<u8>) -> Option<Vec<Item>> {
    all(Replay::new(Box::new(Cursor::new(recording))))
}

fn items_in_pieces(recording: &[u8], splits: u8) -> Option<Vec<Item>> {
    struct Pieces(Cursor<Vec<u8>>, usize, usize);
    impl Read for Pieces {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            self.2 += 1;
            let count = space.len().min(1 + (self.1 * self.2 * 7) % 61);
            self.0.read(&mut space[..count])
        }
    }
    all(Replay::new(Box::new(Pieces(Cursor::new(recording.to_vec()), splits.into(), 0))))
}

/// All items; `None` where it is no recording.
fn all(mut replay: Replay) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    loop {
        match replay.next() {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return Some(items),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
                assert!(items.is_empty(), "{items:?}");
                return None;
            }
        }
    }
}

fn find(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Whether a property list may begin somewhere: then it is one that may be read.
fn is_plist(recording: &[u8]) -> bool {
    find(recording, b"<?xml") || find(recording, b"<plist")
}

fn looks_like_one(recording: &[u8]) -> bool {
    is_plist(recording) || recording.split(|&byte| byte == b'\n').any(|line| trimmed(line).starts_with(b"{"))
}

fn trimmed(line: &[u8]) -> &[u8] {
    let mut line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | 0);
    while let [first, rest @ ..] = line
        && blank(first)
    {
        line = rest;
    }
    while let [rest @ .., last] = line
        && blank(last)
    {
        line = rest;
    }
    line
}

/// What the wire reads of a line, it writes and reads again.
fn client(line: &[u8]) {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(line) else { return };
    let once = encoded(&message);
    let again: Message<'_> = serde_json::from_slice(&once)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&once)));
    let twice = encoded(&again);
    assert_eq!(text(&once), text(&twice));
    let samples: &[SampleLine<'_>] = match &again {
        Message::Sample(sample) => std::slice::from_ref(sample),
        Message::Hello(hello) => &hello.ring,
        _ => &[],
    };
    for sample in samples.iter().filter_map(SampleLine::to_sample) {
        let rounded = sent(&sample);
        assert_eq!(sent(&rounded), rounded, "rounded once");
        let items = items(encoded(&Message::Sample(Box::new((&rounded).into()))));
        let items = items.as_deref().unwrap_or_default();
        match items {
            [Item::Reading { reading, heartbeat_ns, time_ns, .. }] => {
                assert_eq!((reading.elapsed_ns, reading.degraded), (rounded.elapsed_ns, rounded.degraded));
                assert_eq!((reading.metrics, reading.top_cpu), (rounded.metrics, rounded.top.cpu));
                assert_eq!((*heartbeat_ns, *time_ns), (rounded.heartbeat_ns, Some(rounded.time_ns)));
            }
            [Item::Rejected(Reject::Incomplete)] => assert_eq!(rounded.elapsed_ns, 0),
            other => panic!("{other:?}"),
        }
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(message, &mut bytes);
    assert_eq!(bytes.iter().position(|&byte| byte == b'\n'), Some(bytes.len() - 1), "{}", text(&bytes));
    bytes
}

/// The sample as its receiver has it.
fn sent(sample: &Sample) -> Sample {
    let bytes = encoded(&Message::Sample(Box::new(sample.into())));
    match serde_json::from_slice(&bytes) {
        Ok(Message::Sample(line)) => line.to_sample().unwrap_or_else(|| panic!("{}", text(&bytes))),
        other => panic!("{other:?}: {}", text(&bytes)),
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("no UTF-8")
}

/// What a line alone must give; `None` where no rule says.
fn expected(line: &[u8], ended: bool) -> Option<Vec<Item>> {
    if line.is_empty() {
        return Some(Vec::new());
    }
    let rejected = |why| Some(vec![Item::Rejected(why)]);
    let malformed = if ended { Reject::Malformed } else { Reject::Truncated };
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return rejected(malformed) };
    if json::has_duplicates(line) {
        return None;
    }
    // An array of a kind and its fields is one as well, to serde; nobody writes that.
    let Value::Object(object) = value else { return None };
    let Some(kind) = object.get("type") else { return rejected(malformed) };
    match kind.as_str()? {
        "sample" => match sample(&object)? {
            Ok(Some(item)) => Some(vec![item]),
            Ok(None) => rejected(Reject::Incomplete),
            Err(Wrong) => rejected(malformed),
        },
        "source" => match source(&object) {
            Ok(info) => Some(info.map(Item::Info).into_iter().collect()),
            Err(Wrong) => rejected(malformed),
        },
        "gap" => match gap(&object) {
            Ok(told) => Some(told.map(Item::Told).into_iter().collect()),
            Err(Wrong) => rejected(malformed),
        },
        "hello" => match hello(&object)? {
            Ok(items) => Some(items),
            Err(Wrong) => rejected(malformed),
        },
        _ => Some(Vec::new()),
    }
}

/// A field is there and of another type.
struct Wrong;

fn number(object: &Map<String, Value>, key: &str) -> Result<Option<f64>, Wrong> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(Wrong),
    }
}

fn words<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Wrong> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(Wrong),
    }
}

/// Text that may be left out but not be null.
fn present<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, Wrong> {
    object.get(key).map_or(Ok(""), |value| value.as_str().ok_or(Wrong))
}

fn ns(ms: f64) -> Option<u64> {
    (0.0..3.2e11).contains(&ms).then(|| (ms * 1e6).round() as u64)
}

fn unix_ns(time: &str) -> Option<i64> {
    i64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

fn source(object: &Map<String, Value>) -> Result<Option<SourceInfo>, Wrong> {
    present(object, "state")?;
    let info = SourceInfo {
        hw_model: words(object, "hw_model")?.map(Name::new),
        os_build: words(object, "os_build")?.map(Name::new),
        boot_time_s: None,
    };
    Ok((info != SourceInfo::default()).then_some(info))
}

fn gap(object: &Map<String, Value>) -> Result<Option<Told>, Wrong> {
    let (time, verdict) = (present(object, "time")?, present(object, "verdict")?);
    let certain = match object.get("certain") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_bool().ok_or(Wrong)?),
    };
    let duration_ms = number(object, "duration_ms")?;
    let told = || {
        Some(Told {
            verdict: Verdict::ALL.into_iter().find(|known| known.as_str() == verdict)?,
            certain: certain?,
            ended_ns: unix_ns(time)?,
            duration_ns: ns(duration_ms?)?,
        })
    };
    Ok(told())
}

/// The items of a first hello: its gaps, then its samples. The outer `None`: no rule says, as where a sample's time would
/// be derived from the one before.
fn hello(object: &Map<String, Value>) -> Option<Result<Vec<Item>, Wrong>> {
    let mut items = Vec::new();
    for (key, most) in [("gaps", 1_024), ("ring", 6_000)] {
        let elements = match object.get(key) {
            None => continue,
            Some(Value::Array(elements)) => elements,
            Some(_) => return Some(Err(Wrong)),
        };
        let mut found = Vec::new();
        for element in elements {
            let of = match element {
                Value::Object(of) => of,
                // The fields in their order are taken as well; nobody writes that.
                Value::Array(_) => return None,
                _ => return Some(Err(Wrong)),
            };
            let item = if key == "gaps" {
                gap(of).map(|told| told.map(Item::Told))
            } else {
                sample(of)?.map(|item| Some(item.unwrap_or(Item::Rejected(Reject::Incomplete))))
            };
            match item {
                Ok(Some(Item::Reading { time_ns: None, .. })) => return None,
                Ok(item) => found.push(item),
                Err(Wrong) => return Some(Err(Wrong)),
            }
        }
        // The newest are kept, those that say nothing among them.
        for item in found.split_off(found.len().saturating_sub(most)).into_iter().flatten() {
            // A gap is told once.
            if !(matches!(item, Item::Told(_)) && items.contains(&item)) {
                items.push(item);
            }
        }
    }
    Some(Ok(items))
}

/// The item of a sample; `Ok(None)` where it has no positive interval. The outer `None`: no rule says.
fn sample(object: &Map<String, Value>) -> Option<Result<Option<Item>, Wrong>> {
    let empty = Map::new();
    let part = |key| match object.get(key) {
        None => Some(Ok(&empty)),
        Some(Value::Object(part)) => Some(Ok(part)),
        // The fields in their order are taken as well; nobody writes that.
        Some(Value::Array(_)) => None,
        Some(_) => Some(Err(Wrong)),
    };
    let (metrics, top) = match (part("metrics")?, part("top")?) {
        (Ok(metrics), Ok(top)) => (metrics, top),
        _ => return Some(Err(Wrong)),
    };
    let mut arrays = false;
    let result = sample_of(object, metrics, top, &mut arrays);
    (!arrays).then_some(result)
}

fn sample_of(
    object: &Map<String, Value>,
    metrics: &Map<String, Value>,
    top: &Map<String, Value>,
    arrays: &mut bool,
) -> Result<Option<Item>, Wrong> {
    let whole = |map: &Map<String, Value>, key| match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or(Wrong),
    };
    if object.get("seq").is_some_and(|seq| !seq.is_u64()) {
        return Err(Wrong);
    }
    let degraded = object.get("degraded").map_or(Ok(false), |value| value.as_bool().ok_or(Wrong))?;
    let time_ns = unix_ns(present(object, "time")?);
    let interval_ns = number(object, "interval_ms")?.and_then(ns);
    let heartbeat_ns = number(object, "heartbeat_ms")?.and_then(ns);
    let elapsed_ns = number(object, "elapsed_ms")?.and_then(ns).filter(|&ns| ns > 0);
    let figure = |key| Ok(number(metrics, key)?.filter(|value| (0.0..=MEASURED_MAX).contains(value)));
    let read = Metrics {
        load_avg: figure("load_avg")?,
        cores: match whole(metrics, "cores")? {
            None => None,
            Some(cores) => Some(u32::try_from(cores).map_err(|_| Wrong)?),
        },
        memory_available_pct: figure("memory_available_pct")?.map(|percent: f64| percent.min(100.0)),
        swap_used_bytes: whole(metrics, "swap_used_bytes")?,
        thermal_pressure: words(metrics, "thermal_pressure")?.map(thermal),
        cpu_power_mw: figure("cpu_power_mw")?,
        gpu_power_mw: figure("gpu_power_mw")?,
        ane_power_mw: figure("ane_power_mw")?,
        combined_power_mw: figure("combined_power_mw")?,
        gpu_busy_pct: figure("gpu_busy_pct")?.map(|percent: f64| percent.min(100.0)),
        io_read_per_s: figure("io_read_per_s")?,
        io_write_per_s: figure("io_write_per_s")?,
        cpu_ms_per_s: figure("cpu_ms_per_s")?,
        idle_wakeups_per_s: figure("idle_wakeups_per_s")?,
        intr_wakeups_per_s: figure("intr_wakeups_per_s")?,
        pageins_per_s: figure("pageins_per_s")?,
    };
    let kind = match present(metrics, "wakeups_kind")? {
        "idle" => Some(WakeupsKind::Idle),
        "interrupt" => Some(WakeupsKind::Interrupt),
        _ => None,
    };
    let cpu = list(top, "cpu", arrays)?;
    let pageins = list(top, "pageins", arrays)?;
    let wakeups = list(top, "wakeups", arrays)?;
    let diskio = list(top, "diskio", arrays)?;
    let none = TopList::default();
    let interrupt = kind == Some(WakeupsKind::Interrupt);
    Ok(elapsed_ns.map(|elapsed_ns| Item::Reading {
        reading: Reading {
            elapsed_ns,
            degraded,
            metrics: read,
            top_cpu: cpu,
            top_pageins: pageins,
            top_idle_wakeups: if interrupt { none } else { wakeups },
            top_intr_wakeups: if interrupt { wakeups } else { none },
            top_diskio: diskio,
            wakeups_kind: kind,
            sampler_cpu_ms_per_s: None,
        },
        arrival_ns: interval_ns.unwrap_or(elapsed_ns),
        heartbeat_ns,
        time_ns,
    }))
}

fn thermal(level: &str) -> ThermalPressure {
    let level = level.trim().to_ascii_lowercase();
    ThermalPressure::ALL.into_iter().find(|known| known.as_str() == level).unwrap_or(ThermalPressure::Other)
}

/// The largest five: by value, then by pid, then as they stand.
fn list(top: &Map<String, Value>, key: &str, arrays: &mut bool) -> Result<TopList, Wrong> {
    let rows = match top.get(key) {
        None => return Ok(TopList::default()),
        Some(rows) => rows.as_array().ok_or(Wrong)?,
    };
    let mut found = Vec::new();
    for row in rows {
        *arrays |= row.is_array();
        let row = row.as_object().ok_or(Wrong)?;
        let pid = row.get("pid").and_then(Value::as_i64).ok_or(Wrong)?;
        let pid = i32::try_from(pid).map_err(|_| Wrong)?;
        let name = row.get("name").and_then(Value::as_str).ok_or(Wrong)?;
        let value = row.get("value").and_then(Value::as_f64).ok_or(Wrong)?;
        found.push((pid, name, value));
    }
    found.retain(|&(.., value)| value > 0.0 && value <= MEASURED_MAX);
    found.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    let mut list = TopList::default();
    for (pid, name, value) in found.into_iter().take(TOP_LEN) {
        list.offer(pid, &Name::new(name), value);
    }
    Ok(list)
}

/// The whole against its lines one by one.
fn line_by_line(recording: &[u8], whole: &[Item]) {
    let mut readings = 0;
    let mut rejected = [0_usize; 4];
    let mut lines = recording.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let ended = lines.peek().is_some();
        let line_alone = trimmed(line);
        let expected = expected(line_alone, ended);
        // A recording is recognized by an object; what else there may be stands behind one.
        let mut alone = b"{\"type\":\"\"}\n".to_vec();
        alone.extend_from_slice(line);
        alone.extend(ended.then_some(b'\n'));
        let found = items(alone).unwrap_or_else(|| panic!("no recording: {}", String::from_utf8_lossy(line)));
        if let Some(expected) = expected {
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(line));
        }
        readings += count_readings(&found);
        count_rejected(&found, &mut rejected);
    }
    let mut rejected_of_whole = [0; 4];
    count_rejected(whole, &mut rejected_of_whole);
    // A hello's samples that were read before are passed over, whatever they lack.
    if find(recording, b"hello") {
        assert!(count_readings(whole) <= readings);
    } else {
        assert_eq!((rejected_of_whole, count_readings(whole)), (rejected, readings));
    }
}

fn count_readings(items: &[Item]) -> usize {
    items.iter().filter(|item| matches!(item, Item::Reading { .. })).count()
}

fn count_rejected(items: &[Item], counts: &mut [usize; 4]) {
    for item in items {
        if let Item::Rejected(why) = item {
            counts[*why as usize] += 1;
        }
    }
}

/// What `analyze` tells of a recording.
fn told(recording: &[u8], json: bool) -> Vec<u8> {
    let config = Config { source: SourceKind::Replay("-".into()), ..Config::default() };
    let engine = Engine::new(pause_monitor::daemon::settings(&config), 1);
    let replay = Replay::new(Box::new(Cursor::new(recording.to_vec())));
    let mut out = Vec::new();
    let player = Player::new(replay, 1_700_000_000_000_000_000, true);
    let told = pause_monitor::cli::analyze::tell(player, engine, Path::new("-"), json, &mut out);
    assert!(told.is_ok(), "{told:?}");
    out
}

fn analyzed(recording: &[u8], items: &[Item]) {
    let report = told(recording, false);
    let report = std::str::from_utf8(&report).expect("a report is UTF-8");
    assert!(!report.chars().any(|c| c.is_control() && c != '\n'), "{report:?}");
    assert!(report.lines().all(|line| line.len() < 16 << 10), "{report}");

    let lines = told(recording, true);
    let mut samples = 0;
    let mut summary = None;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        assert!(summary.is_none(), "nothing stands behind the summary");
        let message: Message<'_> =
            serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", text(line)));
        assert_eq!(text(&encoded(&message)), text(line));
        match message {
            Message::Sample(sample) => {
                samples += 1;
                let sample = sample.to_sample().unwrap_or_else(|| panic!("{}", text(line)));
                assert!(sample.latency_ratio.is_finite(), "{}", text(line));
            }
            Message::Summary(all) => summary = Some(all),
            _ => {}
        }
    }
    let summary = summary.expect("the last line is a summary");
    let mut rejected = [0; 4];
    count_rejected(items, &mut rejected);
    assert_eq!((summary.samples, samples), (count_readings(items) as u64, count_readings(items)));
    for (why, count) in Reject::ALL.into_iter().zip(rejected) {
        assert_eq!(summary.rejected.get(why.as_str()).copied().unwrap_or(0), count as u64);
    }
    assert!(summary.peak_stress <= 100);
    let seconds: f64 = summary.tiers.values().sum();
    assert!((seconds - summary.duration_s).abs() <= 1e-5 + summary.duration_s * 1e-9, "{summary:?}");

    if samples > 0 {
        let again = self::items(lines).expect("what analyze prints is a recording");
        assert_eq!(count_readings(&again), samples);
        let mut rejected = [0; 4];
        count_rejected(&again, &mut rejected);
        assert_eq!(rejected, [0; 4]);
    }
}
