//! The daemon and its sampler: a stand-in for powermetrics, healthy, refused, crashing, hanging and noisy.
//!
//! The machine that runs these may be busy: its own pauses may be on record too, and what is measured here is
//! asserted from below, or widely.

// clippy.toml allows it in tests only, and takes their helpers for none.
#![allow(clippy::unwrap_used)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/program.rs"]
mod program;
#[path = "support/retold.rs"]
mod retold;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use daemon::{Daemon, Stream, is, signal};
use retold::retells;
use stand_in::{StandIn, config, runs};

const NO_ARGUMENTS: [&str; 0] = [];
/// More documents than any test waits for.
const MANY: u32 = 36_000;

/// Starts a daemon with a healthy configuration of the stand-in.
fn start(stand_in: &StandIn, count: u32) -> Daemon {
    Daemon::start(stand_in.program(), &stand_in.config(count), &NO_ARGUMENTS)
}

fn is_complete(line: &Value) -> bool {
    is(line, "sample") && line["degraded"] == false
}

fn is_degraded(line: &Value) -> bool {
    is(line, "sample") && line["degraded"] == true
}

fn is_source(line: &Value, state: &str) -> bool {
    is(line, "source") && line["state"] == state
}

fn is_gap(line: &Value, verdict: &str) -> bool {
    is(line, "gap") && line["verdict"] == verdict
}

/// Reads on for so many complete samples.
fn complete_samples(stream: &mut Stream, count: u32) {
    for _ in 0..count {
        stream.find("a complete sample", is_complete);
    }
}

/// A line's time, Unix seconds.
fn time_s(line: &Value) -> f64 {
    let time: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
    time.as_millisecond() as f64 / 1e3
}

/// Runs a daemon that has to refuse; what it says why, without its name in front.
fn refusal(stand_in: &StandIn, config: &str) -> String {
    let mut daemon = Daemon::start(stand_in.program(), config, &NO_ARGUMENTS);
    assert_eq!(daemon.wait(), 3, "{}", daemon.log());
    let log = daemon.log();
    let told: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("pause-monitor: ")).collect();
    assert_eq!(told.len(), 1, "one line says what to do:\n{log}");
    assert!(log.trim_end().ends_with(told[0]), "and is the last:\n{log}");
    for file in ["daemon.sock", "daemon.lock"] {
        assert!(!daemon.data_dir().join(file).exists(), "{file} was left behind");
    }
    stand_in.wait_until_gone();
    told[0].to_owned()
}

#[test]
fn a_sampler_that_delivers_is_up_and_its_samples_are_complete() {
    let stand_in = StandIn::gated("none");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    let hello = stream.next().unwrap();
    assert_eq!((&hello["source"], &hello["ring"]), (&"powermetrics".into(), &Value::Array(Vec::new())));
    stand_in.open();
    let up = stream.find("the source is up", |line| is_source(line, "up"));
    assert_eq!((&up["source"], &up["detail"]), (&"powermetrics".into(), &Value::Null));
    assert_eq!((&up["hw_model"], &up["os_build"]), (&"Mac16,5".into(), &"25C56".into()));
    let first = stream.find("a sample", |line| is(line, "sample"));
    assert_eq!(
        (&first["seq"], &first["interval_ms"], &first["latency_ratio"]),
        (&1.into(), &Value::Null, &1.0.into())
    );
    let sample = stream.find("a sample", |line| is(line, "sample"));
    assert_eq!((&sample["seq"], &sample["degraded"]), (&2.into(), &false.into()));
    // From the sampler, from its own figures of time, and from this machine.
    for key in [
        "cpu_power_mw",
        "gpu_busy_pct",
        "io_read_per_s",
        "cpu_ms_per_s",
        "pageins_per_s",
        "load_avg",
        "memory_available_pct",
    ] {
        assert!(sample["metrics"][key].is_number(), "{key}: {sample}");
    }
    assert!(sample["interval_ms"].is_number() && sample["heartbeat_ms"].is_number(), "{sample}");
    assert!(sample["elapsed_ms"].as_f64() > Some(10.0), "{sample}");
    assert!(!sample["top"]["cpu"].as_array().unwrap().is_empty(), "{sample}");
    complete_samples(&mut stream, 20);
    assert_eq!(stand_in.starts().len(), 1, "{}", daemon.log());
}

