//! The sampler's process: it dies, hangs, floods, prints garbage, grows.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::daemon::is;
use crate::freezer::Freezer;
use crate::http::{scrape, series};
use crate::process::{Spinning, status_mb};
use crate::sampler::{Script, complete_samples, document, is_complete, is_source, task};

/// What the metrics count of rejected documents.
fn rejected(series: &BTreeMap<String, f64>, reason: &str) -> f64 {
    series[&format!("pause_monitor_samples_rejected_total{{reason=\"{reason}\"}}")]
}

/// What the metrics count of restarts.
fn restarts(series: &BTreeMap<String, f64>, reason: &str) -> f64 {
    series[&format!("pause_monitor_source_restarts_total{{reason=\"{reason}\"}}")]
}

#[test]
fn a_sampler_that_dies_in_every_way_is_started_later_and_later_without_a_spin_and_samples_resume() {
    let script = Script::new(
        r#"case $start in
1) good 3; kill -KILL $$ ;;
2) exit 0 ;;
3) good 1; head -c 100 good; kill -TERM $$ ;;
4) echo 'no such device' >&2; exit 3 ;;
*) good 100000 ;;
esac"#,
    );
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 1);
    let spinning = Spinning::watch(&daemon);
    let mut at = Vec::new();
    for why in ["signal: 9", "it said nothing", "signal: 15", "no such device"] {
        let line = stream.find("a restart", |line| is_source(line, "restarting"));
        assert!(line["detail"].as_str().unwrap().contains(why), "{why}: {line}");
        at.push(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond());
    }
    // Each wait is twice the last: the fifth start is 1 + 2 + 4 + 8 s of waits after the first.
    for (pair, least_ms) in at.windows(2).zip([1_000, 2_000, 4_000]) {
        assert!(pair[1] - pair[0] >= least_ms, "{at:?}");
    }
    stream.find("it delivers", |line| is_source(line, "up"));
    complete_samples(&mut stream, 5);
    spinning.is_not(&daemon);
    assert_eq!(script.starts(), 5, "{}", daemon.log());
    let metrics = series(&scrape(&daemon));
    assert_eq!(restarts(&metrics, "exited"), 4.0);
    assert_eq!(rejected(&metrics, "truncated"), 1.0);
    assert!(metrics["pause_monitor_samples_total{state=\"degraded\"}"] > 10.0);
}

#[test]
fn a_flood_without_the_end_of_a_document_is_rejected_in_bounded_memory_and_ended() {
    let script = Script::new(
        r#"case $start in
1) good 3; printf '<?xml version="1.0"?><plist>'; exec yes '<dict><key>again</key>' ;;
2) good 3; exec cat /dev/zero ;;
*) good 100000 ;;
esac"#,
    );
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    for _ in 0..2 {
        let line = stream.find("a restart", |line| is_source(line, "restarting"));
        assert!(line["detail"].as_str().unwrap().starts_with("it wrote no whole document for "), "{line}");
    }
    complete_samples(&mut stream, 5);
    let metrics = series(&scrape(&daemon));
    assert!(rejected(&metrics, "oversized") >= 1.0, "{metrics:?}");
    assert_eq!(restarts(&metrics, "silent"), 2.0);
    let most_mb = status_mb(daemon.pid(), "VmHWM");
    println!("{most_mb} MB at most");
    assert!(most_mb < 120, "{most_mb} MB:\n{}", daemon.log());
    script.0.wait_until_gone_but(1);
}

#[test]
fn documents_as_fast_as_can_be_are_read_at_a_pace_and_hold_nothing_up() {
    let script = Script::new("good 3; while :; do cat flood; done");
    let tiny = "<?xml?><plist><dict><key>elapsed_ns</key><integer>100000000</integer></dict></plist>\n";
    script.file("flood", tiny.repeat(20_000).as_bytes());
    let mut daemon = script.daemon();
    let mut stream = daemon.stream();
    daemon.wait_for_log("it is read no faster than is of use");
    let sample = complete_samples(&mut stream, 1);
    let at = |line: &Value| {
        let time = line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        (time.as_millisecond(), line["seq"].as_u64().unwrap())
    };
    let (from_ms, from) = at(&sample);
    let last = stream.find("a later sample", |line| is_complete(line) && at(line).0 > from_ms + 3_000);
    let (to_ms, to) = at(&last);
    let per_s = (to - from) as f64 / ((to_ms - from_ms) as f64 / 1e3);
    println!("{per_s:.0} documents a second");
    // Fifty in a tenth of a second.
    assert!(per_s < 1_000.0, "{per_s} a second");
    // The thread answers meanwhile, and the daemon's end is as quick as ever.
    let metrics = series(&scrape(&daemon));
    assert_eq!(metrics["pause_monitor_output_messages_dropped_total{output=\"heartbeat\"}"], 0.0);
    assert_eq!(script.starts(), 1);
    daemon.stop(libc::SIGTERM);
    script.0.wait_until_gone();
}

