//! What doctor says of a Mac in several states.

use std::net::TcpListener;

use serde_json::Value;

use crate::daemon::until;
use crate::install::{INSTALL, PLIST, done, machine};
use crate::machine::{HOME, LAUNCHD, Machine};

const DOCTOR: [&str; 3] = ["doctor", "--platform", "macos"];

/// What doctor finds: its exit code, and the checks by name.
struct Report {
    code: i32,
    checks: Vec<Value>,
}

impl Report {
    fn of(machine: &Machine) -> Self {
        let run = machine.run("alice", &[&DOCTOR[..], &["--json"]].concat());
        let report: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}{}", run.stdout, run.stderr));
        assert_eq!(report["ok"] == true, run.code == 0, "{report:#}");
        for check in report["checks"].as_array().unwrap() {
            let wants = matches!(check["outcome"].as_str(), Some("failed" | "warning"));
            assert!(!wants || check["fix"].is_string(), "what to do about it? {check:#}");
        }
        Self { code: run.code, checks: report["checks"].as_array().unwrap().clone() }
    }

    fn check(&self, name: &str) -> &Value {
        self.checks
            .iter()
            .find(|check| check["check"] == name)
            .unwrap_or_else(|| panic!("no {name}: {:#?}", self.checks))
    }

    fn is(&self, name: &str, outcome: &str, words: &str) {
        let check = self.check(name);
        let text = format!("{} {}", check["found"], check["fix"]);
        assert!(check["outcome"] == outcome && text.contains(words), "{check:#}");
    }
}

#[test]
fn of_a_mac_on_which_nothing_is_installed_it_says_what_to_do() {
    let Some(machine) = machine() else { return };
    let report = Report::of(&machine);
    assert_eq!(report.code, 1);
    report.is("system", "ok", "pause-monitor ");
    report.is("configuration", "ok", "config.toml is right");
    report.is("counters", "ok", "load ");
    report.is("service", "warning", "pause-monitor install");
    report.is("permission", "failed", "there is no /etc/sudoers.d/pause-monitor-");
    report.is("sampler flags", "ok", "knows its samplers");
    report.is("tailspin", "warning", "pause-monitor install --forensics");
    report.is("notifications", "ok", "notify-test");
    report.is("daemon", "failed", "pause-monitor install");
    report.is("samples", "failed", "/etc/sudoers.d");
    report.is("metrics", "warning", "nobody answers at http://127.0.0.1:9847/metrics");
    report.is("collector", "unknown", "[otlp] endpoint is not set");
    // For a person: a line each, the fix with it.
    let run = machine.run("alice", &DOCTOR);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert_eq!(run.stdout.lines().count(), report.checks.len(), "{}", run.stdout);
    let permission = run.stdout.lines().find(|line| line.contains(" permission ")).unwrap();
    assert!(
        permission.starts_with("failed ") && permission.ends_with(" -> pause-monitor install"),
        "{permission}"
    );
}

#[test]
fn of_a_mac_that_is_watched_it_says_so_with_rate_and_cost() {
    let Some(machine) = machine() else { return };
    let collector = "[otlp]\nendpoint = \"http://127.0.0.1:4318\"\n";
    machine.write(
        &format!("{HOME}/.config/pause-monitor/config.toml"),
        &format!("[source]\nkind = \"powermetrics\"\n{collector}"),
    );
    done(&machine, &[&INSTALL[..], &["--forensics"]].concat());
    until("complete samples", || {
        let run = machine.run("alice", &["status", "--json"]);
        let status: Value = serde_json::from_str(&run.stdout).ok()?;
        (status["degraded"] == false).then_some(())
    });
    let report = Report::of(&machine);
    report.is("service", "ok", "is loaded and runs");
    report.is("permission", "ok", "with exactly these arguments");
    report.is("tailspin", "ok", "sudo permits");
    report.is("data directory", "ok", "free");
    report.is("database", "ok", "opens");
    report.is("daemon", "ok", "runs with the source powermetrics");
    report.is("cost", "ok", "daemon ");
    report.is("cost", "ok", " resident");
    report.is("metrics", "ok", "complete samples arrive");
    report.is("collector", "warning", "127.0.0.1:4318 can't be reached");
    let samples = report.check("samples");
    assert!(samples["found"].as_str().unwrap().contains("100 ms nominal"), "{samples}");
    assert_eq!(report.code, 0, "{:#?}", report.checks);
}

