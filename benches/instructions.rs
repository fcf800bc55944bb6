//! What `benches/instructions` counts with callgrind: one part of a tick, so many times over.
//!
//! `instructions PART` does it; `instructions` alone names the parts. Everything in it is the same from run to run and from
//! machine to machine: documents of a simulation with a fixed seed, kernel files of our own, made time.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;

use pause_monitor::config::Scenario;
use pause_monitor::sample::Reading;
use pause_monitor::source::powermetrics::frame::Framer;

#[path = "support/tick.rs"]
mod tick;

use tick::{Kernel, READ, Tick, documents, engine, frame_and_decode, pass, take};

/// Times that a part is done while it is counted. As often before, uncounted, for what is done once in a run.
const ROUNDS: usize = 20;

/// Collection begins and ends with this function: its name is what callgrind is told.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pause_monitor_counted(work: &mut &mut dyn FnMut()) {
    work();
}

/// Whether what is done now is counted.
#[derive(Clone, Copy)]
struct Counter(bool);

impl Counter {
    /// Does what is to be counted.
    fn count<T>(self, work: impl FnOnce() -> T) -> T {
        if !self.0 {
            return work();
        }
        let (mut work, mut result) = (Some(work), None);
        let mut once = || result = work.take().map(|work| work());
        let mut once: &mut dyn FnMut() = &mut once;
        pause_monitor_counted(&mut once);
        result.unwrap()
    }
}

/// The rounds, those that are counted after those that are not.
fn rounds(mut round: impl FnMut(Counter)) {
    for index in 0..2 * ROUNDS {
        round(Counter(index >= ROUNDS));
    }
}

/// Frames and decodes a document. Copying stands for the kernel's read: it is not counted.
fn frame_and_decode_counted(counter: Counter, framer: &mut Framer, document: &[u8]) -> Reading {
    let mut reading = None;
    for read in document.chunks(READ) {
        framer.space()[..read.len()].copy_from_slice(read);
        framer.filled(read.len());
        reading = counter.count(|| take(framer)).or(reading);
    }
    reading.unwrap()
}

/// The readings of such documents.
fn readings(framer: &mut Framer, documents: &[Vec<u8>]) -> Vec<Reading> {
    documents.iter().map(|document| frame_and_decode(framer, document)).collect()
}

/// The kernel's files where none can be made up.
#[cfg(not(target_os = "linux"))]
fn kernel(_: &std::path::Path) -> Kernel {
    Kernel::new()
}

/// Kernel files as they are on a small machine, below a directory of our own.
#[cfg(target_os = "linux")]
fn kernel(root: &std::path::Path) -> Kernel {
    for (path, text) in [
        ("proc/loadavg", "1.25 0.80 0.40 2/150 4242\n"),
        ("proc/meminfo", include_str!("support/meminfo.txt")),
        ("proc/stat", include_str!("support/stat.txt")),
        (
            "proc/pressure/cpu",
            "some avg10=0.07 avg60=0.40 avg300=1.67 total=61138921\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        (
            "proc/pressure/memory",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=200\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        (
            "proc/pressure/io",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=300\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        ("sys/devices/system/cpu/online", "0-1\n"),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Kernel::with_root(root)
}

fn main() {
    let mut framer = Framer::new();
    let calm = documents(Scenario::Calm, 2);
    let mut index = 0;
    match std::env::args().nth(1).as_deref() {
        Some("decode") => rounds(|counter| {
            index += 1;
            black_box(frame_and_decode_counted(counter, &mut framer, &calm[index % calm.len()]));
        }),
        Some("step") => {
            let readings = readings(&mut framer, &calm);
            let (mut engine, mut at) = engine(&readings);
            let mut notices = Vec::with_capacity(16);
            rounds(|counter| {
                index += 1;
                let reading = &readings[index % readings.len()];
                counter.count(|| {
                    pass(&mut at, &mut engine, &mut notices);
                    black_box(engine.sample(reading, &at, Some(0), &mut notices));
                });
            });
            assert!(notices.is_empty(), "a calm sample makes no event");
        }
        Some("peak") => {
            // A ring full of points, all of them dealt out: a sample that sets a new peak.
            let strained = readings(&mut framer, &documents(Scenario::Freeze, 12));
            let (engine, at) = engine(&strained);
            let mut peak = strained[0];
            peak.metrics.gpu_busy_pct = Some(100.0);
            peak.metrics.memory_available_pct = Some(0.0);
            rounds(|counter| {
                let (mut engine, mut at, mut notices) = (engine.clone(), at, Vec::with_capacity(16));
                counter.count(|| {
                    pass(&mut at, &mut engine, &mut notices);
                    black_box(engine.sample(&peak, &at, Some(0), &mut notices));
                });
            });
        }
        Some("tick") => {
            let root = tempfile::tempdir().unwrap();
            let readings = readings(&mut framer, &calm);
            let (mut tick, mut inlet) = Tick::new(&readings, kernel(root.path()));
            rounds(|counter| {
                index += 1;
                let reading = frame_and_decode_counted(counter, &mut framer, &calm[index % calm.len()]);
                counter.count(|| tick.go(reading));
                while inlet.take().is_some() {}
            });
        }
        Some("rest") => {
            let root = tempfile::tempdir().unwrap();
            let readings = readings(&mut framer, &calm);
            let (mut tick, mut inlet) = Tick::new(&readings, kernel(root.path()));
            rounds(|counter| {
                index += 1;
                let reading = readings[index % readings.len()];
                counter.count(|| tick.go(reading));
                while inlet.take().is_some() {}
            });
        }
        _ => println!("decode step peak tick rest"),
    }
}
