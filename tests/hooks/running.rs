//! The daemon with hooks of every kind.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::daemon::{Daemon, is};
use crate::http::{scrape, series};
use crate::program::Program;
use crate::server::{Reply, Server};

/// A machine that is frozen again and again, ten times as fast.
pub(crate) const FROZEN: [&str; 4] = ["--source", "simulate:freeze", "--speed", "10"];

/// A hook that adds each payload to a file, as a line.
pub(crate) fn notes(name: &str, on: &str, file: &Path, keys: &str) -> String {
    let file = file.display();
    let script = format!("cat >> {file}; echo >> {file}");
    format!("[[hooks]]\nname = \"{name}\"\non = {on}\ncommand = [\"sh\", \"-c\", \"{script}\"]\n{keys}\n")
}

pub(crate) fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn runs(daemon: &Daemon, hook: &str, outcome: &str) -> f64 {
    let name = format!("pause_monitor_hook_runs_total{{hook=\"{hook}\",outcome=\"{outcome}\"}}");
    series(&scrape(daemon)).get(&name).copied().unwrap_or(f64::NAN)
}

#[test]
fn a_freeze_is_told_with_its_event_on_record_and_states_fire_and_resolve() {
    let program = Program::new();
    let file = program.home().join("notes");
    let on = "[\"pause\", \"critical\", \"elevated\", \"recovered\"]";
    let daemon = Daemon::start(program, &notes("n", on, &file, ""), &FROZEN);
    let told = daemon.until("a whole episode", || {
        let told = lines(&file);
        told.iter().any(|one| one["event"] == "recovered").then_some(told)
    });
    let order: Vec<String> = told
        .iter()
        .map(|one| format!("{} {}", one["event"].as_str().unwrap(), one["status"].as_str().unwrap()))
        .take_while(|one| one != "recovered event")
        .collect();
    for one in ["elevated firing", "critical firing", "pause event", "critical resolved", "elevated resolved"]
    {
        assert!(order.iter().any(|told| told == one), "{one}: {order:?}");
    }
    assert_eq!((order[0].as_str(), order.last().unwrap().as_str()), ("elevated firing", "elevated resolved"));
    let pause = told.iter().find(|one| one["event"] == "pause").unwrap();
    let event = daemon.wait_for_event("the pause", |event| event["id"] == pause["id"]);
    assert_eq!(
        (&event["kind"], &pause["stored"], &event["incident"]),
        (&"pause".into(), &true.into(), &pause["incident"])
    );
    assert_eq!(pause["culprits"][0]["name"], event["culprits"][0]["name"]);
    assert!(runs(&daemon, "n", "ok") >= 6.0);
}

#[test]
fn hooks_that_hang_fork_flood_fail_and_vanish_hold_up_neither_samples_nor_each_other_nor_the_end() {
    let program = Program::new();
    let file = program.home().join("notes");
    let pids = program.home().join("pids");
    let silent = Server::new(&[Reply::Silence]);
    let hook = |name: &str, keys: &str| {
        format!("[[hooks]]\nname = \"{name}\"\non = [\"pause\", \"critical\"]\n{keys}\n")
    };
    let config = [
        notes("well", "[\"pause\"]", &file, ""),
        hook(
            "hangs",
            &format!(
                "timeout = \"5m\"\ncommand = [\"sh\", \"-c\", \"echo $$ >> {}; sleep 300\"]",
                pids.display()
            ),
        ),
        hook("forks", "timeout = \"1s\"\ncommand = [\"sh\", \"-c\", \"sleep 300 &\"]"),
        hook("floods", "command = [\"sh\", \"-c\", \"head -c 9000000 /dev/zero | tr '\\\\0' x\"]"),
        hook("fails", "command = [\"false\"]"),
        hook("vanished", "command = [\"/nowhere/hook\"]"),
        hook("silent", &format!("timeout = \"500ms\"\nretries = 1\nwebhook = \"{}\"", silent.url("/"))),
        hook("nobody", "retries = 1\nwebhook = \"http://127.0.0.1:1/\""),
    ]
    .concat();
    let mut daemon = Daemon::start(program, &config, &FROZEN);
    let mut stream = daemon.stream();
    let mut last = 0;
    let mut follow = |enough: &dyn Fn() -> bool| {
        let mut count = 0;
        while !enough() {
            for _ in 0..20 {
                let line = stream.next().unwrap();
                assert!(!is(&line, "lagged"), "{line}");
                if is(&line, "sample") {
                    let seq = line["seq"].as_u64().unwrap();
                    assert!(last == 0 || seq == last + 1, "{last}, then {seq}");
                    last = seq;
                    count += 1;
                }
            }
        }
        count
    };
    let all = || {
        lines(&file).len() >= 2
            && runs(&daemon, "forks", "ok") >= 1.0
            && runs(&daemon, "floods", "ok") >= 1.0
            && runs(&daemon, "fails", "failed") >= 1.0
            && runs(&daemon, "vanished", "failed") >= 1.0
            && runs(&daemon, "silent", "timeout") >= 1.0
            && runs(&daemon, "nobody", "failed") >= 1.0
    };
    let deadline = Instant::now() + crate::daemon::PATIENCE;
    let followed = follow(&|| {
        assert!(Instant::now() < deadline, "it takes too long:\n{}\n{}", scrape(&daemon), daemon.log());
        all()
    });
    assert!(followed > 0);
    let text = scrape(&daemon);
    for (name, value) in series(&text) {
        assert!(!name.contains("messages_dropped_total") || value == 0.0, "{name} {value}");
    }
    assert_eq!(runs(&daemon, "hangs", "ok"), 0.0);
    let log = daemon.log();
    assert!(log.contains("hook vanished: ") && log.contains("/nowhere/hook does not exist"), "{log}");
    daemon.stop(libc::SIGTERM);
    let log = daemon.log();
    assert!(log.contains("hook hangs: ") && log.contains("is cut off: the daemon stops"), "{log}");
    for pid in fs::read_to_string(&pids).unwrap().lines().map(|pid| pid.parse::<i32>().unwrap()) {
        crate::daemon::until("the end of what hung", || (!crate::daemon::signal(-pid, 0)).then_some(()));
    }
}

