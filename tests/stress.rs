//! Stress for real: stress-ng drives this machine's processors, disk, memory and page faults while a daemon watches.
//! What rises, who is named for it and when, and whether the samples keep coming: it prints a table.
//!
//!     cargo test --locked --test stress -- --ignored --nocapture
//!
//! What a machine can't produce is said, and not asserted: where files lie in memory there is no disk, and where there
//! is plenty of memory a gigabyte of it is no stress.
#![cfg(target_os = "linux")]
// clippy.toml allows these in tests only, and takes these for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use serde_json::Value;

use daemon::{Daemon, Stream, is, signal, until};
use peer::peer;
use program::Program;

/// From the tier's rise to an event that names who did it, s.
const NAMED_WITHIN_S: f64 = 2.0;
/// More points than this of the load factor leave no room for more of it.
const OVERLOADED: u64 = 20;
/// As long as this it is waited for that, samples.
const SAMPLES_TO_CALM: usize = 2_000;
/// Points above what the machine does by itself that make it ELEVATED here.
const ABOVE: u64 = 5;
/// A machine that does other things may hide what is looked for: so often it is tried.
const ATTEMPTS: usize = 3;

/// stress-ng at work; it and its workers are ended with this.
struct Stress(Child);

impl Stress {
    fn start(program: &Path, group: Option<&Narrow>, arguments: &[String]) -> Self {
        // A shell that goes where stress-ng is to be, and becomes it.
        let group = group.map_or("/dev/null".into(), |group| group.0.join("cgroup.procs"));
        let child = Command::new("/bin/sh")
            .args(["-c", r#"echo $$ >"$0" && exec "$@""#])
            .args([group.as_path(), program])
            .args(["--quiet", "--timeout", "120s"])
            .args(arguments)
            // Where the disk is one.
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        // It takes its workers and files with it.
        signal(self.0.id().cast_signed(), libc::SIGINT);
        until("the end of stress-ng", || self.0.try_wait().unwrap());
    }
}

/// What happened while it was at work.
struct Seen {
    begun: jiff::Timestamp,
    samples: Vec<Value>,
    /// When the tier rose.
    rose: Option<jiff::Timestamp>,
    /// The event that names it, and when that was known.
    named: Option<(Value, jiff::Timestamp)>,
}

fn time(line: &Value) -> jiff::Timestamp {
    line["time"].as_str().unwrap().parse().unwrap()
}

fn seconds(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    (to - from).total(jiff::Unit::Second).unwrap()
}

fn samples(stream: &mut Stream, count: usize) -> Vec<Value> {
    (0..count).map(|_| stream.find("a sample", |line| is(line, "sample"))).collect()
}

fn total(sample: &Value) -> u64 {
    sample["stress"]["total"].as_u64().unwrap()
}

/// The culprit of an event that is one of stress-ng's, and has points for that factor.
fn blamed<'a>(event: &'a Value, factor: &str) -> Option<&'a Value> {
    event["culprits"].as_array()?.iter().find(|culprit| {
        culprit["name"].as_str().unwrap().starts_with("stress-ng")
            && culprit["factors"][factor].as_u64() > Some(0)
    })
}

/// A daemon for which the machine as it is now is calm; it is waited until the load of what was before has gone down.
/// `None` where it does not: nothing could be seen to rise.
fn calm() -> Option<(Daemon, Stream)> {
    let daemon = Daemon::start(Program::new(), "", &["--source", "linux"]);
    let mut stream = daemon.stream();
    let mut last = Vec::new();
    for _ in 0..SAMPLES_TO_CALM / 20 {
        last = samples(&mut stream, 20);
        if last[0]["stress"]["load"].as_u64().unwrap() <= OVERLOADED {
            break;
        }
    }
    let load = last[0]["stress"]["load"].as_u64().unwrap();
    if load > OVERLOADED {
        let told = format!("the load of this machine is worth {load} points before anything was done");
        let required = std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{told}");
        println!("passed over: {told}");
        return None;
    }
    let ambient = last.iter().map(total).max().unwrap();
    daemon.write_config(&format!("[tiers]\nelevated = {}\ncritical = 99\n", (ambient + ABOVE).min(90)));
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("the configuration was read again");
    stream.find("the machine is calm", |line| is(line, "sample") && line["tier"] == "sentinel");
    Some((daemon, stream))
}

/// Lets stress-ng work until an event names it for a factor, a second longer, and not for ever.
fn work(
    program: &Path,
    group: Option<&Narrow>,
    arguments: &[String],
    factor: &str,
    patience: Duration,
) -> Option<Seen> {
    let (daemon, mut stream) = calm()?;
    let stress = Stress::start(program, group, arguments);
    let mut seen = Seen { begun: jiff::Timestamp::now(), samples: Vec::new(), rose: None, named: None };
    let mut left = 10;
    while left > 0 && seconds(seen.begun, jiff::Timestamp::now()) < patience.as_secs_f64() {
        let line = stream.next().unwrap();
        if is(&line, "tier") && line["to"] == "elevated" {
            seen.rose = seen.rose.or(Some(time(&line)));
        } else if is(&line, "sample") {
            left -= usize::from(seen.named.is_some());
            if seen.rose.is_some() && seen.named.is_none() {
                let event = daemon.events().into_iter().find(|event| blamed(event, factor).is_some());
                seen.named = event.map(|event| (event, jiff::Timestamp::now()));
            }
            seen.samples.push(line);
        }
    }
    drop(stress);
    Some(seen)
}

