//! The system calls of the sampling thread of a real daemon, by strace.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::daemon::{Daemon, Stream, is, signal};
use super::peer::peer;
use super::program::Program;
use super::{linux, stand_in, thread_of};

/// Samples for which it is watched.
const TICKS: usize = 50;
/// A machine that is busy with other things has beats late and documents come in pieces: of so many times the calmest counts.
const ATTEMPTS: usize = 3;

/// Whether a client is connected.
#[derive(Clone, Copy, PartialEq)]
enum Client {
    One,
    None,
}

/// Whether a call is the one that is made once a sample.
fn is_of_a_sample(call: &str) -> bool {
    call.contains("</proc/stat>") && !goes_on(call)
}

/// Whether a call reads on in what the one before it left: a machine of many processors says more than there is room for.
fn goes_on(call: &str) -> bool {
    let offset = call.rsplit_once(") = ").and_then(|(arguments, _)| arguments.rsplit_once(", "));
    call.starts_with("pread64(") && offset.is_some_and(|(_, offset)| offset != "0")
}

/// Whoever is root and has to leave nothing out may trace.
fn required() -> bool {
    // SAFETY: geteuid has no preconditions and can't fail.
    let root = unsafe { libc::geteuid() } == 0;
    root && std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

/// The calls of a sampling thread over so many samples, each as strace prints it; `None` where strace can't be had.
fn calls(config: &str, client: Client) -> Option<Vec<String>> {
    let strace = peer(&["strace"], "strace")?;
    let mut daemon = Daemon::start(Program::new(), config, &[] as &[&str]);
    let thread = thread_of(daemon.pid(), "sampling");
    let mut stream = (client == Client::One).then(|| daemon.stream());
    let samples = |stream: &mut Option<Stream>, count| {
        for _ in 0..count {
            stream.as_mut().map(|stream| stream.find("a sample", |line| is(line, "sample")));
        }
    };
    samples(&mut stream, 20);
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new(strace)
        .args(["-y", "-p", &thread.to_string(), "-o"])
        .arg(trace.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // "Process N attached", or why not.
    let mut said = String::new();
    BufReader::new(strace.stderr.take().unwrap()).read_line(&mut said).unwrap();
    if !said.contains("attached") {
        assert!(!required(), "root may not trace here, it needs the right to: {said}");
        println!("passed over: strace may not trace here: {said}");
        strace.wait().unwrap();
        return None;
    }
    samples(&mut stream, TICKS);
    if client == Client::None {
        let seen = || std::fs::read_to_string(trace.path()).unwrap_or_default();
        let of_samples = || seen().lines().filter(|call| is_of_a_sample(call)).count();
        daemon.until("samples", || (of_samples() >= TICKS).then_some(()));
    }
    assert!(signal(strace.id().cast_signed(), libc::SIGINT));
    strace.wait().unwrap();
    daemon.stop(libc::SIGTERM);
    let text = std::fs::read(trace.path()).unwrap();
    let text = String::from_utf8_lossy(&text);
    // Not what was under way when strace came and went.
    let whole = |line: &&str| !line.contains("resum") && !line.contains("<detached") && line.contains('(');
    Some(text.lines().filter(whole).map(str::to_owned).collect())
}

/// How many samples of a stream that is; the Linux source asks for the processors' time besides.
fn ticks(calls: &[String]) -> usize {
    calls.iter().filter(|call| is_of_a_sample(call)).count()
}

/// strace may come a few ticks late.
const fn enough(ticks: usize) -> bool {
    ticks >= TICKS / 2
}

/// How often each is called, after what it is for; an error where one is for nothing.
fn by_purpose(
    calls: &[String],
    purpose: impl Fn(&str) -> Option<&'static str>,
) -> Result<BTreeMap<&'static str, usize>, String> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let what = purpose(call).ok_or_else(|| format!("not in the steady state: {call}"))?;
        *counts.entry(what).or_default() += 1;
    }
    println!("system calls of the sampling thread over {TICKS} samples: {counts:?}");
    Ok(counts)
}

/// Looks at the calls of a daemon until they are as they should be.
fn are(config: &str, client: Client, as_they_should: impl Fn(&[String]) -> Result<(), String>) {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let Some(calls) = calls(config, client) else { return };
        match as_they_should(&calls) {
            Ok(()) => return,
            Err(why) => seen.push(why),
        }
    }
    panic!("more than it takes, or less: {seen:#?}");
}

