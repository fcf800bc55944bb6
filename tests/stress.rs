//! Stress for real: stress-ng drives this machine's disk, page-ins, memory and processors while a daemon watches.
//! What rises, who is named for it and when, and whether the samples keep coming: it prints a table.
//!
//!     cargo test --locked --test stress -- --nocapture
//!
//! The machine has to be quiet: it is waited for that, and said where it does not become so. What the kernel's own counters say
//! did not happen is said, and not asserted: where files lie in memory there is no disk. Memory is taken only with
//! STRESS_MEMORY=1.
#![cfg(target_os = "linux")]
// clippy.toml allows these in tests only, and takes these for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use serde_json::Value;

use daemon::{Daemon, Stream, is, signal, until};
use peer::peer;
use program::Program;

/// Within so long it is named: by the samples from the factor's first point on, by an event from the tier's rise on, s.
const NAMED_WITHIN_S: f64 = 2.0;
/// More points of the load factor than this are left of what was before, or somebody else's.
const QUIET: u64 = 1;
/// So many points of all factors are somebody else's work, beside which nobody stands out at once.
const WORK: u64 = 8;
/// As long as this it is waited for that, samples.
const SAMPLES_TO_QUIET: usize = 900;
/// What is quiet now may be busy in a moment: so often it is tried.
const ATTEMPTS: usize = 3;
/// A sample comes every, ms.
const INTERVAL_MS: f64 = 100.0;
/// Samples for which the machine has to be quiet: almost all that weighs in a full ring.
const CALM: usize = 200;

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

/// What the kernel counts itself.
struct Kernel {
    at: Instant,
    /// Bytes read and written by block devices, but those in memory or on a file.
    disks: BTreeMap<String, u64>,
    /// Page faults that had to wait for a disk.
    major_faults: u64,
}

impl Kernel {
    fn now() -> Self {
        let diskstats = fs::read_to_string("/proc/diskstats").unwrap();
        let disks = diskstats.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let number = |at: usize| fields[at].parse::<u64>().unwrap();
            let in_memory = ["loop", "ram", "zram"].iter().any(|kind| fields[2].starts_with(kind));
            (!in_memory).then(|| (fields[2].to_owned(), 512 * (number(5) + number(9))))
        });
        let vmstat = fs::read_to_string("/proc/vmstat").unwrap();
        let faults = vmstat.lines().find_map(|line| line.strip_prefix("pgmajfault "));
        Self { at: Instant::now(), disks: disks.collect(), major_faults: faults.unwrap().parse().unwrap() }
    }

    /// What a factor is scored by, over all the time since then, by the kernel's counters; and from how much on it has a point,
    /// with something to spare: what begins and ends between two samples is in one of both only. `None` for what there
    /// always is: the load of those that compute.
    fn since(&self, factor: &str) -> Option<(f64, f64)> {
        let (now, seconds) = (Self::now(), self.at.elapsed().as_secs_f64());
        match factor {
            // MB/s: (x − 10) ÷ 9. Of the busiest device alone, since one may lie upon another.
            "io" => {
                let grown = now
                    .disks
                    .iter()
                    .map(|(name, bytes)| bytes.saturating_sub(*self.disks.get(name).unwrap_or(bytes)));
                Some((grown.max().unwrap_or(0) as f64 / f64::from(1 << 20) / seconds, 1.25 * 19.0))
            }
            // 1/s: (x − 10) ÷ 6.
            "pageins" => Some(((now.major_faults - self.major_faults) as f64 / seconds, 1.25 * 16.0)),
            // % in use: x − 70. It stays in use until stress-ng ends.
            "memory" => Some((
                100.0 - 100.0 * memory_kib("MemAvailable:") as f64 / memory_kib("MemTotal:") as f64,
                72.0,
            )),
            "load" => None,
            factor => panic!("what is {factor} measured by?"),
        }
    }
}

/// A figure of /proc/meminfo; 0 where there is none.
fn memory_kib(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix(" kB"));
    line.unwrap_or("0").trim().parse().unwrap()
}

