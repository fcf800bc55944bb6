//! Evidence when the disk is full, when the daemon is killed, and when it is told to stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE, signal};
use crate::evidence::{CONFIG, NAMES, capture, gathered};
use crate::executable::install;
use crate::http::{scrape, series};
use crate::mount::Mount;
use crate::pauses::{STUCK, Stuck, daemon, pause};
use crate::program::Program;

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn on_a_full_disk_captures_fail_with_the_reason_and_leave_no_half_files_and_samples_come_on_time() {
    let Some(mount) = Mount::new() else { return };
    let program = Program::new();
    // Evidence goes to the small disk; the database stays where there is room, so that it can be told.
    let events = program.home().join("data/events");
    fs::create_dir_all(events.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(mount.path(), &events).unwrap();
    let Some((daemon, mut stream, freezer)) = daemon(program, CONFIG) else { return };
    mount.fill();
    let event = gathered(&daemon, &pause(&freezer, &mut stream));
    for name in ["ring", "vmstat", "processes"] {
        let one = capture(&event, name);
        assert_eq!((&one["outcome"], &one["path"]), (&"failed".into(), &Value::Null), "{one}");
        assert!(one["detail"].as_str().unwrap().contains("No space left on device"), "{one}");
    }
    let directory = mount.path().join(event["id"].to_string());
    // An empty capture may fit.
    for file in files(&directory) {
        assert_eq!(fs::metadata(directory.join(&file)).unwrap().len(), 0, "{file}");
        assert!(!file.ends_with(".part"), "{file}");
    }
    let counted = series(&scrape(&daemon));
    // A machine that is busy with other things may have its own.
    assert!(counted["pause_monitor_gaps_total{verdict=\"stall\"}"] <= 2.0, "{}", daemon.log());
    assert_eq!(counted["pause_monitor_output_messages_dropped_total{output=\"handover\"}"], 0.0);
}

#[test]
fn what_a_killed_daemon_had_gathered_is_recorded_by_the_next() {
    let program = Program::new();
    let Some((mut daemon, mut stream, freezer)) = daemon(program, CONFIG) else { return };
    let gap = pause(&freezer, &mut stream);
    let events = daemon.data_dir().join("events");
    // Whichever moment this hits, all that is there afterwards is told.
    daemon.until("the ring", || {
        let rings = files(&events).into_iter().map(|name| events.join(name).join("ring.jsonl"));
        rings.into_iter().any(|ring| ring.is_file()).then_some(())
    });
    daemon.kill();
    drop(freezer);
    daemon.restart(&["--source", "linux"]);
    let event = gathered(&daemon, &gap);
    assert_eq!(capture(&event, "ring")["outcome"], "saved", "{event}");
    for name in NAMES {
        let one = capture(&event, name);
        assert_eq!(one["outcome"] == "saved", one["path"].is_string(), "{one}");
        if let Some(path) = one["path"].as_str() {
            assert!(Path::new(path).is_file(), "{one}");
        }
    }
    let unplaced = format!(".{}-", gap["event"]);
    assert!(!files(&events).iter().any(|name| name.starts_with(&unplaced)), "{:?}", files(&events));
    let kept = files(&events.join(event["id"].to_string()));
    assert!(!kept.iter().any(|file| file.ends_with(".part")), "{kept:?}");
}

#[test]
fn a_daemon_that_is_told_to_stop_right_after_a_pause_records_what_it_has() {
    let Some((mut daemon, mut stream, freezer)) = daemon(Program::new(), CONFIG) else { return };
    let gap = pause(&freezer, &mut stream);
    let begin = std::time::Instant::now();
    assert!(signal(daemon.pid(), libc::SIGTERM));
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
    assert!(begin.elapsed() < PATIENCE / 2);
    let event = daemon.events().into_iter().find(|event| event["id"] == gap["event"]).unwrap();
    assert_eq!(capture(&event, "ring")["outcome"], "saved", "{event}\n{}", daemon.log());
    for one in event["forensics"].as_array().unwrap() {
        let stopped = one["outcome"] == "failed" && one["detail"] == "the daemon stopped";
        assert!(stopped || one["outcome"] == "saved" || one["outcome"] == "not available", "{one}");
    }
}

#[test]
fn whoever_is_not_root_is_told_what_that_costs_and_gets_the_rest() {
    // SAFETY: it takes nothing and always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        println!("passed over: only root can become somebody else");
        return;
    }
    let stuck = Stuck::start();
    // Where it was built nobody else may be let in.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("pause-monitor");
    install(Path::new(env!("CARGO_BIN_EXE_pause-monitor")), &program);
    let capture = |name: &str| {
        let arguments = ["capture", name, "--config", "/dev/null", "--data-dir", "/"];
        let output = Command::new(&program).args(arguments).uid(65_534).gid(65_534).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, blocked, said) = capture("blocked");
    drop(stuck);
    assert_eq!(code, 0, "{said}");
    assert!(blocked.contains(STUCK), "{blocked}");
    assert!(said.contains("; kernel stacks need root"), "{said}");
    let restricted = fs::read_to_string("/proc/sys/kernel/dmesg_restrict").is_ok_and(|on| on.trim() == "1");
    if restricted && Path::new("/dev/kmsg").exists() {
        let (code, log, said) = capture("kernel_log");
        assert_eq!((code, log.as_str()), (77, ""), "{said}");
        assert!(said.contains("not permitted"), "{said}");
    }
}

#[test]
fn turned_off_nothing_is_gathered() {
    let config = "[forensics]\nenabled = false\n";
    let daemon = Daemon::start(Program::new(), config, &["--source", "simulate:freeze", "--speed", "20"]);
    let event = daemon.wait_for_event("a pause", |event| event["kind"] == "pause");
    assert_eq!(event["forensics"], Value::Array(Vec::new()));
    assert!(!daemon.data_dir().join("events").exists());
}
