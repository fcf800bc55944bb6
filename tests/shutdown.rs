//! The daemon's end: within 5 s whatever hangs, what was open is closed, and nothing is left behind.

// clippy.toml allows it in tests only, and takes their helpers for none.
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
#[path = "support/again.rs"]
mod again;
#[path = "support/daemon.rs"]
mod daemon;
#[cfg(target_os = "linux")]
#[path = "support/mount.rs"]
mod mount;
#[path = "support/program.rs"]
mod program;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rusqlite::Connection;
use serde_json::Value;

use daemon::{Daemon, is};
use program::Program;
use stand_in::StandIn;

/// A simulation that leads to an episode within a second.
const THRASH: [&str; 4] = ["--source", "simulate:thrash", "--speed", "20"];
/// An episode that began stays open: the simulation comes back to it every 40 s.
const STAYS_OPEN: &str = "[tiers]\ndeescalation = \"1m\"\n";
const NO_ARGUMENTS: [&str; 0] = [];

/// Waits for an episode that is open and on record; its id.
fn open_episode(daemon: &Daemon) -> u64 {
    let episode = daemon.wait_for_event("an open episode", |event| event["open"] == true);
    assert_eq!(episode["kind"], "episode", "{episode}");
    episode["id"].as_u64().unwrap()
}

/// Stops it with a signal: it ends within the limit with exit code 0 and leaves neither socket nor lock.
fn stop(daemon: &mut Daemon, number: i32) {
    daemon.stop(number);
    nothing_is_left(daemon);
}

fn nothing_is_left(daemon: &Daemon) {
    for file in ["daemon.sock", "daemon.lock"] {
        assert!(!daemon.data_dir().join(file).exists(), "{file} was left behind:\n{}", daemon.log());
    }
}

/// Why the last run ended; `None` where nobody wrote its end.
fn end_of_run(daemon: &Daemon) -> Option<String> {
    let database = Connection::open(daemon.data_dir().join("data.db")).unwrap();
    let (ended_at, reason): (Option<i64>, Option<String>) = database
        .query_row("SELECT ended_at, reason FROM runs ORDER BY id DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(ended_at.is_some(), reason.is_some());
    reason
}

/// The events are whole: all closed, none interrupted; the episode with this id is one of them.
fn all_is_closed(daemon: &Daemon, episode: u64) {
    let events = daemon.events();
    let is_closed = |event: &&Value| {
        event["open"] == false && event["ended_at"].is_string() && event["interrupted"].is_null()
    };
    assert_eq!(events.iter().filter(is_closed).count(), events.len(), "{events:#?}");
    assert!(events.iter().any(|event| event["id"] == episode), "{events:#?}");
}

#[test]
fn sigterm_ends_it_with_the_open_episode_closed_and_the_run_ended() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &THRASH);
    let episode = open_episode(&daemon);
    assert_eq!(end_of_run(&daemon), None);
    stop(&mut daemon, libc::SIGTERM);
    all_is_closed(&daemon, episode);
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGTERM"));
}

#[test]
fn sigint_ends_it_with_the_open_episode_closed_and_the_run_ended() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &THRASH);
    let episode = open_episode(&daemon);
    stop(&mut daemon, libc::SIGINT);
    all_is_closed(&daemon, episode);
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGINT"));
}

#[test]
fn a_stream_is_given_the_last_lines_and_then_its_end() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &THRASH);
    let mut stream = daemon.stream();
    open_episode(&daemon);
    stop(&mut daemon, libc::SIGTERM);
    let mut last = None;
    while let Some(line) = stream.next() {
        last = Some(line);
    }
    assert!(last.is_some_and(|line| line["type"].is_string()));
}

#[test]
fn a_sampler_that_writes_is_ended_with_it() {
    let stand_in = StandIn::new("none");
    let mut daemon = Daemon::start(stand_in.program(), &stand_in.config(36_000), &NO_ARGUMENTS);
    daemon.stream().find("a sample", |line| is(line, "sample"));
    stop(&mut daemon, libc::SIGTERM);
    stand_in.wait_until_gone();
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGTERM"));
}

