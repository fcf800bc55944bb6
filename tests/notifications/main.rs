//! Desktop notifications, shown by a real notification service.

// clippy.toml allows it in tests only, and takes the helpers here for none.
#![allow(clippy::unwrap_used)]
// The program refuses to run elsewhere in this way: macOS has no D-Bus.
#![cfg(target_os = "linux")]

#[path = "../support/daemon.rs"]
mod daemon;
mod desktop;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/program.rs"]
mod program;

use std::time::{Duration, Instant};

use daemon::{Daemon, is};
use desktop::Desktop;
use http::{scrape, series};
use program::Program;

/// A machine that is frozen again and again, ten times as fast.
fn frozen(program: Program, alerts: &str) -> Daemon {
    Daemon::start(program, alerts, &["--source", "simulate:freeze", "--speed", "10"])
}

fn count(daemon: &Daemon, kind: &str, outcome: &str) -> f64 {
    let name = format!("pause_monitor_notifications_total{{kind=\"{kind}\",outcome=\"{outcome}\"}}");
    series(&scrape(daemon))[name.as_str()]
}

#[test]
fn a_banner_is_shown_when_critical_is_entered_and_after_a_pause_once_per_cooldown() {
    let Some(desktop) = Desktop::new() else { return };
    let daemon = frozen(desktop.program(), "[alerts]\ncooldown = \"1h\"\n");
    let pauses = daemon.until("three pauses", || {
        let pauses: Vec<_> = daemon.events().into_iter().filter(|event| event["kind"] == "pause").collect();
        (pauses.len() >= 3 && count(&daemon, "critical_entered", "held_back") >= 1.0).then_some(pauses)
    });
    daemon
        .until("what was held back", || (count(&daemon, "pause_detected", "held_back") >= 2.0).then_some(()));
    let shown = desktop.shown();
    let of = |start: &str| shown.iter().filter(|one| one.summary.starts_with(start)).collect::<Vec<_>>();
    let first = pauses.last().unwrap();
    let culprit = first["culprits"][0]["name"].as_str().unwrap();
    let [critical] = of("Stress is critical")[..] else { panic!("{shown:?}") };
    assert!(critical.formatted.contains("Stress "), "{critical:?}");
    // One is the test's own.
    let [_, pause] = of("Pause of ")[..] else { panic!("{shown:?}") };
    assert!(pause.summary.ends_with(&format!(": {culprit} (simulated)")), "{pause:?}");
    assert!(pause.formatted.contains(&format!("pause-monitor events show {}", first["id"])), "{pause:?}");
    for kind in ["critical_entered", "pause_detected"] {
        assert_eq!((count(&daemon, kind, "ok"), count(&daemon, kind, "failed")), (1.0, 0.0));
    }
}

#[test]
fn what_was_held_back_is_summed_up_in_the_next() {
    let Some(desktop) = Desktop::new() else { return };
    // A cycle is some 4 s.
    let daemon = frozen(desktop.program(), "[alerts]\ncooldown = \"6s\"\n");
    daemon.until("a sum", || {
        let shown = desktop.shown();
        shown.iter().any(|one| one.formatted.contains("And one more before it, the longest ")).then_some(())
    });
}

#[test]
fn a_service_that_hangs_holds_up_neither_samples_nor_the_end() {
    let Some(desktop) = Desktop::new() else { return };
    desktop.hang();
    let mut daemon = frozen(desktop.program(), "[alerts]\ncooldown = \"0s\"\nelevated_entered = true\n");
    let mut stream = daemon.stream();
    // As many wait as can: at the end there is more than half a minute of it.
    daemon.until("a notification that nobody took, and one for which there is no room", || {
        let all = |outcome| {
            let kinds = ["pause_detected", "critical_entered", "elevated_entered"];
            kinds.iter().map(|kind| count(&daemon, kind, outcome)).sum::<f64>()
        };
        (all("timeout") >= 1.0 && all("held_back") >= 1.0).then_some(())
    });
    daemon.wait_for_log("the notification service did not answer within 5 s");
    // No sample waits for it, which hangs for five seconds each time. Once the machine itself may have stood still.
    let mut held_up = Vec::new();
    let mut last = Instant::now();
    for _ in 0..600 {
        stream.find("a sample", |line| is(line, "sample"));
        held_up.extend(Some(last.elapsed()).filter(|apart| *apart >= Duration::from_secs(4)));
        last = Instant::now();
    }
    assert!(held_up.len() <= 1, "{held_up:?} between two samples");
    daemon.stop(libc::SIGTERM);
}

