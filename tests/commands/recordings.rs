//! `analyze`: recordings through the engine.

use std::fs::{self, File};
use std::path::Path;

use serde_json::Value;

use crate::program::{Program, Run};
use crate::recorded::intervals_ms;
use crate::recording::{play, simulated};

/// The lines of `analyze --json`.
fn lines(program: &Program, recording: &Path) -> Vec<Value> {
    let Run { stdout, stderr, code } = program.run(&["analyze", "--json", recording.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// The interval that is a silence, and the median of the fifty before it: what was expected instead. ms.
fn silences(recording: &Path) -> Vec<(f64, f64)> {
    let intervals = intervals_ms(recording);
    let is_silence = |interval: &f64| *interval > 1_000.0;
    let found = intervals.iter().enumerate().filter(|(_, interval)| is_silence(interval));
    found
        .map(|(at, &silence)| {
            let mut before: Vec<f64> =
                intervals[..at].iter().copied().filter(|interval| !is_silence(interval)).collect();
            let mut last = before.split_off(before.len().saturating_sub(50));
            last.sort_by(f64::total_cmp);
            (silence, last[last.len() / 2])
        })
        .collect()
}

#[test]
fn a_simulated_freeze_is_found_as_long_as_its_silence_and_its_culprit_is_named() {
    let program = Program::new();
    let recording = simulated(&program, "freeze", &["--count", "600"]);
    let lines = lines(&program, &recording);
    let gaps = of_type(&lines, "gap");
    let silences = silences(&recording);
    assert_eq!((gaps.len(), silences.len()), (2, 2));
    for (gap, (silence, expected)) in gaps.iter().zip(silences) {
        assert_eq!((&gap["verdict"], &gap["certain"]), (&"pause".into(), &true.into()));
        let found = gap["duration_ms"].as_f64().unwrap();
        assert!((found - (silence - expected)).abs() < 3.0, "{found} of {silence} with {expected} expected");
        assert_eq!(gap["culprits"][0]["name"], "fileproviderd");
        assert!(gap["culprits"][0]["share"].as_f64().unwrap() > 0.8);
    }
}

#[test]
fn the_summary_adds_up() {
    let program = Program::new();
    let recording = simulated(&program, "freeze", &["--count", "330"]);
    let lines = lines(&program, &recording);
    let summary = lines.last().unwrap();
    assert_eq!(summary["type"], "summary");
    let intervals = intervals_ms(&recording);
    let total_s = intervals.iter().sum::<f64>() / 1e3;
    assert_eq!(summary["samples"], 330);
    assert_eq!(of_type(&lines, "sample").len(), 330);
    assert_eq!(of_type(&lines, "hello").len(), 0);
    assert!((summary["duration_s"].as_f64().unwrap() - total_s).abs() < 0.01, "{summary}");
    let tiers = summary["tiers"].as_object().unwrap();
    let in_tiers: f64 = tiers.values().map(|seconds| seconds.as_f64().unwrap()).sum();
    assert!((in_tiers - total_s).abs() < 0.01, "{summary}");
    assert_eq!(summary["gaps"], serde_json::json!({"pause": 1}));
    assert_eq!(summary["rejected"], serde_json::json!({}));
    let longest = intervals.iter().copied().fold(0.0, f64::max);
    assert!((summary["interval_ms"]["max"].as_f64().unwrap() - longest).abs() < 0.01, "{summary}");
    let peak = of_type(&lines, "sample").iter().map(|line| line["stress"]["total"].as_u64().unwrap()).max();
    assert_eq!(summary["peak_stress"].as_u64(), peak);
    let changes: Vec<(&str, &str)> = of_type(&lines, "tier")
        .iter()
        .map(|line| (line["from"].as_str().unwrap(), line["to"].as_str().unwrap()))
        .collect();
    assert_eq!(
        changes,
        [
            ("sentinel", "elevated"),
            ("elevated", "critical"),
            ("critical", "elevated"),
            ("elevated", "sentinel")
        ]
    );
    // Written as a person would: no 7.300000000000001.
    let text = summary.to_string();
    assert!(!text.contains("00000") && !text.contains("99999"), "{text}");
}

#[test]
fn the_report_is_for_a_person() {
    let program = Program::new();
    let recording = simulated(&program, "freeze", &["--count", "330"]);
    let Run { stdout, stderr, code } = program.run(&["analyze", recording.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for said in [
        "330 samples of Mac",
        "\ntiers     SENTINEL ",
        "\npeak      stress ",
        "\ngaps      1 pause\n",
        "fileproviderd",
    ] {
        assert!(stdout.contains(said), "{said:?} is missing:\n{stdout}");
    }
}

#[test]
fn the_four_stories_of_one_culprit_are_told_right() {
    let program = Program::new();
    for (scenario, culprit, tier) in [
        ("thrash", "mds_stores", "critical"),
        ("gpu", "com.apple.WebKit.GPU", "elevated"),
        ("io", "backupd", "elevated"),
        ("runaway", "mediaanalysisd", "critical"),
    ] {
        let recording = simulated(&program, scenario, &["--count", "70", "--interval-ms", "500"]);
        let data_dir = program.home().join(scenario);
        play(&program, &recording, &data_dir);
        let run =
            program.run(&["events", "--json", "--limit", "1", "--data-dir", data_dir.to_str().unwrap()]);
        let event = &serde_json::from_str::<Value>(&run.stdout).unwrap()[0];
        assert_eq!((&event["kind"], &event["peak_tier"]), (&"episode".into(), &tier.into()), "{scenario}");
        assert_eq!(event["culprits"][0]["name"], culprit, "{scenario}: {event}");
    }
}

#[test]
fn a_calm_machine_has_nothing_to_tell() {
    let program = Program::new();
    let recording = simulated(&program, "calm", &["--count", "100"]);
    let lines = lines(&program, &recording);
    assert!(of_type(&lines, "gap").is_empty() && of_type(&lines, "tier").is_empty());
    assert_eq!(lines.last().unwrap()["peak_stress"], 0);
}

#[test]
fn a_recording_on_standard_input_is_the_same_recording() {
    let program = Program::new();
    let recording = simulated(&program, "freeze", &["--count", "200"]);
    let file = program.run(&["analyze", "--json", recording.to_str().unwrap()]);
    let mut command = program.command(&["analyze", "--json", "-"]);
    let piped = Run::of(command.stdin(File::open(&recording).unwrap()));
    assert_eq!((piped.stdout == file.stdout, piped.code), (true, 0), "{}", piped.stderr);
}

#[test]
fn what_is_no_recording_is_a_failure_told_in_one_line() {
    let program = Program::new();
    let nonsense = program.home().join("nonsense");
    fs::write(&nonsense, "hello\n").unwrap();
    let zeros = program.home().join("zeros");
    fs::write(&zeros, vec![0; 3 << 20]).unwrap();
    let missing = program.home().join("missing");
    for (path, told) in [
        (nonsense.as_path(), "this is no recording: make one with `pause-monitor stream > FILE`"),
        (&zeros, "this is no recording"),
        (&missing, "No such file"),
        (program.home(), "is a directory"),
    ] {
        let path = path.to_str().unwrap();
        let run = program.run(&["analyze", path]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{path}");
        assert!(
            run.stderr.starts_with("pause-monitor: can't read ") && run.stderr.contains(told),
            "{}",
            run.stderr
        );
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        let source = format!("replay:{path}");
        let run = program.run(&["daemon", "--source", &source, "--log-level", "error"]);
        assert_eq!(run.code, 3, "the daemon's source can't start: {}", run.stderr);
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
}

#[test]
fn a_cut_off_document_is_counted_and_the_rest_is_read() {
    let program = Program::new();
    let recording = simulated(&program, "calm", &["--count", "5"]);
    let mut bytes = fs::read(&recording).unwrap();
    let second = bytes.iter().position(|&byte| byte == 0).unwrap() + 1;
    let third = second + bytes[second..].iter().position(|&byte| byte == 0).unwrap();
    bytes.drain(third - 500..=third);
    fs::write(&recording, bytes).unwrap();
    let lines = lines(&program, &recording);
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["samples"], &summary["rejected"]),
        (&4.into(), &serde_json::json!({"truncated": 1}))
    );
}

#[test]
fn a_file_without_a_sample_is_told_and_fails() {
    let program = Program::new();
    std::fs::write(program.home().join("empty"), "").unwrap();
    let run = program.run(&["analyze", "empty"]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (1, "pause-monitor: there is no sample in empty: is it a recording?\n")
    );
    std::fs::write(program.home().join("noise"), "{\"type\":\"sample\"}\n{{{{\n").unwrap();
    let run = program.run(&["analyze", "noise"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.stderr, "pause-monitor: there is no sample in noise: is it a recording?\n");
    assert!(run.stdout.starts_with("0 samples of an unnamed machine"), "{}", run.stdout);
}