#[test]
fn a_sampler_that_hangs_and_ignores_sigterm_holds_nothing_up_and_is_ended() {
    let stand_in = StandIn::new("hang");
    let mut daemon = Daemon::start(stand_in.program(), &stand_in.config(36_000), &NO_ARGUMENTS);
    daemon.stream().find("the last sample", |line| line["seq"] == 15);
    stop(&mut daemon, libc::SIGTERM);
    stand_in.wait_until_gone();
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGTERM"));
}

#[test]
fn a_sampler_that_has_not_delivered_yet_holds_nothing_up_and_is_ended() {
    let stand_in = StandIn::new("mute");
    let mut daemon = Daemon::start(stand_in.program(), &stand_in.config(36_000), &NO_ARGUMENTS);
    daemon.wait_for_log("waiting for the source's first sample");
    stop(&mut daemon, libc::SIGTERM);
    stand_in.wait_until_gone();
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGTERM"));
}

#[test]
fn a_client_that_never_reads_holds_nothing_up() {
    // At full speed what its connection holds is full in an instant.
    let mut daemon =
        Daemon::start(Program::new(), STAYS_OPEN, &["--source", "simulate:thrash", "--speed", "max"]);
    let mut stream = daemon.stream();
    let _client = UnixStream::connect(daemon.socket()).unwrap();
    let from = stream.find("a sample", |line| is(line, "sample"))["seq"].as_u64().unwrap();
    // 2 MB and more: ten times what a socket holds.
    stream.find("a thousand samples more", |line| line["seq"].as_u64() > Some(from + 1_000));
    drop(stream);
    let episode = open_episode(&daemon);
    stop(&mut daemon, libc::SIGTERM);
    all_is_closed(&daemon, episode);
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGTERM"));
}

#[test]
fn a_database_that_another_holds_locked_holds_nothing_up_and_what_is_lost_is_told() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &THRASH);
    let episode = open_episode(&daemon);
    let locker = Connection::open(daemon.data_dir().join("data.db")).unwrap();
    locker.busy_timeout(daemon::PATIENCE).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    stop(&mut daemon, libc::SIGTERM);
    assert!(daemon.log().contains("the disk did not take all that was to be written"), "{}", daemon.log());
    locker.execute_batch("ROLLBACK").unwrap();
    drop(locker);
    assert_eq!(end_of_run(&daemon), None, "nobody could write it");
    let events = daemon.events();
    assert!(events.iter().any(|event| event["id"] == episode && event["open"] == true), "{events:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_holds_nothing_up_and_what_is_lost_is_told() {
    let Some(mount) = mount::Mount::new() else { return };
    let program = Program::new();
    std::os::unix::fs::symlink(mount.path(), program.home().join("data")).unwrap();
    let mut daemon = Daemon::start(program, STAYS_OPEN, &THRASH);
    let episode = open_episode(&daemon);
    let ballast = mount.fill();
    // The samples of CRITICAL find no room.
    daemon.wait_for_log("events can't be stored now");
    stop(&mut daemon, libc::SIGTERM);
    assert!(daemon.log().contains("the disk did not take all"), "{}", daemon.log());
    // With room again, the next run closes what this one could not.
    std::fs::remove_file(ballast).unwrap();
    let next = again::Again::start(&daemon, &["--source", "simulate:calm"]);
    let is_it = |event: &Value| event["id"] == episode && event["open"] == false;
    let closed = daemon.wait_for_event("the episode, closed", is_it);
    assert_eq!(closed["interrupted"], "restart", "{closed}");
    assert_eq!(next.stop(), Some(0));
}

#[test]
fn a_recording_on_standard_input_that_says_nothing_holds_nothing_up() {
    let mut daemon = Daemon::start_with(Program::new(), "", &["--source", "replay:-"], Stdio::piped());
    daemon.wait_for_log("waiting for the source's first sample");
    stop(&mut daemon, libc::SIGTERM);
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGTERM"));
}