/// What happened while it was at work.
struct Seen {
    begun: jiff::Timestamp,
    samples: Vec<Value>,
    /// What the kernel counted of it, and what a point takes ([`Kernel::since`]).
    counted: Option<(f64, f64)>,
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

/// A daemon that knows the machine as a quiet one; it is waited until the load of what was before has gone down. `None`
/// where it does not: nothing could be seen to rise.
fn quiet(elevated: u64) -> Option<(Daemon, Stream)> {
    let config = format!("[tiers]\nelevated = {elevated}\ncritical = 99\n");
    let daemon = Daemon::start(Program::new(), &config, &["--source", "linux"]);
    let mut stream = daemon.stream();
    let mut since = 0;
    for _ in 0..SAMPLES_TO_QUIET {
        let sample = stream.find("a sample", |line| is(line, "sample"));
        let load = sample["stress"]["load"].as_u64().unwrap();
        since = match total(&sample) {
            _ if load > QUIET => 0,
            // The disk is written to now and then.
            points if points > WORK => usize::saturating_sub(since, CALM / 10),
            _ => since + 1,
        };
        if since >= CALM && sample["tier"] == "sentinel" {
            return Some((daemon, stream));
        }
    }
    println!("passed over: this machine is busy with other things");
    None
}

/// Lets stress-ng work until an event names it for the factor, a second longer, and not for ever.
fn work(program: &Path, kind: &Kind<'_>) -> Option<Seen> {
    let (daemon, mut stream) = quiet(kind.elevated)?;
    let kernel = Kernel::now();
    let stress = Stress::start(program, kind.group, &kind.arguments);
    let begun = jiff::Timestamp::now();
    let mut seen = Seen { begun, samples: Vec::new(), counted: None, rose: None, named: None };
    let mut left = 10;
    while left > 0 && seconds(seen.begun, jiff::Timestamp::now()) < kind.patience.as_secs_f64() {
        let line = stream.next().unwrap();
        if is(&line, "tier") && line["to"] == "elevated" {
            seen.rose = seen.rose.or(Some(time(&line)));
        } else if is(&line, "sample") {
            left -= usize::from(seen.named.is_some());
            if seen.rose.is_some() && seen.named.is_none() {
                let event = daemon.events().into_iter().find(|event| blamed(event, kind.factor).is_some());
                seen.named = event.map(|event| (event, jiff::Timestamp::now()));
            }
            seen.samples.push(line);
        }
    }
    seen.counted = kernel.since(kind.factor);
    if seen.named.is_none() {
        // Somebody else's work, perhaps.
        let culprits: Vec<String> =
            daemon.events().iter().map(|event| event["culprits"].to_string()).collect();
        println!("nobody of stress-ng is named for {}, but in turn: {culprits:?}", kind.factor);
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

    /// How long after the factor's first point a sample lists stress-ng first for it, s.
    fn listed(&self, kind: &Kind<'_>) -> Option<f64> {
        let of = |sample: &&Value| sample["stress"][kind.factor].as_u64() > Some(0);
        let first = time(self.samples.iter().find(of)?);
        let listed = self.samples.iter().skip_while(|sample| time(sample) < first).find(|sample| {
            sample["top"][kind.list][0]["name"].as_str().is_some_and(|name| name.starts_with("stress-ng"))
        })?;
        Some(seconds(first, time(listed)))
    }

    /// How long after the tier's rise an event named stress-ng, s.
    fn named_after(&self) -> Option<f64> {
        self.named.as_ref().zip(self.rose).map(|((_, at), rose)| seconds(rose, *at))
    }

    /// One row of the table.
    fn row(&self, kind: &Kind<'_>) {
        let (most, first) = self.points(kind.factor);
        let (p50, p99, max, late) = self.intervals();
        let after = |time: Option<f64>| time.map_or("no".to_owned(), |time| format!("{time:.1} s"));
        let rose = self.rose.map(|rose| seconds(self.begun, rose));
        let culprit = self.named.as_ref().and_then(|(event, _)| blamed(event, kind.factor));
        let named = culprit.map_or("nobody".to_owned(), |culprit| {
            let (name, share) = (culprit["name"].as_str().unwrap(), culprit["share"].as_f64().unwrap());
            format!("{name} {:.0} %, {} later", share * 100.0, after(self.named_after()))
        });
        println!(
            "| `{}` | {} {most}, first after {first:.1} s, listed {} later | {} | {} (at {}) | {named} | {p50:.1} / {p99:.1} / {max:.1} ms, {late} late of {} |",
            kind.arguments.join(" "),
            kind.factor,
            after(self.listed(kind)),
            self.samples.iter().map(total).max().unwrap_or(0),
            after(rose),
            kind.elevated,
            self.samples.len(),
        );
    }

    /// Whether they come in time; none is missing. The machine has more to do than it can: now and then one may be late.
    fn samples_keep_coming(&self) -> bool {
        let numbers: Vec<u64> = self.samples.iter().map(|sample| sample["seq"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "none is lost: {numbers:?}");
        let (p50, .., late) = self.intervals();
        p50 < 1.1 * INTERVAL_MS && late <= (numbers.len() / 100).max(2)
    }
}

/// A way in which stress-ng works, and what it is to be named for.
struct Kind<'a> {
    factor: &'a str,
    /// The list of a sample in which it stands for that.
    list: &'a str,
    arguments: Vec<String>,
    group: Option<&'a Narrow>,
    /// The threshold of ELEVATED.
    elevated: u64,
    /// How long it may work until it is named.
    patience: Duration,
}

/// It works so, and is named; false where this machine is too busy to tell.
fn is_named(program: &Path, kind: &Kind<'_>) -> bool {
    let mut tried = Vec::new();
    for _ in 0..ATTEMPTS {
        let Some(seen) = work(program, kind) else { return false };
        seen.row(kind);
        if let Some((counted, enough)) = seen.counted {
            println!("the kernel counted {counted:.1} of {}, a point takes {enough:.1}", kind.factor);
            if seen.points(kind.factor).0 == 0 && counted < enough {
                println!("passed over: {}, which stress-ng does not produce on this machine", kind.factor);
                return true;
            }
        }
        let (listed, named) = (seen.listed(kind), seen.named_after());
        let in_time = |after: Option<f64>| after.is_some_and(|after| after < NAMED_WITHIN_S);
        if in_time(listed) && in_time(named) && seen.samples_keep_coming() {
            return true;
        }
        tried.push((seen.points(kind.factor).0, seen.counted, listed, named, seen.intervals()));
    }
    panic!("for {}: points; counted, and of what; listed, named after, s; intervals: {tried:?}", kind.factor);
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

/// How much memory has to be taken until so much of this machine's is in use, MB; `None` where that is not to be tried:
/// what is taken from a machine that swaps or has a limit is somebody else's.
fn memory_to_take(in_use: f64) -> Option<u64> {
    if std::env::var_os("STRESS_MEMORY").is_none() {
        println!(
            "passed over: memory, most of which would be taken from whoever works here (STRESS_MEMORY=1 does)"
        );
        return None;
    }
    let (total, available) = (memory_kib("MemTotal:"), memory_kib("MemAvailable:"));
    let limits = ["memory.max", "memory/memory.limit_in_bytes"].map(|file| {
        let text = fs::read_to_string(Path::new("/sys/fs/cgroup").join(file));
        text.ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(u64::MAX) / 1024
    });
    let take = ((in_use * total as f64) as u64).saturating_sub(total - available);
    let free = memory_kib("SwapTotal:") == 0
        && limits.into_iter().all(|limit| limit > total)
        && available - take > 1 << 20;
    if !free {
        println!("passed over: memory, which this machine can't give");
    }
    free.then_some(take / 1024)
}

fn arguments(words: &str) -> Vec<String> {
    words.split_ascii_whitespace().map(str::to_owned).collect()
}

/// One kind after the other, since they would be each other's load; what leaves a load behind it comes last.
#[test]
fn stress_ng_is_named_within_two_seconds_for_disk_page_ins_memory_and_processors() {
    let Some(program) = peer(&["stress-ng"], "stress-ng") else { return };
    println!("| stress-ng | factor | score | ELEVATED after | named | intervals p50 / p99 / max |");
    let within = Duration::from_secs(15);
    let disk = Kind {
        factor: "io",
        list: "diskio",
        arguments: arguments("--hdd 2 --hdd-bytes 64M --hdd-opts direct"),
        group: None,
        // Of io there are 10 points at most: alone it does not raise the tier by the threshold that is shipped.
        elevated: 8,
        patience: within,
    };
    if !is_named(&program, &disk) {
        return;
    }
    if let Some(narrow) = Narrow::new() {
        let pageins = Kind {
            factor: "pageins",
            list: "pageins",
            arguments: arguments("--mmap 2 --mmap-bytes 64M --mmap-file --mmap-mprotect --oomable"),
            group: Some(&narrow),
            elevated: 15,
            patience: within,
        };
        if !is_named(&program, &pageins) {
            return;
        }
    }
    if let Some(megabytes) = memory_to_take(0.82) {
        let memory = Kind {
            factor: "memory",
            list: "cpu",
            arguments: arguments(&format!(
                "--vm 1 --vm-bytes {megabytes}M --vm-keep --vm-populate --oomable"
            )),
            group: None,
            // From 70 % in use on there is a point for each: alone it does not raise the tier by the threshold that is shipped.
            elevated: 8,
            patience: Duration::from_secs(90),
        };
        if !is_named(&program, &memory) {
            return;
        }
    }
    // The kernel's load average is what is scored, and that rises over a minute: this many take it there sooner.
    let workers = 6 * available_parallelism().unwrap().get();
    let processors = Kind {
        factor: "load",
        list: "cpu",
        arguments: arguments(&format!("--cpu {workers}")),
        group: None,
        elevated: 15,
        patience: Duration::from_secs(90),
    };
    is_named(&program, &processors);
}