/// What both sources call the system for. `None` for anything else.
fn shared(call: &str) -> Option<&'static str> {
    let of_the_kernel = call.contains("</proc/") || call.contains("</sys/");
    match call.split('(').next()? {
        "pread64" if of_the_kernel && goes_on(call) => Some("more"),
        "pread64" if call.contains("</proc/pressure/") => Some("pressure"),
        "pread64" if of_the_kernel => Some("read"),
        // How often this process' own threads were switched away from: the witness takes that off.
        "getrusage" => Some("read"),
        "write" if call.contains("eventfd") => Some("wake"),
        // A thread that just now copies the totals for a scrape is woken: the mutex is only tried.
        "futex" if call.contains("FUTEX_WAKE") => Some("wake"),
        "clock_nanosleep" => Some("wait"),
        // Of other processes; of the machine only where the kernel's own page of time can't be read without a call.
        "clock_gettime" => Some("clock"),
        _ => None,
    }
}

fn of(counts: &BTreeMap<&'static str, usize>, what: &str) -> usize {
    counts.get(what).copied().unwrap_or(0)
}

#[test]
fn sampling_a_stream_calls_the_system_to_wait_to_read_and_to_wake_and_for_nothing_else() {
    are(&stand_in(), Client::One, |calls| {
        let counts = by_purpose(calls, |call| match call.split('(').next()? {
            "poll" => Some("wait"),
            "read" if call.contains("<socket:") || call.contains("<pipe:") => Some("document"),
            _ => shared(call),
        })?;
        let ticks = ticks(calls);
        let [document, wait, read, pressure, wake, more] =
            ["document", "wait", "read", "pressure", "wake", "more"].map(|what| of(&counts, what));
        // One each is what it takes; a document that comes in pieces some more.
        let about_once = |count| (ticks / 2..=2 * ticks).contains(&count);
        // Switches, the machine's and ours, and a kind of pressure; memory, load and cores now and then. All three kinds of it
        // after a late beat.
        let is_little = (2 * ticks..=4 * ticks).contains(&(read + pressure)) && more <= 2 * ticks;
        let fits = enough(ticks) && [document, wait, pressure, wake].into_iter().all(about_once) && is_little;
        fits.then_some(()).ok_or_else(|| format!("{ticks} ticks: {counts:?}"))
    });
}

#[test]
fn calm_samples_wake_no_other_thread_where_no_client_waits_for_them() {
    for config in [stand_in(), linux()] {
        are(&config, Client::None, |calls| {
            let ticks = ticks(calls);
            let wakes = calls.iter().filter(|call| shared(call) == Some("wake")).count();
            let fits = enough(ticks) && wakes <= TICKS / 5;
            fits.then_some(()).ok_or_else(|| format!("{wakes} in {ticks} ticks"))
        });
    }
}

#[test]
fn sampling_this_machine_calls_the_system_to_wait_to_read_and_to_wake_and_for_nothing_else() {
    are(&linux(), Client::One, |calls| {
        let processes = std::fs::read_dir("/proc").unwrap().count();
        let counts = by_purpose(calls, |call| {
            let path_of_the_kernel =
                call.contains("\"/proc/") || call.contains("</proc/") || call.contains("</proc>");
            match call.split('(').next()? {
                // Which processes there are.
                "getdents64" | "lseek" if path_of_the_kernel => Some("list"),
                // Of processes that began, and of those that ended; a debug build looks at what it closes.
                "openat" | "close" | "fcntl" if path_of_the_kernel => Some("list"),
                _ => shared(call),
            }
        })?;
        let [wait, wake, pressure, read, clock, list] =
            ["wait", "wake", "pressure", "read", "clock", "list"].map(|what| of(&counts, what));
        let about_once = |count| (TICKS / 2..=2 * TICKS).contains(&count);
        let fits = about_once(wait) && about_once(pressure) && wake <= 2 * TICKS
            // The files of a tenth of the processes and a few of the whole machine's; a kernel thread is a process, too.
            && read <= TICKS * (20 + 4 * processes / 10)
            // Each process' clock; where that takes a call, so does each look at the machine's.
            && clock <= TICKS * (20 + 2 * processes)
            // Once a second and after a fork, and three files of each that begins: not at each tick, nor of all.
            && list <= TICKS * (20 + processes / 10);
        fits.then_some(()).ok_or_else(|| format!("{processes} processes: {counts:?}"))
    });
}