#[test]
fn a_recording_on_standard_input_that_stops_in_the_middle_holds_nothing_up() {
    let recording = recording("calm", 20);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut daemon =
        Daemon::start_with(Program::new(), "", &["--source", "replay:-", "--speed", "20"], reader.into());
    writer.write_all(&recording[..recording.len() - 10]).unwrap();
    let mut stream = daemon.stream();
    stream.find("the last whole document", |line| {
        let in_hello = line["ring"].as_array().and_then(|ring| ring.last());
        in_hello.unwrap_or(line)["seq"] == 19
    });
    stop(&mut daemon, libc::SIGTERM);
    assert_eq!(end_of_run(&daemon).as_deref(), Some("SIGTERM"));
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &THRASH);
    let episode = open_episode(&daemon);
    // The locked database would have it wait.
    let locker = Connection::open(daemon.data_dir().join("data.db")).unwrap();
    locker.busy_timeout(daemon::PATIENCE).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    daemon.signal(libc::SIGTERM);
    daemon.wait_for_log("stopping: SIGTERM");
    // Two in one go are one request, as the next test has it: one of these comes late enough.
    daemon.until("the end", || {
        daemon.signal(libc::SIGTERM);
        daemon.log().contains("stopped at once").then_some(())
    });
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
    nothing_is_left(&daemon);
    assert!(daemon.events().iter().any(|event| event["id"] == episode));
}

#[test]
fn a_request_that_comes_as_two_signals_is_one() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &THRASH);
    let episode = open_episode(&daemon);
    // As `timeout` does: its child, and then the process group.
    daemon.signal(libc::SIGTERM);
    daemon.stop(libc::SIGINT);
    assert!(!daemon.log().contains("stopped at once"), "{}", daemon.log());
    let events = daemon.events();
    let episode = events.iter().find(|event| event["id"] == episode).unwrap();
    assert_eq!((&episode["open"], &episode["interrupted"]), (&false.into(), &serde_json::Value::Null));
}

/// A recording of a simulation.
fn recording(scenario: &str, count: u32) -> Vec<u8> {
    let arguments =
        ["simulate", "--scenario", scenario, "--count", &count.to_string(), "--tasks", "20", "--no-wait"];
    let output = Program::new().command(&arguments).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn a_replay_that_ends_stops_the_daemon_cleanly_with_its_open_episode_closed() {
    let program = Program::new();
    let file = program.home().join("recording.plist");
    // 15 s of thrash end in the middle of its episode.
    std::fs::write(&file, recording("thrash", 150)).unwrap();
    let source = format!("replay:{}", file.display());
    let mut daemon = Daemon::start(program, "", &["--source", &source, "--speed", "max"]);
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
    nothing_is_left(&daemon);
    let events = daemon.events();
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["peak_tier"], "critical", "{events:#?}");
    all_is_closed(&daemon, events[0]["id"].as_u64().unwrap());
    assert_eq!(end_of_run(&daemon).as_deref(), Some("the recording ended"));
}

/// The thresholds that a hello tells.
fn thresholds(daemon: &Daemon) -> (u64, u64) {
    let hello = daemon.stream().next().unwrap();
    let points = |tier: &str| hello["thresholds"][tier].as_u64().unwrap();
    (points("elevated"), points("critical"))
}

#[test]
fn sighup_takes_new_thresholds() {
    // The machine is calm, at about ten points of its own, and nothing is on record.
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:calm", "--speed", "10"]);
    assert_eq!(thresholds(&daemon), (15, 50));
    daemon.write_config("[tiers]\nelevated = 1\n");
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("the configuration was read again");
    assert_eq!(thresholds(&daemon), (1, 50));
}

#[test]
fn sighup_with_a_bad_file_is_reported_and_the_old_configuration_stays() {
    let mut daemon = Daemon::start(Program::new(), &format!("{STAYS_OPEN}elevated = 20\n"), &THRASH);
    assert_eq!(thresholds(&daemon), (20, 50));
    daemon.write_config("[tiers]\nelevated = 30\nelevatde = 1\n");
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("the configuration was not taken; the old one stays in force");
    let log = daemon.log();
    assert!(
        log.contains("config.toml:3") && log.contains("elevatde"),
        "file, line and key are named:\n{log}"
    );
    assert_eq!(thresholds(&daemon), (20, 50));
    let episode = open_episode(&daemon);
    stop(&mut daemon, libc::SIGTERM);
    all_is_closed(&daemon, episode);
}
