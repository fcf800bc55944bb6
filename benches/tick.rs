//! What a tick costs the sampling thread, part by part, all in one run.
//!
//! `decode`: frame and decode of a document of 260 KB. `step/…`: the engine alone, with a full ring: a calm
//! sample; a sample that sets a new peak, which deals out the blame over the whole ring. `tick`: all of it: frame,
//! decode, the fast path, five heartbeats, the engine, handing over. SPEC: a tick costs at most 1.5 × its decode
//! + 30 µs.

#![allow(clippy::expect_used, missing_docs)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pause_monitor::clock::Stamp;
use pause_monitor::config::{Config, Scenario, SourceKind};
use pause_monitor::daemon::handover::{self, Handed};
use pause_monitor::daemon::settings;
use pause_monitor::engine::{Beat, Engine};
use pause_monitor::event::Notice;
use pause_monitor::sample::Reading;
use pause_monitor::source::host::Host;
use pause_monitor::source::powermetrics::decode::{OwnPids, decode};
use pause_monitor::source::powermetrics::frame::Framer;
use pause_monitor::source::simulate::{Simulator, SimulatorSettings};

const INTERVAL_NS: u64 = 110_000_000;

/// Documents of a second of a scenario, from `from_s` into its story.
fn documents(scenario: Scenario, from_s: u64) -> Vec<Vec<u8>> {
    let mut simulator = Simulator::new(scenario, SimulatorSettings::default());
    let mut skipped = Vec::new();
    for _ in 0..from_s * 10 {
        skipped.clear();
        simulator.document(INTERVAL_NS, &mut skipped);
    }
    (0..10)
        .map(|_| {
            let mut document = Vec::new();
            simulator.document(INTERVAL_NS, &mut document);
            document
        })
        .collect()
}

/// Frames and decodes one document, fed as a pipe would.
fn frame_and_decode(framer: &mut Framer, document: &[u8]) -> Reading {
    let mut rest = document;
    while !rest.is_empty() {
        let space = framer.space();
        let count = rest.len().min(space.len());
        space[..count].copy_from_slice(&rest[..count]);
        framer.filled(count);
        rest = &rest[count..];
        if let Some(framed) = framer.next_document() {
            let document = framed.expect("a whole document");
            return decode(document, &OwnPids::default()).expect("a good document").reading;
        }
    }
    panic!("no document");
}

/// An engine of a live child whose ring is full of such readings.
fn engine(readings: &[Reading]) -> (Engine, Stamp) {
    let config = Config { source: SourceKind::Powermetrics, ..Config::default() };
    let mut engine = Engine::new(settings(&config), 1);
    let mut at = Stamp { awake_ns: 1 << 40, total_ns: 1 << 40, unix_ns: 1 << 60 };
    let mut notices = Vec::new();
    for index in 0..600 {
        advance(&mut at, &mut engine, &mut notices);
        engine.sample(&readings[index % readings.len()], &at, Some(0), &mut notices);
    }
    (engine, at)
}

/// Time passes, and the heartbeat beats five times.
fn advance(at: &mut Stamp, engine: &mut Engine, notices: &mut Vec<Notice>) {
    for _ in 0..5 {
        at.awake_ns += INTERVAL_NS / 5;
        at.total_ns += INTERVAL_NS / 5;
        at.unix_ns += (INTERVAL_NS / 5) as i64;
        engine.beat(&Beat { at: *at, delay_ns: 100_000 }, notices);
    }
}

fn benches(criterion: &mut Criterion) {
    let calm = documents(Scenario::Calm, 2);
    let mut framer = Framer::new();
    let readings: Vec<Reading> =
        calm.iter().map(|document| frame_and_decode(&mut framer, document)).collect();
    let strained: Vec<Reading> = documents(Scenario::Freeze, 12)
        .iter()
        .map(|document| frame_and_decode(&mut framer, document))
        .collect();

    let mut group = criterion.benchmark_group("tick");
    group.sample_size(50);

    let mut index = 0;
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            index += 1;
            black_box(frame_and_decode(&mut framer, &calm[index % calm.len()]))
        });
    });

    let (mut calm_engine, mut at) = engine(&readings);
    let mut notices = Vec::with_capacity(16);
    group.bench_function("step/calm", |bencher| {
        bencher.iter(|| {
            index += 1;
            advance(&mut at, &mut calm_engine, &mut notices);
            black_box(calm_engine.sample(&readings[index % readings.len()], &at, Some(0), &mut notices));
            notices.clear();
        });
    });

    // A ring full of points, all of them dealt out: a sample that sets a new peak.
    let (strained_engine, strained_at) = engine(&strained);
    let mut peak = strained[0];
    peak.metrics.gpu_busy_pct = Some(100.0);
    peak.metrics.memory_available_pct = Some(0.0);
    group.bench_function("step/new peak", |bencher| {
        bencher.iter_batched_ref(
            || (strained_engine.clone(), strained_at, Vec::with_capacity(16)),
            |(engine, at, notices)| {
                advance(at, engine, notices);
                black_box(engine.sample(&peak, at, Some(0), notices));
            },
            BatchSize::LargeInput,
        );
    });

    let (mut outlet, mut inlet) = handover::channel();
    let mut host = Host::new();
    group.bench_function("tick", |bencher| {
        bencher.iter(|| {
            index += 1;
            let mut reading = frame_and_decode(&mut framer, &calm[index % calm.len()]);
            host.read(&mut reading.metrics);
            advance(&mut at, &mut calm_engine, &mut notices);
            let sample = calm_engine.sample(&reading, &at, Some(0), &mut notices);
            outlet.push(Handed::Sample(sample));
            for notice in notices.drain(..) {
                outlet.push(Handed::Notice(notice));
            }
            outlet.wake();
            while inlet.take().is_some() {}
        });
    });
    group.finish();
}

criterion_group!(tick, benches);
criterion_main!(tick);