/// Documents that no sampler should write, with what becomes of each.
fn garbage() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let whole = document(&task(7, "worker", 50.0));
    let with = |from: &str, to: &str| whole.replace(from, to).into_bytes();
    let deep = "<dict><key>a</key>".repeat(200_000);
    let tag = format!("<plist version=\"{}\">", "1".repeat(1 << 20));
    vec![
        (
            "random bytes",
            (0..1_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect(),
            None,
        ),
        ("a page", b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>\n".to_vec(), None),
        ("half a document", whole.as_bytes()[..whole.len() / 2].to_vec(), Some("truncated")),
        ("no dict", b"<?xml?><plist><array/></plist>".to_vec(), Some("malformed")),
        ("a dict that never ends", with("</dict>\n</plist>", "</plist>"), Some("malformed")),
        (
            "a depth",
            with("<key>tasks</key>", &format!("<key>deep</key>{deep}<key>tasks</key>")),
            Some("malformed"),
        ),
        ("a huge attribute", with("<plist version=\"1.0\">", &tag), Some("")),
        ("no elapsed_ns", with("elapsed_ns", "elapsed"), Some("incomplete")),
        (
            "elapsed_ns of text",
            with("<integer>100000000</integer>", "<string>soon</string>"),
            Some("incomplete"),
        ),
        ("elapsed_ns below zero", with("100000000", "-100000000"), Some("incomplete")),
        ("elapsed_ns of 2^64", with("100000000", "18446744073709551616"), Some("incomplete")),
        ("elapsed_ns of a million years", with("100000000", "31556952000000000000"), Some("incomplete")),
        ("tasks of text", with("<array>", "<string>").into_iter().collect::<Vec<u8>>(), Some("malformed")),
        ("a cpu of nan", with("<real>50</real>", "<real>nan</real>"), Some("")),
        ("a cpu of inf", with("<real>50</real>", "<real>inf</real>"), Some("")),
        ("a cpu below zero", with("<real>50</real>", "<real>-50</real>"), Some("")),
        ("a cpu of 1e308", with("<real>50</real>", "<real>1e308</real>"), Some("")),
        ("a cpu of text", with("<real>50</real>", "<string>50</string>"), Some("")),
        ("a pid of 2^64", with("<integer>7</integer>", "<integer>18446744073709551616</integer>"), Some("")),
        ("a name of a dict", with("<string>worker</string>", "<dict><key>x</key><true/></dict>"), Some("")),
    ]
}

#[test]
fn garbage_of_every_kind_is_counted_by_its_reason_and_poisons_no_sample() {
    let script =
        Script::new("good 3; for n in $(seq 0 19); do cat bad-$n; good 2; done; touch done; good 100000");
    let garbage = garbage();
    let mut expected: BTreeMap<&str, f64> = BTreeMap::new();
    for (number, (_, bytes, outcome)) in garbage.iter().enumerate() {
        script.file(&format!("bad-{number}"), bytes);
        if let Some(reason) = outcome.filter(|reason| !reason.is_empty()) {
            *expected.entry(reason).or_default() += 1.0;
        }
    }
    assert_eq!(garbage.len(), 20, "the script counts them");
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    let mut samples = 0;
    let mut done = false;
    // Some more once it is through.
    let mut left = 10;
    while left > 0 {
        let line = stream.find("a complete sample", is_complete);
        samples += 1;
        done |= script.0.path("done").exists();
        left -= u32::from(done);
        for (name, value) in line["metrics"].as_object().unwrap() {
            assert!(value.as_f64().is_none_or(|value| value >= 0.0), "{name} of {line}");
        }
        assert!(line["stress"]["total"].as_u64().unwrap() <= 100, "{line}");
        for process in line["top"]["cpu"].as_array().unwrap() {
            assert!(process["value"].as_f64().unwrap() > 0.0, "{line}");
        }
    }
    assert!(samples >= 50, "{samples}");
    let metrics = series(&scrape(&daemon));
    for reason in ["truncated", "oversized", "malformed", "incomplete"] {
        assert_eq!(rejected(&metrics, reason), expected.get(reason).copied().unwrap_or(0.0), "{reason}");
    }
    assert!(metrics.values().all(|value| value.is_finite()), "{metrics:?}");
    assert_eq!(script.starts(), 1, "it was no reason to end it:\n{}", daemon.log());
}

#[test]
fn a_sampler_that_takes_more_and_more_memory_is_ended_and_restarted() {
    // `tail` keeps a line until it ends, in memory.
    let script = Script::new(
        r#"case $start in
1) { head -c 640000000 /dev/zero; exec sleep 600; } | tail -n 1 >/dev/null & good 100000 ;;
*) good 100000 ;;
esac"#,
    );
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    let line = stream.find("a restart", |line| is_source(line, "restarting"));
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.starts_with("it had taken ") && detail.ends_with(" MB of memory"), "{line}");
    stream.find("it delivers", |line| is_source(line, "up"));
    complete_samples(&mut stream, 5);
    assert_eq!(restarts(&series(&scrape(&daemon)), "grown"), 1.0);
    // What it had started is gone with it.
    script.0.wait_until_gone_but(1);
}

