//! States that end with the daemon, or after it: whoever was told that they began is told that they ended. And what was
//! told is on record.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::daemon::{Daemon, signal, until};
use crate::program::Program;
use crate::running::{FROZEN, lines, notes};

/// A hook's notes of these events, in a file beside the daemon's directories.
fn with_notes(on: &str, keys: &str) -> (Program, PathBuf, String) {
    let program = Program::new();
    let file = program.home().join("notes");
    let config = notes("n", on, &file, keys);
    (program, file, config)
}

/// Waits for one that is told.
fn told(daemon: &Daemon, file: &Path, event: &str, status: &str) -> Value {
    daemon.until(&format!("{event} {status}"), || find(file, event, status))
}

fn find(file: &Path, event: &str, status: &str) -> Option<Value> {
    lines(file).into_iter().find(|one| one["event"] == event && one["status"] == status)
}

const STATES: &str = "[\"critical\", \"elevated\", \"recovered\"]";

#[test]
fn the_ends_of_states_are_told_when_the_daemon_stops_and_nothing_has_recovered() {
    let (program, file, config) = with_notes(STATES, "cooldown = \"1h\"");
    let mut daemon = Daemon::start(program, &config, &FROZEN);
    // The cooldown holds the beginning of CRITICAL back, and so its end; the other hook has none.
    let firing = told(&daemon, &file, "elevated", "firing");
    daemon.until("CRITICAL", || daemon.log().contains("elevated -> critical").then_some(()));
    daemon.stop(libc::SIGTERM);
    let resolved = find(&file, "elevated", "resolved").unwrap_or_else(|| panic!("{}", daemon.log()));
    assert_eq!((&resolved["incident"], &resolved["id"]), (&firing["incident"], &firing["id"]));
    assert_eq!(resolved["stored"], true, "the row has its end");
    assert!(resolved["duration_s"].as_f64().unwrap() > 0.0);
    assert!(find(&file, "critical", "resolved").is_none() && find(&file, "recovered", "event").is_none());
}

#[test]
fn after_a_kill_the_next_run_tells_the_ends() {
    let (program, file, config) = with_notes(STATES, "");
    let config = format!("[tiers]\ndeescalation = \"10m\"\n{config}");
    let mut daemon = Daemon::start(program, &config, &FROZEN);
    let firing = told(&daemon, &file, "critical", "firing");
    daemon.kill();
    assert!(find(&file, "critical", "resolved").is_none());
    daemon.restart(&["--source", "simulate:calm"]);
    for event in ["critical", "elevated"] {
        let resolved = told(&daemon, &file, event, "resolved");
        assert_eq!((&resolved["incident"], &resolved["id"]), (&firing["incident"], &firing["id"]));
    }
}

#[test]
fn a_source_that_is_down_is_told_of_to_the_end_of_the_watch() {
    let (program, file, config) = with_notes("[\"source_down\", \"source_up\"]", "");
    let sampler = program.home().join("sampler");
    let config =
        format!("[source]\nkind = \"powermetrics\"\n[powermetrics]\ncommand = [{sampler:?}]\n{config}");
    let mut daemon = Daemon::start(program, &config, &["--allow-degraded"]);
    let firing = told(&daemon, &file, "source_down", "firing");
    assert!(firing["summary"].as_str().unwrap().contains("the source powermetrics is down: "), "{firing}");
    assert_eq!((&firing["id"], &firing["stored"]), (&Value::Null, &Value::Null));
    daemon.stop(libc::SIGTERM);
    let resolved = find(&file, "source_down", "resolved").unwrap_or_else(|| panic!("{}", daemon.log()));
    assert_eq!(resolved["incident"], firing["incident"]);
    assert!(find(&file, "source_up", "event").is_none());
}

#[test]
fn what_was_announced_survives_a_kill_at_that_very_moment() {
    // The hook itself kills the daemon that tells it.
    let (program, file, _) = with_notes("[\"pause\"]", "");
    let script = format!("cat > {}; kill -9 $PPID", file.display());
    let config =
        format!("[[hooks]]\nname = \"n\"\non = [\"pause\"]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n");
    let mut daemon = Daemon::start(program, &config, &FROZEN);
    assert_eq!(daemon.wait(), 128 + libc::SIGKILL, "{}", daemon.log());
    let pause = &lines(&file)[0];
    assert_eq!(pause["stored"], true);
    let events = daemon.events();
    let stored =
        events.iter().find(|event| event["id"] == pause["id"]).unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!((&stored["kind"], &stored["incident"]), (&"pause".into(), &pause["incident"]));
}

#[test]
fn where_the_disk_does_not_answer_it_is_told_that_it_is_not_stored() {
    let (program, file, config) = with_notes("[\"pause\"]", "");
    let daemon = Daemon::start(program, &config, &FROZEN);
    daemon.wait_for_log("sentinel -> elevated");
    let other = rusqlite::Connection::open(daemon.data_dir().join("data.db")).unwrap();
    other.busy_timeout(crate::daemon::PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // One may have come before.
    let pause = daemon
        .until("one that is not stored", || lines(&file).into_iter().find(|pause| pause["stored"] == false));
    drop(other);
    daemon.wait_for_event("the pause, later", |event| event["id"] == pause["id"]);
}

#[test]
fn an_outage_is_told_once_by_the_run_that_finds_it() {
    let (program, file, config) = with_notes("[\"outage\"]", "");
    let mut daemon = Daemon::start(program, &config, &["--source", "simulate:calm"]);
    daemon.wait_for_log("watching with the source");
    daemon.kill();
    // The machine started anew since.
    let database = rusqlite::Connection::open(daemon.data_dir().join("data.db")).unwrap();
    assert_eq!(database.execute("UPDATE runs SET boot_id = 'another'", []).unwrap(), 1);
    drop(database);
    daemon.restart(&["--source", "simulate:calm"]);
    let outage = told(&daemon, &file, "outage", "event");
    let event = daemon.wait_for_event("the outage", |event| event["kind"] == "outage");
    assert_eq!((&outage["id"], &outage["incident"]), (&event["id"], &event["incident"]));
    assert_eq!((&outage["stored"], &outage["duration_s"]), (&true.into(), &Value::Null));
    assert!(outage["summary"].as_str().unwrap().starts_with("the machine went down while it was watched"));
    daemon.restart(&["--source", "simulate:calm"]);
    daemon.until("its third start", || daemon.last_log().contains("watching with the source").then_some(()));
    assert_eq!(lines(&file).len(), 1);
}

#[test]
fn a_second_request_to_stop_leaves_no_hook_running() {
    let program = Program::new();
    let pids = program.home().join("pids");
    let script = format!("echo $$ >> {}; sleep 300", pids.display());
    let config = format!(
        "[[hooks]]\nname = \"hangs\"\non = [\"elevated\"]\ntimeout = \"5m\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n"
    );
    let mut daemon = Daemon::start(program, &config, &FROZEN);
    let pid: i32 = daemon.until("the hook", || fs::read_to_string(&pids).ok()?.trim().parse().ok());
    // The first alone would give it its share of the shutdown.
    daemon.until("the end", || {
        daemon.signal(libc::SIGTERM);
        daemon.log().contains("stopped at once").then_some(())
    });
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
    until("the hook's end", || (!signal(-pid, 0)).then_some(()));
}
