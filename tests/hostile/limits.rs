//! Descriptors, threads, memory and room in a file run short: before the start, and under way.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Stream, is, until};
use crate::group::Group;
use crate::http::{get, scrape, series};
use crate::process::{Spinning, limit, status_mb};
use crate::program::{Program, Run};
use crate::sampler::{Script, complete_samples, is_complete, is_source};
use crate::stand_in::StandIn;

const NONE: &[&str] = &[];

/// A command that will run under a limit.
fn under(mut command: Command, resource: libc::__rlimit_resource_t, value: u64) -> Command {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: setrlimit may be called after a fork, and `limit` is a valid rlimit.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(resource, &raw const limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command
}

/// Runs a daemon that has to refuse under a limit; what it says, which is one line.
fn refusal(resource: libc::__rlimit_resource_t, value: u64, arguments: &[&str]) -> (i32, String) {
    let program = Program::new();
    let data_dir = program.home().join("data");
    let words =
        [&["daemon", "--source", "linux", "--data-dir", data_dir.to_str().unwrap()], arguments].concat();
    let run = to_its_end(under(program.command(&words), resource, value));
    assert!(!data_dir.exists(), "nothing was begun: {}", run.stderr);
    (run.code, run.stderr)
}

/// What came of a command; one that does not end, as it should have, is ended.
fn to_its_end(mut command: Command) -> Run {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    // Where it has ended this does nothing.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    Run {
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap_or(-1),
    }
}

#[test]
fn too_few_descriptors_are_one_line_that_says_how_many_and_nothing_is_begun() {
    for few in [6, 7, 10, 13, 20, 24, 40, 63] {
        let (code, said) = refusal(libc::RLIMIT_NOFILE, few, &[]);
        assert_eq!((code, said.lines().count()), (1, 1), "{few}: {said}");
        assert!(
            said.starts_with(&format!("pause-monitor: {few} files may be open at once, and 64")),
            "{said}"
        );
    }
    // A supervisor that would start it again, for ever, is told that this would not help.
    let (code, said) = refusal(libc::RLIMIT_NOFILE, 20, &["--under-launchd"]);
    assert!(code == 0 && said.contains("another start would not mend it"), "{said}");
}

#[test]
fn too_little_memory_is_one_line_that_says_how_much() {
    for few_mb in [128, 191] {
        let (code, said) = refusal(libc::RLIMIT_AS, few_mb << 20, &[]);
        assert_eq!((code, said.lines().count()), (1, 1), "{said}");
        assert!(said.contains(&format!("{few_mb} MB of memory may be addressed, and 192")), "{said}");
    }
}

#[test]
fn the_fewest_descriptors_and_the_least_memory_that_are_taken_do() {
    let program = Program::new();
    let recording = program.home().join("recording");
    let simulated =
        program.command(&["simulate", "--scenario", "thrash", "--no-wait", "--count", "300"]).output();
    fs::write(&recording, simulated.unwrap().stdout).unwrap();
    let source = format!("replay:{}", recording.display());
    let words = ["daemon", "--source", &source, "--speed", "max"];
    let command = under(program.command(&words), libc::RLIMIT_NOFILE, 64);
    let run = to_its_end(under(command, libc::RLIMIT_AS, 192 << 20));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let events: Vec<serde_json::Value> =
        serde_json::from_str(&program.run(&["events", "--json"]).stdout).unwrap();
    assert!(!events.is_empty(), "{}", run.stderr);
}

/// Connects to the daemon's socket until the daemon takes no more.
fn occupy(daemon: &Daemon) -> Vec<UnixStream> {
    let mut clients = Vec::new();
    while !daemon.log().contains("a client could not be accepted") {
        assert!(clients.len() < 250, "the daemon takes them all");
        // The kernel holds some that wait to be accepted.
        clients.push(UnixStream::connect(daemon.socket()).unwrap());
        until("an answer to one more client", || {
            let full = daemon.log().contains("a client could not be accepted");
            let taken = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
            (full || taken > clients.len()).then_some(())
        });
    }
    clients
}