#[test]
fn a_sampler_that_wants_root_is_a_refusal_that_names_the_sudoers_line() {
    let stand_in = StandIn::new("no-root");
    let told = refusal(&stand_in, &stand_in.config(MANY));
    assert!(told.contains("(powermetrics must be invoked as the superuser)"), "{told}");
    let line = format!(
        r"{} --samplers cpu_power\,tasks\,disk -f plist -i 100 -n 36000",
        stand_in.path("powermetrics").display()
    );
    assert!(told.contains("in /etc/sudoers.d with exactly") && told.ends_with(&line), "{told}");
}

#[test]
fn a_sudo_that_wants_a_password_is_a_refusal_that_names_the_sudoers_line() {
    let stand_in = StandIn::new("none");
    let (sudo, powermetrics) = (stand_in.path("sudo"), stand_in.path("powermetrics"));
    let command = [&sudo.to_string_lossy(), "-n", &powermetrics.to_string_lossy(), "-f", "plist"];
    let told = refusal(&stand_in, &config(&command));
    assert!(told.contains("(sudo: a password is required)"), "{told}");
    let line = format!("with exactly this command, {} -f plist", powermetrics.display());
    assert!(told.ends_with(&line), "{told}");
    assert!(stand_in.starts().is_empty());
}

#[test]
fn a_sampler_that_this_mac_does_not_have_is_a_refusal_that_names_the_setting() {
    let stand_in = StandIn::new("none");
    let powermetrics = stand_in.path("powermetrics");
    let command = [&powermetrics.to_string_lossy(), "--samplers", "cpu_power,sprockets", "-f", "plist"];
    let told = refusal(&stand_in, &config(&command));
    assert!(told.contains("(unrecognized sampler: sprockets)"), "{told}");
    assert!(told.contains("set [powermetrics] command"), "{told}");
}

#[test]
fn a_sampler_that_is_not_there_is_a_refusal_that_names_the_other_source() {
    let stand_in = StandIn::new("none");
    let told = refusal(&stand_in, &config(&["/no/such/powermetrics", "-f", "plist"]));
    assert!(told.starts_with("/no/such/powermetrics is not there"), "{told}");
    assert!(told.contains("--source linux"), "{told}");
}

#[test]
fn a_sampler_that_may_not_be_executed_is_a_refusal_that_says_so() {
    let stand_in = StandIn::new("none");
    let file = stand_in.path("unexecutable");
    std::fs::write(&file, "").unwrap();
    let told = refusal(&stand_in, &config(&[&file.to_string_lossy()]));
    assert!(told.contains("unexecutable may not be run: give it the right to be executed"), "{told}");
}

#[test]
fn a_sampler_that_ends_at_once_without_a_word_is_a_refusal_with_its_exit_status() {
    let stand_in = StandIn::new("none");
    let told = refusal(&stand_in, &config(&["/bin/sh", "-c", "exit 7"]));
    assert!(told.contains("ended before its first sample with exit status: 7"), "{told}");
}

#[test]
fn a_sampler_that_writes_nothing_for_ten_seconds_is_a_refusal_and_is_ended() {
    let stand_in = StandIn::new("mute");
    let begun = Instant::now();
    let told = refusal(&stand_in, &stand_in.config(MANY));
    assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(told.contains("wrote no sample in 1") && told.contains("[powermetrics] command"), "{told}");
    assert_eq!(stand_in.starts().len(), 1);
}