#[test]
fn a_document_that_grows_each_time_is_read_up_to_16_mib_and_rejected_from_there_on() {
    let script = Script::new(
        r#"good 3
for n in 1 4 16 32 64; do
  head -c 200 good
  for _ in $(seq "$n"); do cat block; done
  tail -c +201 good
  sleep 0.1
done
touch done
good 100000"#,
    );
    // An unknown key of 300 KB: 16 of them fit, 64 don't. It stands in front of the tasks.
    let whole = document(&task(7, "worker", 50.0));
    let before = whole.find("<key>tasks").unwrap();
    script.file("block", format!("<key>x</key><string>{}</string>\n", "x".repeat(300_000)).as_bytes());
    script.file("good", whole.as_bytes());
    let text = fs::read_to_string(script.0.path("sampler")).unwrap();
    let text = text.replace("head -c 200", &format!("head -c {before}"));
    let text = text.replace("tail -c +201", &format!("tail -c +{}", before + 1));
    fs::write(script.0.path("sampler"), text).unwrap();
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    daemon.until("the end of the growth", || script.0.path("done").exists().then_some(()));
    stream.find("the samples after it", |line| is_complete(line) && line["seq"].as_u64() > Some(12));
    let metrics = series(&scrape(&daemon));
    assert_eq!(rejected(&metrics, "oversized"), 1.0, "{metrics:?}");
    let most_mb = status_mb(daemon.pid(), "VmHWM");
    println!("{most_mb} MB at most");
    assert!(most_mb < 120, "{most_mb} MB");
    assert_eq!(script.starts(), 1);
}

#[test]
fn while_three_that_can_not_be_killed_are_left_over_no_other_is_started() {
    let Some(freezer) = Freezer::new() else { return };
    let frozen = freezer.freeze();
    // In a frozen group nothing dies, not even of SIGKILL (in a group of the second version it does).
    let script = Script::new("good 3; case $start in 1|2|3) sleep 600 ;; esac; good 100000");
    let daemon = script.daemon();
    let mut stream = daemon.stream();
    for start in 0..3 {
        stream.find("it delivers", |line| is_source(line, "up"));
        if !freezer.admit(script.0.starts()[start]) {
            return;
        }
        stream.find("a restart", |line| is_source(line, "restarting"));
    }
    if !script.0.starts().iter().all(|&group| crate::stand_in::runs(group)) {
        println!("passed over: what is frozen can be killed here");
        return;
    }
    let spinning = Spinning::watch(&daemon);
    // Its turn would be after 4 s.
    let mut degraded = 0;
    while degraded < 80 {
        let line = stream.find("a sample", |line| is(line, "sample"));
        assert_eq!(line["degraded"], true, "{line}");
        degraded += 1;
    }
    spinning.is_not(&daemon);
    assert_eq!(script.starts(), 3, "{}", daemon.log());
    drop(frozen);
    stream.find("it delivers", |line| is_source(line, "up"));
    complete_samples(&mut stream, 5);
    assert_eq!(script.starts(), 4);
}
