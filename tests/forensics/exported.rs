//! An export with the evidence in it, read again.

use std::fs;

use serde_json::Value;

use crate::evidence::{CONFIG, NAMES, NEAR_MS, capture, gathered};
use crate::pauses::{daemon, pause};
use crate::program::Program;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_export_has_all_of_it_tells_the_same_pause_and_tells_no_names_where_they_are_taken_out() {
    let home = tempfile::tempdir().unwrap();
    let name = format!("zoe{}", std::process::id());
    let user_home = home.path().join(&name);
    fs::create_dir(&user_home).unwrap();
    let program = Program::new().env("USER", &name).env("HOME", user_home.to_str().unwrap());
    let Some((daemon, mut stream, freezer)) = daemon(program, CONFIG) else { return };
    let gap = pause(&freezer, &mut stream);
    let event = gathered(&daemon, &gap);
    let id = event["id"].to_string();
    let note = format!("{name} saw {}/x freeze", user_home.display());
    assert_eq!(daemon.run("events", &["mark", &id, "--note", &note]).code, 0);
    // What a capture says of the user.
    let vmstat = capture(&event, "vmstat")["path"].as_str().unwrap().to_owned();
    fs::write(&vmstat, format!("written by {name}\nhost {}\n", host())).unwrap();

    let export = daemon.run("events", &["export", &id]);
    assert_eq!((export.code, export.stderr.as_str()), (0, ""));
    let all = lines(&export.stdout);
    assert_eq!(
        (&all[0]["type"], &all[0]["id"], &all[0]["redacted"]),
        (&"event".into(), &event["id"], &false.into())
    );
    let samples = all.iter().filter(|line| line["type"] == "sample").count() as u64;
    assert_eq!(Some(samples), event["samples"].as_u64());
    for name in NAMES {
        let recorded = capture(&event, name);
        let parts: Vec<&Value> =
            all.iter().filter(|line| line["type"] == "capture" && line["name"] == name).collect();
        assert!(!parts.is_empty(), "{name} is missing");
        assert_eq!((&parts[0]["outcome"], &parts[0]["detail"]), (&recorded["outcome"], &recorded["detail"]));
        let Some(path) = recorded["path"].as_str().filter(|_| name != "ring") else { continue };
        let text: String = parts.iter().map(|part| part["text"].as_str().unwrap()).collect();
        assert_eq!(text, fs::read_to_string(path).unwrap(), "{name}");
    }
    assert!(export.stdout.contains(&name));

    let file = daemon.data_dir().join("redacted.jsonl");
    let redacted = daemon.run("events", &["export", &id, "--redact", "-o", file.to_str().unwrap()]);
    assert_eq!((redacted.code, redacted.stderr.as_str()), (0, ""));
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(&name), "the user's name is left");
    let all = lines(&text);
    assert_eq!((&all[0]["note"], &all[0]["redacted"]), (&"user1 saw ~/x freeze".into(), &true.into()));
    let told = all.iter().find(|line| line["name"] == "vmstat").unwrap();
    assert_eq!(told["text"], "written by user1\nhost host\n");

    // Either is read as a recording, and tells the pause.
    let whole = daemon.data_dir().join("whole.jsonl");
    fs::write(&whole, &export.stdout).unwrap();
    for file in [&whole, &file] {
        let analyzed = daemon.run("analyze", &["--json", file.to_str().unwrap()]);
        assert_eq!((analyzed.code, analyzed.stderr.as_str()), (0, ""));
        let told = lines(&analyzed.stdout);
        let pause = told.iter().find(|line| line["type"] == "gap" && line["verdict"] == "pause");
        let (told_ms, was) = (&pause.expect("the pause")["duration_ms"], &gap["duration_ms"]);
        assert!((told_ms.as_f64().unwrap() - was.as_f64().unwrap()).abs() < NEAR_MS, "{told_ms} for {was}");
        assert_eq!(told.last().unwrap()["rejected"], serde_json::json!({}), "captures are passed over");
    }
    let source = format!("replay:{}", file.display());
    let again = Program::new();
    let run = again.run(&["daemon", "--source", &source, "--speed", "max", "--data-dir", "data"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let events = again.run(&["events", "--kind", "pause", "--json", "--data-dir", "data"]);
    assert_eq!(lines(&events.stdout.replace('\n', "")).len(), 1);
    assert!(events.stdout.contains("\"verdict\":\"pause\""), "{}", events.stdout);
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}
