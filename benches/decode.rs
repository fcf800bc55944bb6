//! Frame and decode, beside `plist::from_reader_xml` into a serde struct of the same fields.
//!
//! `cargo bench --bench decode` measures with criterion. `cargo bench --bench decode -- --compare` times both, CPython's
//! plistlib, quick-xml's bare tokens, and the floor (visiting every line's end), in turn in one run, and prints the ratios
//! that the budget is about (plist 20, plistlib 200, the floor 1 ÷ 1.5), and what framing alone takes.

use std::hint::black_box;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use pause_monitor::source::powermetrics::decode::{Document, OwnPids, decode};
use pause_monitor::source::powermetrics::frame::Framer;
use serde::Deserialize;

#[path = "../tests/oracle/capture.rs"]
mod capture;

/// The fields that the decoder reads, and no others.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "read by serde's derive only")]
struct Plain {
    elapsed_ns: u64,
    hw_model: Option<String>,
    kern_osversion: Option<String>,
    kern_boottime: Option<i64>,
    timestamp: Option<plist::Date>,
    thermal_pressure: Option<String>,
    processor: Option<Processor>,
    gpu: Option<Gpu>,
    disk: Option<Disk>,
    #[serde(default)]
    tasks: Vec<Task>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "read by serde's derive only")]
struct Processor {
    cpu_power: Option<f64>,
    gpu_power: Option<f64>,
    ane_power: Option<f64>,
    combined_power: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "read by serde's derive only")]
struct Gpu {
    idle_ratio: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "read by serde's derive only")]
struct Disk {
    rbytes_per_s: Option<f64>,
    wbytes_per_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "read by serde's derive only")]
struct Task {
    pid: i32,
    name: String,
    cputime_ms_per_s: Option<f64>,
    intr_wakeups_per_s: Option<f64>,
    idle_wakeups_per_s: Option<f64>,
    diskio_bytesread_per_s: Option<f64>,
    diskio_byteswritten_per_s: Option<f64>,
    pageins_per_s: Option<f64>,
}

/// What is read in one go from a socket pair.
const READ: usize = 64 << 10;

/// The whole way: bytes into the framer as reads bring them, and the document out of the decoder.
fn frame_and_decode(framer: &mut Framer, input: &[u8]) -> Option<Document> {
    let mut decoded = None;
    for read in input.chunks(READ) {
        framer.space()[..read.len()].copy_from_slice(read);
        framer.filled(read.len());
        while let Some(document) = framer.next_document() {
            decoded = document.and_then(|document| decode(document, &OwnPids::default())).ok();
            assert!(decoded.is_some(), "a rejected document is no measure");
        }
    }
    decoded
}

fn with_plist(input: &[u8]) -> Option<Plain> {
    plist::from_reader_xml(Cursor::new(input)).ok()
}

/// Framing alone, and copying what a read brings: what decoding does not take.
fn frame(framer: &mut Framer, input: &[u8]) -> usize {
    let mut length = 0;
    for read in input.chunks(READ) {
        framer.space()[..read.len()].copy_from_slice(read);
        framer.filled(read.len());
        while let Some(document) = framer.next_document() {
            length += document.map_or(0, <[u8]>::len);
        }
    }
    length
}

/// Each tag and text that quick-xml finds, and nothing done with it.
fn tokens(input: &[u8]) -> usize {
    let mut reader = quick_xml::Reader::from_reader(input);
    let mut count = 0;
    // Borrowed from the input, nothing is copied.
    while let Ok(event) = reader.read_event() {
        if event == quick_xml::events::Event::Eof {
            return count;
        }
        count += 1;
    }
    panic!("quick-xml reads the document");
}

/// The floor: every line's end is looked at, and nothing else.
fn newlines(input: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', input).fold(0, |sum, at| sum ^ at)
}