#[test]
fn other_kinds_are_shown_where_they_are_wanted_with_the_sound_that_is_wanted() {
    let Some(desktop) = Desktop::new() else { return };
    let Some(listener) = desktop.listen() else { return };
    let program = desktop.program();
    let sampler = program.home().join("sampler");
    let config = format!(
        "[source]\nkind = \"powermetrics\"\n[powermetrics]\ncommand = [{sampler:?}]\n\
         [alerts]\nelevated_entered = true\nforensics_completed = true\nsound = \"dialog-warning\"\n"
    );
    // A source that can't start, then an outage, then a freeze.
    let mut daemon = Daemon::start(program, &config, &["--allow-degraded"]);
    let shown = |start: &str| {
        daemon.until(start, || desktop.shown().into_iter().find(|one| one.summary.starts_with(start)))
    };
    let down = shown("The monitor's source is down");
    assert!(down.formatted.contains("The source powermetrics is down: "), "{down:?}");
    let heard = listener.heard();
    let call = heard.rsplit("member=Notify").next().unwrap();
    let (_, sound) = call.split_once("string \"sound-name\"").unwrap_or_else(|| panic!("no sound: {call}"));
    assert!(sound.trim_start().starts_with("variant             string \"dialog-warning\""), "{sound}");

    daemon.kill();
    let database = rusqlite::Connection::open(daemon.data_dir().join("data.db")).unwrap();
    database.execute("UPDATE runs SET boot_id = 'another'", []).unwrap();
    drop(database);
    daemon.restart(&["--source", "simulate:freeze", "--speed", "10"]);
    let shown = |start: &str| {
        daemon.until(start, || desktop.shown().into_iter().find(|one| one.summary.starts_with(start)))
    };
    let outage = shown("The machine went down while it was watched");
    assert!(outage.formatted.contains("pause-monitor events show "), "{outage:?}");
    shown("Stress is elevated");
    let gathered = shown("Evidence is gathered");
    assert!(gathered.formatted.contains("Evidence of the pause of 2."), "{gathered:?}");
}

#[test]
fn notify_test_says_what_came_of_it() {
    let Some(desktop) = Desktop::new() else { return };
    let run = desktop.program().run(&["notify-test"]);
    assert!(run.stdout.starts_with("taken by dunst "), "{run:?}");
    let run = desktop.program().run(&["notify-test", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&json["outcome"], &json["why"]), (&"ok".into(), &serde_json::Value::Null));
    desktop.hang();
    let run = desktop.program().run(&["notify-test"]);
    assert_eq!(run.stderr, "pause-monitor: not shown: the notification service did not answer within 5 s\n");
    assert_eq!(run.code, 1);
    let Some(bare) = Desktop::bare() else { return };
    let run = bare.program().run(&["notify-test"]);
    assert!(run.stderr.ends_with("; start a notification service, such as dunst\n"), "{run:?}");
    assert_eq!((run.stderr.lines().count(), run.code), (1, 1));
    let run = Program::new().run(&["notify-test"]);
    let expected =
        "pause-monitor: not shown: no desktop session: DBUS_SESSION_BUS_ADDRESS is not set, and there is no ";
    assert!(run.stderr.starts_with(expected), "{run:?}");
}

#[test]
fn without_a_desktop_it_is_said_once_and_counted_each_time() {
    let daemon = frozen(Program::new(), "[alerts]\ncooldown = \"0s\"\n");
    daemon.until("failures", || (count(&daemon, "pause_detected", "failed") >= 2.0).then_some(()));
    let log = daemon.log();
    assert_eq!(log.matches("not notified: no desktop session").count(), 1, "{log}");
    assert!(log.contains("[alerts] turns it off"), "{log}");
    // Turned off, none is tried.
    daemon.write_config("[alerts]\npause_detected = false\ncritical_entered = false\ncooldown = \"0s\"\n");
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("thresholds, alerts and hooks hold from now on");
    let before = count(&daemon, "pause_detected", "failed");
    let pauses = daemon.events().len();
    daemon.until("more pauses", || (daemon.events().len() >= pauses + 4).then_some(()));
    let after = count(&daemon, "pause_detected", "failed");
    assert!(after <= before + 1.0, "one may have been under way: {before} -> {after}");
}