#[test]
fn allow_degraded_goes_on_without_the_sampler_says_so_and_takes_it_when_it_comes() {
    let stand_in = StandIn::gated("no-root none");
    let daemon = Daemon::start(stand_in.program(), &stand_in.config(MANY), &["--allow-degraded"]);
    let mut stream = daemon.stream();
    stream.next();
    stand_in.open();
    let down = stream.find("the source is down", |line| is_source(line, "down"));
    assert!(down["detail"].as_str().unwrap().contains("needs root"), "{down}");
    let sample = stream.find("a sample", |line| is(line, "sample"));
    assert_eq!(sample["degraded"], true, "{sample}");
    let metrics = &sample["metrics"];
    assert!(metrics["load_avg"].is_number() && metrics["memory_available_pct"].is_number(), "{sample}");
    for key in ["cpu_power_mw", "gpu_busy_pct", "io_read_per_s", "cpu_ms_per_s", "pageins_per_s"] {
        assert!(metrics[key].is_null(), "{key} is not known: {sample}");
    }
    assert!(sample["heartbeat_ms"].is_number(), "{sample}");
    daemon.wait_for_log("the source powermetrics is down");
    daemon.wait_for_log("samples are degraded");
    let up = stream.find("the source is up", |line| is_source(line, "up"));
    assert!(time_s(&up) - time_s(&down) >= 29.9, "it is tried again after 30 s: {up}");
    complete_samples(&mut stream, 5);
    daemon.wait_for_log("samples are complete again");
}

#[test]
fn a_sampler_that_crashes_is_restarted_later_and_later_and_bridged_by_degraded_samples() {
    let stand_in = StandIn::new("crash crash none");
    // A restart that passed for a gap would be one of more than this.
    let config = stand_in.config(MANY) + "[pause]\nmin_duration = \"1s\"\n";
    let daemon = Daemon::start(stand_in.program(), &config, &NO_ARGUMENTS);
    let mut stream = daemon.stream();
    let mut gaps = Vec::new();
    for least_s in [1.0, 2.0] {
        let restarting = stream.find("a restart", |line| is_source(line, "restarting"));
        assert!(restarting["detail"].as_str().unwrap().contains("signal: 11"), "{restarting}");
        let (mut degraded, mut up) = (0, None);
        while up.is_none() {
            let line = stream.next().unwrap();
            assert!(!is_complete(&line), "nobody wrote it: {line}");
            degraded += u32::from(is_degraded(&line));
            gaps.extend(is(&line, "gap").then(|| line.clone()));
            up = is_source(&line, "up").then_some(line);
        }
        let took_s = time_s(&up.unwrap()) - time_s(&restarting);
        assert!(took_s >= least_s, "{took_s} s");
        assert!(degraded >= 5, "{degraded}");
        let first = stream.find("a complete sample", is_complete);
        assert_eq!(first["latency_ratio"], 1.0, "nothing is late after a restart: {first}");
    }
    complete_samples(&mut stream, 20);
    // The machine may have had one of its own, in which the heartbeat was late.
    assert!(!gaps.iter().any(|gap| gap["verdict"] == "stall"), "a restart is no gap: {gaps:?}");
    assert!(daemon.log().contains("documents rejected: 1 truncated"), "{}", daemon.log());
    assert_eq!(stand_in.starts().len(), 3);
}

#[test]
fn a_renewal_is_restarted_at_once_without_a_gap_and_without_degraded_samples() {
    let stand_in = StandIn::new("none");
    let daemon = start(&stand_in, 20);
    let mut stream = daemon.stream();
    let renewal = |line: &Value| is_source(line, "restarting");
    let told = stream.find("a renewal", renewal);
    assert!(told["detail"].as_str().unwrap().contains("had written all it was asked for"), "{told}");
    // A machine that is busy may have gaps of its own: one renewal without them is enough, as one that is a gap
    // would be one each time.
    let deadline = Instant::now() + daemon::PATIENCE;
    loop {
        let mut between = Vec::new();
        while !between.last().is_some_and(renewal) {
            between.push(stream.next().unwrap());
        }
        assert!(between.iter().any(|line| is_source(line, "up")), "{between:?}");
        let first = between.iter().find(|line| is_complete(line)).unwrap();
        assert_eq!(first["latency_ratio"], 1.0, "{first}");
        assert_eq!(between.iter().filter(|line| is_complete(line)).count(), 20, "none is lost");
        if !between.iter().any(|line| is_degraded(line) || is(line, "gap")) {
            break;
        }
        assert!(Instant::now() < deadline, "each renewal has its gap:\n{}", daemon.log());
    }
}