#[test]
fn clients_that_take_all_descriptors_cost_neither_samples_nor_events_nor_the_sampler_for_good() {
    let script = Script::new(
        "case $start in 1) good 3; while [ ! -e die ]; do good 1; done; exit 3 ;; *) good 100000 ;; esac",
    );
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 3);
    limit(daemon.pid(), libc::RLIMIT_NOFILE, 96);
    let clients = occupy(&daemon);
    println!("{} clients took them all", clients.len());
    let spinning = Spinning::watch(&daemon);
    complete_samples(&mut stream, 30);
    // Its sampler dies now, and no other can be given a channel: counted, tried again, bridged.
    script.file("die", b"");
    let mut failed = 0;
    while failed < 2 {
        let line = stream.find("a restart", |line| is_source(line, "restarting"));
        failed += u32::from(line["detail"].as_str().unwrap().contains("Too many open files"));
    }
    let sample = stream.find("a sample", |line| is(line, "sample"));
    assert_eq!(sample["degraded"], true);
    spinning.is_not(&daemon);
    assert_eq!(daemon.log().matches("a client could not be accepted").count(), 1, "{}", daemon.log());
    drop(clients);
    stream.find("it delivers", |line| is_source(line, "up"));
    complete_samples(&mut stream, 5);
    let metrics = daemon.until("a scrape", || {
        let metrics = series(&scrape(&daemon));
        (metrics["pause_monitor_up"] == 1.0).then_some(metrics)
    });
    assert!(metrics["pause_monitor_source_restarts_total{reason=\"exited\"}"] >= 3.0);
    assert_eq!(metrics["pause_monitor_store_errors_total"], 0.0, "{}", daemon.log());
}

/// A daemon that has something to write all the time.
fn writing() -> (Daemon, Stream) {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:thrash", "--speed", "4"]);
    let mut stream = daemon.stream();
    stream.find("an episode", |line| is(line, "tier") && line["to"] == "critical");
    (daemon, stream)
}

#[test]
fn a_file_that_must_not_grow_is_an_error_of_the_store_and_not_the_end_of_the_daemon() {
    let (mut daemon, mut stream) = writing();
    let errors = |daemon: &Daemon| series(&scrape(daemon))["pause_monitor_store_errors_total"];
    let was = limit(daemon.pid(), libc::RLIMIT_FSIZE, 4_096);
    daemon.until("an error of the store", || (errors(&daemon) > 1.0).then_some(()));
    stream.find("a sample", |line| is(line, "sample"));
    assert!(daemon.events().iter().all(|event| event["id"].is_number()), "what was written can be read");
    let newest = stream.find("another episode", |line| is(line, "tier") && line["from"] == "sentinel");
    limit(daemon.pid(), libc::RLIMIT_FSIZE, was);
    daemon.wait_for_log("events are stored again");
    daemon.wait_for_event("what happened meanwhile", |event| event["id"] == newest["event"]);
    let moved = fs::read_dir(daemon.data_dir()).unwrap().count();
    assert!(moved <= 6, "nothing was taken for damage");
    daemon.stop(libc::SIGTERM);
}