impl Seen {
    /// The most points of a factor, and when it had the first of them, s.
    fn points(&self, factor: &str) -> (u64, f64) {
        let of = |sample: &Value| sample["stress"][factor].as_u64().unwrap();
        let first = self
            .samples
            .iter()
            .find(|sample| of(sample) > 0)
            .map_or(f64::NAN, |sample| seconds(self.begun, time(sample)));
        (self.samples.iter().map(of).max().unwrap_or(0), first)
    }

    /// Median, 99th percentile and greatest of the intervals, ms, and how many were late.
    fn intervals(&self) -> (f64, f64, f64, usize) {
        let mut all: Vec<f64> =
            self.samples.iter().filter_map(|sample| sample["interval_ms"].as_f64()).collect();
        all.sort_by(f64::total_cmp);
        let late = self.samples.iter().filter(|sample| sample["latency_ratio"].as_f64() > Some(2.0)).count();
        (all[all.len() / 2], all[all.len() * 99 / 100], all[all.len() - 1], late)
    }

    /// One row of the table.
    fn row(&self, arguments: &[String], factor: &str) {
        let (most, first) = self.points(factor);
        let (p50, p99, max, late) = self.intervals();
        let rose = self.rose.map_or("no".to_owned(), |rose| format!("{:.1} s", seconds(self.begun, rose)));
        let named = match (&self.named, self.rose) {
            (Some((event, at)), Some(rose)) => {
                let culprit = blamed(event, factor).unwrap();
                let name = culprit["name"].as_str().unwrap();
                format!(
                    "{name} {:.0} %, {:.1} s later",
                    culprit["share"].as_f64().unwrap() * 100.0,
                    seconds(rose, *at)
                )
            }
            _ => "nobody".to_owned(),
        };
        println!(
            "| `{}` | {factor} {most} (first after {first:.1} s) | {} | {rose} | {named} | {p50:.1} / {p99:.1} / {max:.1} ms, {late} late of {} |",
            arguments.join(" "),
            self.samples.iter().map(total).max().unwrap_or(0),
            self.samples.len(),
        );
    }

    fn is_named_in_time(&self) -> bool {
        let named = self.named.as_ref().zip(self.rose);
        named.is_some_and(|((_, at), rose)| seconds(rose, *at) < NAMED_WITHIN_S)
    }

    /// No sample is missing.
    fn assert_that_samples_keep_coming(&self) {
        let numbers: Vec<u64> = self.samples.iter().map(|sample| sample["seq"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "none is lost: {numbers:?}");
    }
}

/// stress-ng works so, and is named for that factor.
fn is_named(factor: &str, group: Option<&Narrow>, arguments: &[String], patience: Duration) {
    let Some(program) = peer(&["stress-ng"], "stress-ng") else { return };
    // One kind at a time: they would be each other's load.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    println!("| stress-ng | factor | score | ELEVATED after | named | intervals p50 / p99 / max |");
    for _ in 0..ATTEMPTS {
        let Some(seen) = work(&program, group, arguments, factor, patience) else { return };
        seen.row(arguments, factor);
        seen.assert_that_samples_keep_coming();
        if seen.points(factor).0 == 0 && factor != "load" {
            println!("this machine does not produce it: {factor} never rose");
            return;
        }
        if seen.is_named_in_time() {
            return;
        }
    }
    panic!("stress-ng is not named for {factor} within {NAMED_WITHIN_S} s of the tier's rise");
}

/// A control group with far less memory than is asked for in it: what is mapped there is thrown out and read again.
struct Narrow(PathBuf);

impl Narrow {
    fn new() -> Option<Self> {
        let name = format!("pause-monitor-stress-{}", std::process::id());
        let made = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
            .into_iter()
            .find_map(|(root, limit)| {
                let _ = fs::write(Path::new(root).join("cgroup.subtree_control"), "+memory");
                let group = Path::new(root).join(&name);
                fs::create_dir(&group).ok()?;
                let narrow = Self(group);
                fs::write(narrow.0.join(limit), "32M").is_ok().then_some(narrow)
            });
        if made.is_none() {
            println!("passed over: no control group with a limit of memory can be made under /sys/fs/cgroup");
        }
        made
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        // Its processes have ended by now, and the kernel may take a moment to notice.
        let _ = std::panic::catch_unwind(|| until("an empty group", || fs::remove_dir(&self.0).ok()));
    }
}

fn arguments(words: &str) -> Vec<String> {
    words.split_ascii_whitespace().map(str::to_owned).collect()
}

#[test]
#[ignore = "it wants a machine that does nothing else: run it by hand"]
fn who_burns_the_processors_is_named_as_soon_as_the_load_has_risen() {
    // The kernel's load average is what is scored, and that rises over a minute: this many take it there sooner.
    let workers = 6 * available_parallelism().unwrap().get();
    is_named("load", None, &arguments(&format!("--cpu {workers}")), Duration::from_secs(60));
}

#[test]
#[ignore = "it wants a machine that does nothing else: run it by hand"]
fn who_floods_the_disk_is_named() {
    is_named("io", None, &arguments("--hdd 2 --hdd-bytes 64M --hdd-opts direct"), Duration::from_secs(15));
}

#[test]
#[ignore = "it wants a machine that does nothing else: run it by hand"]
fn who_faults_pages_in_is_named() {
    let Some(narrow) = Narrow::new() else { return };
    let arguments = arguments("--mmap 2 --mmap-bytes 64M --mmap-file --mmap-mprotect --oomable");
    is_named("pageins", Some(&narrow), &arguments, Duration::from_secs(15));
}
