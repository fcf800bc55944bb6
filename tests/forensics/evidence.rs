//! What a pause leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::http::{get, series};
use crate::pauses::{STUCK, Stuck, daemon, pause};
use crate::program::Program;
use crate::recording::{play, simulated};

pub(crate) const CONFIG: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n[alerts]\npause_min_duration = \"900ms\"\nforensics_completed = true\n";

/// How far a recording's pause may be from the live one: a sample keeps the greatest delay of the heartbeat only, and on a
/// busy machine several late beats make one pause.
pub(crate) const NEAR_MS: f64 = 300.0;

pub(crate) const NAMES: [&str; 8] =
    ["ring", "blocked", "pressure", "meminfo", "vmstat", "processes", "system", "kernel_log"];

/// The event of a gap, once its evidence is recorded.
pub(crate) fn gathered(daemon: &Daemon, gap: &Value) -> Value {
    let complete =
        |event: &Value| event["id"] == gap["event"] && !event["forensics"].as_array().unwrap().is_empty();
    daemon.wait_for_event("the evidence", complete)
}

pub(crate) fn capture<'a>(event: &'a Value, name: &str) -> &'a Value {
    let captures = event["forensics"].as_array().unwrap();
    captures.iter().find(|capture| capture["name"] == name).unwrap_or_else(|| panic!("no {name}: {event}"))
}

fn text(capture: &Value) -> String {
    let path = capture["path"].as_str().unwrap_or_else(|| panic!("nothing was kept: {capture}"));
    fs::read_to_string(path).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn evidence_is_gathered_of_pauses_from_the_least_duration_on() {
    let program = Program::new();
    // Six freezes, of 1.5 to 2.6 s.
    let recording = simulated(&program, "freeze", &["--interval-ms", "500", "--count", "400"]);
    let config = program.home().join(".config/pause-monitor");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "[alerts]\npause_min_duration = \"2s\"\n").unwrap();
    let data = program.home().join(".local/share/pause-monitor");
    play(&program, &recording, &data);
    let events: Vec<Value> = serde_json::from_str(&program.run(&["events", "--json"]).stdout).unwrap();
    let pauses = events.into_iter().filter(|event| event["kind"] == "pause");
    let (long, short): (Vec<Value>, Vec<Value>) =
        pauses.partition(|pause| pause["duration_s"].as_f64().unwrap() >= 2.0);
    assert!(!long.is_empty() && !short.is_empty(), "{long:?} {short:?}");
    let directory = |pause: &Value| data.join(format!("events/{}", pause["id"]));
    for pause in long {
        assert_eq!(capture(&pause, "ring")["outcome"], "saved");
        assert!(directory(&pause).join("ring.jsonl").exists(), "{pause}");
    }
    for pause in short {
        assert_eq!(pause["forensics"], Value::Array(Vec::new()));
        assert!(!directory(&pause).exists(), "{pause}");
    }
}

#[test]
fn a_pause_leaves_its_ring_and_what_the_kernel_can_tell_and_the_next_one_soon_after_only_its_ring() {
    let stuck = Stuck::start();
    let Some((daemon, mut stream, freezer)) = daemon(Program::new(), CONFIG) else { return };
    let gap = pause(&freezer, &mut stream);
    let event = gathered(&daemon, &gap);
    drop(stuck);

    let names: Vec<&str> =
        event["forensics"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, NAMES, "{event}");
    for name in NAMES {
        let one = capture(&event, name);
        // A kernel without pressure, or one whose log is not for us to read, says so.
        let outcomes: &[&str] = match name {
            "pressure" => &["saved", "not available"],
            "kernel_log" => &["saved", "not available", "not permitted"],
            _ => &["saved"],
        };
        assert!(outcomes.contains(&one["outcome"].as_str().unwrap()), "{one}");
        assert_eq!(one["outcome"] == "saved", one["path"].is_string(), "{one}");
    }
    let directory = daemon.data_dir().join("events").join(event["id"].to_string());
    assert_eq!(mode(&directory), 0o700);
    for file in fs::read_dir(&directory).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600, "{file:?}");
        assert!(!file.file_name().to_string_lossy().ends_with(".part"), "{file:?}");
    }

    // The thread that could not be interrupted is named, with where in the kernel it is.
    let blocked = text(capture(&event, "blocked"));
    assert!(blocked.contains(&format!("{STUCK} (process {}, thread ", std::process::id())), "{blocked}");
    assert!(capture(&event, "blocked")["detail"].as_str().unwrap().contains("blocked: "), "{event}");
    if fs::read("/proc/self/stack").is_ok() {
        assert!(blocked.contains("clone"), "its stack is missing: {blocked}");
    }
    assert!(text(capture(&event, "meminfo")).starts_with("MemTotal:"));
    assert!(text(capture(&event, "vmstat")).contains("pgmajfault"));
    assert!(text(capture(&event, "processes")).contains(" pause-monitor"));
    assert!(text(capture(&event, "system")).contains("==> /proc/loadavg <=="));

    // The ring tells the same pause.
    let ring = directory.join("ring.jsonl");
    let analyzed = daemon.run("analyze", &["--json", ring.to_str().unwrap()]);
    assert_eq!((analyzed.code, analyzed.stderr.as_str()), (0, ""));
    let told = analyzed
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["type"] == "gap" && line["verdict"] == "pause")
        .unwrap_or_else(|| panic!("no pause in the ring: {}", analyzed.stdout));
    let (told, was) = (told["duration_ms"].as_f64().unwrap(), gap["duration_ms"].as_f64().unwrap());
    assert!((told - was).abs() < NEAR_MS, "{told} ms for {was} ms");

    let next = gathered(&daemon, &pause(&freezer, &mut stream));
    assert_eq!(capture(&next, "ring")["outcome"], "saved", "{next}");
    for name in &NAMES[1..] {
        let one = capture(&next, name);
        assert_eq!((&one["outcome"], &one["path"]), (&"not available".into(), &Value::Null), "{one}");
        let detail = one["detail"].as_str().unwrap();
        assert!(detail.starts_with("another was taken ") && detail.ends_with(" s before"), "{detail}");
    }

    let metrics = get(&daemon, "/metrics");
    assert_eq!(metrics.status, 200, "{}", metrics.header);
    let counted = series(&metrics.text());
    let count = |name: &str, outcome: &str| {
        counted[&format!("pause_monitor_forensics_captures_total{{name=\"{name}\",outcome=\"{outcome}\"}}")]
    };
    // This machine may have had a pause of its own besides.
    assert!(count("ring", "saved") >= 2.0);
    assert!(count("blocked", "saved") >= 1.0 && count("blocked", "not_available") >= 1.0);
    assert_eq!(count("vmstat", "timeout"), 0.0);
    // That it is there is told: whether the desktop of whoever runs this takes it or not.
    daemon.until("the notification", || {
        let counted = series(&get(&daemon, "/metrics").text());
        let told = counted.iter().filter(|(name, _)| name.contains("kind=\"forensics_completed\""));
        (told.map(|(_, count)| count).sum::<f64>() >= 1.0).then_some(())
    });
    // Gathering it held nothing up: the samples came on time while the heartbeat ran.
    // A machine that is busy with other things may have its own.
    assert!(counted["pause_monitor_gaps_total{verdict=\"stall\"}"] <= 2.0, "{}", daemon.log());
}
