//! The daemon on this very machine: it is stopped, frozen, and given something to see.
#![cfg(target_os = "linux")]
// clippy.toml allows these in tests only, and takes this for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/bustle.rs"]
mod bustle;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/executable.rs"]
mod executable;
#[path = "support/freezer.rs"]
mod freezer;
#[path = "support/program.rs"]
mod program;
#[path = "support/retold.rs"]
mod retold;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use bustle::Bustle;
use daemon::{Daemon, Stream, is, signal, until};
use freezer::Freezer;
use program::Program;
use retold::retells;

/// How far a duration may be from the truth on a machine that has other things to do; a quiet one stays below 20.
const TOLERANCE_MS: f64 = 60.0;
/// So often it is tried to meet that: one attempt may fall into somebody else's burst.
const ATTEMPTS: usize = 5;

/// A daemon that reads this machine, long enough to know what to expect.
fn daemon() -> (Daemon, Stream) {
    let daemon = Daemon::start(Program::new(), "", &["--source", "linux"]);
    let mut stream = daemon.stream();
    stream.find("enough samples", |line| is(line, "sample") && line["seq"].as_u64() >= Some(30));
    (daemon, stream)
}

/// The gap of about that length which the daemon tells of, and by how much it is wrong, ms.
fn gap(stream: &mut Stream, truth_ms: f64) -> (Value, f64) {
    let long = |line: &Value| is(line, "gap") && line["duration_ms"].as_f64().unwrap() > truth_ms * 0.8;
    let gap = stream.find("the gap", long);
    let error_ms = gap["duration_ms"].as_f64().unwrap() - truth_ms;
    println!("{} of {} ms, {error_ms:+.1} ms from the truth", gap["verdict"], gap["duration_ms"]);
    (gap, error_ms)
}

/// The event of a gap, as it is on record.
fn stored(daemon: &Daemon, gap: &Value) -> Value {
    let event = daemon.wait_for_event("the gap's event", |event| event["id"] == gap["event"]);
    assert_eq!((&event["verdict"], &event["certain"]), (&gap["verdict"], &gap["certain"]));
    event
}

/// Whether every thread of a process is stopped.
fn is_stopped(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.into_iter().all(|thread| {
        let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    })
}

#[test]
fn a_daemon_that_somebody_stopped_was_starved_for_as_long_as_that_took() {
    let (daemon, mut stream) = daemon();
    let mut best_ms = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        daemon.signal(libc::SIGSTOP);
        until("a stopped daemon", || is_stopped(daemon.pid()).then_some(()));
        let begin = Instant::now();
        // Not a wait for a result: this is the time that is to be lost.
        thread::sleep(Duration::from_millis(1_200));
        daemon.signal(libc::SIGCONT);
        let truth_ms = begin.elapsed().as_secs_f64() * 1e3;
        let (gap, error_ms) = gap(&mut stream, truth_ms);
        assert_eq!((&gap["verdict"], &gap["certain"]), (&"starved".into(), &true.into()));
        let event = stored(&daemon, &gap);
        assert_eq!(event["kind"], "stall");
        retells(&daemon, &gap);
        best_ms = error_ms.abs().min(best_ms);
        if best_ms <= TOLERANCE_MS {
            return;
        }
    }
    panic!("{best_ms} ms from the truth at best");
}

#[test]
fn a_daemon_that_was_frozen_was_starved_or_nobody_knows_for_as_long_as_that_took() {
    let Some(freezer) = Freezer::new() else { return };
    let _bustle = Bustle::start();
    let (daemon, mut stream) = daemon();
    if !freezer.admit(daemon.pid()) {
        return;
    }
    let mut best_ms = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        let frozen = freezer.freeze();
        let begin = Instant::now();
        // Not a wait for a result: this is the time that is to be lost.
        thread::sleep(Duration::from_millis(1_500));
        drop(frozen);
        let truth_ms = begin.elapsed().as_secs_f64() * 1e3;
        let (gap, error_ms) = gap(&mut stream, truth_ms);
        // The kernel is the witness: it is silent on an idle machine, and on one under pressure.
        let judged = (gap["verdict"].as_str().unwrap(), gap["certain"].as_bool().unwrap());
        assert!([("starved", true), ("pause", false)].contains(&judged), "{gap}");
        stored(&daemon, &gap);
        retells(&daemon, &gap);
        best_ms = error_ms.abs().min(best_ms);
        if best_ms <= TOLERANCE_MS {
            return;
        }
    }
    panic!("{best_ms} ms from the truth at best");
}

/// A process that does nothing but burn, under a name of its own.
struct Burner {
    child: Child,
    name: String,
}

impl Burner {
    fn start(directory: &Path) -> Self {
        // The kernel keeps 15 bytes of a name.
        let name = format!("burn-{}", std::process::id());
        let file = directory.join(&name);
        executable::install(Path::new("/bin/sh"), &file);
        let child = Command::new(&file)
            .arg0("sh")
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, name }
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_that_burns_is_listed_with_what_it_takes_and_gone_when_it_is_gone() {
    let (daemon, mut stream) = daemon();
    let directory = tempfile::tempdir().unwrap();
    let burner = Burner::start(directory.path());
    let pid = burner.child.id();
    let name = burner.name.clone();
    let of_it = |line: &Value| -> Option<f64> {
        let cpu = line["top"]["cpu"].as_array()?;
        let found = cpu.iter().find(|process| process["pid"] == pid && process["name"] == name.as_str())?;
        found["value"].as_f64()
    };
    let line = stream.find("the burner", |line| of_it(line).is_some_and(|ms_per_s| ms_per_s > 50.0));
    // It has one thread; ticks of 10 ms are counted in intervals of about 100.
    assert!(of_it(&line).unwrap() < 1_500.0, "{line}");
    assert!(line["metrics"]["cpu_ms_per_s"].as_f64().unwrap() >= of_it(&line).unwrap(), "{line}");
    drop(burner);
    stream.find("a sample without it", |line| is(line, "sample") && of_it(line).is_none());
    // The daemon itself is never listed.
    let ours = daemon.pid();
    let line = stream.find("a sample", |line| is(line, "sample"));
    for list in line["top"].as_object().unwrap().values() {
        assert!(list.as_array().unwrap().iter().all(|process| process["pid"] != ours), "{line}");
    }
}

#[test]
fn ctrl_c_ends_it_as_a_service_manager_would() {
    let (mut daemon, mut stream) = daemon();
    assert!(signal(daemon.pid(), libc::SIGINT));
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
    while stream.next().is_some() {}
    assert!(daemon.log().contains("stopping: SIGINT"), "{}", daemon.log());
    assert!(!daemon.socket().exists());
}