#[test]
fn every_outcome_is_there_from_the_start_and_hooks_are_read_again() {
    let program = Program::new();
    let (first, second) = (program.home().join("first"), program.home().join("second"));
    let config = notes("one", "[\"pause\"]", &first, "cooldown = \"1h\"");
    let daemon = Daemon::start(program, &config, &FROZEN);
    daemon.until("its series", || runs(&daemon, "one", "ok").is_finite().then_some(()));
    for outcome in ["ok", "failed", "timeout", "refused", "held_back", "dropped"] {
        assert!(runs(&daemon, "one", outcome).is_finite(), "{outcome}");
    }
    daemon.until("one that is held back", || (runs(&daemon, "one", "held_back") >= 1.0).then_some(()));
    assert_eq!((lines(&first).len(), runs(&daemon, "one", "ok")), (1, 1.0));

    daemon.write_config(&notes("two", "[\"pause\"]", &second, "min_duration = \"1ms\""));
    daemon.signal(libc::SIGHUP);
    daemon.until("the other hook", || (runs(&daemon, "two", "ok") >= 1.0).then_some(()));
    assert!(runs(&daemon, "one", "ok").is_nan(), "its series are gone");
    assert!(!lines(&second).is_empty() && lines(&first).len() == 1);

    daemon.write_config("[[hooks]]\nname = \"three\"\n");
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("hooks.on is missing");
    daemon.wait_for_log("the old one stays in force");
    let before = lines(&second).len();
    daemon.until("another run of it", || (lines(&second).len() > before).then_some(()));
}

#[test]
fn a_live_sampler_and_the_heartbeat_are_on_time_whatever_hooks_do() {
    let program = Program::new();
    let silent = Server::new(&[Reply::Silence]);
    let hook = |name: &str, keys: &str| {
        format!("[[hooks]]\nname = \"{name}\"\non = [\"critical\", \"elevated\"]\n{keys}\n")
    };
    let sampler = [env!("CARGO_BIN_EXE_pause-monitor"), "simulate", "--scenario", "thrash", "--tasks", "50"];
    let config = [
        format!("[source]\nkind = \"powermetrics\"\n[powermetrics]\ncommand = {sampler:?}\n"),
        "[pause]\nmin_duration = \"3s\"\n".to_owned(),
        hook("hangs", "timeout = \"5m\"\ncommand = [\"sleep\", \"300\"]"),
        hook("floods", "command = [\"sh\", \"-c\", \"head -c 60000000 /dev/zero | tr '\\\\0' x\"]"),
        hook("silent", &format!("timeout = \"8s\"\nretries = 0\nwebhook = \"{}\"", silent.url("/"))),
    ]
    .concat();
    let daemon = Daemon::start(program, &config, &[""; 0]);
    daemon.until("hooks that are under way or over", || {
        (runs(&daemon, "floods", "ok") >= 2.0 && runs(&daemon, "silent", "timeout") >= 1.0).then_some(())
    });
    let text = scrape(&daemon);
    let series = series(&text);
    // What this machine does besides may delay a sample; a hook that hangs would hold it up for longer.
    for (name, bound) in [("sample_interval_seconds", "5"), ("heartbeat_delay_seconds", "5")] {
        let all = series[format!("pause_monitor_{name}_count").as_str()];
        let in_time = series[format!("pause_monitor_{name}_bucket{{le=\"{bound}\"}}").as_str()];
        assert!(
            all > 50.0 && in_time == all,
            "{in_time} of {all} within {bound} s: {name}\n{}",
            daemon.log()
        );
    }
    for verdict in ["stall", "pause"] {
        assert_eq!(
            series[format!("pause_monitor_gaps_total{{verdict=\"{verdict}\"}}").as_str()],
            0.0,
            "{}",
            daemon.log()
        );
    }
    assert_eq!(runs(&daemon, "hangs", "ok"), 0.0);
}