#[test]
fn a_hung_sampler_is_a_stall_on_record_and_is_ended_and_restarted() {
    let stand_in = StandIn::new("hang none");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    let stall =
        stream.find("a stall", |line| is_gap(line, "stall") && line["duration_ms"].as_f64() > Some(4_000.0));
    let duration_s = stall["duration_ms"].as_f64().unwrap() / 1e3;
    // Five seconds of silence, of which one interval was due.
    assert!((4.5..8.0).contains(&duration_s), "{duration_s} s");
    let restarting = stream.find("a restart", |line| is_source(line, "restarting"));
    assert!(
        restarting["detail"].as_str().unwrap().starts_with("it wrote no whole document for "),
        "{restarting}"
    );
    stream.find("a degraded sample", is_degraded);
    stream.find("the source is up", |line| is_source(line, "up"));
    complete_samples(&mut stream, 5);
    let hung = stand_in.starts()[0];
    daemon.until("the hung sampler's end", || (!runs(hung)).then_some(()));
    let event = daemon.wait_for_event("the stall", |event| event["id"] == stall["event"]);
    assert_eq!(
        (&event["kind"], &event["verdict"], &event["certain"]),
        (&"stall".into(), &"stall".into(), &true.into())
    );
    assert!((event["duration_s"].as_f64().unwrap() - duration_s).abs() < 0.01, "{event}");
    assert_eq!(stand_in.starts().len(), 2);
    // No sample shows it: the first ones after it are the fast path's, and those of a sampler that was just started.
    retells(&daemon, &stall);
}

#[test]
fn a_sampler_that_closes_its_output_and_lives_on_is_ended_and_restarted() {
    let stand_in = StandIn::new("close none");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    stream.find("a restart", |line| is_source(line, "restarting"));
    stream.find("the source is up", |line| is_source(line, "up"));
    complete_samples(&mut stream, 5);
    let closed = stand_in.starts()[0];
    daemon.until("the first sampler's end", || (!runs(closed)).then_some(()));
}

#[test]
fn garbage_and_broken_documents_are_rejected_and_what_follows_is_read() {
    let stand_in = StandIn::new("garbage");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    stream.find("samples after the garbage", |line| line["seq"].as_u64() > Some(25));
    daemon.wait_for_log("documents rejected: 1 truncated");
    assert_eq!(stand_in.starts().len(), 1, "it was no reason to restart it:\n{}", daemon.log());
    complete_samples(&mut stream, 5);
}

#[test]
fn a_last_document_that_is_cut_off_is_rejected_and_the_next_sampler_is_read() {
    let stand_in = StandIn::new("cut none");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    let restarting = stream.find("a renewal", |line| is_source(line, "restarting"));
    assert!(
        restarting["detail"].as_str().unwrap().contains("had written all it was asked for"),
        "{restarting}"
    );
    daemon.wait_for_log("documents rejected: 1 truncated");
    stream.find("the source is up", |line| is_source(line, "up"));
    complete_samples(&mut stream, 20);
}

#[test]
fn a_sampler_that_complains_by_the_megabyte_does_not_block() {
    let stand_in = StandIn::new("chatty");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 30);
    assert_eq!(stand_in.starts().len(), 1, "{}", daemon.log());
}