/// The documents to measure, by name.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let mut inputs = vec![("generated", capture::document(105, 1).into_bytes())];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/mac16,5-macos26-1s.plist");
    match std::fs::read(&path) {
        Ok(bytes) => inputs.push(("capture", bytes)),
        Err(error) => say(&format!("passed over: the capture, {}: {error}", path.display())),
    }
    inputs
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Has the work done, whatever becomes of its result.
fn keep<T>(result: T) {
    black_box(result);
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The runs are done in blocks, ours and the others' in turn, so that a machine that is busy for a while is
/// so for all of them.
const BLOCKS: usize = 10;
const ROUNDS_PER_BLOCK: usize = 30;
const PYTHON_ROUNDS_PER_BLOCK: usize = 4;

/// plistlib's times for the file, as Python itself measures them; none where it does not run.
fn python(path: &Path) -> Vec<Duration> {
    let script = "import plistlib, sys, time\n\
                  data = open(sys.argv[1], 'rb').read()\n\
                  for _ in range(int(sys.argv[2])):\n    \
                  start = time.perf_counter_ns()\n    plistlib.loads(data)\n    \
                  print(time.perf_counter_ns() - start)";
    let rounds = PYTHON_ROUNDS_PER_BLOCK.to_string();
    let output = Command::new("python3").args(["-c", script]).arg(path).arg(rounds).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).map(Duration::from_nanos).collect()
}

/// How many times ours each has to take at least, by medians: the budgets. Of every newline it is how much of ours.
const LEAST_TIMES: [(&str, f64); 3] =
    [("plist, serde", 20.0), ("plistlib", 200.0), ("every newline", 1.0 / 1.5)];

/// Side by side with others; whether the budgets are met.
fn compare() -> std::io::Result<bool> {
    let mut met = true;
    for (name, input) in inputs() {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), &input)?;
        let (mut framer, mut framing) = (Framer::new(), Framer::new());
        let work: [(&str, &mut dyn FnMut()); 5] = [
            ("frame + decode", &mut || keep(frame_and_decode(&mut framer, black_box(&input)))),
            ("plist, serde", &mut || keep(with_plist(black_box(&input)))),
            ("quick-xml, tokens", &mut || keep(tokens(black_box(&input)))),
            ("every newline", &mut || keep(newlines(black_box(&input)))),
            ("frame alone", &mut || keep(frame(&mut framing, black_box(&input)))),
        ];
        let mut times = work.map(|(what, work)| (what, work, Vec::new()));
        let mut plistlib = Vec::new();
        for _ in 0..BLOCKS {
            for (_, work, times) in &mut times {
                for _ in 0..ROUNDS_PER_BLOCK {
                    times.push(timed(&mut *work));
                }
            }
            plistlib.extend(python(file.path()));
        }
        if plistlib.is_empty() {
            say("passed over: plistlib, python3 does not run");
        }
        say(&format!("{name}, {} bytes: median (least), and how many times ours", input.len()));
        let mut ours = None;
        let all = times.into_iter().map(|(what, _, times)| (what, times)).chain([("plistlib", plistlib)]);
        for (what, mut times) in all {
            times.sort_unstable();
            let (Some(&median), Some(&least)) = (times.get(times.len() / 2), times.first()) else { continue };
            let (our_median, our_least) = *ours.get_or_insert((median, least));
            let ratio = median.as_secs_f64() / our_median.as_secs_f64();
            let budget =
                LEAST_TIMES.iter().find(|(budgeted, _)| *budgeted == what).map_or(0.0, |&(_, least)| least);
            met &= ratio >= budget;
            let said = match () {
                () if budget == 0.0 => String::new(),
                () if ratio >= budget => format!("  budget {budget:.2} ×: met"),
                () => format!("  budget {budget:.2} ×: NOT MET"),
            };
            say(&format!(
                "  {what:<18} {median:>8.1?} ({least:.1?})  {ratio:.2} × ({:.2} ×){said}",
                least.as_secs_f64() / our_least.as_secs_f64(),
            ));
        }
    }
    Ok(met)
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "--compare") {
        std::process::exit(if compare()? { 0 } else { 1 });
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, input) in inputs() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(input.len() as u64));
        let mut framer = Framer::new();
        group.bench_function("frame and decode", |bencher| {
            bencher.iter(|| frame_and_decode(&mut framer, black_box(&input)));
        });
        group.bench_function("frame", |bencher| {
            bencher.iter(|| {
                framer.space()[..input.len()].copy_from_slice(black_box(&input));
                framer.filled(input.len());
                while let Some(document) = framer.next_document() {
                    black_box(document.map(<[u8]>::len).ok());
                }
            });
        });
        group.bench_function("plist into serde", |bencher| bencher.iter(|| with_plist(black_box(&input))));
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
