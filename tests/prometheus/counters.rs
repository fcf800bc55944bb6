//! What Prometheus counts is what `events` and `stream` say.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::thread;

use serde_json::Value;

use crate::daemon::{Daemon, is};
use crate::program::Program;
use crate::server::{Server, address};

/// Two cycles of all scenarios, and a document that was cut off in between.
const DOCUMENTS: usize = 3_600;

/// The recording, as powermetrics would write it.
fn recording() -> Vec<u8> {
    let count = DOCUMENTS.to_string();
    let arguments = ["simulate", "--scenario", "mixed", "--no-wait", "--tasks", "12", "--count", &count];
    let output = Program::new().command(&arguments).output().unwrap();
    assert!(output.status.success());
    let half = output.stdout.len() / 2;
    let begin =
        |from: usize| from + output.stdout[from..].windows(5).position(|text| text == b"<?xml").unwrap();
    let document = begin(half);
    let cut_off = &output.stdout[document..document + 600];
    [&output.stdout[..document], cut_off, &output.stdout[document..]].concat()
}

/// What `analyze` sums it up to.
fn analyzed(recording: &[u8]) -> Value {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(recording).unwrap();
    let run = Program::new().run(&["analyze", file.path().to_str().unwrap(), "--json"]);
    let summary = run.stdout.lines().last().unwrap();
    serde_json::from_str(summary).unwrap()
}

/// How often something is so, by a word of it.
fn counted<'a>(
    all: impl Iterator<Item = &'a Value>,
    word: impl Fn(&Value) -> String,
) -> BTreeMap<String, f64> {
    let mut counted = BTreeMap::new();
    for one in all {
        *counted.entry(word(one)).or_default() += 1.0;
    }
    counted
}

/// The series of a counter that are not zero, by a label.
fn counters(server: &Server, metric: &str, labels: &[&str]) -> BTreeMap<String, f64> {
    let series = server.query(&format!("{metric} > 0")).unwrap();
    let value = |one: &Value| one["value"][1].as_str().unwrap().parse().unwrap();
    let name = |one: &Value| {
        labels.iter().map(|label| one["metric"][label].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    series.iter().map(|one| (name(one), value(one))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn counters_agree_with_the_events_and_the_stream() {
    let config = "[http]\nculprit_info = true\nlisten = [\"127.0.0.1:0\"]\n";
    let arguments = ["--source", "replay:-", "--speed", "max"];
    // Open to the end: a recording that ends ends the daemon.
    let (read, mut write) = std::io::pipe().unwrap();
    let daemon = Daemon::start_with(Program::new(), config, &arguments, Stdio::from(read));
    let scraped =
        "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: pause-monitor\n    static_configs:\n";
    let scraped = format!("{scraped}      - targets: [\"{}\"]\n", address(&daemon));
    let Some(server) = Server::prometheus(&scraped, &["--storage.tsdb.path=data"], &[]) else { return };

    let mut stream = daemon.stream();
    assert!(is(&stream.next().unwrap(), "hello"));
    let recording = recording();
    let analyzed = analyzed(&recording);
    let feed = thread::spawn(move || {
        write.write_all(&recording).unwrap();
        write
    });
    let mut lines = Vec::new();
    let is_last = |line: &Value| is(line, "sample") && line["seq"] == DOCUMENTS;
    while !lines.last().is_some_and(is_last) {
        lines.push(stream.next().unwrap());
    }
    let _open = feed.join().unwrap();

    let value = |metric: &str| server.value(&format!("pause_monitor_{metric}"));
    server.until("a scrape of all samples", || {
        (value("samples_total{state=\"complete\"}") == Some(DOCUMENTS as f64)).then_some(())
    });
    assert_eq!(value("samples_total{state=\"degraded\"}"), Some(0.0));
    let rejected = counters(&server, "pause_monitor_samples_rejected_total", &["reason"]);
    assert_eq!(rejected, BTreeMap::from([("truncated".to_owned(), 1.0)]));
    // It is gone when nothing has come for a while.
    let score = server.value("last_over_time(pause_monitor_stress_score[1h])");
    assert_eq!(score, lines.last().unwrap()["stress"]["total"].as_f64());

    let gaps = counted(lines.iter().filter(|line| is(line, "gap")), |gap| text(&gap["verdict"]));
    assert!(gaps["pause"] >= 2.0, "{gaps:?}");
    assert_eq!(counters(&server, "pause_monitor_gaps_total", &["verdict"]), gaps);
    let tiers = counted(lines.iter().filter(|line| is(line, "tier")), |tier| {
        format!("{} {}", text(&tier["from"]), text(&tier["to"]))
    });
    assert_eq!(counters(&server, "pause_monitor_tier_transitions_total", &["from", "to"]), tiers);

    for tier in ["sentinel", "elevated", "critical"] {
        let counted = value(&format!("tier_seconds_total{{tier=\"{tier}\"}}")).unwrap();
        let expected = analyzed["tiers"][tier].as_f64().unwrap();
        assert!((counted - expected).abs() < 0.01, "{counted} s in {tier}, not {expected}");
    }

    // The store writes behind the samples.
    let events = daemon.until("all events on record", || {
        let events = daemon.events();
        let pauses = events.iter().filter(|event| event["kind"] == "pause").count();
        (pauses as f64 == gaps["pause"]).then_some(events)
    });
    let closed = events.iter().filter(|event| event["kind"] == "episode" && event["open"] == false);
    let closed = counted(closed, |episode| text(&episode["peak_tier"]));
    assert!(closed["critical"] >= 2.0, "{closed:?}");
    assert_eq!(counters(&server, "pause_monitor_episodes_total", &["peak_tier"]), closed);

    let pauses: Vec<_> = events.iter().filter(|event| event["kind"] == "pause").collect();
    let durations: Vec<_> = pauses.iter().map(|pause| pause["duration_s"].as_f64().unwrap()).collect();
    assert_eq!(value("pause_duration_seconds_count"), Some(durations.len() as f64));
    let lost = value("pause_duration_seconds_sum").unwrap();
    assert!(
        (lost - durations.iter().sum::<f64>()).abs() < 1e-3 * durations.len() as f64,
        "{lost}: {durations:?}"
    );
    for (le, bound_s) in [("0.25", 0.25), ("1", 1.0), ("2", 2.0), ("5", 5.0), ("90", 90.0)] {
        let within = durations.iter().filter(|duration| **duration <= bound_s).count();
        assert_eq!(
            value(&format!("pause_duration_seconds_bucket{{le=\"{le}\"}}")),
            Some(within as f64),
            "{le} s"
        );
    }

    // Newest first.
    let ended: jiff::Timestamp = pauses[0]["ended_at"].as_str().unwrap().parse().unwrap();
    let told = value("last_pause_timestamp_seconds").unwrap();
    assert!((told - ended.as_millisecond() as f64 / 1e3).abs() < 0.002, "{told}, not {ended}");
    let blamed = counters(&server, "pause_monitor_last_pause_culprit_info", &["name"]);
    assert_eq!(blamed, BTreeMap::from([(text(&pauses[0]["culprits"][0]["name"]), 1.0)]));
}