/// Stops process groups for a time, and says how long they really stood still at least and at most, s.
fn stop_for(groups: &[i32], time: Duration) -> (f64, f64) {
    let before = Instant::now();
    for &group in groups {
        assert!(signal(group, libc::SIGSTOP));
    }
    let stopped = Instant::now();
    thread::sleep(time);
    let least = stopped.elapsed();
    for &group in groups {
        assert!(signal(group, libc::SIGCONT));
    }
    (least.as_secs_f64(), before.elapsed().as_secs_f64())
}

/// The gap that the stream tells of first of those at least so long, s; its event is on record the same.
fn gap(daemon: &Daemon, stream: &mut Stream, least_s: f64) -> (Value, f64) {
    let gap =
        stream.find("a gap", |line| is(line, "gap") && line["duration_ms"].as_f64() >= Some(least_s * 1e3));
    let event = daemon.wait_for_event("the gap's event", |event| event["id"] == gap["event"]);
    assert_eq!((&event["verdict"], &event["certain"]), (&gap["verdict"], &gap["certain"]), "{event}");
    let duration_s = gap["duration_ms"].as_f64().unwrap() / 1e3;
    assert!((event["duration_s"].as_f64().unwrap() - duration_s).abs() < 0.01, "{event}");
    (gap, duration_s)
}

#[test]
fn a_sampler_that_stood_still_while_the_heartbeat_ran_is_a_stall() {
    let stand_in = StandIn::new("none");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 20);
    let (least_s, most_s) = stop_for(&[-stand_in.starts()[0]], Duration::from_millis(1_500));
    let (gap, duration_s) = gap(&daemon, &mut stream, 1.0);
    assert_eq!((&gap["verdict"], &gap["certain"]), (&"stall".into(), &true.into()), "{gap}");
    // Up to an interval of it was not late yet, and another one may have been under way.
    assert!((least_s - 0.4..most_s + 2.0).contains(&duration_s), "{duration_s} s of {least_s} s");
    complete_samples(&mut stream, 5);
    assert_eq!(stand_in.starts().len(), 1, "it was not restarted");
}

#[test]
fn a_daemon_that_stood_still_while_the_sampler_went_on_was_starved() {
    let stand_in = StandIn::new("none");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 20);
    let (least_s, most_s) = stop_for(&[daemon.pid()], Duration::from_secs(2));
    let (gap, duration_s) = gap(&daemon, &mut stream, 1.0);
    assert_eq!((&gap["verdict"], &gap["certain"]), (&"starved".into(), &true.into()), "{gap}");
    assert!((least_s - 0.1..most_s + 2.0).contains(&duration_s), "{duration_s} s of {least_s} s");
    complete_samples(&mut stream, 5);
    assert_eq!(stand_in.starts().len(), 1, "it was not restarted");
}

#[test]
fn a_daemon_stopped_together_with_its_sampler_knows_by_sigcont_that_it_was_starved() {
    let stand_in = StandIn::new("none");
    let daemon = start(&stand_in, MANY);
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 20);
    let (least_s, most_s) = stop_for(&[daemon.pid(), -stand_in.starts()[0]], Duration::from_secs(2));
    let (gap, duration_s) = gap(&daemon, &mut stream, 1.0);
    assert_eq!((&gap["verdict"], &gap["certain"]), (&"starved".into(), &true.into()), "{gap}");
    assert!((least_s - 0.1..most_s + 2.0).contains(&duration_s), "{duration_s} s of {least_s} s");
    complete_samples(&mut stream, 5);
    assert_eq!(stand_in.starts().len(), 1, "it was not restarted");
}

#[test]
fn a_daemon_that_is_killed_takes_its_sampler_with_it() {
    let stand_in = StandIn::new("none");
    let mut daemon = start(&stand_in, MANY);
    complete_samples(&mut daemon.stream(), 2);
    let sampler = stand_in.starts()[0];
    assert!(runs(sampler));
    daemon.kill();
    stand_in.wait_until_gone();
}
