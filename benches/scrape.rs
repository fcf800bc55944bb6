//! What a scrape costs, and what it costs the sampling loop: `cargo bench --bench scrape [-- SECONDS]`.
//!
//! Prints time, allocations and bytes of a scrape, and of the copy that the sampling thread makes each tick; then the
//! intervals of a daemon of its own at 10 Hz, for SECONDS (20) without and for as long with 100 scrapes a second, over
//! HTTP, all in one run.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pause_monitor::clock;
use pause_monitor::engine::Thresholds;
use pause_monitor::output::metrics::{self, Peers};
use pause_monitor::sample::Sample;

#[path = "support/counting.rs"]
mod counting;

use counting::allocations;

/// The median time and the allocations of one run, of `runs`.
fn measure(runs: usize, mut run: impl FnMut()) -> (Duration, u64) {
    run();
    let before = allocations(None);
    run();
    let allocations = allocations(None) - before;
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begin = Instant::now();
            run();
            begin.elapsed()
        })
        .collect();
    times.sort();
    (times[runs / 2], allocations)
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut body = Vec::new();
    stream.read_to_end(&mut body).unwrap();
    body.len()
}

/// The arrival intervals of samples over a time, ms, sorted.
fn intervals(lines: &mut impl Iterator<Item = String>, time: Duration) -> Vec<f64> {
    let end = Instant::now() + time;
    let mut found = Vec::new();
    while Instant::now() < end {
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        found.extend(line["interval_ms"].as_f64().filter(|_| line["type"] == "sample"));
    }
    found.sort_by(f64::total_cmp);
    found
}

fn tell(what: &str, intervals: &[f64]) {
    let at = |share: f64| intervals[((intervals.len() - 1) as f64 * share) as usize];
    println!(
        "{what:<26} {} samples: median {:.2} ms, 99 % within {:.2} ms, longest {:.2} ms",
        intervals.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn main() {
    let seconds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20);
    let peers = Peers { source: "linux", ..Peers::default() };
    let thresholds = Thresholds { elevated: 15, critical: 50, deescalation_ns: 5_000_000_000 };
    let (mut feed, metrics) = metrics::channel(&thresholds, peers);
    let sample = Sample { elapsed_ns: 100_000_000, ..Sample::default() };
    let (time, allocations) = measure(10_000, || {
        let now_ns = clock::awake_ns();
        feed.totals.sample(&sample, now_ns, now_ns);
        feed.publish();
    });
    println!("count and hand over: {time:?}, {allocations} allocations a tick");
    let mut bytes = 0;
    let (time, allocations) = measure(1_000, || bytes = metrics.text().len());
    println!("a scrape: {time:?}, {allocations} allocations, {bytes} bytes");

    let source = if cfg!(target_os = "linux") { "linux" } else { "powermetrics" };
    let home = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_pause-monitor");
    let arguments = ["--source", source, "--web.listen-address", "127.0.0.1:0"];
    let mut daemon = Daemon(
        Command::new(program)
            .args(["daemon", "--data-dir"])
            .arg(home.path())
            .args(arguments)
            .env("HOME", home.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = log.find(|line| line.contains("metrics are served at")).unwrap();
    let address = line.split_once("http://").unwrap().1.trim_end_matches("/metrics").to_owned();
    log.find(|line| line.contains("watching with the source")).unwrap();
    std::thread::spawn(move || log.for_each(drop));
    let mut stream = Daemon(
        Command::new(program)
            .args(["stream", "--data-dir"])
            .arg(home.path())
            .env("HOME", home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(stream.0.stdout.take().unwrap()).lines().map(Result::unwrap);

    let time = Duration::from_secs(seconds);
    let without = intervals(&mut lines, time);
    let scraping = std::thread::spawn(move || {
        let (begin, mut scrapes) = (Instant::now(), 0_u32);
        while begin.elapsed() < time {
            assert!(get(&address) > 5_000);
            scrapes += 1;
            std::thread::sleep(
                (begin + Duration::from_millis(10) * scrapes).saturating_duration_since(Instant::now()),
            );
        }
        f64::from(scrapes) / begin.elapsed().as_secs_f64()
    });
    let with = intervals(&mut lines, time);
    let rate = scraping.join().unwrap();
    tell("without scrapes", &without);
    tell(&format!("with {rate:.0} scrapes a second"), &with);
}
