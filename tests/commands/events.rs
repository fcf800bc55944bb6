//! `events`: the list and its filters, one event's story, marks.

use std::fs;

use serde_json::Value;

use crate::keys::Keys;
use crate::program::Program;
use crate::recorded::Recorded;
use crate::recording::{play, simulated};

/// SPEC, section 8.
const EVENT_KEYS: [&str; 20] = [
    "id",
    "kind",
    "verdict",
    "certain",
    "started_at",
    "ended_at",
    "duration_s",
    "open",
    "interrupted",
    "continued",
    "stored",
    "peak_stress",
    "peak_tier",
    "factors",
    "culprits",
    "samples",
    "status",
    "note",
    "incident",
    "forensics",
];

#[test]
fn the_table_lists_events_newest_first_with_their_culprits() {
    let recorded = Recorded::new();
    let text = recorded.print(&["events"]);
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["ID", "TIME", "KIND", "DURATION", "PEAK", "TIER", "STATUS", "CULPRITS"]);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let kinds: Vec<(&str, &str)> = rows.iter().map(|row| (row[0], row[3])).collect();
    assert_eq!(kinds, [("4", "pause"), ("3", "episode"), ("2", "pause"), ("1", "episode")]);
    for row in rows {
        assert!(row.contains(&"critical") && row.contains(&"fileproviderd"), "{row:?}");
    }
    assert_eq!(recorded.print(&["events", "list"]), text);
}

#[test]
fn the_table_has_the_newest_20_and_json_has_everything() {
    // A pause and an episode in each of 36 s.
    let recorded = Recorded::of("2026-02-03T04:05:06Z", "900");
    let all = recorded.ids(&[]);
    assert!(all.len() > 20, "{all:?}");
    assert_eq!(all, (1..=all.len() as u64).rev().collect::<Vec<_>>());
    let listed = |arguments: &[&str]| -> (Vec<u64>, Option<String>) {
        let text = recorded.print(arguments);
        let mut rows: Vec<&str> = text.lines().skip(1).collect();
        let more = rows.pop_if(|row| !row.trim_start().starts_with(|first: char| first.is_ascii_digit()));
        let ids = rows.iter().map(|row| row.split_whitespace().next().unwrap().parse().unwrap());
        (ids.collect(), more.map(str::to_owned))
    };
    let older = "There are older ones: --limit N shows more, --json all.";
    assert_eq!(listed(&["events"]), (all[..20].to_vec(), Some(older.to_owned())));
    assert_eq!(listed(&["events", "--limit", "3"]), (all[..3].to_vec(), Some(older.to_owned())));
    assert_eq!(listed(&["events", "--limit", "1000"]), (all.clone(), None));
    assert_eq!(recorded.ids(&["--limit", "3"]), all[..3]);
}

