//! The rules as files: they parse, their own tests pass, and no alert lacks what somebody who is woken by it needs.

use std::path::Path;
use std::process::Command;

use crate::files::{repository, text};
use crate::peer::peer;

/// The list.
const ALERTS: [&str; 10] = [
    "PauseMonitorPause",
    "PauseMonitorPausesFrequent",
    "PauseMonitorCriticalStress",
    "PauseMonitorDaemonDown",
    "PauseMonitorSamplerStalled",
    "PauseMonitorDegradedSamples",
    "PauseMonitorOutboxGrowing",
    "PauseMonitorStoreErrors",
    "PauseMonitorHookFailing",
    "PauseMonitorConfigReloadFailed",
];
const RULES: &str = "deploy/prometheus/pause-monitor.rules.yml";
const TESTS: &str = "deploy/prometheus/tests/alerts.test.yml";

/// Runs a program; what it printed, where it was content.
fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(repository("")).output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {printed}");
    printed
}

/// The alerts of the rules' file, each with the lines of its definition.
fn alerts() -> Vec<(String, String)> {
    let rules = text(RULES);
    let definitions = rules.split("- alert: ").skip(1);
    definitions.map(|one| (one.lines().next().unwrap().to_owned(), one.to_owned())).collect()
}

#[test]
fn the_rules_are_valid_and_do_what_their_tests_say() {
    let Some(promtool) = peer(&["promtool"], "prometheus") else { return };
    assert!(run(&promtool, &["check", "rules", RULES]).contains("18 rules found"));
    assert!(run(&promtool, &["test", "rules", TESTS]).contains("SUCCESS"));
}

#[test]
fn each_alert_is_there_and_is_tested_to_fire_and_not_to() {
    assert_eq!(alerts().iter().map(|(name, _)| name).collect::<Vec<_>>(), ALERTS.iter().collect::<Vec<_>>());
    let tests = text(TESTS);
    for alert in ALERTS {
        let quiet = format!("alertname: {alert}, exp_alerts: []");
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels:");
        assert!(tests.contains(&quiet), "no test says when {alert} does not fire");
        assert!(tests.contains(&fires), "no test says when {alert} fires");
    }
}

#[test]
fn each_alert_says_what_is_wrong_and_names_a_page_that_exists() {
    let index = text("docs/runbooks/README.md");
    for (name, definition) in alerts() {
        let severity = definition.split_once("severity: ").unwrap().1.lines().next().unwrap();
        assert!(["info", "warning", "critical"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary: ", "description: "] {
            assert!(definition.contains(annotation), "{name} has no {annotation}");
        }
        let page = format!("docs/runbooks/{name}.md");
        assert!(definition.contains(&format!("runbook_url: {page}\n")), "{name}");
        let text = text(&page);
        assert!(text.starts_with(&format!("# {name}\n")), "{page}");
        for part in ["**What it means.**", "## What to look at", "## What to do"] {
            assert!(text.contains(part), "{page} lacks {part}");
        }
        assert!(index.contains(&format!("[{name}]({name}.md) | {severity} |")), "the index lacks {name}");
    }
}
