//! `/metrics`: every family, and that it says what the socket and the store say.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::daemon::{Daemon, is};
use crate::http::{get, scrape, series};
use crate::program::Program;

/// Samples of the recording below.
const SAMPLES: f64 = 260.0;

/// A document that is cut off, and a freeze of a simulated machine.
fn recording(program: &Program) -> Vec<u8> {
    let path = program.home().join("freeze.plist");
    let arguments = ["simulate", "--scenario", "freeze", "--no-wait", "--tasks", "12", "--count", "260"];
    let start = ["--start", "2026-02-03T04:05:06Z"];
    let words: Vec<&str> = arguments.iter().chain(&start).copied().collect();
    let status = program.command(&words).stdout(File::create(&path).unwrap()).status().unwrap();
    assert!(status.success());
    let whole = fs::read(&path).unwrap();
    [&whole[..2_000], &whole[..]].concat()
}

/// What differs from run to run, replaced by `…`.
fn normalised(text: &str) -> String {
    const VARY: [&str; 4] = [
        "process_",
        "pause_monitor_build_info",
        "pause_monitor_config_last_reload_success_timestamp_seconds",
        "pause_monitor_store_size_bytes",
    ];
    let mut out = String::new();
    for line in text.lines() {
        // What is captured differs from system to system; the ring is everywhere.
        if line.starts_with("pause_monitor_forensics_captures_total{") && !line.contains("name=\"ring\"") {
            continue;
        }
        let varies = !line.starts_with('#') && VARY.iter().any(|name| line.starts_with(name));
        let line =
            if varies { format!("{} …", line.split(['{', ' ']).next().unwrap()) } else { line.to_owned() };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn a_replayed_recording_gives_exactly_these_metrics() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/metrics/freeze.prom");
    // A machine that stands still for seconds between the last sample and the scrape finds the gauges gone: again then.
    let text = (0..5)
        .find_map(|_| {
            let program = Program::new();
            let bytes = recording(&program);
            let file = program.home().join("recording");
            fs::write(&file, bytes).unwrap();
            // The pipe stays open: a recording that ends ends the daemon.
            let (reader, mut writer) = std::io::pipe().unwrap();
            let daemon = Daemon::start_with(
                program,
                "[alerts]\npause_detected = false\ncritical_entered = false\n",
                &["--source", "replay:-", "--speed", "max"],
                Stdio::from(reader),
            );
            writer.write_all(&fs::read(&file).unwrap()).unwrap();
            daemon.until("all samples", || {
                let text = scrape(&daemon);
                let all = series(&text)["pause_monitor_samples_total{state=\"complete\"}"] == SAMPLES;
                let stored = daemon.events().len() as f64;
                let told = series(&text)["pause_monitor_events_stored_total"] == stored && stored >= 2.0;
                let kept =
                    series(&text)["pause_monitor_forensics_captures_total{name=\"ring\",outcome=\"saved\"}"];
                (all && told && kept == 1.0).then_some(text)
            });
            Some(scrape(&daemon)).filter(|text| text.contains("\npause_monitor_up 1\n"))
        })
        .unwrap();
    let text = normalised(&text);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, &text).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap();
    for (found, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

#[test]
fn promtool_has_nothing_to_say() {
    let source = if cfg!(target_os = "linux") { "linux" } else { "simulate:freeze" };
    let daemon = Daemon::start(Program::new(), "", &["--source", source]);
    daemon.until("readiness", || (get(&daemon, "/readyz").status == 200).then_some(()));
    let text = scrape(&daemon);
    let mut command = Command::new("promtool");
    let child = command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_none(), "promtool is required");
        println!("passed over: there is no promtool here (Debian's package prometheus)");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!((String::from_utf8_lossy(&said).as_ref(), output.status.code()), ("", Some(0)));
}

/// The families of SPEC, section 10, that this daemon has at a simulated machine, and those that stay away.
#[test]
fn every_family_is_there_from_the_start_and_what_is_not_reported_is_not() {
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:calm"]);
    daemon.until("readiness", || (get(&daemon, "/readyz").status == 200).then_some(()));
    let text = scrape(&daemon);
    let all = series(&text);
    let prefixed = |name: &str| format!("pause_monitor_{name}");
    for name in [
        "gaps_total{verdict=\"starved\"}",
        "samples_total{state=\"degraded\"}",
        "samples_rejected_total{reason=\"oversized\"}",
        "source_restarts_total{reason=\"silent\"}",
        "episodes_total{peak_tier=\"critical\"}",
        "tier_transitions_total{from=\"sentinel\",to=\"critical\"}",
        "stress_factor_score_seconds_total{factor=\"gpu\"}",
        "pause_duration_seconds_count",
        "sleep_seconds_total",
        "output_messages_dropped_total{output=\"log\"}",
        "otlp_spans_exported_total",
    ] {
        assert_eq!(all.get(&prefixed(name)), Some(&0.0), "{name}");
    }
    // A simulation takes nothing from the machine it runs on, has had no pause, and costs no powermetrics.
    for name in [
        "load1",
        "cpu_cores",
        "memory_available_ratio",
        "swap_used_bytes",
        "last_pause_timestamp_seconds",
        "last_pause_culprit_info",
        "sampler_cpu_seconds_total",
    ] {
        assert!(!text.contains(&format!("{} ", prefixed(name))), "{name}");
    }
    for name in [
        "cpu_seconds_total",
        "resident_memory_bytes",
        "virtual_memory_bytes",
        "start_time_seconds",
        "open_fds",
        "max_fds",
        "threads",
    ] {
        assert!(all[&format!("process_{name}")] > 0.0, "{name}");
    }
}

#[test]
fn counters_agree_with_the_events_and_the_stream() {
    let config = "[http]\nlisten = [\"127.0.0.1:0\"]\nculprit_info = true\n";
    let daemon = Daemon::start(Program::new(), config, &["--source", "simulate:freeze", "--speed", "10"]);
    let mut stream = daemon.stream();
    let pause = stream.find("a pause", |line| is(line, "gap") && line["verdict"] == "pause");
    stream.find("the episode's end", |line| is(line, "tier") && line["to"] == "sentinel");
    // Counters only rise, and the stream is read behind them: what it told is in them.
    let before = series(&scrape(&daemon));
    assert!(before["pause_monitor_gaps_total{verdict=\"pause\"}"] >= 1.0);
    assert!(
        before["pause_monitor_pause_duration_seconds_sum"] * 1e3
            >= pause["duration_ms"].as_f64().unwrap() - 0.1
    );
    assert!(before["pause_monitor_tier_transitions_total{from=\"elevated\",to=\"sentinel\"}"] >= 1.0);
    let name = pause["culprits"][0]["name"].as_str().unwrap();
    assert_eq!(before[&format!("pause_monitor_last_pause_culprit_info{{name=\"{name}\"}}")], 1.0);

    // Scraped between two looks at the events that are the same, it agrees exactly.
    daemon.until("two looks that are the same", || {
        let first = daemon.events();
        let found = series(&scrape(&daemon));
        let closed = |tier: &str| {
            let is_so = |event: &&serde_json::Value| {
                event["kind"] == "episode" && event["open"] == false && event["peak_tier"] == tier
            };
            first.iter().filter(is_so).count() as f64
        };
        let pauses: Vec<f64> = first
            .iter()
            .filter(|event| event["kind"] == "pause")
            .map(|event| event["duration_s"].as_f64().unwrap())
            .collect();
        let same = found["pause_monitor_events_stored_total"] == first.len() as f64
            && found["pause_monitor_pause_duration_seconds_count"] == pauses.len() as f64
            && (found["pause_monitor_pause_duration_seconds_sum"] - pauses.iter().sum::<f64>()).abs() < 1e-3
            && found["pause_monitor_gaps_total{verdict=\"pause\"}"] == pauses.len() as f64
            && found["pause_monitor_episodes_total{peak_tier=\"critical\"}"] == closed("critical")
            && found["pause_monitor_episodes_total{peak_tier=\"elevated\"}"] == closed("elevated");
        same.then_some(())
    });
}

#[test]
fn the_last_pause_is_known_after_a_restart_and_a_failed_reload_shows() {
    let program = Program::new();
    let mut daemon = Daemon::start(program, "", &["--source", "simulate:freeze", "--speed", "10"]);
    daemon.wait_for_event("a pause", |event| event["kind"] == "pause");
    daemon.stop(libc::SIGTERM);
    let ended = daemon
        .events()
        .iter()
        .filter(|event| event["kind"] == "pause")
        .map(|event| event["ended_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap())
        .max()
        .unwrap();
    daemon.restart(&["--source", "simulate:calm"]);
    let known = daemon.until("the last pause", || {
        series(&scrape(&daemon)).get("pause_monitor_last_pause_timestamp_seconds").copied()
    });
    assert!((known - ended.as_millisecond() as f64 / 1e3).abs() < 0.01, "{known} is not {ended}");

    let successful = || series(&scrape(&daemon))["pause_monitor_config_last_reload_successful"];
    assert_eq!(successful(), 1.0);
    daemon.write_config("[tiers]\nelevated = 0\n");
    daemon.signal(libc::SIGHUP);
    daemon.until("a failed reload", || (successful() == 0.0).then_some(()));
    daemon.write_config("[tiers]\nelevated = 20\n");
    daemon.signal(libc::SIGHUP);
    daemon.until("a good reload", || (successful() == 1.0).then_some(()));
    daemon.until("the new threshold", || {
        let threshold = series(&scrape(&daemon))["pause_monitor_tier_threshold_score{tier=\"elevated\"}"];
        (threshold == 20.0).then_some(())
    });
}

#[test]
fn restarts_of_the_source_are_counted_by_reason_and_no_time_is_counted_twice() {
    let begin = Instant::now();
    let simulate = |count: &str| {
        let program = env!("CARGO_BIN_EXE_pause-monitor");
        format!(
            "[powermetrics]\ncommand = [\"{program}\", \"simulate\", \"--scenario\", \"calm\", \"--count\", \"{count}\"]\n"
        )
    };
    let daemon = Daemon::start(Program::new(), &simulate("8"), &["--source", "powermetrics"]);
    let found = daemon.until("two renewals", || {
        let found = series(&scrape(&daemon));
        (found["pause_monitor_source_restarts_total{reason=\"renewal\"}"] >= 2.0).then_some(found)
    });
    assert_eq!(found["pause_monitor_source_restarts_total{reason=\"exited\"}"], 0.0);
    assert!(found["pause_monitor_samples_total{state=\"complete\"}"] >= 16.0, "{found:?}");
    // The heartbeat goes on all the time, and each beat is counted once.
    let beats = found["pause_monitor_heartbeat_delay_seconds_count"];
    let passed_s = begin.elapsed().as_secs_f64();
    assert!(beats > 20.0 && beats <= passed_s * 50.0 + 1.0, "{beats} in {passed_s} s");
    let tiers: f64 = ["sentinel", "elevated", "critical"]
        .map(|tier| found[&format!("pause_monitor_tier_seconds_total{{tier=\"{tier}\"}}")])
        .iter()
        .sum();
    // The first sample's interval may have begun before the daemon did.
    assert!(tiers > 1.0 && tiers <= passed_s + 1.0, "{tiers} in {passed_s} s");
    // The row of the sampler itself is known by its pid, which a simulation does not list.
    assert!(!found.contains_key("pause_monitor_sampler_cpu_seconds_total"), "{found:?}");
}