#[test]
fn every_fault_is_found_and_has_a_fix() {
    let Some(machine) = machine() else { return };
    let config = format!("{HOME}/.config/pause-monitor/config.toml");
    done(&machine, &INSTALL);
    // Another interval, and nobody installed again.
    machine.write(&config, "[source]\nkind = \"powermetrics\"\n[powermetrics]\ninterval = \"200ms\"\n");
    let report = Report::of(&machine);
    report.is("permission", "failed", "permits another command");
    // An unknown sampler.
    machine.write(
        &config,
        "[source]\nkind = \"powermetrics\"\n[powermetrics]\ncommand = [\"/usr/bin/sudo\", \"-n\", \"/usr/bin/powermetrics\", \"--samplers\", \"tasks,smc\", \"-f\", \"plist\"]\n",
    );
    let report = Report::of(&machine);
    report.is("sampler flags", "failed", "unrecognized sampler: smc");
    // A configuration that is wrong.
    machine.write(&config, "[pause]\nmin_durations = 1\n");
    let report = Report::of(&machine);
    report.is("configuration", "failed", "min_durations");
    machine.write(&config, "[source]\nkind = \"powermetrics\"\n");
    // Modes, the service's file, the session.
    let data = format!("{HOME}/.local/share/pause-monitor");
    assert_eq!(machine.shell("alice", &format!("chmod 755 {data}; echo >>{PLIST}")).code, 0);
    machine.write(&format!("{LAUNCHD}/no-session"), "");
    let report = Report::of(&machine);
    report.is("data directory", "warning", "chmod 700");
    report.is("service", "warning", "is not what this version would write");
    report.is("notifications", "warning", "log in there");
    // A database that is none; something else at our address.
    done(&machine, &["uninstall", "--platform", "macos", "--yes"]);
    machine.write(
        &format!("{data}/data.db"),
        "this is no database, but it is long enough to be taken for one at a first look",
    );
    let report = Report::of(&machine);
    report.is("database", "failed", "start the daemon: it moves the damaged file aside");
}

#[test]
fn a_program_that_hangs_is_told_and_holds_nothing_up() {
    let Some(machine) = machine() else { return };
    machine.write("/hang", "#!/bin/sh\nexec sleep 600\n");
    let line = "chmod 755 /hang; ln -sf /hang /usr/bin/tailspin; ln -sf /hang /usr/bin/launchctl; mv /usr/bin/sudo /usr/bin/sudo.real; cp /hang /usr/bin/sudo";
    assert_eq!(machine.shell("root", line).code, 0);
    let report = Report::of(&machine);
    report.is("tailspin", "unknown", "did not answer within 5 s");
    report.is("notifications", "unknown", "did not answer within 5 s");
    report.is("samples", "failed", "no sample came in 10 s");
}

#[test]
fn nobody_asks_a_port_that_is_not_ours_for_long() {
    // A listener that takes connections and never answers: the daemon's address of another program.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let program = crate::program::Program::new();
    let config = program.home().join("c.toml");
    std::fs::write(
        &config,
        format!("[source]\nkind = \"simulate:calm\"\n[http]\nlisten = [\"{address}\"]\n"),
    )
    .unwrap();
    let run = program.run(&["doctor", "--json", "--config", config.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let metrics = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "metrics")
        .unwrap()
        .clone();
    assert_eq!(metrics["outcome"], "failed", "{metrics}");
    assert!(metrics["found"].as_str().unwrap().contains("something else is at"), "{metrics}");
}