#[test]
fn too_few_threads_are_one_line_and_nothing_is_begun() {
    let Some(group) = Group::of_threads() else { return };
    let program = Program::new();
    for few in [1, 2, 3, 6, 9, 12] {
        group.set(&few.to_string());
        let data_dir = program.home().join("data");
        let mut command =
            program.command(&["daemon", "--source", "linux", "--data-dir", data_dir.to_str().unwrap()]);
        let procs = std::ffi::CString::new(group.procs().into_os_string().into_encoded_bytes()).unwrap();
        // SAFETY: open, write and close may be called after a fork; 0 is whoever writes it.
        unsafe {
            command.pre_exec(move || {
                let file = libc::open(procs.as_ptr(), libc::O_WRONLY);
                let written = libc::write(file, c"0".as_ptr().cast(), 1);
                libc::close(file);
                if written == 1 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let run = to_its_end(command);
        assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{few}: {}", run.stderr);
        assert!(
            run.stderr.contains("threads are needed, and the system does not give them"),
            "{}",
            run.stderr
        );
        assert!(!data_dir.exists());
    }
}

#[test]
fn where_no_thread_and_no_process_can_be_had_any_more_everything_goes_on_and_is_done_later() {
    let Some(group) = Group::of_threads() else { return };
    let script = Script::new(
        "case $start in 1) good 3; while [ ! -e die ]; do cat good; sleep 0.1; done; exit 3 ;; *) good 100000 ;; esac",
    );
    let config = script.config()
        + "[[hooks]]\nname = \"told\"\non = [\"source_down\", \"source_up\"]\ncommand = [\"/bin/true\"]\n";
    let mut daemon = Daemon::start(script.program(), &config, NONE);
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 3);
    group.admit(daemon.pid());
    // It has what it has, and two less: with the sampler three of its threads end, and all that is left is one to try
    // another with.
    let threads: u32 = group.now("pids.current").trim().parse().unwrap();
    group.set(&(threads - 2).to_string());
    let spinning = Spinning::watch(&daemon);
    for _ in 0..3 {
        let before = daemon.log().matches("the configuration was read again").count();
        daemon.signal(libc::SIGHUP);
        daemon.until("the configuration read again, or that it can't be", || {
            let log = daemon.log();
            let read = log.matches("the configuration was read again").count() > before;
            (read || log.contains("the configuration file can't be read")).then_some(())
        });
    }
    script.file("die", b"");
    let line = stream.find("a restart that fails", |line| {
        is_source(line, "restarting")
            && line["detail"].as_str().unwrap().contains("Resource temporarily unavailable")
    });
    assert!(line["detail"].is_string());
    for _ in 0..30 {
        let line = stream.find("a sample", |line| is(line, "sample"));
        assert_eq!(line["degraded"], true);
    }
    assert_eq!(get(&daemon, "/healthz").status, 200);
    spinning.is_not(&daemon);
    group.set("max");
    stream.find("it delivers", |line| is_source(line, "up"));
    complete_samples(&mut stream, 5);
    // The exporter of alerts lives: its hook runs again.
    daemon.until("a hook that ran", || {
        (series(&scrape(&daemon))["pause_monitor_hook_runs_total{hook=\"told\",outcome=\"ok\"}"] >= 1.0)
            .then_some(())
    });
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    daemon.stop(libc::SIGTERM);
}

#[test]
fn a_document_for_which_there_is_no_memory_is_rejected_and_sampling_goes_on() {
    let script = Script::new(
        "good 20; while [ ! -e large ]; do good 1; done; head -c 350 good; cat large; tail -c +351 good; good 100000",
    );
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 10);
    // The buffer grows from 1 to 8 MB in that, and not to 16. (Address space is no measure: malloc has some in reserve.)
    let now_mb = status_mb(daemon.pid(), "VmData");
    limit(daemon.pid(), libc::RLIMIT_DATA, (now_mb + 12) << 20);
    let before = complete_samples(&mut stream, 1)["seq"].as_u64().unwrap();
    let large = script.file("large.part", &vec![b' '; 15 << 20]);
    fs::rename(large, script.0.path("large")).unwrap();
    daemon.until("the rejected document", || {
        let metrics = series(&scrape(&daemon));
        (metrics["pause_monitor_samples_rejected_total{reason=\"oversized\"}"] >= 1.0).then_some(())
    });
    stream.find("samples after it", |line| is_complete(line) && line["seq"].as_u64() > Some(before + 20));
    assert_eq!(script.starts(), 1, "{}", daemon.log());
}

#[test]
fn all_that_it_does_fits_into_a_small_memory() {
    let Some(group) = Group::of_memory(72 << 20) else { return };
    let script = Script::new("case $start in 1) while :; do cat large; sleep 0.2; done ;; esac");
    let program = script.program();
    let output = program
        .command(&["simulate", "--scenario", "thrash", "--tasks", "5000", "--no-wait", "--count", "1"])
        .output();
    script.file("large", &output.unwrap().stdout);
    let daemon = Daemon::start(program, &script.config(), NONE);
    group.admit(daemon.pid());
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 20);
    let clients: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(daemon.socket()).unwrap()).collect();
    complete_samples(&mut stream, 20);
    for _ in 0..20 {
        assert!(!scrape(&daemon).is_empty());
    }
    println!("{} MB at most", status_mb(daemon.pid(), "VmHWM"));
    assert_eq!(get(&daemon, "/healthz").status, 200, "{}", daemon.log());
    drop(clients);
    // Garbage by the megabyte, and a document over the limit, in the same memory.
    let stand_in = StandIn::new("garbage");
    let daemon = Daemon::start(stand_in.program(), &stand_in.config(36_000), NONE);
    group.admit(daemon.pid());
    let mut stream = daemon.stream();
    stream.find("samples after the garbage", |line| line["seq"].as_u64() > Some(15));
    assert_eq!(get(&daemon, "/healthz").status, 200, "{}", daemon.log());
}
