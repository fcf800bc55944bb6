//! `hooks list`, and what the configuration shows of hooks.

use std::fs;

use serde_json::json;

use crate::program::{Program, Run};

const CONFIG: &str = r#"
[[hooks]]
name = "notes"
on = ["pause", "outage"]
min_duration = "2s"
command = ["note", "--bold"]

[[hooks]]
name = "chat"
on = ["critical"]
cooldown = "10m"
webhook = "https://chat.example/services/hush"
format = "slack"
headers = { authorization = "Bearer hush" }
secret_file = "key"
"#;

fn run(program: &Program, arguments: &[&str]) -> Run {
    let config = program.home().join("config.toml");
    program.run(&[arguments, &["--config", config.to_str().unwrap()]].concat())
}

#[test]
fn hooks_are_listed_without_their_secrets() {
    let program = Program::new();
    fs::write(program.home().join("config.toml"), CONFIG).unwrap();
    let listed = run(&program, &["hooks", "list"]);
    assert_eq!(
        listed.stdout,
        "NAME   ON            FROM  COOLDOWN  TIMEOUT  DOES\n\
         notes  pause,outage  2s    -         10s      note --bold\n\
         chat   critical      -     10m       10s      slack to https://chat.example/(secret)\n"
    );
    assert_eq!(run(&program, &["hooks"]).stdout, listed.stdout);
    let json: serde_json::Value =
        serde_json::from_str(&run(&program, &["hooks", "list", "--json"]).stdout).unwrap();
    let expected = json!([
        { "name": "notes", "on": ["pause", "outage"], "min_duration_s": 2.0, "cooldown_s": 0.0, "timeout_s": 10.0,
          "command": ["note", "--bold"], "webhook": null },
        { "name": "chat", "on": ["critical"], "min_duration_s": 0.0, "cooldown_s": 600.0, "timeout_s": 10.0,
          "command": null, "webhook": { "url": "https://chat.example/(secret)", "format": "slack",
          "headers": ["authorization"], "signed": true, "retries": 3 } },
    ]);
    assert_eq!(json, expected);
    for arguments in [&["config", "show"][..], &["config", "show", "--json"], &["hooks", "list", "--json"]] {
        let shown = run(&program, arguments);
        assert!(shown.stdout.contains("chat.example") && !shown.stdout.contains("hush"), "{}", shown.stdout);
    }
    let shown: serde_json::Value =
        serde_json::from_str(&run(&program, &["config", "show", "--json"]).stdout).unwrap();
    assert_eq!(
        shown["hooks"][0]["min_duration"],
        json!({ "value": "2s", "origin": { "kind": "file", "line": 5 } })
    );
    assert_eq!(shown["hooks"][1]["retries"], json!({ "value": 3, "origin": { "kind": "default" } }));
    assert_eq!(shown["hooks"][0]["webhook"], json!(null), "what means nothing for a command is not there");
}

#[test]
fn a_hook_that_there_is_not_is_wrong_usage() {
    let program = Program::new();
    assert!(program.run(&["hooks"]).stdout.starts_with("There are no hooks."));
    let tried = program.run(&["hooks", "test", "x"]);
    assert_eq!(
        (tried.code, tried.stderr.as_str()),
        (2, "pause-monitor: no hook is called \"x\": there are none\n")
    );
    fs::write(program.home().join("config.toml"), CONFIG).unwrap();
    let tried = run(&program, &["hooks", "test", "x"]);
    assert_eq!(tried.stderr, "pause-monitor: no hook is called \"x\": there are notes, chat\n");
    let tried = run(&program, &["hooks", "test", "notes", "--event", "paus"]);
    assert_eq!(tried.code, 2);
    assert!(tried.stderr.contains("write one of pause, stall, outage"), "{}", tried.stderr);
}