#[test]
fn json_has_every_key_of_the_contract_in_its_order() {
    let recorded = Recorded::new();
    let text = recorded.print(&["events", "--json"]);
    let all: Vec<Keys> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len(), 4);
    for keys in all {
        assert_eq!(keys.0, EVENT_KEYS);
    }
    let events: Value = serde_json::from_str(&text).unwrap();
    let (pause, episode) = (&events[0], &events[1]);
    assert_eq!(
        (&pause["kind"], &pause["verdict"], &pause["certain"]),
        (&"pause".into(), &"pause".into(), &true.into())
    );
    assert_eq!((&episode["kind"], &episode["verdict"]), (&"episode".into(), &Value::Null));
    assert_eq!(pause["incident"], episode["incident"], "a gap inside an episode shares its incident");
    assert_eq!(pause["incident"].as_str().unwrap().len(), 32);
    assert_eq!((&pause["status"], &pause["note"]), (&"unreviewed".into(), &Value::Null));
    assert_eq!(
        (&pause["stored"], &pause["open"], &episode["forensics"]),
        (&true.into(), &false.into(), &Value::Array(Vec::new()))
    );
    let path = recorded.data_dir().join("events/4/ring.jsonl");
    let ring = serde_json::json!({"name": "ring", "outcome": "saved", "path": path, "detail": null});
    assert_eq!(pause["forensics"], serde_json::json!([ring]), "of a recording there is nothing else");
    let ring = std::fs::read_to_string(path).unwrap();
    let (told, samples): (Vec<_>, Vec<_>) = ring.lines().partition(|line| line.contains("\"type\":\"gap\""));
    assert_eq!((samples.len() as u64, told.len()), (pause["samples"].as_u64().unwrap(), 1));
    assert_eq!(pause["culprits"][0]["name"], "fileproviderd");
    let evidence = pause["culprits"][0]["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("pageins ") && evidence.contains(" → "), "{evidence}");
    assert!(pause["samples"].as_u64().unwrap() > 10);
    let factors: u64 =
        pause["factors"].as_object().unwrap().values().map(|points| points.as_u64().unwrap()).sum();
    assert_eq!(pause["peak_stress"].as_u64().unwrap(), factors.min(100));
    for time in [&pause["started_at"], &pause["ended_at"]] {
        let time = time.as_str().unwrap();
        assert!(time.starts_with("2026-02-03T04:0") && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn every_filter_leaves_out_what_it_says() {
    let recorded = Recorded::new();
    assert_eq!(recorded.ids(&[]), [4, 3, 2, 1]);
    assert_eq!(recorded.ids(&["--kind", "pause"]), [4, 2]);
    assert!(recorded.ids(&["--kind", "stall,outage"]).is_empty());
    assert_eq!(recorded.ids(&["--kind", "pause", "--kind", "episode"]), [4, 3, 2, 1]);
    assert_eq!(recorded.ids(&["--tier", "critical"]), [4, 3, 2, 1]);
    assert!(recorded.ids(&["--tier", "elevated,sentinel"]).is_empty());
    assert_eq!(recorded.ids(&["--status", "unreviewed"]), [4, 3, 2, 1]);
    assert!(recorded.ids(&["--status", "pinned"]).is_empty());
    assert_eq!(recorded.ids(&["--min-duration", "10s"]), [3, 1], "the pauses are shorter");
    assert!(recorded.ids(&["--min-duration", "1h"]).is_empty());
    assert_eq!(recorded.ids(&["--limit", "1"]), [4]);
    assert_eq!(recorded.ids(&["--kind", "pause", "--limit", "1", "--min-duration", "500ms"]), [4]);
    // The second freeze's episode begins about 44 s into the recording, that of the first ends about 30 s into it.
    let between = "2026-02-03T04:05:46Z";
    assert_eq!(recorded.ids(&["--since", between]), [4, 3]);
    assert_eq!(recorded.ids(&["--until", between]), [2, 1]);
    assert_eq!(recorded.ids(&["--since", "2026-02-03T04:05:06Z", "--until", between]), [2, 1]);
    assert!(recorded.ids(&["--since", "now"]).is_empty());
    let last = recorded.print(&["events", "--limit", "1"]);
    assert!(last.ends_with("There are older ones: --limit N shows more, --json all.\n"), "{last}");
}

#[test]
fn the_story_of_an_event_says_what_happened_and_what_happened_near_it() {
    let recorded = Recorded::new();
    let story = recorded.print(&["events", "show", "2"]);
    for said in [
        "Event 2: pause, ",
        "The machine stood still for ",
        "\n  began     2026-02-03 ",
        "\n  verdict   pause, certain\n",
        "\n  why       This is a recording without heartbeats",
        "\n  stress    ",
        " of 100, critical\n",
        "\nWhat built up  in the ",
        "  30/30  ",
        "\nWho  share of the points\n  fileproviderd (",
        "\nWithin a minute of it\n",
        "event 1: episode",
        "event 3: episode",
        "event 4: pause",
        "\nNext  pause-monitor …\n  events mark 2 ",
    ] {
        assert!(story.contains(said), "{said:?} is missing:\n{story}");
    }
}

#[test]
fn the_story_as_json_is_the_event_with_what_is_related_and_its_samples() {
    let recorded = Recorded::new();
    let text = recorded.print(&["events", "show", "2", "--json"]);
    let keys: Keys = serde_json::from_str(&text).unwrap();
    let expected: Vec<&str> = EVENT_KEYS.into_iter().chain(["related", "recording"]).collect();
    assert_eq!(keys.0, expected);
    let event: Value = serde_json::from_str(&text).unwrap();
    let related: Vec<u64> =
        event["related"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert_eq!(related, [1, 3, 4], "as they happened");
    let samples = event["recording"].as_array().unwrap();
    assert_eq!(samples.len() as u64, event["samples"].as_u64().unwrap());
    let seqs: Vec<u64> = samples.iter().map(|sample| sample["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|before, after| before < after), "{seqs:?}");
    let ratios = samples.iter().map(|sample| sample["latency_ratio"].as_f64().unwrap());
    assert!(ratios.fold(0.0, f64::max) > 2.0, "the late sample is among them");
}

#[test]
fn marks_and_notes_stay_and_filters_see_them() {
    let recorded = Recorded::new();
    recorded.print(&["events", "mark", "2", "4", "--status", "reviewed", "--note", "backup ran\u{1b}[2J"]);
    recorded.print(&["events", "mark", "1", "--status", "pinned"]);
    assert_eq!(recorded.ids(&["--status", "reviewed"]), [4, 2]);
    assert_eq!(recorded.ids(&["--status", "pinned"]), [1]);
    assert_eq!(recorded.ids(&["--status", "unreviewed,pinned"]), [3, 1]);
    let event = recorded.json(&["events", "show", "4", "--json"]);
    assert_eq!((&event["status"], &event["note"]), (&"reviewed".into(), &"backup ran\u{1b}[2J".into()));
    let story = recorded.print(&["events", "show", "4"]);
    assert!(story.contains("  status    reviewed\n") && story.contains("backup ran"), "{story}");
    assert!(!story.contains('\u{1b}'), "control characters are shown replaced");
    recorded.print(&["events", "mark", "4", "--note", ""]);
    let event = recorded.json(&["events", "show", "4", "--json"]);
    assert_eq!((&event["status"], &event["note"]), (&"reviewed".into(), &Value::Null));
}

#[test]
fn an_event_that_does_not_exist_is_a_failure_told_in_one_line() {
    let recorded = Recorded::new();
    for arguments in [
        &["events", "show", "99"][..],
        &["events", "show", "99", "--json"],
        &["events", "report", "99"],
        &["events", "mark", "99", "--note", "x"],
    ] {
        let run = recorded.program.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{arguments:?}");
        assert_eq!(
            run.stderr,
            "pause-monitor: no event has the number 99: `pause-monitor events` lists them\n"
        );
    }
    // One of several: nothing is marked.
    let run = recorded.program.run(&["events", "mark", "1", "99", "--status", "pinned"]);
    assert_eq!(run.code, 1);
    assert!(recorded.ids(&["--status", "pinned"]).is_empty());
}

#[test]
fn a_wrong_filter_is_wrong_usage_that_says_what_is_understood() {
    let program = Program::new();
    for (arguments, told) in [
        (&["events", "--since", "soon"][..], "not a time: write 2h or 3d (ago), today"),
        (&["events", "--until", "2026-13-01"], "not a time: write"),
        (&["events", "--min-duration", "2"], "not a duration: write 500ms, 2s, 1m30s"),
        (&["events", "--kind", "nap"], "'nap'"),
        (&["events", "--tier", "hot"], "[possible values: sentinel, elevated, critical]"),
        (&["events", "--status", "maybe"], "[possible values: unreviewed, reviewed, pinned, dismissed]"),
        (&["events", "--limit", "0"], "write a number from 1 to 4294967295"),
        (&["events", "show", "x"], "'x'"),
        (&["events", "--json", "show", "1"], "stands behind that word: pause-monitor events show 7 --json"),
        (&["events", "--limit", "3", "list"], "stands behind that word"),
        (&["events", "report"], "<ID>"),
        (&["events", "mark", "1"], "--status <STATUS>|--note <TEXT>"),
    ] {
        let run = program.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.contains(told), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn before_the_first_run_there_are_no_events_and_nothing_is_made() {
    let program = Program::new();
    let said = program.run(&["events"]).stdout;
    assert!(said.starts_with("No events. No daemon has written to /") && said.ends_with(" yet.\n"), "{said}");
    assert_eq!(program.run(&["events", "--json"]).stdout, "[]\n");
    assert_eq!(program.run(&["events", "show", "1"]).code, 1);
    assert_eq!(program.home().read_dir().unwrap().count(), 0);
}

#[test]
fn a_database_that_the_daemon_is_just_making_holds_no_events_yet() {
    let program = Program::new();
    let data_dir = program.home().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    // What a start leaves before its first commit: the journal's mode is set, and there is no table.
    let connection = rusqlite::Connection::open(data_dir.join("data.db")).unwrap();
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    assert!(data_dir.join("data.db").metadata().unwrap().len() > 0);
    let data_dir = data_dir.to_str().unwrap();
    let run = program.run(&["events", "--data-dir", data_dir]);
    let said = format!("No events. No daemon has written to {data_dir} yet.\n");
    assert_eq!((run.stdout, run.stderr.as_str(), run.code), (said, "", 0));
    assert_eq!(program.run(&["events", "mark", "1", "--note", "x", "--data-dir", data_dir]).code, 1);
    assert_eq!(program.run(&["prune", "--data-dir", data_dir]).code, 0);
}

#[test]
fn the_directories_may_stand_anywhere() {
    let recorded = Recorded::new();
    let data_dir = recorded.data_dir();
    let data_dir = data_dir.to_str().unwrap();
    let story = recorded.print(&["events", "show", "2"]);
    for arguments in [
        ["--data-dir", data_dir, "events", "show", "2"],
        ["events", "--data-dir", data_dir, "show", "2"],
        ["events", "show", "--data-dir", data_dir, "2"],
        ["events", "show", "2", "--data-dir", data_dir],
    ] {
        assert_eq!(recorded.print(&arguments), story, "{arguments:?}");
    }
}

#[test]
fn an_exported_event_is_read_by_analyze_and_tells_the_same_pause() {
    let recorded = Recorded::new();
    let stored: Value = serde_json::from_str(&recorded.print(&["events", "show", "2", "--json"])).unwrap();
    let text = recorded.print(&["events", "export", "2"]);
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = lines.next().unwrap();
    assert_eq!(
        (&first["type"], &first["id"], &first["incident"]),
        (&"event".into(), &stored["id"], &stored["incident"])
    );
    let mut samples: Vec<Value> = lines.collect();
    let capture = samples.pop().unwrap();
    assert_eq!((&capture["type"], &capture["name"]), (&"capture".into(), &"ring".into()));
    // What was made of the gaps comes first, the other freeze's not among it: that is another minute.
    let told = samples.remove(0);
    assert_eq!(
        (&told["type"], &told["verdict"], &told["event"]),
        (&"gap".into(), &stored["verdict"], &stored["id"])
    );
    assert!(!samples.is_empty() && samples.iter().all(|sample| sample["type"] == "sample"));
    let file = recorded.program.home().join("event.jsonl");
    let file = file.to_str().unwrap();
    recorded.print(&["events", "export", "2", "--output", file]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), text);
    let again = recorded.program.run(&["events", "export", "2", "--output", file]);
    assert_eq!(again.code, 1, "what is there is not written over: {}", again.stderr);
    let analyzed = recorded.print(&["analyze", "--json", file]);
    let gap = analyzed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["type"] == "gap" && line["verdict"] == "pause")
        .expect("the pause");
    let (told, was) = (gap["duration_ms"].as_f64().unwrap() / 1e3, stored["duration_s"].as_f64().unwrap());
    assert!((told - was).abs() < 0.05, "{told} s for {was} s");
    assert_eq!(gap["culprits"][0]["name"], stored["culprits"][0]["name"]);
}

#[test]
fn names_of_users_are_taken_out_of_names_of_processes_and_of_who_is_to_blame() {
    let program = Program::new().env("USER", "zoe");
    let arguments = ["--interval-ms", "500", "--count", "62", "--start", "2026-02-03T04:05:06Z"];
    let recording = simulated(&program, "freeze", &arguments);
    let text = fs::read_to_string(&recording).unwrap();
    fs::write(&recording, text.replace("fileproviderd", "com.zoe.sync")).unwrap();
    play(&program, &recording, &program.home().join(".local/share/pause-monitor"));
    let export = |arguments: &[&str]| {
        let run = program.run(&[&["events", "export", "2"], arguments].concat());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        run.stdout
    };
    let whole = export(&[]);
    let event: Value = serde_json::from_str(whole.lines().next().unwrap()).unwrap();
    assert_eq!(event["culprits"][0]["name"], "com.zoe.sync");
    let redacted = export(&["--redact"]);
    assert!(!redacted.contains("zoe"), "{redacted}");
    let event: Value = serde_json::from_str(redacted.lines().next().unwrap()).unwrap();
    assert_eq!(event["culprits"][0]["name"], "com.user1.sync");
    // As often as before: in the lists of each sample too.
    assert_eq!(redacted.matches("com.user1.sync").count(), whole.matches("com.zoe.sync").count());
    assert!(whole.matches("com.zoe.sync").count() > 20);
}
