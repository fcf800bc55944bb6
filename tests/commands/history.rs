//! `history`, and `status` and `stream` where no daemon runs.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::keys::Keys;
use crate::program::Program;
use crate::recorded::Recorded;

/// Two freezes that began half an hour ago.
fn recent() -> Recorded {
    let start = Timestamp::now() - SignedDuration::from_mins(30);
    Recorded::at(&start.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn sum(buckets: &Value, key: &str) -> f64 {
    buckets.as_array().unwrap().iter().map(|bucket| bucket[key].as_f64().unwrap()).sum()
}

#[test]
fn hours_and_days_add_up_to_what_is_on_record() {
    let recorded = recent();
    let events = recorded.json(&["events", "--json"]);
    let lost: f64 = [0, 2].map(|at: usize| events[at]["duration_s"].as_f64().unwrap()).iter().sum();
    for (arguments, count) in [
        (&["history", "--json"][..], 24),
        (&["history", "--json", "--hours", "2"], 2),
        (&["history", "--json", "--days", "2"], 2),
    ] {
        let buckets = recorded.json(arguments);
        assert_eq!(buckets.as_array().unwrap().len(), count, "{arguments:?}");
        assert_eq!((sum(&buckets, "pauses"), sum(&buckets, "episodes")), (2.0, 2.0), "{arguments:?}");
        assert_eq!((sum(&buckets, "stalls"), sum(&buckets, "outages")), (0.0, 0.0), "{arguments:?}");
        assert!((sum(&buckets, "paused_s") - lost).abs() < 0.01, "{arguments:?}: {buckets}");
        let peak =
            buckets.as_array().unwrap().iter().filter_map(|bucket| bucket["peak_stress"].as_u64()).max();
        assert_eq!(
            peak,
            events[0]["peak_stress"].as_u64().max(events[2]["peak_stress"].as_u64()),
            "{arguments:?}"
        );
        assert!(sum(&buckets, "critical_s") > 10.0 && sum(&buckets, "elevated_s") > 5.0, "{arguments:?}");
        let starts: Vec<&str> =
            buckets.as_array().unwrap().iter().map(|bucket| bucket["start"].as_str().unwrap()).collect();
        assert!(starts.is_sorted() && starts.iter().all(|start| start.ends_with('Z')), "{starts:?}");
    }
}

#[test]
fn json_csv_and_table_tell_the_same() {
    let recorded = recent();
    let text = recorded.print(&["history", "--json", "--hours", "2"]);
    let keys: Vec<Keys> = serde_json::from_str(&text).unwrap();
    let buckets: Value = serde_json::from_str(&text).unwrap();
    let csv = recorded.print(&["history", "--csv", "--hours", "2"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next().unwrap(), keys[0].0.join(","));
    for (line, bucket) in lines.zip(buckets.as_array().unwrap()) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), keys[0].0.len(), "{line}");
        assert_eq!(cells[0], bucket["start"].as_str().unwrap());
        assert_eq!(cells[2], bucket["pauses"].to_string());
    }
    assert_eq!(csv.lines().count(), 3);
    let table = recorded.print(&["history", "--hours", "2"]);
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading[..4], ["HOUR", "PAUSES", "LOST", "EPISODES"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.lines().last().unwrap().starts_with("Together: 2 pauses ("), "{table}");
    assert!(table.contains('█'), "bars:\n{table}");
    assert!(recorded.print(&["history", "--days", "1"]).starts_with("DAY "));
}

#[test]
fn a_plain_locale_gets_plain_bars() {
    let recorded = recent();
    let output = recorded.program.command(&["history", "--hours", "2"]).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.is_ascii() && text.contains("#"), "{text}");
}

#[test]
fn a_span_that_makes_no_sense_is_wrong_usage() {
    let program = Program::new();
    for arguments in [
        &["history", "--hours", "0"][..],
        &["history", "--hours", "99999"],
        &["history", "--days", "-1"],
        &["history", "--hours", "2", "--days", "2"],
        &["history", "--json", "--csv"],
    ] {
        let run = program.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.contains("--help"), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(program.run(&["history"]).code, 0, "before the first run it is empty");
}

#[test]
fn without_a_daemon_status_and_stream_say_how_to_start_one() {
    let recorded = Recorded::new();
    for arguments in
        [&["status"][..], &["status", "--json"], &["stream"], &["stream", "--events", "--count", "3"]]
    {
        let run = recorded.program.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{arguments:?}");
        assert_eq!(
            run.stderr,
            format!(
                "pause-monitor: no daemon runs on {}: start one with `pause-monitor daemon`\n",
                recorded.data_dir().display()
            )
        );
    }
}
