//! Each trap as the culprit of a pause: what is told of it to a scrape, to a program, to web servers and in the log.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::http::scrape;
use crate::names::{assert_plain, escaped, is_plain, named, shown, traps};
use crate::peer::peer;
use crate::program::Program;
use crate::sampler::{document, task};
use crate::server::{Reply, Server};

/// Hooks, by the names that they have in the log.
const HOOKS: [&str; 4] = ["program", "json", "slack", "ntfy"];

/// A recording of a machine on which a process of that name has the whole of a processor, and which stands still once: in a
/// recording a late document is a pause.
fn recording(trap: &str) -> String {
    let calm = document(&task(501, &escaped(trap), 1_000.0));
    let late = calm.replace("100000000", "900000000");
    let before: String = std::iter::repeat_n(calm.as_str(), 30).chain([late.as_str()]).collect();
    // It goes on, so that it can be asked.
    before + &calm.repeat(2_000)
}

/// A program that keeps what it is told, byte for byte, and a web server for each format.
fn hooks(home: &Path, server: &Server, number: usize) -> String {
    let command = format!("cat >{0}/payload; cat /proc/self/environ >{0}/environment", home.display());
    let mut config = format!(
        "[[hooks]]\nname = \"program\"\non = [\"pause\"]\ncommand = [\"/bin/sh\", \"-c\", \"{command}\"]\n"
    );
    for format in &HOOKS[1..] {
        let url = server.url(&format!("/{format}/{number}"));
        config.push_str(&format!(
            "[[hooks]]\nname = \"{format}\"\non = [\"pause\"]\nwebhook = \"{url}\"\nformat = \"{format}\"\n"
        ));
    }
    config
}

/// The environment of a program: one line a variable.
fn environment(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).unwrap();
    let variables = text.split_terminator('\0').map(|variable| {
        assert!(variable.chars().all(is_plain), "{variable:?}");
        let (name, value) = variable.split_once('=').unwrap_or_else(|| panic!("no name: {variable:?}"));
        (name.to_owned(), value.to_owned())
    });
    variables.collect()
}

/// A payload, which is one line: of the very name, and a summary that shows it. The summary.
fn summary(payload: &[u8], name: &str) -> String {
    let payload = std::str::from_utf8(payload).unwrap();
    assert!(!payload.contains(['\n', '\r', '\0']), "{payload:?}");
    let payload: Value = serde_json::from_str(payload).unwrap();
    assert_eq!((&payload["event"], &payload["culprits"][0]["name"]), (&"pause".into(), &name.into()));
    let summary = payload["summary"].as_str().unwrap();
    assert!(summary.chars().all(is_plain), "{summary:?}");
    assert!(summary.contains(&format!(", built up by {} (", shown(name))), "{name:?} is not in {summary:?}");
    summary.to_owned()
}

/// The exposition is valid, and has one series with that name.
fn is_exposed(promtool: Option<&PathBuf>, exposition: &str, name: &str) {
    assert_plain("the exposition", exposition);
    let info: Vec<&str> = exposition
        .lines()
        .filter(|line| line.starts_with("pause_monitor_last_pause_culprit_info{"))
        .collect();
    let label = shown(name).replace('\\', "\\\\").replace('"', "\\\"");
    assert!(info.len() == 1 && info[0].contains(&format!("name=\"{label}\"")), "{name:?}: {info:?}");
    let Some(promtool) = promtool else { return };
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_culprit_of_any_name_is_text_to_prometheus_to_programs_to_web_servers_and_in_the_log() {
    let promtool = peer(&["promtool"], "prometheus");
    let server = Server::new(&[Reply::Status(200, "", "")]);
    for (number, trap) in traps().iter().enumerate() {
        let name = named(trap);
        let program = Program::new();
        let home = program.home().to_owned();
        fs::write(home.join("recording"), recording(trap)).unwrap();
        let source = format!("replay:{}", home.join("recording").display());
        let config = "[http]\nculprit_info = true\n[forensics]\nenabled = false\n".to_owned()
            + &hooks(&home, &server, number);
        let arguments = ["--source", &source, "--speed", "20", "--web.listen-address", "127.0.0.1:0"];
        let daemon = Daemon::start(program, &config, &arguments);
        for hook in HOOKS {
            daemon.wait_for_log(&format!("hook {hook}: pause (event 2): ok"));
        }
        let summary = summary(&fs::read(home.join("payload")).unwrap(), &name);
        let variables = environment(&home.join("environment"));
        assert_eq!(variables["PAUSE_MONITOR_CULPRIT"], shown(&name));
        assert_eq!(variables["PAUSE_MONITOR_SUMMARY"], summary);
        is_posted(&server, number, &name, &summary);
        // The log says who, and nothing else that was made of it.
        let log = daemon.log();
        assert_plain("the log", &log);
        assert!(log.lines().any(|line| line.contains(&summary)), "{summary:?} is not in\n{log}");
        let exposition = daemon.until("a culprit", || {
            let text = scrape(&daemon);
            text.contains("pause_monitor_last_pause_culprit_info{").then_some(text)
        });
        is_exposed(promtool.as_ref(), &exposition, &name);
    }
}

/// Each web server has it as it reads it.
fn is_posted(server: &Server, number: usize, name: &str, told: &str) {
    let received = server.received();
    let body = |format: &str| {
        let line = format!("POST /{format}/{number} HTTP/1.1");
        let mut of_it = received.iter().filter(|request| request.line == line);
        let request = of_it.next().unwrap_or_else(|| panic!("{line} is missing"));
        assert!(of_it.next().is_none(), "{line} came twice");
        for (header, value) in &request.headers {
            assert_plain(header.as_str(), std::str::from_utf8(value.as_bytes()).unwrap());
        }
        request.body.clone()
    };
    assert_eq!(summary(&body("json"), name), told);
    assert_eq!(String::from_utf8(body("ntfy")).unwrap(), told);
    // Slack takes what stands in angle brackets for a link, or calls everybody.
    let slack: Value = serde_json::from_slice(&body("slack")).unwrap();
    let text = slack["text"].as_str().unwrap();
    assert!(!text.contains(['<', '>']), "{text}");
    assert_eq!(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), told);
}
