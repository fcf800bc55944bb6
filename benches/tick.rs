//! What a tick costs the sampling thread, part by part, all in one run.
//!
//! `decode`: frame and decode of a document of 260 KB. `step/…`: the engine alone, with a full ring: a calm
//! sample; a sample that sets a new peak, which deals out the blame over the whole ring. `tick`: all of it: frame,
//! decode, the fast path and the kernel's witness, five heartbeats, the engine, counting, handing over.
//!
//! `cargo bench --bench tick -- --paced [TICKS]` does it as the daemon does, ten times a second, so that caches are as cold
//! as they are there: documents through a socket pair, ten clients on the Unix socket that a runtime of its own serves and
//! has to be woken for. It prints the thread's CPU time, and whether the budget is met: a tick takes at most 1.5 × its
//! decode + 30 µs.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use pause_monitor::clock;
use pause_monitor::config::Scenario;
use pause_monitor::daemon::handover::{Handed, Inlet};
use pause_monitor::output::socket::Socket;
use pause_monitor::sample::Reading;
use pause_monitor::source::powermetrics::decode::{OwnPids, decode};
use pause_monitor::source::powermetrics::frame::Framer;
use pause_monitor::wire::{self, Message};

#[path = "support/tick.rs"]
mod tick;

use tick::{INTERVAL_NS, Kernel, Tick, documents, engine, frame_and_decode, pass};

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
            pass(&mut at, &mut calm_engine, &mut notices);
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
                pass(at, engine, notices);
                black_box(engine.sample(&peak, at, Some(0), notices));
            },
            BatchSize::LargeInput,
        );
    });

    let (mut tick, mut inlet) = Tick::new(&readings, Kernel::new());
    group.bench_function("tick", |bencher| {
        bencher.iter(|| {
            index += 1;
            tick.go(frame_and_decode(&mut framer, &calm[index % calm.len()]));
            while inlet.take().is_some() {}
        });
    });
    group.finish();
}

/// Clients that the outputs serve meanwhile.
const CLIENTS: usize = 10;

/// This thread's CPU time, µs.
fn cpu_us() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The outputs: a thread and a runtime of its own that encodes each sample and sends it to the clients, as the hub does.
fn serve(mut inlet: Inlet, directory: &std::path::Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // SAFETY: it takes nothing and always succeeds.
        let mut socket = Socket::bind(directory, unsafe { libc::geteuid() }).unwrap();
        let path = socket.path().to_owned();
        for _ in 0..CLIENTS {
            let mut client = UnixStream::connect(&path).unwrap();
            std::thread::spawn(move || while client.read(&mut [0; 16 << 10]).is_ok_and(|read| read > 0) {});
            let stream = socket.accept().await;
            socket.clients().add(stream, b"", [].iter(), |_| Bytes::new());
        }
        inlet.want(true);
        let mut line = Vec::new();
        loop {
            inlet.woken().await;
            while let Some(handed) = inlet.take() {
                let Handed::Sample { sample, .. } = handed else { continue };
                line.clear();
                wire::encode(&Message::Sample(Box::new((&sample).into())), &mut line);
                socket.clients().send_sample(
                    sample.seq,
                    &Bytes::copy_from_slice(&line),
                    sample.seq.saturating_sub(300),
                );
            }
        }
    });
}

/// Ticks at the pace of a real machine, every other one with the kernel as a witness; whether the budget is met.
fn paced(ticks: usize) -> bool {
    let calm = documents(Scenario::Calm, 2);
    let mut framer = Framer::new();
    let readings: Vec<Reading> =
        calm.iter().map(|document| frame_and_decode(&mut framer, document)).collect();
    let (mut tick, inlet) = Tick::new(&readings, Kernel::new());
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().to_owned();
    std::thread::spawn(move || serve(inlet, &directory));
    let (mut sampler, mut output) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let mut due_ns = clock::awake_ns();
        for document in calm.iter().cycle() {
            due_ns += INTERVAL_NS;
            clock::sleep_until(due_ns);
            if sampler.write_all(document).is_err() {
                return;
            }
        }
    });

    let (mut reads, mut decodes, mut rests) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    let (mut reading_us, mut decoding_us) = (0.0, 0.0);
    while reads.len() < ticks {
        let begin = cpu_us();
        let count = output.read(framer.space()).unwrap();
        let read = cpu_us();
        reading_us += read - begin;
        framer.filled(count);
        let decoded = framer
            .next_document()
            .map(|document| decode(document.unwrap(), &OwnPids::default()).unwrap().reading);
        let decoded_at = cpu_us();
        decoding_us += decoded_at - read;
        if let Some(reading) = decoded {
            tick.kernel.witness = cfg!(target_os = "linux") && reads.len() % 2 == 0;
            tick.go(reading);
            rests[reads.len() % 2].push(cpu_us() - decoded_at);
            reads.push(std::mem::take(&mut reading_us));
            decodes.push(std::mem::take(&mut decoding_us));
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (read, decode) = (median(&mut reads), median(&mut decodes));
    let budget = 1.5 * decode + 30.0;
    println!(
        "a tick every {} ms with {CLIENTS} clients and a full ring, medians of {ticks}, CPU time of the sampling thread:\n  \
         read {read:.0} µs, frame + decode {decode:.0} µs; budget 1.5 × decode + 30 µs = {budget:.0} µs",
        INTERVAL_NS / 1_000_000,
    );
    let mut all_met = true;
    for (how, rests) in
        ["with Linux's kernel as a witness", "without, as on macOS"].into_iter().zip(&mut rests)
    {
        let rest = median(rests);
        let met = decode + rest <= budget;
        all_met &= met;
        println!(
            "  {how}: all the rest {rest:.0} µs; with decode {:.0} µs, with the read {:.0} µs: {}",
            decode + rest,
            read + decode + rest,
            if met { "met" } else { "NOT MET" },
        );
    }
    all_met
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--paced") {
        let ticks = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(200);
        std::process::exit(if paced(ticks) { 0 } else { 1 });
    }
    let mut criterion = Criterion::default().configure_from_args();
    benches(&mut criterion);
    criterion.final_summary();
}
